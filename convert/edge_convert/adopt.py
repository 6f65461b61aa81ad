"""A classifier that others have trained becomes a complete, sealed .tflite like those that `export` writes."""

import codecs
import hashlib
import re
import shlex
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Final, Self

import numpy as np

from edge_convert.foreign.extraction import fit_on_pictures
from edge_convert.foreign.known_photos import read_known_photos
from edge_convert.tflite.equivalence import check_scores, gives_probabilities, noise
from edge_convert.tflite.graph import read_graph
from edge_convert.tflite.input_rewrite import InputRange, Levels, RawPixelModel, take_raw_pixels
from edge_convert.tflite.metadata_reader import LABELS, METADATA, read_description, read_text
from edge_core.artifact.card import ModelCard
from edge_core.artifact.container import (
    CARD_FILE,
    complete,
    feature_files,
    has_entry,
    is_compiled,
    read_card,
    read_cpu_model,
    without_archive,
)
from edge_core.artifact.golden import FRAMES, read_golden
from edge_core.artifact.seal import Signer, check_seal, seal
from edge_core.codec import JsonObject
from edge_core.data.photo_folder import Unusable, walk
from edge_core.errors import (
    CardError,
    CheckFailedError,
    DatasetError,
    EdgeError,
    InputSpecError,
    ModelFormatError,
    OutputError,
)
from edge_core.files import require_writable, written_whole
from edge_core.images import Levels as PictureLevels
from edge_core.images import read_picture
from edge_core.preprocess import ColorOrder, Crop, Frame, InputSpec, preprocess
from edge_core.progress import Track, silently
from edge_core.run_folder import evenly_spaced
from edge_device.inference.interpreter import Interpreter
from edge_device.inference.verify import sealed

BACKGROUND: Final = "background"
"""What ImageNet models of TensorFlow have as their first class, before the thousand."""


@dataclass(frozen=True)
class Adopted:
    """A file that was written.

    Attributes:
        file: The complete, sealed .tflite.
        size_bytes: Size of the written file in bytes.
        card: Model card inside the file.
        notes: What was changed, and what to know of it, in sentences.
        largest_difference: Largest difference of a score between the file and the original model; None where
            nothing but a card or a seal was added.
        passed_over: What the folder of golden pictures holds beside pictures.
    """

    file: Path
    size_bytes: int
    card: ModelCard
    notes: tuple[str, ...]
    largest_difference: float | None = None
    passed_over: tuple[Unusable, ...] = ()


@dataclass(frozen=True)
class Taking:
    """What is to be known of a model that has no card.

    Attributes:
        labels: Text file with a label per line, in the order of the model's outputs; None if its TFLite Metadata has
            them.
        levels: What pixels are to it; nothing for a quantized model, which says so itself and is held to what is given,
            and for one whose TFLite Metadata says so.
        crop: Crop policy, as `InputSpec.crop`.
        color_order: Order of the channels that the model takes.
        picture_levels: Levels of 16-bit pictures that the model has seen as black and white, as `InputSpec.levels`.
    """

    labels: Path | None = None
    levels: Levels = field(default_factory=Levels)
    crop: Crop = "center"
    color_order: ColorOrder = "RGB"
    picture_levels: PictureLevels = None


def adopt(
    file: Path,
    out: Path,
    taking: Taking | None = None,
    *,
    cpu: Path | None = None,
    golden: Path | None = None,
    known: Path | None = None,
    signer: Signer | None = None,
    track: Track = silently,
) -> Adopted:
    """Makes a .tflite classifier complete, lets it take raw pixels, and seals it with golden vectors.

    What it says of raw pixels is held against what the model says of its own kind of input, before anything is written.

    Args:
        file: A .tflite with one image input and one score per label; or compiled for an Edge TPU.
        out: The file to write.
        taking: What is to be known of it; needed unless `file` carries a card, or TFLite Metadata that says it.
        cpu: What `file` was compiled from; needed if it was compiled and does not carry it.
        golden: Picture, or folder of pictures, to make golden vectors of; by default those in `file` stay, or else they
            are made of photos in `known`, or of a drawn picture.
        known: Folder of photos of what the model knows, see `read_known_photos`: the file can then tell what is foreign
            to it, and be taught another label. By default what `file` has of this stays.
        signer: Private key that signs the file; without one the file is sealed but not signed.
        track: Receives the progress of each step.

    Raises:
        CardError: The labels are no labels, or not as many as the model's outputs.
        InputSpecError: What pixels are to it was given without labels, and it carries a card, which says that.
        CheckFailedError: The changed model does not say what the original one does.
        ModelFormatError: `file` is no classifier, takes another range than was given, or needs one; or was not compiled
            from `cpu`.
        OutputError: `out` cannot be written, or is `file`.
        PictureError, DatasetError: `golden` is no picture, or it or `known` has none.
    """
    _check_out(out, (file, cpu))
    was_sealed = check_seal(file) is not None  # and if it is damaged, it is not sealed anew
    has_card = has_entry(file, CARD_FILE)
    if has_card and taking is not None and taking.labels is None:
        raise InputSpecError(f"{file} has a model card, which says what it takes; to replace that, give labels, too")
    try:
        model, on_cpu = _models(file, cpu)
    except OSError as error:
        if isinstance(error, EdgeError):
            raise
        raise ModelFormatError(f"{error.filename}: {error.strerror or error}") from error
    if taking is None and not has_card:
        taking = Taking()
    if taking is None:
        card, notes, difference = read_card(file), [], None
    else:
        made = _described(file, on_cpu or model, model if on_cpu else None, taking)
        card, notes, difference = made.card, made.notes, made.difference
        model, on_cpu = (made.compiled, made.model) if made.compiled else (made.model, None)
    passed_over: tuple[Unusable, ...] = ()
    try:
        learned = _learned(model, card, known, track) if known else _Learned()
        # Other operators in front give tensors other numbers.
        files = learned.files if known or taking else feature_files(file)
        artifact = complete(model, card, file.stem, on_cpu, files=files)
        # Neither input nor scores have changed, so the frames that were sealed still say what the model must give.
        if was_sealed and taking is None and golden is None:
            artifact = seal(artifact, read_golden(file), signer)
        else:
            frames, passed_over = _frames(golden, card.input.levels, learned.paths)
            artifact = sealed(artifact, frames, signer)
    except ModelFormatError as error:
        raise ModelFormatError(f"{file}: {error}") from error
    with written_whole(out) as beside:
        beside.write_bytes(artifact)
    return Adopted(out, len(artifact), card, (*notes, *learned.notes), difference, learned.passed_over + passed_over)


@dataclass(frozen=True)
class _Learned:
    """What known photos gave: files for the archive, and what is to be said of it."""

    files: Mapping[str, bytes] = field(default_factory=dict)
    paths: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()
    passed_over: tuple[Unusable, ...] = ()


def _learned(model: bytes, card: ModelCard, known: Path, track: Track) -> _Learned:
    """Fits the detector and keeps exemplars.

    Raises:
        ModelFormatError: The model is compiled for an Edge TPU.
        DatasetError: There are no photos.
    """
    if is_compiled(model):
        raise ModelFormatError(
            "a file that is compiled for an Edge TPU gives no features; adopt the file that it was compiled from with "
            "--known, and compile that anew with edge-convert compile"
        )
    notes: list[str] = []
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "bare.tflite"
        file.write_bytes(model)
        with closing(Interpreter(file, tensors=())) as interpreter:
            photos = read_known_photos(known, card, lambda pixels: int(interpreter.scores(pixels).argmax()), track)
        fitted = fit_on_pictures(model, photos.pictures, Path(scratch), notes.append, track)
    return _Learned(fitted.to_files(), photos.paths, (*photos.notes, *notes), photos.unusable)


def _check_out(out: Path, sources: Sequence[Path | None]) -> None:
    if out.is_dir() or out.suffix != ".tflite":
        raise OutputError(f"{out}: the file to write ends in .tflite")
    if out.exists() and any(source and source.exists() and out.samefile(source) for source in sources):
        raise OutputError(f"{out} would overwrite the file itself; choose another name")
    require_writable(out)


def _models(file: Path, cpu: Path | None) -> tuple[bytes, bytes | None]:
    """The flatbuffer in a file and, of a compiled one, the one that it was compiled from.

    Raises:
        ModelFormatError: `cpu` is missing, or there is no use for it.
        OSError: One of them cannot be read.
    """
    model = without_archive(file.read_bytes())
    carried = read_cpu_model(file)
    if not is_compiled(model):
        if cpu is not None:
            raise ModelFormatError(f"{file} is not compiled for an Edge TPU, so --cpu has no place; leave it out")
        return model, carried  # the compiler gives a model back as it was where it maps no operator
    if cpu is not None:
        twin = without_archive(cpu.read_bytes())
        if is_compiled(twin):
            raise ModelFormatError(
                f"{cpu} is compiled for an Edge TPU, too; --cpu is the file that {file} was compiled from"
            )
        return model, twin
    if carried is None:
        wanted = str(file.with_name(file.name.replace("_edgetpu", ""))) if "_edgetpu" in file.name else "MODEL.tflite"
        card = "" if _says_labels(file) else " --labels LABELS.txt"
        raise ModelFormatError(
            f"{file} is compiled for an Edge TPU, and runs nowhere else: give the file that it was compiled from, too: "
            f"{shlex.join(['edge-convert', 'adopt', str(file), '--cpu', wanted])}{card}"
        )
    return model, carried


def _says_labels(file: Path) -> bool:
    if has_entry(file, CARD_FILE):
        return True
    try:
        return bool(_Said.of(file.read_bytes()).labels_file)
    except (ModelFormatError, InputSpecError):
        return False


def parse_range(text: str) -> InputRange:
    """Two numbers from `-1..1`.

    Raises:
        InputSpecError: Not two finite numbers, or the second is not the larger one.
    """
    parts = text.split("..")
    try:
        low, high = (float(part) for part in parts)
    except ValueError:
        low = high = 0.0
    # Infinities and NaN fail the comparison, too.
    if not -1e6 <= low < high <= 1e6:
        raise InputSpecError(f"an input range is two numbers, as in 0..255, 0..1 or -1..1, not {text!r}")
    return low, high


def parse_numbers(text: str) -> tuple[float, ...]:
    """Numbers from `0.485,0.456,0.406`.

    Raises:
        InputSpecError: One of them is not a number.
    """
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise InputSpecError(
            f"a mean or a standard deviation is one number or three, as in 0.485,0.456,0.406, not {text!r}"
        ) from error


def _without_numbers(lines: list[str], source: str) -> list[str]:
    """Lines without the number before each, and without a CSV's first line; as they are unless every one is numbered.

    Raises:
        CardError: Their numbers are those from 0 on, in another order.
    """
    matches = [re.fullmatch(r"(\d+)[\s:,]+(.+)", line) for line in lines]
    if len(matches) > 2 and matches[0] is None:
        matches.pop(0)
    numbers = [match[1] for match in matches if match]
    wanted = [str(number) for number in range(len(matches))]
    if numbers == wanted:
        return [match[2] for match in matches if match]
    if sorted(numbers) == sorted(wanted):
        raise CardError(f"{source} numbers its labels in another order than that of its lines; sort it by the numbers")
    return lines


def read_labels(path: Path) -> tuple[list[str], list[str]]:
    """Labels of a text file, one per line, and of which of them there were several; those are numbered.

    A number before each, from 0 on, as the label files of Coral and Teachable Machine have it, is dropped.

    Raises:
        CardError: The file cannot be read, is no text, or has fewer than two lines.
    """
    try:
        content = path.read_bytes()
        # Windows calls UTF-16 Unicode, and begins it with a byte order mark.
        utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        return _labels_of(content.decode("utf-16" if utf16 else "utf-8-sig"), str(path))
    except OSError as error:
        raise CardError(f"{path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise CardError(f"{path} is no text in UTF-8; save it as such") from error


def _labels_of(text: str, source: str) -> tuple[list[str], list[str]]:
    lines = [line.strip() for line in text.rstrip().splitlines()]
    if "" in lines:
        raise CardError(f"{source}: line {lines.index('') + 1} is empty; a label file has a label per line")
    seen: Counter[str] = Counter()
    labels, repeated = [], []
    for line in _without_numbers(lines, source):
        seen[line] += 1
        labels.append(line if seen[line] == 1 else f"{line} ({seen[line]})")
        if seen[line] > 1:
            repeated.append(labels[-1])
    return labels, repeated


@dataclass(frozen=True)
class _Said:
    """What a model's TFLite Metadata says of it.

    Attributes:
        labels_file: Name of the file with its labels in the archive behind it; empty if there is none.
        labels: Text of that file.
        levels: What pixels are to its input of floats; nothing of another input, or if the metadata does not say it.
    """

    labels_file: str = ""
    labels: str = ""
    levels: Levels = field(default_factory=Levels)

    @classmethod
    def of(cls, content: bytes) -> Self:
        """Reads it.

        Raises:
            ModelFormatError: There is metadata and it is damaged.
        """
        graph = read_graph(content)
        if METADATA not in graph.metadata:
            return cls()
        described = read_description(graph.metadata[METADATA])
        name = next((one.files[LABELS] for one in described.outputs if LABELS in one.files), "")
        normalization = next((one.normalization for one in described.inputs), None)
        levels = Levels()
        # What is said of a quantized input repeats its quantization.
        if normalization and [one.dtype for one in graph.inputs] == ["float32"]:
            levels = Levels((0.0, 255.0), *normalization)
        return cls(name, read_text(content, name) if name else "", levels)


@dataclass(frozen=True)
class _Described:
    """The card of a model that had none, and the model as it takes raw pixels."""

    card: ModelCard
    model: bytes
    compiled: bytes | None
    notes: list[str]
    difference: float


@dataclass(frozen=True)
class _LabelsAndLevels:
    """What its user says of a model that has no card, or else its TFLite Metadata.

    Attributes:
        labels: Labels in the order of its scores.
        repeated: Those of them that were there before, with their number.
        source: Where the labels are from, for a message.
        levels: What pixels are to it.
        notes: What was taken from the metadata, in sentences.
    """

    labels: list[str]
    repeated: list[str]
    source: str
    levels: Levels
    notes: list[str]


def _labels_and_levels(file: Path, given: Taking) -> _LabelsAndLevels:
    notes = []
    try:
        said = _Said.of(file.read_bytes())
    except (ModelFormatError, InputSpecError) as error:
        if given.labels is None:
            raise ModelFormatError(f"{file}: {error}") from error
        said = _Said()  # nothing of it is needed
    if given.labels is not None:
        source = str(given.labels)
        labels, repeated = read_labels(given.labels)
    elif said.labels_file:
        source = f"{said.labels_file} in {file}"
        labels, repeated = _labels_of(said.labels, source)
        notes.append(f"labels are taken from {said.labels_file} in its TFLite Metadata")
    else:
        raise ModelFormatError(
            f"{file} has no model card, and no labels in TFLite Metadata; give them with --labels LABELS.txt, a text "
            "file with a line per output"
        )
    levels = given.levels
    if levels == Levels() and said.levels != Levels():
        levels = said.levels
        mean, std = (", ".join(f"{value:g}" for value in numbers) for numbers in (levels.mean, levels.std))
        notes.append(f"by its TFLite Metadata the mean {mean} and the standard deviation {std} are of levels 0..255")
    return _LabelsAndLevels(labels, repeated, source, levels, notes)


def _described(file: Path, model: bytes, compiled: bytes | None, given: Taking) -> _Described:
    known, color_order = _labels_and_levels(file, given), given.color_order
    labels, levels = known.labels, known.levels
    try:
        taking = take_raw_pixels(model, levels, color_order, labels=len(labels), compiled=compiled)
        if len(labels) != taking.outputs:
            raise CardError(_wrong_count(known.source, labels, taking.outputs))
        entry = taking.entry
        spec = InputSpec(entry.width, entry.height, given.crop, color_order, levels=given.picture_levels)
        pictures = [*noise(entry), preprocess(_drawn_picture(), spec)]
        # A softmax may be made of other operators, which only the scores themselves tell.
        softmax = not (taking.gives_probabilities or gives_probabilities(taking, pictures))
        if softmax:
            taking = take_raw_pixels(model, levels, color_order, labels=len(labels), softmax=True, compiled=compiled)
        difference = check_scores(model, taking, softmax, pictures)
    except (ModelFormatError, CheckFailedError, InputSpecError) as error:
        raise type(error)(f"{file}: {error}") from error
    low, high = taking.input_range
    conversion: JsonObject = {
        "recipe": "adopted",
        "source": file.name,
        "source_sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "input_range": f"{low:g}..{high:g}",
    }
    if levels.normalized:
        conversion |= {"mean": list(levels.mean), "std": list(levels.std)}
    versions = {"edge-mobilenet": metadata.version("edge-mobilenet")}
    card = ModelCard(tuple(labels), spec, conversion=conversion, versions=versions)
    return _Described(card, taking.model, taking.compiled, _notes(known, taking), difference)


def _notes(known: _LabelsAndLevels, taking: RawPixelModel) -> list[str]:
    """What was changed, and what to know of it."""
    notes, levels = [*known.notes, *taking.notes], known.levels
    if taking.last_operator == "LOGISTIC" and not taking.one_score:
        notes.append("each label has a score of its own, as the model ends in a sigmoid: they need not add to 1")
    if levels.normalized and levels.input_range is None:
        notes.append(f"mean and standard deviation are taken to be of levels {levels.range[0]:g}..{levels.range[1]:g}")
    if known.repeated:
        notes.append(f"labels that were there before got a number: {', '.join(known.repeated[:5])}")
    return notes


def _wrong_count(source: str, labels: list[str], outputs: int) -> str:
    message = f"{source} has {len(labels)} labels, the model {outputs} outputs"
    background = [label.lower() for label in labels[:1]] == [BACKGROUND]
    if len(labels) == outputs - 1 and not background:
        return f"{message}; if its first class is one for everything else, put {BACKGROUND} on a line before the others"
    if len(labels) == outputs + 1 and background:
        return f"{message}; the model has no class for everything else: remove the first line, {labels[0]}"
    return f"{message}; a label file has a line per output, in their order"


def _frames(
    golden: Path | None, levels: PictureLevels, known: Sequence[Path]
) -> tuple[list[Frame], tuple[Unusable, ...]]:
    """Frames for golden vectors, and what a folder holds beside pictures."""
    if golden is None:
        frames = [read_picture(path, levels=levels) for path in evenly_spaced(known, FRAMES)]
        return frames or [_drawn_picture()], ()
    if not golden.is_dir():
        return [read_picture(golden, levels=levels)], ()
    found = walk(golden)
    if not found.pictures:
        raise DatasetError(f"{golden}: the folder holds no pictures")
    return [read_picture(path, levels=levels) for path in evenly_spaced(found.pictures, FRAMES)], found.dropped


def _drawn_picture() -> Frame:
    """Slopes in two channels, stripes in the third; shape (480, 640, 3)."""
    y, x = np.indices((480, 640))
    return np.stack([x * 255 // 639, y * 255 // 479, (x + y) % 256], axis=2).astype(np.uint8)

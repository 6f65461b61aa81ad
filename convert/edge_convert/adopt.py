"""A classifier that others have trained becomes a complete, sealed .tflite like those that `export` writes."""

import hashlib
import re
from collections import Counter
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

import numpy as np

from edge_convert.tflite.input_rewrite import take_raw_pixels
from edge_core.artifact.card import ModelCard
from edge_core.artifact.container import complete, read_card, read_cpu_model, without_archive
from edge_core.artifact.golden import FRAMES, read_golden
from edge_core.artifact.seal import Signer, check_seal, seal
from edge_core.data.photo_folder import pictures_below
from edge_core.errors import CardError, DatasetError, InputSpecError, ModelFormatError, OutputError
from edge_core.files import written_whole
from edge_core.images import read_picture
from edge_core.preprocess import ColorOrder, Crop, Frame, InputSpec
from edge_core.run_folder import spread
from edge_device.inference.verify import sealed

InputRange = tuple[float, float]
"""What a black and a white pixel are to a model."""

BACKGROUND: Final = "background"
"""What ImageNet models of TensorFlow have as their first class, before the thousand."""


@dataclass(frozen=True)
class Adopted:
    """A file that was written.

    Attributes:
        file: the complete, sealed .tflite.
        size_bytes: of it.
        card: inside it.
        notes: what was changed, and what to know of it, in sentences.
    """

    file: Path
    size_bytes: int
    card: ModelCard
    notes: tuple[str, ...]


def adopt(
    file: Path,
    out: Path,
    *,
    labels: Path | None = None,
    input_range: InputRange | None = None,
    crop: Crop | None = None,
    color_order: ColorOrder | None = None,
    golden: Path | None = None,
    signer: Signer | None = None,
) -> Adopted:
    """Makes a .tflite classifier complete, lets it take raw pixels, and seals it with golden vectors.

    Args:
        file: a .tflite with one image input and one score per label.
        out: the file to write.
        labels: text file with a label per line, in the order of the model's outputs; needed unless `file` carries a card.
        input_range: what a black and a white pixel are to the model; needed if it takes floats. A quantised model
            says so itself, and is held to it if this is given.
        crop: see `InputSpec`; `center` unless told otherwise.
        color_order: of the channels that the model takes; RGB unless told otherwise.
        golden: picture, or folder of pictures, to make golden vectors of; by default those in `file` stay, or else they
            are made of a drawn picture.
        signer: whose signature the file gets; none by default.

    Raises:
        CardError: the labels are no labels, or not as many as the model's outputs.
        ModelFormatError: `file` is no classifier, takes another range than `input_range`, or needs one.
        OutputError: `out` cannot be written, or is `file`.
        PictureError, DatasetError: `golden` is no picture, or has none.
    """
    if out.is_dir() or out.suffix != ".tflite":
        raise OutputError(f"{out}: the file to write ends in .tflite")
    was_sealed = check_seal(file) is not None  # and if it is damaged, it is not sealed anew
    if out.exists() and out.samefile(file):
        raise OutputError(f"{out} would overwrite the file itself; choose another name")
    content = file.read_bytes()
    model = without_archive(content)
    notes: list[str] = []
    if labels is None:
        if input_range or crop or color_order:
            raise ModelFormatError(f"{file}: what it takes is told of a file without a card, which needs labels, too")
        card = read_card(file)
    else:
        card, model, notes = _described(
            file,
            model,
            labels,
            input_range,
            crop or "center",
            color_order or "RGB",
            hashlib.sha256(content).hexdigest(),
        )
    artifact = complete(model, card, file.stem, read_cpu_model(file))
    if was_sealed and labels is None and golden is None:
        artifact = seal(artifact, read_golden(file), signer)
    else:
        try:
            artifact = sealed(artifact, _frames(golden), signer)
        except ModelFormatError as error:
            raise ModelFormatError(f"{file}: {error}") from error
    with written_whole(out) as beside:
        beside.write_bytes(artifact)
    scores = np.array([frame.scores for frame in read_golden(out).frames])
    if scores.min() < -0.01 or scores.max() > 1.01:
        notes.append(
            f"its scores go from {scores.min():.3g} to {scores.max():.3g}: the model ends before its softmax, so they order "
            "the labels but are no probabilities"
        )
    return Adopted(out, len(artifact), card, tuple(notes))


def parse_range(text: str) -> InputRange:
    """Two numbers from `-1..1`.

    Raises:
        InputSpecError: not two finite numbers, or the second is not the larger one.
    """
    parts = text.split("..")
    try:
        low, high = (float(part) for part in parts)
    except ValueError:
        low = high = 0.0
    if not -1e6 <= low < high <= 1e6:
        raise InputSpecError(f"an input range is two numbers, as in 0..255, 0..1 or -1..1, not {text!r}")
    return low, high


def read_labels(path: Path) -> tuple[list[str], list[str]]:
    """Labels of a text file, one per line, and of which of them there were several; those are numbered.

    A number before each, from 0 on, as Coral's label files have it, is dropped.

    Raises:
        CardError: the file cannot be read, is no text, or has fewer than two lines.
    """
    try:
        lines = [line.strip() for line in path.read_text("utf-8-sig").rstrip().splitlines()]
    except OSError as error:
        raise CardError(f"{path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise CardError(f"{path} is no text in UTF-8") from error
    if "" in lines:
        raise CardError(f"{path}: line {lines.index('') + 1} is empty; a label file has a label per line")
    numbered = [re.fullmatch(r"(\d+)[\s:,]+(.+)", line) for line in lines]
    if all(match and match[1] == str(index) for index, match in enumerate(numbered)):
        lines = [match[2] for match in numbered if match]
    seen: Counter[str] = Counter()
    labels, repeated = [], []
    for line in lines:
        seen[line] += 1
        labels.append(line if seen[line] == 1 else f"{line} ({seen[line]})")
        if seen[line] > 1:
            repeated.append(labels[-1])
    return labels, repeated


def _described(
    file: Path,
    model: bytes,
    labels_file: Path,
    input_range: InputRange | None,
    crop: Crop,
    color_order: ColorOrder,
    sha256: str,
) -> tuple[ModelCard, bytes, list[str]]:
    """The card of a model that has none, and the model as it takes raw pixels."""
    try:
        taking = take_raw_pixels(model, input_range)
    except ModelFormatError as error:
        raise ModelFormatError(f"{file}: {error}") from error
    labels, repeated = read_labels(labels_file)
    if len(labels) != taking.outputs:
        raise CardError(_wrong_count(labels_file, labels, taking.outputs))
    notes = list(taking.notes)
    if repeated:
        notes.append(f"labels that were there before got a number: {', '.join(repeated[:5])}")
    low, high = taking.input_range
    card = ModelCard(
        tuple(labels),
        InputSpec(taking.width, taking.height, crop, color_order),
        conversion={
            "recipe": "adopted",
            "source": file.name,
            "source_sha256": sha256,
            "input_range": f"{low:g}..{high:g}",
        },
        versions={"edge-mobilenet": metadata.version("edge-mobilenet")},
    )
    return card, taking.model, notes


def _wrong_count(path: Path, labels: list[str], outputs: int) -> str:
    message = f"{path} has {len(labels)} labels, the model {outputs} outputs"
    background = [label.lower() for label in labels[:1]] == [BACKGROUND]
    if len(labels) == outputs - 1 and not background:
        return f"{message}; if its first class is one for everything else, put {BACKGROUND} on a line before the others"
    if len(labels) == outputs + 1 and background:
        return f"{message}; the model has no class for everything else: remove the first line, {labels[0]}"
    return f"{message}; a label file has a line per output, in their order"


def _frames(golden: Path | None) -> list[Frame]:
    if golden is None:
        return [_drawn_picture()]
    if not golden.is_dir():
        return [read_picture(golden)]
    found = pictures_below(golden)
    if not found:
        raise DatasetError(f"{golden}: the folder holds no pictures")
    return [read_picture(path) for path, _ in spread([(path, "") for path in found], FRAMES)]


def _drawn_picture() -> Frame:
    """Slopes in two channels, stripes in the third; shape (480, 640, 3)."""
    y, x = np.indices((480, 640))
    return np.stack([x * 255 // 639, y * 255 // 479, (x + y) % 256], axis=2).astype(np.uint8)

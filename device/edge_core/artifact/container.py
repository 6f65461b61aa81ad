"""A complete .tflite: the model, and behind it in a ZIP all that a runner has to know of it.

The layout is TFLite Metadata's: a flatbuffer that names its associated files, which lie uncompressed in a ZIP archive
behind it. Python's `zipfile` and `unzip` open it; an interpreter reads the front and never sees the rest.
"""

import io
import re
import struct
import unicodedata
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from shlex import quote
from types import MappingProxyType
from typing import Final

from edge_core.artifact.card import ModelCard
from edge_core.artifact.flatbuffer import MODEL_BUFFERS, MODEL_CODES, MODEL_SUBGRAPHS, Flatbuffer, is_tflite, not_tflite
from edge_core.artifact.metadata import LABELS_FILE, attach, describe
from edge_core.errors import CardError, ModelFormatError

CARD_FILE: Final = "card.json"
CPU_MODEL_FILE: Final = "cpu.tflite"
"""Inside a file that was compiled for an Edge TPU: the flatbuffer that it was compiled from, for when there is none."""

FAMILIARITY_FILE: Final = "familiarity.bin"
"""Inside a file that can tell what is foreign to it: see `edge_core.artifact.familiarity`."""

EXEMPLARS_FILE: Final = "exemplars.bin"
"""Inside a file that can be taught another label: see `edge_core.artifact.exemplars`."""

TAUGHT_FILE: Final = "familiarity/{label}.bin"
"""Inside a taught file: what is familiar of a label that was taught, by the label's number."""

_FEATURE_FILE: Final = re.compile(
    rf"{re.escape(FAMILIARITY_FILE)}|{re.escape(EXEMPLARS_FILE)}|familiarity/\d{{1,6}}\.bin"
)

EDGETPU_OPERATOR: Final = b"edgetpu-custom-op"
"""What Google's compiler leaves of the operators that an Edge TPU computes."""

MAX_TEXT_BYTES: Final = 4 << 20
"""More than any card, label list or golden frame needs; keeps a hostile archive from filling the memory."""
MAX_MODEL_BYTES: Final = 64 << 20
"""Ten times a MobileNet in 8 bits."""

DAMAGED_ARCHIVE: Final = (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError, RuntimeError, OSError)
"""What `zipfile` raises for bytes that are no archive, or a damaged one."""

INCOMPLETE: Final = "is incomplete, its end is missing; copy the file again"
"""What is said of a file that `is_cut_short`."""

_ENTRY: Final = re.compile(rb"PK\x03\x04[\x0a\x14\x2d]\x00")
"""How a file in a ZIP begins, of the versions 1.0, 2.0 and 4.5: weights have these six bytes once in 10^14."""
_END_RECORD: Final = struct.Struct("<4s16xH")
"""The end of a ZIP: its signature, and the length of the comment behind it."""
_METADATA_IDENTIFIER: Final = b"M001"

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the ZIP format's first moment: the same input gives the same bytes


def complete(
    model: bytes,
    card: ModelCard,
    name: str,
    cpu_model: bytes | None = None,
    detector: bytes | None = None,
    files: Mapping[str, bytes] = MappingProxyType({}),
) -> bytes:
    """A bare .tflite flatbuffer made complete with its card.

    Args:
        model: Flatbuffer that the converter returned.
        card: Model card, which becomes `card.json`. Its labels also become `labels.txt`, one per line.
        name: Name of the model, shown by tools that read TFLite Metadata.
        cpu_model: Flatbuffer that `model` was compiled from, if it was. It becomes `cpu.tflite`.
        detector: Bytes that `Detector.to_bytes` returned. They become `familiarity.bin`.
        files: Content of further files by their names in the archive: exemplars, and detectors of taught labels.

    Returns:
        The content of the complete file, not yet sealed.

    Raises:
        ModelFormatError: `model` is no TFLite flatbuffer.
    """
    name = name.encode("utf-8", "replace").decode()  # a folder's name need not be text
    description = f"Image classifier: {', '.join(card.labels)}"[:1000]
    whole = io.BytesIO(attach(model, describe(name, description, "1")))
    # Mode "a" appends the archive: the flatbuffer stays the beginning of the file, where interpreters read it.
    with zipfile.ZipFile(whole, "a", zipfile.ZIP_STORED) as archive:
        for file, text in ((LABELS_FILE, "".join(f"{label}\n" for label in card.labels)), (CARD_FILE, card.to_text())):
            archive.writestr(zipfile.ZipInfo(file, _EPOCH), text)
        if cpu_model is not None:
            archive.writestr(zipfile.ZipInfo(CPU_MODEL_FILE, _EPOCH), cpu_model)
        if detector is not None:
            archive.writestr(zipfile.ZipInfo(FAMILIARITY_FILE, _EPOCH), detector)
        for file, content in files.items():
            archive.writestr(zipfile.ZipInfo(file, _EPOCH), content)
    return whole.getvalue()


def read_card(path: Path) -> ModelCard:
    """Reads the card of a complete .tflite.

    Raises:
        ModelFormatError: No such file, not a .tflite, without a card, or with a card that contradicts its labels.
    """
    with opened_archive(path, "no model card, so its labels and its input are unknown") as archive:
        card = ModelCard.from_text(read_entry(archive, CARD_FILE).decode("utf-8"))
        labels = unicodedata.normalize("NFC", read_entry(archive, LABELS_FILE).decode("utf-8")).splitlines()
    # Other tools read labels.txt, this product card.json: a file that was edited in one place alone is refused.
    if tuple(labels) != card.labels:
        raise ModelFormatError(f"{path} contradicts itself: its labels.txt and its card.json name different labels")
    return card


def unreadable_model(path: Path, error: OSError) -> ModelFormatError:
    """What to raise where the system gives no byte of a model file; one that is not there can be made."""
    advice = (
        f"; edge-convert export RUN --out {quote(str(path))} makes one" if isinstance(error, FileNotFoundError) else ""
    )
    return ModelFormatError(f"{path}: {error.strerror or error}{advice}")


def is_compiled(model: bytes) -> bool:
    """Whether a .tflite needs an Edge TPU."""
    # Not in the archive, where a label may hold the same words.
    return EDGETPU_OPERATOR in without_archive(model)


def read_cpu_model(path: Path) -> bytes | None:
    """The flatbuffer for the CPU inside a file for an Edge TPU; None if there is none.

    Raises:
        ModelFormatError: Its archive is damaged.
    """
    if not has_entry(path, CPU_MODEL_FILE):
        return None
    with opened_archive(path, "no archive") as archive:
        return read_entry(archive, CPU_MODEL_FILE, MAX_MODEL_BYTES)


def has_entry(path: Path, name: str) -> bool:
    """Whether a file of that name lies in the archive behind a .tflite; False where there is no sound archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            return name in archive.namelist()
    except DAMAGED_ARCHIVE:
        return False


def feature_files(path: Path) -> dict[str, bytes]:
    """What lies in a .tflite about its features, by name: its detector, its exemplars, detectors of taught labels.

    Raises:
        ModelFormatError: Its archive is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if _FEATURE_FILE.fullmatch(name)]
    except DAMAGED_ARCHIVE:
        return {}
    if not names:
        return {}
    with opened_archive(path, "no archive") as archive:
        return {name: read_entry(archive, name) for name in names}


def is_cut_short(data: bytes) -> bool:
    """Whether bytes are only the beginning of a .tflite, as an interrupted copy leaves; False of a bare flatbuffer."""
    if len(data) < 8:
        return True
    if not is_tflite(data):
        return False
    end = data.rfind(b"PK\5\6", max(0, len(data) - _END_RECORD.size - 0xFFFF))
    if 0 <= end <= len(data) - _END_RECORD.size:
        return end + _END_RECORD.size + int(_END_RECORD.unpack_from(data, end)[1]) > len(data)
    return _ENTRY.search(data) is not None or _lacks_parts(data)


def _lacks_parts(data: bytes) -> bool:
    """Whether a flatbuffer without an archive leads beyond its end, or names labels that lay in an archive."""
    model = Flatbuffer(data)
    try:
        for part in (MODEL_CODES, MODEL_SUBGRAPHS):
            for table in model.tables(model.field(model.root, part)):
                model.optional_field(table, 0)
        for buffer in model.tables(model.field(model.root, MODEL_BUFFERS)):
            field = model.optional_field(buffer, 0)
            if field is None:
                continue
            start = model.target(field) + 4
            end = start + model.uint(start - 4)
            # `complete` describes the labels to other tools by the name of the file that it then appends.
            described = data[start + 4 : start + 8] == _METADATA_IDENTIFIER
            if end > len(data) or (described and LABELS_FILE.encode() in data[start:end]):
                return True
    except struct.error:
        return True
    return False


def without_archive(artifact: bytes) -> bytes:
    """The flatbuffer alone."""
    try:
        with zipfile.ZipFile(io.BytesIO(artifact)) as archive:
            # Offsets of entries count from the beginning of the file, so the least one is the length of the flatbuffer.
            # A file that begins with one has no flatbuffer.
            return artifact[: min((entry.header_offset for entry in archive.infolist()), default=0) or len(artifact)]
    except DAMAGED_ARCHIVE:
        return artifact  # no archive behind it


@contextmanager
def opened_archive(path: Path, missing: str) -> Iterator[zipfile.ZipFile]:
    """The archive behind a .tflite; what goes wrong within is an error that names the file.

    Args:
        path: Path of the .tflite.
        missing: What it has not, if there is no archive or not the entry that is read.

    Raises:
        ModelFormatError: No such file, not a .tflite, incomplete, without an archive, or with a damaged one.
    """
    try:
        # The caller's block runs at the `yield`, so what it raises is translated here, too.
        with path.open("rb") as file:
            data = file.read()
            if is_cut_short(data):
                raise ModelFormatError(f"{path} {INCOMPLETE}")
            if not is_tflite(data):
                raise ModelFormatError(f"{path} is {not_tflite(data)}")
            with zipfile.ZipFile(file) as archive:
                yield archive
    except OSError as error:
        raise unreadable_model(path, error) from error
    except CardError as error:
        raise ModelFormatError(f"{path}: {error}") from error
    # KeyError: the entry that the caller reads is not there.
    except (zipfile.BadZipFile, KeyError) as error:
        raise ModelFormatError(
            f"{path} has {missing}; export it with edge-convert, or make another's model complete with edge-convert "
            f"adopt"
        ) from error
    except (ValueError, NotImplementedError, EOFError, RuntimeError) as error:
        # It names the file already.
        if isinstance(error, ModelFormatError):
            raise
        raise ModelFormatError(f"{path} has damaged contents: {error}") from error


def read_entry(archive: zipfile.ZipFile, name: str, limit: int = MAX_TEXT_BYTES) -> bytes:
    """The content of a file in the archive, of at most `limit` bytes.

    Raises:
        KeyError: There is none.
        ValueError: It is compressed, or larger than anything that belongs there.
    """
    entry = archive.getinfo(name)
    # Stored entries alone: a compressed one of some kilobytes may unpack to gigabytes.
    if entry.file_size > limit or entry.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{name} is compressed, or larger than {limit} bytes")
    return archive.read(name)

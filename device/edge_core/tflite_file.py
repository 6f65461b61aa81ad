"""A complete .tflite: the model, and behind it in a ZIP all that a runner has to know of it.

The layout is TFLite Metadata's: a flatbuffer that names its associated files, which lie uncompressed in a ZIP archive
behind it. Python's `zipfile` and `unzip` open it; an interpreter reads the front and never sees the rest.
"""

import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from edge_core.card import ModelCard
from edge_core.errors import CardError, ModelFormatError
from edge_core.tflite_metadata import LABELS_FILE, attach, describe, is_tflite

CARD_FILE: Final = "card.json"
MAX_TEXT_BYTES: Final = 4 << 20
"""More than any card, label list or golden frame needs; keeps a hostile archive from filling the memory."""

DAMAGED_ARCHIVE: Final = (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError, RuntimeError, OSError)
"""What `zipfile` raises for bytes that are no archive, or a damaged one."""

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the ZIP format's first moment: the same input gives the same bytes


def complete(model: bytes, card: ModelCard, name: str) -> bytes:
    """A bare .tflite flatbuffer made complete with its card.

    Args:
        model: what the converter returned.
        card: goes in as `card.json`, its labels also as `labels.txt`, one per line.
        name: of the model, for those who show metadata.

    Raises:
        ModelFormatError: `model` is no TFLite flatbuffer.
    """
    name = name.encode("utf-8", "replace").decode()  # a folder's name need not be text
    description = f"Image classifier: {', '.join(card.labels)}"[:1000]
    archive = io.BytesIO(attach(model, describe(name, description, "1")))
    with zipfile.ZipFile(archive, "a", zipfile.ZIP_STORED) as files:
        for file, text in ((LABELS_FILE, "".join(f"{label}\n" for label in card.labels)), (CARD_FILE, card.to_text())):
            files.writestr(zipfile.ZipInfo(file, _EPOCH), text)
    return archive.getvalue()


def read_card(path: Path) -> ModelCard:
    """Reads the card of a complete .tflite.

    Raises:
        ModelFormatError: no such file, not a .tflite, without a card, or with a card that contradicts its labels.
    """
    with opened_archive(path, "no model card, so its labels and its input are unknown") as archive:
        card = ModelCard.from_text(read_entry(archive, CARD_FILE).decode("utf-8"))
        labels = read_entry(archive, LABELS_FILE).decode("utf-8").splitlines()
    if tuple(labels) != card.labels:
        raise ModelFormatError(f"{path} contradicts itself: its labels.txt and its card.json name different labels")
    return card


@contextmanager
def opened_archive(path: Path, missing: str) -> Iterator[zipfile.ZipFile]:
    """The archive behind a .tflite; what goes wrong within is an error that names the file.

    Args:
        path: of the .tflite.
        missing: what it has not, if there is no archive or not the entry that is read.

    Raises:
        ModelFormatError: no such file, not a .tflite, without an archive, or with a damaged one.
    """
    try:
        with path.open("rb") as file:
            if not is_tflite(file.read(8)):
                raise ModelFormatError(f"{path} is not a .tflite model")
            with zipfile.ZipFile(file) as archive:
                yield archive
    except OSError as error:
        raise ModelFormatError(f"{path}: {error.strerror or error}") from error
    except CardError as error:
        raise ModelFormatError(f"{path}: {error}") from error
    except (zipfile.BadZipFile, KeyError) as error:
        raise ModelFormatError(
            f"{path} has {missing}; export it with edge-convert, or make another's model complete with edge-convert adopt"
        ) from error
    except (ValueError, NotImplementedError, EOFError, RuntimeError) as error:
        if isinstance(error, ModelFormatError):
            raise
        raise ModelFormatError(f"{path} has damaged contents: {error}") from error


def read_entry(archive: zipfile.ZipFile, name: str) -> bytes:
    """The content of a file in the archive.

    Raises:
        KeyError: there is none.
        ValueError: it is compressed, or larger than anything that belongs there.
    """
    entry = archive.getinfo(name)
    if entry.file_size > MAX_TEXT_BYTES or entry.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{name} is compressed, or larger than {MAX_TEXT_BYTES} bytes")
    return archive.read(name)

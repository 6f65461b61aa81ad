"""Flags of photos, by the functions that `edge-train inspect` and `edge-train explain embed` call."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from edge_core.codec import JsonObject
from edge_core.data.photo_folder import Photo, nfc
from edge_core.progress import Track
from edge_train.data.audit import inspect
from edge_train.data.dataset import find_dataset
from edge_train.data.groups import burst_groups

Flagged = list[JsonObject]
"""Flags, each with the `path` of its photo and the fields of a `PhotoFlag`."""


def audit_flags(photos: Path, cache: Path, track: Track) -> Flagged:
    """Photos that cannot be read, copies, look-alikes and bursts.

    Args:
        photos: Folder of the photos.
        cache: Folder for what can be made again.
        track: Receives the progress.

    Raises:
        DatasetError: There is no photo that can be read.
    """
    found = find_dataset(str(photos), cache=cache, track=track)
    inspection = inspect(found, track=track)
    flags = [
        {"path": _relative(item.path, photos), "kind": "unreadable", "detail": item.reason, "group": 0}
        for item in inspection.unusable
    ]
    flags += _grouped("contradiction", "the same photo is in several classes", inspection.contradicted, photos)
    flags += _grouped("copy", "the same photo is there more than once", inspection.repeated, photos)
    for number, near in enumerate(inspection.near):
        flags += _grouped("near", near.describe(), [near.photos], photos, number)
    unreadable = {item.path for item in inspection.unusable}
    readable = [Photo(path, label, str(path)) for path, label in found.files if path not in unreadable]
    return flags + _grouped("burst", "taken within two seconds of another", burst_groups(readable), photos)


def suspect_flags(run_folder: Path, photos: Path, track: Track) -> Flagged:
    """Photos of which most of the nearest neighbors, as a run sees them, have another label.

    Args:
        run_folder: Folder of the run.
        photos: Folder of the photos.
        track: Receives the progress.

    Raises:
        RunFolderError: The run cannot be used.
        DatasetError: Fewer than two photos can be read.
    """
    from edge_core.run_folder import read_run
    from edge_train.explain.embedding.embed import Embedder, embed
    from edge_train.explain.embedding.neighbors import NEIGHBORS, nearest, suspects

    embedding = embed(Embedder(read_run(run_folder)), photos, track=track)
    labels = sorted({photo.label for photo in embedding.photos})
    numbers = [labels.index(photo.label) for photo in embedding.photos]
    around, _ = nearest(embedding.vectors, embedding.vectors, NEIGHBORS, same=True, track=track)
    return [
        {
            "path": _relative(embedding.photos[one.photo].path, photos),
            "kind": "suspect",
            "detail": labels[one.label],
            "group": rank,
        }
        for rank, one in enumerate(suspects(numbers, around))
    ]


def _grouped(kind: str, detail: str, groups: Iterable[Sequence[Photo]], photos: Path, first: int = 0) -> Flagged:
    return [
        {"path": _relative(photo.path, photos), "kind": kind, "detail": detail, "group": number}
        for number, group in enumerate(groups, first)
        for photo in group
    ]


def _relative(path: Path, photos: Path) -> str:
    return path.relative_to(photos).as_posix() if path.is_relative_to(photos) else nfc(path.name)

"""Which folder of an archive names a photo's class: archives have their classes at different depths."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from edge_core.data.photo_folder import Unusable, nfc, walk

SHARED: Final = 2
"""Names that two folders beside each other have to share below them to be splits of one set, not classes."""

_SAMPLES: Final = "-samples"
"""How Teachable Machine ends the name of the archive of one class's pictures."""

Folders = tuple[str, ...]


def find_classes(folder: Path, flat_label: str) -> tuple[list[tuple[Path, str]], list[Unusable]]:
    """The pictures of an unpacked archive with their labels, and what is passed over.

    Args:
        folder: Folder that it was unpacked to.
        flat_label: Label of pictures that lie in no folder.
    """
    below = walk(folder)
    paths = [(path, _folders(path.relative_to(folder).parts)) for path in below.pictures]
    level = class_level([parts for _, parts in paths if parts])
    found: list[tuple[Path, str]] = []
    dropped = [item for item in below.dropped if not item.path.is_dir()]
    for path, parts in paths:
        if len(parts) > level:
            found.append((path, nfc(parts[level])))
        elif not parts:
            found.append((path, flat_label))
        else:
            dropped.append(Unusable(path, "a picture beside the class folders, not in one"))
    return found, dropped


def labels_by_path(paths: Sequence[str]) -> list[str]:
    """The label of each file of a dropped folder by its path, `flowers/roses/1.jpg`; empty where it has none."""
    folders = [_folders(path.split("/")) for path in paths]
    level = class_level([parts for parts in folders if parts])
    return [nfc(parts[level]) if len(parts) > level else "" for parts in folders]


def class_level(folders: Sequence[Folders]) -> int:
    """At which depth, from 0, the folders are classes.

    A folder that is alone and holds nothing but folders is a wrapper. Folders beside each other that have the same
    folders in them, `training_set/cats` and `test_set/cats`, are splits. Below a class, folders mean nothing.

    Args:
        folders: Folders that each picture lies in, from the outermost.
    """
    level = 0
    while True:
        here = [parts for parts in folders if len(parts) > level]
        below: dict[str, set[str]] = {parts[level]: set() for parts in here}
        for parts in here:
            below[parts[level]].update(parts[level + 1 : level + 2])
        # A picture that lies directly in a folder of this level makes it the level of the classes.
        if not below or any(len(parts) == level + 1 for parts in here) or not _is_above_classes(below):
            return level
        level += 1


def flat_label(archive: str) -> str:
    """The label of an archive that holds the pictures of one class: its name without its endings."""
    stem = archive.rsplit("/", 1)[-1]
    for ending in (".zip", ".tgz", ".gz", ".bz2", ".xz", ".tar"):  # `.tar.gz` ends with two
        stem = stem.removesuffix(ending)
    return stem.removesuffix(_SAMPLES) or "photos"


def _folders(parts: Sequence[str]) -> Folders:
    """The folders of a path; one that lies in a folder of its own name, as in Kaggle's archives, counts once."""
    *folders, _ = parts
    return tuple(name for name, above in zip(folders, ["", *folders], strict=False) if name != above)


def _is_above_classes(below: dict[str, set[str]]) -> bool:
    first, *others = below.values()
    # A folder that is alone has no others to share names with: it is a wrapper.
    return all(len(first & other) >= SHARED for other in others)

"""Folders of photos that are split already: `train/`, `val/` and `test/` by whatever names people give them."""

import re
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import Final

from edge_core.data.photo_folder import (
    Listing,
    Split,
    Unusable,
    files_in,
    find_photos,
    folders_in,
    holds_pictures,
    innermost,
    is_folder,
    is_litter,
    is_picture,
    natural_key,
    why_not_used,
)
from edge_core.errors import DatasetError

_NAMES: Final[dict[str, Split]] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}

_NAME: Final = re.compile(
    rf"(?P<before>.*[_\- ])?(?P<split>{'|'.join(_NAMES)})(?P<after>[_\- ]?(?:set|data|images|photos|split))?",
    re.IGNORECASE,
)
"""What Kaggle's and Roboflow's archives call them: `Train`, `training_set`, `seg_train`."""

SHARED: Final = 2
"""Names that two folders beside each other have to share below them to look like splits of one set, not like
classes."""


def find_split_photos(folder: Path) -> tuple[Listing, dict[Path, Split]]:
    """The photos in the class folders of a folder, or of the split folders in it; and the splits of the latter.

    Raises:
        DatasetError: There is no such folder, or nothing in it that can be used.
    """
    inner = innermost(folder) if folder.is_dir() else folder
    parts = split_folders(inner)
    if not parts:
        listing = find_photos(folder)
        return Listing(
            listing.files, listing.dropped, (*listing.notes, *_look_like_splits(inner)), listing.negatives
        ), {}
    found = {split: find_photos(part) for split, part in parts.items()}
    notes = (f"the folders {', '.join(part.name for part in parts.values())} in {inner} are splits.",)
    listing = sum(found.values(), Listing((), beside_splits(inner), notes * (inner != folder)))
    return listing, {path: split for split, part in found.items() for path, _ in part.files}


def split_folders(folder: Path) -> dict[Split, Path]:
    """The folders in a folder that are splits of one set: by their names, and by having class folders in them.

    What lies beside them counts for nothing if there are two of them or more. Photos to validate or test on that lie in
    no class folders have no labels, and are left to `beside_splits`.

    Raises:
        DatasetError: Two folders for the same split, `val/` and `valid/`, say; or none to train on.
    """
    if not folder.is_dir():
        return {}
    pictures = [child for child in folders_in(folder) if holds_pictures(child)]
    others = [child for child in pictures if not _NAME.fullmatch(child.name)]
    named = _named(pictures)
    splits = set(named.values())
    if not named or (others and len(splits) < 2):
        return {}
    if "train" not in splits:
        if others or len(named) < 2:
            return {}
        names = " and ".join(f"{child.name}/" for child in named)
        raise DatasetError(f"{folder} has {names}, but no train/; add it, or give them other names if they are classes")
    found: dict[Split, Path] = {}
    for child, split in named.items():
        if split in found:
            raise DatasetError(f"{folder} has both {found[split].name}/ and {child.name}/; keep one")
        found[split] = child
    return found


def beside_splits(folder: Path) -> tuple[Unusable, ...]:
    """What lies beside split folders, and is passed over."""
    used = set(split_folders(folder).values())
    return tuple(Unusable(child, _why_no_split(child)) for child in sorted(folder.iterdir()) if child not in used)


def _why_no_split(child: Path) -> str:
    if is_litter(child.name) or not is_folder(child) or not holds_pictures(child):
        return why_not_used(child)
    return "its pictures lie in no class folders" if _NAME.fullmatch(child.name) else "beside the split folders"


def _named(folders: Sequence[Path]) -> dict[Path, Split]:
    """The folders with classes in them that are called as splits are, if all of their names begin alike.

    If all folders are called so, and none has classes in it, all of them: their photos have no labels.
    """
    matches = {child: match for child in folders if (match := _NAME.fullmatch(child.name))}
    found = {child: match for child, match in matches.items() if _has_classes(child)}
    if not found and len(matches) == len(folders):
        found = matches
    if len({match["before"] for match in found.values()}) > 1:  # `steam_train` and `toy_train` are classes
        return {}
    return {child: _NAMES[match["split"].casefold()] for child, match in found.items()}


def _has_classes(folder: Path) -> bool:
    """Whether the pictures in a folder lie in class folders, but for a few that lie beside these."""
    classes = [child for child in folders_in(innermost(folder)) if holds_pictures(child)]
    return len(classes) > 1 or (len(classes) == 1 and not any(is_picture(path) for path in files_in(folder)))


def _look_like_splits(folder: Path) -> Iterator[str]:
    """Says so if two class folders have folders of the same names in them."""
    below = [(child, {inside.name for inside in folders_in(child)}) for child in folders_in(folder)]
    for (one, mine), (other, others) in combinations(below, 2):
        if len(shared := sorted(mine & others, key=natural_key)) >= SHARED:
            yield (
                f"the classes {one.name!r} and {other.name!r} have folders of the same names in them, "
                f"{', '.join(shared[:SHARED])}; if those are the classes, call the outer ones train, val and test, or "
                "put the inner ones together."
            )
            return

"""Picture files: named one by one, below folders, or by a pattern."""

import glob
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from edge_core.data.photo_folder import is_litter, natural_key, walk, why_no_picture
from edge_core.errors import PictureError, SourceError
from edge_core.images import Levels, read_picture
from edge_device.sources.source import Source, SourceFrame

Skipped = Callable[[Path, PictureError], None]
"""Told of a picture that is passed over, and why; the message names the file."""


class Pictures(Source):
    """Picture files, and those below folders in natural order: `2.jpg` before `10.jpg`."""

    def __init__(self, paths: Sequence[Path], skipped: Skipped | None = None, levels: Levels = None) -> None:
        """Takes files, which must be pictures, and folders, of which only the pictures count.

        Args:
            paths: Given in this order.
            skipped: Told of a picture that cannot be read and of a folder without one; these raise PictureError
                otherwise.
            levels: Levels of the model's `InputSpec`.
        """
        self._paths = paths
        self._levels = levels
        self._skipped = skipped
        self._closed = False
        self._unreadable = 0

    @property
    def unreadable(self) -> int:
        return self._unreadable

    def __iter__(self) -> Iterator[SourceFrame]:
        opened = time.monotonic()
        index = 0
        for named in self._paths:
            for path in self._below(named) if named.is_dir() else [named]:
                start = time.perf_counter()
                if self._closed:
                    return
                try:
                    if path.is_dir():
                        raise PictureError(f"{path}: the folder holds no pictures")
                    image = read_picture(path, levels=self._levels)
                except PictureError as error:
                    if self._skipped is None:
                        raise
                    self._skipped(path, error)
                    self._unreadable += 1
                    continue
                taken = time.monotonic()
                yield SourceFrame(image, str(path), index, taken - opened, 1e3 * (time.perf_counter() - start), taken)
                index += 1

    def _below(self, folder: Path) -> list[Path]:
        """The pictures below a folder, or the folder itself where there is none; tells what is passed over."""
        found = walk(folder)
        litter = [item for item in found.dropped if is_litter(item.path.name)]
        others = [item for item in found.dropped if not is_litter(item.path.name)]
        self._unreadable += len(others)
        if self._skipped:
            for item in others:
                self._skipped(item.path, PictureError(f"{item.path}: {item.reason}"))
            # In one line: a network storage leaves a folder of it beside each picture.
            for item in litter[:1]:
                more = f" and {len(litter) - 1} more" if len(litter) > 1 else ""
                self._skipped(item.path, PictureError(f"{item.path}{more}: {item.reason}"))
        # The folder itself comes back to the loop above, which then tells that it holds no pictures.
        return list(found.pictures) or [folder]

    def close(self) -> None:
        self._closed = True


def matching(pattern: str) -> list[Path]:
    """The pictures and folders that a pattern names (`photos/**/*.jpg`), in natural order.

    Raises:
        SourceError: There is none.
    """
    found = [Path(name) for name in glob.glob(pattern, recursive=True)]
    found = [path for path in found if path.is_dir() or not why_no_picture(path)]
    if not found:
        raise SourceError(f"{pattern!r} is neither a file nor a pattern that matches pictures or folders")
    return sorted(found, key=lambda path: (natural_key(str(path)), path))

"""A CSV file that lists photos, a path and a label in each row, and whatever else `--data` may name."""

import codecs
import csv
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from edge_core.data.photo_folder import (
    Listing,
    Unusable,
    natural_key,
    nfc,
    why_no_picture,
)
from edge_core.data.split_folders import find_split_photos
from edge_core.errors import DatasetError

if TYPE_CHECKING:
    from _csv import Reader

_PATH_COLUMNS: Final = ("path", "file", "filename", "file_name", "image", "photo", "picture")
_LABEL_COLUMNS: Final = ("label", "class", "category")
_DELIMITERS: Final = ",;\t"


def find_all_photos(data: Path) -> Listing:
    """What `find_split_photos` lists of a folder; of a CSV file, what `read_list` does.

    Raises:
        DatasetError: There is no such folder or file, or nothing in it that can be used.
    """
    if data.is_file():
        return read_list(data)
    return find_split_photos(data)[0]


def read_list(path: Path) -> Listing:
    """Reads a CSV file: a photo's path, relative to the folder of the file or absolute, and its label in each row.

    A header that names the columns is optional; without one they are the first two. Semicolons and tabs separate
    columns, too, where the first row has no comma. Rows that cannot be used are dropped as `FILE:LINE`, photos by their
    own path.

    Raises:
        DatasetError: It is no CSV file in UTF-8 or UTF-16, or none of its rows can be used.
    """
    files: dict[tuple[Path, str], int] = {}
    dropped: list[Unusable] = []
    notes: list[str] = []
    for line, row in _rows(path, notes):
        where = Path(f"{path}:{line}")
        name, label = [*row, "", ""][:2]
        photo = _find(path.parent, name)
        if reason := _why_no_row(name, label, len(row)):
            dropped.append(Unusable(where, reason))
        elif reason := why_no_picture(photo):
            dropped.append(Unusable(photo, reason))
        elif (first := files.setdefault((photo, nfc(label)), line)) != line:
            dropped.append(Unusable(where, f"the same as line {first}"))
    if not files:
        first_one = f"; {dropped[0].path}: {dropped[0].reason}" if dropped else ""
        raise DatasetError(
            f"{path} lists no photo that can be used{first_one}; each row is a path and a label: 1.jpg,cat"
        )
    listed = sorted(files, key=lambda item: natural_key(item[1]))  # stable: within a class as the file has them
    return Listing(tuple(listed), tuple(dropped), tuple(notes))


def _rows(path: Path, notes: list[str]) -> Iterator[tuple[int, list[str]]]:
    """Line number, path and label of each row that is not empty, and what else it holds if there is no header."""
    try:
        with path.open(encoding=_encoding(path), newline="") as file:
            # Limited, as a file that is no table may have no line break at all.
            first = file.readline(1 << 16)
            file.seek(0)
            delimiter = next((mark for mark in _DELIMITERS if mark in first), ",")
            reader = csv.reader(file, delimiter=delimiter, skipinitialspace=True)
            yield from _chosen_columns(_numbered(reader), path, notes)
    except UnicodeDecodeError:
        raise DatasetError(
            f"{path} is neither a folder nor a CSV file in UTF-8; a table is saved as one with 'CSV UTF-8'"
        ) from None
    except csv.Error as error:
        raise DatasetError(f"{path}:{reader.line_num} is not valid CSV: {error}") from error
    except OSError as error:
        raise DatasetError(f"{path}: {error.strerror or error}") from error


def _encoding(path: Path) -> str:
    """By the byte order mark: Excel's "Unicode text" is UTF-16, its "CSV UTF-8" has one, too."""
    with path.open("rb") as file:
        return "utf-16" if file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"


def _numbered(reader: "Reader") -> Iterator[tuple[int, list[str]]]:
    """Rows that are not empty with the line that each begins on: a field in quotes may go over several."""
    end = 0
    for row in reader:
        line, end = end + 1, reader.line_num
        fields = [field.strip() for field in row]
        while len(fields) > 2 and not fields[-1]:  # spreadsheets end rows with empty fields
            fields.pop()
        if any(fields):
            yield line, fields


def _chosen_columns(
    rows: Iterator[tuple[int, list[str]]], path: Path, notes: list[str]
) -> Iterator[tuple[int, list[str]]]:
    """Path and label of each row, where the first row says which columns these are; all fields where it does not."""
    columns: list[int] | None = None
    for line, fields in rows:
        if columns is None:
            columns = _header(fields, path.parent)
            if columns:
                unused = [name for place, name in enumerate(fields) if name and place not in columns]
                notes += [f"columns of {path} that are not used: {', '.join(unused)}."] if unused else []
                continue
        yield line, [fields[place] for place in columns if place < len(fields)] if columns else fields


def _header(fields: list[str], folder: Path) -> list[int]:
    """Positions of path and label if a row is a header; empty if it is a photo's."""
    names = [field.casefold() for field in fields]
    found = [
        next((names.index(name) for name in known if name in names), -1) for known in (_PATH_COLUMNS, _LABEL_COLUMNS)
    ]
    return [] if -1 in found or _is_file(_find(folder, fields[found[0]])) else found


def _why_no_row(name: str, label: str, columns: int) -> str:
    if not name:
        return "no path"
    if re.match(r"[a-z][a-z0-9+.-]+://", name, re.IGNORECASE):
        return "an address, not a file; download the photos first"
    if not label:
        return "no label"
    if columns > 2:
        return f"{columns} columns instead of path and label; a path with a comma takes quotes"
    return "a label is one line of text" if label.splitlines() != [label] else ""


def _find(folder: Path, name: str) -> Path:
    """The file that a path means: a list may come from Windows, or from a Mac with accents in two characters."""
    forms = [name, nfc(name), unicodedata.normalize("NFD", name)]
    forms += [form.replace("\\", "/") for form in forms]
    return next((folder / form for form in forms if _is_file(folder / form)), folder / name)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that is too long, or with a zero byte
        return False

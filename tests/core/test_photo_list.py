"""CSV files that list photos."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_core.data.photo_list import find_all_photos, read_list
from edge_core.errors import DatasetError

NFD = "cafe\u0301.png"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    picture = cv2.imencode(".png", np.zeros((6, 8, 3), np.uint8))[1].tobytes()
    for name in ("a.png", "in/b", "c, d.png", NFD):
        (tmp_path / name).write_bytes(picture)
    (tmp_path / "clip.mp4").write_bytes(b"\0\0\0\x18ftypisom\0\0\0\0isommp42")
    return tmp_path


def listed(folder: Path, text: str, encoding: str = "utf-8") -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """(name, label) of the photos, and (name, reason) of what was dropped."""
    (folder / "list.csv").write_text(text, encoding)
    found = find_all_photos(folder / "list.csv")
    return (
        [(str(path.relative_to(folder)), label) for path, label in found.files],
        [(item.path.name, item.reason) for item in found.dropped],
    )


@pytest.mark.parametrize(
    "text",
    [
        'a.png,cat\nin/b,dog\n"c, d.png","class, ""10"""\n',
        'path,label\r\na.png,cat\r\nin/b,dog\r\n"c, d.png","class, ""10"""\r\n',
        'Label,taken,Filename\ncat,1,a.png\ndog,2,in/b\n"class, ""10""",,"c, d.png"\n',
        'a.png;cat\nin\\b;dog\n\n"c, d.png";class, "10"\n',
    ],
    ids=["no header", "header", "other columns", "semicolons and backslashes"],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_each_row_is_a_photo_and_its_label(folder: Path, text: str, encoding: str) -> None:
    assert listed(folder, text, encoding) == (
        [("a.png", "cat"), ("c, d.png", 'class, "10"'), ("in/b", "dog")],
        [],
    )


def test_rows_that_cannot_be_used_are_named_by_their_line_and_photos_by_their_path(folder: Path) -> None:
    text = 'a.png,cat\n\n,cat\nin/b\n"in/b",dog\na.png,cat\nin/b,dog,3\n"in/b","a\nb"\ngone.png,cat\nclip.mp4,cat\n'
    text += f"{'x' * 300},cat\nz\0,cat"
    photos, dropped = listed(folder, text)
    assert photos == [("a.png", "cat"), ("in/b", "dog")]
    assert dropped == [
        ("list.csv:3", "no path"),
        ("list.csv:4", "no label"),
        ("list.csv:6", "the same as line 1"),
        ("list.csv:7", "3 columns instead of path and label; a path with a comma takes quotes"),
        ("list.csv:8", "a label is one line of text"),
        ("gone.png", "no such file"),
        ("clip.mp4", "a video"),
        ("x" * 300, "File name too long"),
        ("z\0", "no such file: its name has a zero byte"),
    ]


def test_a_list_as_spreadsheets_and_tables_of_addresses_have_it(folder: Path) -> None:
    text = "name\tlabel\t\na.png\tcat\t\nhttps://example.com/b.png\tdog\t\n"
    photos, dropped = listed(folder, text, "utf-16")
    assert photos == [("a.png", "cat")]
    assert dropped[-1] == ("list.csv:3", "an address, not a file; download the photos first")


def test_a_photo_called_as_a_column_is_a_photo(folder: Path) -> None:
    (folder / "path").write_bytes((folder / "a.png").read_bytes())
    assert listed(folder, "path,label\na.png,cat\n")[0] == [("a.png", "cat"), ("path", "label")]


def test_accents_may_be_encoded_otherwise_than_on_the_disk(folder: Path) -> None:
    assert listed(folder, "caf\u00e9.png,caf\u00e9\na.png,cafe\u0301\n")[0] == [
        (NFD, "caf\u00e9"),
        ("a.png", "caf\u00e9"),
    ]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\xff\xfea\0", "no label"),
        (b"\xff\xfea\0\0\xd8", "CSV UTF-8"),
        (b"\x89PNG\r\n\x1a\n", "CSV UTF-8"),
        (b"", "lists no photo"),
        (b"path,label\n", "lists no photo"),
        (b"gone.png,cat\n", "gone.png: no such file"),
        (b'a.png,"' + b"x" * 200_000, "not valid CSV"),
    ],
)
def test_what_lists_no_photos_is_refused_with_the_reason(folder: Path, data: bytes, message: str) -> None:
    (folder / "list.csv").write_bytes(data)
    with pytest.raises(DatasetError, match=message):
        read_list(folder / "list.csv")


@given(st.binary(max_size=60) | st.text('a.pn,;"\n\t\\/\0', max_size=40).map(str.encode))
def test_any_bytes_are_a_list_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(data)
    try:
        assert read_list(path).files
    except DatasetError as error:
        assert "any.csv" in str(error)


def test_a_label_with_more_digits_than_python_reads_as_a_number_is_a_label(folder: Path) -> None:
    text = "".join(f"{name},{label}\n" for name, label in (("a.png", "9" * 5000), ("in/b", "1" * 5000)))
    (folder / "list.csv").write_text(text)
    assert len(find_all_photos(folder / "list.csv").files) == 2

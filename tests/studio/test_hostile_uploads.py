"""What may not come in: one line each, and nothing outside the project's own folders."""

import io
import os
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import cv2
import numpy as np
import pytest
from starlette.testclient import TestClient

from edge_studio import Project
from edge_studio.photos import photo_store

GOOD = cv2.imencode(".jpg", np.full((48, 64, 3), 90, np.uint8))[1].tobytes()
OTHER = cv2.imencode(".jpg", np.full((48, 64, 3), 200, np.uint8))[1].tobytes()


def png(width: int, height: int, rows: bytes = b"") -> bytes:
    """A PNG whose header gives any size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def zipped(files: dict[str, bytes], mode: int = 0) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = mode << 16
            archive.writestr(entry, data)
    return out.getvalue()


def tarred(*members: tarfile.TarInfo) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for member in members:
            archive.addfile(member, io.BytesIO(bytes(member.size)))
    return out.getvalue()


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


def damaged(data: bytes, at: float = 0.5) -> bytes:
    place = int(len(data) * at)
    return data[:place] + bytes(16) + data[place + 16 :]


REFUSED_PICTURES: dict[str, bytes] = {
    "an empty file": b"",
    "text": b"hello",
    "a web page": b"<!DOCTYPE html><script>alert(1)</script>",
    "an SVG": b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>',
    "an SVG behind a declaration": b'\xef\xbb\xbf<?xml version="1.0"?><svg/>',
    "a program": b"\x7fELF" + bytes(64),
    "a pickle": b"\x80\x04\x95" + bytes(64),
    "a video": b"\0\0\0\x18ftypmp42" + bytes(64),
    "a zip by the picture's way": zipped({"roses/1.jpg": GOOD}),
    "a cut JPEG": GOOD[: len(GOOD) // 3],
    "a JPEG's first bytes": GOOD[:4],
    "a PNG of 100 megapixels": png(10_000, 10_000),
    "a PNG of 4 billion pixels": png(65_535, 65_535),
    "a PNG without pixels": png(0, 0),
    "a JPEG header of 65535 x 65535": GOOD.replace(struct.pack(">HH", 48, 64), struct.pack(">HH", 65_535, 65_535)),
    "a GIF that is a web page": b"GIF89a/*<script>alert(1)</script>*/",
    "a BMP of minus two billion rows": b"BM" + bytes(12) + struct.pack("<IiiHH", 40, 64, -(2**31), 1, 24) + bytes(64),
}

REFUSED_ARCHIVES: dict[str, bytes | Callable[[], bytes]] = {
    "text": b"hello",
    "a picture by the archive's way": GOOD,
    "a zip bomb": lambda: zipped({f"roses/{number}.jpg": bytes(40 << 20) for number in range(3)}),
    "a path upwards": zipped({"../../evil.jpg": GOOD}),
    "an absolute path": zipped({"/tmp/evil.jpg": GOOD}),
    "a path of Windows": zipped({"C:\\roses\\evil.jpg": GOOD}),
    "a path upwards behind a folder": zipped({"roses/../../../evil.jpg": GOOD}),
    "symbolic links alone": zipped({"roses/1.jpg": b"/etc/passwd"}, stat.S_IFLNK | 0o777),
    "a tar of links and devices": tarred(
        special("roses/1.jpg", tarfile.SYMTYPE, "/etc/passwd"),
        special("roses/2.jpg", tarfile.LNKTYPE, "../../../etc/passwd"),
        special("roses/3.jpg", tarfile.CHRTYPE),
    ),
    "a tar with a path upwards": tarred(special("../../evil.jpg", tarfile.REGTYPE)),
    "a zip in a zip": zipped({"roses/1.zip": zipped({"roses/1.jpg": GOOD})}),
    "10,000 files of text": lambda: zipped({f"roses/{number}.txt": b"x" for number in range(10_000)}),
    "a damaged directory": damaged(zipped({"roses/1.jpg": GOOD}), 0.95),
    "a cut zip": zipped({"roses/1.jpg": GOOD * 9})[:-40],
    "nothing": zipped({}),
}
"""What takes a second to pack is packed for its own test, not by each process that looks for tests."""

ODD_NAMES = (
    *("../../evil.jpg", "/etc/passwd", "..\\..\\evil.jpg", "C:\\evil.jpg", ".htaccess", "..", ".", "", "/", "CON"),
    *(
        "a\0b.jpg",
        "a\nb.jpg",
        "a\x1b[31m.jpg",
        "\u202egpj.exe",
        "a" * 5000,
        "ü" * 400 + ".jpg",
        "evil.html",
        "evil.svg.jpg",
    ),
    *(
        "Thumbs.db",
        "%2e%2e%2fevil.jpg",
        "<img src=x onerror=alert(1)>.jpg",
        "\ud83d\ude00.jpg".encode("utf-16", "surrogatepass").decode("utf-16"),
    ),
)


def outside(project: Project) -> list[str]:
    """Everything in and around the folder of projects that is not the project's photos."""
    inside = {project.photos, project.bin}
    return sorted(
        str(path)
        for path in project.root.parent.rglob("*")
        if not any(path == own or own in path.parents for own in inside) and not {"cache", ".studio"} & {*path.parts}
    )


def files_of(project: Project) -> list[Path]:
    return [path for folder in (project.photos, project.bin) for path in folder.rglob("*") if path.is_file()]


def put(client: TestClient, kind: str, name: str, data: bytes, label: str = "roses"):  # type: ignore[no-untyped-def]
    return client.put(f"/api/p/flowers/{kind}?name={quote(name)}&label={quote(label)}", content=data)


@pytest.fixture
def around(project: Project) -> Callable[[], None]:
    """Checks at the end that nothing has come outside, and nothing half."""
    (project.photos / "roses").mkdir()
    before = outside(project)

    def check() -> None:
        assert outside(project) == before
        assert not [path for path in files_of(project) if ".tmp" in path.name or "incoming" in path.parts]
        assert not any(path.is_symlink() for path in project.root.rglob("*"))

    return check


def assert_one_line(text: str, name: str) -> None:
    assert text and "\n" not in text and len(text) < 400, text
    assert "Traceback" not in text and "unexpected" not in text
    assert name in text or "incoming" not in text


@pytest.mark.parametrize("what", REFUSED_PICTURES)
def test_a_picture_that_is_none_is_refused_in_one_line(
    client: TestClient, project: Project, around: Callable[[], None], what: str
) -> None:
    answer = put(client, "upload", "photo.jpg", REFUSED_PICTURES[what])
    assert answer.status_code == 400, answer.text
    assert_one_line(answer.json()["error"], "photo.jpg")
    assert not files_of(project)
    around()


@pytest.mark.parametrize(
    "what",
    [pytest.param(what, marks=[pytest.mark.slow] if what.startswith("10,000") else []) for what in REFUSED_ARCHIVES],
)
def test_an_archive_that_is_none_is_refused_in_one_line(
    client: TestClient, project: Project, around: Callable[[], None], what: str
) -> None:
    data = REFUSED_ARCHIVES[what]
    answer = put(client, "archive", "photos.zip", data() if callable(data) else data, "")
    assert answer.status_code == 400, answer.text
    assert_one_line(answer.json()["error"], "photos.zip")
    assert "photos.zip" in answer.json()["error"]
    if what == "a zip bomb":
        assert "far more than photos do" in answer.json()["error"], "it was unpacked, and then held no pictures"
    assert not files_of(project)
    around()


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_picture_of_any_name_lies_in_its_class_under_one_that_any_disk_takes(
    client: TestClient, project: Project, around: Callable[[], None], name: str
) -> None:
    answer = put(client, "upload", name, GOOD)
    assert answer.status_code == 200, answer.text
    (file,) = [path for path in project.photos.rglob("*") if path.is_file()]
    assert file.parent == project.photos / "roses" and file.suffix == ".jpg"
    assert not file.name.startswith(".") and len(os.fsencode(file.name)) <= 255
    assert all(character.isprintable() for character in file.name) and not set(file.name) & set('<>:"/\\|?*%')
    around()


def test_what_an_archive_holds_beside_pictures_is_told_by_its_reason(
    client: TestClient, project: Project, around: Callable[[], None]
) -> None:
    files = {f"roses/{number}.txt": b"x" for number in range(1000)}
    answer = put(client, "archive", "a.zip", zipped({"roses/1.jpg": GOOD, "tulips/a\nb.jpg": OTHER, **files}), "")
    assert answer.json()["added"] == {"roses": 1, "tulips": 1}
    assert answer.json()["reasons"] == ["roses/0.txt and 999 more: not a picture"]
    around()


def test_a_page_within_a_picture_is_never_served_as_it_came(client: TestClient, project: Project) -> None:
    polyglot = GOOD + b"<script>alert(1)</script>"
    path = put(client, "upload", "evil.html", polyglot).json()["path"]
    for kind in ("thumbnail", "preview"):
        answer = client.get(f"/api/p/flowers/{kind}", params={"path": path})
        assert answer.headers["content-type"] == "image/jpeg" and answer.headers["x-content-type-options"] == "nosniff"
        assert b"script" not in answer.content


def test_a_file_larger_than_is_taken_is_refused_before_it_has_come(
    client: TestClient, project: Project, around: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    too_long = str((64 << 20) + 1)
    answer = client.put(
        "/api/p/flowers/upload?name=a.jpg&label=roses", content=iter([GOOD]), headers={"content-length": too_long}
    )
    assert answer.status_code == 400 and "64 MB" in answer.json()["error"]
    monkeypatch.setattr(photo_store, "PICTURE_BYTES", 100)
    assert put(client, "upload", "a.jpg", GOOD).status_code == 400
    around()


def test_links_that_lie_in_a_class_are_moved_and_not_followed(
    client: TestClient, project: Project, tmp_path: Path
) -> None:
    target = tmp_path / "elsewhere.jpg"
    target.write_bytes(GOOD)
    (project.photos / "roses").mkdir()
    (project.photos / "roses" / "link.jpg").symlink_to(target)
    assert client.get("/api/p/flowers/photos").json()["total"] == 1
    client.post("/api/p/flowers/photos/delete", json={"paths": ["roses/link.jpg"]})
    assert target.read_bytes() == GOOD and client.get("/api/p/flowers/photos").json()["total"] == 0

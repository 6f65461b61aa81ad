import errno
import io
import stat
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_core.errors import DatasetError, OutputError
from edge_train.data import archives
from edge_train.data.dataset import find_dataset

PICTURE = cv2.imencode(".png", np.zeros((6, 8, 3), np.uint8))[1].tobytes()


def archive(path: Path, files: dict[str, bytes]) -> Path:
    """A .zip or a .tar.gz, by its name."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zipped:
            for name, data in files.items():
                zipped.writestr(name, data)
    else:
        with tarfile.open(path, "w:gz") as tar:
            for name, data in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
            link = tarfile.TarInfo("photos/cat/link.png")
            link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
            tar.addfile(link)
    return path


@pytest.mark.parametrize("name", ["photos.zip", "photos.tar.gz"])
def test_photos_in_an_archive_are_found(tmp_path: Path, name: str) -> None:
    files = {"photos/cat/1.png": PICTURE, "photos/dog/1": PICTURE, "__MACOSX/photos/cat/._1.png": b"litter"}
    found = find_dataset(str(archive(tmp_path / name, files)), cache=tmp_path / "cache")
    assert [(path.name, label) for path, label in found.files] == [("1.png", "cat"), ("1", "dog")]
    assert found.name == "photos"


@pytest.mark.parametrize("kind", [".zip", ".tar.gz"])
@pytest.mark.parametrize("place", ["../cat/1.png", "/cat/1.png", "cat/../../1.png", "C:\\cat\\1.png"])
def test_an_archive_that_names_places_outside_leaves_nothing(tmp_path: Path, kind: str, place: str) -> None:
    path = archive(tmp_path / f"evil{kind}", {"cat/1.png": PICTURE, place: PICTURE})
    with pytest.raises(DatasetError, match="outside itself"):
        archives.unpack(path, tmp_path / "cache")
    assert [item for item in tmp_path.rglob("*") if item.is_file()] == [path]


@pytest.mark.parametrize("kind", [".zip", ".tar.gz"])
def test_an_archive_that_unpacks_to_too_much_leaves_nothing(tmp_path: Path, kind: str) -> None:
    path = archive(tmp_path / f"bomb{kind}", {"cat/1.png": bytes(2 << 20)})
    with pytest.raises(DatasetError, match="far more"):
        archives.unpack(path, tmp_path / "cache", archives.UnpackLimits(bytes=1 << 20))
    assert [item for item in tmp_path.rglob("*") if item.is_file()] == [path]


@pytest.mark.parametrize("compression", ["", "gz", "bz2", "xz"])
@pytest.mark.parametrize(
    "damage", ["cut", "cut between files", "cut at once", "overwritten", "head overwritten", "empty"]
)
def test_a_damaged_tar_is_one_line_that_leaves_nothing(tmp_path: Path, compression: str, damage: str) -> None:
    path = tmp_path / "photos.tar"
    noise = np.random.default_rng(1).bytes(1 << 16)
    with tarfile.open(path, f"w:{compression}") as tar:  # type: ignore[call-overload]
        for name in ("cat/1.png", "dog/1.png"):
            member = tarfile.TarInfo(name)
            member.size = len(noise)
            tar.addfile(member, io.BytesIO(noise))
    whole, middle = path.read_bytes(), (1 << 16) + 512
    damaged = {
        "cut": whole[: -(1 << 15)],
        "cut between files": whole[:middle] if not compression else whole[: -(1 << 14)],
        "cut at once": whole[:90],
        "overwritten": whole[:middle] + b"\xff" * 512 + whole[middle + 512 :],
        "head overwritten": b"\0\1" * 20 + whole[40:],
        "empty": b"",
    }
    path.write_bytes(damaged[damage])
    try:
        # What is not found out is the content of a photo, which its decoder tells of.
        archives.is_archive(path)
        archives.unpack(path, tmp_path / "cache")
        assert damage == "overwritten"
    except DatasetError as error:
        assert str(error).startswith(f"{path} cannot be unpacked: ") and "\n" not in str(error)
        assert [item for item in tmp_path.rglob("*") if item.is_file()] == [path]


def test_a_cut_tar_gz_is_named_as_such_where_photos_are_asked_for(tmp_path: Path) -> None:
    path = archive(tmp_path / "photos.tar.gz", {"cat/1.png": PICTURE})
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(DatasetError, match="cannot be unpacked: Compressed file ended"):
        find_dataset(str(path), cache=tmp_path / "cache")


def test_a_disk_that_is_full_is_not_called_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*given: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    path = archive(tmp_path / "photos.zip", {"cat/1.png": PICTURE})
    monkeypatch.setattr(archives, "_write", full)
    with pytest.raises(OutputError, match="cannot be written: No space"):
        archives.unpack(path, tmp_path / "cache")


@pytest.mark.parametrize("kind", [".zip", ".tar"])
def test_links_in_an_archive_are_other_names_of_its_files_or_told_of(tmp_path: Path, kind: str) -> None:
    path, links = (
        tmp_path / f"photos{kind}",
        {"cat/2.png": "1.png", "dog/out.png": "/etc/passwd", "dog/up.png": "../../x"},
    )
    if kind == ".zip":
        with zipfile.ZipFile(path, "w") as zipped:
            for name in ("cat/1.png", "dog/1.png"):
                zipped.writestr(name, PICTURE)
            for name, target in links.items():
                entry = zipfile.ZipInfo(name)
                entry.create_system, entry.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
                zipped.writestr(entry, target)
    else:
        with tarfile.open(path, "w") as tar:
            for name, target in [("cat/1.png", ""), ("dog/1.png", ""), *links.items()]:
                member = tarfile.TarInfo(name)
                member.size, member.linkname = (0, target) if target else (len(PICTURE), "")
                member.type = tarfile.SYMTYPE if target else tarfile.REGTYPE
                tar.addfile(member, io.BytesIO(PICTURE))
            hard = tarfile.TarInfo("dog/2.png")
            hard.type, hard.linkname = tarfile.LNKTYPE, "cat/1.png"
            tar.addfile(hard)
    for _ in range(2):  # the second time from the cache
        found = find_dataset(str(path), cache=tmp_path / "cache")
        names = [f"{label}/{photo.name}" for photo, label in found.files]
        assert names == ["cat/1.png", "cat/2.png", "dog/1.png", *(["dog/2.png"] if kind == ".tar" else [])]
        assert [item.path.name for item in found.passed_over] == ["out.png", "up.png"]


@pytest.mark.parametrize(("name", "label"), [("café".encode(), "café"), (b"caf\x82", "café"), (b"cafe", "cafe")])
def test_names_in_a_zip_without_a_flag_are_utf8_as_on_a_mac_or_code_page_437(
    tmp_path: Path, name: bytes, label: str
) -> None:
    path = archive(tmp_path / "mac.zip", {"X" * len(name) + "/1.png": PICTURE, "dog/1.png": PICTURE})
    path.write_bytes(path.read_bytes().replace(b"X" * len(name), name))
    found = find_dataset(str(path), cache=tmp_path / "cache")
    assert {path_label for _, path_label in found.files} == {label, "dog"}
    assert bool(found.notes) == (name == b"caf\x82")


def test_names_in_a_zip_may_be_stated_in_a_field_and_are_told_of_if_nothing_states_them(tmp_path: Path) -> None:
    name = "狗".encode("gbk")
    path = tmp_path / "windows.zip"
    for stated in (True, False):
        with zipfile.ZipFile(path, "w") as zipped:
            zipped.writestr("dog/1.png", PICTURE)
            entry = zipfile.ZipInfo("XX/1.png")
            field = struct.pack("<BI", 1, zlib.crc32(name + b"/1.png")) + "狗/1.png".encode()
            entry.extra = struct.pack("<HH", 0x7075, len(field)) + field if stated else b""
            zipped.writestr(entry, PICTURE)
        path.write_bytes(path.read_bytes().replace(b"XX", name))
        found = find_dataset(str(path), cache=tmp_path / "cache")
        if stated:
            assert ({label for _, label in found.files}, found.notes) == ({"狗", "dog"}, ())
        else:
            assert "windows.zip does not state the encoding of names such as '╣╖/1.png'" in found.notes[0]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"7z\xbc\xaf\x27\x1c" + bytes(99), "it is no .zip or .tar"),
        (b"\x28\xb5\x2f\xfd" + bytes(99), "it is no .zip or .tar"),
        (b"PK\3\4" + bytes(99), "its end is missing"),
    ],
)
def test_an_archive_that_cannot_be_unpacked_is_not_taken_for_a_table(tmp_path: Path, content: bytes, why: str) -> None:
    path = tmp_path / "photos.zip"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=f"cannot be unpacked: {why}"):
        find_dataset(str(path), cache=tmp_path / "cache")


def test_what_is_said_of_an_archive_names_it_and_not_the_cache(tmp_path: Path) -> None:
    inner = archive(tmp_path / "inner.zip", {"cat/1.png": PICTURE})
    path = archive(tmp_path / "outer.zip", {"inner.zip": inner.read_bytes()})
    with pytest.raises(DatasetError, match="holds no pictures") as raised:
        find_dataset(str(path), cache=tmp_path / "cache")
    assert "cache" not in str(raised.value) and str(path) in str(raised.value)

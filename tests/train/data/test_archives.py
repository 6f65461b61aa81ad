import errno
import io
import tarfile
import zipfile
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
@pytest.mark.parametrize("damage", ["cut", "cut at once", "overwritten", "head overwritten", "empty"])
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

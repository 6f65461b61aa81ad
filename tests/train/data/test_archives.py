import io
import tarfile
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_core.errors import DatasetError
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

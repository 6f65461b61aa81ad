"""From a folder as phones and network storages leave it to labels, by four commands: every file is used, or told of.

`pytest -m slow tests/system/test_phone_folder.py -s` shows what each command says.
"""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from subprocess import CompletedProcess
from typing import Final

import cv2
import numpy as np
import pytest
from PIL import Image
from pillow_heif import register_heif_opener
from tests.train.small_network import SMALL_NETWORK

from edge_core import Frame
from edge_keras.models.architectures import ARCHITECTURES

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

PHOTOS: Final = 40
COLORS: Final = {"café": (200, 70, 50), "tea": (60, 90, 190)}
NAMES: Final = (
    *(("IMG_{:04}.HEIC", "HEIF"), ("IMG_{:04}.JPG", "JPEG"), ("{:04}", "JPEG"), ("photo{}.jfif", "JPEG")),
    *(("s{}.png", "PNG"), ("t{}.png", "16 bits"), ("u{}.webp", "WEBP"), ("v{}.avif", "AVIF"), ("w{}.jpg", "HEIF")),
)
"""Names of photos with what they really are: a phone's export often calls a HEIC .jpg."""

NOT_USED: Final = ("IMG_0001.AAE", "IMG_0001.MOV", "notes.txt", "empty.jpg", "cut.jpg", "loose.jpg", "gone.jpg")
LITTER: Final = (
    *("tea/.DS_Store", "tea/._IMG_0001.JPG", "tea/Thumbs.db", "tea/desktop.ini"),
    *(
        "tea/@eaDir/IMG_0001.JPG/SYNOPHOTO_THUMB_XL.jpg",
        "#recycle/old.jpg",
        "__MACOSX/tea/._1.jpg",
        ".thumbnails/1.jpg",
    ),
)


def photo(label: str, number: int) -> Frame:
    """Blurred noise around the color of a label, R, G, B."""
    small = np.random.default_rng([number, len(label)]).integers(-40, 40, (6, 8, 3)) + np.array(COLORS[label])
    return np.asarray(cv2.resize(small.clip(0, 255).astype(np.uint8), (160, 120), interpolation=cv2.INTER_CUBIC))


def save(path: Path, frame: Frame, kind: str, orientation: int) -> None:
    """Writes a photo with an orientation in its EXIF, or as a PNG of 16 bits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "16 bits":
        path.write_bytes(cv2.imencode(".png", frame[:, :, ::-1].astype(np.uint16) * 257)[1].tobytes())
        return
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(frame).save(path, format=kind, exif=exif.tobytes())


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos of two classes, one of them in a folder of each form of its accent, amid what is no photo of theirs."""
    register_heif_opener()
    root = tmp_path_factory.mktemp("from-a-phone")
    for label in COLORS:
        for number in range(PHOTOS):
            folder = root / unicodedata.normalize("NFC" if number % 2 else "NFD", label)
            name, kind = NAMES[number % len(NAMES)]
            save(folder / name.format(number), photo(label, number), kind, (1, 6, 8, 3)[number % 4])
    written = BytesIO()
    Image.fromarray(photo("tea", PHOTOS)).save(written, "JPEG")
    jpeg = written.getvalue()
    content = {"cut.jpg": jpeg[: len(jpeg) // 2], "empty.jpg": b"", "IMG_0001.MOV": b"\0\0\0\x14ftypqt  " + bytes(99)}
    for name in NOT_USED[:-2]:
        (root / "tea" / name).write_bytes(content.get(name, b"<?xml version='1.0'?>"))
    (root / "tea" / "no-end.jpg").write_bytes(jpeg[:-2])
    (root / "loose.jpg").write_bytes(jpeg)
    (root / "tea" / "gone.jpg").symlink_to(root / "nowhere.jpg")
    for name in LITTER:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(jpeg)
    return root


def told(done: CompletedProcess[str]) -> str:
    """What a command that has done its work said."""
    print(f"$ {' '.join(map(str, done.args))}\n{done.stderr}")
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_a_phones_folder_becomes_labels_and_no_file_is_lost_in_silence(
    photos: Path, command: Callable[..., CompletedProcess[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, model = tmp_path / "run", tmp_path / "cafe.tflite"
    monkeypatch.setitem(ARCHITECTURES, "mobilenet_v2", replace(SMALL_NETWORK, name="mobilenet_v2"))
    small = ("--weights", "none", "--image-size", "48", "--epochs", "4")
    fit = told(command("edge_train.cli", "fit", photos, "--out", run, *small))
    # Two classes, not three: the accent's two forms are one name.
    used = [int(number) for number in re.findall(r"(\d+) photos to", fit)]
    assert "2 classes" in fit and sum(used) == 2 * PHOTOS + 1
    assert "2 folders whose names differ only in how accents are encoded" in fit
    assert "1 photos are JPEGs that lack their end" in fit
    files = [line for line in fit.splitlines() if line.startswith(("passed over", "unreadable"))]
    dropped = len(files) + sum(int(more) for more in re.findall(r" and (\d+) more$", "\n".join(files), re.MULTILINE))
    assert dropped == len(NOT_USED) + len(LITTER)

    told(command("edge_convert.cli", "export", run, "--recipe", "float16", "--out", model))
    images = command("edge_device.cli", "images", model, photos, "--json")
    said = told(images)
    # The one beside the classes is a picture like any other here.
    assert images.stdout.count('"top"') == 2 * PHOTOS + 2
    assert all(name in said for name in NOT_USED if name != "loose.jpg")
    assert f" and {len(LITTER) - 1} more: litter" in said

    live = command("edge_device.cli", "live", model, "--source", "fake:160x120@10", "--frames", "3", "--json")
    told(live)
    assert live.stdout.count('"top"') == 3
    told(command("edge_bench.cli", "run", run, model, "--seconds", "1", "--cold-starts", "1", "--out", tmp_path / "b"))

"""What goes onto the emulated board: photos and models, made by the product's own commands from rendered road signs."""

import hashlib
import shutil
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Final

from edge_core.files import folder_written_whole

ROOT: Final = Path(__file__).parents[2]
PHOTOS: Final = 200
SIZES: Final = (
    *((320, 240), (640, 480), (333, 501), (160, 160), (97, 61), (500, 333), (321, 240), (240, 320), (224, 224)),
    *((161, 159), (480, 640), (319, 479), (800, 600), (600, 450), (1280, 720), (427, 240), (180, 180), (1024, 768)),
    *((719, 1279), (1920, 1080)),
)
"""Width and height. Cameras' own, odd ones, and those that are a pixel off a multiple of a model's input."""

PER_LABEL: Final = 10
"""Photos of each sign to train on: byte for byte, a bad model is as good as a good one."""


def photos(cache: Path) -> Path:
    """A folder of `PHOTOS` JPEGs of `SIZES`."""
    from edge_train.signs.artwork import LABELS
    from edge_train.signs.render import RENDERER_VERSION, render_jpeg

    folder = cache / f"photos-{RENDERER_VERSION}-{_digest(repr(SIZES).encode())}"
    if not folder.exists():
        with folder_written_whole(folder) as beside:
            for number in range(PHOTOS):
                width, height = SIZES[number % len(SIZES)]
                label = LABELS[number % len(LABELS)]
                name = f"{number:03}-{label}-{width}x{height}.jpg"
                (beside / name).write_bytes(render_jpeg(label, number, width, height))
    return folder


def pictures_of(folder: Path, to: Path) -> None:
    """Copies `PHOTOS` photos of another folder, evenly spread."""
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    to.mkdir()
    for number, path in enumerate(islice(found, 0, None, max(1, len(found) // PHOTOS))):
        if number < PHOTOS:
            shutil.copy(path, to / f"{number:03}-{path.parent.name}{path.suffix.lower()}")


def models(cache: Path) -> list[Path]:
    """int8, float32 and quantisation-aware .tflite files of a small MobileNetV2, as long as its makers stay the same."""
    makers = sorted(path for part in ("train", "convert", "device/edge_core") for path in (ROOT / part).rglob("*.py"))
    folder = cache / f"models-{_digest(b''.join(path.read_bytes() for path in makers))}"
    if not folder.exists():
        from edge_train.signs.dataset import write_photos

        for older in cache.glob("models-*"):
            shutil.rmtree(older)
        with folder_written_whole(folder) as beside:
            write_photos(beside / "signs", PER_LABEL, seed=1)
            run, qat = beside / "run", beside / "qat"
            small = ("--weights", "none", "--image-size", "160", "--alpha", "0.35", "--epochs", "1")
            _command("edge_train", "fit", beside / "signs", *small, "--out", run)
            _command("edge_train", "fit", beside / "signs", *small, "--qat", "--out", qat)
            for source, recipe in ((run, "int8"), (run, "float32"), (qat, "int8-qat")):
                out = beside / f"signs-{recipe}.tflite"
                _command("edge_convert", "export", source, "--recipe", recipe, "--force", "--out", out)
            for made in ("signs", "run", "qat"):
                shutil.rmtree(beside / made)
    return sorted(folder.glob("*.tflite"))


def _command(package: str, *arguments: str | Path) -> None:
    program = f"from {package}.cli import app; app()"
    subprocess.run([sys.executable, "-c", program, *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:12]

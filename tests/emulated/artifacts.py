"""What goes onto the emulated board: photos and models, made by the product's own commands from rendered road signs."""

import hashlib
import shutil
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice
from pathlib import Path
from typing import Final

from tests.emulated.guest.pictures import evenly

from edge_bench.arm.programs import run
from edge_core.files import folder_written_whole

ROOT: Final = Path(__file__).parents[2]
PHOTOS: Final = 200
SIZES: Final = (
    *((320, 240), (640, 480), (333, 501), (160, 160), (97, 61), (500, 333), (321, 240), (240, 320), (224, 224)),
    *((161, 159), (480, 640), (319, 479), (427, 240), (180, 180), (159, 161), (64, 48), (225, 223), (448, 336)),
    *((641, 363), (128, 96), (40, 200), (200, 40), (257, 255), (400, 300), (33, 32), (96, 128), (320, 319), (481, 271)),
)
"""Width and height of most. Cameras' own, odd ones, and those that are a pixel off a multiple of a model's input."""

LARGE: Final = ((800, 600), (1024, 768), (1280, 720), (719, 1279), (1920, 1080), (1944, 2592))
"""Of the last ones, one each: an emulated processor decodes seven million pixels a second."""

PER_LABEL: Final = 20
"""Photos of each sign to train on."""

MAX_DROP: Final = 20
"""Accuracy that a conversion may cost, in points: two of the 39 test photos are five, and a break costs far more."""


def photos(cache: Path) -> Path:
    """A folder of `PHOTOS` JPEGs of `SIZES` and `LARGE`."""
    from edge_train.data.signs.artwork import LABELS
    from edge_train.data.signs.render import RENDERER_VERSION, render_jpeg

    sizes = (*islice(cycle(SIZES), PHOTOS - len(LARGE)), *LARGE)
    folder = cache / f"photos-{RENDERER_VERSION}-{_digest(repr(sizes).encode())}"
    if not folder.exists():
        with folder_written_whole(folder) as beside:
            for number, (width, height) in enumerate(sizes):
                label = LABELS[number % len(LABELS)]
                name = f"{number:03}-{label}-{width}x{height}.jpg"
                (beside / name).write_bytes(render_jpeg(label, number, width, height))
    return folder


def pictures_of(folder: Path, to: Path) -> Path:
    """Copies `PHOTOS` photos of another folder, evenly spread, to `to`."""
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    to.mkdir()
    for number, path in enumerate(evenly(found, PHOTOS)):
        shutil.copy(path, to / f"{number:03}-{path.parent.name}{path.suffix.lower()}")
    return to


def models(cache: Path) -> list[Path]:
    """int8, float32 and quantization-aware .tflite files of a MobileNetV2 at 96 pixels, as long as its makers stay the
    same."""
    makers = sorted(path for part in ("train", "convert", "device/edge_core") for path in (ROOT / part).rglob("*.py"))
    folder = cache / f"models-{_digest(b''.join(path.read_bytes() for path in makers))}"
    if not folder.exists():
        from edge_train.data.signs.photo_set import write_photos

        for older in cache.glob("models-*"):
            shutil.rmtree(older)
        with folder_written_whole(folder) as beside, ThreadPoolExecutor() as pool:
            write_photos(beside / "signs", PER_LABEL, seed=1)
            ways = (("run", (), ("int8", "float32")), ("qat", ("--qat",), ("int8-qat",)))
            list(pool.map(lambda way: _trained(beside, *way), ways))
            for made in ("signs", "run", "qat"):
                shutil.rmtree(beside / made)
    return sorted(folder.glob("*.tflite"))


def _trained(folder: Path, name: str, options: Sequence[str], recipes: Sequence[str]) -> None:
    """Trains a model on `folder/signs`, and converts it with each recipe."""
    # An emulated processor takes 0.13 s for a picture, and 0.37 s at 160. From random weights the network would take
    # minutes to tell one sign from another, and a file that says one thing of all of them is equal on any machine.
    small = ("--image-size", "96", "--epochs", "1")
    _command("edge_train", "fit", folder / "signs", *small, *options, "--out", folder / name)
    for recipe in recipes:
        out = folder / f"signs-{recipe}.tflite"
        _command("edge_convert", "export", folder / name, "--recipe", recipe, "--max-drop", str(MAX_DROP), "--out", out)


def _command(package: str, *arguments: str | Path) -> None:
    run([sys.executable, "-c", f"from {package}.cli import app; app()", *arguments])


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:12]

"""`make verify-pi-32`: what there is for 32-bit Raspberry Pi OS, by user-mode emulation.

PyPI has tflite-runtime for armv7l, but neither OpenCV nor ai-edge-litert. So the product does not install there, and what
is compared is the interpreter alone: scores of pixels that were preprocessed here. Its 32-bit arithmetic rounds otherwise
than XNNPACK's, so the scores are shown, not judged.
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import numpy as np
from tests.pi.artifacts import models, photos
from tests.pi.guest.pictures import read

from edge_bench.arm.debian import root_folder
from edge_bench.arm.tools import cache_folder, run, tool
from edge_core import preprocess
from edge_core.errors import EdgeError, HostError
from edge_core.files import folder_written_whole
from edge_device import Classifier

PHOTOS: Final = 20
TFLITE: Final = "tflite-runtime==2.14.0"
ABSENT: Final = ("opencv-python", "ai-edge-litert")

PROGRAM: Final = """
import sys
import numpy as np
from tflite_runtime.interpreter import Interpreter
model, pixels, out = sys.argv[1:]
interpreter = Interpreter(model, num_threads=1)
interpreter.allocate_tensors()
given, wanted = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
scores = []
for picture in np.load(pixels):
    interpreter.set_tensor(given["index"], picture[None].astype(given["dtype"]))
    interpreter.invoke()
    scores.append(interpreter.get_tensor(wanted["index"])[0])
scale, zero = wanted["quantization"]
scores = np.array(scores)
np.save(out, (scores.astype(np.float32) - zero) * scale if scale else scores)
"""


def main(given: list[str]) -> int:
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    root = root_folder("bookworm", ["python3", "python3-numpy", "libstdc++6"], cache, "armhf")
    libraries = root / "usr/lib/arm-linux-gnueabihf"
    for name in ("blas", "lapack"):  # links that scripts of these packages would have made
        link = libraries / f"lib{name}.so.3"
        if not link.is_symlink():
            link.symlink_to(f"{name}/{link.name}")
    site = _tflite(cache)
    for name in ABSENT:
        print(f"{name:<15} {'is there now' if _has_wheel(name) else 'has no wheel for armv7l'}")
    frames = [frame for _, frame in read(photos(cache), PHOTOS)]
    with tempfile.TemporaryDirectory() as scratch:
        for model in [Path(name) for name in given] or models(cache):
            classifier = Classifier(model, threads=1)
            pixels = np.stack([preprocess(frame, classifier.card.input) for frame in frames])
            here = np.stack([classifier.pixel_scores(one) for one in pixels])
            np.save(Path(scratch, "pixels.npy"), pixels)
            try:
                there = _scores(root, site, model, Path(scratch))
            except HostError as error:
                print(f"{model.stem:<20} does not run: {error}")
                continue
            same = int((there.argmax(1) == here.argmax(1)).sum())
            print(f"{model.stem:<20} top-1 {same} of {PHOTOS}, scores differ by {abs(there - here).max():.3g} at most")
    return 0


def _tflite(cache: Path) -> Path:
    site = cache / "site-armv7l"
    if not site.exists():
        with folder_written_whole(site) as beside:
            _pip("install", TFLITE, "--no-deps", "--target", str(beside))
    return site


def _has_wheel(name: str) -> bool:
    with tempfile.TemporaryDirectory() as scratch:
        try:
            _pip("download", name, "--no-deps", "--quiet", "--dest", scratch)
        except HostError:
            return False
    return True


def _pip(do: str, *arguments: str) -> None:
    target = ["--only-binary=:all:", "--python-version=3.11", "--implementation=cp", "--abi=cp311", "--abi=abi3"]
    platforms = [f"--platform={name}_armv7l" for name in ("linux", "manylinux_2_34", "manylinux_2_31", "manylinux2014")]
    run([Path(sys.executable), "-m", "pip", do, "--disable-pip-version-check", *arguments, *target, *platforms])


def _scores(root: Path, site: Path, model: Path, scratch: Path) -> np.ndarray:
    """Scores, shape (photos, labels), of `scratch/pixels.npy`."""
    environment = {"PYTHONPATH": f"{site}:{root}/usr/lib/python3/dist-packages"}
    settings = [part for name, value in environment.items() for part in ("-E", f"{name}={value}")]
    python = [tool("qemu-arm"), "-cpu", "cortex-a7", "-L", str(root), *settings, str(root / "usr/bin/python3")]
    files = [str(model.resolve()), str(scratch / "pixels.npy"), str(scratch / "scores.npy")]
    done = subprocess.run([*python, "-c", PROGRAM, *files], env={}, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise HostError(said[-1] if said else f"ended with {done.returncode}")
    scores: np.ndarray = np.load(scratch / "scores.npy")
    return scores


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except EdgeError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_status)

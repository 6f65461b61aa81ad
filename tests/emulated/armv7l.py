"""`make verify-pi-32`: what there is for 32-bit Raspberry Pi OS, by user-mode emulation; exit status 1 if a score is
wrong.

PyPI lacks wheels there that the product requires, so it does not install, and what is checked is the interpreter alone:
scores of pixels that were preprocessed here, against those of TFLite's reference kernels.

On Arm, of 32 bits and of 64, tflite-runtime computes tensor by tensor what the reference kernels define on any machine,
but for MEAN, which rounds some numbers by a step where its input and its output differ in scale. LiteRT's XNNPACK
rounds otherwise, and so do the built-in kernels on x86-64, so the label beside LiteRT's is shown and not judged: where
the two first scores are close, it may be another. The first operator of an int8 MobileNetV2-160 that differs from
x86-64 is the first 1x1 convolution, by one step on 0.2 % of its numbers. The product of accumulator and scale is
rounded to a whole number, shifted right and rounded again; what then lies half-way between two negative numbers becomes
the lower one on Arm and the upper one on x86-64. TFLite does not promise more:
https://github.com/tensorflow/tensorflow/issues/25087
"""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from tests.emulated.artifacts import models, photos
from tests.emulated.guest.pictures import read

from edge_bench.arm.debian import root_folder
from edge_bench.arm.programs import cache_folder, run, tool
from edge_core import preprocess
from edge_core.artifact.golden import FLOAT, QUANTIZED
from edge_core.errors import EdgeError, HostError
from edge_core.files import folder_written_whole
from edge_device import Classifier

PHOTOS: Final = 20
TFLITE: Final = "tflite-runtime==2.14.0"
"""The last release, and the only runtime with a wheel."""

REQUIRED: Final = ("flatbuffers", "numpy", "opencv-python", "rich", "tflite-runtime", "typer", "ai-edge-litert")
"""By the product; the last one for boards of 64 bits."""

PROGRAM: Final = Path(__file__).with_name("armv7l_scores.py")

Raw = npt.NDArray[Any]
"""Scores as a model's output has them, shape (photos, labels)."""


@dataclass(frozen=True)
class Row:
    """Scores of a model there, against those here.

    Attributes:
        model: its name.
        count: of photos.
        equal: on how many of them all scores are those of the reference kernels, to the byte.
        largest: difference of a score, 0..1, from theirs.
        allowed: how large it may be; as much as `edge-run verify` allows between machines.
        top1: on how many photos the label is LiteRT's.
        margin: how far LiteRT's first score is from its second one where the label is another, at most; 0..1.
    """

    model: str
    count: int
    equal: int
    largest: float
    allowed: float
    top1: int
    margin: float

    @property
    def right(self) -> bool:
        return self.largest <= self.allowed


def main(given: list[str]) -> int:
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    print("Wheels on PyPI for 32-bit Arm and Python 3.11")
    for name in REQUIRED:
        print(f"  {name:<15} {_wheel(name)}", flush=True)
    root, site = _system(cache), _tflite(cache)
    frames = [frame for _, frame in read(photos(cache), PHOTOS)]
    rows = []
    for model in [Path(name) for name in given] or models(cache):
        classifier = Classifier(model, runtime="ai-edge-litert", threads=1)
        pixels = np.stack([preprocess(frame, classifier.card.input) for frame in frames])
        litert = np.stack([classifier.pixel_scores(one) for one in pixels])
        try:
            rows.append(compared(model.stem, _there(root, site, model, pixels), *_reference(model, pixels), litert))
        except HostError as error:
            print(f"\n{model.stem} does not run there: {error}")
    print(f"\n{TFLITE} on an emulated Cortex-A7, {PHOTOS} photos\n{table(rows)}")
    return 0 if rows and all(row.right for row in rows) else 1


def compared(model: str, there: Raw, reference: Raw, scale: float, litert: Raw) -> Row:
    """Scores of the interpreter there against those of the reference kernels and of LiteRT here.

    Args:
        model: its name.
        there, reference: raw.
        scale: of a raw score; 1 of floats.
        litert: 0..1.
    """
    other = there.argmax(1) != litert.argmax(1)
    second, first = np.sort(litert, axis=1)[:, -2:].T
    return Row(
        model=model,
        count=len(there),
        equal=int((there == reference).all(1).sum()),
        largest=float(abs(there.astype(np.float64) - reference).max() * scale),
        allowed=(FLOAT if there.dtype.kind == "f" else QUANTIZED).same_runtime,
        top1=int((~other).sum()),
        margin=float((first - second)[other].max(initial=0)),
    )


def table(rows: Sequence[Row]) -> str:
    """One line for each model."""
    width = max([len(row.model) for row in rows], default=5)
    lines = [f"{'model':<{width}}  as the reference kernels  largest difference         top-1 as LiteRT's here"]
    for row in rows:
        equal, same = f"{row.equal} of {row.count}", f"{row.top1} of {row.count}"
        judged = f"{row.largest:<8.2g} {'right' if row.right else 'WRONG'}"
        sure = f", where it leads by {row.margin:.2g} at most" if row.top1 < row.count else ""
        lines.append(f"{row.model:<{width}}  {equal:<24}  {judged:<25}  {same}{sure}")
    return "\n".join(lines)


def _system(cache: Path) -> Path:
    """Debian's Python and NumPy for 32-bit Arm, as a root folder."""
    root = root_folder("bookworm", ["python3", "python3-numpy", "libstdc++6"], cache, "armhf")
    libraries = root / "usr/lib/arm-linux-gnueabihf"
    for name in ("blas", "lapack"):  # links that scripts of these packages would have made
        link = libraries / f"lib{name}.so.3"
        if not link.is_symlink():
            link.symlink_to(f"{name}/{link.name}")
    return root


def _tflite(cache: Path) -> Path:
    site = cache / "site-armv7l"
    if not site.exists():
        with folder_written_whole(site) as beside:
            _pip("install", TFLITE, "--no-deps", "--target", str(beside))
    return site


def _wheel(name: str) -> str:
    """The newest version that has one."""
    with tempfile.TemporaryDirectory() as scratch:
        try:
            _pip("download", name, "--no-deps", "--quiet", "--dest", scratch)
        except HostError:
            return "none"
        return next(Path(scratch).iterdir()).name.split("-")[1]


def _pip(do: str, *arguments: str) -> None:
    target = ["--only-binary=:all:", "--python-version=3.11", "--implementation=cp"]
    target += [f"--abi={name}" for name in ("cp311", "abi3", "none")]
    target += [f"--platform={name}_armv7l" for name in ("linux", "manylinux_2_34", "manylinux_2_31", "manylinux2014")]
    run([Path(sys.executable), "-m", "pip", do, "--disable-pip-version-check", *arguments, *target])


def _there(root: Path, site: Path, model: Path, pixels: Raw) -> Raw:
    """Raw scores by tflite-runtime on 32-bit Arm.

    Raises:
        HostError: it cannot run the model.
    """
    with tempfile.TemporaryDirectory() as scratch:
        given, out = Path(scratch, "pixels.npy"), Path(scratch, "scores.npy")
        np.save(given, pixels)
        path = f"PYTHONPATH={site}:{root}/usr/lib/python3/dist-packages"
        emulator: list[str | Path] = [tool("qemu-arm"), "-cpu", "cortex-a7", "-L", root, "-E", path]
        command = [*emulator, root / "usr/bin/python3", PROGRAM, model.resolve(), given, out]
        done = subprocess.run(command, env={}, capture_output=True, text=True, check=False)
        if done.returncode:
            said = done.stderr.strip().splitlines()
            raise HostError(said[-1] if said else f"ended with {done.returncode}")
        scores: Raw = np.load(out)
        return scores


def _reference(model: Path, pixels: Raw) -> tuple[Raw, float]:
    """Raw scores by the reference kernels, here, and their scale."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(str(model), experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
    interpreter.allocate_tensors()
    given, wanted = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    scores = []
    for picture in pixels:
        interpreter.set_tensor(given["index"], picture[None].astype(given["dtype"]))
        interpreter.invoke()
        scores.append(interpreter.get_tensor(wanted["index"])[0])
    return np.stack(scores), wanted["quantization"][0] or 1.0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except EdgeError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_status)

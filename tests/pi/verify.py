"""`make verify-pi`: the product on emulated Raspberry Pis, `python -m tests.pi.verify --help`.

Two machines at the same time, one for each core of a small workstation: the Pi 4's core with the Python of Debian 12, and
the Pi 5's with that of Debian 13. Exit status 1 if anything fails or differs that must be the same.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from tests.pi.artifacts import ROOT, models, photos, pictures_of
from tests.pi.guest.main import STAGES
from tests.pi.guest.measured import SHOWN, Arrays, measured
from tests.pi.guest.pictures import framed, read

from edge_bench.arm.guest import KERNEL_SUITE, files
from edge_bench.arm.initrd import kernel
from edge_bench.arm.machine import Cpu, Machine, booted
from edge_bench.arm.tools import cache_folder, run
from edge_core.errors import EdgeError
from edge_device import Classifier

MACHINES: Final[dict[Cpu, str]] = {"cortex-a72": "3.11", "cortex-a76": "3.13"}
"""CPU and Python."""

TEST_REQUIREMENTS: Final = Path(__file__).with_name("requirements.txt")
TIMEOUT_S: Final = 1200


@dataclass(frozen=True)
class Row:
    """A line of the table: something that was compared.

    Attributes:
        machine, what: of what.
        equal: how many of `count` are the same.
        largest: difference; levels of pixels, or of scores 0..1.
        allowed: how large it may be; None: all must be equal.
        why: it may be.
    """

    machine: str
    what: str
    equal: int
    count: int
    largest: float
    allowed: float | None = None
    why: str = ""

    @property
    def right(self) -> bool:
        return self.equal == self.count or (self.allowed is not None and self.largest <= self.allowed)


STEP: Final = 1 / 256
"""Of a score in 8 bits. Found on one photo of 100: every tensor but the last one was the same; LiteRT's own kernel of SOFTMAX
(XNNPACK leaves that operator alone) rounds otherwise on Arm."""

FLOATS: Final = 1e-5
"""Sums of floats are made in another order; 4e-7 was seen."""


def compared(machine: str, there: Arrays, here: Arrays, exact: Sequence[str]) -> Iterator[Row]:
    """Each thing that was measured on a machine against what it is here.

    Args:
        machine: its name.
        there, here: what `measured` gave.
        exact: the stems of the models whose arithmetic is in whole numbers: their scores differ by a step at most.
    """
    for what, wanted in here.items():
        found = there[what]
        same = [a.tobytes() == b.tobytes() for a, b in zip(found, wanted, strict=True)]
        largest = float(np.abs(found.astype(np.float64) - wanted.astype(np.float64)).max())
        row = Row(machine, what, sum(same), len(same), largest)
        if what.startswith("scores "):
            quantised = what.removeprefix("scores ") in exact
            why = "SOFTMAX rounds by a step" if quantised else "sums in another order"
            row = replace(row, allowed=STEP if quantised else FLOATS, why=why)
        yield row


def seen(machine: str, folder: Path, photo_folder: Path, model: Path) -> Row:
    """What the live loop said of each picture before the camera, against a classification of that picture here."""
    classifier = Classifier(model, threads=1)
    frames = dict(read(photo_folder, SHOWN))
    same, largest = 0, 0.0
    said = json.loads((folder / "live.json").read_text())
    for one in said:
        best = classifier.classify(framed(frames[one["photo"]]))[0]
        same += best.label == one["label"]
        largest = max(largest, abs(best.score - one["score"]))
    return Row(machine, f"live, top-1 through the camera, {model.stem}", same, len(said), largest)


def recovered(machine: str, folder: Path) -> Row:
    """Camera faults that the live loop got over."""
    said = json.loads((folder / "faults.json").read_text())
    return Row(machine, "camera faults recovered from", sum(one["recovered"] for one in said), len(said), 0.0)


def verify_on(cpu: Cpu, wheel: Path, model_files: list[Path], photo_folder: Path, stages: list[str]) -> Path:
    """Boots a machine and lets it do `stages`; the folder with what came out, which the caller removes."""
    python = MACHINES[cpu]
    cache = cache_folder()
    more = (TEST_REQUIREMENTS,) if "tests" in stages else ()
    guest = files(python, more)
    work = Path(tempfile.mkdtemp(prefix=f"{cpu}-", dir=cache))
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-compile",
        "--disable-pip-version-check",
    ]
    run([*command, "--target", str(work / "product"), str(wheel)])
    shutil.copytree(ROOT / "tests", work / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    (work / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    (work / "models").mkdir()
    for model in model_files:
        shutil.copy(model, work / "models")
    shutil.copytree(photo_folder, work / "photos")
    script = work / "run"
    script.write_text(f"#!/bin/sh\ncd /srv/work && exec python3 -m tests.pi.guest.main {' '.join(stages)}\n")
    script.chmod(0o755)
    machine = Machine(cpu, kernel(KERNEL_SUITE, cache), guest.root, guest.site, guest.pycache, work)
    began = time.monotonic()
    with booted(machine, TIMEOUT_S) as running:
        for line in running.lines():
            print(f"{cpu[-3:]} {time.monotonic() - began:6.1f} s | {line}", flush=True)
    return work


@contextmanager
def timed(what: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    print(f"{what}: {time.monotonic() - began:.1f} s", flush=True)


def table(rows: Sequence[Row]) -> str:
    width = max(len(row.what) for row in rows)
    lines = [f"{'machine':<11} {'what':<{width}}  {'equal':>11}  largest difference"]
    for row in rows:
        note = "  DIFFERS" if not row.right else f"  {row.why}" if row.equal < row.count else ""
        lines.append(
            f"{row.machine:<11} {row.what:<{width}}  {row.equal:>4} of {row.count:>3}  {row.largest:.3g}{note}"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.pi.verify",
        description="Run the product on emulated Raspberry Pis with a camera, and compare with this machine.",
        epilog="Example: python -m tests.pi.verify flowers-int8.tflite --photos photos/ --stages bytes,live",
    )
    parser.add_argument(
        "models", nargs="*", type=Path, help="sealed .tflite files; small ones are made if none is given"
    )
    parser.add_argument("--photos", type=Path, help="a folder of photos; road signs are rendered if none is given")
    parser.add_argument("--stages", default=",".join(STAGES), help="of %(default)s")
    parser.add_argument("--cpu", choices=MACHINES, action="append", help="one machine only")
    options = parser.parse_args(arguments)
    stages = options.stages.split(",")
    if unknown := set(stages) - set(STAGES):
        parser.error(f"no such stage: {', '.join(sorted(unknown))}")
    try:
        return _verify(options.models, options.photos, stages, options.cpu or list(MACHINES))
    except EdgeError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_status


def _verify(given: list[Path], own_photos: Path | None, stages: list[str], cpus: list[Cpu]) -> int:
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as scratch, ThreadPoolExecutor() as pool:
        with timed("wheel, models, photos, downloads"):
            # Downloads wait for the network and models for the processor.
            fetched = pool.submit(lambda: [kernel(KERNEL_SUITE, cache), *(files(MACHINES[cpu]) for cpu in cpus)])
            run([Path(sys.executable), "-m", "build", "--wheel", "--no-isolation", "--outdir", scratch, ROOT])
            (wheel,) = Path(scratch).glob("*.whl")
            model_files = given or models(cache)
            if own_photos:
                pictures_of(own_photos, Path(scratch, "photos"))
            photo_folder = Path(scratch, "photos") if own_photos else photos(cache)
            fetched.result()
        with timed("emulated machines"):
            one = partial(verify_on, wheel=wheel, model_files=model_files, photo_folder=photo_folder, stages=stages)
            folders = list(pool.map(one, cpus))
        try:
            rows = list(_rows(dict(zip(cpus, folders, strict=True)), model_files, photo_folder, stages))
        finally:
            for folder in folders:
                shutil.rmtree(folder)
    if rows:
        print(table(rows))
    return 0 if all(row.right for row in rows) else 1


def _rows(folders: dict[Cpu, Path], model_files: list[Path], photo_folder: Path, stages: list[str]) -> Iterator[Row]:
    here = measured(photo_folder, sorted(model_files)) if "bytes" in stages else {}
    exact = [model.stem for model in model_files if Classifier(model, threads=1).quantised]
    for cpu, folder in folders.items():
        if here:
            with np.load(folder / "out" / "measured.npz") as there:
                yield from compared(cpu, dict(there), here, exact)
        if "live" in stages:
            yield seen(cpu, folder / "out", photo_folder, min(model_files))
        if "faults" in stages:
            yield recovered(cpu, folder / "out")


if __name__ == "__main__":
    sys.exit(main())

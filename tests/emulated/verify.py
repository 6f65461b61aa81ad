"""`make verify-pi`: the product on emulated Raspberry Pis, `python -m tests.emulated.verify --help`.

Two machines at the same time, one for each core of a small workstation: the Pi 4's core with the Python of Debian 12,
and the Pi 5's with that of Debian 13. Exit status 1 if anything fails or differs that must be the same.
"""

import argparse
import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt
from tests.emulated.artifacts import ROOT, models, photos, pictures_of
from tests.emulated.guest.main import STAGES, Outcome, Plan
from tests.emulated.guest.measured import SHOWN, Arrays, bare_scores, measured
from tests.emulated.guest.pictures import framed, read
from tests.emulated.tables import (
    LABELS_NAMED,
    LABELS_NAMED_BY_OTHERS,
    Row,
    compared,
    faults_table,
    rows_table,
    spread,
    spread_table,
    stages_table,
)

from edge_bench.arm.guest import KERNEL_SUITE, SUITES, files
from edge_bench.arm.initrd import kernel
from edge_bench.arm.machine import Cpu, Machine, booted
from edge_bench.arm.programs import cache_folder, run, tool
from edge_core.artifact.container import read_card
from edge_core.artifact.seal import check_seal
from edge_core.errors import EdgeError, HostError
from edge_device import Classifier
from edge_device.command_line.entry import INTERRUPTED
from edge_device.system.interrupts import end_on_signals

MACHINES: Final[dict[Cpu, str]] = {"cortex-a72": "3.11", "cortex-a76": "3.13"}
"""CPU and Python."""

BACKGROUND: Final = ("bytes", "tests")
"""Stages that compute, beside those that mostly wait."""

ONCE: Final[dict[str, Cpu]] = {"live": "cortex-a72", "faults": "cortex-a76", "controls": "cortex-a76"}
"""Stages that one machine does for both, unless told otherwise: the driver and the loop are the same."""

TESTS: Final[dict[Cpu, tuple[str, ...]]] = {
    "cortex-a72": ("core/test_preprocess.py", "device/inference/test_classifier.py"),
    "cortex-a76": (
        *(
            "core/test_card.py",
            "device/live/test_model_watcher.py",
            "device/live/test_live.py",
            "device/sources/test_sources.py",
        ),
        *("device/sources/test_fake.py", "device/sources/test_jpegs.py", "device/sources/test_pool.py"),
        *("device/sources/test_reconnecting.py", "device/sources/test_v4l2.py"),
    ),
}
"""Of the device package's own, those of what an Arm machine or its Linux may do otherwise, shared between the
machines."""

SCRIPT: Final = """#!/bin/sh
cp -a /srv/work/product /srv/product  # into memory: each import would ask the workstation for the file's date
export COLUMNS=160 HYPOTHESIS_STORAGE_DIRECTORY=/srv/pycache/hypothesis PYTHONPATH=/srv/product:/srv/site
cd /srv/work && exec python3 -m tests.emulated.guest.main
"""

EXAMPLES: Final = 5
"""Of hypothesis, for each property; by itself it takes 100."""

ALL_TESTS: Final = ("core", "device")

LEFT_OUT: Final = (
    # Its arrays, of 300 MB each, are too much for the memory of the machine.
    "tests/core/test_preprocess.py::test_the_bytes_are_the_same_on_every_machine_and_in_every_version[4056-3040]",
    # They set PYTHONPATH, by which alone the machine finds its packages. The stage `doctor` runs the command.
    "tests/device/doctor/test_doctor.py",
    # It counts on the speed of a processor that is not emulated.
    "tests/device/sources/test_network.py::test_a_reader_that_is_slow_gets_the_newest_picture",
)

TEST_REQUIREMENTS: Final = Path(__file__).with_name("requirements.txt")
TIMEOUT_S: Final = 2400
ALL_TESTS_TIMEOUT_S: Final = 6000

T = TypeVar("T")


@dataclass(frozen=True)
class Work:
    """What machines get to do.

    Attributes:
        plans: of each machine.
        wheel: of the product.
        models: sealed .tflite files.
        photos: a folder of them.
        labels_named: number of labels that the models must name among the photos.
    """

    plans: dict[Cpu, Plan]
    wheel: Path
    models: list[Path]
    photos: Path
    labels_named: int


def plan(
    cpu: Cpu, cpus: Sequence[Cpu], stages: Sequence[str], camera_model: str, *, everywhere: bool, all_tests: bool
) -> Plan:
    """What a machine does.

    Args:
        cpu: which.
        cpus: all that there are.
        stages: that are wanted.
        camera_model: name of the model that looks through the camera.
        everywhere: every stage, with all of its tests, on each of them.
        all_tests: all of the device package, not `TESTS`.
    """
    share = len(cpus) > 1 and not everywhere
    own = [stage for stage in stages if not share or ONCE.get(stage, cpu) == cpu]
    lanes = [[stage for stage in own if (stage in BACKGROUND) == background] for background in (False, True)]
    tests = ALL_TESTS if all_tests else TESTS[cpu] if share else tuple(chain(*TESTS.values()))
    return Plan(
        [lane for lane in lanes if lane],
        camera_model,
        [f"tests/{name}" for name in tests],
        list(LEFT_OUT),
        EXAMPLES,
    )


def verify_on(cpu: Cpu, work: Work, folder: Path, stopped: ExitStack) -> str:
    """Boots a machine in `folder`, and lets it do its plan; what it leaves is in `folder/out`.

    Args:
        cpu: Core of the machine.
        work: What it gets to do.
        folder: Empty folder for what goes in and comes out.
        stopped: Closed by who does not want to wait for the machine any longer; that turns it off.

    Returns:
        What was wrong with the machine itself; empty if nothing was.
    """
    plan = work.plans[cpu]
    cache = cache_folder()
    guest = files(MACHINES[cpu], (TEST_REQUIREMENTS,))
    (folder / "plan.json").write_text(json.dumps(asdict(plan)))
    pip = ("-m", "pip", "install", "--quiet", "--no-deps", "--no-compile", "--disable-pip-version-check")
    run([sys.executable, *pip, "--target", folder / "product", work.wheel])
    shutil.copytree(ROOT / "tests", folder / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    for source in (*folder.glob("product/**/*.py"), *folder.glob("tests/**/*.py")):
        dated_by_content(source)
    (folder / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    (folder / "models").mkdir()
    for model in work.models:
        shutil.copy(model, folder / "models")
    shutil.copytree(work.photos, folder / "photos")
    script = folder / "run"
    script.write_text(SCRIPT)
    script.chmod(0o755)
    machine = Machine(cpu, kernel(KERNEL_SUITE, cache), guest.root, guest.site, guest.pycache, folder)
    began = time.monotonic()
    try:
        with booted(machine, ALL_TESTS_TIMEOUT_S if len(plan.tests) == len(ALL_TESTS) else TIMEOUT_S) as running:
            stopped.callback(running.stop)
            for line in running.lines():
                print(f"{cpu[-3:]} {time.monotonic() - began:6.1f} s | {line}", flush=True)
    except HostError as error:
        return str(error)
    return ""


def dated_by_content(source: Path) -> None:
    """Gives a Python file a date that follows from its content, so that what the machine has compiled of it stays valid
    from run to run as long as it stays the same, and no longer."""
    date = int.from_bytes(hashlib.sha256(source.read_bytes()).digest()[:4]) >> 1
    os.utime(source, (date, date))


def shown_scores(photo_folder: Path, model: Path) -> dict[str, npt.NDArray[np.float32]]:
    """The bare interpreter's scores here of each picture that is put before the camera, by the photo's name."""
    names, frames = zip(*read(photo_folder, SHOWN), strict=True)
    return dict(zip(names, bare_scores(model, map(framed, frames)), strict=True))


def seen(machine: str, folder: Path, model: Path, wanted: Mapping[str, npt.NDArray[np.float32]]) -> Row:
    """What the live loop said of each picture before the camera, against the scores of that picture here."""
    labels = read_card(model).labels
    same, largest = 0, 0.0
    for one in json.loads((folder / "live.json").read_text()):
        scores = wanted[one["photo"]]
        same += labels[int(scores.argmax())] == one["label"]
        largest = max(largest, abs(float(scores.max()) - one["score"]))
    return Row(machine, f"live, top-1 through the camera, {model.stem}", same, len(wanted), largest)


def timed(what: str, do: Callable[[], T]) -> T:
    """What `do` gives; how long it took is printed."""
    began = time.monotonic()
    result = do()
    print(f"here       | {what}: {time.monotonic() - began:.1f} s", flush=True)
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.emulated.verify",
        description="Run the product on emulated Raspberry Pis with a camera, and compare with this machine.",
        epilog="Example: python -m tests.emulated.verify flowers-int8.tflite --photos photos/ --stages bytes,live",
    )
    parser.add_argument(
        "models", nargs="*", type=Path, help="sealed .tflite files; small ones are made if none is given"
    )
    parser.add_argument("--photos", type=Path, help="a folder of photos; road signs are rendered if none is given")
    parser.add_argument("--stages", default=",".join(STAGES), help="of %(default)s")
    parser.add_argument("--cpu", choices=MACHINES, action="append", help="one machine only")
    parser.add_argument("--everywhere", action="store_true", help="every stage on every machine; some share them else")
    parser.add_argument(
        "--all-tests", action="store_true", help="tests/core and tests/device; takes a quarter of an hour"
    )
    options = parser.parse_args(arguments)
    stages = options.stages.split(",")
    if unknown := set(stages) - set(STAGES):
        parser.error(f"no such stage: {', '.join(sorted(unknown))}")
    cpus = options.cpu or list(MACHINES)
    own = partial(plan, cpus=cpus, stages=stages, everywhere=options.everywhere, all_tests=options.all_tests)
    began = time.monotonic()
    end_on_signals()  # also where it is a job of a script, which ignores Ctrl-C
    try:
        status = _verify(cpus, options.models, options.photos, own)
    except EdgeError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    print(f"\n{'passed' if status == 0 else 'FAILED'}, after {time.monotonic() - began:.0f} s")
    return status


def _verify(cpus: list[Cpu], given: list[Path], own_photos: Path | None, planned: Callable[..., Plan]) -> int:
    tool("qemu-system-aarch64")
    for model in given:
        if check_seal(model) is None:
            raise HostError(f"{model} has no seal, which edge-run verify asks for; export it again")
    if len({model.name for model in given}) < len(given):
        raise HostError(f"the models' names must differ: {', '.join(map(str, given))}")
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    with ExitStack() as scratch, ThreadPoolExecutor() as pool, ExitStack() as stopped:
        folders = {
            cpu: Path(scratch.enter_context(tempfile.TemporaryDirectory(prefix=f"{cpu}-", dir=cache))) for cpu in cpus
        }
        own = Path(scratch.enter_context(tempfile.TemporaryDirectory(dir=cache)))
        # Downloads wait for the network and models for the processor.
        fetched = [pool.submit(_fetch, cpu) for cpu in cpus]
        wheel = timed("wheel", lambda: _wheel(own))
        found = sorted(timed("models", lambda: given or models(cache)), key=lambda model: model.name)
        folder = timed("photos", lambda: pictures_of(own_photos, own / "photos") if own_photos else photos(cache))
        for one in fetched:
            one.result()
        opened = {model: Classifier(model, threads=1) for model in found}
        for model, classifier in opened.items():
            print(f"here       | {model.name}: recipe {classifier.card.conversion.get('recipe', 'not known')}")
        # A float model takes an emulated processor three times as long.
        exact = [model for model, classifier in opened.items() if classifier.quantized]
        camera_model = (exact or found)[0].name
        plans = {cpu: planned(cpu, camera_model=camera_model) for cpu in cpus}
        named = LABELS_NAMED_BY_OTHERS if given or own_photos else LABELS_NAMED
        work = Work(plans, wheel, found, folder, named)
        has_bytes = any("bytes" in lane for plan in work.plans.values() for lane in plan.lanes)
        here = pool.submit(lambda: measured(folder, found, by_the_product=False) if has_bytes else {})
        wrong = dict(zip(cpus, pool.map(lambda cpu: verify_on(cpu, work, folders[cpu], stopped), cpus), strict=True))
        return _report(
            work,
            {cpu: folder / "out" for cpu, folder in folders.items()},
            here.result(),
            [m.stem for m in exact],
            wrong,
        )


def _fetch(cpu: Cpu) -> None:
    """Downloads what is not in the cache yet. A suite is one thread's: apt keeps its lists in one place."""
    python = MACHINES[cpu]
    if SUITES[python] == KERNEL_SUITE:
        timed("kernel", lambda: kernel(KERNEL_SUITE, cache_folder()))
    timed(f"system and packages of Python {python}", lambda: files(python, (TEST_REQUIREMENTS,)))


def _wheel(folder: Path) -> Path:
    run([Path(sys.executable), "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)])
    (wheel,) = folder.glob("*.whl")
    return wheel


def _report(work: Work, folders: dict[Cpu, Path], here: Arrays, exact: list[str], wrong: dict[Cpu, str]) -> int:
    """Prints what came out; the exit status."""
    outcomes = {
        cpu: {stage: _outcome(folders[cpu], stage) for lane in work.plans[cpu].lanes for stage in lane}
        for cpu in folders
    }
    rows: list[Row] = []
    transcripts: list[str] = []
    spreads = [
        spread(what.removeprefix("scores "), scores, work.labels_named)
        for what, scores in here.items()
        if what.startswith("scores ")
    ]
    for cpu, folder in folders.items():
        if (folder / "measured.npz").exists():
            with np.load(folder / "measured.npz") as there:
                rows += compared(cpu, dict(there), here, exact)
        if (folder / "live.json").exists():
            (model,) = (model for model in work.models if model.name == work.plans[cpu].camera_model)
            shown = shown_scores(work.photos, model)
            spreads.append(
                spread(f"{model.stem}, through the camera", np.stack(list(shown.values())), work.labels_named)
            )
            rows.append(seen(cpu, folder, model, shown))
        if (folder / "faults.json").exists():
            said = json.loads((folder / "faults.json").read_text())
            transcripts.append(faults_table(cpu, said))
            rows.append(
                Row(cpu, "camera faults recovered from", sum(one["recovered"] for one in said), len(said), None)
            )
    tables = [*transcripts, *([rows_table(rows)] if rows else []), *([spread_table(spreads)] if spreads else [])]
    for table in (stages_table(outcomes), *tables):
        print(f"\n{table}")
    for cpu, text in wrong.items():
        if text:
            print(f"\n{cpu}: {text}")
    passed = all(outcome and not outcome.failed for stages in outcomes.values() for outcome in stages.values())
    told_apart = not any(one.wrong for one in spreads)
    return 0 if passed and not any(wrong.values()) and all(row.right for row in rows) and told_apart else 1


def _outcome(folder: Path, stage: str) -> Outcome | None:
    path = folder / f"{stage}.outcome.json"
    return Outcome(**json.loads(path.read_text())) if path.exists() else None


if __name__ == "__main__":
    sys.exit(main())

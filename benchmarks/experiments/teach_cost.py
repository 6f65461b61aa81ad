"""What a lesson costs: time from the last picture to the new file in use, memory above `live`, instructions on Arm.

    taskset -c 0 python benchmarks/experiments/teach_cost.py FILE PHOTOS [LABEL]
    python benchmarks/experiments/teach_cost.py FILE PHOTOS [LABEL] --arm

PHOTOS is a folder of pictures of LABEL, 20 say, as `edge-run teach --photos` takes it; LABEL is the folder's name where
it is not given. A copy of FILE is taught by what the live page runs, then taken up by what watches the model of `live`.
Of each step it prints processor time, which is what a core that has nothing else to do takes, and the time on the
clock; then the whole as a multiple of 20 frames classified by the same process; then how far the memory rose above that
of the process when it had classified frames and not taught yet, the new file's interpreter beside the old one's
included.

`--arm` counts instructions of the same on an emulated Cortex-A72 (`edge-bench instructions` says what it needs), and
makes a range of them: 0.5 to 2 instructions in a cycle at 1.5 to 1.8 GHz, within which no Raspberry Pi 4 was measured.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

FRAMES: Final = 20
PER_CYCLE: Final = (2.0, 0.5)
HERTZ: Final = (1.8e9, 1.5e9)
BETWEEN: Final = 100
"""Mark of what is executed between two steps."""
STEPS: Final = ("decode the pictures", "teach, test and seal", "write", "prove and take up")


class Steps:
    """What each step took."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, float, float]] = []

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        _mark(BETWEEN)
        processor, clock = time.process_time(), time.monotonic()
        yield
        self.rows.append((name, time.process_time() - processor, time.monotonic() - clock))
        _mark(len(self.rows))


def _mark(number: int) -> None:
    """A mark for `edge_bench.arm.user_mode.counted`: asks for a process that is not there."""
    with suppress(OSError):
        os.getsid(number)


def memory_mb(row: str) -> float:
    """A row of /proc/self/status, `VmRSS` or `VmHWM`."""
    text = Path("/proc/self/status").read_text()
    return float(next(line.split()[1] for line in text.splitlines() if line.startswith(row + ":"))) / 1024


def lesson(file: Path, photos: Path, label: str) -> None:
    """Teaches a copy of a file; prints what it took."""
    from edge_core.images import read_picture
    from edge_device import Classifier

    frames = [read_picture(path) for path in sorted(photos.iterdir())[:FRAMES]]
    steps = Steps()
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model.tflite"
        shutil.copyfile(file, model)
        running = Classifier(model, threads=1)
        for frame in frames:
            running.classify(frame)
        with steps.timed(f"{len(frames)} frames"):
            for frame in frames:
                running.classify(frame)
        del frames, frame
        before = memory_mb("VmRSS")
        with suppress(OSError):  # under emulation
            Path("/proc/self/clear_refs").write_text("5")
        digest = taught(model, photos, label, running.digest or "", steps)
    rise = memory_mb("VmHWM") - before
    (shown, unit, _), *rows = steps.rows
    for name, processor, clock in rows:
        print(f"{name:22} {processor:6.2f} s of a core, {clock:6.2f} s on the clock")
    whole = sum(row[1] for row in rows)
    print(f"{'in all':22} {whole:6.2f} s of a core, {sum(row[2] for row in rows):6.2f} s on the clock")
    print(f"{shown}: {unit:.3f} s of a core; the lesson takes {whole / unit:.0f} times that")
    print(f"memory: {before:.0f} MB before, at most {rise:.0f} MB more; now sha256:{digest[:12]}... is in use")


def taught(model: Path, photos: Path, label: str, digest: str, steps: Steps) -> str:
    """Teaches a file in place; the digest of what then runs."""
    from edge_device import Classifier
    from edge_device.live.model_watcher import ModelWatcher
    from edge_device.teaching.examples import photo_examples
    from edge_device.teaching.lesson import Lesson, TeachSettings
    from edge_device.teaching.teach import teach
    from edge_device.teaching.write import write_taught

    with ModelWatcher(model, lambda: Classifier(model, threads=1), lambda notice: None, digest=digest) as watcher:
        with steps.timed(STEPS[0]):
            examples = photo_examples(model, photos, label)
        with steps.timed(STEPS[1]):
            made = teach(model, Lesson(examples), TeachSettings(force=True))
        with steps.timed(STEPS[2]):
            write_taught(made, model)
        with steps.timed(STEPS[3]):
            watcher.ask()
            while (new := watcher.take()) is None:
                time.sleep(0.005)
    return new.digest


def count(file: Path, photos: Path, label: str) -> None:
    """Runs this file under emulation, and prints what it executed."""
    from edge_bench.arm.guest import files
    from edge_bench.arm.instructions import PYTHON, own_packages
    from edge_bench.arm.user_mode import counted

    arguments = ["-P", __file__, str(file.resolve()), str(photos.resolve()), label]
    rows = counted("cortex-a72", files(PYTHON), arguments, own_packages())
    names = ("the frames", *STEPS)
    lesson_only = 0
    for mark, counts in rows:
        if mark == BETWEEN:
            continue
        print(f"{names[mark - 1]:22} {counts.all / 1e9:6.2f} thousand million instructions")
        lesson_only += counts.all if mark > 1 else 0
    low, high = (lesson_only / per_cycle / hertz for per_cycle, hertz in zip(PER_CYCLE, HERTZ, strict=True))
    print(f"{'in all':22} {lesson_only / 1e9:6.2f} thousand million: {low:.1f} to {high:.1f} s on one Cortex-A72")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("label", nargs="?")
    parser.add_argument("--arm", action="store_true")
    asked = parser.parse_args()
    do = count if asked.arm else lesson
    do(asked.file, asked.photos, asked.label or asked.photos.name)
    sys.stdout.flush()

"""`make verify-gpu`: the same training on the processor and on the GPU, and a report to attach to an issue.

Three trainings from one seed, each in a process of its own with a feature cache of its own: on the processor, on the
GPU in float32, and on the GPU as `fit` has it. What must hold: the accuracy of each GPU training is that of the
processor within the 95 % interval of the paired difference on the same test photos, and in float32 the solved head,
before anything random, has the same validation loss. Losses of the epochs are printed side by side: XLA draws another
dropout from the same seed, so they are alike, not equal.

No GPU was at hand when this was written: `HEAD_LOSS` is what float32 sums in another order may cost, not a measurement.
"""

import argparse
import csv
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import numpy as np

from edge_core.errors import EdgeError, OutputError, RuntimeMissingError
from edge_core.files import written_whole
from edge_core.statistics import Estimate, paired_difference
from edge_train.doctor.nvidia import find_driver

CPU: Final = "processor"
GPU_32: Final = "GPU, float32"
GPU: Final = "GPU, as fit has it"

HEAD_LOSS: Final = 0.01
"""Relative difference of the solved head's validation loss between processor and GPU in float32, at most."""

TIMEOUT_S: Final = 3600.0


@dataclass(frozen=True)
class Training:
    """A training that was measured.

    Attributes:
        name: CPU, GPU_32 or GPU.
        device: what it ran on, in words.
        right: by photo, whether the test photo was judged right.
        losses: validation loss after each epoch; the first is the solved head's.
        seconds: of `fit`, reading the photos and running the backbone included.
        memory_mb: peak of the process.
        gpu_mb: peak of what TensorFlow took of the GPUs; 0 without.
    """

    name: str
    device: str
    right: dict[str, bool]
    losses: tuple[float, ...]
    seconds: float
    memory_mb: float
    gpu_mb: float


@dataclass(frozen=True)
class Compared:
    """A GPU training against that on the processor.

    Attributes:
        difference: accuracy on the GPU minus that on the processor, on the same photos.
        head_loss: relative difference of the solved head's validation loss.
        times_faster: the processor's seconds for one of the GPU's.
        wrong: what must hold and does not, in words.
    """

    training: Training
    difference: Estimate
    head_loss: float
    times_faster: float
    wrong: tuple[str, ...]


def compare(training: Training, on_cpu: Training) -> Compared:
    """Holds a training on a GPU against that on the processor."""
    photos = sorted(on_cpu.right)
    if sorted(training.right) != photos:
        raise OutputError(f"{training.name} was tested on other photos than {on_cpu.name}")
    difference = paired_difference(
        np.array([training.right[photo] for photo in photos]), np.array([on_cpu.right[photo] for photo in photos])
    )
    head = abs(training.losses[0] / on_cpu.losses[0] - 1)
    wrong = []
    if not difference.low <= 0 <= difference.high:
        wrong.append(f"accuracy differs from the processor's by {difference.percent()}")
    if training.name == GPU_32 and not head <= HEAD_LOSS:
        wrong.append(f"the solved head's validation loss differs by {100 * head:.2f} %, more than {100 * HEAD_LOSS:g}")
    return Compared(training, difference, head, on_cpu.seconds / training.seconds, tuple(wrong))


def report(on_cpu: Training, compared: Sequence[Compared], about: dict[str, str]) -> str:
    """The report, Markdown."""
    share = sum(on_cpu.right.values()) / len(on_cpu.right)
    lines = ["# The same training on the GPU and on the processor", ""]
    lines += [f"- {name}: {value}" for name, value in about.items()]
    lines += [
        "",
        "| training | device | accuracy | against the processor | times as fast | memory, MB | of the GPU, MB |",
    ]
    lines += ["|---|---|--:|--:|--:|--:|--:|"]
    lines.append(f"| {on_cpu.name} | {on_cpu.device} | {100 * share:.1f} % | | 1.0 | {on_cpu.memory_mb:.0f} | |")
    for one in compared:
        run = one.training
        share = sum(run.right.values()) / len(run.right)
        lines.append(
            f"| {run.name} | {run.device} | {100 * share:.1f} % | {one.difference.percent()} | {one.times_faster:.1f} "
            f"| "
            f"{run.memory_mb:.0f} | {run.gpu_mb:.0f} |"
        )
    runs = [on_cpu, *(one.training for one in compared)]
    lines += ["", "Validation loss after each epoch; 0 is the solved head.", ""]
    lines += [f"| epoch | {' | '.join(run.name for run in runs)} |", f"|--:|{'--:|' * len(runs)}"]
    for epoch in range(max(len(run.losses) for run in runs)):
        cells = [f"{run.losses[epoch]:.5f}" if epoch < len(run.losses) else "" for run in runs]
        lines.append(f"| {epoch} | {' | '.join(cells)} |")
    wrong = [f"{one.training.name}: {reason}" for one in compared for reason in one.wrong]
    lines += ["", *([f"FAILED: {reason}" for reason in wrong] or ["All that must hold holds."]), ""]
    return "\n".join(lines)


def train(name: str, data: str, folder: Path, more: Sequence[str]) -> Training:
    """Trains in a process of its own.

    Raises:
        EdgeError: it failed.
    """
    run, file = folder / name.replace(" ", "-").replace(",", ""), folder / "memory.json"
    environment = os.environ | {"XDG_CACHE_HOME": str(run.with_suffix(".cache"))}
    options: list[str] = []
    if name == CPU:
        environment["CUDA_VISIBLE_DEVICES"] = "-1"
    elif name == GPU_32:
        options = ["--float32"]
    command = [sys.executable, "-m", "tests.gpu.trained", str(file), "fit", data, "--out", str(run), *options, *more]
    print(f"{name}: {' '.join(command[4:])}", file=sys.stderr, flush=True)
    began = time.monotonic()
    done = subprocess.run(command, env=environment, stdout=sys.stderr, timeout=TIMEOUT_S, check=False)
    seconds = time.monotonic() - began
    if done.returncode or not file.is_file():
        raise EdgeError(f"{name}: edge-train fit ended with status {done.returncode}")
    return read_training(name, run, json.loads(file.read_text()), seconds)


def read_training(name: str, run: Path, memory: dict[str, Any], seconds: float) -> Training:
    """What a run folder says of a training."""
    with (run / "predictions.csv").open(newline="", encoding="utf-8", errors="surrogateescape") as lines:
        right = {row["path"]: row["label"] == row["predicted"] for row in csv.DictReader(lines)}
    with (run / "history.csv").open(newline="", encoding="utf-8") as lines:
        losses = tuple(float(row["val_loss"]) for row in csv.DictReader(lines))
    device = " and ".join(memory["gpus"]) or platform.processor() or platform.machine()
    return Training(name, device, right, losses, seconds, memory["memory_mb"], memory["gpu_mb"])


def main(arguments: Sequence[str], trained: Callable[[str, str, Path, Sequence[str]], Training] = train) -> int:
    """Trains, compares and writes the report; exit status 1 if something does not hold, 2 without a GPU."""
    parser = argparse.ArgumentParser(prog="make verify-gpu", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("data", help="Photo folder, or the name of a set: signs, flowers.")
    parser.add_argument("--out", type=Path, default=Path("verify-gpu.md"), help="Report to write.")
    given, more = parser.parse_known_args(arguments)  # what is not known here is for edge-train fit
    try:
        driver = find_driver()
        if driver is None:
            raise RuntimeMissingError("there is no NVIDIA driver here, so there is nothing to verify")
        with tempfile.TemporaryDirectory(prefix="verify-gpu-") as scratch:
            runs = {name: trained(name, given.data, Path(scratch), more) for name in (CPU, GPU_32, GPU)}
        if not all(runs[name].gpu_mb for name in (GPU_32, GPU)):
            raise RuntimeMissingError("TensorFlow sees no GPU; edge-train doctor says why")
        compared = [compare(runs[name], runs[CPU]) for name in (GPU_32, GPU)]
        versions = {name: metadata.version(name) for name in ("edge-mobilenet", "tensorflow")}
        text = report(runs[CPU], compared, {"data": given.data, "driver": driver.version, **versions})
        with written_whole(given.out) as beside:
            beside.write_text(text, "utf-8")
    except EdgeError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_status
    print(text)
    print(f"written: {given.out}", file=sys.stderr)
    return 1 if any(one.wrong for one in compared) else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

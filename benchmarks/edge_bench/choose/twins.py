"""What a network costs, before it is trained: an untrained one of the same layers, converted to 8 bits, takes as long.

Time does not depend on the weights: MobileNetV2's kernels have no shortcut for zeros.
"""

import random
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np

from edge_bench.arm.instructions import count_instructions
from edge_bench.arm.machine import Cpu
from edge_bench.backends.contenders import RowSpec, Variants, plan, read_source
from edge_bench.choose.networks import BackboneVariant
from edge_bench.measure.benchmark import WARM_UP_SECONDS, open_contender
from edge_bench.measure.held_out import save_frame
from edge_bench.measure.timing import Clock, time_rounds
from edge_bench.measure.worker_process import BenchWorker, WorkerProcess
from edge_bench.remote.host import RemoteHost
from edge_bench.results.latency import latency
from edge_bench.results.report import BenchSettings
from edge_convert.export.untaught import drawn_pictures
from edge_convert.quantize.recipes import int8_qat
from edge_core.artifact.card import ModelCard
from edge_core.artifact.container import complete
from edge_core.preprocess import preprocess
from edge_core.progress import Track, silently
from edge_core.statistics import Estimate
from edge_keras.models.backbone import build
from edge_keras.models.pretrained import Weights
from edge_keras.tf import keras

CALIBRATION_PICTURES: Final = 4
"""Any ranges will do: nobody reads the scores."""

SECONDS: Final = 3.0
"""Longest time that each twin is timed for, in turns."""

TOGETHER: Final = 6
"""Networks that take turns; each has a process of some 100 MB, and a board may have 1 GB."""

FRAME_SIZE: Final = (1280, 720)

Target = Literal["here", "pi4", "pi5"]

BOARDS: Final[dict[str, tuple[str, Cpu, float]]] = {
    "pi4": ("Raspberry Pi 4", "cortex-a72", 1.5),
    "pi5": ("Raspberry Pi 5", "cortex-a76", 2.4),
}
"""Name of a board, its core, and GHz of that; the clocks are Raspberry Pi's own data sheets'."""


@dataclass(frozen=True)
class Clocked:
    """Where times come from.

    Attributes:
        times: Milliseconds for a frame of 1280x720, preprocessing included, by name of the network.
        how: What they are, in a sentence.
    """

    times: dict[str, Estimate]
    how: str


def write_twin(network: BackboneVariant, labels: int, folder: Path) -> Path:
    """Writes an untrained network as a complete .tflite of 8 bits, which has the network's name."""
    keras.utils.set_random_seed(0)
    model = build(network.spec, labels, network.alpha, Weights("none (random)"), network.architecture)
    pixels = np.stack([preprocess(frame, network.spec) for frame in drawn_pictures(CALIBRATION_PICTURES)])
    names = tuple(f"label {number}" for number in range(labels))
    path = folder / f"{network.name}.tflite"
    path.write_bytes(complete(int8_qat(model, pixels), ModelCard(names, network.spec), network.name))
    return path


def clock_twins(
    files: Sequence[Path], target: Target, folder: Path, host: str = "", threads: int = 0, track: Track = silently
) -> Clocked:
    """Times the twins here or on a board, or counts what they execute on an emulated one.

    Args:
        files: Twins, see `write_twin`.
        target: What the times shall be of, if no host is given.
        folder: Folder for frames.
        host: Board to measure on over SSH, `user@board`; empty for none.
        threads: Threads of an inference here or on the host; 0 for all cores.
        track: Receives the progress of each step.

    Raises:
        HostError: The host cannot be used, or what is emulated cannot be had.
        RuntimeMissingError: QEMU, gcc or apt is not installed.
    """
    if host:
        with RemoteHost(host, track=track) as board:
            counted = threads or int(board.board.about["cores"])
            return _timed(files, folder, counted, f"measured on {host}", board, track)
    if target == "here":
        counted = threads or Variants().threads[0]
        return _timed(files, folder, counted, "measured on this machine", None, track)
    name, cpu, gigahertz = BOARDS[target]
    instructions = dict.fromkeys((file.stem for file in files), 0)
    for cost in count_instructions(files, [cpu], FRAME_SIZE, track):
        instructions[cost.model] += cost.instructions
    # Cycles over GHz are nanoseconds.
    milliseconds = {model: count / gigahertz / 1e6 for model, count in instructions.items()}
    return Clocked(
        {model: Estimate(value, value, value) for model, value in milliseconds.items()},
        f"estimated for a {name}: counted instructions of one thread at one per cycle of {gigahertz} GHz; "
        "--host USER@BOARD measures",
    )


def _timed(
    files: Sequence[Path], folder: Path, threads: int, how: str, board: RemoteHost | None, track: Track
) -> Clocked:
    rng = np.random.default_rng(0)
    frames = [
        save_frame(folder / f"frame-{number}.npy", rng.integers(0, 256, (*FRAME_SIZE[::-1], 3)).astype(np.uint8))
        for number in range(4)
    ]
    candidates = plan([read_source(file) for file in files], Variants(threads=(threads,)))
    times: dict[str, Estimate] = {}
    for first in range(0, len(candidates), TOGETHER):
        times |= _in_turns(candidates[first : first + TOGETHER], frames, board, track)
    return Clocked(times, f"{how}, {threads} thread{'s' * (threads > 1)}")


def _in_turns(
    candidates: Sequence[RowSpec], frames: Sequence[str], board: RemoteHost | None, track: Track
) -> dict[str, Estimate]:
    settings, order = BenchSettings(FRAME_SIZE, SECONDS), random.Random(0)

    def start(candidate: RowSpec) -> BenchWorker:
        return board.worker(candidate.file) if board else WorkerProcess(candidate.file)

    with ExitStack() as stack:
        contenders = []
        for candidate in track(candidates, "Opening untrained networks", len(candidates)):
            contender = open_contender(candidate, frames[0], True, start, stack)
            contender.worker.ask("burst", frames=frames, seconds=WARM_UP_SECONDS)
            contenders.append(contender)
        time_rounds(contenders, Clock(frames, order), settings, order, track)
    return {contender.candidate.name: latency(contender.total_ms).median for contender in contenders}

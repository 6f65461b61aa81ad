"""An accelerator, and the CPU that stands in while it is away."""

import shlex
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from edge_core.artifact.card import UNTAUGHT
from edge_core.artifact.container import CPU_MODEL_FILE, has_entry, is_compiled, read_card
from edge_core.artifact.familiarity import FAMILIAR, Features
from edge_core.artifact.golden import QUANTIZED, read_golden
from edge_core.artifact.seal import check_seal
from edge_core.errors import AcceleratorError, ModelFormatError
from edge_core.images import decode_picture
from edge_core.preprocess import Frame, InputSpec, preprocess
from edge_device.inference.accelerator.edgetpu import Coral
from edge_device.inference.classifier import Classifier
from edge_device.inference.interpreter import Interpreter, Runner, RuntimeName, Scores
from edge_device.notices import Level, Notifier, ignore, notice

if TYPE_CHECKING:
    from edge_device.inference.accelerator.process import AcceleratorProcess
    from edge_device.inference.turns import RunnerPool

RETRY_S: Final = 5.0
RETRY_MAX_S: Final = 300.0
"""Between two attempts to get an accelerator back: at first, and doubled up to this. One that worked for as long is
trusted as at first."""


@dataclass(frozen=True)
class Supervision:
    """How an accelerator that may be lost is looked after.

    Attributes:
        notify: Gets that the accelerator is lost, and that it is back; called by who calls the classifier.
        at_once: Whether to open the accelerator before returning; else the CPU begins, and it is opened `retry_s`
            later: for a model that replaces one, which has the accelerator until it is closed.
        stopped: Whether the run is to end: an accelerator that hangs is not waited for then.
        retry_s: Seconds before the first attempt to get the accelerator back, see `RETRY_S`.
        watchdog_s: Seconds after which an inference counts as hanging, see `AcceleratorProcess`.
    """

    notify: Notifier = ignore
    at_once: bool = True
    stopped: Callable[[], bool] = lambda: False
    retry_s: float = RETRY_S
    watchdog_s: float | None = None


USUAL_SUPERVISION: Final = Supervision()


def open_classifier(
    path: Path,
    coral: Coral | None,
    *,
    fallback: Path | None = None,
    runtime: RuntimeName = "auto",
    threads: int | None = None,
    supervision: Supervision = USUAL_SUPERVISION,
    familiar: float = FAMILIAR,
    pool: "RunnerPool | None" = None,
) -> Classifier:
    """Opens a model on the device that was asked for.

    A file for an Edge TPU that carries its model for the CPU, or has one given, goes on without the Edge TPU, from the
    very frame on for which that gave no scores. Without any, the first failure is the end.

    Args:
        path: Path of a complete .tflite; for an Edge TPU, a compiled one.
        coral: None for the CPU.
        fallback: The file that `path` was compiled from; not needed if it is inside.
        runtime: Which interpreter, see `Interpreter`.
        threads: Number of threads for one inference on the CPU; all cores unless told otherwise.
        supervision: How an accelerator is looked after.
        familiar: Whether the detector in the file is asked, too; see `Classifier`.
        pool: What other cameras of this process have open, to be shared; None: nothing is shared.

    Raises:
        AcceleratorError: It cannot be used, and there is nothing to stand in.
        ModelFormatError: See `Classifier`; or a file that is not compiled; or a fallback with other labels or input.
        SealError, RuntimeMissingError: See `Classifier`.
    """

    def run(file: Path, tell: Notifier) -> Runner:
        if coral is None and fallback is None:
            return Interpreter(file, runtime=runtime, threads=threads)
        _require_compiled(file)
        if fallback:
            _require_same_card(file, fallback)
        if coral is None:
            return Interpreter(fallback or file, runtime=runtime, threads=threads)
        if not fallback and not has_entry(file, CPU_MODEL_FILE):
            return on_accelerator(file, coral, runtime=runtime, stopped=supervision.stopped)
        # Opened before the accelerator, so that it can stand in from the first frame on.
        cpu = Interpreter(fallback or file, runtime=runtime, threads=threads)
        frames = golden_pixels(fallback or file)
        told = replace(supervision, notify=tell)
        return WithFallback(file, coral, cpu, frames, runtime=runtime, supervision=told)

    def share(file: Path) -> Runner:
        if pool is None:
            return run(file, supervision.notify)
        # By the file, not by its path: after a replacement the old and the new model run beside each other.
        key = (_identity(file), coral, _identity(fallback) if fallback else None, runtime, threads)
        return pool.turn(key, partial(run, file), supervision.notify)

    runner = None if coral is None and fallback is None and pool is None else share
    classifier = Classifier(path, runtime=runtime, threads=threads, runner=runner, familiar=familiar)
    if classifier.card.conversion.get(UNTAUGHT):
        classifier.close()
        raise ModelFormatError(
            f"{path} knows no label yet; teach it: edge-run teach {shlex.quote(str(path))} --source 0 --label NAME"
        )
    return classifier


def on_accelerator(
    path: Path, coral: Coral, *, runtime: RuntimeName = "auto", stopped: Callable[[], bool] = lambda: False
) -> "AcceleratorProcess":
    """Opens a compiled file on an Edge TPU, with nothing to stand in.

    Raises:
        AcceleratorError: See `AcceleratorProcess`.
        ModelFormatError: It is not compiled.
    """
    from edge_device.inference.accelerator.process import AcceleratorProcess

    _require_compiled(path)
    with path.open("rb") as file:
        return AcceleratorProcess(file, coral, runtime=runtime, stopped=stopped)


def golden_pixels(path: Path) -> tuple[Frame, ...]:
    """What the model takes of its golden frames, uint8 of its input's shape; nothing of a file that was never
    sealed."""
    spec = read_card(path).input
    try:
        golden = read_golden(path)
    except ModelFormatError:
        return ()
    return tuple(preprocess(decode_picture(frame.jpeg), spec) for frame in golden.frames)


def disagreement(cpu: Scores, accelerator: Scores, tolerance: float) -> str:
    """Where two runs of a model on the same pixels are not of one opinion; empty if they are.

    Args:
        cpu, accelerator: Scores of the two runs, shape (labels,).
        tolerance: Difference of a score that is allowed; the best label of one may be as far from being that of the
            other.
    """
    difference = float(np.abs(cpu - accelerator).max())
    if not difference <= tolerance:  # nor is a NaN
        return f"a score differs from the CPU's by {difference:.2g}, {tolerance:.2g} is allowed"
    best = int(accelerator.argmax())
    if cpu[best] < cpu.max() - tolerance:
        return f"its best label, number {best}, is not the CPU's, number {int(cpu.argmax())}"
    return ""


class WithFallback:
    """An Edge TPU where there is one, else the CPU: the face of an `Interpreter`. For one thread.

    Attributes:
        device: What computes now.
        fallback_reason: Why the CPU stands in; empty if it does not.
        runtime: Name of what computes now.
        input_shape, outputs, quantized: What `Interpreter` says of the model.
    """

    def __init__(
        self,
        path: Path,
        coral: Coral,
        cpu: Runner,
        frames: Sequence[Frame] = (),
        *,
        runtime: RuntimeName = "auto",
        supervision: Supervision = USUAL_SUPERVISION,
    ) -> None:
        """Opens the accelerator, or begins on the CPU where that fails.

        Args:
            path: Path of a .tflite for the Edge TPU; a file that takes its place later is not opened.
            coral: Edge TPU to run the model on.
            cpu: The same model on the CPU. Ready all the time, about 10 MB, so that no frame waits for it.
            frames: Pixels, uint8 of the input's shape, on which both have to agree before the accelerator is used.
            runtime: Which interpreter the accelerator's process opens, see `AcceleratorProcess`.
            supervision: How the accelerator is looked after.
        """
        self._coral, self._runtime, self._supervision = coral, runtime, supervision
        self._file = path.open("rb")
        self._cpu = cpu
        # Once, since they are the same at every attempt to get the accelerator back.
        self._expected = [(pixels, cpu.scores(pixels)) for pixels in frames]
        self._accelerator: AcceleratorProcess | None = None
        self._back: AcceleratorProcess | None = None  # set by the thread, taken between two frames
        self._closed = threading.Event()
        # Guards the moment in which a process is handed over: closed before it, the search itself closes the process.
        self._handing = threading.Lock()
        self._wait_s = supervision.retry_s
        self._since_s = time.monotonic()
        self.fallback_reason = f"{coral} is opened soon"
        self.input_shape, self.outputs, self.quantized = cpu.input_shape, cpu.outputs, cpu.quantized
        if not supervision.at_once:
            self._seek()
            return
        try:
            self._accelerator, self.fallback_reason = self._connected(), ""
        except AcceleratorError as error:
            self._stand_in(error)
        except BaseException:
            self._file.close()
            raise

    @property
    def runtime(self) -> str:
        return self._active.runtime

    @property
    def device(self) -> str:
        return self._active.device

    def write_frame(self, frame: Frame, spec: InputSpec) -> None:
        """Preprocesses a frame straight into the input."""
        self._come_back()
        self._active.write_frame(frame, spec)

    def write_pixels(self, pixels: Frame) -> None:
        """Writes preprocessed pixels, uint8 of shape `input_shape`, into the input."""
        self._come_back()
        self._active.write_pixels(pixels)

    def invoke(self) -> None:
        """Runs the model on what was written: on the CPU, if the accelerator fails over it."""
        if self._accelerator is None:
            self._cpu.invoke()
            return
        try:
            self._accelerator.invoke()
        except AcceleratorError as error:
            # The shared memory outlives the process, so the very frame over which it failed is run again.
            self._cpu.write_pixels(self._accelerator.pixels)
            self._accelerator = None
            self._cpu.invoke()
            self._stand_in(error)

    def read_scores(self) -> Scores:
        """The scores of the last run."""
        return self._active.read_scores()

    def read_features(self) -> tuple[Features, ...]:
        """Of the last run; empty while an accelerator computes whose file has no features among its outputs."""
        return self._active.read_features()

    def scores(self, pixels: Frame) -> Scores:
        """Scores for preprocessed pixels, uint8 of shape `input_shape`."""
        self.write_pixels(pixels)
        self.invoke()
        return self.read_scores()

    def close(self) -> None:
        """Ends the accelerator's process and the search for it."""
        with self._handing:
            self._closed.set()
        for process in (self._accelerator, self._back):
            if process:
                process.close()
        self._accelerator = self._back = None
        self._file.close()
        self._cpu.close()

    @property
    def _active(self) -> Runner:
        return self._accelerator or self._cpu

    def _stand_in(self, error: AcceleratorError) -> None:
        self.fallback_reason = str(error)
        # It has worked for long, so that this loss is taken for a new one.
        if time.monotonic() - self._since_s > RETRY_MAX_S:
            self._wait_s = self._supervision.retry_s
        self._seek()
        self._notify_of("warning", f"{error}; the CPU stands in")

    def _come_back(self) -> None:
        if self._back is None:
            return
        self._accelerator, self._back = self._back, None
        self._since_s = time.monotonic()
        self.fallback_reason = ""
        self._notify_of("info", f"{self._coral} is in use")

    def _notify_of(self, level: Level, text: str) -> None:
        self._supervision.notify(notice(level, "accelerator", text))

    def _seek(self) -> None:
        threading.Thread(target=self._sought, name="accelerator", daemon=True).start()

    def _sought(self) -> None:
        while not self._closed.wait(self._wait_s):
            # Doubled before the attempt, so that an accelerator which fails at once is sought ever more rarely.
            self._wait_s = min(2 * self._wait_s, RETRY_MAX_S)
            try:
                process = self._connected()
            except (OSError, ValueError) as error:  # ours among them; or out of descriptors; or closed meanwhile
                self.fallback_reason = str(error)
                continue
            with self._handing:
                if not self._closed.is_set():
                    self._back = process
                    return
            process.close()

    def _connected(self) -> "AcceleratorProcess":
        """The accelerator, once it agrees with the CPU.

        Raises:
            AcceleratorError: It cannot be opened, or does not agree.
        """
        from edge_device.inference.accelerator.process import AcceleratorProcess

        how = self._supervision
        process = AcceleratorProcess(
            self._file,
            self._coral,
            runtime=self._runtime,
            watchdog_s=how.watchdog_s,
            stopped=lambda: how.stopped() or self._closed.is_set(),
        )
        try:
            # A fallback that was given may be of another training: the cards have been compared, the graphs only here.
            if (process.input_shape, process.outputs) != (self.input_shape, self.outputs):
                raise AcceleratorError(f"{self._coral} cannot be used: its model has another input or other outputs")
            for pixels, expected in self._expected:
                if wrong := disagreement(expected, process.scores(pixels), QUANTIZED.other_runtime):
                    raise AcceleratorError(f"{self._coral} cannot be used: of a golden frame, {wrong}")
        except BaseException:
            process.close()
            raise
        return process


def _identity(path: Path) -> tuple[int, ...]:
    """What changes when another file takes the place of one."""
    found = path.stat()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _require_compiled(file: Path) -> None:
    if not is_compiled(file.read_bytes()):
        raise ModelFormatError(f"{file} is not compiled for an Edge TPU; edge-convert compile makes such a file of it")


def _require_same_card(file: Path, fallback: Path) -> None:
    check_seal(fallback)
    card, other = read_card(file), read_card(fallback)
    for what, ours, theirs in (("labels", card.labels, other.labels), ("input", card.input, other.input)):
        if ours != theirs:
            raise ModelFormatError(f"{fallback} cannot stand in for {file}: the {what} differ, {theirs} and {ours}")

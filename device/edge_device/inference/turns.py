"""One opened model for several cameras: they take turns, first come, first served.

A Coral can be opened once, and an interpreter computes one frame at a time. Each camera has a `Classifier` of its own
whose runner is a `Turn`; the turns of one file on one device share what computes.
"""

import threading
from collections import deque
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager
from types import TracebackType

import numpy as np

from edge_core.artifact.familiarity import Features
from edge_core.preprocess import Frame, InputSpec, preprocess
from edge_device.inference.interpreter import Runner, Scores
from edge_device.notices import Notice, Notifier


class Turnstile(AbstractContextManager[None]):
    """A lock that is given in the order in which it was asked for; a plain one goes to whoever is quickest."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken = False
        self._waiting: deque[threading.Lock] = deque()

    @property
    def waiting(self) -> int:
        """Number of threads that wait for it."""
        return len(self._waiting)

    def __enter__(self) -> None:
        with self._lock:
            if not self._taken:
                self._taken = True
                return
            # Each waiting thread has a lock that it acquires twice: the second time it waits for `__exit__`.
            mine = threading.Lock()
            mine.acquire()
            self._waiting.append(mine)
        mine.acquire()  # until `__exit__` passes the turn on

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            if self._waiting:
                # The turn passes on as it is, still taken, so that nobody can get in before the one that waits.
                self._waiting.popleft().release()
            else:
                self._taken = False


class _SharedRunner:
    """What computes, and who shares it."""

    def __init__(self, open_it: Callable[[Notifier], Runner], notify: Notifier) -> None:
        self.turnstile = Turnstile()
        self.notifiers = [notify]
        self.failure: Exception | None = None
        self.latest: Notice | None = None
        self.runner = open_it(self._tell)

    def _tell(self, notice: Notice, /) -> None:
        self.latest = notice
        for notify in list(self.notifiers):
            notify(notice)


class RunnerPool:
    """Opens each runner once for all who ask for the same one, and closes it when the last of them has left."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[Hashable, _SharedRunner] = {}

    def turn(self, key: Hashable, open_it: Callable[[Notifier], Runner], notify: Notifier) -> "RunnerTurn":
        """A turn at what is open under a key, which is opened where it is not.

        Args:
            key: What tells a runner from others: file, device, threads.
            open_it: Opens it; what it is given passes notices on to all who share the runner.
            notify: Gets what becomes of an accelerator, whoever's turn it is.

        Raises:
            EdgeError: What `open_it` raises.
        """
        with self._lock:
            shared = self._open.get(key)
            if shared is None:
                shared = self._open[key] = _SharedRunner(open_it, notify)
            else:
                shared.notifiers.append(notify)
                # Who comes later hears that the accelerator is away, too.
                if shared.latest and shared.runner.fallback_reason:
                    notify(shared.latest)
            return RunnerTurn(
                shared, lambda: self._leave(key, shared, notify), lambda error: self._fail(key, shared, error)
            )

    def _leave(self, key: Hashable, shared: _SharedRunner, notify: Notifier) -> None:
        with self._lock:
            # Also the count of those who share it.
            shared.notifiers.remove(notify)
            if not shared.notifiers and not shared.failure:
                self._close(key, shared)

    def _fail(self, key: Hashable, shared: _SharedRunner, error: Exception) -> None:
        """Nobody uses it any more: who shares it fails as well, and who asks anew has a new one."""
        with self._lock:
            shared.failure = error
            self._close(key, shared)

    def _close(self, key: Hashable, shared: _SharedRunner) -> None:
        if self._open.get(key) is shared:
            del self._open[key]
        shared.runner.close()


class RunnerTurn:
    """The face of an `Interpreter` that several share. For one thread, as an `Interpreter` is.

    Scores and features are of the same frame, and stay until the next one of this turn, whatever others run meanwhile.
    """

    def __init__(self, shared: _SharedRunner, leave: Callable[[], None], fail: Callable[[Exception], None]) -> None:
        """Takes what a `RunnerPool` has opened.

        Args:
            shared: The runner and its turnstile.
            leave: Called when this turn is closed.
            fail: Called with the error when the runner fails, within this turn.
        """
        self._shared, self._leave, self._fail = shared, leave, fail
        runner = shared.runner
        self.input_shape, self.outputs, self.quantized = runner.input_shape, runner.outputs, runner.quantized
        self._pixels: Frame = np.zeros(self.input_shape, np.uint8)
        self._scores: Scores = np.zeros(self.outputs, np.float32)
        with shared.turnstile:
            self._features = runner.read_features()
        self._closed = False

    @property
    def runtime(self) -> str:
        return self._shared.runner.runtime

    @property
    def device(self) -> str:
        return self._shared.runner.device

    @property
    def fallback_reason(self) -> str:
        return self._shared.runner.fallback_reason

    def write_frame(self, frame: Frame, spec: InputSpec) -> None:
        """Preprocesses a frame for the next inference; nobody waits meanwhile."""
        preprocess(frame, spec, out=self._pixels)

    def write_pixels(self, pixels: Frame) -> None:
        """Takes preprocessed pixels, uint8 of shape `input_shape`, for the next inference."""
        self._pixels[:] = pixels

    def invoke(self) -> None:
        """Runs the model on what was written, when it is its turn.

        Raises:
            AcceleratorError: The accelerator failed, over this frame or one of another camera.
        """
        self.scores(self._pixels)

    def read_scores(self) -> Scores:
        """The scores of the last run of this turn."""
        # Of this turn alone: the runner's own are those of whoever ran last.
        return self._scores

    def read_features(self) -> tuple[Features, ...]:
        """The features of the last run of this turn."""
        return self._features

    def scores(self, pixels: Frame) -> Scores:
        """Scores for preprocessed pixels, uint8 of shape `input_shape`; see `invoke`."""
        with self._shared.turnstile:
            if self._shared.failure:
                raise self._shared.failure
            try:
                self._scores = self._shared.runner.scores(pixels)
                self._features = self._shared.runner.read_features()
            except Exception as error:
                self._fail(error)
                raise
        return self._scores

    def close(self) -> None:
        """Leaves; the last one to leave closes the runner."""
        if not self._closed:
            self._closed = True
            self._leave()

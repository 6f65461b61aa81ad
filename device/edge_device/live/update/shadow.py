"""A candidate beside the model that runs, on the same frames: how it compares, and whether that is good enough."""

import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

from edge_core.artifact.container import read_card
from edge_core.errors import UpdateError
from edge_core.preprocess import Frame, preprocess
from edge_device.frames.regions import Region, classified_part, cut
from edge_device.results import FrameResult

OPEN_S: Final = 60.0
"""Seconds in which a candidate must be open, and in which it must answer a frame."""
ANSWER_S: Final = 10.0

END_S: Final = 5.0
"""Seconds that a process has to end in once it has closed its output."""

SETTLED_FRAMES: Final = 10
"""Frames after which a process has the memory that it needs; what comes on top of it is a leak."""


@dataclass(frozen=True)
class ShadowLimits:
    """How a candidate may differ from the model that runs.

    Attributes:
        frames: Number of frames that both are given.
        per_s: Number of these frames in a second at most.
        agreement: Share of them that must get the same label from both, of those that the model that runs knows.
        unknown: Share of frames that may be unknown to the candidate beyond those unknown to the model that runs.
        slower: Factor by which an inference may take longer.
        growth_mb: Memory by which the candidate's process may grow after its first frames, in MB.
        other_labels: Whether it may have other labels.
    """

    frames: int = 100
    per_s: float = 2.0
    agreement: float = 0.5
    unknown: float = 0.2
    slower: float = 2.0
    growth_mb: float = 50.0
    other_labels: bool = False


@dataclass(frozen=True)
class ShadowFrame:
    """One frame under both models.

    Attributes:
        same: Whether both gave the same label; None if the model that runs does not know the frame.
        known: Whether the candidate knows it; None if it cannot tell.
        was_known: The same of the model that runs.
        ms: Time of the candidate's inference in milliseconds.
        was_ms: Time of the inference of the model that runs, where it runs or in the candidate's process, which is
            nicer and may have fewer threads: the longer one.
        memory_mb: Memory of the candidate's process in MB.
    """

    same: bool | None
    known: bool | None
    was_known: bool | None
    ms: float
    was_ms: float
    memory_mb: float


def verdict(frames: Sequence[ShadowFrame], limits: ShadowLimits) -> str:
    """Why a candidate is refused, for people; empty if it is good enough.

    Args:
        frames: All frames that both were given, in order.
        limits: How the candidate may differ.
    """
    took, was = median(one.ms for one in frames), median(one.was_ms for one in frames)
    if took > limits.slower * was:
        return f"an inference takes {took:.1f} ms instead of {was:.1f} ms, more than {limits.slower:g} times as long"
    # Frames that the model that runs does not know are no measure of agreement.
    compared = [one.same for one in frames if one.same is not None]
    if compared and (share := sum(compared) / len(compared)) < limits.agreement:
        agrees = f"it agrees with the model that runs on {share:.0%} of {len(compared)} frames"
        return f"{agrees}, not on {limits.agreement:.0%}"
    unknown = sum(one.known is False for one in frames) / len(frames)
    was_unknown = sum(one.was_known is False for one in frames) / len(frames)
    if unknown > was_unknown + limits.unknown:
        return f"{unknown:.0%} of {len(frames)} frames are unknown to it, {was_unknown:.0%} to the model that runs"
    # Memory after the first inferences: what a runtime allocates once is no leak.
    settled = frames[min(SETTLED_FRAMES, len(frames) - 1)].memory_mb
    if (growth := frames[-1].memory_mb - settled) > limits.growth_mb:
        return f"its memory grew by {growth:.0f} MB within {len(frames)} frames"
    return ""


@dataclass
class ShadowProcess:
    """The worker with a candidate in it.

    Attributes:
        command: What is started.
    """

    command: Sequence[str]
    _process: subprocess.Popen[bytes] = field(init=False)
    _rest: bytes = b""

    def __post_init__(self) -> None:
        pipe = subprocess.PIPE
        # In a group of its own: the terminal's Ctrl-C would end it, and the candidate would be refused for ever.
        self._process = subprocess.Popen(
            self.command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, process_group=0
        )

    def opened(self) -> tuple[str, ...]:
        """The candidate's labels, once it is open.

        Raises:
            UpdateError: It cannot be opened.
        """
        answer = self._answer(OPEN_S)
        if error := answer.get("error"):
            raise UpdateError(str(error))
        return tuple(answer["labels"])

    def look(self, pixels: Frame) -> Mapping[str, Any]:
        """What the candidate makes of a frame.

        Raises:
            UpdateError: Its process has ended, or does not answer.
        """
        assert self._process.stdin
        try:
            self._process.stdin.write(pixels.tobytes())
            self._process.stdin.flush()
        except OSError:
            pass  # its end is told of below
        return self._answer(ANSWER_S)

    def kill(self) -> None:
        """Has the process end, at once; whoever waits for an answer is told so. For any thread."""
        self._process.kill()

    def close(self) -> None:
        """Ends the process."""
        self.kill()
        # Waits for the process, so that none is left as a zombie; closing a pipe with unsent bytes may raise.
        with self._process, suppress(OSError):
            self._process.stdin.close()  # type: ignore[union-attr]

    def _answer(self, wait_s: float) -> Mapping[str, Any]:
        assert self._process.stdout
        end_s = time.monotonic() + wait_s
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._rest:
                if not selector.select(max(0.0, end_s - time.monotonic())):
                    raise UpdateError(f"it did not answer within {wait_s:.0f} s")
                data = os.read(self._process.stdout.fileno(), 1 << 16)
                if not data:
                    raise UpdateError(self._end())
                self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        answer: Mapping[str, Any] = json.loads(line)
        return answer

    def _end(self) -> str:
        """How the process has ended, whose answers have."""
        try:
            return f"its process ended with status {self._process.wait(END_S)}"
        except subprocess.TimeoutExpired:
            return "it closed its output, and its process runs on"


def worker_command(model: Path, running: Path, runtime: str, threads: int, familiar: float) -> list[str]:
    """The command line of a worker, given the candidate and the model that runs."""
    module = "edge_device.live.update.shadow_worker"
    return [sys.executable, "-m", module, str(model), str(running), runtime, str(threads), str(familiar)]


class Shadow:
    """A candidate that is given frames until there are enough.

    Attributes:
        frames: What came of each.
    """

    def __init__(
        self,
        model: Path,
        process: ShadowProcess,
        labels: Sequence[str],
        limits: ShadowLimits,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Waits for the candidate to be open.

        Args:
            model: The candidate's file.
            process: The worker that has opened it.
            labels: Labels of the model that runs.
            limits: How the candidate may differ.
            clock: Function that gives seconds and does not jump.

        Raises:
            UpdateError: It cannot be opened, or has other labels.
        """
        self.frames: list[ShadowFrame] = []
        self._process, self._limits, self._clock = process, limits, clock
        self._spec = read_card(model).input
        self._due_s = 0.0
        found = process.opened()
        if set(found) != set(labels) and not limits.other_labels:
            other = sorted(set(found) ^ set(labels))
            raise UpdateError(f"it has other labels ({', '.join(other)[:80]}); --update-labels permits that")

    def add(self, result: FrameResult, regions: Mapping[str, Region]) -> bool:
        """Gives the candidate a frame, if it is time for one; returns whether there are enough.

        Args:
            result: What the model that runs makes of the frame.
            regions: Zones of its camera by name.

        Raises:
            UpdateError: The candidate has ended, or does not answer.
        """
        if self._clock() < self._due_s or not result.top:  # a focus has found nothing to classify
            return False
        self._due_s = self._clock() + 1 / self._limits.per_s
        pixels = preprocess(cut(result.frame.image, classified_part(result, regions)), self._spec)
        try:
            answer = self._process.look(pixels)
        except UpdateError as error:
            raise UpdateError(f"after {len(self.frames)} frames beside the model that runs: {error}") from error
        parts = result.subject.of if result.subject else len(regions)
        self.frames.append(
            ShadowFrame(
                same=answer["label"] == result.top[0].label if result.known is not False else None,
                known=answer["known"],
                was_known=result.known,
                ms=answer["ms"],
                was_ms=max(result.latency.invoke_ms / max(1, parts), answer.get("was_ms", 0.0)),
                memory_mb=answer["memory_mb"],
            )
        )
        return len(self.frames) >= self._limits.frames

    def verdict(self) -> str:
        """Why the candidate is refused; empty if it is good enough."""
        return verdict(self.frames, self._limits)

    def close(self) -> None:
        """Ends the candidate's process."""
        self._process.close()

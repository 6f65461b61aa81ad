"""Whether a model on trial does as well as the one before it."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Self

from edge_device.results import Status


@dataclass(frozen=True)
class HealthLimits:
    """How a model on trial may differ from the one before.

    Attributes:
        slower: Factor by which an inference may take longer.
        fps: Part of the frame rate that must be left.
        memory_mb: Memory in MB by which the process may grow.
        unknown: Share of frames that may be unknown beyond those that were before.
        frames: Number of frames before the share of unknown ones counts.
    """

    slower: float = 3.0
    fps: float = 0.5
    memory_mb: float = 200.0
    unknown: float = 0.3
    frames: int = 50


@dataclass(frozen=True)
class TrialReading:
    """How a run fares at one moment.

    Attributes:
        invoke_ms: Median time of an inference in milliseconds.
        fps: Frames classified in a second.
        memory_mb: Memory of the process in MB.
        unknown: Share of the latest frames that are unknown, 0..1.
        frames: Number of frames that this is the share of.
        open: Whether the source gives frames.
    """

    invoke_ms: float
    fps: float
    memory_mb: float
    unknown: float
    frames: int
    open: bool

    @classmethod
    def of(cls, status: Status, unknown: Collection[bool]) -> Self:
        """A reading of a status, and of whether each of the latest frames was unknown."""
        share = sum(unknown) / len(unknown) if unknown else 0.0
        is_open = status.source_state == "open"
        return cls(status.latency.invoke_ms, status.fps, status.memory_mb, share, len(unknown), is_open)

    def worse_than(self, before: "TrialReading | None", limits: HealthLimits) -> str:
        """Why the model is taken back, for people; empty if it does well, or nothing is known of the one before."""
        if before is None:
            return ""
        if self.frames >= limits.frames and self.unknown > before.unknown + limits.unknown:
            return f"{self.unknown:.0%} of the frames are unknown to it, {before.unknown:.0%} were before"
        if self.frames >= limits.frames and before.invoke_ms and self.invoke_ms > limits.slower * before.invoke_ms:
            return f"an inference takes {self.invoke_ms:.1f} ms, {before.invoke_ms:.1f} ms before"
        if self.open and before.open and self.frames >= limits.frames and self.fps < limits.fps * before.fps:
            return f"{self.fps:.1f} frames are classified in a second, {before.fps:.1f} were before"
        # Without `frames`: memory is the process's, however many of them there were.
        if before.memory_mb and self.memory_mb > before.memory_mb + limits.memory_mb:
            return f"the process has {self.memory_mb:.0f} MB, {before.memory_mb:.0f} MB before"
        return ""

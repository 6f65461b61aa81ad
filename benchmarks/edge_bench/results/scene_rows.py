"""What files make of composed scenes: rows for the report."""

from dataclasses import dataclass

from edge_core.statistics import Estimate


@dataclass(frozen=True)
class SceneRow:
    """A file's decisions about subjects of one size that come into a still scene.

    Attributes:
        file: Name of the .tflite.
        focus: What was classified: `whole` frames, or what moves in them, `motion`.
        height: Height of the subject as a share of the frame's, 0..1.
        scenes: Number of scenes, each with a held-out photo of its own.
        right: Share of the scenes in which the label that entered most often is the photo's.
        once: Share of the scenes in which exactly one label entered.
    """

    file: str
    focus: str
    height: float
    scenes: int
    right: Estimate
    once: Estimate

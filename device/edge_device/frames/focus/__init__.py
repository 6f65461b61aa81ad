"""Which parts of a frame are worth a look: what moves, what a search finds, what an object detector names."""

from edge_device.frames.focus.motion_focus import MotionFocus, MotionFocusRule
from edge_device.frames.focus.subject import Focus, FocusSubject, TileTrial, TryingFocus, square_around
from edge_device.frames.focus.tile_focus import TileFocus, TileFocusRule

__all__ = [
    "Focus",
    "FocusSubject",
    "MotionFocus",
    "MotionFocusRule",
    "TileFocus",
    "TileFocusRule",
    "TileTrial",
    "TryingFocus",
    "square_around",
]

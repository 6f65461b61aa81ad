"""Which parts of a frame are worth a look: what moves, what a search finds, what an object detector names."""

from edge_device.frames.focus.motion_focus import MotionFocus, MotionFocusRule
from edge_device.frames.focus.subject import Focus, Subject, square_around

__all__ = ["Focus", "MotionFocus", "MotionFocusRule", "Subject", "square_around"]

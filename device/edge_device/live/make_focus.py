"""The focus that options name."""

from collections.abc import Sequence
from typing import Final

from edge_core.errors import SettingsError
from edge_device.frames.focus import Focus, MotionFocus, MotionFocusRule
from edge_device.frames.regions import Region, parse_region
from edge_device.live.options import FocusOptions, LiveOptions

_ALONE: Final = FocusOptions()


def make_focus(options: LiveOptions, regions: Sequence[Region]) -> Focus | None:
    """Makes the focus that `options` name; None looks at the regions, whole.

    Args:
        options: What is run on what.
        regions: Parts of the frame in which subjects are looked for.

    Raises:
        SettingsError: There is no such focus, or an option contradicts it.
    """
    asked = options.focus
    ignored = [parse_region(text) for text in asked.ignored]
    if asked.focus == "whole":
        if ignored:
            raise SettingsError(
                "--ignore is for --focus motion, tiles or a detector: a whole frame is classified whole"
            )
        return None
    if options.source.on_motion:
        raise SettingsError("--on-motion is for whole frames; --focus motion rests by itself when nothing moves")
    if asked.focus == "motion":
        return MotionFocus(
            MotionFocusRule(subjects=asked.subjects, linger_s=asked.linger, regions=regions, ignored=ignored)
        )
    raise SettingsError(f"--focus is whole, motion, tiles or an object detector's .tflite, not {asked.focus!r}")

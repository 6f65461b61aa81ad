"""The focus that options name."""

from collections.abc import Sequence
from pathlib import Path

from edge_core.errors import SettingsError
from edge_device.frames.focus import Focus, MotionFocus, MotionFocusRule, TileFocus, TileFocusRule
from edge_device.frames.regions import Region, parse_region
from edge_device.live.options import LiveOptions


def make_focus(options: LiveOptions, regions: Sequence[Region]) -> Focus | None:
    """Makes the focus that `options` name; None looks at the regions, whole.

    Args:
        options: What is run on what.
        regions: Parts of the frame in which subjects are looked for.

    Raises:
        SettingsError: There is no such focus, or an option contradicts it.
        ModelFormatError: The file is no object detector.
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
    if asked.detect and asked.focus in ("motion", "tiles"):
        raise SettingsError(f"--detect is for --focus DETECTOR.tflite; {asked.focus} knows no classes")
    if asked.focus == "motion":
        return MotionFocus(
            MotionFocusRule(subjects=asked.subjects, linger_s=asked.linger, regions=regions, ignored=ignored)
        )
    if asked.focus == "tiles":
        return TileFocus(TileFocusRule(asked.budget_ms, regions, ignored))
    return _detector_focus(options, regions, ignored)


def _detector_focus(options: LiveOptions, regions: Sequence[Region], ignored: Sequence[Region]) -> Focus:
    asked = options.focus
    if not asked.focus.endswith(".tflite"):
        raise SettingsError(f"--focus is whole, motion, tiles or an object detector's .tflite, not {asked.focus!r}")
    from edge_device.frames.focus.detector_focus import DetectorFocus, DetectorFocusRule
    from edge_device.frames.focus.object_detector import ObjectDetector

    detector = ObjectDetector(Path(asked.focus), runtime=options.model.runtime)
    classes = detector.classes([name.strip() for name in asked.detect.split(",") if name.strip()])
    return DetectorFocus(
        detector, DetectorFocusRule(classes=classes, subjects=asked.subjects, regions=regions, ignored=ignored)
    )

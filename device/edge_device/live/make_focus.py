"""The focus that options name, and pictures that are looked at through one."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from edge_core.errors import SettingsError
from edge_core.preprocess import Frame
from edge_device.frames.focus import (
    Focus,
    FocusSubject,
    MotionFocus,
    MotionFocusRule,
    TileFocus,
    TileFocusRule,
    TileTrial,
    TryingFocus,
)
from edge_device.frames.regions import WHOLE, Region, cut, parse_region
from edge_device.inference.classifier import Classifier, top
from edge_device.inference.interpreter import RuntimeName
from edge_device.live.deciders import parts_of
from edge_device.live.options import LiveOptions
from edge_device.results import FrameResult, Latency
from edge_device.sources import Source, SourceFrame

MOST_ROUNDS: Final = 4
"""For one picture: two tell how long a part takes, the third tries all, the fourth gives the best."""

ALL_AT_ONCE_MS: Final = 1e9
"""Time for a picture's inferences that no search takes."""


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
    return _detector_focus(asked.focus, asked.detect, options.model.runtime, asked.subjects, regions, ignored)()


def picture_focus(focus: str, detect: str, runtime: RuntimeName) -> Callable[[], Focus]:
    """What makes a focus for each of several pictures that have nothing to do with one another.

    Args:
        focus: `tiles` or an object detector's .tflite.
        detect: Classes of the detector to look for, with commas between them.
        runtime: Interpreter that runs the detector.

    Raises:
        SettingsError: There is no such focus for pictures.
        ModelFormatError: The file is no object detector.
    """
    if detect and not focus.endswith(".tflite"):
        raise SettingsError(f"--detect is for --focus DETECTOR.tflite; {focus} knows no classes")
    if focus == "motion":
        raise SettingsError("nothing moves in pictures; give --focus tiles or an object detector's .tflite")
    if focus == "tiles":
        return lambda: TileFocus(TileFocusRule(budget_ms=ALL_AT_ONCE_MS))
    return _detector_focus(focus, detect, runtime, 3, (WHOLE,), ())


def classify_focused(
    classifier: Classifier, source: Source, make: Callable[[], Focus], count: int = 3
) -> Iterator[FrameResult]:
    """Classifies what a focus finds in each picture; a picture in which it finds nothing gives a result without labels.

    Args:
        classifier: Classifier that every part is given to.
        source: Source of pictures; not closed here.
        make: Makes the focus of a picture.
        count: Number of labels for a part.
    """
    for frame in source:
        start = time.perf_counter()
        subjects = _search(classifier, make(), frame.image)
        searched_ms = 1e3 * (time.perf_counter() - start)
        none = FrameResult(frame, (), Latency(frame.capture_ms, 0.0, searched_ms, frame.capture_ms + searched_ms))
        yield from [_classified(classifier, none, frame, one, count) for one in subjects] or [none]


def _search(classifier: Classifier, focus: Focus, image: Frame) -> list[FocusSubject]:
    """Subjects of a picture; what the focus wants to try first is tried."""
    for _ in range(MOST_ROUNDS):
        # A picture has no time: each has a focus of its own, which sees it several times at one moment.
        found = focus.subjects(image, 0.0)
        if subjects := [one for one in found if one.track]:
            return subjects
        if not isinstance(focus, TryingFocus):
            break
        focus.tried([_tried(classifier, cut(image, one.view), one.view) for one in found])
    return []


def _tried(classifier: Classifier, part: Frame, view: Region) -> TileTrial:
    look = classifier.look(part, 1)
    took_ms = look.timing.preprocess_ms + look.timing.invoke_ms
    return TileTrial(view, look.predictions[0].score, look.familiarity, look.known, took_ms)


def _classified(
    classifier: Classifier, none: FrameResult, frame: SourceFrame, subject: FocusSubject, count: int
) -> FrameResult:
    """The result for one subject, with the latency of the search before it."""
    scores, timing = classifier.scores(cut(frame.image, subject.view))
    familiarity = classifier.familiarity()
    took_ms = timing.preprocess_ms + timing.invoke_ms
    search = none.latency
    return replace(
        none,
        top=tuple(top(scores, classifier.card.labels, count)),
        latency=Latency(search.capture_ms, timing.preprocess_ms, timing.invoke_ms, search.total_ms + took_ms),
        familiarity=familiarity,
        known=classifier.knows(familiarity),
        subject=parts_of([subject], {"": WHOLE})[0].subject,
    )


def _detector_focus(
    file: str, detect: str, runtime: RuntimeName, subjects: int, regions: Sequence[Region], ignored: Sequence[Region]
) -> Callable[[], Focus]:
    if not file.endswith(".tflite"):
        raise SettingsError(f"--focus is whole, motion, tiles or an object detector's .tflite, not {file!r}")
    from edge_device.frames.focus.detector_focus import DetectorFocus, DetectorFocusRule
    from edge_device.frames.focus.object_detector import ObjectDetector

    detector = ObjectDetector(Path(file), runtime=runtime)
    classes = detector.classes([name.strip() for name in detect.split(",") if name.strip()])
    rule = DetectorFocusRule(classes=classes, subjects=subjects, regions=regions, ignored=ignored)
    return lambda: DetectorFocus(detector, rule)

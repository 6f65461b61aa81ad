"""A scene through a file, by the scene's own clock: what `edge-run live` would see, decide and tell of it."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edge_bench.scenes.composer import HEIGHT, WIDTH, Path2d
from edge_core.images import read_picture
from edge_core.preprocess import Frame
from edge_device.frames.focus import Focus
from edge_device.frames.regions import WHOLE, cut
from edge_device.inference.classifier import Classifier
from edge_device.live.deciders import Deciders, Part, parts_of
from edge_device.live.decisions import Rule
from edge_device.results import Event


@dataclass(frozen=True)
class Watched:
    """What came of a scene.

    Attributes:
        events: All events, in the order of their times.
        seen: Time of each frame in seconds, and the parts of it that were classified.
    """

    events: list[Event]
    seen: list[tuple[float, list[Part]]]


def watch(scene: Iterable[tuple[float, Frame]], classifier: Classifier, focus: Focus | None) -> Watched:
    """Looks at a scene with the rules that `edge-run live` has unless told otherwise.

    Args:
        scene: Frames with their times in seconds.
        classifier: Model that classifies.
        focus: Finds what to classify; None classifies whole frames.
    """
    deciders, watched = Deciders(classifier.card.labels, Rule()), Watched([], [])
    now_s = 0.0
    for now_s, frame in scene:
        parts = parts_of(focus.subjects(frame, now_s), {"": WHOLE}) if focus else [Part("", WHOLE)]
        watched.events.extend(deciders.gone(parts, now_s, now_s))
        for part in (one for one in parts if one.seen):
            scores, _ = classifier.scores(cut(frame, part.region))
            known = classifier.knows(classifier.familiarity()) is not False
            watched.events.extend(deciders.update(part, scores, now_s, now_s, known=known)[1])
        watched.seen.append((now_s, parts))
    watched.events.extend(deciders.leave(now_s, now_s))
    return watched


def ground(path: Path) -> Frame:
    """A picture as a still background.

    Returns:
        uint8, shape (`HEIGHT`, `WIDTH`, 3), B, G, R.

    Raises:
        PictureError: The picture cannot be read.
    """
    whole = cv2.resize(read_picture(path), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    return np.asarray(whole, np.uint8)


def comes(side: int, seed: int) -> Path2d:
    """A way that comes in after 1.3 s from one side to the middle, and stays about there, never quite still.

    Args:
        side: Side of the subject in pixels.
        seed: Chooses the side that it comes from, its height and its sway.
    """
    rng = np.random.default_rng(seed)
    from_left, y0 = rng.random() < 0.5, HEIGHT / 2 + rng.uniform(-1, 1) * max(0, HEIGHT / 2 - side / 2) * 0.8
    phase = rng.uniform(0, 6, 2)

    def path(now_s: float) -> tuple[float, float] | None:
        share = (now_s - 1.3) / 1.0
        if share < 0:
            return None
        start = -side / 2 if from_left else WIDTH + side / 2
        x = start + (WIDTH / 2 - start) * min(share, 1.0)
        sway = 0.08 * side if share > 1 else 0.0
        return x + sway * float(np.sin(3 * now_s + phase[0])), y0 + sway * float(np.sin(2.3 * now_s + phase[1]))

    return path

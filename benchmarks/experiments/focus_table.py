"""How well the focus of `edge-run live` finds, follows and names, on composed scenes.

    python benchmarks/experiments/focus_table.py sizes MODEL PHOTOS GROUNDS --photos 184
    python benchmarks/experiments/focus_table.py subjects MODEL PHOTOS GROUNDS --clips 100
    python benchmarks/experiments/focus_table.py alarms MODEL PHOTOS GROUNDS --minutes 10
    python benchmarks/experiments/focus_table.py faint MODEL PHOTOS GROUNDS --clips 6
    python benchmarks/experiments/focus_table.py cost MODEL PHOTOS GROUNDS [--arm]
    python benchmarks/experiments/focus_table.py cost-of-live MODEL PHOTOS GROUNDS

PHOTOS is a CSV of path,label of photos that the model was not trained on (a run's predictions.csv), GROUNDS a folder of
pictures that become still backgrounds. `--arm` counts instructions on an emulated Cortex-A72; `edge-bench instructions`
says what it needs.
"""

import argparse
import csv
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from edge_bench.arm.counted import mark
from edge_bench.scenes.composer import HEIGHT, WIDTH, Sprite, frames, sprite
from edge_bench.scenes.watching import Watched, comes, ground, watch
from edge_core.images import read_picture
from edge_core.preprocess import Frame
from edge_device import Classifier
from edge_device.frames.focus import MotionFocus, MotionFocusRule
from edge_device.frames.regions import WHOLE
from edge_device.live.capture import UPRIGHT, Preparer, TimedFocus
from edge_device.live.deciders import Deciders, parts_of
from edge_device.live.decisions import Rule
from edge_device.sources import SourceFrame
from experiments.focus_weather import WEATHERS

SIZES: Final = (1.0, 0.6, 0.4, 0.3, 0.2)
FPS: Final = 10.0

ROWS: Final = 8
"""The motion stage reads every eighth row of a frame of 1280x720."""

ARM_FRAMES: Final = slice(20, 36)
"""Frames of the scene in which instructions are counted: the subject is in the middle, and all that is done in each
eighth frame is done twice."""

MOTION, INVOKE, OTHER = 1, 2, 3
"""Marks: what has been executed since the last one."""

WHOLE_FRAME: Final = ("shake", "rain")
"""Weathers that move something from row to row."""


@dataclass(frozen=True)
class Photo:
    """A photo and what it shows."""

    path: Path
    label: str


def read_photos(file: Path, count: int, seed: int = 0) -> list[Photo]:
    """Some of the photos of a CSV, in random order."""
    with file.open(newline="") as rows:
        photos = [Photo(Path(row["path"]), row["label"]) for row in csv.DictReader(rows)]
    return [photos[int(index)] for index in np.random.default_rng(seed).permutation(len(photos))[:count]]


def still_ground(folder: Path, number: int) -> Frame:
    """One of the pictures of a folder as a still background."""
    files = sorted(folder.glob("*.jpg"))
    return ground(files[number * 7 % len(files)])


def sizes(asked: argparse.Namespace) -> None:
    """Top-1 of what is decided, by the subject's height and the focus."""
    classifier = Classifier(asked.model, threads=1)
    photos = read_photos(asked.photos_csv, asked.photos)
    print("| height | whole frame | motion | tracks a clip | entered once, left once |\n|--:|--:|--:|--:|--:|")
    for size in asked.sizes:
        right = {"whole": 0, "motion": 0}
        tracks = once = 0
        for number, photo in enumerate(photos):
            still, side = still_ground(asked.grounds, number), int(size * HEIGHT)
            one = sprite(read_picture(photo.path), side, comes(side, number))
            scene = list(frames(still, [one], 5.0, number, fps=FPS))
            for name, focus in (("whole", None), ("motion", MotionFocus())):
                if name == "whole" and asked.only_motion:
                    continue
                watched = watch(iter(scene), classifier, focus)
                entered = [event.label for event in watched.events if event.kind == "entered"]
                right[name] += bool(entered) and Counter(entered).most_common(1)[0][0] == photo.label
                if focus:
                    tracks += len({part.subject.track for _, parts in watched.seen for part in parts if part.subject})
                    once += len(entered) == 1
        shares = [f"{100 * right[name] / len(photos):.1f} %" for name in ("whole", "motion")]
        print(
            f"| {size:.0%} | {' | '.join(shares)} | {tracks / len(photos):.2f} | {100 * once / len(photos):.1f} % |",
            flush=True,
        )


def crossing(photos: Sequence[Photo], count: int, seed: int) -> list[Sprite]:
    """Subjects in lanes that cross the frame, from either side, and change lanes on their way."""
    rng = np.random.default_rng(seed)
    lanes = HEIGHT * (np.arange(count) + 0.5) / count
    to = rng.permutation(count)
    made = []
    for lane in range(count):
        side = int(HEIGHT * rng.uniform(0.2, 0.26 if count > 2 else 0.36))
        y0, y1 = lanes[lane] + rng.uniform(-20, 20), lanes[to[lane]] + rng.uniform(-20, 20)
        left, start_s, took_s = rng.random() < 0.5, 1.5 + rng.uniform(0, 1.2), rng.uniform(2.5, 4.0)

        def path(
            now_s: float, side: int = side, y0: float = y0, y1: float = y1, left: bool = bool(left),
            start_s: float = start_s, took_s: float = took_s,
        ) -> tuple[float, float] | None:  # fmt: skip
            share = (now_s - start_s) / took_s
            if not 0 <= share <= 1:
                return None
            x = share * (WIDTH + side) - side / 2
            return x if left else WIDTH - x, y0 + (y1 - y0) * share

        made.append(sprite(read_picture(photos[int(rng.integers(len(photos)))].path), side, path))
    return made


def followed(one: Sprite, watched: Watched) -> list[int]:
    """The tracks that lie on a subject, frame by frame, while most of it is in the frame."""
    side = one.image.shape[0]
    found = []
    for now_s, parts in watched.seen:
        place = one.path(now_s)
        if place is None or not side * 0.25 <= place[0] <= WIDTH - side * 0.25:
            continue
        gaps = [
            (
                max(
                    abs(box[0] + box[2] / 2 - place[0] / WIDTH) * WIDTH,
                    abs(box[1] + box[3] / 2 - place[1] / HEIGHT) * HEIGHT,
                ),
                part.subject.track,
            )
            for part in parts
            if part.subject
            for box in [part.subject.box]
        ]  # fmt: skip
        gap, track = min(gaps, default=(np.inf, 0))
        found.append(track if gap < side / 2 else 0)
    return found


def subjects(asked: argparse.Namespace) -> None:
    """Identities kept, and events for each subject, with two and three at a time; the last column is of those subjects
    whose picture the model knows and names when it is given nothing else."""
    classifier = Classifier(asked.model, threads=1)
    photos = read_photos(asked.photos_csv, 10_000)
    print(
        "| subjects | clips | identity kept | one entered, one left | more than one | none | one, of the named |\n"
        "|--:|--:|--:|--:|--:|--:|--:|"
    )
    for count in (2, 3):
        kept = total = named = named_once = 0
        events: Counter[str] = Counter()
        for clip in range(asked.first, asked.first + asked.clips):
            made = crossing(photos, count, clip)
            watched = watch(
                frames(still_ground(asked.grounds, clip), made, 7.0, clip, fps=15.0), classifier, MotionFocus()
            )
            mains = []
            for one in made:
                tracks = followed(one, watched)
                seen = Counter(track for track in tracks if track)
                main, most = seen.most_common(1)[0] if seen else (0, 0)
                mains.append(main if most >= 0.9 * sum(seen.values()) and most >= len(tracks) / 2 else 0)
            entered = Counter(event.track for event in watched.events if event.kind == "entered")
            for one, main in zip(made, mains, strict=True):
                total += 1
                kept += main != 0 and mains.count(main) == 1
                times = entered[main] if main else 0
                events["once" if times == 1 else "more" if times else "none"] += 1
                alone = classifier.look(one.image, 1)
                if alone.known is not False and alone.predictions[0].score >= Rule.threshold:
                    named, named_once = named + 1, named_once + (times == 1)
        shares = [f"{100 * part / total:.1f} %" for part in (kept, events["once"], events["more"], events["none"])]
        print(
            f"| {count} | {asked.clips} | {' | '.join(shares)} | {100 * named_once / max(named, 1):.1f} % of {named} |",
            flush=True,
        )


def alarms(asked: argparse.Namespace) -> None:
    """Tracks and events of still scenes, an hour."""
    classifier = Classifier(asked.model, threads=1)
    print("| weather | scenes | minutes | subjects an hour | events an hour |\n|---|--:|--:|--:|--:|")
    for name in asked.weathers:
        weather = WEATHERS[name]
        tracks = entered = 0
        for number in range(asked.scenes):
            scene = frames(
                still_ground(asked.grounds, number), [], 60 * asked.minutes / asked.scenes, number, weather, FPS
            )
            watched = watch(scene, classifier, MotionFocus())
            tracks += len({part.subject.track for _, parts in watched.seen for part in parts if part.subject})
            entered += sum(event.kind == "entered" for event in watched.events)
        hour = 60 / asked.minutes
        print(
            f"| {name} | {asked.scenes} | {asked.minutes:g} | {hour * tracks:.0f} | {hour * entered:.0f} |", flush=True
        )


def quick_alarms(asked: argparse.Namespace) -> None:
    """Tracks of still scenes, an hour, twenty times faster: only the rows that the motion stage reads are composed, so
    nothing is classified. Without a track there is no event."""
    print("| weather | scenes | minutes | subjects | subjects an hour | latest noise |\n|---|--:|--:|--:|--:|--:|")
    for name in asked.weathers:
        found: list[int] = []
        noise = 0.0
        for number in range(asked.scenes):
            focus, tracks = MotionFocus(), set[int]()
            still = still_ground(asked.grounds, asked.first + number)
            for now_s, frame in read_rows(still, 60 * asked.minutes / asked.scenes, asked.first + number, name):
                tracks |= {one.track for one in focus.subjects(frame, now_s)}
            found.append(len(tracks))
            noise = max(noise, focus._background.noise)
        subjects = f"{sum(found)} ({', '.join(map(str, found))})"
        hour = 60 / asked.minutes * sum(found)
        print(f"| {name} | {asked.scenes} | {asked.minutes:g} | {subjects} | {hour:.1f} | {noise:.2f} |", flush=True)


def read_rows(still: Frame, seconds: float, seed: int, name: str) -> Iterator[tuple[float, Frame]]:
    """Frames of a still scene in a weather whose rows are right where `small_picture` reads them."""
    rng, frame, weather = np.random.default_rng(seed), still.copy(), WEATHERS[name]
    rows = slice(ROWS // 2, None, ROWS)
    for number in range(round(seconds * FPS)):
        now_s = number / FPS
        if weather and name in WHOLE_FRAME:
            read = weather(still.copy(), now_s, rng)[rows]
        else:
            read = weather(still[rows], now_s, rng) if weather else still[rows]
        frame[rows] = next(frames(np.ascontiguousarray(read), [], 1 / FPS, int(rng.integers(2**31)), fps=FPS))[1]
        yield now_s, frame


def faint(asked: argparse.Namespace) -> None:
    """Share of the frames in which a subject that has come is followed, by how much of it shows through."""
    photos = read_photos(asked.photos_csv, asked.clips)
    side = int(0.3 * HEIGHT)
    print("| subject, of subject and ground | clips | frames with a track | clips with one |\n|--:|--:|--:|--:|")
    for opacity in (1.0, 0.5, 0.3, 0.2):
        followed_frames, clips = [], 0
        for number, photo in enumerate(photos, asked.first):
            whole = sprite(read_picture(photo.path), side, comes(side, number))
            one, focus = Sprite(whole.image, whole.alpha * np.float32(opacity), whole.path), MotionFocus()
            still = still_ground(asked.grounds, number)
            seen = [(now_s, bool(focus.subjects(frame, now_s))) for now_s, frame in frames(still, [one], 5.0, number)]
            there = [is_followed for now_s, is_followed in seen if now_s >= 2.3]  # in the middle, as `comes` says
            followed_frames.extend(there)
            clips += any(there)
        share = statistics.mean(followed_frames)
        print(f"| {opacity:.0%} | {len(photos)} | {share:.0%} | {clips} |", flush=True)


class LiveSteps:
    """What `live` does with a frame but for reading it and telling of it: follows, cuts, infers and decides."""

    def __init__(self, classifier: Classifier) -> None:
        focus = TimedFocus(MotionFocus(MotionFocusRule(subjects=1)), live=False)
        self._classifier = classifier
        self._prepare = Preparer(classifier.card.input, [WHOLE], UPRIGHT, focus)
        self._deciders = Deciders(classifier.card.labels, Rule())

    def __call__(self, frame: Frame, number: int) -> int:
        """Looks at a frame; returns the number of cuts that were classified."""
        now_s = number / FPS
        prepared = self._prepare(SourceFrame(frame, "scene", number, now_s, 0.0))
        parts = [part for part in parts_of(prepared.subjects or (), {"": WHOLE}) if part.seen]
        for part, pixels in zip(parts, prepared.pixels, strict=True):
            scores = self._classifier.pixel_scores(pixels)
            known = self._classifier.knows(self._classifier.familiarity()) is not False
            self._deciders.update(part, scores, now_s, now_s, known=known)
        return len(parts)


def cost_of_live(asked: argparse.Namespace) -> None:
    """What `live` takes for a cut of one subject beside a bare inference, in turns on one thread."""
    classifier, scene = _cost_scene(asked)
    pixels, decoded = np.zeros(classifier.card.input.shape, np.uint8), np.empty_like(scene[0])
    ratios = []
    for _ in range(asked.rounds):
        live, times = LiveSteps(classifier), dict[str, list[float]]()
        for number, frame in enumerate(scene):
            decoded[:] = frame
            cuts = _timed(times, "live", partial(live, decoded, number))
            _timed(times, "invoke", partial(classifier.pixel_scores, pixels))
            if cuts == 1:
                ratios.append(times["live"][-1] / times["invoke"][-1])
    low, middle, high = statistics.quantiles(ratios, n=4)
    print(
        f"| live, one subject | {len(ratios)} cuts | {middle:.3f} of the inference beside it ({low:.3f}, {high:.3f}) |"
    )


def cost(asked: argparse.Namespace) -> None:
    """What the motion stage takes of a frame of 1280x720 beside an inference, in turns on one thread.

    `live` runs it right after the frame was decoded, which is then in the cache where that holds a frame: that is the
    first row. In the other the frame was written long before, and comes from memory.
    """
    if asked.arm:
        cost_on_arm(asked)
        return
    classifier, scene = _cost_scene(asked)
    if asked.marked:
        _executed(classifier, scene)
        return
    subtractors = {"MOG2": cv2.createBackgroundSubtractorMOG2(), "KNN": cv2.createBackgroundSubtractorKNN()}
    pixels, decoded = np.zeros(classifier.card.input.shape, np.uint8), np.empty_like(scene[0])
    times: dict[str, list[float]] = {}
    subtractors = subtractors if asked.subtractors else {}
    for _ in range(asked.rounds):
        fresh, stale = (MotionFocus(MotionFocusRule(subjects=1)) for _ in range(2))
        for number, frame in enumerate(scene):
            decoded[:] = frame
            _timed(times, "motion", partial(fresh.subjects, decoded, number / FPS))
            _timed(times, "invoke", lambda: classifier.pixel_scores(pixels))
            _timed(times, "motion, frame from memory", partial(stale.subjects, frame, number / FPS))
            classifier.pixel_scores(pixels)
            small = cv2.resize(frame[::4], (160, 90), interpolation=cv2.INTER_AREA) if subtractors else frame
            for name, subtractor in subtractors.items():
                _timed(times, f"{name} alone, 160x90", partial(subtractor.apply, small))
    for name, taken in times.items():
        ratios = [one / invoke for one, invoke in zip(taken, times["invoke"], strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        print(
            f"| {name} | {1e3 * statistics.median(taken):.2f} ms | {middle:.3f} of the inference beside it "
            f"(quartiles {low:.3f}, {high:.3f}) |"
        )


def _cost_scene(asked: argparse.Namespace) -> tuple[Classifier, list[Frame]]:
    """A model, and the frames of a subject that comes in and sways."""
    cv2.setNumThreads(1)
    photos, side = read_photos(asked.photos_csv, 10), int(0.3 * HEIGHT)
    one = sprite(read_picture(photos[0].path), side, comes(side, 0))
    scene = [frame for _, frame in frames(still_ground(asked.grounds, 0), [one], 4.0, 0, fps=FPS)]
    return Classifier(asked.model, threads=1), scene


def cost_on_arm(asked: argparse.Namespace) -> None:
    """Instructions of the motion stage and of an inference on an emulated core, which are the same every time."""
    from edge_bench.arm.guest import files
    from edge_bench.arm.instructions import PYTHON, own_packages
    from edge_bench.arm.user_mode import counted

    places = [str(path.resolve()) for path in (asked.model, asked.photos_csv, asked.grounds)]
    arguments = ["-m", "experiments.focus_table", "cost", *places, "--marked"]
    executed = {MOTION: 0, INVOKE: 0}
    path = [*own_packages(), Path(__file__).resolve().parents[1]]
    for number, counts in counted("cortex-a72", files(PYTHON), arguments, path):
        if number in executed:
            executed[number] += counts.all
    count = len(range(*ARM_FRAMES.indices(1000)))
    for name, number in (("motion", MOTION), ("invoke", INVOKE)):
        share = executed[number] / executed[INVOKE]
        print(f"| {name} | {executed[number] / count / 1e6:.3f} million instructions | {share:.3f} of the inference |")


def _executed(classifier: Classifier, scene: Sequence[Frame]) -> None:
    """Runs under emulation, with marks between what is counted."""
    pixels, focus = np.zeros(classifier.card.input.shape, np.uint8), MotionFocus(MotionFocusRule(subjects=1))
    counted_frames = range(*ARM_FRAMES.indices(len(scene)))
    for number, frame in enumerate(scene[: ARM_FRAMES.stop]):
        mark(OTHER)
        focus.subjects(frame, number / FPS)
        mark(MOTION if number in counted_frames else OTHER)
        if number + 2 >= ARM_FRAMES.start:  # the first one packs weights
            classifier.pixel_scores(pixels)
            mark(INVOKE if number in counted_frames else OTHER)


def _timed(times: dict[str, list[float]], name: str, call: Callable[[], object]) -> object:
    start = time.thread_time()
    result = call()
    times.setdefault(name, []).append(time.thread_time() - start)
    return result


COMMANDS: Final[dict[str, Callable[[argparse.Namespace], None]]] = {
    "sizes": sizes,
    "subjects": subjects,
    "alarms": alarms,
    "quick-alarms": quick_alarms,
    "faint": faint,
    "cost": cost,
    "cost-of-live": cost_of_live,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=COMMANDS)
    parser.add_argument("model", type=Path)
    parser.add_argument("photos_csv", type=Path, metavar="PHOTOS")
    parser.add_argument("grounds", type=Path, metavar="GROUNDS")
    parser.add_argument("--photos", type=int, default=184)
    parser.add_argument("--sizes", type=float, nargs="*", default=SIZES)
    parser.add_argument("--only-motion", action="store_true")
    parser.add_argument("--clips", type=int, default=100)
    parser.add_argument("--first", type=int, default=0, help="Seed of the first clip.")
    parser.add_argument("--weathers", nargs="*", default=list(WEATHERS), help="Weathers of the alarms.")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--scenes", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--subtractors", action="store_true", help="Times those of OpenCV, too.")
    parser.add_argument("--arm", action="store_true", help="Counts instructions of the cost on an emulated Cortex-A72.")
    parser.add_argument("--marked", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    COMMANDS[asked.what](asked)


if __name__ == "__main__":
    main()

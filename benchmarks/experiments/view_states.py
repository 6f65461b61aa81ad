"""Does `edge-run live` see that its camera shows nothing, and does it keep still in an ordinary hour?

    python benchmarks/experiments/view_states.py PHOTOS... --hours 1 --first 0 --count 8

Each photo becomes the still ground of a camera of 320x180 (the size that is looked at), in virtual time at two looks a
second: with one fault after a minute, and for an hour of each ordinary thing. Prints how many faults were recognized,
as what and after how long, and what was told of in the ordinary hours.
"""

import argparse
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median

import cv2
import numpy as np

from edge_core.images import read_picture
from edge_core.preprocess import Frame
from edge_device.frames.frozen import FrozenPicture
from edge_device.frames.view_state import LOOK_S, ViewWatch

WIDTH, HEIGHT = 320, 180
NOISE = 3.0
"""Levels in a pixel of this size: 12 in a pixel of 1280x720, were the noise of neighbors independent."""

FAULT_S = 60.0

Change = Callable[["Scene", float], Frame]


class Scene:
    """A ground, another one, a subject, and noise."""

    def __init__(self, photos: Sequence[Frame], seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.ground, self.other = (_filled(photo) for photo in photos[:2])
        self.subject = photos[2]
        self.noise = self.rng.normal(0, 1, (2 * HEIGHT, 2 * WIDTH, 3)).astype(np.float32)
        self.last = self.noisy(self.ground)
        self.hand = _filled(np.asarray(cv2.GaussianBlur(photos[1], (0, 0), 30), np.uint8))

    def noisy(self, frame: Frame | np.ndarray, deviation: float = NOISE) -> Frame:
        down, right = self.rng.integers(0, (HEIGHT, WIDTH))
        field = self.noise[down : down + HEIGHT, right : right + WIDTH]
        return np.clip(np.asarray(frame, np.float32) + deviation * field + 0.5, 0, 255).astype(np.uint8)

    def with_subject(self, share: float, x: float) -> Frame:
        side = round(share * HEIGHT)
        wide = round(side * self.subject.shape[1] / self.subject.shape[0])
        small = cv2.resize(self.subject, (wide, side), interpolation=cv2.INTER_AREA)
        frame = self.ground.copy()
        left, top = round(x * WIDTH - wide / 2), HEIGHT - side
        x0, x1 = max(left, 0), min(left + wide, WIDTH)
        if x0 < x1:
            frame[top:, x0:x1] = small[:, x0 - left : x1 - left]
        return frame


def _filled(photo: Frame) -> Frame:
    scale = max(WIDTH / photo.shape[1], HEIGHT / photo.shape[0])
    large = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    return np.ascontiguousarray(large[:HEIGHT, :WIDTH])


def _scaled(frame: Frame, gain: float | np.ndarray) -> np.ndarray:
    return np.asarray(frame, np.float32) * gain


def _blur(sigma: float) -> Change:
    return lambda scene, now_s: scene.noisy(cv2.GaussianBlur(scene.ground, (0, 0), sigma))


FAULTS: dict[str, tuple[tuple[str, ...], Change]] = {
    "black": (("dark",), lambda scene, now_s: np.zeros_like(scene.ground)),
    "black with noise": (("dark",), lambda scene, now_s: scene.noisy(np.zeros_like(scene.ground))),
    "cap, level 12": (("dark",), lambda scene, now_s: scene.noisy(np.full_like(scene.ground, 12), 5)),
    "white": (("overexposed",), lambda scene, now_s: np.full_like(scene.ground, 255)),
    "exposure x 6": (("overexposed",), lambda scene, now_s: scene.noisy(_scaled(scene.ground, 6))),
    "hand before the lens": (("covered", "dark"), lambda scene, now_s: scene.noisy(_scaled(scene.hand, 0.4))),
    "paper over the lens": (("covered",), lambda scene, now_s: scene.noisy(np.full_like(scene.ground, 170))),
    "cloth, level 45": (("covered", "dark"), lambda scene, now_s: scene.noisy(np.full_like(scene.ground, 45), 5)),
    "blur of 6 px of 1280": (("blurred",), _blur(1.5)),
    "blur of 10 px of 1280": (("blurred",), _blur(2.5)),
    "blur of 20 px of 1280": (("blurred", "covered"), _blur(5)),
    "another ground": (("moved",), lambda scene, now_s: scene.noisy(scene.other)),
    "the same picture, byte for byte": (("frozen",), lambda scene, now_s: scene.last),
    "turned by a third": (("moved",), lambda scene, now_s: scene.noisy(np.roll(scene.ground, WIDTH // 3, 1))),
}


def _cloud(scene: Scene, now_s: float) -> Frame:
    across = np.linspace(0, 1, WIDTH, dtype=np.float32)
    edge = (now_s % 120) / 60 * 1.6 - 0.3
    shade = 1 / (1 + np.exp((across - edge) / 0.05)) - 1 / (1 + np.exp((across - edge + 0.6) / 0.05))
    return scene.noisy(_scaled(scene.ground, (1 - 0.45 * shade)[None, :, None].astype(np.float32)))


def _rain(scene: Scene, now_s: float) -> Frame:
    frame = scene.ground.copy()
    for x, y in scene.rng.integers(0, (WIDTH, HEIGHT), (200, 2)):
        cv2.line(frame, (int(x), int(y)), (int(x), int(y) + 6), (200, 200, 200), 1)
    return scene.noisy(frame)


def _lamp(scene: Scene, now_s: float) -> Frame:
    """A lamp at one side, ten minutes on and ten off."""
    if int(now_s / 600) % 2:
        y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
        spot = np.exp(-(((x - 0.3 * WIDTH) / 125) ** 2) - ((y - 0.2 * HEIGHT) / 100) ** 2)
        return scene.noisy(_scaled(scene.ground, (0.35 + 1.2 * spot)[:, :, None]))
    return scene.noisy(_scaled(scene.ground, 0.35))


def _shaken(scene: Scene, now_s: float) -> Frame:
    x, y = scene.rng.uniform(-0.5, 0.5, 2)  # of 320: two pixels of 1280
    return scene.noisy(
        cv2.warpAffine(scene.ground, np.array([[1, 0, x], [0, 1, y]]), (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT)
    )


ORDINARY: dict[str, Change] = {
    "noise": lambda scene, now_s: scene.noisy(scene.ground),
    "night, a tenth of the light, twice the noise": lambda scene, now_s: scene.noisy(_scaled(scene.ground, 0.1), 6),
    "dusk, down to a twentieth": lambda scene, now_s: scene.noisy(
        _scaled(scene.ground, 20 ** -(now_s / 3600)), 3 + 3 * now_s / 3600
    ),
    "cloud every two minutes": _cloud,
    "exposure, half as much again and back": lambda scene, now_s: scene.noisy(
        _scaled(scene.ground, 1 + 0.5 * math.sin(now_s / 60))
    ),
    "exposure that jumps by a third": lambda scene, now_s: scene.noisy(
        _scaled(scene.ground, 1.0 if int(now_s / 45) % 2 else 0.67)
    ),
    "a lamp on and off": _lamp,
    "rain": _rain,
    "shake of 2 px": _shaken,
    "subject of 60 % that passes and stands": lambda scene, now_s: scene.noisy(
        scene.with_subject(0.6, min(0.5, (now_s % 300) / 60) if now_s % 300 < 200 else 1.5)
    ),
    "subject of 100 % for four minutes of five": lambda scene, now_s: scene.noisy(
        scene.with_subject(1.0, 0.5 if now_s % 300 > 60 else 2.0)
    ),
    "blank wall": lambda scene, now_s: scene.noisy(np.full_like(scene.ground, 205)),
    "blank wall that a subject passes": lambda scene, now_s: scene.noisy(_on_wall(scene, (now_s % 60) / 30 - 0.5)),
}


def _on_wall(scene: Scene, x: float) -> Frame:
    ground, scene.ground = scene.ground, np.full_like(scene.ground, 205)
    frame = scene.with_subject(0.6, x)
    scene.ground = ground
    return frame


def states(scene: Scene, change: Change, from_s: float, until_s: float) -> Iterator[tuple[float, str]]:
    """The states that are told, with their times; as `live` does, dark and white pictures are not called frozen."""
    watch, frozen, told = ViewWatch(), FrozenPicture(), "clear"
    for number in range(round(until_s / LOOK_S)):
        now_s = number * LOOK_S
        frame = change(scene, now_s) if now_s >= from_s else scene.noisy(scene.ground)
        watch.look(frame, now_s)
        frozen.look(frame, now_s)
        state = "frozen" if frozen.frozen and watch.state not in ("dark", "overexposed") else watch.state
        if state != told:
            told = state
            yield now_s, told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="+", type=Path)
    parser.add_argument("--hours", type=float, default=1.0, help="Length of each ordinary scene.")
    parser.add_argument("--first", type=int, default=0, help="Number of the first photo.")
    parser.add_argument("--count", type=int, default=8, help="Number of scenes.")
    rows = [*FAULTS, *ORDINARY]
    parser.add_argument("--only", nargs="+", default=rows, choices=rows, metavar="ROW", help="Names of the rows.")
    options = parser.parse_args()
    asked = options.only
    faults = {name: row for name, row in FAULTS.items() if name in asked}
    ordinary = {name: row for name, row in ORDINARY.items() if name in asked}
    cv2.setNumThreads(1)
    photos = [read_picture(path) for path in sorted(options.photos)]
    scenes = [
        [photos[(options.first + 3 * number + further) % len(photos)] for further in range(3)]
        for number in range(options.count)
    ]
    print("| fault | recognized | as | after, median and longest |\n|---|--:|---|--:|")
    for name, (expected, change) in faults.items():
        took, seen = [], Counter[str]()
        for number, grounds in enumerate(scenes):
            told = [(at_s, state) for at_s, state in states(Scene(grounds, number), change, FAULT_S, FAULT_S + 60)]
            first = next(((at_s, state) for at_s, state in told if at_s >= FAULT_S and state != "clear"), None)
            seen[first[1] if first else "nothing"] += 1
            if first and first[1] in expected:
                took.append(first[0] - FAULT_S)
        kinds = ", ".join(f"{state} {count}" for state, count in seen.most_common())
        times = f"{median(took):.0f} s, {max(took):.0f} s" if took else "-"
        print(f"| {name} | {len(took)} of {len(scenes)} | {kinds} | {times} |", flush=True)
    print(f"\n| ordinary, {options.hours:g} h each | told of |\n|---|---|")
    for name, change in ordinary.items():
        false = Counter[str]()
        for number, grounds in enumerate(scenes):
            false.update(
                state
                for _, state in states(Scene(grounds, number), change, 0, 3600 * options.hours)
                if state != "clear"
            )
        kinds = ", ".join(f"{state} {count}" for state, count in false.most_common()) or "nothing"
        print(f"| {name} | {kinds} |", flush=True)


if __name__ == "__main__":
    main()

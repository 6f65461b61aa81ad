"""A drive past road signs, with the truth about every frame, to score a live run against."""

import csv
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from edge_core.errors import OutputError
from edge_core.files import written_whole
from edge_core.progress import Track, silently
from edge_train.data.signs.artwork import NOTHING, SIGNS, Pixels
from edge_train.data.signs.render import (
    Pose,
    Scene,
    Stage,
    decoded,
    generator,
    photograph,
    sample_scene,
    set_stage,
    stable_key,
)

_SHOT_SECONDS: Final = 2.0  # for each sign: at the default length every sign comes by once
_NOTHING_SHARE: Final = 0.3  # of a shot, before its sign comes into view
_ROOM: Final = 1.5  # the painted place over what a frame shows of it


@dataclass(frozen=True)
class Appearance:
    """A sign in view: its label, and its first and last frame, counted from 0 and both included."""

    label: str
    first_frame: int
    last_frame: int


def write_video(
    path: Path,
    seed: int,
    *,
    seconds: float = 24,
    fps: int = 15,
    width: int = 640,
    height: int = 480,
    track: Track = silently,
) -> list[Appearance]:
    """Writes an MP4 in which signs come into view, approach and pass, and beside it STEM.csv (columns frame, label).

    A sign counts as in view while at least three quarters of its width lie within the central square of the frame;
    all other frames are labeled "nothing". No photo of `render_photo` shares a seed with a video.

    Returns:
        The appearances in order.

    Raises:
        OutputError: The file cannot be written, or has no frames.
    """
    count = round(seconds * fps)
    if count < 1 or min(width, height) < 16 or width % 2 or height % 2:  # MPEG-4 halves its color planes
        raise OutputError(
            f"no video of {seconds} s at {fps} frames/s with {width} x {height} pixels can be written; "
            "it takes a frame or more, of an even width and height from 16 pixels on"
        )
    shots = max(1, round(seconds / _SHOT_SECONDS))
    bounds = np.linspace(0, count, shots + 1).astype(int)
    order = [
        SIGNS[int(place)]
        for lap in range(-(-shots // len(SIGNS)))
        for place in generator("video", seed, lap).permutation(len(SIGNS))
    ]

    def frames() -> Iterator[tuple[str, Pixels]]:
        for number in range(shots):
            scene = sample_scene(order[number], generator("video", seed, "shot", number))
            yield from _shot(scene, int(bounds[number + 1] - bounds[number]), width, height)

    labels = []
    with ExitStack() as stack:
        table, film = (stack.enter_context(written_whole(place)) for place in (path.with_suffix(".csv"), path))
        writer = cv2.VideoWriter(str(film.absolute()), cv2.VideoWriter.fourcc(*"mp4v"), fps, (width, height))
        # Called before the files are renamed: only then has the encoder written all.
        stack.callback(writer.release)
        if not writer.isOpened():
            raise OutputError(f"{path} cannot be written: OpenCV finds no encoder for this name; end it in .mp4")
        for label, frame in track(frames(), "rendering the drive", count):
            writer.write(frame)
            labels.append(label)
        with table.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("frame", "label"), *enumerate(labels)])
    return _appearances(labels)


def _shot(scene: Scene, count: int, width: int, height: int) -> Iterator[tuple[str, Pixels]]:
    """Frames with their labels: the same sign, place and light, only nearer from frame to frame."""
    assert scene.pose is not None  # a sign always has one
    camera = replace(scene.camera, defocus=min(0.008, scene.camera.defocus), motion=min(0.012, scene.camera.motion))
    nearest = replace(scene.pose, height=0.8)
    scene = replace(scene, pose=nearest, camera=camera)
    wide = set_stage(scene, int(width * _ROOM), int(height * _ROOM))
    side = 1 if nearest.x > 0 else -1
    for number in range(count):
        share = number / count
        pose = _on_the_way(nearest, side, (share - _NOTHING_SHARE) / (1 - _NOTHING_SHARE), width / height)
        stage = Stage(_window(wide.backdrop, share, side, width, height), wide.texture)
        shown = replace(scene, pose=pose, noise_key=stable_key(scene.noise_key, number))
        yield scene.label if _in_view(pose) else NOTHING, decoded(photograph(shown, stage))


def _on_the_way(nearest: Pose, side: int, share: float, aspect: float) -> Pose:
    """Comes in from one side within the first eighth of the way, approaches, leaves by the same side in the last."""
    nearness = 1 / (1 + 1.7 * (1 - np.clip(share, 0, 1)))  # size goes with the inverse of the distance
    height = nearest.height * nearness
    outside = aspect / 2 + 2 * height
    coming, leaving = np.clip(1 - share * 8, 0, 1) ** 2, np.clip(share * 8 - 7, 0, 1) ** 2
    x = side * (0.12 * share + (outside - 0.12) * (coming + leaving))
    return replace(nearest, x=float(x), y=nearest.y * 0.3 - 0.05 * share, height=float(height))


def _in_view(pose: Pose) -> bool:
    return abs(pose.x) + pose.height / 2 - 0.5 <= pose.height / 4


def _window(backdrop: Pixels, share: float, side: int, width: int, height: int) -> Pixels:
    """What the frame shows of the place, moving on and a little to the side."""
    zoom = (1.3 - 0.3 * share) / _ROOM
    tall, wide = backdrop.shape[:2]
    center = (wide / 2 - side * 0.08 * wide * (share - 0.5), tall / 2)
    to_frame = np.array([[1 / zoom, 0, -center[0] / zoom], [0, 1 / zoom, -center[1] / zoom]]) / _ROOM
    to_frame[:, 2] += (width / 2, height / 2)
    return cv2.warpAffine(backdrop, to_frame, (width, height), borderMode=cv2.BORDER_REFLECT).astype(
        np.uint8, copy=False
    )


def _appearances(labels: list[str]) -> list[Appearance]:
    changes = [0, *(frame for frame in range(1, len(labels)) if labels[frame] != labels[frame - 1]), len(labels)]
    return [Appearance(labels[first], first, end - 1) for first, end in pairwise(changes) if labels[first] != NOTHING]

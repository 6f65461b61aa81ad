"""Photos of road signs as a Raspberry Pi's camera would take them: a scene is drawn by lot, then photographed.

A scene is a small value, so that a video can move its sign and keep all else (`dataclasses.replace`). Painting and
light know only fractions of the frame height: a scene can be photographed at any size.
"""

import hashlib
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from edge_core.errors import DatasetError
from edge_core.images import encode_jpeg
from edge_train.data.signs.artwork import LABELS, NOTHING, Pixels
from edge_train.data.signs.backdrop import Generator, paint_backdrop, shaded, tone
from edge_train.data.signs.optics import CameraOptics, Light, lit, on_sensor, through_lens, to_light
from edge_train.data.signs.surface import EXTENT, Surface, lay_over, texture

RENDERER_VERSION: Final = 1
"""Raised with every change that alters a pixel of any photo."""

_TEXTURE_SIZES: Final = (128, 192, 288, 432, 648, 972, 1458)
_SQUARE: Final = 0.5  # half the side of the central square that a classifier gets to see, in frame heights


@dataclass(frozen=True)
class Pose:
    """Where a sign stands before the camera.

    Attributes:
        x: Distance of the sign's center to the right of the frame's center, in frame heights.
        y: Distance of the sign's center below the frame's center, in frame heights.
        height: Height of the sign when it faces the camera, in frame heights.
        yaw: Turn about the upright axis, radians; `pitch` about the level axis, `roll` in the plane of the frame.
        perspective: Half the sign's size over its distance: how strongly its far side shrinks.
    """

    x: float
    y: float
    height: float
    yaw: float
    pitch: float
    roll: float
    perspective: float


@dataclass(frozen=True)
class Scene:
    """All that makes a photo but its size.

    Attributes:
        label: What the photo shows.
        pose: Where the sign or, for "nothing", a shape that is none stands; None for a bare backdrop.
        surface: What carries the sign.
        backdrop_key: Seeds the place.
        backdrop_blur: Diameter of the blur disc of the place alone, in frame heights.
        light: How it is lit.
        camera: What takes it.
        noise_key: Seeds the sensor noise.
    """

    label: str
    pose: Pose | None
    surface: Surface
    backdrop_key: int
    backdrop_blur: float
    light: Light
    camera: CameraOptics
    noise_key: int


@dataclass(frozen=True, eq=False)
class Stage:
    """A scene's painted parts, which stay the same while its sign moves.

    Attributes:
        backdrop: uint8, shape (height, width, 3), blue, green, red.
        texture: uint8, shape (size, size, 4), the sign on its surface; None where there is none.
    """

    backdrop: Pixels
    texture: Pixels | None


def render_photo(label: str, seed: int, width: int = 320, height: int = 240) -> Pixels:
    """One photo, the same for the same label and seed: uint8 of shape (height, width, 3), blue, green, red.

    On another processor or with another OpenCV, resampling may round a pixel to a neighboring level.

    Raises:
        DatasetError: There is no such label.
    """
    return decoded(render_jpeg(label, seed, width, height))


def render_jpeg(label: str, seed: int, width: int, height: int) -> bytes:
    """The same photo as the camera stores it, a JPEG file.

    Raises:
        DatasetError: There is no such label.
    """
    scene = sample_scene(label, generator("photo", label, seed))
    return photograph(scene, set_stage(scene, width, height))


def decoded(jpeg: bytes) -> Pixels:
    """The picture in a JPEG file: uint8 of shape (height, width, 3), blue, green, red."""
    return cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR).astype(np.uint8, copy=False)  # type: ignore[union-attr]


def generator(*parts: str | int) -> Generator:
    """A random generator for these words and numbers, the same on every machine; other parts give another stream."""
    return np.random.Generator(np.random.PCG64(stable_key(*parts)))


def stable_key(*parts: str | int) -> int:
    """A number in [0, 2**63) for these words and numbers, the same in every process, unlike `hash`."""
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def sample_scene(label: str, rng: Generator) -> Scene:
    """Draws everything about a photo by lot.

    Raises:
        DatasetError: There is no such label.
    """
    if label not in LABELS:
        raise DatasetError(f"no sign is called {label!r}; there are {', '.join(LABELS)}")
    paper = bool(rng.random() < 0.5)
    pose = _sample_pose(rng, paper)
    support = None
    if rng.random() < 0.8:
        support = tone(rng, 0.5) if paper else shaded((200, 200, 200), rng.uniform(0.3, 1))
    if label == NOTHING and rng.random() < 0.45:
        return _sample_rest(rng, label, None, Surface(0, paper, None))
    return _sample_rest(rng, label, pose, Surface(int(rng.integers(2**62)), paper, support))


def _sample_pose(rng: Generator, paper: bool) -> Pose:
    height = float(np.exp(rng.uniform(np.log(0.25), np.log(0.95))))
    reach = max(0.06, _SQUARE + 0.02 - height / 2)  # lets the frame's edge cut a little off
    x, y = rng.uniform(-reach, reach, 2)
    yaw, pitch, roll = np.radians(
        np.clip(rng.normal(0, [24, 11, 10 if paper else 5]), [-55, -30, -28], [55, 30, 28]),
    )
    return Pose(x, y, height, yaw, pitch, roll, rng.uniform(0.05, 0.3))


def _sample_rest(rng: Generator, label: str, pose: Pose | None, surface: Surface) -> Scene:
    sharp_enough = 0.055 * (pose.height if pose else 0.6)  # blur beyond this share of a sign makes it unreadable
    warmth, tint = rng.normal(0, 0.13), rng.normal(0, 0.03)
    light = Light(
        exposure=float(np.exp(rng.uniform(np.log(0.06), np.log(0.45)))),
        slope_x=rng.normal(0, 0.35),
        slope_y=rng.normal(0, 0.35),
        gains=(1 - warmth, 1 + tint, 1 + warmth),
        shadow=rng.uniform(0.2, 0.85) if rng.random() < 0.4 else 0.0,
        shadow_angle=rng.uniform(0, np.pi),
        shadow_width=rng.uniform(0.1, 1.0),
        shadow_softness=rng.uniform(0.01, 0.2),
        shadow_offset=rng.uniform(-0.5, 0.5),
    )
    camera = CameraOptics(
        defocus=min(sharp_enough, rng.exponential(0.007)),
        motion=min(1.5 * sharp_enough, rng.exponential(0.02)) if rng.random() < 0.4 else 0.0,
        motion_angle=rng.uniform(0, np.pi),
        vignetting=rng.uniform(0, 0.4),
        electrons=float(np.exp(rng.uniform(np.log(120), np.log(10000)))),
        read_noise=rng.uniform(1, 6),
        mosaic=bool(rng.random() < 0.6),
        sharpening=rng.uniform(0, 0.8) if rng.random() < 0.5 else 0.0,
        jpeg_quality=int(rng.integers(40, 96)),
    )
    backdrop_blur = rng.uniform(0, 0.04) if rng.random() < 0.5 else 0.0
    backdrop_key, noise_key = (int(key) for key in rng.integers(2**62, size=2))
    return Scene(label, pose, surface, backdrop_key, backdrop_blur, light, camera, noise_key)


def set_stage(scene: Scene, width: int, height: int) -> Stage:
    """Paints the backdrop, as large as the frame, and the sign on its surface, fine enough for its pose."""
    backdrop = paint_backdrop(np.random.Generator(np.random.PCG64(scene.backdrop_key)), width, height)
    blur = int(scene.backdrop_blur * height)
    if blur > 1:
        backdrop = cv2.blur(backdrop, (blur, blur)).astype(np.uint8, copy=False)
    if scene.pose is None:
        return Stage(backdrop, None)
    wanted = scene.pose.height * height * EXTENT
    size = next((size for size in _TEXTURE_SIZES if size >= wanted), _TEXTURE_SIZES[-1])
    return Stage(backdrop, texture(scene.label, scene.surface, size))


def photograph(scene: Scene, stage: Stage) -> bytes:
    """Takes the photo: a JPEG file of the backdrop's size."""
    rng = np.random.Generator(np.random.PCG64(scene.noise_key))
    view = stage.backdrop.copy()
    if scene.pose is not None and stage.texture is not None:
        _hang(view, stage.texture, scene.pose, scene.surface)
    light = through_lens(lit(to_light(view), scene.light), scene.camera)
    return encode_jpeg(on_sensor(light, scene.camera, rng), scene.camera.jpeg_quality)


def _hang(view: Pixels, sign: Pixels, pose: Pose, surface: Surface) -> None:
    """Puts the sign into the view, its pole or arm first."""
    height, width = view.shape[:2]
    to_frame = _homography(pose, width, height)
    if surface.support is not None:
        above, below = _project(to_frame, 0.0, 0.3), _project(to_frame, 0.0, 1.0)
        foot = above + (below - above) / max(1.0, float(np.linalg.norm(below - above))) * 2 * height
        thick = pose.height * height * (0.3 if surface.paper else 0.06)
        cv2.line(view, _whole(above), _whole(foot), surface.support, max(1, int(thick)), cv2.LINE_AA)
    while len(sign) > 1.7 * pose.height * height * EXTENT:  # else pixels are skipped and edges flicker
        sign = cv2.resize(sign, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    # Pixel 0 has its center half a pixel inside the texture's edge.
    scale = 2 * EXTENT / len(sign)
    to_unit = np.array([[scale, 0, scale / 2 - EXTENT], [0, scale, scale / 2 - EXTENT], [0, 0, 1]])
    corners = np.array([_project(to_frame, x, y) for x in (-EXTENT, EXTENT) for y in (-EXTENT, EXTENT)])
    left, top = np.clip(corners.min(axis=0), 0, (width, height)).astype(int)
    right, bottom = np.clip(corners.max(axis=0) + 1, 0, (width, height)).astype(int)
    if left < right and top < bottom:  # else it is out of sight
        to_part = np.array([[1, 0, -left], [0, 1, -top], [0, 0, 1]])
        seen = cv2.warpPerspective(sign, to_part @ to_frame @ to_unit, (int(right - left), int(bottom - top)))
        lay_over(view[top:bottom, left:right], seen.astype(np.uint8, copy=False))


def _homography(pose: Pose, width: int, height: int) -> npt.NDArray[np.float64]:
    """From unit coordinates of the sign's plane to pixels of the frame: shape (3, 3)."""
    (sy, cy), (sp, cp), (sr, cr) = ((np.sin(angle), np.cos(angle)) for angle in (pose.yaw, pose.pitch, pose.roll))
    about_upright = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_level = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    in_plane = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    turned = about_upright @ about_level @ in_plane
    # In units of half the sign's height the sign is 1 / perspective away.
    plane = np.column_stack([turned[:, 0], turned[:, 1], [0, 0, 1 / pose.perspective]])
    # So that a sign that faces the camera is `pose.height` tall in the frame.
    focal = pose.height * height / 2 / pose.perspective
    lens = np.array([[focal, 0, width / 2 + pose.x * height], [0, focal, height / 2 + pose.y * height], [0, 0, 1]])
    return np.asarray(lens @ plane, np.float64)


def _project(homography: npt.NDArray[np.float64], x: float, y: float) -> npt.NDArray[np.float64]:
    across, down, depth = homography @ np.array([x, y, 1.0])
    return np.array([across / depth, down / depth])


def _whole(point: npt.NDArray[np.float64]) -> tuple[int, int]:
    return int(point[0]), int(point[1])

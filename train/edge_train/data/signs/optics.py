"""From a painted scene to what a small camera makes of it: light, lens, sensor, JPEG.

Light is added and blurred in linear units, where 1 is the level at which the sensor saturates, as photons do it;
pictures before and after are 8-bit sRGB.
"""

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

from edge_train.data.signs.artwork import Pixels
from edge_train.data.signs.backdrop import Plane

Radiance = npt.NDArray[np.float32]
"""Linear light, shape (height, width, 3), blue, green, red."""


@dataclass(frozen=True)
class Light:
    """How a scene is lit.

    Attributes:
        exposure: Mean level after automatic exposure, 1 being saturation.
        slope_x: Change of light from the left edge to the right, as a share of the mean; `slope_y` from top to bottom.
        gains: Gains of blue, green and red: the light's color as far as the white balance leaves it.
        shadow: Share of light taken where a shadow falls; 0 for none.
        shadow_angle: Direction of the shadow's edges, radians.
        shadow_width: Width of the shadow band as a fraction of the frame height; `shadow_softness` is that of its
            edges.
        shadow_offset: Distance of the shadow band from the frame's center as a fraction of the frame height.
    """

    exposure: float
    slope_x: float
    slope_y: float
    gains: tuple[float, float, float]
    shadow: float
    shadow_angle: float
    shadow_width: float
    shadow_softness: float
    shadow_offset: float


@dataclass(frozen=True)
class CameraOptics:
    """How a camera falls short.

    Attributes:
        defocus: Diameter of the blur disc, as a fraction of the frame height.
        motion: Length of the motion blur, as a fraction of the frame height; `motion_angle` in radians.
        vignetting: Share of light lost in the corners.
        electrons: What a pixel collects at saturation: the fewer, the more shot noise.
        read_noise: Standard deviation in electrons.
        mosaic: Whether each pixel sees only one color of a Bayer pattern, the others interpolated.
        sharpening: Weight of the unsharp mask.
        jpeg_quality: JPEG quality from 1 to 100.
    """

    defocus: float
    motion: float
    motion_angle: float
    vignetting: float
    electrons: float
    read_noise: float
    mosaic: bool
    sharpening: float
    jpeg_quality: int


def to_light(picture: Pixels) -> Radiance:
    """Undoes the sRGB curve."""
    return _float32(cv2.LUT(picture, _srgb_to_linear()))


def lit(scene: Radiance, light: Light) -> Radiance:
    """Light falls on the scene; the camera then sets its exposure by the mean, as it would."""
    height, width = scene.shape[:2]
    across = np.linspace(-0.5, 0.5, width, dtype=np.float32) * np.float32(width / height)
    down = np.linspace(-0.5, 0.5, height, dtype=np.float32)[:, None]
    field = 1 + np.float32(light.slope_x) * across + np.float32(light.slope_y) * down
    if light.shadow > 0:
        distance = np.float32(np.cos(light.shadow_angle)) * across + np.float32(np.sin(light.shadow_angle)) * down
        edge = light.shadow_width / 2 - np.abs(distance - np.float32(light.shadow_offset))
        field = field * (1 - np.float32(light.shadow) * np.clip(edge / np.float32(light.shadow_softness), 0, 1))
    bright = _dimmed(scene, np.maximum(field, 0.1))
    level = light.exposure / max(1e-3, sum(cv2.mean(bright)[:3]) / 3)
    return _float32(cv2.transform(bright, np.diag(light.gains) * level))


def through_lens(scene: Radiance, camera: CameraOptics) -> Radiance:
    """Defocus, motion blur and vignetting."""
    height, width = scene.shape[:2]
    if camera.defocus * height > 0.7:
        scene = _float32(cv2.filter2D(scene, -1, _disc_kernel(camera.defocus * height)))
    if camera.motion * height > 1:
        scene = _float32(cv2.filter2D(scene, -1, _line_kernel(camera.motion * height, camera.motion_angle)))
    across, down = np.linspace(-1, 1, width, dtype=np.float32) ** 2, np.linspace(-1, 1, height, dtype=np.float32) ** 2
    return _dimmed(scene, 1 - np.float32(camera.vignetting / 2) * (across[None, :] + down[:, None]))


def on_sensor(scene: Radiance, camera: CameraOptics, rng: np.random.Generator) -> Pixels:
    """Noise, saturation, color interpolation, sRGB curve and sharpening."""
    if camera.mosaic:
        raw = np.empty(scene.shape[:2], np.float32)
        # The rows of the pattern: blue and green, then green and red.
        for row, column, channel in ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 2)):
            raw[row::2, column::2] = scene[row::2, column::2, channel]
        counts = _counted(raw, camera, rng)
        counts = cv2.demosaicing(counts, cv2.COLOR_BayerBGGR2BGR).astype(np.uint16, copy=False)
    else:
        counts = _counted(scene, camera, rng)
    picture = _linear_to_srgb()[counts]
    if camera.sharpening > 0:
        soft = cv2.GaussianBlur(picture, (0, 0), 1.0)
        picture = cv2.addWeighted(picture, 1 + camera.sharpening, soft, -camera.sharpening, 0).astype(
            np.uint8, copy=False
        )
    return picture


def _counted(light: Plane | Radiance, camera: CameraOptics, rng: np.random.Generator) -> npt.NDArray[np.uint16]:
    """Light to 12-bit counts; shot noise grows with the root of the light, read noise does not."""
    # Electrons are Poisson-distributed: as shares of saturation their variance is light / electrons.
    spread = light / np.float32(camera.electrons)
    spread += np.float32((camera.read_noise / camera.electrons) ** 2)
    np.sqrt(spread, out=spread)  # in place: fresh memory costs more than the arithmetic
    noisy = rng.standard_normal(light.shape, dtype=np.float32)
    noisy *= spread
    noisy += light
    noisy *= np.float32(4095)
    np.clip(noisy, 0, 4095, out=noisy)
    return noisy.astype(np.uint16)


def _dimmed(scene: Radiance, field: Plane) -> Radiance:
    return _float32(cv2.multiply(scene, cv2.cvtColor(field, cv2.COLOR_GRAY2BGR)))


def _float32(array: npt.ArrayLike) -> Radiance:
    return np.asarray(array, np.float32)


@cache
def _srgb_to_linear() -> npt.NDArray[np.float32]:
    level = np.arange(256) / 255
    # IEC 61966-2-1, the sRGB standard, here and below.
    return _float32(np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4))


@cache
def _linear_to_srgb() -> Pixels:
    level = np.arange(4096) / 4095
    curved = np.where(level <= 0.0031308, level * 12.92, 1.055 * level ** (1 / 2.4) - 0.055)
    return np.asarray(np.rint(255 * curved), np.uint8)


def _disc_kernel(diameter: float) -> Plane:
    reach = int(np.ceil(diameter / 2))
    offset = np.arange(-reach, reach + 1, dtype=np.float32)
    # About the share of each pixel that the disc covers.
    kernel = np.clip(diameter / 2 + 0.5 - np.hypot(offset[:, None], offset[None, :]), 0, 1)
    return _float32(kernel / kernel.sum())


def _line_kernel(length: float, angle: float) -> Plane:
    reach = int(np.ceil(length / 2)) + 1
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    half = length / 2 * np.array([np.cos(angle), np.sin(angle)])
    start, end = ([round(16 * (reach + side * step)) for step in half] for side in (-1, 1))
    cv2.line(kernel, start, end, (1.0,), 1, cv2.LINE_8, 4)
    return _float32(kernel / kernel.sum())

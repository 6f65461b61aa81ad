"""Fifteen common corruptions of a photo at five severities: noise, blur, weather, digital.

The kinds are those of Hendrycks and Dietterich, Benchmarking Neural Network Robustness to Common Corruptions and
Perturbations, ICLR 2019, on pictures of 224 by 224 pixels as there, so that a severity means the same for every photo.
Levels of noise, brightness, contrast, zoom, pixelation and JPEG are the published ones; glass, motion, snow, frost, fog
and elastic are made here after the paper's description. So rows compare with each other, not with figures elsewhere.
The packages that hold the original code need scikit-image, or are no longer kept up.
"""

from collections.abc import Callable
from typing import Final

import cv2
import numpy as np

from edge_core.images import decode_picture, encode_jpeg
from edge_core.preprocess import Frame

SIDE: Final = 224
SEVERITIES: Final = (1, 2, 3, 4, 5)

Levels = cv2.typing.MatLike
"""A picture in levels 0..1, float32, shape (SIDE, SIDE, 3); or a mask or a field of one channel, or a kernel."""
Random = np.random.Generator
Corruption = Callable[[Levels, int, Random], Levels]
"""From a picture, a severity as index 0..4 and a source of randomness to what became of it, clipped later."""


def squared(frame: Frame) -> Frame:
    """The largest centered square of a decoded photo, resized to `SIDE`."""
    side = min(frame.shape[:2])
    top, left = ((length - side) // 2 for length in frame.shape[:2])
    square = frame[top : top + side, left : left + side]
    shrink = cv2.INTER_AREA if side > SIDE else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(square, (SIDE, SIDE), interpolation=shrink), np.uint8)


def corrupt(frame: Frame, name: str, severity: int, sha256: str) -> Frame:
    """A corrupted copy of what `squared` made; the same photo is always corrupted in the same way.

    Args:
        frame: uint8, shape (SIDE, SIDE, 3).
        name: One of `CORRUPTIONS`.
        severity: 1 to 5.
        sha256: SHA-256 of the photo's file, used as the random seed.
    """
    # Its place is part of the seed: with another order of `CORRUPTIONS` the pictures would be others.
    kind = list(CORRUPTIONS).index(name)
    random = np.random.default_rng([int(sha256[:16], 16), kind, severity])
    levels = CORRUPTIONS[name](frame.astype(np.float32) / 255, severity - 1, random)
    return np.rint(255 * np.clip(levels, 0, 1)).astype(np.uint8)


def _gaussian_noise(image: Levels, level: int, random: Random) -> Levels:
    return image + _normal(random, image.shape) * (0.08, 0.12, 0.18, 0.26, 0.38)[level]


def _shot_noise(image: Levels, level: int, random: Random) -> Levels:
    photons = (60, 25, 12, 5, 3)[level]  # that white is made of
    return (random.poisson(image * photons) / photons).astype(np.float32)


def _impulse_noise(image: Levels, level: int, random: Random) -> Levels:
    share = (0.03, 0.06, 0.09, 0.17, 0.27)[level]
    chance = random.random(image.shape, np.float32)
    return np.where(chance < share / 2, 0, np.where(chance < share, 1, image)).astype(np.float32)


def _defocus_blur(image: Levels, level: int, random: Random) -> Levels:
    radius = (3, 4, 6, 8, 10)[level]
    span = np.arange(-radius, radius + 1)
    disk = (span[:, np.newaxis] ** 2 + span**2 <= radius**2).astype(np.float32)
    return _filtered(image, cv2.GaussianBlur(disk, (3, 3), 0.5))


def _glass_blur(image: Levels, level: int, random: Random) -> Levels:
    """Pixels change places with near ones, between two blurs."""
    sigma, reach, times = ((0.7, 1, 2), (0.9, 2, 1), (1.0, 2, 3), (1.1, 3, 2), (1.5, 4, 2))[level]
    blurred = _blurred(image, sigma)
    for _ in range(times):
        right, down = random.integers(-reach, reach + 1, (2, SIDE, SIDE)).astype(np.float32)
        blurred = _remapped(blurred, right, down, cv2.INTER_NEAREST)
    return _blurred(blurred, sigma)


def _motion_blur(image: Levels, level: int, random: Random) -> Levels:
    length = (7, 11, 15, 21, 29)[level]
    return _filtered(image, _line(length, random.uniform(-45, 45)))


def _zoom_blur(image: Levels, level: int, random: Random) -> Levels:
    """The mean of the picture and of enlargements of it, as if zoomed while the shutter is open."""
    largest, step = ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03))[level]
    factors = np.arange(1 + step, largest, step)
    return (image + sum(_zoomed(image, factor) for factor in factors)) / (1 + len(factors))


def _snow(image: Levels, level: int, random: Random) -> Levels:
    """Flakes that fall at an angle, on a picture that pales."""
    share, size, length, pale = (
        (0.01, 2, 7, 0.1), (0.015, 2, 9, 0.15), (0.02, 3, 11, 0.2), (0.025, 3, 13, 0.25), (0.03, 4, 15, 0.3)
    )[level]  # fmt: skip
    seeds = (random.random((SIDE, SIDE), np.float32) < share / size).astype(np.float32)
    flakes = cv2.dilate(seeds, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))
    flakes = np.clip(2 * cv2.filter2D(flakes, -1, _line(length, random.uniform(-135, -45))), 0, 1)
    gray = image.mean(2, keepdims=True)
    paled = (1 - pale) * image + pale * np.maximum(image, 1.3 * gray + 0.3)
    return np.asarray(paled + flakes[..., np.newaxis], np.float32)


def _frost(image: Levels, level: int, random: Random) -> Levels:
    """Ice that grows from the border in bright crystals with edges."""
    keep, ice = ((1, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75))[level]
    ridges = 1 - np.abs(2 * _plasma(random, 1.6) - 1)
    span = np.abs(np.linspace(-1, 1, SIDE, dtype=np.float32))
    border = np.maximum(span[:, np.newaxis], span)
    crystals = np.clip(ridges**2 * (0.35 + 0.9 * border), 0, 1)[..., np.newaxis]
    return keep * image + ice * crystals * np.array((1.0, 0.95, 0.9), np.float32)  # B, G, R: bluish


def _fog(image: Levels, level: int, random: Random) -> Levels:
    thickness, roughness = ((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4))[level]
    brightest = image.max()
    fogged = image + thickness * _plasma(random, roughness)[..., np.newaxis]
    return np.asarray(fogged * brightest / (brightest + thickness), np.float32)


def _brightness(image: Levels, level: int, random: Random) -> Levels:
    hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)
    hsv[..., 2] = np.clip(hsv[..., 2] + (0.1, 0.2, 0.3, 0.4, 0.5)[level], 0, 1)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)


def _contrast(image: Levels, level: int, random: Random) -> Levels:
    mean = image.mean((0, 1), keepdims=True)
    return np.asarray(mean + (image - mean) * (0.4, 0.3, 0.2, 0.1, 0.05)[level], np.float32)


def _elastic_transform(image: Levels, level: int, random: Random) -> Levels:
    """Each pixel is pulled by a smooth random field: wide and strong first, then ever finer."""
    sigma, pixels = ((20, 8), (15, 11), (11, 13), (8, 14), (6, 15))[level]
    fields = [cv2.GaussianBlur(_normal(random, (SIDE, SIDE)), (0, 0), sigma) for _ in range(2)]
    right, down = (np.asarray(pixels * field / (3 * field.std()), np.float32) for field in fields)
    return _remapped(image, right, down, cv2.INTER_LINEAR)


def _pixelate(image: Levels, level: int, random: Random) -> Levels:
    side = round(SIDE * (0.6, 0.5, 0.4, 0.3, 0.25)[level])
    small = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (SIDE, SIDE), interpolation=cv2.INTER_NEAREST)


def _jpeg_compression(image: Levels, level: int, random: Random) -> Levels:
    quality = (25, 18, 15, 10, 7)[level]
    data = encode_jpeg(np.rint(255 * image).astype(np.uint8), quality)
    return decode_picture(data).astype(np.float32) / 255


CORRUPTIONS: Final[dict[str, Corruption]] = {
    "gaussian noise": _gaussian_noise,
    "shot noise": _shot_noise,
    "impulse noise": _impulse_noise,
    "defocus blur": _defocus_blur,
    "glass blur": _glass_blur,
    "motion blur": _motion_blur,
    "zoom blur": _zoom_blur,
    "snow": _snow,
    "frost": _frost,
    "fog": _fog,
    "brightness": _brightness,
    "contrast": _contrast,
    "elastic transform": _elastic_transform,
    "pixelate": _pixelate,
    "JPEG compression": _jpeg_compression,
}


def _normal(random: Random, shape: tuple[int, ...]) -> Levels:
    return random.standard_normal(shape, np.float32)


def _blurred(image: Levels, sigma: float) -> Levels:
    return cv2.GaussianBlur(image, (0, 0), sigma)


def _filtered(image: Levels, kernel: Levels) -> Levels:
    return cv2.filter2D(image, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT_101)


def _line(length: int, degrees: float) -> Levels:
    """A kernel whose weight lies on a line through its middle and sums to 1."""
    kernel = np.zeros((length, length), np.float32)
    kernel[length // 2] = 1
    turn = cv2.getRotationMatrix2D((length // 2, length // 2), degrees, 1)
    turned = cv2.warpAffine(kernel, turn, (length, length))
    return np.asarray(turned / turned.sum())


def _zoomed(image: Levels, factor: float) -> Levels:
    turn = cv2.getRotationMatrix2D(((SIDE - 1) / 2, (SIDE - 1) / 2), 0, factor)
    return cv2.warpAffine(image, turn, (SIDE, SIDE), borderMode=cv2.BORDER_REFLECT_101)


def _remapped(image: Levels, right: Levels, down: Levels, interpolation: int) -> Levels:
    rows, columns = np.indices((SIDE, SIDE), np.float32)
    return cv2.remap(image, columns + right, rows + down, interpolation, borderMode=cv2.BORDER_REFLECT_101)


def _plasma(random: Random, roughness: float) -> Levels:
    """A cloud of levels 0..1, shape (SIDE, SIDE): noise of every size, each finer one weaker by `roughness`."""
    cloud = np.zeros((SIDE, SIDE), np.float32)
    weight, cells = 1.0, 2
    while cells <= 256:
        grid = random.random((cells, cells), np.float32)
        cloud += weight * cv2.resize(grid, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
        weight, cells = weight / roughness, 2 * cells
    return np.asarray((cloud - cloud.min()) / (cloud.max() - cloud.min()), np.float32)

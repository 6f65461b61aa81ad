"""Which photos of a set show one picture: `edge_core.images.likeness` tells it of a pair, this module of thousands of
photos."""

from collections.abc import Mapping
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from edge_core.images.likeness import (
    CANDIDATES,
    HASH_BITS,
    MAX_DISTANCE,
    SIDE,
    Floats,
    Sketch,
    difference,
    gray_means,
    hash_signs,
    worst_part,
)
from edge_core.progress import Track, silently

CLOSE: Final = 1.5
"""Difference in gray at half the size up to which a pair is looked at in full, which costs eight times as much. Of
2,828 copies 3 have more, of pairs with one fixed background 83 %."""

_COARSE: Final = 18
_CHUNK: Final = 64  # photos compared with all others at once: 5 MB for 20,000
_PAIRS: Final = 256
_MANY_LINKS: Final = 1_000_000

Indices = npt.NDArray[np.intp]


def look_alike_groups(sketches: Mapping[str, Sketch], track: Track = silently) -> list[list[str]]:
    """Groups of two or more photos that show one picture, linked by chains of pairs that do.

    All pairs of hashes are one matrix product, taken in chunks; memory grows with the photos, not with the pairs, even
    if all look alike.

    Args:
        sketches: Sketches that `sketch` made, by a key of the content such as `Photo.sha256`.
        track: Shows the progress of the comparison.

    Returns:
        The keys of each group, in the order of `sketches`; a photo is in one group at most.
    """
    contents = list(sketches)
    stacked = np.array(list(sketches.values()), np.uint8).reshape(-1, SIDE, SIDE, 3)
    pairs = _candidates(stacked)
    small = _halved(stacked)
    alike = [np.empty(0, bool)]
    for first in track(
        range(0, pairs.shape[1], _PAIRS), "Comparing photos that look alike", -(-pairs.shape[1] // _PAIRS)
    ):
        one, other = pairs[:, first : first + _PAIRS]
        close = worst_part(small[one], small[other], 1) <= CLOSE
        close[close] = difference(stacked[one[close]], stacked[other[close]]) <= 1
        alike.append(close)
    links = pairs[:, np.concatenate(alike)]
    return [[contents[index] for index in group] for group in _groups(len(contents), links)]


def _candidates(sketches: Sketch) -> Indices:
    """Pairs whose hashes are close, those first that differ alike from what many have in common; shape (2, pairs)."""
    signs = hash_signs(sketches)
    # Signs are +1 and -1, so the product of two hashes is their bits less twice those that differ.
    least = HASH_BITS - 2 * MAX_DISTANCE
    first = _coarse(signs, least)
    several = np.flatnonzero(np.bincount(first, minlength=len(first))[first] > 1)
    signs, rest = signs[several], _from_background(sketches[several], first[several])
    pairs = [np.array([first[several], several])]  # so that many of one picture do not fall apart
    most = min(CANDIDATES + 1, len(several))  # itself among them
    for start in range(0, len(several), _CHUNK):
        rows = slice(start, start + _CHUNK)
        # -2 is less than any cosine.
        likeness = np.where(signs[rows] @ signs.T >= least, rest[rows] @ rest.T, np.float32(-2))
        best = np.argpartition(-likeness, most - 1, axis=1)[:, :most]
        row, column = (np.take_along_axis(likeness, best, axis=1) > -2).nonzero()
        # The smaller number first, so that a pair that was found from both sides is there once.
        pairs.append(np.sort([several[start + row], several[best[row, column]]], axis=0))
    found = np.unique(np.concatenate(pairs, axis=1), axis=1)
    return found[:, found[0] != found[1]]


def _coarse(signs: Floats, least: int) -> Indices:
    """For each photo the first one that chains of close hashes lead to."""
    links = np.empty((2, 0), np.intp)
    for start in range(0, len(signs), _CHUNK):
        # Against those from `start` on alone: the pairs with earlier ones were compared from the other side.
        alike = signs[start : start + _CHUNK] @ signs[start:].T >= least
        links = np.concatenate([links, np.array(alike.nonzero()) + start], axis=1)
        if links.shape[1] > _MANY_LINKS:  # one a photo will do
            links = np.array([np.arange(len(signs)), _first_linked(len(signs), links)])
    return _first_linked(len(signs), links)


def _from_background(sketches: Sketch, first: Indices) -> Floats:
    """How each picture differs from the mean of its group, as unit vectors, shape (photos, _COARSE ** 2)."""
    small = gray_means(sketches, _COARSE).reshape(len(sketches), _COARSE**2)
    _, group = np.unique(first, return_inverse=True)
    sums = np.zeros((len(sketches), small.shape[1]), np.float32)
    np.add.at(sums, group, small)
    rest = small - sums[group] / np.bincount(group)[group][:, None]
    rest -= rest.mean(axis=1, keepdims=True)
    return np.asarray(rest / np.maximum(np.linalg.norm(rest, axis=1, keepdims=True), 1e-6), np.float32)


def _halved(sketches: Sketch) -> Floats:
    """In gray at half the size, blurred a little, shape (photos, _COARSE, _COARSE, 1)."""
    means = gray_means(sketches, _COARSE)
    return np.array([cv2.GaussianBlur(each, (0, 0), 0.7) for each in means], np.float32).reshape(*means.shape, 1)


def _groups(count: int, links: Indices) -> list[list[int]]:
    first = _first_linked(count, links)
    return [np.flatnonzero(first == one).tolist() for one in np.flatnonzero(np.bincount(first, minlength=1) > 1)]


def _first_linked(count: int, links: Indices) -> Indices:
    """For each of `count` photos the first one that chains of links lead to; `links` has the shape (2, links)."""
    graph = coo_array((np.ones(links.shape[1], bool), (links[0], links[1])), (count, count))
    _, first, group = np.unique(connected_components(graph, directed=False)[1], return_index=True, return_inverse=True)
    return np.asarray(first[group], np.intp)

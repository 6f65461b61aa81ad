import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_core import Frame, InputSpec
from edge_core.errors import SettingsError
from edge_device.frames.regions import (
    WHOLE,
    Orientation,
    Region,
    Zone,
    covering,
    cut,
    parse_region,
    parse_zone,
    parse_zones,
)

sides = st.integers(1, 50)
rotations = st.sampled_from([0, 90, 180, 270])


def numbered(height: int, width: int) -> Frame:
    """Every pixel is another."""
    return np.arange(height * width * 3, dtype=np.int64).astype(np.uint8).reshape(height, width, 3)


@st.composite
def regions(draw: st.DrawFn) -> Region:
    x, y = draw(st.floats(0, 1, exclude_max=True)), draw(st.floats(0, 1, exclude_max=True))
    width, height = draw(st.floats(0, 1 - x, exclude_min=True)), draw(st.floats(0, 1 - y, exclude_min=True))
    return Region(x, y, width, height)


@given(sides, sides, rotations, st.booleans())
def test_a_frame_is_turned_clockwise_then_mirrored(height: int, width: int, rotate: int, mirror: bool) -> None:
    frame = numbered(height, width)
    kept = frame.copy()
    expected = np.rot90(frame, -rotate // 90)
    expected = expected[:, ::-1] if mirror else expected
    orientation = Orientation(rotate, mirror)  # type: ignore[arg-type]
    assert np.array_equal(orientation.apply(frame), expected)
    out = np.empty(expected.shape, np.uint8)
    turned = orientation.apply(frame, out)
    assert np.array_equal(turned, expected)
    assert turned is (out if rotate or mirror else frame)
    assert np.array_equal(frame, kept)


def test_memory_of_another_shape_is_not_written_to() -> None:
    out = np.zeros((5, 5, 3), np.uint8)
    turned = Orientation(90).apply(numbered(4, 6), out)
    assert turned.shape == (6, 4, 3)
    assert not out.any()


@given(regions(), sides, sides)
def test_a_region_is_a_view_of_at_least_one_pixel(region: Region, height: int, width: int) -> None:
    frame = numbered(height, width)
    view = cut(frame, region)
    assert np.shares_memory(view, frame)
    assert view.shape[0] >= 1
    assert view.shape[1] >= 1
    assert abs(view.shape[0] - region.height * height) <= 1
    assert abs(view.shape[1] - region.width * width) <= 1


@given(st.lists(st.integers(1, 99), min_size=1, max_size=9), st.integers(9, 99))
def test_regions_that_touch_share_no_pixel_and_leave_none_out(shares: list[int], width: int) -> None:
    frame = numbered(3, width)
    edges = np.cumsum([0, *shares]) / sum(shares)
    views = [cut(frame, Region(left, 0, right - left, 1)) for left, right in pairwise(edges)]
    if all(share * width >= sum(shares) for share in shares):  # else one is widened to a pixel
        assert np.array_equal(np.concatenate(views, axis=1), frame)


def test_the_whole_frame_is_whole() -> None:
    frame = numbered(7, 5)
    assert np.array_equal(cut(frame, WHOLE), frame)
    assert cut(frame, Region(0.5, 0, 0.5, 1)).shape == (7, 2, 3)


@given(
    st.lists(regions().filter(lambda region: min(region.width, region.height) > 0.01), min_size=1, max_size=3),
    st.integers(1, 300),
    st.integers(1, 300),
    st.floats(1, 3),
    rotations,
)
def test_what_covers_leaves_enough_pixels_for_every_region(
    zones: list[Region], width: int, height: int, proportion: float, rotate: int
) -> None:
    shorter = covering(InputSpec(width, height), zones)
    for shape in ((shorter, math.ceil(shorter * proportion)), (math.ceil(shorter * proportion), shorter)):
        frame = np.broadcast_to(np.uint8(), (*shape, 3))
        upright = np.rot90(frame, rotate // 90)
        for zone in zones:
            view = cut(upright, zone)
            assert view.shape[0] >= height
            assert view.shape[1] >= width


def test_what_covers_is_no_more_than_needed() -> None:
    assert covering(InputSpec(160, 160)) == 160
    assert covering(InputSpec(224, 160), [Region(0, 0, 1, 0.5)]) == 322
    assert covering(InputSpec(160, 160), [WHOLE, Region(0.25, 0, 0.5, 1)]) == 322


def test_a_region_is_read() -> None:
    assert parse_region("0.1,0.2, 0.5 ,0.8") == Region(0.1, 0.2, 0.5, 0.8)
    assert parse_region("0,0,1,1") == WHOLE
    assert parse_region("0.7,0.1,0.3,0.9") == Region(0.7, 0.1, 0.3, 0.9)  # the sum is more than 1 by some bits
    assert parse_zone("door=0,0,0.5,1") == Zone("door", Region(0, 0, 0.5, 1))
    assert [zone.name for zone in parse_zones(["a=0,0,1,1", "b=0,0,1,1"])] == ["a", "b"]


@given(regions())
def test_a_region_survives_being_written(region: Region) -> None:
    assert parse_region(f"{region.x!r},{region.y!r},{region.width!r},{region.height!r}") == region


NO_REGIONS = (
    *("", "0,0,1", "0,0,1,1,1", "a,0,1,1", "0;0;1;1", "0,0,0,1", "0,0,1,0", "-0.1,0,1,1", "0.5,0,0.6,1", "1,0,1,1"),
    *("0,nan,1,1", "0,0,nan,1", "0,0,inf,1", "0,0,1e999,1", "0,0,50,100"),
)


@pytest.mark.parametrize("text", NO_REGIONS)
def test_what_is_no_region_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(SettingsError, match=r"0\.5,0,0\.5,1 is its right half"):
        parse_region(text)


@given(st.text())
def test_any_text_is_a_zone_or_a_settings_error(text: str) -> None:
    try:
        zone = parse_zone(text)
    except SettingsError as error:
        assert str(error)
    else:
        assert zone.name.isascii()


def test_zones_need_names_of_their_own() -> None:
    for texts, message in (
        (["0,0,1,1"], "has no name"),
        (["=0,0,1,1"], "zone name ''"),
        (["a/b=0,0,1,1"], "zone name 'a/b'"),
        (["Tür=0,0,1,1"], "zone name 'Tür'"),
        (["a\n=0,0,1,1"], "zone name"),
        (["a=0,0,1,1", "b=0,0,1,1", "a=0,0,0.5,1"], "'a' is there twice"),
    ):
        with pytest.raises(SettingsError, match=message):
            parse_zones(texts)


def test_a_frame_is_rotated_by_quarters_only() -> None:
    with pytest.raises(SettingsError, match="not by 45"):
        Orientation(45)  # type: ignore[arg-type]

"""What a focus finds in frames, without a model."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_device.frames.focus import square_around
from edge_device.frames.regions import Region

pytestmark = pytest.mark.timeout(60)


@given(
    st.floats(0, 0.99),
    st.floats(0, 0.99),
    st.floats(0.001, 1),
    st.floats(0.001, 1),
    st.integers(16, 4000),
    st.integers(16, 4000),
)
def test_a_view_is_a_square_inside_the_frame_that_holds_its_subject(
    x: float, y: float, wide: float, high: float, width: int, height: int
) -> None:
    box = Region(x, y, min(wide, 1 - x), min(high, 1 - y))
    view = square_around(box, width, height)
    assert view.width * width == pytest.approx(view.height * height)
    longer = max(box.width * width, box.height * height)
    assert view.width * width == pytest.approx(min(1.3 * longer, width, height))
    if longer <= min(width, height):
        assert view.x <= box.x + 1e-6 and view.x + view.width >= box.x + box.width - 1e-6
        assert view.y <= box.y + 1e-6 and view.y + view.height >= box.y + box.height - 1e-6


def test_the_view_of_a_subject_at_the_edge_is_moved_into_the_frame() -> None:
    view = square_around(Region(0.0, 0.9, 0.1, 0.1), 1000, 1000, margin=0.5)
    assert view.x == 0.0
    assert view.width == view.height == pytest.approx(0.2)
    assert view.y == pytest.approx(0.8)

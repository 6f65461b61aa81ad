import numpy as np

from edge_device.sources.pool import KEPT, FramePool


def test_memory_is_used_again_once_nobody_holds_it() -> None:
    pool = FramePool()
    frame = pool.take((4, 6, 3))
    place = frame.ctypes.data
    view = frame[1:, 1:]
    del frame
    assert pool.take((4, 6, 3)).ctypes.data != place  # the view holds it
    del view
    assert pool.take((4, 6, 3)).ctypes.data == place


def test_frames_that_are_held_are_never_given_again() -> None:
    pool = FramePool()
    held = [pool.take((2, 2, 3)) for _ in range(3 * KEPT)]
    assert len({frame.ctypes.data for frame in held}) == len(held)
    first = held[:KEPT]
    places = {frame.ctypes.data for frame in first}
    del held, first
    assert pool.take((2, 2, 3)).ctypes.data in places


def test_another_shape_replaces_the_first() -> None:
    pool = FramePool()
    kept = pool.take((2, 2, 3))
    kept[:] = 7
    other = pool.take((5, 4, 3))
    assert other.shape == (5, 4, 3)
    assert other.dtype == np.uint8
    other[:] = 9
    assert pool.take((2, 2, 3)) is not kept
    assert (kept == 7).all()

"""What `make verify-pi-32` makes of scores; the emulation itself is not run here."""

import numpy as np
from tests.emulated.armv7l import compared, table

REFERENCE = np.array([[10, 200, 46], [120, 130, 6]], np.uint8)
LITERT = (REFERENCE / 256).astype(np.float32)


def test_the_same_bytes_are_right() -> None:
    row = compared("int8", REFERENCE, REFERENCE, 1 / 256, LITERT)
    assert row.right and (row.equal, row.largest, row.top1) == (2, 0.0, 2)


def test_another_label_than_litert_is_told_with_its_margin_and_judged_by_the_reference_alone() -> None:
    row = compared("int8", REFERENCE, REFERENCE, 1 / 256, LITERT[:, [0, 2, 1]])
    assert row.right and row.top1 == 0
    assert "0 of 2, where it leads by 0.6 at most" in table([row])


def test_a_score_too_far_from_the_reference_kernels_is_wrong() -> None:
    there = REFERENCE.copy()
    there[0, 0] += 11
    row = compared("int8", there, REFERENCE, 1 / 256, LITERT)
    assert not row.right and row.equal == 1 and "WRONG" in table([row])
    floats = LITERT.copy()
    floats[0, 0] += 1e-3
    assert not compared("float32", floats, LITERT, 1.0, LITERT).right

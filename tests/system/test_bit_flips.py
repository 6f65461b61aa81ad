"""Single bits of a sealed .tflite are flipped, at places drawn by a seed: `edge-run verify` rejects every such file."""

import random
from pathlib import Path

import pytest

from edge_core.errors import EdgeError
from edge_device.inference.verify import verify

from ..doubles import tiny

FLIPS = 400
"""A crash of the interpreter would end pytest's process, too."""


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_a_file_with_any_one_bit_changed_is_rejected(seed: int, tmp_path: Path) -> None:
    path, content = tmp_path / "tiny.tflite", tiny()
    path.write_bytes(content)
    assert verify(path).passed
    for bit in random.Random(seed).sample(range(8 * len(content)), FLIPS):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        try:
            assert verify(path).divergence, f"bit {bit} of {len(content)} bytes"
        except EdgeError:
            continue

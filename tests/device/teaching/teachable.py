"""A tiny model of four colors that can be taught a fifth, and frames of colors."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from edge_core import Frame, ModelCard, complete
from edge_core.artifact.container import EXEMPLARS_FILE
from edge_core.artifact.exemplars import Exemplars, keep_exemplars
from edge_device.inference.verify import sealed

from ...conftest import INPUT, LABELS, MODELS


def frame(color: tuple[int, int, int], seed: int) -> Frame:
    noise = np.random.default_rng(seed).integers(-12, 13, (48, 64, 3))
    return np.clip(np.array(color) + noise, 0, 255).astype(np.uint8)


def frames(color: tuple[int, int, int], count: int = 6) -> list[Frame]:
    return [frame(color, seed) for seed in range(count)]


YELLOW = (10, 230, 240)


def exemplars() -> Exemplars:
    """Features are the mean levels of red, green and blue."""
    own = {"red": (250, 20, 10), "green": (20, 250, 10), "blue": (20, 10, 250), "dark": (9, 9, 9)}
    rng = np.random.default_rng(1)
    rows = [np.clip(np.array(own[label]) + rng.normal(0, 6, 3), 0, 255) for label in LABELS for _ in range(8)]
    return keep_exemplars(np.array(rows, np.float32), np.repeat(np.arange(4), 8), 4)


def write_teachable(path: Path, kind: str, golden: Iterable[Frame]) -> Path:
    """Writes a sealed model that can be taught.

    Args:
        path: The file.
        kind: Name of one of the tiny models, "float32" or "uint8".
        golden: Frames of its golden vectors.
    """
    bare = (MODELS / f"tiny-{kind}.tflite").read_bytes()
    files = {EXEMPLARS_FILE: exemplars().to_bytes()}
    whole = complete(bare, ModelCard(labels=LABELS, input=INPUT), "colors", files=files)
    path.write_bytes(sealed(whole, golden))
    return path

"""A copy of a run that computes the same in floats and that 8 bits ruin, to try `edge-convert export --recipe auto` on.

    python benchmarks/experiments/hostile.py runs/flowers runs/hostile
    edge-convert export runs/hostile --recipe int8    # refused
    edge-convert export runs/hostile --recipe auto    # int8-equalised

A few channels of every group of tensors that nothing bounds are scaled by 50, and what reads them by 1/50: the others
are left with a fiftieth of the 256 steps.
"""

import argparse
import shutil
from pathlib import Path

import numpy as np

from edge_convert.quantize.equalization import folded, groups, rescale
from edge_core.files import folder_written_whole
from edge_core.run_folder import CARD_FILE, MODEL_FILE, PHOTOS_FILE, load_model, read_run
from edge_keras.tf import keras


def make_hostile(run: Path, out: Path, channels: int = 4, factor: float = 50.0, seed: int = 0) -> int:
    """Writes the run folder `out`; returns how many groups of tensors were made hostile."""
    opened = read_run(run)
    model, layers = folded(load_model(opened, keras.models.load_model))
    rng = np.random.default_rng(seed)
    hostile = [group for group in groups(model, layers) if group.bound is None]
    for group in hostile:
        factors = np.ones(group.tensor.shape[-1], np.float32)
        factors[rng.choice(len(factors), min(channels, len(factors) // 2), replace=False)] = factor
        rescale(group, factors)
    with folder_written_whole(out) as folder:
        model.save(folder / MODEL_FILE)
        for name in (CARD_FILE, PHOTOS_FILE):
            shutil.copy(run / name, folder / name)
    return len(hostile)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--channels", type=int, default=4)
    parser.add_argument("--factor", type=float, default=50.0)
    arguments = parser.parse_args()
    made = make_hostile(arguments.run, arguments.out, arguments.channels, arguments.factor)
    print(f"{arguments.out}: {made} groups of tensors made hostile")

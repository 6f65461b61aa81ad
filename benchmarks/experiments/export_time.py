"""How long an export with its gate takes beside the bare converter call, in turn.

    python benchmarks/experiments/export_time.py runs/flowers --turns 3

The bare call is what TensorFlow's guide to post-training integer quantization shows: `from_keras_model`, a
representative dataset of the same 100 photos, `convert()`. Both read the same run; loading TensorFlow is in neither.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from edge_convert.export import export, read_calibration
from edge_convert.gate.limits import Limits
from edge_convert.quantize.calibration import representative
from edge_core.native_stderr import silenced
from edge_core.run_folder import load_model, read_run
from edge_keras.tf import keras, tf


def bare_seconds(run: Path) -> float:
    """The converter's call alone: neither reading the photos nor the model counts."""
    opened = read_run(run)
    model = load_model(opened, keras.models.load_model)
    photos = np.stack(read_calibration(opened, None).values)
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = representative(photos, 1.0, 0.0)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.uint8
    start = time.perf_counter()
    with silenced():
        converter.convert()
    return time.perf_counter() - start


def export_seconds(run: Path) -> tuple[float, int]:
    """All of `edge-convert export`, and how many photos it was proven on."""
    with tempfile.TemporaryDirectory() as scratch:
        start = time.perf_counter()
        done = export(read_run(run), "int8", Path(scratch) / "a.tflite", limits=Limits(max_drop=100))
        return time.perf_counter() - start, done.comparison.photos


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--turns", type=int, default=3)
    arguments = parser.parse_args()
    for turn in range(arguments.turns):
        bare = bare_seconds(arguments.run)
        whole, photos = export_seconds(arguments.run)
        print(
            f"turn {turn + 1}: bare {bare:.1f} s, export with {photos} photos {whole:.1f} s, ratio {whole / bare:.2f}"
        )

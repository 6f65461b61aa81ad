"""Whether what `edge-convert check` says of a file is what the target does with it: forecast against fact.

    python benchmarks/experiments/targets.py coral compiled/
    python benchmarks/experiments/targets.py tflite-runtime runs/*.tflite
    python benchmarks/experiments/targets.py mediapipe runs/*.tflite --venv venvs/mediapipe

`coral` takes a folder with files and what Google's compiler made of them (X.tflite, X_edgetpu.tflite). The other two
try the files that are named and two dozen that are made here, in a venv (kept with --venv) of tflite-runtime 2.14.0,
which has wheels up to Python 3.11, or of mediapipe 1.2.2. The exit status is 1 if a forecast was wrong.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from edge_convert.targets import Verdict, check_file
from edge_convert.targets.coral import compiled_placements, forecast
from edge_convert.tflite.graph import read_graph
from edge_core import InputSpec, ModelCard, complete
from edge_core.artifact.metadata import attach, describe

SIDE: Final = 32

INSTALLED: Final = {
    "tflite-runtime": ("tflite-runtime-2.14", ["tflite-runtime==2.14.0", "numpy<2"]),
    "mediapipe": ("mediapipe", ["mediapipe==1.2.2"]),
}
LOADS: Final = {
    "tflite-runtime": """
from tflite_runtime.interpreter import Interpreter
def load(path):
    Interpreter(model_path=path).allocate_tensors()
""",
    "mediapipe": """
import mediapipe, numpy
vision = mediapipe.tasks.vision
frame = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=numpy.zeros((64, 64, 3), numpy.uint8))
def load(path):
    options = vision.ImageClassifierOptions(mediapipe.tasks.BaseOptions(model_asset_path=path))
    with vision.ImageClassifier.create_from_options(options) as classifier:
        classifier.classify(frame)
""",
}
TRY_EACH: Final = """
import json, os, signal, sys
for path in sys.argv[1:]:
    child = os.fork()  # a file may end the process, or hang it
    if not child:
        signal.alarm(60)
        try:
            load(path)
            said = ""
        except (ValueError, RuntimeError, OSError) as error:
            said = str(error)
        print("RESULT", json.dumps(said), flush=True)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    if status:
        print("RESULT", json.dumps(f"died of signal {status}"), flush=True)
"""


def make_files(folder: Path) -> Iterator[Path]:
    """Conversions of a small network by every way that TensorFlow has, bare; and color classifiers with metadata."""
    from edge_core.native_stderr import silenced
    from edge_keras.tf import keras, tf

    rng = np.random.default_rng(0)
    lite = tf.lite

    def representative() -> Iterator[list[Any]]:
        for _ in range(8):
            yield [rng.uniform(-1, 1, (1, SIDE, SIDE, 3)).astype(np.float32)]

    def network(activation: Any = "relu6", batch: int | None = 1) -> Any:
        keras.utils.set_random_seed(1)
        image = keras.Input((SIDE, SIDE, 3), batch_size=batch)
        stem = keras.layers.Activation(activation)(keras.layers.Conv2D(8, 3, strides=2, name="stem")(image))
        depthwise = keras.layers.ReLU(6.0)(keras.layers.DepthwiseConv2D(3, name="depthwise")(stem))
        sides = [keras.layers.Conv2D(64, 1, name=name)(depthwise) for name in ("left", "right")]
        pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.Add(name="join")(sides))
        hidden = keras.layers.Dense(64, activation="relu", name="hidden")(pooled)
        return keras.Model(image, keras.layers.Dense(4, activation="softmax", name="scores")(hidden))

    def segmenter() -> Any:
        image = keras.Input((SIDE, SIDE, 3), batch_size=1)
        leaky = keras.layers.LeakyReLU()(keras.layers.Conv2D(8, 3, name="stem")(image))
        larger = keras.layers.UpSampling2D(2, interpolation="bilinear")(leaky)
        return keras.Model(image, keras.layers.Conv2DTranspose(4, 3, strides=2)(larger))

    def recurrent() -> Any:
        rows = keras.Input((SIDE, 96), batch_size=1)
        return keras.Model(rows, keras.layers.Dense(4)(keras.layers.LSTM(16)(rows)))

    small = {"optimizations": [lite.Optimize.DEFAULT]}
    calibrated = {**small, "representative_dataset": representative}
    int8 = {**calibrated, "ops": [lite.OpsSet.TFLITE_BUILTINS_INT8]}
    pixels = {**int8, "inference_input_type": tf.uint8, "inference_output_type": tf.uint8}
    int16x8 = {**calibrated, "ops": [lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8]}
    one_scale_dense = {"_experimental_disable_per_channel_quantization_for_dense_layers": True}
    hard_swish = network(lambda values: values * tf.nn.relu6(values + 3) / 6)
    ways: dict[str, tuple[Any, dict[str, Any]]] = {
        "float32": (network(), {}),
        "float16": (network(), {**small, "types": [tf.float16]}),
        "dynamic": (network(), small),
        "int8 float in and out": (network(), int8),
        "int8 uint8 in and out": (network(), pixels),
        "int8 int8 in and out": (
            network(),
            {**int8, "inference_input_type": tf.int8, "inference_output_type": tf.int8},
        ),
        "int8 one scale per dense layer": (network(), {**pixels, **one_scale_dense}),
        "int8 one scale per layer": (
            network(),
            {**pixels, **one_scale_dense, "_experimental_disable_per_channel": True},
        ),
        "int16x8": (network(), int16x8),
        "int16x8 int16 in and out": (
            network(),
            {**int16x8, "inference_input_type": tf.int16, "inference_output_type": tf.int16},
        ),
        "int8 any batch": (network(batch=None), pixels),
        "float32 batch of two": (network(batch=2), {}),
        "int8 hard swish": (hard_swish, pixels),
        "int8 segmentation": (segmenter(), pixels),
        "dynamic segmentation": (segmenter(), small),
        "float32 recurrent": (recurrent(), {}),
    }
    for name, (model, settings) in ways.items():
        converter = lite.TFLiteConverter.from_keras_model(model)
        for setting, value in settings.items():
            if setting in ("ops", "types"):
                setattr(converter.target_spec, f"supported_{setting}", value)
            else:
                setattr(converter, setting, value)
        with silenced():
            flatbuffer = converter.convert()
        yield _written(folder / f"{name}.tflite", flatbuffer)

    for kind in ("uint8", "float32"):
        bare = (Path(__file__).parents[2] / "tests" / "models" / f"tiny-{kind}.tflite").read_bytes()
        yield _written(folder / f"tiny {kind} bare.tflite", bare)
        yield _written(folder / f"tiny {kind} no labels file.tflite", attach(bare, describe("tiny", "", "1")))
        for labels in (3, 4, 5):
            card = ModelCard(tuple(f"label {number}" for number in range(labels)), InputSpec(SIDE, SIDE))
            yield _written(folder / f"tiny {kind} {labels} labels.tflite", complete(bare, card, "tiny"))


def _written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def errors_of(python: Path, runtime: str, files: Sequence[Path]) -> list[str]:
    """What a runtime says of each file, empty if it takes it."""
    command: list[str | Path] = [python, "-c", LOADS[runtime] + TRY_EACH, *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"error: {python} ended with status {done.returncode}: {done.stderr[-500:]}")
    return [json.loads(line.removeprefix("RESULT ")) for line in done.stdout.splitlines() if line.startswith("RESULT ")]


def compare_loading(runtime: str, named: Sequence[Path], venv: Path) -> bool:
    target, packages = INSTALLED[runtime]
    python = venv / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
    with tempfile.TemporaryDirectory() as scratch:
        files = [*named, *make_files(Path(scratch))]
        verdicts: list[Verdict] = [check_file(file, [target])[target] for file in files]
        errors = errors_of(python, runtime, files)
    right = [verdict.ok == (not error) for verdict, error in zip(verdicts, errors, strict=True)]
    print(f"{'file':<64}  {'forecast':<8}  {packages[0]}")
    for file, verdict, error, agrees in zip(files, verdicts, errors, right, strict=True):
        fact = " ".join(error.split())[:60] if error else "takes it"
        print(f"{file.name:<64}  {'ok' if verdict.ok else 'refused':<8}  {fact}{'' if agrees else '   WRONG'}")
    print(f"{sum(right)} of {len(right)} forecasts were right")
    return all(right)


def compare_compiled(folder: Path) -> bool:
    right = 0
    pairs = sorted(
        (file, compiled)
        for compiled in folder.glob("*_edgetpu.tflite")
        if (file := compiled.with_name(compiled.name.replace("_edgetpu", ""))).exists()
    )
    print(f"{'file':<64}  {'operators':>9}  {'forecast: mapped, CPU':>21}  {'compiler: mapped, CPU':>21}  same")
    for file, compiled in pairs:
        graph = read_graph(file.read_bytes())
        expected = [one.mapped for one in forecast(graph)]
        found = [one.mapped for one in compiled_placements(graph, read_graph(compiled.read_bytes()))]
        counts = [f"{sum(mapped)}, {len(mapped) - sum(mapped)}" for mapped in (expected, found)]
        same = sum(one == other for one, other in zip(expected, found, strict=True))
        print(f"{file.name:<64}  {len(expected):>9}  {counts[0]:>21}  {counts[1]:>21}  {same}")
        right += expected == found
    print(f"{right} of {len(pairs)} files as forecast, operator by operator")
    return right == len(pairs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", choices=("coral", *INSTALLED))
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--venv", type=Path)
    options = parser.parse_args()
    if options.target == "coral":
        if len(options.files) != 1:
            parser.error("coral takes one folder")
        right = compare_compiled(options.files[0])
    else:
        with tempfile.TemporaryDirectory() as scratch:
            right = compare_loading(options.target, options.files, options.venv or Path(scratch) / "venv")
    sys.exit(not right)


if __name__ == "__main__":
    main()

"""A user's own network as a frozen extractor: its graph with its weights as constants, in one layer.

A TF2 SavedModel with the signature of TF-Hub's feature vectors, or a Keras file. The layer keeps the whole graph in its
configuration, so a run folder needs the user's file no more, and conversion sees ordinary operators.
"""

import base64
import hashlib
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from edge_core.errors import RuntimeMissingError, WeightsError
from edge_keras.models.architectures import Architecture
from edge_keras.models.pretrained import Weights
from edge_keras.tf import keras, tf

HUB: Final = "hub:"
LAYER: Final = "backbone"
RANGES: Final = {"0..1": (1 / 255, 0.0), "-1..1": (1 / 127.5, -1.0), "0..255": (1.0, 0.0)}
"""Scale and offset that bring pixels of 0..255 to what a network takes."""

HUB_RANGE: Final = "0..1"
"""Of TF-Hub's common signature for images."""

USUAL_SIZE: Final = 224

_MODULES: Final = ("builtins", "keras", "tf_keras", "edge_keras")
"""Packages that the configuration of a Keras file may name."""

_HEAD_LAYERS: Final = (keras.layers.Dense, keras.layers.Activation, keras.layers.Softmax, keras.layers.Dropout)


@keras.saving.register_keras_serializable("edge_mobilenet")
class FrozenGraph(keras.layers.Layer):  # type: ignore[misc]
    """A graph without variables, from float32 of shape (batch, height, width, 3) to (batch, features)."""

    def __init__(self, graph: str, source: str, result: str, features: int, **options: Any) -> None:
        """Imports the graph.

        Args:
            graph: GraphDef, serialized, in base64.
            source: Name of the graph's input tensor.
            result: Name of the graph's output tensor.
            features: Length of the output.
            **options: Options of every Keras layer.
        """
        # `from_config` hands back the `trainable` that `get_config` saved, which would then be given twice.
        super().__init__(trainable=False, **{key: value for key, value in options.items() if key != "trainable"})
        self._given = {"graph": graph, "source": source, "result": result, "features": features}
        self._features = features
        definition = tf.compat.v1.GraphDef.FromString(base64.b64decode(graph))
        # wrap_function is what TensorFlow 2 has for calling a GraphDef; prune keeps what lies between two tensors.
        imported = tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(definition, name=""), [])
        element = imported.graph.as_graph_element
        self._run = imported.prune(element(source), element(result))

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Features of normalized pixels."""
        # The dense layer behind needs a length that is known when the network is built.
        return tf.ensure_shape(self._run(inputs), (None, self._features))

    def compute_output_shape(self, input_shape: Any) -> tuple[Any, int]:
        return input_shape[0], self._features

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **self._given}


@dataclass(frozen=True)
class FrozenBackbone:
    """A user's network.

    Attributes:
        architecture: The network as training takes it; all of it is frozen.
        weights: Where it comes from, with the digest of the file or of all files of the folder.
        size: Side of the input in pixels that its form demands; None for any.
    """

    architecture: Architecture
    weights: Weights
    size: int | None


def open_backbone(name: str, pixel_range: str = "") -> FrozenBackbone:
    """Opens a user's network.

    Args:
        name: Path of a SavedModel's folder or of a Keras file; or `hub:` and a handle that tensorflow-hub resolves.
        pixel_range: One of `RANGES`, what the network takes; empty for TF-Hub's convention, or, of a Keras file that
            begins with a layer that normalizes, 0..255.

    Raises:
        WeightsError: There is no such file, it is of another form, or its range has to be stated.
        RuntimeMissingError: tensorflow-hub is not installed.
    """
    path = _resolved(name)
    if not path.exists():
        raise WeightsError(f"--backbone {name}: neither a network's name nor a file nor a folder")
    if pixel_range and pixel_range not in RANGES:
        raise WeightsError(f"--backbone-range {pixel_range}: there are {', '.join(RANGES)}")
    digest = _digest(path)
    try:
        run, size, usual = _from_folder(path) if path.is_dir() else _from_keras(path)
    except WeightsError:
        raise
    except Exception as error:  # whatever a damaged file makes TensorFlow raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise WeightsError(f"--backbone {name} cannot be opened: {reason}") from error
    stated = pixel_range or usual
    if not stated:
        raise WeightsError(
            f"--backbone {name}: it does not begin with a layer that normalizes, so nobody knows what pixels it takes; "
            f"state --backbone-range {', '.join(RANGES)}"
        )
    scale, offset = RANGES[stated]
    shown = path.name if not name.startswith(HUB) else name

    def trunk(pixels: tf.Tensor, alpha: float) -> "keras.Model":
        del alpha
        graph, source, result, features = _frozen(run, pixels.shape[1:], name)
        found = FrozenGraph(graph, source, result, features, name=LAYER)(pixels)
        # Something behind the layer, so that training can cut the network at it.
        passed_on = keras.layers.Activation("linear", name="features")(found)
        return keras.Model(keras.utils.get_source_inputs(pixels), passed_on)

    architecture = Architecture(
        name=shown,
        trunk=trunk,
        seam=LAYER,
        scale=scale,
        offset=offset,
        size=size or USUAL_SIZE,
        qat=False,
        why_not_qat="its graph is frozen",
        frozen=True,
    )
    return FrozenBackbone(architecture, Weights(f"{shown}, pixels {stated}", None, digest), size)


def _resolved(name: str) -> Path:
    if not name.startswith(HUB):
        return Path(name)
    try:
        import tensorflow_hub
    except ModuleNotFoundError as error:
        raise RuntimeMissingError(
            f"{name} needs {error.name}; install it with: pip install 'edge-mobilenet[hub]'"
        ) from error
    try:
        return Path(tensorflow_hub.resolve(name.removeprefix(HUB)))
    except Exception as error:  # of any of its resolvers
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise WeightsError(f"--backbone {name} cannot be had: {reason}") from error


def _digest(path: Path) -> str:
    """SHA-256 of a file, or of the names and contents of all files of a folder."""
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    digest = hashlib.sha256()
    for file in files:
        if path.is_dir():
            # Name and size are part of the digest, so that no byte can move from one file to the next unnoticed.
            digest.update(f"{file.relative_to(path)}\0{file.stat().st_size}\0".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()


Run = Callable[[tf.Tensor], tf.Tensor]


def _from_folder(path: Path) -> tuple[Run, int | None, str]:
    """What a SavedModel computes, its size if that is fixed, and the range that it takes by convention."""
    loaded = tf.saved_model.load(str(path))
    if not callable(loaded):
        raise WeightsError(
            f"{path} is a SavedModel that cannot be called, as TF-Hub's of TensorFlow 2 can; it holds "
            f"{', '.join(loaded.signatures) or 'no signature'}"
        )
    return lambda pixels: loaded(pixels), None, HUB_RANGE


def _from_keras(path: Path) -> tuple[Run, int | None, str]:
    """What a Keras file computes in front of its head, its size if that is fixed, and its range if it normalizes."""
    _refuse_code(path)
    model = keras.models.load_model(path, compile=False)
    layers = list(model.layers)
    while layers and isinstance(layers[-1], _HEAD_LAYERS):
        layers.pop()
    if not layers:
        raise WeightsError(f"{path} holds nothing but a head")
    features = keras.Model(model.input, layers[-1].output)
    height, width = model.input_shape[1:3]
    if height != width:
        raise WeightsError(f"{path} takes pictures of {width}x{height} pixels, not squares")
    # Within the first four, since an input layer, resizing or augmentation may stand in front of it.
    normalizes = any(isinstance(one, (keras.layers.Rescaling, keras.layers.Normalization)) for one in layers[:4])
    return lambda pixels: features(pixels, training=False), height, "0..255" if normalizes else ""


def _refuse_code(path: Path) -> None:
    """A Lambda layer is Python code, which Keras' older format runs without asking; and Keras imports any module that a
    configuration names, and takes what it finds there for a layer or a function."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            config = archive.read("config.json").decode()
    else:
        import h5py

        with h5py.File(path) as file:
            config = str(file.attrs["model_config"])
    found = json.loads(config)
    if "Lambda" in _strings(found, "class_name"):
        raise WeightsError(f"{path} has a Lambda layer, which is code and is not run; build it of Keras' own layers")
    foreign = [name for name in _strings(found, "module") if name.partition(".")[0] not in _MODULES]
    if foreign:
        raise WeightsError(
            f"{path} names the module {foreign[0]}, which is not imported; build it of Keras' own layers"
        )


def _strings(value: Any, key: str) -> list[str]:
    """What stands under a key anywhere in a configuration."""
    if isinstance(value, dict):
        own = [value[key]] if isinstance(value.get(key), str) else []
        return own + [name for part in value.values() for name in _strings(part, key)]
    return [name for part in value for name in _strings(part, key)] if isinstance(value, list) else []


def _frozen(run: Run, shape: tuple[int, ...], name: str) -> tuple[str, str, str, int]:
    """The graph of a network for pictures of one shape, its input, its output and the length of the features."""
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    def features(pixels: tf.Tensor) -> tf.Tensor:
        found = run(pixels)
        if not tf.is_tensor(found) or len(found.shape) not in (2, 4):
            raise WeightsError(f"--backbone {name} gives neither feature vectors nor feature maps")
        return tf.reduce_mean(found, (1, 2)) if len(found.shape) == 4 else found

    try:
        concrete = tf.function(features).get_concrete_function(tf.TensorSpec((None, *shape), tf.float32))
    except (ValueError, TypeError) as error:
        if isinstance(error, WeightsError):
            raise
        height, width = shape[:2]
        raise WeightsError(f"--backbone {name} does not take float pictures of {width}x{height} pixels") from error
    frozen = convert_variables_to_constants_v2(concrete)
    graph = base64.b64encode(frozen.graph.as_graph_def().SerializeToString()).decode()
    length = frozen.outputs[0].shape[-1]
    if length is None:
        raise WeightsError(f"--backbone {name} gives features of no fixed length")
    return graph, frozen.inputs[0].name, frozen.outputs[0].name, int(length)

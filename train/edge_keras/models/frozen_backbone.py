"""A user's own network as a frozen extractor: its graph with its weights as constants, in one layer.

A TF2 SavedModel that can be called as TF-Hub's feature vectors, or by a signature as Keras 3 exports it; or a file of
Keras 2 or 3. The layer keeps the whole graph in its configuration, so a run folder needs the user's file no more, and
conversion sees ordinary operators.
"""

import base64
import hashlib
import json
import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from itertools import takewhile
from pathlib import Path
from typing import Any, Final

from edge_core.errors import RuntimeMissingError, WeightsError
from edge_keras.frozen_graph import FrozenGraph
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

_SERVING: Final = "serving_default"
"""Signature that `model.export` of Keras 3 and other tools write."""

_CODE: Final = frozenset({"Lambda", "__lambda__", "TorchModuleWrapper", "TFSMLayer", "JaxLayer", "FlaxLayer"})
"""Classes of a Keras file that are Python code, or load other files."""

_HEAD_LAYERS: Final = ("Dense", "Activation", "Softmax", "Dropout")


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
    if path.is_dir() and not (path / "saved_model.pb").is_file():
        raise WeightsError(f"--backbone {name}: the folder is no SavedModel of TensorFlow: it has no saved_model.pb")
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
            f"--backbone {name}: it is not from TF-Hub and does not begin with a layer that normalizes, so nobody "
            f"knows what pixels it takes; state --backbone-range {', '.join(RANGES)}"
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
    if callable(loaded):
        # A model of Keras 2 may take any range.
        return lambda pixels: loaded(pixels), None, "" if (path / "keras_metadata.pb").exists() else HUB_RANGE
    signature = loaded.signatures.get(_SERVING)
    taken = {} if signature is None else signature.structured_input_signature[1]
    if len(taken) != 1 or len(signature.structured_outputs) != 1:
        raise WeightsError(
            f"{path} is a SavedModel that cannot be called, as TF-Hub's of TensorFlow 2 can, and has no signature "
            f"{_SERVING} of one input and one output; it holds {', '.join(loaded.signatures) or 'no signature'}"
        )
    ((source, spec),), (result,) = taken.items(), signature.structured_outputs

    def run(pixels: tf.Tensor) -> tf.Tensor:
        # Asked of `loaded` at each call, as a signature alone does not keep the variables.
        return loaded.signatures[_SERVING](**{source: pixels})[result]

    return run, _side(path, spec.shape), ""


def _from_keras(path: Path) -> tuple[Run, int | None, str]:
    """What a Keras file computes in front of its head, its size if that is fixed, and its range if it normalizes."""
    config, version = _configuration(path)
    _refuse_code(path, config)
    own = keras if int(version.partition(".")[0]) < 3 else _keras_3()
    model = own.models.load_model(path, compile=False)
    side = _side(path, model.input_shape)
    layers = list(model.layers)
    kinds = tuple(getattr(own.layers, name) for name in _HEAD_LAYERS)
    head = list(takewhile(lambda one: isinstance(one, kinds), reversed(layers)))
    if len(head) == len(layers):
        raise WeightsError(f"{path} holds nothing but a head")
    # Without a dense layer among them they belong to the features, as the activation behind a last convolution does.
    found = head[-1].input if any(isinstance(one, own.layers.Dense) for one in head) else model.outputs[0]
    features = own.Model(model.inputs[0], found)
    # Within the first four, since an input layer, resizing or augmentation may stand in front of it.
    normalizes = any(isinstance(one, (own.layers.Rescaling, own.layers.Normalization)) for one in layers[:4])
    return lambda pixels: features(pixels, training=False), side, "0..255" if normalizes else ""


def _keras_3() -> Any:
    """The Keras that TensorFlow brings, beside the one that training uses."""
    os.environ["KERAS_BACKEND"] = "tensorflow"  # what it computes becomes a graph of TensorFlow
    return import_module("keras")


def _side(path: Path, shape: Any) -> int | None:
    """The side of the color pictures that an input of a shape takes; None if it may be any.

    Raises:
        WeightsError: It takes something else.
    """
    try:
        _, height, width, channels = shape
    except (TypeError, ValueError):
        height = width = channels = 0
    if channels != 3:
        raise WeightsError(f"{path} takes an input of shape {shape}, not color pictures, (any, height, width, 3)")
    if height != width:
        raise WeightsError(f"{path} takes pictures of {width}x{height} pixels, not squares")
    return None if height is None else int(height)


def _configuration(path: Path) -> tuple[Any, str]:
    """What a Keras file says of its network, and the version of Keras that wrote it."""
    import h5py

    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if "config.json" not in archive.namelist():
                raise WeightsError(f"{path} is an archive, but no Keras file: it has no config.json")
            metadata = json.loads(archive.read("metadata.json"))
            return json.loads(archive.read("config.json")), str(metadata["keras_version"])
    if not h5py.is_hdf5(path):
        raise WeightsError(f"{path} is no Keras file, .keras or .h5; of a SavedModel give the folder")
    with h5py.File(path) as file:
        if "model_config" not in file.attrs:
            raise WeightsError(f"{path} holds weights without their network; save the whole model: model.save(FILE)")
        version = file.attrs.get("keras_version", "2")  # bytes in older files
        return json.loads(file.attrs["model_config"]), version.decode() if isinstance(version, bytes) else version


def _refuse_code(path: Path, found: Any) -> None:
    """A Lambda layer is Python code, which Keras' older format runs without asking; and Keras imports any module that a
    configuration names, and takes what it finds there for a layer or a function."""
    code = [name for name in _strings(found, "class_name") if name in _CODE]
    if code:
        raise WeightsError(f"{path} has a {code[0]} layer, which is code and is not run; build it of Keras' own layers")
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
    last = frozen.outputs[0].op
    while last.type == "Identity":
        last = last.inputs[0].op
    if last.type == "Softmax":
        raise WeightsError(f"--backbone {name} ends in a softmax: save it without its head, as features alone")
    graph = base64.b64encode(frozen.graph.as_graph_def().SerializeToString()).decode()
    length = frozen.outputs[0].shape[-1]
    if length is None:
        raise WeightsError(f"--backbone {name} gives features of no fixed length")
    return graph, frozen.inputs[0].name, frozen.outputs[0].name, int(length)

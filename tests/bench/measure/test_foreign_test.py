"""Foreign pictures beside a benchmark: what the report says of them, and what the page shows."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_bench.measure.benchmark import Benchmark
from edge_bench.measure.foreign_test import files_that_tell, with_foreign
from edge_bench.render.output import write_report
from edge_bench.results.report import BenchReport
from edge_convert.foreign.fitting import FeatureSet, fit_detector
from edge_convert.foreign.layers import feature_layers
from edge_convert.tflite.graph import read_graph
from edge_core.artifact.container import complete, read_card, without_archive
from edge_core.errors import DatasetError, ModelFormatError
from edge_core.images import read_picture
from edge_core.preprocess import preprocess
from edge_device.inference.interpreter import Interpreter

from ..conftest import LABELS, SPEC, Tiny


@pytest.fixture(scope="module")
def telling(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with a detector of its own photos."""
    layers = feature_layers(read_graph(tiny.same.read_bytes()))
    interpreter = Interpreter(tiny.same, tensors=[layer.tensor for layer in layers])
    rows, labels = [], []
    for number, label in enumerate(LABELS):
        for path in sorted((tiny.photos / label).glob("[0-9]*.jpg")):
            interpreter.scores(preprocess(read_picture(path), SPEC))
            rows.append(interpreter.read_features())
            labels.append(number)
    known = FeatureSet(tuple(np.stack(layer) for layer in zip(*rows, strict=True)), np.array(labels))
    detector = fit_detector(layers, known, known)
    assert detector is not None
    file = tmp_path_factory.mktemp("telling") / "telling.tflite"
    model = without_archive(tiny.same.read_bytes())
    file.write_bytes(complete(model, read_card(tiny.same), "tiny", detector=detector.to_bytes()))
    return file


@pytest.fixture
def unknown(tmp_path: Path, tiny: Tiny) -> Path:
    """Three black pictures, and one that is a photo of the run after all."""
    folder = tmp_path / "unknown"
    folder.mkdir()
    for number in range(3):
        cv2.imwrite(str(folder / f"black{number}.png"), np.zeros((40, 40, 3), np.uint8))
    (folder / "red.jpg").write_bytes((tiny.photos / "red" / "0.jpg").read_bytes())
    return folder


@pytest.mark.usefixtures("charts_are_blank")
def test_the_report_tells_what_is_let_in_and_the_page_shows_it(
    measured: Benchmark, telling: Path, tiny: Tiny, unknown: Path, tmp_path: Path
) -> None:
    models = [tiny.run, tiny.same, telling]
    assert files_that_tell(models, unknown) == [telling]
    told = with_foreign(measured, [telling], unknown)
    (row,) = told.report.foreign
    assert (row.file, row.foreign, row.let_in.value) == ("telling.tflite", 4, 0.25)
    assert row.kept.value > 0.8 and row.auroc.value > 0.7 and row.fpr95.value >= 0.25
    write_report(told.report, tmp_path / "bench", told.photos, told.foreign)
    page = (tmp_path / "bench" / "bench.html").read_text("utf-8")
    assert "What is foreign to telling.tflite" in page and "taken for red" in page and "red.jpg" in page
    assert "black0.png" not in page
    text = (tmp_path / "bench" / "bench.json").read_text("utf-8")
    assert BenchReport.from_json(text).foreign == told.report.foreign
    assert str(tmp_path) not in text


def test_what_cannot_be_told_is_said_before_anything_is_measured(
    tiny: Tiny, telling: Path, unknown: Path, tmp_path: Path
) -> None:
    with pytest.raises(ModelFormatError, match="none of these models can tell what is foreign"):
        files_that_tell([tiny.run, tiny.same], unknown)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="none of its files is a picture"):
        files_that_tell([telling], tmp_path / "empty")

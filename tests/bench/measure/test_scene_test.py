"""Composed scenes beside a benchmark: a large subject is decided rightly, and the report tells it by size and focus."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_bench.measure.benchmark import Benchmark
from edge_bench.render.output import write_report
from edge_bench.results.report import BenchReport
from edge_bench.scenes.composer import HEIGHT, frames, sprite
from edge_bench.scenes.scene_test import SceneSettings, check_scenes, with_scenes
from edge_bench.scenes.watching import comes
from edge_core.data.photo_folder import Photo
from edge_core.errors import DatasetError, ModelFormatError

from ..conftest import Tiny


@pytest.fixture
def backgrounds(tmp_path: Path) -> Path:
    """A picture of dark noise: what is brighter comes from the subject."""
    folder = tmp_path / "backgrounds"
    folder.mkdir()
    picture = np.random.default_rng(0).integers(0, 40, (90, 160, 3)).astype(np.uint8)
    cv2.imwrite(str(folder / "shed.png"), picture)
    return folder


@pytest.fixture
def subjects(measured: Benchmark, tmp_path: Path) -> Benchmark:
    """The benchmark as if it had been on a photo of pure green, once labeled rightly and once wrongly."""
    path = tmp_path / "green.png"
    cv2.imwrite(str(path), np.full((200, 200, 3), (10, 250, 20), np.uint8))
    return replace(measured, photos=(Photo(path, "green", ""), Photo(path, "red", "")))


@pytest.mark.usefixtures("charts_are_blank")
def test_a_scene_s_rows_are_by_file_focus_and_height(
    subjects: Benchmark, tiny: Tiny, backgrounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_bench.scenes.scene_test.HEIGHTS", (1.0, 0.2))
    monkeypatch.setattr("edge_bench.scenes.scene_test.FPS", 5.0)
    settings = SceneSettings(backgrounds, scenes=2)
    files = check_scenes([tiny.run, tiny.same], settings)
    assert files == [tiny.same]
    told = with_scenes(subjects, files, settings)
    right = {(row.focus, row.height): row.right.value for row in told.report.scenes}
    assert right == {("whole", 1.0): 0.5, ("motion", 1.0): 0.5, ("whole", 0.2): 0, ("motion", 0.2): 0.5}
    write_report(told.report, tmp_path / "bench")
    assert "Small in the frame" in (tmp_path / "bench" / "bench.html").read_text("utf-8")
    text = (tmp_path / "bench" / "bench.json").read_text("utf-8")
    assert BenchReport.from_json(text).scenes == told.report.scenes


def test_what_no_scene_can_be_made_of_is_said_before_anything_is_measured(
    tiny: Tiny, backgrounds: Path, tmp_path: Path
) -> None:
    with pytest.raises(ModelFormatError, match="none is given"):
        check_scenes([tiny.run], SceneSettings(backgrounds))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="none of its files is a picture"):
        check_scenes([tiny.same], SceneSettings(tmp_path / "empty"))


def test_a_scene_is_still_but_for_noise_until_its_subject_comes() -> None:
    ground = np.full((HEIGHT, 1280, 3), 100, np.uint8)
    one = sprite(np.full((50, 80, 3), 255, np.uint8), 200, comes(200, 0))
    scene = [frame for _, frame in frames(ground, [one], 3.0, fps=5.0)]
    assert len(scene) == 15
    bright = [(np.asarray(frame) > 200).mean() for frame in scene]
    assert bright[0] == bright[5] == 0
    assert bright[-1] == pytest.approx(0.9 * 200 * 200 / (HEIGHT * 1280), rel=0.1)  # its corners are round

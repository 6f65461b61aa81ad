"""What the search by tiles and an object detector find in frames."""

from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from edge_core.errors import ModelFormatError, SettingsError
from edge_core.preprocess import Frame
from edge_device.frames.focus import TileFocus, TileFocusRule, TileTrial
from edge_device.frames.focus.detector_focus import DetectorFocus, DetectorFocusRule
from edge_device.frames.focus.object_detector import ObjectDetector
from edge_device.frames.focus.tile_focus import tiles
from edge_device.frames.regions import Region
from edge_device.inference.classifier import Classifier
from edge_device.live.make_focus import classify_focused, picture_focus
from edge_device.results import FrameResult
from edge_device.sources import FakeCamera

from ...models.make_tiny_detector import SIDE, tiny_detector

pytestmark = pytest.mark.timeout(300)

FRAME = np.zeros((72, 128, 3), np.uint8)
TARGET = Region(0.7, 0.55, 0.14, 0.25)
"""Where the search is to find something."""


def test_tiles_are_squares_that_leave_no_place_out() -> None:
    for width, height in ((1280, 720), (480, 640), (100, 100), (33, 3000)):
        found = tiles(width, height)
        for tile in found:
            assert tile.width * width == pytest.approx(tile.height * height)
        smallest = found[-1].width * width
        for x, y in np.random.default_rng(0).random((50, 2)):
            around = [
                one for one in found
                if one.width * width == pytest.approx(smallest)
                and one.x <= x <= one.x + one.width and one.y <= y <= one.y + one.height
            ]  # fmt: skip
            assert around
    assert len(tiles(1280, 720)) < 45


def trial(view: Region, target: Region | None = TARGET, took_ms: float = 10.0, known: bool | None = None) -> TileTrial:
    """A classifier that is the more confident the closer a square fits the target."""
    wide = min(view.x + view.width, target.x + target.width) - max(view.x, target.x) if target else 0.0
    high = min(view.y + view.height, target.y + target.height) - max(view.y, target.y) if target else 0.0
    common = max(0.0, wide) * max(0.0, high)
    union = view.width * view.height + (target.width * target.height if target else 0.0) - common
    return TileTrial(view, 0.4 + 0.6 * common / union, None, known, took_ms)


def search(focus: TileFocus, judge: Callable[[Region], TileTrial], frames: int, start: int = 0) -> list[int]:
    """Lets a focus search; the tracks that it gave in each frame."""
    given = []
    for number in range(start, start + frames):
        found = focus.subjects(FRAME, number / 10)
        given += [one.track for one in found if one.track]
        focus.tried([judge(one.view) for one in found if not one.track])
    return given


def test_the_square_of_which_the_classifier_is_most_confident_counts() -> None:
    focus = TileFocus()
    search(focus, trial, 20)
    first = focus.subjects(FRAME, 2.0)[0]
    assert first.track == 1
    best = max(tiles(128, 72), key=lambda one: trial(one).score)
    assert first.box == first.view == best


def test_the_search_keeps_to_its_budget_and_comes_round() -> None:
    focus = TileFocus(TileFocusRule(budget_ms=50))
    seen: set[Region] = set()
    for number in range(30):
        found = focus.subjects(FRAME, number / 10)
        assert 1 <= len(found) <= 5
        seen.update(one.view for one in found)
        focus.tried([trial(one.view) for one in found if not one.track])
    assert seen == set(tiles(128, 72))


def test_what_the_model_does_not_know_counts_for_nothing() -> None:
    focus = TileFocus()
    assert search(focus, lambda view: trial(view, known=False), 30) == []


def test_a_subject_keeps_its_number_until_it_is_gone_and_the_next_gets_another() -> None:
    focus = TileFocus()
    assert set(search(focus, trial, 30)) == {1}
    search(focus, lambda view: trial(view, None), 20, 30)
    assert focus.subjects(FRAME, 5.0)[0].track == 0
    elsewhere = Region(0.05, 0.05, 0.14, 0.25)
    assert set(search(focus, lambda view: trial(view, elsewhere), 30, 50)) == {2}


def test_tiles_keep_to_regions_and_out_of_what_is_ignored() -> None:
    rule = TileFocusRule(1e6, (Region(0.5, 0, 0.5, 1),), (Region(0.5, 0, 0.5, 0.5),))
    for one in TileFocus(rule).subjects(FRAME, 0.0):
        assert one.view.x + one.view.width / 2 >= 0.5
        assert one.view.y + one.view.height / 2 > 0.5


def cell(row: int, column: int, color: tuple[int, int, int], frame: Frame | None = None) -> Frame:
    """A red frame with a cell of another color, B, G, R."""
    if frame is None:
        frame = np.full((SIDE * 32, SIDE * 64, 3), (0, 0, 255), np.uint8)
    frame[row * 32 : row * 32 + 32, column * 64 : column * 64 + 64] = color
    return frame


GREEN, BLUE = (0, 255, 0), (255, 0, 0)


@pytest.fixture(scope="module")
def detector_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("detector") / "detector.tflite"
    path.write_bytes(tiny_detector(("bird", "cat")))
    return path


def test_a_detector_finds_boxes_and_names_them(detector_file: Path) -> None:
    frame = cell(1, 2, GREEN, cell(3, 0, BLUE))
    found = {one.label: one for one in ObjectDetector(detector_file).detect(frame, 0.4)}
    assert set(found) == {"bird", "cat"}
    assert found["bird"].score > 0.9
    for label, (row, column) in (("bird", (1, 2)), ("cat", (3, 0))):
        box = found[label].box
        assert [box.x, box.y, box.width, box.height] == pytest.approx([column / 4, row / 4, 0.25, 0.25], abs=1e-3)


@pytest.mark.parametrize("labels", [(), ("???", "bird", "cat")])
def test_labels_of_a_detector_are_what_its_file_has(labels: tuple[str, ...], tmp_path: Path) -> None:
    path = tmp_path / "d.tflite"
    path.write_bytes(tiny_detector(labels))
    (found,) = ObjectDetector(path).detect(cell(0, 0, BLUE), 0.4)
    assert found.label == ("cat" if labels else "1")


def test_only_classes_that_are_asked_for_are_followed_by_number(detector_file: Path) -> None:
    detector = ObjectDetector(detector_file)
    focus = DetectorFocus(detector, DetectorFocusRule(classes=detector.classes(["cat"])))
    tracks = []
    for column in (0, 1, 1, 2):
        found = focus.subjects(cell(0, 3, GREEN, cell(2, column, BLUE)), column / 2)
        tracks += [(one.track, round(one.box.x, 2)) for one in found]
    assert tracks == [(1, 0.0), (1, 0.25), (1, 0.25), (1, 0.5)]
    with pytest.raises(SettingsError, match="bird, cat"):
        detector.classes(["dog"])


def test_what_a_detector_finds_in_ignored_parts_is_left_out(detector_file: Path) -> None:
    rule = DetectorFocusRule(ignored=(Region(0, 0, 0.5, 1),))
    focus = DetectorFocus(ObjectDetector(detector_file), rule)
    assert focus.subjects(cell(0, 0, BLUE), 0.0) == []
    assert len(focus.subjects(cell(0, 3, BLUE), 0.1)) == 1


def test_other_files_are_refused_with_their_name(tmp_path: Path) -> None:
    models = Path(__file__).parents[2] / "models"
    with pytest.raises(ModelFormatError, match=r"tiny-uint8\.tflite is no object detector"):
        ObjectDetector(models / "tiny-uint8.tflite")
    with pytest.raises(ModelFormatError, match="nowhere"):
        ObjectDetector(tmp_path / "nowhere.tflite")
    cut = tmp_path / "cut.tflite"
    cut.write_bytes(tiny_detector()[:600])
    with pytest.raises(ModelFormatError, match=r"cut\.tflite"):
        ObjectDetector(cut)
    unnamed = tmp_path / "unnamed.tflite"
    unnamed.write_bytes(tiny_detector())
    with pytest.raises(SettingsError, match="numbers"):
        ObjectDetector(unnamed).classes(["bird"])


def looked_at(model: Path, focus: str, count: int, *pictures: Frame, detect: str = "") -> list[FrameResult]:
    make = picture_focus(focus, detect, "auto")
    assert make is not None
    return list(islice(classify_focused(Classifier(model), FakeCamera(list(pictures)), make, 1), count))


def test_pictures_are_searched_by_tiles_each_by_itself(tiny_model: Callable[..., Path]) -> None:
    """A green thing of a quarter of the height, then a blue one elsewhere: neither is seen in the whole picture."""
    first, second = (np.full((288, 512, 3), 12, np.uint8) for _ in range(2))
    first[200:272, 400:472], second[10:82, 20:92] = (0, 255, 0), (255, 0, 0)
    green, blue = looked_at(tiny_model(), "tiles", 2, first, second)
    assert [one.top[0].label for one in (green, blue)] == ["green", "blue"]
    assert [one.frame.index for one in (green, blue)] == [0, 1]
    assert green.subject is not None and blue.subject is not None
    left, top, width, height = green.subject.box
    assert left <= 436 / 512 <= left + width and top <= 236 / 288 <= top + height and height < 0.7
    assert blue.subject.box[0] < 0.2 and blue.to_json()["track"] == 1


def test_what_a_detector_finds_in_pictures_is_classified(tiny_model: Callable[..., Path], detector_file: Path) -> None:
    nothing = np.full((SIDE * 32, SIDE * 64, 3), (0, 0, 90), np.uint8)
    both = cell(1, 2, GREEN, cell(3, 0, BLUE, nothing.copy()))
    found = looked_at(tiny_model(), str(detector_file), 3, both, nothing)
    assert sorted(one.top[0].label for one in found if one.top) == ["blue", "green"]
    assert [one.frame.index for one in found if not one.top] == [1]
    (only,) = looked_at(tiny_model(), str(detector_file), 1, both, detect="cat")
    assert only.top[0].label == "blue"


@pytest.mark.parametrize(
    ("focus", "detect", "words"),
    [("motion", "", "nothing moves"), ("tiles", "cat", "--detect is for"), ("squares", "", "not 'squares'")],
)
def test_a_focus_that_is_none_for_pictures_is_refused(focus: str, detect: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        picture_focus(focus, detect, "auto")

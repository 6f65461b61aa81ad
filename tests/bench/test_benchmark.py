from pathlib import Path

import numpy as np
import pytest

from edge_bench import Report, run_benchmark
from edge_bench.benchmark import _save_frames
from edge_core import ModelCard, complete, preprocess, read_card, read_picture
from edge_core.errors import ModelFormatError, RunFolderError
from edge_core.intervals import accuracy, paired_difference
from edge_core.photos import Photo
from edge_core.preprocess import InputSpec

from .conftest import LABELS, SPEC, SPLITS, Tiny


def held_out(tiny: Tiny) -> list[tuple[Path, int]]:
    return [
        (tiny.photos / label / f"{number}.jpg", LABELS.index(label)) for label in LABELS for number in SPLITS["test"]
    ]


def test_rows_come_in_the_order_given_behind_the_full_size_model(measured: Report) -> None:
    assert [row.name for row in measured.rows] == ["full size", "tiny-swapped", "tiny-same"]
    assert [row.runtime.split()[0] for row in measured.rows] == ["tensorflow", "ai-edge-litert", "ai-edge-litert"]


def test_accuracies_differences_and_agreements_are_those_of_brute_force(tiny: Tiny, measured: Report) -> None:
    photos = held_out(tiny)
    truth = np.array([label for _, label in photos])
    brightest = np.array([preprocess(read_picture(path), SPEC).mean((0, 1)).argmax() for path, _ in photos])
    swapped = np.array([1, 0, 2])[brightest]

    full_size, swapped_row, same_row = measured.rows
    assert 0 < full_size.top1.value < 1
    assert full_size.top1 == same_row.top1 == accuracy(brightest == truth)
    assert full_size.difference is None and full_size.agreement is None
    assert same_row.agreement is not None and same_row.agreement.value == 1
    assert same_row.difference is not None and same_row.difference.value == 0
    assert swapped_row.top1 == accuracy(swapped == truth)
    assert swapped_row.difference == paired_difference(swapped == truth, brightest == truth)
    assert swapped_row.agreement == accuracy(swapped == brightest)
    assert swapped_row.agreement.value == pytest.approx(1 / 3, abs=0.01)


def test_photos_that_the_run_has_seen_are_left_out(measured: Report) -> None:
    assert measured.photos == 3 * len(SPLITS["test"])
    assert measured.left_out == 3 * (len(SPLITS["train"]) + len(SPLITS["val"]))
    assert [file.path.name for file in measured.unusable] == ["broken.jpg"]


def test_photos_that_the_run_has_seen_are_no_test_at_all(tiny: Tiny, tmp_path: Path) -> None:
    (tmp_path / "red").mkdir()
    (tmp_path / "red" / "renamed.jpg").write_bytes((tiny.photos / "red" / "0.jpg").read_bytes())
    with pytest.raises(RunFolderError, match="trained or validated on every"):
        run_benchmark(tiny.run, [tiny.same], data=tmp_path)


def test_latencies_add_up(measured: Report) -> None:
    for row in measured.rows:
        assert row.timed_frames >= 2
        assert 0 < row.preprocess_ms.median <= row.preprocess_ms.p95
        assert max(row.preprocess_ms.median, row.invoke_ms.median) < row.total_ms.median <= row.total_ms.p95
        assert row.frames_per_second == 1000 / row.total_ms.median


def test_size_and_memory_are_of_the_row_alone(tiny: Tiny, measured: Report) -> None:
    full_size, *converted = measured.rows
    assert full_size.file_bytes == (tiny.run / "model.keras").stat().st_size
    assert converted[0].file_bytes == tiny.swapped.stat().st_size
    for row in converted:
        assert 20 < row.peak_memory_mb < 150  # TensorFlow alone takes more
        assert full_size.peak_memory_mb > 2 * row.peak_memory_mb


@pytest.mark.parametrize(
    ("card", "reason"),
    [
        (ModelCard(("green", "red", "blue"), SPEC), "its labels are others, or in another order"),
        (ModelCard(LABELS, InputSpec(32, 32, "stretch")), "its input is .*stretch.*, the run's .*center"),
    ],
)
def test_a_file_made_for_something_else_is_refused(tiny: Tiny, tmp_path: Path, card: ModelCard, reason: str) -> None:
    other = tmp_path / "other.tflite"
    other.write_bytes(complete((tiny.run.parent / "same.bare").read_bytes(), card, "other"))
    assert read_card(other) == card
    with pytest.raises(ModelFormatError, match=f"other.tflite is not of .*: {reason}"):
        run_benchmark(tiny.run, [tiny.same, other])


@pytest.mark.parametrize("size", [(160, 90), (90, 160), (33, 32)])
def test_timed_frames_are_of_the_size_asked_for_and_show_the_photo(
    tiny: Tiny, tmp_path: Path, size: tuple[int, int]
) -> None:
    photos = [Photo(path, "", "") for path, _ in held_out(tiny)]
    files = _save_frames(tmp_path, photos, size)
    assert 4 <= len(files) <= 8
    for file, photo in zip(files, photos[:: -(-len(photos) // 8)], strict=True):
        frame = np.load(file, allow_pickle=False)
        assert frame.shape == (size[1], size[0], 3) and frame.dtype == np.uint8
        assert np.abs(frame.mean((0, 1)) - read_picture(photo.path).mean((0, 1))).max() < 8

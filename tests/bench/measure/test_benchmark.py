import shutil
from pathlib import Path

import numpy as np
import pytest

from edge_bench.backends.contenders import Variants
from edge_bench.measure.benchmark import Benchmark, run_benchmark
from edge_bench.measure.held_out import save_frames
from edge_bench.results.report import BenchReport, BenchSettings
from edge_core import ModelCard, complete, preprocess, read_picture
from edge_core.data.photo_folder import Photo
from edge_core.errors import ModelFormatError, RunFolderError
from edge_core.statistics import accuracy, paired_difference
from edge_keras.kept_scores import pixels_name, write_scores

from ..conftest import DATASET, LABELS, SPEC, SPLITS, Tiny

FAST = BenchSettings((160, 90), seconds=0.05, cold_starts=1)


def held_out(tiny: Tiny) -> list[tuple[Path, int]]:
    return [
        (tiny.photos / label / f"{number}.jpg", LABELS.index(label)) for label in LABELS for number in SPLITS["test"]
    ]


def test_rows_are_in_the_order_given(measured: Benchmark) -> None:
    assert [row.name for row in measured.report.rows] == ["run (Keras)", "tiny-swapped", "tiny-same"]
    kinds = [row.runtime.split()[0] for row in measured.report.rows]
    assert kinds == ["tensorflow", "ai-edge-litert", "ai-edge-litert"]


def test_rows_are_models_times_threads_which_change_no_score(tiny: Tiny) -> None:
    settings = BenchSettings((160, 90), seconds=0.05, cold_starts=1, robustness_photos=2)
    variants = Variants(threads=(1, 2))
    files = [tiny.swapped, tiny.same]
    one, two, *same = run_benchmark(files, variants=variants, settings=settings, held_out_by=[tiny.run]).report.rows
    assert [row.name for row in (one, two, *same)] == [
        f"{name}, {threads}" for name in ("tiny-swapped", "tiny-same") for threads in ("1 thread", "2 threads")
    ]
    assert one.accuracy == two.accuracy and one.robustness and two.robustness
    assert one.robustness.accuracy == two.robustness.accuracy and one.robustness.mean == two.robustness.mean


def test_accuracies_differences_and_agreements_are_those_of_brute_force(tiny: Tiny, measured: Benchmark) -> None:
    photos = sorted(held_out(tiny), key=lambda photo: [one.path for one in measured.photos].index(photo[0]))
    truth = np.array([label for _, label in photos])
    brightest = np.array([preprocess(read_picture(path), SPEC).mean((0, 1)).argmax() for path, _ in photos])
    swapped = np.array([1, 0, 2])[brightest]
    full_size, swapped_row, same_row = measured.report.rows
    assert measured.report.truth == tuple(truth)
    assert 0 < full_size.accuracy.top1.value < 1
    assert full_size.accuracy.top1 == same_row.accuracy.top1 == accuracy(brightest == truth)
    assert full_size.difference is None and full_size.accuracy.predicted == tuple(brightest)
    assert same_row.difference is not None and same_row.difference.agreement.value == 1
    assert (same_row.difference.won, same_row.difference.lost, same_row.difference.mcnemar_p) == (0, 0, 1)
    assert swapped_row.difference is not None
    assert swapped_row.accuracy.top1 == accuracy(swapped == truth)
    assert swapped_row.difference.top1 == paired_difference(swapped == truth, brightest == truth)
    assert swapped_row.difference.agreement == accuracy(swapped == brightest)


@pytest.mark.slow
def test_scores_that_a_run_has_kept_stand_for_its_model(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = shutil.copytree(tiny.run, tmp_path / "run")
    pixels = [preprocess(read_picture(path), SPEC) for path, _ in held_out(tiny)]
    write_scores(run, [pixels_name(one) for one in pixels], np.eye(3, dtype=np.float32)[[2] * len(pixels)])
    monkeypatch.setattr("edge_keras.kept_scores.TOLERANCE", 2.0)
    settings = BenchSettings((160, 90), seconds=0.05, cold_starts=1)
    full_size, file = run_benchmark([run, tiny.same], settings=settings, data=tiny.photos).report.rows
    assert set(full_size.accuracy.predicted) == {2}
    assert set(file.accuracy.predicted) > {2}


def test_photos_that_the_run_has_seen_are_left_out(measured: Benchmark) -> None:
    report = measured.report
    assert report.photos == len(measured.photos) == 3 * len(SPLITS["test"])
    assert report.left_out == 3 * (len(SPLITS["train"]) + len(SPLITS["val"]))
    assert [file.path.name for file in measured.unusable] == ["broken.jpg"] and report.unusable == 1


def test_photos_that_the_run_has_seen_are_no_test_at_all(tiny: Tiny, tmp_path: Path) -> None:
    (tmp_path / "red").mkdir()
    (tmp_path / "red" / "renamed.jpg").write_bytes((tiny.photos / "red" / "0.jpg").read_bytes())
    with pytest.raises(RunFolderError, match="trained or validated on every"):
        run_benchmark([tiny.run, tiny.same], data=tmp_path)


def test_latencies_add_up(measured: Benchmark) -> None:
    first = measured.report.rows[0]
    for row in measured.report.rows:
        assert len(row.turns) == 2 and row.timed_frames >= 2
        assert row.total_ms.median.low <= row.total_ms.median.value <= row.total_ms.median.high
        assert 0 < row.total_ms.p50 <= row.total_ms.p95 <= row.total_ms.p99
        assert row.first_ms < row.cold_start_ms
        assert row.frames_per_second == 1000 / row.total_ms.median.value
        ratios = [turn.total_ms / other.total_ms for turn, other in zip(row.turns, first.turns, strict=True)]
        assert row.ratio.value == pytest.approx(np.median(ratios))
        assert row.sustained is not None and len(row.sustained.turns) == 1 and row.sustained.slowdown == 1


def test_corruption_costs_accuracy_and_is_compared_with_the_first_row(measured: Benchmark) -> None:
    first, *others = measured.report.rows
    assert first.robustness is not None and first.robustness.difference is None
    assert len(first.robustness.accuracy) == 15
    for row in others:
        assert row.robustness is not None and row.robustness.difference is not None
        assert 0 <= row.robustness.mean.low <= row.robustness.mean.value <= row.robustness.mean.high <= 1


def test_size_and_memory_are_of_the_row_alone(tiny: Tiny, measured: Benchmark) -> None:
    full_size, *converted = measured.report.rows
    assert full_size.file_bytes == (tiny.run / "model.keras").stat().st_size
    assert converted[0].file_bytes == tiny.swapped.stat().st_size
    for row in converted:
        assert 20 < row.peak_memory_mb < 150  # TensorFlow alone takes more
        assert full_size.peak_memory_mb > 2 * row.peak_memory_mb


def test_a_report_reads_back(measured: Benchmark) -> None:
    assert BenchReport.from_json(measured.report.to_text()) == measured.report


def test_a_row_that_cannot_be_run_is_told_of_and_the_others_are_measured(tiny: Tiny, tmp_path: Path) -> None:
    report = run_benchmark(
        [tiny.same, damaged(tiny, tmp_path), tiny.swapped],
        variants=Variants(threads=(1,)),
        settings=FAST,
        held_out_by=[tiny.run],
    ).report
    assert [row.name for row in report.rows] == ["tiny-same", "tiny-swapped"]
    assert [failed.name for failed in report.failed] == ["damaged"]
    assert "damaged.tflite" in report.failed[0].reason and "\n" not in report.failed[0].reason


def test_a_python_that_is_not_there_fails_its_row_alone(tiny: Tiny) -> None:
    variants = Variants((*Variants().runtimes, ("opencv", "/none/python")), (1,))
    report = run_benchmark([tiny.same], variants=variants, settings=FAST, held_out_by=[tiny.run]).report
    assert [failed.reason for failed in report.failed] == ["/none/python cannot be run: No such file or directory"]


def test_a_first_row_that_cannot_be_run_ends_it(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(ModelFormatError, match=r"damaged\.tflite"):
        run_benchmark([damaged(tiny, tmp_path), tiny.same], settings=FAST, held_out_by=[tiny.run])
    with pytest.raises(ModelFormatError, match="Edge TPU"):
        run_benchmark([tiny.same], variants=Variants(delegates=("coral",)), settings=FAST, held_out_by=[tiny.run])


def test_without_xnnpack_the_scores_are_as_good(tiny: Tiny) -> None:
    variants = Variants(threads=(1,), delegates=("xnnpack", "none"))
    report = run_benchmark([tiny.same], variants=variants, settings=FAST, held_out_by=[tiny.run]).report
    assert [row.name for row in report.rows] == ["tiny-same, xnnpack", "tiny-same, no XNNPACK"]
    assert report.rows[0].accuracy.predicted == report.rows[1].accuracy.predicted


def test_other_labels_are_refused(tiny: Tiny, tmp_path: Path) -> None:
    other = tmp_path / "other.tflite"
    card = ModelCard(("green", "red", "blue"), SPEC, dataset=DATASET)
    other.write_bytes(complete((tiny.run.parent / "same.bare").read_bytes(), card, "other"))
    with pytest.raises(ModelFormatError, match="its labels are others, or in another order"):
        run_benchmark([tiny.run, other])


@pytest.mark.parametrize("size", [(160, 90), (90, 160), (33, 32)])
def test_timed_frames_are_of_the_size_asked_for_and_show_the_photo(
    tiny: Tiny, tmp_path: Path, size: tuple[int, int]
) -> None:
    photos = [Photo(path, "", "") for path, _ in held_out(tiny)]
    files = save_frames(tmp_path, photos, size, None)
    assert 4 <= len(files) <= 8
    for file, photo in zip(files, photos[:: -(-len(photos) // 8)], strict=True):
        frame = np.load(file, allow_pickle=False)
        assert frame.shape == (size[1], size[0], 3) and frame.dtype == np.uint8
        assert np.abs(frame.mean((0, 1)) - read_picture(photo.path).mean((0, 1))).max() < 8


def damaged(tiny: Tiny, folder: Path) -> Path:
    path = folder / "damaged.tflite"
    data = bytearray(tiny.same.read_bytes())
    data[400:900] = b"\xff" * 500
    path.write_bytes(data)
    return path

"""The detector of what is foreign: what it is fitted on, what goes into a file, what an interpreter makes of that."""

import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_convert.adopt import adopt
from edge_convert.export import ConversionOptions, export
from edge_convert.foreign import extraction
from edge_convert.foreign.fitting import FeatureSet, fit_detector
from edge_convert.foreign.layers import feature_layers
from edge_convert.foreign.measure import ForeignFolders, auroc, judge_foreign, read_foreign
from edge_convert.gate.gate_comparison import artifact_scores
from edge_convert.gate.limits import Limits
from edge_convert.tflite.graph import read_graph
from edge_core.artifact.container import EXEMPLARS_FILE, FAMILIARITY_FILE, feature_files, read_card
from edge_core.artifact.exemplars import read_exemplars
from edge_core.artifact.familiarity import MAX_BYTES, Layer, parse_detector, read_detector
from edge_core.errors import ModelFormatError
from edge_core.images import read_picture
from edge_core.preprocess import preprocess
from edge_core.run_folder import Run
from edge_device import Classifier
from edge_device.inference.verify import verify

WIDTHS = (40, 12)


def pictures(count: int, seed: int, *, foreign: bool = False, classes: int = 3) -> FeatureSet:
    """Features of pictures: those of a class lie near its center, foreign ones anywhere."""
    centers = [np.random.default_rng(1).uniform(0, 9, (classes, width)) for width in WIDTHS]
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, count)
    layers = [
        rng.uniform(0, 9, (count, width)) if foreign else rows[labels]
        for rows, width in zip(centers, WIDTHS, strict=True)
    ]
    return FeatureSet(tuple(rows + rng.normal(0, 0.5, rows.shape) for rows in layers), labels)


def familiarities(features: FeatureSet, classes: int = 3) -> np.ndarray:
    train, validation = pictures(300, 2, classes=classes), pictures(400, 3, classes=classes)
    detector = fit_detector([Layer(7, WIDTHS[0]), Layer(4, WIDTHS[1])], train, validation)
    assert detector is not None
    return np.array([detector.familiarity(features.picture(number)) for number in range(len(features))])


def test_one_known_picture_in_twenty_is_turned_away_and_nearly_every_foreign_one() -> None:
    known, foreign = familiarities(pictures(2000, 4)), familiarities(pictures(500, 5, foreign=True))
    assert 0.03 < (known < 0.05).mean() < 0.08
    assert (foreign >= 0.05).mean() < 0.02


def test_familiarity_of_known_pictures_is_evenly_distributed() -> None:
    shares = [(familiarities(pictures(2000, 4)) < level).mean() for level in (0.1, 0.3, 0.5, 0.7, 0.9)]
    assert shares == pytest.approx([0.1, 0.3, 0.5, 0.7, 0.9], abs=0.07)


def test_more_classes_than_there_is_room_for_share_one_center() -> None:
    known = familiarities(pictures(500, 4, classes=30), classes=30)
    assert (known >= 0.05).mean() > 0.9


@pytest.mark.parametrize(("width", "classes"), [(1280, 20), (2048, 3), (4096, 2)])
def test_a_detector_keeps_to_its_size(width: int, classes: int) -> None:
    rng = np.random.default_rng(1)
    wide = FeatureSet(tuple(rng.uniform(0, 1, (120, size)) for size in (width, 160, 96)), np.arange(120) % classes)
    detector = fit_detector([Layer(1, width), Layer(2, 160), Layer(3, 96)], wide, wide)
    assert detector is not None
    assert len(detector.to_bytes()) <= MAX_BYTES


def test_validation_photos_without_features_give_no_detector() -> None:
    silent = FeatureSet(tuple(np.zeros((40, width)) for width in WIDTHS), np.zeros(40, np.int64))
    assert fit_detector([Layer(7, WIDTHS[0]), Layer(4, WIDTHS[1])], pictures(50, 2), silent) is None


@pytest.fixture(scope="module")
def run(small_run: Run) -> Run:
    """All photos on every side: enough of them to fit and to calibrate on."""
    photos = [photo for split in small_run.splits.values() for photo in split]
    return replace(small_run, splits={"train": photos, "val": photos, "test": small_run.splits["test"]})


@pytest.fixture(scope="module", params=["int8", "float16", "dynamic", "int16x8"])
def file(request: pytest.FixtureRequest, run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(extraction, "FEWEST_TRAINING", 3)
        patch.setattr("edge_convert.foreign.fitting.FEWEST_VALIDATION", 3)
        patch.setattr(extraction, "FEWEST_VALIDATION", 3)
        return export(
            run, request.param, tmp_path_factory.mktemp("told") / "told.tflite", limits=Limits(max_drop=100)
        ).file


def test_an_export_can_tell_its_own_photos_from_what_is_foreign(file: Path, run: Run) -> None:
    classifier = Classifier(file)
    known = [classifier.look(read_picture(photo.path)) for photo in run.splits["test"]]
    assert sum(bool(look.known) for look in known) >= 0.8 * len(known)
    assert all(look.familiarity is not None and len(look.features) for look in known)
    assert [look.predictions[0] for look in known] == [
        classifier.classify(read_picture(photo.path), 1)[0] for photo in run.splits["test"]
    ]


def test_the_file_on_disk_stays_the_standard_one(file: Path) -> None:
    graph = read_graph(file.read_bytes())
    assert len(graph.outputs) == 1
    assert set(feature_files(file)) == {FAMILIARITY_FILE, EXEMPLARS_FILE}
    assert verify(file).passed


def test_exemplars_tell_which_of_them_were_validation_photos(file: Path, run: Run) -> None:
    kept = read_exemplars(file, run.card.labels)
    assert kept is not None
    for label in range(len(run.card.labels)):
        own = kept.judged[kept.targets == label]
        assert own[::2].all() and not own[1::2].any(), "validation and training photos in turn, as many of both"


def test_adopting_it_keeps_the_detector(file: Path, tmp_path: Path) -> None:
    adopted = adopt(file, tmp_path / "adopted.tflite").file
    ours, theirs = read_detector(file), read_detector(adopted)
    assert ours and theirs and ours.to_bytes() == theirs.to_bytes()


def test_flipped_bits_in_the_detector_are_refused(file: Path, tmp_path: Path) -> None:
    detector = read_detector(file)
    assert detector is not None
    data, told = file.read_bytes(), detector.to_bytes()
    start = data.index(told)
    rng = np.random.default_rng(1)
    damaged = tmp_path / "damaged.tflite"
    for place in rng.integers(0, 8 * len(told), 100):
        flipped = bytearray(data)
        flipped[start + place // 8] ^= 1 << place % 8
        damaged.write_bytes(flipped)
        assert not verify(damaged).passed


def test_a_detector_of_another_model_is_refused(file: Path, tmp_path: Path) -> None:
    wrong = fit_detector([Layer(0, WIDTHS[0]), Layer(1, WIDTHS[1])], pictures(50, 2), pictures(50, 3))
    assert wrong is not None
    assert parse_detector(wrong.to_bytes()).tensors == (0, 1)
    from edge_core.artifact.container import complete, without_archive

    odd = tmp_path / "odd.tflite"
    odd.write_bytes(complete(without_archive(file.read_bytes()), read_card(file), "odd", detector=wrong.to_bytes()))
    with pytest.raises(ModelFormatError):
        Classifier(odd)


def test_too_few_photos_are_said_and_give_a_file_without_a_detector(small_run: Run, tmp_path: Path) -> None:
    said: list[str] = []
    few = replace(small_run, splits={**small_run.splits, "val": small_run.splits["val"][:1]})
    options = ConversionOptions(say=said.append, foreign=ForeignFolders(teachable=False))
    exported = export(few, "float32", tmp_path / "few.tflite", limits=Limits(max_drop=100), options=options)
    assert not feature_files(exported.file)
    assert any("too few to learn what is foreign" in line for line in said)
    classifier = Classifier(exported.file)
    assert not classifier.tells_foreign
    look = classifier.look(read_picture(small_run.splits["test"][0].path))
    assert (look.familiarity, look.known) == (None, None)


def test_the_features_of_a_network_are_found(file: Path) -> None:
    layers = feature_layers(read_graph(file.read_bytes()))
    assert layers[0].width == 3


def test_photos_that_are_gone_are_too_few(small_run: Run, tmp_path: Path) -> None:
    said: list[str] = []
    gone = {
        split: [replace(photo, path=tmp_path / photo.path.name) for photo in photos]
        for split, photos in small_run.splits.items()
    }
    fitter = extraction.DetectorFitter(replace(small_run, splits=gone), said.append)
    model = tmp_path / "tiny.tflite"
    shutil.copy(Path(__file__).parents[1] / "models" / "tiny-float32.tflite", model)
    assert fitter.fit(model.read_bytes(), tmp_path).detector is None
    assert said


def test_the_export_tells_what_it_keeps_and_what_it_lets_in(file: Path, run: Run, tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (60, 60, 3), np.uint8)
    (tmp_path / "noise.png").write_bytes(cv2.imencode(".png", noise)[1].tobytes())
    foreign = read_foreign(tmp_path, run.card.input)
    known = [preprocess(read_picture(photo.path), run.card.input) for photo in run.splits["test"]]
    familiar = artifact_scores(Classifier(file), np.stack(known)).familiarities
    assert familiar is not None
    told = judge_foreign(Classifier(file), familiar, foreign)
    assert told.let_in is not None
    assert told.kept.value >= 0.8
    assert told.foreign == 1
    assert len(told.worst) == round(told.let_in.value * told.foreign)


def test_the_share_at_95_percent_does_not_depend_on_the_threshold(
    file: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of familiarities 0.01 to 1.00, 95 % are at least 0.06; a foreign 0.055 is below, 0.07 is not."""
    given = iter([0.055, 0.07])
    monkeypatch.setattr(Classifier, "familiarity", lambda self: float(next(given)))
    pixels = np.zeros(run.card.input.shape, np.uint8)
    foreign = [(Path(name), pixels) for name in ("below.png", "above.png")]
    told = judge_foreign(Classifier(file), np.linspace(0.01, 1, 100), foreign)
    assert told.let_in is not None and told.fpr95 is not None
    assert (told.let_in.value, told.fpr95.value) == (1.0, 0.5)


def test_auroc_counts_ties_as_half() -> None:
    assert auroc(np.array([0.9, 0.5]), np.array([0.5, 0.1])).value == pytest.approx(0.875)


def test_the_interval_of_auroc_is_that_of_hanley_and_mcneil() -> None:
    """Their formula for an area of 0.9 of 50 and 50: standard error 0.0321."""
    known = np.r_[np.full(45, 2.0), np.zeros(5)]
    found = auroc(known, np.ones(50))
    assert found.value == pytest.approx(0.9)
    assert found.high - found.value == pytest.approx(1.96 * 0.0321, abs=1e-3)


def test_what_lies_near_the_known_is_told_from_it_by_negatives() -> None:
    """Negatives of one kind, beside a class in a direction in which the known vary: without them most pass."""
    rng = np.random.default_rng(8)
    layers = [Layer(7, WIDTHS[0])]

    def shifted(count: int, seed: int, shift: float) -> FeatureSet:
        features = pictures(count, seed).layers[0]
        features[:, 0] += rng.normal(0, 0.8, count) + shift
        return FeatureSet((features,), np.zeros(count, np.int64))

    known, validation, foreign = shifted(300, 2, 0), shifted(300, 3, 0), shifted(200, 5, 4)
    let_in = {}
    for name, negatives in {"without": None, "with": shifted(60, 4, 4), "few": shifted(9, 4, 4)}.items():
        detector = fit_detector(layers, known, validation, negatives)
        assert detector is not None
        detector = parse_detector(detector.to_bytes())
        let_in[name] = np.mean([detector.familiarity(foreign.picture(number)) >= 0.05 for number in range(200)])
    assert let_in["with"] < 0.5 * let_in["without"]
    assert let_in["few"] == let_in["without"]


def test_an_export_learns_from_negatives_and_is_not_judged_by_them(run: Run, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    folders = tmp_path / "nothing", tmp_path / "unknown"
    for folder in folders:
        folder.mkdir()
    for number in range(12):
        picture = cv2.imencode(".png", rng.integers(0, 256, (60, 60, 3), np.uint8))[1].tobytes()
        (folders[0] / f"{number}.png").write_bytes(picture)
        if number < 2:
            (folders[1] / f"copy-{number}.png").write_bytes(picture)
    (folders[1] / "other.png").write_bytes(cv2.imencode(".png", np.zeros((60, 60, 3), np.uint8))[1].tobytes())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edge_convert.foreign.fitting.FEWEST_VALIDATION", 3)
        patch.setattr(extraction, "FEWEST_VALIDATION", 3)
        patch.setattr(extraction, "FEWEST_TRAINING", 3)
        exported = export(
            run,
            "float32",
            tmp_path / "told.tflite",
            limits=Limits(max_drop=100),
            options=ConversionOptions(foreign=ForeignFolders(folders[1], folders[0])),
        )
    detector = read_detector(exported.file)
    assert detector is not None and exported.candidate.foreign is not None
    assert [term.shape.directions for term in detector.terms][-1] == 1
    assert exported.candidate.foreign.foreign == 1
    assert exported.candidate.card.labels == run.card.labels

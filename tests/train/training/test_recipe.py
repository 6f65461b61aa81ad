"""What the options of training do: teachers, class weights, distortions, pruning, clustering, rounding."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_core.data.photo_folder import Photo
from edge_core.errors import RunFolderError, SettingsError
from edge_core.images import read_picture
from edge_core.preprocess import Crop, InputSpec, preprocess
from edge_core.run_folder import Run, load_model, read_run
from edge_keras.models.architectures import ARCHITECTURES, DEFAULT
from edge_keras.models.backbone import zero_share
from edge_keras.models.pretrained import Weights
from edge_keras.tf import keras
from edge_train.data.augment import ViewMaker
from edge_train.data.dataset import PhotoSet, open_photos
from edge_train.data.distortions.randaugment import randaugment
from edge_train.evaluation.evaluate import open_model
from edge_train.settings import Settings, check_settings, phases
from edge_train.training.distillation import check_teacher
from edge_train.training.fit import FitOptions, Request, fit
from edge_train.training.solved_head.head import MOST_WEIGHT, photo_weights, solve_head

from ..conftest import blank_charts
from ..small_network import SMALL_NETWORK

pytestmark = pytest.mark.usefixtures("charts_are_blank")

SMALL = Settings(epochs=1, views=2, batch=8, compression_epochs=2)


def train(folder: Path, out: Path, settings: Settings, teacher: Run | None = None, **options: object) -> Run:
    photos = open_photos(str(folder), seed=1, cache=out.parent)
    fit(
        photos,
        out,
        FitOptions(
            spec=InputSpec(32, 32),
            weights=Weights("none (random)"),
            cache=out.parent / "cache",
            architecture=SMALL_NETWORK,
            settings=settings,
            teacher=teacher,
        ),
        **options,  # type: ignore[arg-type]
    )
    return read_run(out)


def convolutions(model: keras.Model) -> dict[str, np.ndarray]:
    return {layer.name: layer.kernel.numpy() for layer in model.layers if type(layer) is keras.layers.Conv2D}


COMPRESSED = replace(SMALL, prune=0.5, qat=True)


@pytest.fixture(scope="module")
def compressed(color_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    with blank_charts():
        return train(color_photos, tmp_path_factory.mktemp("compressed") / "run", COMPRESSED)


def test_pruned_weights_are_zero_and_stay_so_through_rounding(compressed: Run) -> None:
    run, model = compressed, open_model(compressed)
    shares = {name: float((kernel == 0).mean()) for name, kernel in convolutions(model).items()}
    assert {name for name, share in shares.items() if share > 0.4} == {"pointwise"}
    assert all(share == pytest.approx(0.5, abs=0.02) for share in shares.values() if share > 0.01)
    assert run.card.training["zero_weights"] == pytest.approx(zero_share(model), abs=1e-3)
    assert run.quantized_file is not None
    rounded = keras.models.load_model(run.quantized_file, compile=False)
    for name, kernel in convolutions(model).items():
        assert (convolutions(rounded)[name][kernel == 0] == 0).all()


def test_a_run_for_8_bits_has_both_networks(compressed: Run, color_run: Run) -> None:
    run = compressed
    assert run.quantized_file is not None
    model = load_model(run, keras.models.load_model)
    rounded = keras.models.load_model(run.quantized_file, compile=False)
    assert (rounded.input_shape, rounded.output_shape) == (model.input_shape, model.output_shape)
    names = [line.split(",")[0] for line in (run.folder / "history.csv").read_text().splitlines()[1:]]
    assert names == ["head", "fine-tune", "prune", "prune", "rounded", "qat", "qat"]
    assert color_run.quantized_file is None


@pytest.mark.slow
def test_clustered_convolutions_have_few_values(color_photos: Path, tmp_path: Path) -> None:
    run = train(color_photos, tmp_path / "run", replace(SMALL, cluster=4))
    counts = {name: len(np.unique(kernel)) for name, kernel in convolutions(open_model(run)).items()}
    assert {name for name, count in counts.items() if count <= 4} == {"pointwise"}


class Stop:
    """Passes items through until the given label comes for the n-th time."""

    def __init__(self, title: str, times: int) -> None:
        self.title, self.left = title, times

    def __call__(self, items, label, total=None):  # type: ignore[no-untyped-def]
        self.left -= label.startswith(self.title)
        if self.left < 0:
            raise KeyboardInterrupt
        return items


@pytest.mark.slow
def test_an_interrupted_compression_goes_on_to_the_same_result(
    compressed: Run, color_photos: Path, tmp_path: Path
) -> None:
    for title, times in (("Pruning", 0), ("Pruning", 1), ("Training for 8 bits", 1)):
        with pytest.raises(KeyboardInterrupt):
            train(color_photos, tmp_path / "run", COMPRESSED, track=Stop(title, times))
    again = train(color_photos, tmp_path / "run", COMPRESSED)
    histories = [
        [line.split(",")[:2] + line.split(",")[5:] for line in (run.folder / "history.csv").read_text().splitlines()]
        for run in (compressed, again)
    ]
    assert histories[0] == histories[1]
    for one, other in zip(open_model(compressed).get_weights(), open_model(again).get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


@pytest.mark.slow
def test_a_student_learns_what_its_teacher_says(color_photos: Path, tmp_path: Path) -> None:
    teacher = train(color_photos, tmp_path / "teacher", replace(SMALL, epochs=0))
    model = load_model(teacher, keras.models.load_model)
    kernel, bias = model.get_layer("scores").get_weights()
    model.get_layer("scores").set_weights([0 * kernel, bias * 0 + [5.0, 0.0, 0.0]])  # it says "blue" to everything
    model.save(teacher.model_file)
    losses = []
    for share in (0.0, 1.0):
        settings = replace(SMALL, epochs=3, learning_rate=3e-3, mixup=0.0, teacher_weight=share)
        run = train(color_photos, tmp_path / f"{share}", settings, teacher=teacher)
        assert run.card.training["teacher"] == "teacher"
        rows = (run.folder / "history.csv").read_text().splitlines()[2:]
        losses.append([float(row.split(",")[3]) for row in rows])
    # In two classes of three it contradicts the labels, so what is learned from it differs; and it is learned.
    assert abs(losses[0][0] - losses[1][0]) > 0.1
    assert losses[1][-1] < losses[1][0]


def test_a_teacher_must_not_know_the_test_photos_and_must_know_the_labels(color_run: Run) -> None:
    check_teacher(color_run, color_run.card.labels, color_run.splits["test"])
    with pytest.raises(RunFolderError, match="trained on 2 of the photos"):
        check_teacher(color_run, color_run.card.labels, [*color_run.splits["test"], *color_run.splits["train"][:2]])
    with pytest.raises(RunFolderError, match="other labels"):
        check_teacher(color_run, ("blue", "green"), [])


def test_class_weights_are_bounded() -> None:
    targets = np.array([0] * 1000 + [1] * 100 + [2] * 3)
    weights = photo_weights(targets, balanced=True)
    assert weights.mean() == pytest.approx(1)
    assert weights[1000] / weights[0] == pytest.approx(10)
    assert weights[-1] / weights[0] == pytest.approx(MOST_WEIGHT)


def test_class_weights_make_classes_count_the_same() -> None:
    targets = np.array([0] * 90 + [1] * 10)
    weights = photo_weights(targets, balanced=True)
    assert weights.mean() == pytest.approx(1)
    assert weights[targets == 0].sum() == pytest.approx(weights[targets == 1].sum())
    np.testing.assert_array_equal(photo_weights(targets, balanced=False), 1)
    features = np.random.default_rng(0).normal(targets[:, None], 1.5, (100, 2)).astype(np.float32)
    found = []
    for balanced in (False, True):
        kernel, bias = solve_head(features, targets, 2, photo_weights(targets, balanced))
        found.append(int(((features @ kernel + bias).argmax(axis=1) == 1).sum()))
    assert found[0] < 10 < found[1]


def test_what_cannot_be_trained_is_said_before_any_work(
    command: Callable[..., object], color_photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    done = command("edge_train.cli", "fit", color_photos, "--backbone", "mobilenet_v3_small", "--qat", "--out", out)
    assert done.returncode == 2  # type: ignore[attr-defined]
    assert done.stderr.count("\n") == 1 and "hard-swish" in done.stderr  # type: ignore[attr-defined]
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(SettingsError, match="--cluster"):
        check_settings(Settings(qat=True, cluster=32), DEFAULT)
    with pytest.raises(SettingsError, match="single weight"):
        check_settings(Settings(cluster=1), DEFAULT)
    for architecture in ARCHITECTURES.values():
        check_settings(Settings(), architecture)


def test_phases_come_in_the_order_that_each_needs() -> None:
    assert [phase.name for phase in phases(Settings(prune=0.5, qat=True))] == ["fine-tune", "prune", "qat"]
    assert [phase.name for phase in phases(Settings(prune=0.5, cluster=8))] == ["fine-tune", "prune", "cluster"]


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32))
def test_a_distorted_picture_is_one_of_the_same_size(height: int, width: int, seed: int) -> None:
    picture = np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)
    once, twice = picture.copy(), picture.copy()
    randaugment(once, np.random.default_rng(seed))
    randaugment(twice, np.random.default_rng(seed))
    np.testing.assert_array_equal(once, twice)


def test_distortions_distort_drawn_views_alone(tmp_path: Path) -> None:
    path = tmp_path / "1.png"
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 256, (90, 120, 3)).astype(np.uint8))
    photo = Photo(path, "one", "1" * 64)
    makers = [ViewMaker(InputSpec(32, 32), (0, 1, 2), True, 1, name) for name in ("camera", "randaugment")]
    plain, distorted = (maker(photo) for maker in makers)
    np.testing.assert_array_equal(plain[:2], distorted[:2])
    assert (plain[2] != distorted[2]).any()
    assert [maker.name(1) for maker in makers] == [makers[0].name(1)] * 2
    assert makers[0].name(2) != makers[1].name(2)


def flat(path: Path, level: int, label: str) -> Photo:
    cv2.imwrite(str(path), np.full((90, 120, 3), level, np.uint8))
    return Photo(path, label, f"{level:064}")


def test_a_scene_shows_the_whole_subject_small_before_another_label_alone(tmp_path: Path) -> None:
    photo, same = flat(tmp_path / "1.png", 200, "bright"), flat(tmp_path / "2.png", 100, "bright")
    other, broken = flat(tmp_path / "3.png", 20, "dark"), Photo(tmp_path / "none.png", "dark", "")
    spec = InputSpec(64, 64)
    grounds = (same, other, broken)
    shares = list[float]()
    for seed in range(20):
        maker = ViewMaker(spec, (0, 2, 3), True, seed, "scene", grounds)
        views = maker(photo)
        np.testing.assert_array_equal(views[0], np.full_like(views[0], 200))  # as the device sees it
        np.testing.assert_array_equal(views, maker(photo))
        for view in views[1:]:
            # Light changes both by the same gains: what is ten times as bright is the subject, and nothing between.
            bright = view[..., 1] > view[..., 1].max() * 0.9
            assert view[..., 1].min() < view[..., 1].max() * 0.15
            shares.append(float(bright.mean()))
    assert min(shares) < 0.15 and max(shares) > 0.5
    assert min(shares) > 0.25**2 * 0.5 and max(shares) <= 0.9**2 + 0.02
    alone = ViewMaker(spec, (2,), True, 1, "scene", (photo, same))(photo)
    assert alone.min() > 100  # no other label: moved and in another light, nothing else


@pytest.mark.parametrize("crop", ["center", "pad", "stretch"])
def test_a_scene_shows_the_whole_subject_to_a_network_whose_input_is_no_square(tmp_path: Path, crop: Crop) -> None:
    photo, other = flat(tmp_path / "1.png", 200, "bright"), flat(tmp_path / "2.png", 20, "dark")
    for shape in ((24, 96), (96, 24)):
        maker = ViewMaker(InputSpec(*shape, crop), tuple(range(2, 30)), True, 1, "scene", (other,))
        for view in maker(photo):
            subject = view[..., 1] > view[..., 1].max() / 2
            assert view[..., 1].min() < view[..., 1].max() * 0.15
            assert abs(int(subject.any(axis=0).sum()) - int(subject.any(axis=1).sum())) <= 2


def test_other_grounds_are_another_request(tmp_path: Path) -> None:
    one, two = (flat(tmp_path / f"{level}.png", level, "") for level in (1, 2))
    mine = flat(tmp_path / "3.png", 3, "a")
    photos = PhotoSet("", ("a",), {"train": [mine], "val": [], "test": []}, 1, True, [], [], [])
    asked = [
        Request(
            replace(photos, negatives=negatives),
            InputSpec(32, 32),
            Weights("none (random)"),
            1.0,
            SMALL_NETWORK,
            Settings(augment=augment),
            None,
        ).to_json()
        for augment in ("camera", "scene")
        for negatives in ((one,), (two,))
    ]
    assert asked[0] == asked[1] and asked[2] != asked[3]


def test_the_name_of_a_scene_tells_its_grounds(tmp_path: Path) -> None:
    one, two = flat(tmp_path / "1.png", 1, "a"), flat(tmp_path / "2.png", 2, "b")
    names = [ViewMaker(InputSpec(8, 8), (0,), True, 1, "scene", grounds).name(2) for grounds in ((one,), (one, two))]
    assert len({*names, ViewMaker(InputSpec(8, 8), (0,), True, 1).name(2)}) == 3


def test_a_big_jpeg_is_decoded_small_for_drawn_views_alone(tmp_path: Path) -> None:
    path = tmp_path / "1.jpg"
    picture = cv2.resize(np.random.default_rng(0).integers(0, 256, (30, 40, 3)).astype(np.uint8), (1600, 1200))
    cv2.imwrite(str(path), picture)
    photo = Photo(path, "one", "1" * 64)
    spec = InputSpec(32, 32)
    together = ViewMaker(spec, (0, 1, 2), True, 1)(photo)
    np.testing.assert_array_equal(together[0], preprocess(read_picture(path), spec))
    alone = ViewMaker(spec, (2,), True, 1)(photo)[0]
    assert np.abs(alone.astype(int) - together[2]).max() > 0  # other pixels ...
    assert np.abs(alone.astype(int) - together[2]).mean() < 8  # ... of the same view

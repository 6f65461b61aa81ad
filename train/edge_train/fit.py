"""The recipe: backbone run once, head solved on its features, top layers fine-tuned, test photos touched at the end."""

import csv
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import numpy as np

from edge_core.card import Backbone, Dataset, ModelCard
from edge_core.errors import DatasetError
from edge_core.files import folder_written_whole, require_free
from edge_core.intervals import accuracy
from edge_core.photos import Photo, Split, Unusable, fingerprint, label_counts
from edge_core.preprocess import InputSpec
from edge_core.progress import Track, silently
from edge_core.run_folder import CARD_FILE, MODEL_FILE, QUANTISED_FILE, Run, read_run, spread, write_photos
from edge_train.architectures import DEFAULT, Architecture
from edge_train.backbone import Parts, build, cut, set_head, zero_share
from edge_train.dataset import PhotoSet
from edge_train.devices import ONE, Devices, find_devices, gpus, lost_workers
from edge_train.feature_cache import FeatureCache
from edge_train.features import Maps, compiled, extract_maps, map_scores, pixel_batches, predict_photos
from edge_train.fine_tune import FineTuner, History, Lessons, Teach, read_history, with_dropout
from edge_train.head import Array, photo_weights, solve_head
from edge_train.history import Epoch, write_history
from edge_train.measures import Evaluation, evaluate_scores
from edge_train.report import write_run_report
from edge_train.settings import Phase, Settings, check_settings, phases
from edge_train.teacher import check_teacher, taught_scores, teacher_sha256
from edge_train.tensorboard import write_scalars
from edge_train.tf import keras, tf
from edge_train.views import ViewMaker, view_photos
from edge_train.weights import Weights
from edge_train.workers import Worker, meet, read_worker
from edge_train.workshop import Workshop

HEAD_VIEWS: Final = 2
"""Of each photo: as seen and mirrored. The head is solved before the other views are made."""

HEAD_ROWS: Final = 8192
"""Views that the head is solved on, at most: 42 MB of features. Beyond, a random part of them."""

SAMPLES: Final = 24

ROUNDING_PHOTOS: Final = 256
"""Photos whose activations set the ranges of quantisation-aware training."""

TOGETHER: Final = "fine-tune"
"""The phase that runs on all devices and all machines. The others, three epochs each, run on the first device of the first
machine: the layers of tensorflow-model-optimization keep masks and centroids that are not made for several replicas."""

PHASE_FILE: Final = "phase"
BASE_FILE: Final = "base.npz"
"""In a saved state: the phase's name, and the weights that it started with."""


@dataclass(frozen=True)
class Fitted:
    """What `fit` did; everything else is in the run folder.

    Attributes:
        folder: the run folder.
        card: that is in it.
        history: of training.
        unusable: photos that could not be decoded.
        written_by: address of the worker that wrote the folder, if that is not this process.
    """

    folder: Path
    card: ModelCard
    history: list[Epoch]
    unusable: list[Unusable]
    written_by: str = ""


def fit(
    photos: PhotoSet,
    out: Path,
    *,
    spec: InputSpec,
    weights: Weights,
    cache: Path,
    alpha: float = 1.0,
    architecture: Architecture = DEFAULT,
    settings: Settings | None = None,
    teacher: Run | None = None,
    tensorboard: bool = False,
    track: Track = silently,
) -> Fitted:
    """Trains a classifier and writes its run folder, whole or not at all.

    Interrupted at any moment, the same call goes on after the last epoch. It uses every visible GPU, and other machines
    if `TF_CONFIG` names them: each makes the same call, and the first of them writes the run folder.

    Args:
        photos: to train, validate and test on.
        out: the run folder to write; must not exist.
        spec: what the model shall take.
        weights: to start from, as `weights.find_weights` finds them.
        cache: where feature maps are kept for other runs.
        alpha: width multiplier, which the weights must have been trained with.
        architecture: one of `architectures.ARCHITECTURES`.
        settings: of the recipe; the defaults unless given.
        teacher: a trained run with the same labels to learn from, too.
        tensorboard: whether the run folder gets what TensorBoard shows.
        track: shows progress.

    Raises:
        WeightsError: the weights do not fit.
        DatasetError: too few of the photos can be decoded.
        RunFolderError: the teacher has other labels, or has seen the test photos.
        OutputError: `out` is there already, is being written by another process, or cannot be written.
        SettingsError: the network cannot be trained so, or `TF_CONFIG` cannot be understood.
        WorkerLostError: another machine is gone; the same call goes on.
    """
    settings = settings or Settings()
    worker = read_worker()
    check_settings(settings, architecture)
    if teacher is not None:
        check_teacher(teacher, photos.labels, photos.splits["test"])
    began = time.perf_counter()
    request = _request(photos, spec, architecture, alpha, weights, settings, teacher)
    with Workshop(out, request, worker.suffix if worker else "") as workshop, ExitStack() as opened:
        if workshop.newest() is not None and out.exists():  # killed between the last two steps
            return Fitted(out, read_run(out).card, [], [])
        require_free(out)
        if worker:
            opened.enter_context(lost_workers())
        devices, alone = _devices(worker, workshop, request, bool(weights.sha256))
        if alone and not devices.chief:
            return _written_elsewhere(out, devices, [], [])
        keras.utils.set_random_seed(settings.seed)
        model = build(spec, len(photos.labels), alpha, weights, architecture)
        parts = cut(model, architecture)
        views = tuple(range(max(1, settings.views)))
        as_seen = ViewMaker(spec, views[:1], photos.mirror, settings.seed, settings.augment)
        # Maps of random weights are of no use to another run.
        folder = cache / "features" if weights.sha256 else workshop.folder / "features"
        key = {
            "architecture": architecture.name,
            "seam": architecture.seam,
            "alpha": alpha,
            "weights": weights.sha256,
            "input": spec.to_json(),
        }

        def mapped(lower: "keras.Model", more: dict[str, str] | None = None) -> Callable[..., Maps]:
            features = opened.enter_context(FeatureCache(folder, key | (more or {}), lower.output_shape[1:]))

            def maps(name: str, members: list[Photo], numbers: tuple[int, ...]) -> Maps:
                maker = replace(as_seen, numbers=numbers)
                return extract_maps(lower, members, photos.labels, maker, features, name, track)

            return maps

        maps = mapped(parts.lower)
        val = maps("the validation photos", photos.splits["val"], views[:1])
        train = maps("the training photos", photos.splits["train"], views[:HEAD_VIEWS])
        _require_every_label(photos.labels, train, "train")
        _require_every_label(photos.labels, val, "validate")
        _require_same_photos(devices, train, val)
        importance = photo_weights(train.targets, settings.class_weights)
        todo = [phase for phase in phases(settings) if phase.epochs or phase.start]
        state = workshop.newest()
        if state is None:
            history = History(began)
            set_head(model, *_solved_head(parts, train, len(photos.labels), importance, settings.seed, track))
        else:
            history = History(began, read_history(state[1]))
            while todo[0].name != (state[1] / PHASE_FILE).read_text():
                del todo[0]
            with np.load(state[1] / BASE_FILE, allow_pickle=False) as base:
                parts.upper.set_weights([base[name] for name in base.files])
        if views[HEAD_VIEWS:] and any(phase.epochs for phase in todo):
            train = train.with_views(maps("more views of the training photos", train.photos, views[HEAD_VIEWS:]))
        lessons = Lessons(train, importance)
        if teacher is not None:
            maker = replace(as_seen, numbers=views[: train.rows.shape[1]])
            taught_cache, taught = taught_scores(teacher, train.photos, maker, cache / "features", track)
            opened.enter_context(taught_cache)
            teach: Teach = lambda photos, views: taught.read(photos, views).astype(np.float32)
            lessons = replace(lessons, teach=teach, share=settings.teacher_weight, temperature=settings.temperature)

        quantised: keras.Model | None = None
        for phase in todo:
            if phase.name != TOGETHER and not devices.chief:
                break
            base = parts.upper.get_weights()
            steps = phase.epochs * max(1, len(train.photos) // settings.batch)
            student, finish, judged_on = with_dropout(parts), _nothing, val
            if phase.name != "fine-tune":  # imports take two seconds: only where they are needed
                from edge_train.compression import clustered, pruned
                from edge_train.quantised import Rounding
            if phase.name == "prune":
                student, finish = pruned(parts.upper, settings.prune, steps)
            elif phase.name == "cluster":
                student, finish = clustered(parts.upper, settings.cluster)
            elif phase.name == "qat":
                rounding = Rounding(model, architecture.seam, _calibration(train.photos, as_seen))
                quantised, finish = rounding.plain, rounding.finish
                maps = mapped(rounding.lower, {"rounded": rounding.digest()})
                judged_on = maps("the validation photos, rounded", val.photos, views[:1])
                rounded = maps("the training photos, rounded", train.photos, views[:HEAD_VIEWS])
                reference = map_scores(compiled(parts.upper, tf.float16), val)
                lessons = Lessons(rounded, importance, _teaching(parts, train), 1.0, 1.0, reference)
                student = rounding.student(keep_zeros=bool(settings.prune))

            where = devices if phase.name == TOGETHER else ONE
            tuner = FineTuner(student, phase, lessons, judged_on, settings, history, where)

            def save(tuner: FineTuner = tuner, phase: Phase = phase, base: list[Array] = base) -> None:
                def write(folder: Path) -> None:
                    tuner.save(folder)
                    np.savez(folder / BASE_FILE, *base)
                    (folder / PHASE_FILE).write_text(phase.name)

                workshop.save(len(history.epochs) - 1, write)

            if state is not None:
                tuner.restore(state[1])
                state = None
            elif phase.start:
                tuner.start()
                save()
            while not tuner.done:
                tuner.train_epoch(track)
                save()
            tuner.keep_best()
            finish()
        if not devices.chief:
            return _written_elsewhere(out, devices, history.epochs, [*train.unusable, *val.unusable])
        val_accuracy = accuracy(map_scores(compiled(parts.upper, tf.float16), val).argmax(axis=1) == val.targets)
        scores, tested, unusable = predict_photos(model, photos.splits["test"], as_seen, "test", track)
        splits: dict[Split, list[Photo]] = {"train": train.photos, "val": val.photos, "test": tested}
        evaluation = evaluate_scores(scores, tested, photos.labels)
        card = ModelCard(
            labels=photos.labels,
            input=spec,
            backbone=Backbone(architecture.name, alpha, weights.source, weights.sha256),
            dataset=Dataset(
                photos.name,
                {split: label_counts(members, photos.labels) for split, members in splits.items()},
                fingerprint([photo for members in splits.values() for photo in members]),
                photos.split_seed,
            ),
            metrics={"test_accuracy": evaluation.accuracy, "val_accuracy": val_accuracy},
            training={
                **asdict(settings),
                "mirror": photos.mirror,
                "teacher": teacher.folder.name if teacher else "",
                "zero_weights": round(zero_share(model), 4),
                "seconds": round(history.seconds, 1),
            },
            versions={name: metadata.version(name) for name in ("edge-mobilenet", "tensorflow", "tf-keras", "numpy")},
        )
        with folder_written_whole(out) as beside:
            model.save(beside / MODEL_FILE)
            if quantised is not None:
                quantised.save(beside / QUANTISED_FILE)
            (beside / "checkpoints").mkdir()
            parts.upper.save_weights(beside / "checkpoints" / "kept.weights.h5")
            (beside / CARD_FILE).write_text(card.to_text(), "utf-8")
            write_photos(beside, splits)
            write_history(beside / "history.csv", history.epochs)
            _write_predictions(beside / "predictions.csv", evaluation)
            if tensorboard:
                write_scalars(beside / "tensorboard", history.epochs)
            shown = train.photos[:: max(1, len(train.photos) // SAMPLES)][:SAMPLES]
            as_trained = view_photos(shown, replace(as_seen, numbers=views))
            write_run_report(beside, card, history.epochs, evaluation, as_trained, [photo.label for photo in shown])
        devices.told(card.to_text())
    return Fitted(out, card, history.epochs, [*train.unusable, *val.unusable, *unusable])


def _devices(worker: Worker | None, workshop: Workshop, request: dict[str, Any], float16: bool) -> tuple[Devices, bool]:
    """Where to train, and whether what is left is for the chief alone. The newest state is then that to go on from."""
    if worker is None:
        return find_devices(None, float16), False
    states = {number: (path / PHASE_FILE).read_text() for number, path in sorted(workshop.states().items())}
    alone = next((number for number in reversed(states) if states[number] != TOGETHER), None)
    together = [number for number, name in states.items() if name == TOGETHER]
    agreement = meet(worker, {**request, "gpus": gpus()}, together, alone)
    workshop.forget_after(agreement.state)
    return find_devices(worker, float16), agreement.alone


def _written_elsewhere(out: Path, devices: Devices, history: list[Epoch], unusable: list[Unusable]) -> Fitted:
    """Waits for the chief to write the run folder."""
    assert devices.worker is not None
    card = ModelCard.from_text(devices.told(""))
    return Fitted(out, card, history, unusable, written_by=devices.worker.addresses[0])


def _require_same_photos(devices: Devices, *maps: Maps) -> None:
    counts = np.array([len(part.photos) for part in maps], np.int64)
    if (devices.agreed(counts) != counts).any():
        raise DatasetError("other photos than on the first machine can be decoded here; compare both with inspect")


def _nothing() -> None:
    pass


def _calibration(photos: list[Photo], maker: ViewMaker) -> Iterator[Any]:
    """Pixels of some training photos, of all classes: uint8, shape (photos, height, width, 3)."""
    unusable: dict[int, Unusable] = {}
    some = spread(photos, ROUNDING_PHOTOS)
    return (pixels[:, 0] for _, pixels in pixel_batches(some, maker, unusable))


def _teaching(parts: Parts, train: Maps) -> Teach:
    """What the model itself says as long as nothing is rounded."""
    run = compiled(parts.upper, tf.float16)
    return lambda photos, views: run(train.read(photos, views)).numpy()


def _request(
    photos: PhotoSet,
    spec: InputSpec,
    architecture: Architecture,
    alpha: float,
    weights: Weights,
    settings: Settings,
    teacher: Run | None,
) -> dict[str, Any]:
    """All that the result depends on: the same request may go on with what another call left."""
    return {
        "version": metadata.version("edge-mobilenet"),
        "settings": asdict(settings),
        "input": spec.to_json(),
        "architecture": architecture.name,
        "alpha": alpha,
        "weights": weights.sha256,
        "labels": photos.labels,
        "mirror": photos.mirror,
        "teacher": teacher and teacher_sha256(teacher),
        "splits": {split: fingerprint(members) for split, members in photos.splits.items()},
        "float16": gpus()[1],  # its optimizer keeps more
    }


def _require_every_label(labels: tuple[str, ...], maps: Maps, purpose: str) -> None:
    missing = set(labels) - {photo.label for photo in maps.photos}
    if missing:
        first = f"; {maps.unusable[0].path}: {maps.unusable[0].reason}" if maps.unusable else ""
        raise DatasetError(f"of the class {min(missing)!r} no photo to {purpose} on can be decoded{first}")


def _solved_head(
    parts: Parts, train: Maps, labels: int, weights: Array, seed: int, track: Track
) -> tuple[Array, Array]:
    photos, views = train.rows.shape
    chosen = np.arange(photos * views)
    if len(chosen) > HEAD_ROWS:
        chosen = np.sort(np.random.default_rng(seed).choice(chosen, HEAD_ROWS, replace=False))
    run = compiled(parts.pooled, tf.float16)
    rows = [chosen[first : first + 256] for first in range(0, len(chosen), 256)]
    read = (run(train.read(part // views, part % views)).numpy() for part in track(rows, "Solving the head", len(rows)))
    return solve_head(np.concatenate(list(read)), train.targets[chosen // views], labels, weights[chosen // views])


def _write_predictions(path: Path, evaluation: Evaluation) -> None:
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "label_score", "predicted", "predicted_score"])
        rows: list[tuple[Any, ...]] = [
            (item.path, item.label, f"{item.label_score:.4f}", item.predicted, f"{item.predicted_score:.4f}")
            for item in evaluation.worst_first()
        ]
        writer.writerows(rows)

"""The recipe: backbone run once, head solved on its features, top layers fine-tuned, test photos touched at the end."""

import csv
import json
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Final

import numpy as np

from edge_core.artifact.card import Backbone, Dataset, ModelCard
from edge_core.codec import JsonObject
from edge_core.data.photo_folder import SPLITS, Photo, Split, Unusable, fingerprint, label_counts
from edge_core.errors import DatasetError, SettingsError
from edge_core.files import folder_written_whole, require_free
from edge_core.preprocess import InputSpec
from edge_core.progress import Track, silently, tracked
from edge_core.run_folder import CARD_FILE, MODEL_FILE, QUANTIZED_FILE, Run, read_run, write_photos
from edge_core.statistics import Estimate, accuracy
from edge_device.system.supervisor import note_advice
from edge_keras.kept_scores import write_scores
from edge_keras.models.architectures import DEFAULT, Architecture
from edge_keras.models.backbone import Parts, build, cut, set_head, uncut, zero_share
from edge_keras.models.pretrained import Weights
from edge_keras.models.split_layer import find_split_layer
from edge_keras.tf import keras, tf
from edge_train.data.augment import ViewMaker, view_photos
from edge_train.data.catalog import Say
from edge_train.data.class_balance import imbalance_warning
from edge_train.data.dataset import PhotoSet
from edge_train.evaluation.history import Epoch, write_history
from edge_train.evaluation.learning_curve import CURVE_FILE, LearningCurve
from edge_train.evaluation.metrics import Evaluation, evaluate_scores
from edge_train.evaluation.run_report import write_run_report
from edge_train.evaluation.run_verdict import verdict
from edge_train.evaluation.subject_sizes import subject_sizes
from edge_train.evaluation.tensorboard import write_scalars
from edge_train.settings import (
    EPOCHS,
    FEW_PHOTOS,
    Depth,
    Phase,
    Settings,
    check_settings,
    deep_settings,
    depth_for,
    head_settings,
    phases,
    usual_settings,
)
from edge_train.training.checkpoints import CheckpointStore
from edge_train.training.devices import Devices, find_devices, gpus, in_words, lost_workers, unused_gpu
from edge_train.training.distillation import check_teacher, taught_scores, teacher_sha256
from edge_train.training.features import (
    FEATURES,
    Extractor,
    Maps,
    backbone_key,
    compiled,
    map_scores,
    predict_photos,
)
from edge_train.training.fine_tune import FineTuner, History, Positions, Teach, TrainingTargets, read_history
from edge_train.training.phases import TrainingContext, plan
from edge_train.training.solved_head.head import Array, photo_weights, solve_head
from edge_train.training.solved_head.head_curve import FEW_TESTED, Features, learning_curve
from edge_train.training.workers import Worker, ended_at_once, meet, read_worker

HEAD_VIEWS: Final = 2
"""Of each photo: as seen and mirrored. The head is solved before the other views are made."""

HEAD_ROWS: Final = 8192
"""Views that the head is solved on, at most: 42 MB of features. Beyond, a random part of them."""

DEEP_VIEWS: Final = 8192
"""Views whose maps of the deep seam are kept before it is known whether they are needed: at 160 pixels 210 MB. Going
through the network for them again took 37 of the 540 s of a training on `signs`."""

SAMPLES: Final = 24

TOGETHER: Final = "fine-tune"
"""The phase that runs on all devices and all machines. The others, three epochs each, run on the first device of the
first machine: the layers of tensorflow-model-optimization keep masks and centroids that are not made for several
replicas."""

PHASE_FILE: Final = "phase"
BASE_FILE: Final = "base.npz"
SEAM_FILE: Final = "seam"
EPOCHS_FILE: Final = "epochs"
"""In a saved state: the phase's name, its first weights, the layer that fine-tuning begins behind, and its epochs."""


@dataclass(frozen=True)
class Request:
    """All that the result of `fit` depends on; see there."""

    photos: PhotoSet
    spec: InputSpec
    weights: Weights
    alpha: float
    architecture: Architecture
    settings: Settings
    teacher: Run | None

    @property
    def views(self) -> tuple[int, ...]:
        """Numbers of the views of a training photo."""
        return tuple(range(max(1, self.settings.views)))

    @property
    def train_spec(self) -> InputSpec:
        """What the model takes while it is trained."""
        side = self.settings.train_size
        return replace(self.spec, width=side, height=side) if side else self.spec

    @property
    def as_trained(self) -> ViewMaker:
        """Of photos as the device sees them, but for their size if the network is trained at another."""
        settings, photos = self.settings, self.photos
        grounds = photos.negatives or tuple(photos.splits["train"]) if settings.augment == "scene" else ()
        return ViewMaker(self.train_spec, self.views[:1], photos.mirror, settings.seed, settings.augment, grounds)

    @property
    def as_seen(self) -> ViewMaker:
        """Of photos as the device sees them."""
        return replace(self.as_trained, spec=self.spec)

    def backbone(self) -> JsonObject:
        """What the frozen part's maps depend on; JSON."""
        return backbone_key(self.architecture, self.alpha, self.weights.sha256, self.train_spec)

    def network(self, spec: InputSpec) -> "keras.Model":
        """The network before training, for pictures of a size."""
        labels, dropout = len(self.photos.labels), self.settings.dropout
        return build(spec, labels, self.alpha, self.weights, self.architecture, dropout)

    def to_json(self) -> JsonObject:
        """A call with an equal one may go on with what another left."""
        return {
            "version": metadata.version("edge-mobilenet"),
            "settings": asdict(self.settings),
            **self.backbone(),
            "labels": self.photos.labels,
            "mirror": self.photos.mirror,
            "teacher": self.teacher and teacher_sha256(self.teacher),
            "splits": {split: fingerprint(members) for split, members in self.photos.splits.items()},
            "input": list(self.spec.shape),
            "grounds": fingerprint(self.as_seen.grounds),
            "float16": gpus()[1],  # its optimizer keeps more
        }


@dataclass(frozen=True)
class Fitted:
    """What `fit` did; everything else is in the run folder.

    Attributes:
        folder: The run folder.
        card: Model card in the run folder.
        history: Training history, epoch by epoch.
        unusable: Photos that could not be decoded.
        verdict: Whether it is good to use, in one sentence; empty where another process wrote the folder.
        written_by: Address of the worker that wrote the folder, if that is not this process.
    """

    folder: Path
    card: ModelCard
    history: list[Epoch]
    unusable: list[Unusable]
    written_by: str = ""
    verdict: str = ""


@dataclass(frozen=True)
class FitOptions:
    """How `fit` trains, and from what.

        FitOptions(InputSpec(160, 160), find_weights("imagenet", 1.0, 160, cache), cache, settings=Settings(qat=True))

    Attributes:
        spec: What the model shall take.
        weights: Weights to start from, as `pretrained.find_weights` returns them.
        cache: Where feature maps are kept for other runs.
        alpha: Width multiplier, which the weights must have been trained with.
        architecture: One of `architectures.ARCHITECTURES`.
        settings: Settings of the recipe.
        teacher: A trained run with the same labels to learn from, too.
        tensorboard: Whether the run folder gets what TensorBoard shows.
    """

    spec: InputSpec
    weights: Weights
    cache: Path
    alpha: float = 1.0
    architecture: Architecture = DEFAULT
    settings: Settings = field(default_factory=Settings)
    teacher: Run | None = None
    tensorboard: bool = False


def fit(
    photos: PhotoSet,
    out: Path,
    options: FitOptions | None = None,
    *,
    track: Track = silently,
    say: Say = lambda line: None,
    **fields: object,
) -> Fitted:
    """Trains a classifier and writes its run folder, whole or not at all.

    Interrupted at any moment, the same call goes on after the last epoch. It uses every visible GPU, and other machines
    if `TF_CONFIG` names them: each makes the same call, and the first of them writes the run folder.

    Args:
        photos: Photos to train, validate and test on.
        out: The run folder to write; must not exist.
        options: How it is trained, and from what.
        track: Receives the progress of each step.
        say: Is told, a line each, what it runs on and what to look at.
        fields: Fields of `FitOptions`, in place of `options`: deprecated, and gone with version 1.0.

    Raises:
        WeightsError: The weights do not fit.
        DatasetError: Too few of the photos can be decoded.
        RunFolderError: The teacher has other labels, or has seen the test photos.
        OutputError: `out` is there already, is being written by another process, or cannot be written.
        SettingsError: The network cannot be trained so, or `TF_CONFIG` cannot be understood.
        WorkerLostError: Another machine is gone; the same call goes on.
    """
    options = _given(options, fields)
    worker = read_worker()
    request = _request(photos, options, say)
    began = time.perf_counter()
    with CheckpointStore(out, request.to_json(), worker.suffix if worker else "") as store, ExitStack() as opened:
        if store.newest() is not None and out.exists():  # killed between the last two steps
            return Fitted(out, read_run(out).card, [], [])
        require_free(out)
        if worker:
            opened.enter_context(lost_workers())
        devices, alone = _devices(worker, store, request)
        say(in_words(devices))
        counts = [photos.counts[split] for split in SPLITS]
        unequal = imbalance_warning({label: sum(part[label] for part in counts) for label in photos.labels})
        for warning in filter(None, (unused_gpu(), unequal)):
            say(f"warning: {warning}")
        if alone and not devices.chief:
            return _written_elsewhere(out, devices, [], [])
        state = _newest_state(store)
        history = History(began, read_history(state) if state else None)
        todo = _phases_left(request.settings, state)
        # Maps of random weights are of no use to another run.
        folder = (options.cache if options.weights.sha256 else store.folder) / "features"
        if history.epochs:
            say(f"going on after epoch {len(history.epochs) - 1}, where the training before was interrupted")
        opened.enter_context(_told_where_it_goes_on(store, say))
        extractor = opened.enter_context(
            Extractor(folder, request.backbone(), photos.labels, request.as_trained, track)
        )
        context = _prepare(request, devices, extractor, history, state, track)
        context = replace(context, curve=_kept_curve(store, context.curve))
        if context.curve is not None:
            say(context.curve.sentence())
        if context.settings.epochs == 0 != request.settings.epochs:
            say(
                f"with {len(photos.splits['train'])} photos to train on, fine-tuning would take away more than it "
                f"gives: the last layer alone is trained (--epochs {EPOCHS} fine-tunes all the same)"
            )
        if context.architecture.seam != request.architecture.seam:
            say(
                "the network as it was trained before hardly tells these classes apart: "
                f"fine-tuning begins earlier, behind {context.architecture.seam}"
            )
        if options.teacher is not None:
            context = _with_teacher(context, request, options.teacher, options.cache / "features", opened, track)
        todo = _phases_left(context.settings, state)
        context, quantized = _train(todo, context, history, store, state, track)
        if not devices.chief:
            return _written_elsewhere(out, devices, history.epochs, context.unusable)
        fitted = _test_and_write(out, request, context, quantized, history, options.tensorboard, track)
        if worse := _worse_at_its_size(request, fitted):
            say(f"warning: {worse}")
        devices.told(fitted.card.to_text())
    return fitted


def _given(options: FitOptions | None, fields: Mapping[str, object]) -> FitOptions:
    """The options of a call of `fit`, also of one as version 0.1 had it."""
    if options is not None and not fields:
        return options
    if options is not None:
        raise TypeError(f"fit takes no {', '.join(fields)} beside FitOptions, which have it")
    warnings.warn(
        "fit(photos, out, FitOptions(...)) takes the place of fit(photos, out, spec=...)", DeprecationWarning, 3
    )
    # None stood for the default.
    return FitOptions(**{name: value for name, value in fields.items() if value is not None})  # type: ignore[arg-type]


def _request(photos: PhotoSet, options: FitOptions, say: Say) -> Request:
    """What is to be done, with the settings and the split layer that the network and its weights allow."""
    settings, architecture = options.settings, options.architecture
    if settings.epochs is None and (options.teacher is not None or not options.weights.sha256):
        settings = replace(settings, epochs=EPOCHS)  # measured without a teacher, and with features that are worth it
    if not options.weights.sha256:
        settings = replace(settings, remember=0.0)  # random features are not worth it
    check_settings(settings, architecture)
    if settings.train_size > options.spec.width:
        raise SettingsError(
            f"--train-size {settings.train_size} is larger than the input of {options.spec.width} pixels; state a "
            "larger --image-size, or leave it out"
        )
    if architecture.frozen and settings.epochs != 0:
        settings = replace(settings, epochs=0)
        say(f"{architecture.name} is frozen: its last layer alone is trained")
    if settings.fine_tune_from:
        random = Weights("none (random)")
        model = build(options.spec, len(photos.labels), options.alpha, random, architecture)
        seam = find_split_layer(model, settings.fine_tune_from)
        architecture = replace(architecture, seam=seam)
        say(f"fine-tuning what is behind {seam}")
    if options.teacher is not None:
        check_teacher(options.teacher, photos.labels, photos.splits["test"])
    return Request(photos, options.spec, options.weights, options.alpha, architecture, settings, options.teacher)


@contextmanager
def _told_where_it_goes_on(store: CheckpointStore, say: Say) -> Iterator[None]:
    """Says on Ctrl-C what the same call will do. A step that takes more than a second is not waited for: this process
    is killed then, and the one that watches it says what was noted."""
    note_advice(_where_it_goes_on(store))
    try:
        yield
    except KeyboardInterrupt:
        say(_where_it_goes_on(store))
        raise
    finally:
        note_advice("")


def _where_it_goes_on(store: CheckpointStore) -> str:
    newest = store.newest()
    return f"the same command goes on after epoch {newest[0]}" if newest else "the same command begins anew"


def _prepare(
    request: Request, devices: Devices, extractor: Extractor, history: History, state: Path | None, track: Track
) -> TrainingContext:
    """Network, maps and head: what is there before the first phase, or was there before the one that `state` is of."""
    photos, settings, views = request.photos, request.settings, request.views
    keras.utils.set_random_seed(settings.seed)
    model = tracked(track, "Building the network", lambda: request.network(request.train_spec))
    architecture = request.architecture
    parts = cut(model, architecture)
    besides = {FEATURES: uncut(model).pooled}
    maps = extractor.through(parts.lower, besides | _deeper(request, model))
    features = partial(_features_of, extractor.through(besides[FEATURES], seam=FEATURES))
    val = maps("the validation photos", photos.splits["val"], views[:1])
    train = maps("the training photos", photos.splits["train"], views[:HEAD_VIEWS])
    _require_every_label(photos.labels, train, "train")
    _require_every_label(photos.labels, val, "validate")
    _require_same_photos(devices, train, val)
    importance = photo_weights(train.targets, settings.class_weights)
    if state is None:
        shown, view, values = _head_rows(features(train.photos, views[:HEAD_VIEWS]), settings.seed)
        head = tracked(
            track,
            "Solving the head",
            lambda: solve_head(values, train.targets[shown], len(photos.labels), importance[shown]),
        )
        set_head(model, *head)
        history.mark()  # views for fine-tuning are made before it is scored
        known = _features(train, shown, values).take(np.flatnonzero(view == 0))
        curve = _learning_curve(known, features(val.photos, views[:1]), request, track)
        head_accuracy = _head_accuracy(parts, val, curve, devices)
        depth = depth_for(architecture, settings, len(train.photos), len(photos.labels), head_accuracy)
    else:  # not decided anew: behind the earlier layer the same head may have one photo more right
        curve, depth = None, _decided(state, architecture)
    if depth == "deep":
        architecture, settings = replace(architecture, seam=architecture.deep_seam), deep_settings(settings)
        parts = cut(model, architecture)
        maps = extractor.through(parts.lower, besides, seam=architecture.seam)
        lower_val = maps("the validation photos up to an earlier layer", val.photos, views[:1])
        lower_train = maps("the training photos up to an earlier layer", train.photos, views[:HEAD_VIEWS])
        # These photos are the ones that could be decoded; which could not, the first maps know.
        val = replace(lower_val, unusable=val.unusable)
        train = replace(lower_train, unusable=train.unusable)
    else:
        settings = head_settings(settings) if depth == "head" else usual_settings(settings)
        maps = extractor.through(parts.lower, besides)  # those of the deep seam will not be needed
    if views[HEAD_VIEWS:] and any(phase.epochs for phase in _phases_left(settings, state)):
        train = train.with_views(maps("augmented training photos", train.photos, views[HEAD_VIEWS:]))
    before = features(train.photos, views[: train.rows.shape[1]])
    if state is not None:  # features of other weights than the pretrained ones must not get into the cache
        with np.load(state / BASE_FILE, allow_pickle=False) as base:
            model.set_weights([base[name] for name in base.files])
    targets = TrainingTargets(train, importance)
    return TrainingContext(model, parts, architecture, settings, devices, extractor, targets, val, before, curve)


def _deeper(request: Request, model: "keras.Model") -> "dict[str, keras.Model]":
    """Pixels to maps of the deep seam, which are kept where the head decides whether they are needed and there are not
    too many."""
    architecture, photos = request.architecture, request.photos
    members = [len(photos.splits[split]) for split in ("train", "val")]
    views = members[0] * len(request.views[:HEAD_VIEWS]) + members[1]
    deepest = depth_for(architecture, request.settings, members[0], len(photos.labels), head_accuracy=0.0)
    if views > DEEP_VIEWS or deepest != "deep":
        return {}
    seam = architecture.deep_seam
    return {seam: cut(model, replace(architecture, seam=seam)).lower}


def _head_accuracy(parts: Parts, val: Maps, curve: LearningCurve, devices: Devices) -> float:
    """Of the solved head as the first machine has it: cross-validated where photos are few, else on the validation
    photos."""
    if curve.cross_validated is not None:
        share = curve.cross_validated.value
    else:
        share = float((map_scores(compiled(parts.upper, tf.float16), val).argmax(axis=1) == val.targets).mean())
    return float(devices.agreed(np.array([share]))[0])


def _decided(state: Path, architecture: Architecture) -> Depth:
    """How much of the network is trained, by a saved state."""
    if (state / SEAM_FILE).read_text() != architecture.seam:
        return "deep"
    return "usual" if int((state / EPOCHS_FILE).read_text()) else "head"


def _with_teacher(
    context: TrainingContext, request: Request, teacher: Run, folder: Path, opened: ExitStack, track: Track
) -> TrainingContext:
    """Targets in which a teacher has a say."""
    targets, settings = context.targets, request.settings
    maker = replace(request.as_trained, numbers=request.views[: targets.maps.rows.shape[1]])
    cache, taught = taught_scores(teacher, targets.maps.photos, maker, folder, track)
    opened.enter_context(cache)
    teach: Teach = lambda photos, views: taught.read(photos, views).astype(np.float32)
    taught_by = replace(targets, teach=teach, share=settings.teacher_weight, temperature=settings.temperature)
    return replace(context, targets=taught_by)


def _train(
    todo: list[Phase],
    context: TrainingContext,
    history: History,
    store: CheckpointStore,
    state: Path | None,
    track: Track,
) -> tuple[TrainingContext, "keras.Model | None"]:
    """Goes through the phases, the first of them from `state` on if there is one.

    Returns:
        What there is now, and the network for 8 bits, if asked for.
    """
    quantized: keras.Model | None = None
    for phase in todo:
        if phase.name != TOGETHER and not context.devices.chief:
            break
        # Saved with every state: a phase that goes on is planned anew, from the weights that it began with.
        base = context.model.get_weights()
        planned = plan(phase, context)
        tuner = FineTuner(
            planned.student, phase, planned.targets, planned.val, context.settings, history, planned.devices
        )
        if state is not None:
            tuner.restore(state)
            state = None
        elif phase.start:
            tracked(track, "Scoring the validation photos", tuner.start)
            _save(store, tuner, history, base, context)
        while not tuner.done:
            tuner.train_epoch(track)
            _save(store, tuner, history, base, context)
        tuner.keep_best()
        planned.finish()
        quantized = quantized or planned.quantized
        if planned.parts:
            context = replace(context, parts=planned.parts, val=planned.val)
    return context, quantized


def _save(
    store: CheckpointStore, tuner: FineTuner, history: History, base: list[Array], context: TrainingContext
) -> None:
    """Saves the state after the last epoch of the history, of a phase that began with the weights `base`."""

    def write(folder: Path) -> None:
        tuner.save(folder)
        np.savez(folder / BASE_FILE, *base)
        (folder / PHASE_FILE).write_text(tuner.phase.name)
        (folder / SEAM_FILE).write_text(context.architecture.seam)
        (folder / EPOCHS_FILE).write_text(str(context.settings.epochs))

    store.save(len(history.epochs) - 1, write)
    note_advice(_where_it_goes_on(store))


def _newest_state(store: CheckpointStore) -> Path | None:
    newest = store.newest()
    return newest[1] if newest else None


def _phases_left(settings: Settings, state: Path | None) -> list[Phase]:
    """Phases from that on which a state is of."""
    todo = [phase for phase in phases(settings) if phase.epochs or phase.start]
    while state is not None and todo[0].name != (state / PHASE_FILE).read_text():
        del todo[0]
    return todo


def _as_it_runs(request: Request, trained: "keras.Model") -> "keras.Model":
    """The trained network for pictures of the size that the device gives it."""
    if request.train_spec == request.spec:
        return trained
    model = request.network(request.spec)
    model.set_weights(trained.get_weights())
    return model


def _worse_at_its_size(request: Request, fitted: Fitted) -> str:
    """That the network names fewer validation photos rightly at the size that it runs at than as it was trained; empty
    if it does not."""
    found = fitted.card.metrics["val_accuracy"].value
    trained = next(epoch.val_accuracy for epoch in reversed(fitted.history) if epoch.kept)
    if request.train_spec == request.spec or found >= trained:
        return ""
    return (
        f"of the validation photos it names {100 * found:.1f} % rightly at {request.spec.width} pixels, and "
        f"{100 * trained:.1f} % at {request.train_spec.width}, as it was trained: leave --train-size out"
    )


def _val_accuracy(
    request: Request, context: TrainingContext, run: tf.types.experimental.GenericFunction, track: Track
) -> Estimate:
    """On the validation photos, of which there are maps if the network runs at the size that it was trained at."""
    val, label = context.val, "Scoring the validation photos"
    if request.train_spec == request.spec:
        scores = tracked(track, label, lambda: map_scores(compiled(context.parts.upper, tf.float16), val))
        return accuracy(scores.argmax(axis=1) == val.targets)
    seen = predict_photos(run, val.photos, request.as_seen, "validation", track)
    targets = np.array([request.photos.labels.index(photo.label) for photo in seen.photos])
    return accuracy(seen.scores.argmax(axis=1) == targets)


def _test_and_write(
    out: Path,
    request: Request,
    context: TrainingContext,
    quantized: "keras.Model | None",
    history: History,
    tensorboard: bool,
    track: Track,
) -> Fitted:
    """Reads the test photos for the first time, and writes the run folder."""
    photos, model, parts = request.photos, _as_it_runs(request, context.model), context.parts
    train, val, as_seen = context.targets.maps, context.val, request.as_seen
    run = compiled(model, tf.uint8)
    val_accuracy = _val_accuracy(request, context, run, track)
    tested = predict_photos(run, photos.splits["test"], as_seen, "test", track)
    splits: dict[Split, list[Photo]] = {"train": train.photos, "val": val.photos, "test": tested.photos}
    sizes = subject_sizes(tested.photos, photos.labels, request.spec, lambda pixels: run(pixels).numpy(), track)
    evaluation = replace(evaluate_scores(tested.scores, tested.photos, photos.labels), subject_sizes=sizes)
    card = ModelCard(
        labels=photos.labels,
        input=request.spec,
        backbone=Backbone(request.architecture.name, request.alpha, request.weights.source, request.weights.sha256),
        dataset=Dataset(
            photos.name,
            {split: label_counts(members, photos.labels) for split, members in splits.items()},
            fingerprint([photo for members in splits.values() for photo in members]),
            photos.split_seed,
        ),
        metrics={
            "test_accuracy": evaluation.accuracy,
            "test_balanced_accuracy": evaluation.balanced_accuracy,
            "val_accuracy": val_accuracy,
        },
        training={
            **asdict(context.settings),
            "mirror": photos.mirror,
            "teacher": request.teacher.folder.name if request.teacher else "",
            "split_layer": context.architecture.seam,
            "zero_weights": round(zero_share(model), 4),
            "seconds": round(history.seconds, 1),
        },
        versions={name: metadata.version(name) for name in ("edge-mobilenet", "tensorflow", "tf-keras", "numpy")},
    )

    def write(beside: Path) -> None:
        model.save(beside / MODEL_FILE)
        write_scores(beside, tested.names, tested.scores)
        if quantized is not None:
            quantized.save(beside / QUANTIZED_FILE)
        (beside / "checkpoints").mkdir()
        parts.upper.save_weights(beside / "checkpoints" / "kept.weights.h5")
        (beside / CARD_FILE).write_text(card.to_text(), "utf-8")
        write_photos(beside, splits, request.photos.negatives)
        write_history(beside / "history.csv", history.epochs)
        _write_predictions(beside / "predictions.csv", evaluation)
        if tensorboard:
            write_scalars(beside / "tensorboard", history.epochs)
        shown = train.photos[:: max(1, len(train.photos) // SAMPLES)][:SAMPLES]
        as_trained = view_photos(shown, replace(request.as_trained, numbers=request.views))
        shown_labels = [photo.label for photo in shown]
        write_run_report(
            beside, card, history.epochs, evaluation, as_trained, shown_labels, context.curve, request.photos
        )

    with folder_written_whole(out) as beside:
        tracked(track, "Writing the run folder and its report", lambda: write(beside))
    return Fitted(out, card, history.epochs, [*context.unusable, *tested.unusable], verdict=verdict(evaluation))


def _devices(worker: Worker | None, store: CheckpointStore, request: Request) -> tuple[Devices, bool]:
    """Where to train, and whether what is left is for the chief alone. The newest state is then that to go on from."""
    float16 = bool(request.weights.sha256) and not request.settings.float32
    if worker is None:
        return find_devices(None, float16), False
    states = {number: (path / PHASE_FILE).read_text() for number, path in sorted(store.states().items())}
    alone = next((number for number in reversed(states) if states[number] != TOGETHER), None)
    together = [number for number, name in states.items() if name == TOGETHER]
    agreement = meet(worker, {**request.to_json(), "gpus": gpus()}, together, alone)
    store.forget_after(agreement.state)
    return find_devices(worker, float16), agreement.alone


def _written_elsewhere(out: Path, devices: Devices, history: list[Epoch], unusable: list[Unusable]) -> Fitted:
    """Waits for the chief to write the run folder."""
    assert devices.worker is not None
    with ended_at_once():  # what this worker had to do is done
        card = ModelCard.from_text(devices.told(""))
    return Fitted(out, card, history, unusable, written_by=devices.worker.addresses[0])


def _require_same_photos(devices: Devices, *maps: Maps) -> None:
    counts = np.array([len(part.photos) for part in maps], np.int64)
    if (devices.agreed(counts) != counts).any():
        raise DatasetError("other photos than on the first machine can be decoded here; compare both with inspect")


def _require_every_label(labels: tuple[str, ...], maps: Maps, purpose: str) -> None:
    missing = set(labels) - {photo.label for photo in maps.photos}
    if missing:
        first = f"; {maps.unusable[0].path}: {maps.unusable[0].reason}" if maps.unusable else ""
        raise DatasetError(f"of the class {min(missing)!r} no photo to {purpose} on can be decoded{first}")


def _features_of(
    through: Callable[[str, Sequence[Photo], Sequence[int]], Maps], photos: Sequence[Photo], views: Sequence[int]
) -> Maps:
    """Features of photos that have been decoded before. They were kept then, unless by a version that kept maps alone.

    Raises:
        DatasetError: A photo cannot be decoded any more.
    """
    found = through("photos whose features were not kept", photos, views)
    for item in found.unusable:
        raise DatasetError(f"{item.path} could be decoded before, and cannot now: {item.reason}")
    return found


def _head_rows(features: Maps, seed: int) -> tuple[Positions, Positions, Array]:
    """Photos by position, the view of each, and its features, that the head is solved on."""
    photos, views = features.rows.shape
    chosen = np.arange(photos * views)
    if len(chosen) > HEAD_ROWS:
        # Sorted, since rows of the cache lie on the disk in this order.
        chosen = np.sort(np.random.default_rng(seed).choice(chosen, HEAD_ROWS, replace=False))
    shown, view = np.divmod(chosen, views)
    return shown, view, features.read(shown, view).astype(np.float32)


def _features(maps: Maps, photos: Positions, values: Array) -> Features:
    """Features of photos by position."""
    return Features(values, maps.targets[photos], tuple(maps.photos[photo].group for photo in photos.tolist()))


def _learning_curve(known: Features, val: Maps, request: Request, track: Track) -> LearningCurve:
    """Whether more photos would help, judged on the features of the validation photos; cross-validated where few are
    there to test on."""
    photos = np.arange(len(val.photos))
    judged = _features(val, photos, val.read(photos).astype(np.float32))
    few = len(request.photos.splits["test"]) < FEW_TESTED or len(known.targets) < FEW_PHOTOS
    labels = len(request.photos.labels)
    return learning_curve(known, judged, labels, request.settings.seed, cross_validate=few, track=track)


def _kept_curve(store: CheckpointStore, curve: LearningCurve | None) -> LearningCurve | None:
    """Keeps a curve for a training that is interrupted; what was kept if there is none, since the head is trained by
    now."""
    file = store.folder / CURVE_FILE
    if curve is not None:
        file.write_text(json.dumps(curve.to_json()), "utf-8")
        return curve
    return LearningCurve.from_json(json.loads(file.read_text("utf-8"))) if file.is_file() else None


def _write_predictions(path: Path, evaluation: Evaluation) -> None:
    # Paths need not be UTF-8: with surrogateescape their bytes are written as they are.
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "label_score", "predicted", "predicted_score"])
        rows: list[tuple[object, ...]] = [
            (item.path, item.label, f"{item.label_score:.4f}", item.predicted, f"{item.predicted_score:.4f}")
            for item in evaluation.worst_first()
        ]
        writer.writerows(rows)

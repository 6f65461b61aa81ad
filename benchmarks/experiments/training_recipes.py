"""Does another recipe of fine-tuning pay? Each is trained on the same splits as the default, and compared pair by pair.

    python benchmarks/experiments/training_recipes.py DATA [RECIPE...] [--seeds 1,2,3] [--size 160] [--backbone NAME]

A recipe is a list of changes to the default, `fine_tune_from=block_9_add,learning_rate=2e-4`: any setting of
`edge_train.settings.Settings`, and those of `Trial`. `default` is the recipe without a change and comes first.
`epochs=0` is the linear head, `tutorial` the recipe of TensorFlow's tutorial. With `--per-class 5,10,20 --draws 3` all
are trained on the same few photos, drawn anew each time, and judged on every other of the photos left. The table is
printed after each draw, so that a long run may be ended early.
All train for their full number of epochs, without a look at the validation photos, so that validation and test photos
together are judged. Prints a line per split and recipe, then means, and means and standard errors of the paired
differences to the first recipe.
"""

import argparse
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields, replace
from itertools import product

import numpy as np
import numpy.typing as npt

from edge_core.preprocess import InputSpec
from edge_device.system.user_folders import cache_folder
from edge_keras.models.architectures import ARCHITECTURES, Architecture
from edge_keras.models.backbone import Parts, build, cut, set_head, uncut
from edge_keras.models.pretrained import find_weights
from edge_keras.models.split_layer import find_split_layer
from edge_keras.tf import keras, tf
from edge_train.data.augment import ViewMaker
from edge_train.data.dataset import open_photos
from edge_train.settings import Settings, phases, usual_settings
from edge_train.training.feature_cache import FeatureCache
from edge_train.training.features import FEATURES, Extractor, Maps, backbone_key, compiled, map_scores
from edge_train.training.fine_tune import FineTuner, History, TrainingTargets, remembering, with_dropout
from edge_train.training.solved_head.head import solve_head

LOWEST = {"mobilenet_v2": "block_5_add", "efficientnet_lite0": "block_4_add"}
"""Where maps are kept on disk; recipes are cut there or further up."""

TUTORIAL_SEAM = "block_10_project_BN"
"""The tutorial trains from the 100th layer on, `block_11_expand_relu`; this is three layers before it."""


class Held(FeatureCache):
    """Maps in memory."""

    def __init__(self, held: npt.NDArray[np.float16]) -> None:
        self.held = held
        self.shape = held.shape[1:]

    def read(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float16]:
        return self.held[rows]


@dataclass(frozen=True)
class Trial:
    """A recipe.

    Attributes:
        settings: Settings of the product.
        average: Decay per step of an average of the weights, which is judged as well; 0 for none.
        held: Whether the validation photos are trained on, too; then the test photos alone are judged.
        tutorial: Whether it is the recipe of TensorFlow's tutorial.
    """

    settings: Settings
    average: float = 0.0
    held: bool = False
    tutorial: bool = False


def parsed(text: str) -> Trial:
    if text == "tutorial":
        return Trial(Settings(), tutorial=True)
    usual = usual_settings(Settings())  # what `fit` decides by the photos is decided here: all epochs
    kinds = {field.name: type(getattr(usual, field.name)) for field in fields(Settings)}
    changes = dict(change.split("=") for change in text.removeprefix("default").split(",") if change)
    average, held = float(changes.pop("average", "0")), changes.pop("held", "") == "1"
    return Trial(replace(usual, **{name: kinds[name](value) for name, value in changes.items()}), average, held)


def together(one: Maps, other: Maps) -> Maps:
    """Photos of both; of the second those views that there are."""
    views = min(one.rows.shape[1], other.rows.shape[1])
    return replace(
        one,
        rows=np.vstack([one.rows[:, :views], other.rows[:, :views]]),
        targets=np.concatenate([one.targets, other.targets]),
        photos=[*one.photos, *other.photos],
    )


def first_view(maps: Maps) -> Maps:
    return replace(maps, rows=maps.rows[:, :1])


class Split:
    """One dataset, split with one seed, its maps at the lowest seam in memory."""

    def __init__(self, data: str, seed: int, size: int, architecture: Architecture, views: int, held: bool) -> None:
        self.architecture = architecture
        self.photos = open_photos(data, seed=seed, cache=cache_folder())
        self.spec = InputSpec(size, size)
        self.weights = find_weights("imagenet", alpha=1.0, size=size, cache=cache_folder(), architecture=architecture)
        self.lowest = replace(architecture, seam=LOWEST[architecture.name])
        model = self.built(0.2)
        maker = ViewMaker(self.spec, (0,), self.photos.mirror, 1)
        key = backbone_key(self.lowest, 1.0, self.weights.sha256, self.spec)
        with ExitStack() as opened:
            maps = opened.enter_context(Extractor(cache_folder() / "features", key, self.photos.labels, maker)).through(
                cut(model, self.lowest).lower
            )
            numbers = range(views)
            parts = [maps("training", self.photos.splits["train"], (0, 1))]
            parts += [maps("validation", self.photos.splits["val"], (0, 1) if held else (0,))]
            parts += [maps("test", self.photos.splits["test"], (0,))]
            for place in (0, 1) if held else (0,):
                if views > 2:
                    parts[place] = parts[place].with_views(maps("views", parts[place].photos, numbers[2:]))
            self.maps = {self.lowest.seam: loaded(parts)}
        self.models: dict[float, tuple[keras.Model, list[npt.NDArray[np.float32]]]] = {}

    def built(self, dropout: float) -> "keras.Model":
        labels = len(self.photos.labels)
        return build(self.spec, labels, 1.0, self.weights, self.architecture, dropout)

    def judged(self, trial: Trial, few: tuple[int, int] = (0, 0)) -> "list[Judged]":
        """What a recipe gives, and with averaged weights once more; `few` photos of a class, and the draw of them."""
        settings = trial.settings
        keras.utils.set_random_seed(settings.seed)
        model = self.fresh(settings.dropout)
        seam = TUTORIAL_SEAM if trial.tutorial else self.architecture.seam
        if settings.fine_tune_from:
            seam = find_split_layer(model, settings.fine_tune_from)
        parts = cut(model, replace(self.architecture, seam=seam))
        train, val, test = self.maps_at(model, seam)
        train = replace(train, rows=train.rows[:, : settings.views])
        judged = [test] if trial.held else [test, val]
        train = together(train, val) if trial.held else train
        if few[0]:
            train = drawn(train, *few)
            judged = [every_other(maps) for maps in judged]
        features = replace(train, cache=self.maps_at(model, FEATURES)[0].cache)  # rows are the same
        began = time.perf_counter()
        if trial.tutorial:
            train_as_in_tutorial(parts, train)
            return [self.judge(parts, judged, began)]
        photos = np.arange(len(train.photos))
        known = np.concatenate([features.read(photos, view) for view in (0, 1)]).astype(np.float32)
        set_head(model, *solve_head(known, np.tile(train.targets, 2), len(self.photos.labels)))
        averaged = parts.upper.trainable_weights
        mean = [weight.numpy().astype(np.float64) for weight in averaged]
        if settings.epochs:
            targets = TrainingTargets(train, np.ones(len(train.photos), np.float32))
            targets = remembering(targets, features, settings.remember)
            phase = replace(phases(settings)[0], patience=None)
            student = with_dropout(parts)

            def before(step: int) -> None:
                decay = min(trial.average, (1 + step) / (10 + step))
                for number, weight in enumerate(averaged):
                    mean[number] += (1 - decay) * (weight.numpy() - mean[number])

            if trial.average:
                student = replace(student, before_step=before)
            tuner = FineTuner(student, phase, targets, taken(test, 32), settings, History(began))
            tuner.start()
            while not tuner.done:
                tuner.train_epoch()
        found = [self.judge(parts, judged, began)]
        if trial.average:
            for weight, value in zip(averaged, mean, strict=True):
                weight.assign(value.astype(np.float32))
            found.append(self.judge(parts, judged, began))
        return found

    def fresh(self, dropout: float) -> "keras.Model":
        """The network before training; built once for each dropout."""
        if dropout not in self.models:
            model = self.built(dropout)
            self.models[dropout] = model, model.get_weights()
        model, weights = self.models[dropout]
        model.set_weights(weights)
        return model

    def maps_at(self, model: "keras.Model", seam: str) -> list[Maps]:
        """Maps of training, validation and test photos at a seam, or their features, computed once."""
        if seam not in self.maps:
            made = uncut(model).pooled.output if seam == FEATURES else model.get_layer(seam).output
            lift = keras.Model(model.get_layer(self.lowest.seam).output, made)
            self.maps[seam] = lifted(lift, self.maps[self.lowest.seam])
        return self.maps[seam]

    def judge(self, parts: Parts, judged: list[Maps], began: float) -> "Judged":
        seconds, run = time.perf_counter() - began, compiled(parts.upper, tf.float16)
        found = [right(run, maps) for maps in judged]
        return Judged(found, worst(found[0], judged[0], self.photos.labels), seconds)


def train_as_in_tutorial(parts: Parts, train: Maps) -> None:
    """As TensorFlow's tutorial on transfer learning and fine-tuning does it, on photos as seen and mirrored.

    Ten epochs of Adam at 1e-4 for a new last layer, ten of RMSprop at 1e-5 for everything behind the seam. Its rotated
    views are left out: they would have to go through the whole network in each epoch.
    """
    *layers, last = parts.upper.layers
    last.set_weights([keras.initializers.GlorotUniform()(last.kernel.shape).numpy(), np.zeros(last.bias.shape)])
    photos = np.arange(len(train.photos))
    maps = np.concatenate([train.read(photos, view) for view in (0, 1)]).astype(np.float32)
    targets = np.tile(train.targets, 2)
    rng = np.random.default_rng(len(photos))
    trainable = [layer.trainable for layer in layers]
    for optimizer, frozen in ((keras.optimizers.Adam(1e-4), True), (keras.optimizers.RMSprop(1e-5), False)):
        for layer, may in zip(layers, trainable, strict=True):
            layer.trainable = may and not frozen
        parts.upper.compile(optimizer, "sparse_categorical_crossentropy")
        for _ in range(10):
            view = rng.integers(0, 2, len(photos))
            chosen = rng.permutation(photos + view * len(photos))
            parts.upper.fit(maps[chosen], targets[chosen], batch_size=32, verbose=0)


@dataclass(frozen=True)
class Judged:
    """Whether each test photo, and each validation photo if they were not trained on, was named rightly."""

    right: list[npt.NDArray[np.bool_]]
    worst: str
    seconds: float


def right(run: object, maps: Maps) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = map_scores(run, maps).argmax(axis=1) == maps.targets
    return found


def worst(found: npt.NDArray[np.bool_], maps: Maps, labels: Sequence[str]) -> str:
    """The lowest recall of a class."""
    recall = {label: 100 * float(found[maps.targets == number].mean()) for number, label in enumerate(labels)}
    label = min(labels, key=lambda name: recall[name])
    return f"{label} {recall[label]:.1f} %"


def drawn(maps: Maps, per_class: int, draw: int) -> Maps:
    """So many photos of each class, drawn by lot."""
    rng = np.random.default_rng([draw, per_class])
    classes = range(int(maps.targets.max()) + 1)
    chosen = np.concatenate([rng.permutation(np.flatnonzero(maps.targets == one))[:per_class] for one in classes])
    photos = [maps.photos[photo] for photo in chosen]
    return replace(maps, rows=maps.rows[chosen], targets=maps.targets[chosen], photos=photos)


def every_other(maps: Maps) -> Maps:
    return replace(maps, rows=maps.rows[::2], targets=maps.targets[::2], photos=maps.photos[::2])


def taken(maps: Maps, count: int) -> Maps:
    return replace(maps, rows=maps.rows[:count], targets=maps.targets[:count], photos=maps.photos[:count])


def loaded(parts: list[Maps]) -> list[Maps]:
    """The same maps in memory, all in one array."""
    held = Held(np.concatenate([maps.cache.read(maps.rows.ravel()) for maps in parts]))
    starts = np.cumsum([0] + [maps.rows.size for maps in parts[:-1]])
    rows = [
        start + np.arange(maps.rows.size).reshape(maps.rows.shape) for start, maps in zip(starts, parts, strict=True)
    ]
    return [replace(maps, cache=held, rows=numbers) for maps, numbers in zip(parts, rows, strict=True)]


def lifted(lift: "keras.Model", parts: list[Maps]) -> list[Maps]:
    """Maps at a seam further up."""
    run, cache = compiled(lift, tf.float16), parts[0].cache
    assert isinstance(cache, Held)
    rows = cache.held
    made = [run(rows[first : first + 64]).numpy().astype(np.float16) for first in range(0, len(rows), 64)]
    held = Held(np.concatenate(made))
    return [replace(maps, cache=held) for maps in parts]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("recipes", nargs="*", default=["default"])
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument("--backbone", default="mobilenet_v2")
    parser.add_argument("--per-class", default="0", help="train on so many photos of each class: 5,10,20")
    parser.add_argument("--draws", type=int, default=1, help="how often they are drawn from each split")
    options = parser.parse_args()
    trials = {text: parsed(text) for text in options.recipes}
    counts = [int(count) for count in options.per_class.split(",")]
    found: dict[int, dict[str, list[Judged]]] = {}
    for seed in map(int, options.seeds.split(",")):
        views = max(trial.settings.views for trial in trials.values())
        held = any(trial.held for trial in trials.values())
        split = Split(options.data, seed, options.size, ARCHITECTURES[options.backbone], views, held)
        for draw, count in product(range(options.draws), counts):
            for text, trial in trials.items():
                seeded = replace(trial, settings=replace(trial.settings, seed=seed))
                for name, one in zip((text, f"{text} averaged"), split.judged(seeded, (count, draw)), strict=False):
                    found.setdefault(count, {}).setdefault(name, []).append(one)
                    parts = " and ".join(f"{100 * part.mean():.2f} % of {len(part)}" for part in one.right)
                    some = f"{count} a class, draw {draw}, " if count else ""
                    print(
                        f"seed {seed}, {some}{name}: {parts}, lowest recall {one.worst}, {one.seconds:.0f} s",
                        flush=True,
                    )
            if count == counts[-1]:
                tabulate(found)


def tabulate(found: dict[int, dict[str, list[Judged]]]) -> None:
    """Prints for each number of photos what there is so far."""
    for count, trained in found.items():
        if count:
            print(f"{count} photos a class, {len(next(iter(trained.values())))} draws:")
        report(trained)


def report(found: dict[str, list[Judged]]) -> None:
    """Prints means with standard errors over the splits, and of the paired differences to the first recipe."""
    first = next(iter(found.values()))
    for text, trials in found.items():
        held = any(len(trial.right) < 2 for trial in trials)
        pairs = [(shares(trial, held), shares(base, held)) for trial, base in zip(trials, first, strict=False)]
        print(
            f"{text}: {spread([own for own, _ in pairs])} %, {spread([own - base for own, base in pairs])} against "
            f"the first{' on the test photos' if held else ''}; {np.mean([trial.seconds for trial in trials]):.0f} s",
            flush=True,
        )


def shares(judged: Judged, test_alone: bool) -> float:
    """Accuracy in percent."""
    return 100 * float(np.concatenate(judged.right[:1] if test_alone else judged.right).mean())


def spread(values: Sequence[float]) -> str:
    error = np.std(values, ddof=1) / len(values) ** 0.5 if len(values) > 1 else float("nan")
    return f"{np.mean(values):.2f} ± {error:.2f}"


if __name__ == "__main__":
    main()

"""From how many photos a class on does fine-tuning beat the solved head?

    python benchmarks/experiments/few_photos.py PHOTOS [DRAWS [SIZE...]]


Trains on draws of 5, 10, 20, 50 and 100 photos of each class and judges on all validation and test photos, none of
which is drawn from. Prints a line per draw and recipe, then means with standard errors of the differences to the head.
"""

import sys
from dataclasses import replace

import numpy as np

from edge_core.preprocess import InputSpec
from edge_device.system.user_folders import cache_folder
from edge_keras.models.architectures import DEFAULT
from edge_keras.models.backbone import build, cut, set_head
from edge_keras.models.pretrained import find_weights
from edge_keras.tf import tf
from edge_train.data.augment import ViewMaker
from edge_train.data.dataset import open_photos
from edge_train.settings import Settings, phases
from edge_train.training.features import Extractor, Maps, backbone_key, compiled, map_scores
from edge_train.training.fine_tune import FineTuner, History, TrainingTargets, remembering, with_dropout
from edge_train.training.solved_head.head import solve_head

SIZES = (5, 10, 20, 50, 100)

RECIPES = {
    "8 epochs, 3e-4": Settings(),
}


def taken(maps: Maps, photos: np.ndarray) -> Maps:
    return replace(
        maps, rows=maps.rows[photos], targets=maps.targets[photos], photos=[maps.photos[photo] for photo in photos]
    )


def main(folder: str, draws: int = 3, *sizes: int) -> None:
    photos = open_photos(folder, seed=1, cache=cache_folder())
    labels = photos.labels
    spec = InputSpec(160, 160)
    weights = find_weights("imagenet", alpha=1.0, size=160, cache=cache_folder())
    model = build(spec, len(labels), 1.0, weights)
    parts = cut(model)
    maker = ViewMaker(spec, (0,), photos.mirror, 1)
    key = backbone_key(DEFAULT, 1.0, weights.sha256, spec)
    with Extractor(cache_folder() / "features", key, labels, maker) as extractor:
        maps = extractor.through(parts.lower)
        train = maps("training photos", photos.splits["train"], (0, 1))
        train = train.with_views(maps("views", train.photos, (2, 3)))
        judged = maps("judged photos", [*photos.splits["val"], *photos.splits["test"]], (0,))
        pooled = compiled(parts.pooled, tf.float16)
        features = np.stack([map_scores(pooled, replace(train, rows=train.rows[:, view:])) for view in (0, 1)], 1)
        print(f"{len(train.photos)} photos to draw from, {len(judged.photos)} to judge on", flush=True)
        kept = model.get_weights()
        differences: dict[tuple[int, str], list[float]] = {}
        for size in sizes or SIZES:
            for draw in range(draws):
                rng = np.random.default_rng([draw, size])
                chosen = np.concatenate(
                    [rng.permutation(np.flatnonzero(train.targets == label))[:size] for label in range(len(labels))]
                )
                few = taken(train, chosen)
                model.set_weights(kept)
                known = features[chosen].reshape(2 * len(chosen), -1)
                set_head(model, *solve_head(known, np.repeat(few.targets, 2), len(labels)))
                start = model.get_weights()

                def right() -> float:
                    scores = map_scores(compiled(parts.upper, tf.float16), judged)
                    return 100 * float((scores.argmax(axis=1) == judged.targets).mean())

                head = right()
                differences.setdefault((size, "head"), []).append(head)
                line = [f"{size:4} a class, draw {draw}: head {head:.1f}"]
                for name, settings in RECIPES.items():
                    model.set_weights(start)
                    phase = replace(phases(settings)[0], patience=None)
                    targets = remembering(
                        TrainingTargets(few, np.ones(len(chosen), np.float32)), parts.pooled, settings.remember
                    )
                    tuner = FineTuner(
                        with_dropout(parts), phase, targets, taken(judged, np.arange(32)), settings, History(0.0)
                    )
                    tuner.start()
                    while not tuner.done:
                        tuner.train_epoch()
                    tuned = right()
                    differences.setdefault((size, name), []).append(tuned - head)
                    line.append(f"{name} {tuned:.1f}")
                print("; ".join(line), flush=True)
    for (size, name), values in differences.items():
        error = np.std(values, ddof=1) / len(values) ** 0.5 if len(values) > 1 else float("nan")
        print(f"{size:4} {name:16} {np.mean(values):+6.2f} ± {error:.2f}")


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))

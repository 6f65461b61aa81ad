"""Is the test set of a split kinder than other photos of the same kind would be, and why?

    python benchmarks/experiments/own_test_set.py RUN PHOTOS [SEED...]

RUN is a folder of `edge-train fit PHOTOS`. Prints
- how hard the test photos of each split are, for heads that were solved without them: all photos are judged by heads of
  ten folds that keep groups together, so a split whose photos are right more often has drawn easier photos;
- how often test photos are right by how near their nearest training photo is, in cosine of the features;
- what the run says of its test photos when they are made smaller or larger, or saved again.
"""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from edge_core.data.photo_folder import Photo
from edge_core.images import read_picture
from edge_core.preprocess import Frame, preprocess
from edge_core.run_folder import MODEL_FILE, read_run
from edge_device.system.user_folders import cache_folder
from edge_keras.models.architectures import ARCHITECTURES
from edge_keras.models.backbone import build, cut
from edge_keras.models.pretrained import find_weights
from edge_keras.tf import keras, tf
from edge_train.data.augment import ViewMaker
from edge_train.data.dataset import open_photos
from edge_train.training.features import Extractor, backbone_key, compiled, map_scores
from edge_train.training.solved_head.head import solve_head

Array = npt.NDArray[np.float32]
Right = npt.NDArray[np.bool_]

FOLDS = 10
SIZES = (160, 200, 240, 320, 480, 640, 960)


def interval(right: Right) -> str:
    share = right.mean() if len(right) else float("nan")
    return f"{100 * share:.1f} ± {100 * (share * (1 - share) / max(1, len(right))) ** 0.5:.1f} % of {len(right)}"


def main(run_folder: str, folder: str, *seeds: int) -> None:
    run = read_run(Path(run_folder))
    assert run.card.backbone and run.card.dataset
    spec, architecture = run.card.input, ARCHITECTURES[run.card.backbone.name]
    first = open_photos(folder, seed=run.card.dataset.split_seed, cache=cache_folder())
    photos = [photo for split in ("train", "val", "test") for photo in first.splits[split]]
    weights = find_weights("imagenet", alpha=1.0, size=spec.width, cache=cache_folder(), architecture=architecture)
    parts = cut(build(spec, len(first.labels), 1.0, weights, architecture), architecture)
    key = backbone_key(architecture, 1.0, weights.sha256, spec)
    maker = ViewMaker(spec, (0,), first.mirror, 1)
    with Extractor(cache_folder() / "features", key, first.labels, maker) as extractor:
        maps = extractor.through(parts.lower)("all photos", photos, (0,))
        features = map_scores(compiled(parts.pooled, tf.float16), maps)
    right = out_of_fold(features, maps.targets, photos, len(first.labels))
    print(f"heads of {FOLDS} folds: all photos {interval(right)}")
    numbers = {photo.path: number for number, photo in enumerate(photos)}
    for seed in seeds or (1, 2, 3):
        tested = open_photos(folder, seed=seed, cache=cache_folder()).splits["test"]
        print(f"  those that seed {seed} tests on: {interval(right[[numbers[photo.path] for photo in tested]])}")
    nearest(first.splits["train"], first.splits["test"], numbers, features, right)
    sizes(run.folder, first.splits["test"], first.labels)


def out_of_fold(features: Array, targets: npt.NDArray[np.int64], photos: list[Photo], labels: int) -> Right:
    groups = {photo.group or str(photo.path): 0 for photo in photos}
    rng = np.random.default_rng(0)
    fold_of = dict(zip(groups, rng.permutation(len(groups)) % FOLDS, strict=True))
    folds = np.array([fold_of[photo.group or str(photo.path)] for photo in photos])
    right = np.zeros(len(photos), bool)
    for fold in range(FOLDS):
        kernel, bias = solve_head(features[folds != fold], targets[folds != fold], labels)
        right[folds == fold] = (features[folds == fold] @ kernel + bias).argmax(1) == targets[folds == fold]
    return right


def nearest(train: list[Photo], test: list[Photo], numbers: dict[Path, int], features: Array, right: Right) -> None:
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    trained, tested = ([numbers[photo.path] for photo in part] for part in (train, test))
    near = (unit[tested] @ unit[trained].T).max(axis=1)
    for low, high in ((0.0, 0.8), (0.8, 0.85), (0.85, 0.9), (0.9, 0.95), (0.95, 1.01)):
        some = (near >= low) & (near < high)
        print(f"  nearest training photo at a cosine of {low} to {high}: {interval(right[np.array(tested)[some]])}")


def sizes(folder: Path, test: list[Photo], labels: tuple[str, ...]) -> None:
    run = read_run(folder)
    score = compiled(keras.models.load_model(folder / MODEL_FILE, compile=False), tf.uint8)
    targets = np.array([labels.index(photo.label) for photo in test])
    frames = [read_picture(photo.path) for photo in test]

    def right(change: Callable[[Frame], Frame]) -> Right:
        pixels = np.stack([preprocess(change(frame), run.card.input) for frame in frames])
        scores = np.concatenate([score(pixels[at : at + 64]).numpy() for at in range(0, len(pixels), 64)])
        found: Right = scores.argmax(axis=1) == targets
        return found

    print(f"the run on its test photos: as they are {interval(right(lambda frame: frame))}")
    for size in SIZES:
        print(f"  long side {size}: {interval(right(partial(resized, size=size)))}")
    for quality in (95, 75, 50):
        print(f"  saved again with quality {quality}: {interval(right(partial(saved, quality=quality)))}")


def resized(frame: Frame, size: int) -> Frame:
    scale = size / max(frame.shape[:2])
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LANCZOS4
    return cv2.resize(frame, None, fx=scale, fy=scale, interpolation=way).astype(np.uint8, copy=False)


def saved(frame: Frame, quality: int) -> Frame:
    jpeg = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    decoded = cv2.imdecode(jpeg, cv2.IMREAD_COLOR)
    assert decoded is not None
    return decoded.astype(np.uint8, copy=False)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", metavar="RUN")
    parser.add_argument("photos", metavar="PHOTOS")
    parser.add_argument("seeds", metavar="SEED", type=int, nargs="*")
    asked = parser.parse_args()
    main(asked.run, asked.photos, *asked.seeds)

"""How good a frozen network is for some photos: the accuracy of a head that is solved on its features.

The features are those of the maps that `edge-train fit` keeps, so a training after it finds them in the cache.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge_bench.choose.networks import BackboneVariant
from edge_core.data.photo_folder import Photo
from edge_core.errors import DatasetError
from edge_core.progress import Track, silently
from edge_keras.models.backbone import build, cut
from edge_keras.models.pretrained import find_weights
from edge_keras.tf import tf
from edge_train.data.augment import ViewMaker
from edge_train.data.dataset import PhotoSet
from edge_train.training.features import Extractor, backbone_key, compiled, map_scores
from edge_train.training.solved_head.head_curve import Features, cross_validated

MOST_PHOTOS = 3000
"""Photos that the heads are judged on, at most: one standard error of 90 % is then 0.5 points, of a difference less."""


def some_photos(photos: PhotoSet, seed: int) -> list[Photo]:
    """Photos to train and validate on, `MOST_PHOTOS` of them at most; the test photos stay out."""
    known = [*photos.splits["train"], *photos.splits["val"]]
    if len(known) <= MOST_PHOTOS:
        return known
    chosen = np.random.default_rng(seed).choice(len(known), MOST_PHOTOS, replace=False)
    return [known[number] for number in sorted(chosen.tolist())]


def judge_head(
    network: BackboneVariant,
    photos: list[Photo],
    labels: tuple[str, ...],
    seed: int,
    cache: Path,
    track: Track = silently,
) -> tuple[npt.NDArray[np.bool_], tuple[str, ...], str]:
    """Whether a head on a network's features, solved on four fifths of the photos, is right about the rest.

    Args:
        network: BackboneVariant whose features are used.
        photos: Photos to solve and to judge on, each of them judged once.
        labels: All labels, in order.
        seed: Random seed of the folds, the same for all networks that are compared.
        cache: Where weights and maps are kept.
        track: Receives the progress of each step.

    Returns:
        Shape (photos that can be decoded,); the groups of these photos; and where the weights come from.

    Raises:
        WeightsError: There are no weights of it to be had.
        DatasetError: Too few photos, or all of a class belong together.
    """
    weights = find_weights(
        "imagenet",
        alpha=network.alpha,
        size=network.size,
        cache=cache,
        architecture=network.architecture,
        has_option=False,
    )
    parts = cut(build(network.spec, len(labels), network.alpha, weights, network.architecture), network.architecture)
    key = backbone_key(network.architecture, network.alpha, weights.sha256, network.spec)
    maker = ViewMaker(network.spec, (0,), mirror=False, seed=seed)
    with Extractor(cache / "features", key, labels, maker, track) as extractor:
        maps = extractor.through(parts.lower)(f"the photos for {network.name}", photos, (0,))
        missing = set(labels) - {photo.label for photo in maps.photos}
        if missing:
            raise DatasetError(f"of the class {min(missing)!r} no photo can be decoded")
        values = np.asarray(map_scores(compiled(parts.pooled, tf.float16), maps))
    groups = tuple(photo.group for photo in maps.photos)
    features = Features(values, maps.targets, groups)
    right = cross_validated(features, len(labels), np.random.default_rng(seed), track)
    if right is None:
        raise DatasetError("a class has too few photos that do not belong together to be judged; add photos of it")
    return right, groups, weights.source

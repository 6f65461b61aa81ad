"""The frozen part of the network, run once over the photos; what it gives is kept on disk."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import compress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from edge_core.codec import JsonObject
from edge_core.data.photo_folder import Photo, Unusable
from edge_core.errors import PictureError
from edge_core.preprocess import Frame, InputSpec
from edge_core.progress import Track, silently
from edge_keras.kept_scores import pixels_name
from edge_keras.models.architectures import Architecture
from edge_keras.tf import keras, tf
from edge_train.data.augment import ViewMaker
from edge_train.doctor.workstation import usable_cores
from edge_train.training.feature_cache import FeatureCache, row_name
from edge_train.training.frozen_part import FrozenPart

EVALUATION_BATCH: Final = 128

BATCH_PHOTOS: Final = 16
"""Photos decoded into one batch; with two views each, 32 pictures go through the network at once."""

FEATURES: Final = "features"
"""Stands for the name of a seam where the maps are what the last layer sees: shape (features,)."""


@dataclass(frozen=True)
class Maps:
    """Feature maps at the seam, on disk.

    Attributes:
        cache: That holds them.
        rows: Row numbers in the cache, shape (photos, views).
        targets: Label number of each photo, shape (photos,).
        photos: Those that could be decoded, in order.
        unusable: Photos that could not be used.
    """

    cache: FeatureCache
    rows: npt.NDArray[np.int64]
    targets: npt.NDArray[np.int64]
    photos: list[Photo]
    unusable: list[Unusable]

    def read(self, photos: npt.NDArray[np.int64], views: npt.NDArray[np.int64] | int = 0) -> npt.NDArray[np.float16]:
        """Maps of photos by position, one view each: float16, shape (len(photos), height, width, channels)."""
        return self.cache.read(self.rows[photos, views])

    def with_views(self, others: "Maps") -> "Maps":
        """The same photos with more views."""
        return Maps(self.cache, np.hstack([self.rows, others.rows]), self.targets, self.photos, self.unusable)


def pixel_batches(photos: Sequence[Photo], maker: ViewMaker, unusable: dict[int, Unusable]) -> "tf.data.Dataset":
    """A `tf.data` pipeline of (positions, views): int64 (batch,) and uint8 (batch, views, height, width, 3).

    Decoding and preprocessing run in several threads, ahead of the network. A photo that cannot be decoded comes as
    black and is noted in `unusable` under its position.
    """

    def views(position: tf.Tensor) -> Frame:
        try:
            return maker(photos[position])
        except PictureError as error:
            unusable[int(position)] = Unusable(
                photos[position].path, str(error).removeprefix(f"{photos[position].path}: ")
            )
            return np.zeros((len(maker.numbers), *maker.spec.shape), np.uint8)

    def load(position: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        pixels = tf.numpy_function(views, [position], tf.uint8, stateful=False)
        return position, tf.ensure_shape(pixels, (len(maker.numbers), *maker.spec.shape))

    # The thread that tunes a pipeline sleeps for 10 ms, 20 ms and so on to a minute, and the end of the pipeline may
    # wait for it: in 10 of 24 runs a pass of 7 s took 12 s.
    untuned = tf.data.Options()
    untuned.autotune.enabled = False
    positions = tf.data.Dataset.range(len(photos)).map(load, num_parallel_calls=usable_cores())
    return positions.batch(BATCH_PHOTOS).prefetch(2).with_options(untuned)


def compiled(model: "keras.Model", dtype: tf.DType) -> tf.types.experimental.GenericFunction:
    """The model as one graph, traced once for every batch size; takes `dtype`, gives float32."""
    signature = [tf.TensorSpec((None, *model.input_shape[1:]), dtype)]
    return tf.function(lambda batch: model(tf.cast(batch, tf.float32), training=False), input_signature=signature)


@dataclass(frozen=True)
class LayerMaps:
    """Maps of a layer. Those of an earlier one cost no more than their place on the disk where a later one's are made.

    Attributes:
        model: Pixels to the maps of the layer.
        cache: Cache that keeps them.
    """

    model: "keras.Model"
    cache: FeatureCache

    def lacks(self, names: list[bytes]) -> bool:
        """Whether it has not those of every view."""
        return bool((self.cache.find(names) < 0).any())

    def append(self, names: list[bytes], maps: npt.NDArray[np.float16]) -> None:
        """Adds those of new views, maps of shape (len(names), *shape of a row)."""
        new = self.cache.find(names) < 0
        self.cache.append([name for name, is_new in zip(names, new, strict=True) if is_new], maps[new])


def extract_maps(
    lower: "keras.Model",
    photos: Sequence[Photo],
    labels: Sequence[str],
    maker: ViewMaker,
    cache: FeatureCache,
    name: str,
    track: Track = silently,
    byproducts: Sequence[LayerMaps] = (),
    parts: "dict[tuple[bool, ...], FrozenPart] | None" = None,
) -> Maps:
    """Runs the frozen part over those views of the photos that the cache does not have.

    Args:
        lower: Pixels to maps, see `backbone.cut`.
        photos: Photos to run the frozen part over.
        labels: All labels, in order.
        maker: Maker of the augmented views.
        cache: Cache of the maps that `lower` returns.
        name: Name of the split for the progress bar.
        track: Receives the progress of each step.
        byproducts: Maps of other layers, of which those of the same views are kept, too.
        parts: Those of earlier calls with the same models, for later ones to use; by which of `byproducts` they make.
    """

    def names(photo: Photo) -> list[bytes]:
        return [row_name(photo.sha256, maker.name(number)) for number in maker.numbers]

    # All views of a photo come out of one decoding, so one that is missing is enough.
    missing = [photo for photo in photos if (cache.find(names(photo)) < 0).any()]
    unusable: dict[int, Unusable] = {}
    if missing:
        wanted = [name for photo in missing for name in names(photo)]
        lacking = tuple(kind.lacks(wanted) for kind in byproducts)
        kinds = [LayerMaps(lower, cache), *compress(byproducts, lacking)]
        parts = {} if parts is None else parts
        if lacking not in parts:
            model = keras.Model(lower.input, [kind.model.output for kind in kinds])
            parts[lacking] = FrozenPart(model, compiled(model, tf.uint8))
        run = parts[lacking]
        run.expect(len(wanted))
        steps = -(-len(missing) // BATCH_PHOTOS)
        label = f"Running the backbone over {name}, {BATCH_PHOTOS} photos a step"
        for positions, pixels in track(pixel_batches(missing, maker, unusable), label, steps):
            made = run(pixels.numpy().reshape(-1, *maker.spec.shape))
            good = [int(position) not in unusable for position in positions.numpy()]
            added = [view for position in positions.numpy()[good] for view in names(missing[int(position)])]
            rows = np.repeat(good, len(maker.numbers))
            for kind, maps in zip(kinds, made, strict=True):
                kind.append(added, maps.astype(np.float16)[rows])
        for kind in kinds:
            kind.cache.sync()
    bad = {missing[position].path for position in unusable}
    kept = [photo for photo in photos if photo.path not in bad]
    numbers = {label: number for number, label in enumerate(labels)}
    return Maps(
        cache,
        cache.find([view for photo in kept for view in names(photo)]).reshape(len(kept), len(maker.numbers)),
        np.array([numbers[photo.label] for photo in kept], np.int64),
        kept,
        [unusable[position] for position in sorted(unusable)],
    )


def backbone_key(architecture: Architecture, alpha: float, weights_sha256: str, spec: InputSpec) -> JsonObject:
    """What the maps of a frozen part depend on, besides photo and view; JSON."""
    own = {"scale": architecture.scale, "offset": architecture.offset} if architecture.frozen else {}  # the user's word
    return {
        **own,
        "architecture": architecture.name,
        "seam": architecture.seam,
        "alpha": alpha,
        "weights": weights_sha256,
        "input": spec.to_json(),
    }


class Extractor:
    """Runs frozen networks over photos; the caches that it opens stay open until it is closed.

    Attributes:
        maker: Maker of the first view.
    """

    def __init__(
        self, folder: Path, key: Mapping[str, object], labels: Sequence[str], maker: ViewMaker, track: Track = silently
    ) -> None:
        """Prepares; nothing is run yet.

        Args:
            folder: Folder that holds the caches.
            key: All that the maps of every network here depend on, besides photo and view; JSON.
            labels: All, in order.
            maker: Maker of augmented views; the number of views does not matter.
            track: Receives the progress of each step.
        """
        self.maker = maker
        self._folder, self._key, self._labels, self._track = folder, key, labels, track
        self._opened = ExitStack()
        self._caches: dict[str, FeatureCache] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()

    def _cache(self, lower: "keras.Model", more: Mapping[str, str]) -> FeatureCache:
        key = {**self._key, **more}
        name = json.dumps(key, sort_keys=True)
        if name not in self._caches:  # opened twice, it would be in its own way
            self._caches[name] = self._opened.enter_context(FeatureCache(self._folder, key, lower.output_shape[1:]))
        return self._caches[name]

    def through(
        self, lower: "keras.Model", besides: "Mapping[str, keras.Model] | None" = None, **more: str
    ) -> Callable[[str, Sequence[Photo], Sequence[int]], Maps]:
        """A function from a name for the progress bar, photos and numbers of views to `lower`'s maps of them.

        Args:
            lower: Pixels to maps.
            besides: Pixels to maps of other seams, by the seam's name: those of the same views are kept, too.
            more: What the maps of `lower` depend on besides the key.
        """
        cache = self._cache(lower, more)
        byproducts = [LayerMaps(model, self._cache(model, {"seam": seam})) for seam, model in (besides or {}).items()]
        parts: dict[tuple[bool, ...], FrozenPart] = {}

        def maps(name: str, photos: Sequence[Photo], views: Sequence[int]) -> Maps:
            maker = replace(self.maker, numbers=tuple(views))
            return extract_maps(lower, photos, self._labels, maker, cache, name, self._track, byproducts, parts)

        return maps


@dataclass(frozen=True)
class ScoredPhotos:
    """What the whole model said of photos.

    Attributes:
        scores: Scores, float32, shape (photos, labels).
        photos: Photos that could be decoded, in order.
        names: Name of each photo's pixels, see `kept_scores.pixels_name`.
        unusable: Photos that could not be decoded.
    """

    scores: npt.NDArray[np.float32]
    photos: list[Photo]
    names: list[bytes]
    unusable: list[Unusable]


def predict_photos(
    run: "tf.types.experimental.GenericFunction",
    photos: Sequence[Photo],
    maker: ViewMaker,
    name: str,
    track: Track = silently,
) -> ScoredPhotos:
    """Scores of the whole model, `compiled` for uint8, for photos as the device sees them."""
    unusable: dict[int, Unusable] = {}
    scores: list[npt.NDArray[np.float32]] = []
    names: list[bytes] = []
    steps = -(-len(photos) // BATCH_PHOTOS)
    for _, pixels in track(
        pixel_batches(photos, maker, unusable), f"Scoring {name} photos, {BATCH_PHOTOS} a step", steps
    ):
        scores.append(run(pixels[:, 0]).numpy())
        names += [pixels_name(photo) for photo in pixels[:, 0].numpy()]
    good = [position for position in range(len(photos)) if position not in unusable]
    return ScoredPhotos(
        np.concatenate(scores)[good],
        [photos[position] for position in good],
        [names[position] for position in good],
        [unusable[position] for position in sorted(unusable)],
    )


def map_scores(run: Any, maps: Maps) -> npt.NDArray[np.float32]:
    """Scores of an upper part, `compiled`, for the first view of each photo: shape (photos, labels)."""
    photos = np.arange(len(maps.photos))
    parts = [photos[first : first + EVALUATION_BATCH] for first in range(0, len(photos), EVALUATION_BATCH)]
    return np.concatenate([run(maps.read(part)).numpy() for part in parts])

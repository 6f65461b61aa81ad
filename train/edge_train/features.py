"""The frozen part of the network, run once over the photos; what it gives is kept on disk."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_core.errors import PictureError
from edge_core.photos import Photo, Unusable
from edge_core.preprocess import Frame
from edge_core.progress import Track, silently
from edge_train.tf import keras, tf
from edge_train.views import ViewMaker

BATCH_PHOTOS = 8
"""Photos decoded into one batch; with four views each, 32 pictures go through the network at once."""


@dataclass(frozen=True)
class Maps:
    """Feature maps at the seam.

    Attributes:
        values: float16, shape (photos * views, height, width, channels), a file on disk; a photo's views are neighbours.
        targets: label number of each row, shape (photos * views,).
        photos: those that could be decoded, in order.
        unusable: the others.
    """

    values: npt.NDArray[np.float16]
    targets: npt.NDArray[np.int64]
    photos: list[Photo]
    unusable: list[Unusable]


def pixel_batches(photos: Sequence[Photo], maker: ViewMaker, unusable: dict[int, Unusable]) -> "tf.data.Dataset":
    """A `tf.data` pipeline of (positions, views): int64 (batch,) and uint8 (batch, views, height, width, 3).

    Decoding and preprocessing run in several threads, ahead of the network. A photo that cannot be decoded comes as
    black and is noted in `unusable` under its position.
    """

    def views(position: Any) -> Frame:
        try:
            return maker(photos[position])
        except PictureError as error:
            unusable[int(position)] = Unusable(
                photos[position].path, str(error).removeprefix(f"{photos[position].path}: ")
            )
            return np.zeros((maker.count, *maker.spec.shape), np.uint8)

    def load(position: Any) -> tuple[Any, Any]:
        pixels = tf.numpy_function(views, [position], tf.uint8, stateful=False)
        return position, tf.ensure_shape(pixels, (maker.count, *maker.spec.shape))

    positions = tf.data.Dataset.range(len(photos))
    return positions.map(load, num_parallel_calls=tf.data.AUTOTUNE).batch(BATCH_PHOTOS).prefetch(2)


def compiled(model: "keras.Model", dtype: Any) -> Any:
    """The model as one graph, traced once for every batch size; takes `dtype`, gives float32."""
    signature = [tf.TensorSpec((None, *model.input_shape[1:]), dtype)]
    return tf.function(lambda batch: model(tf.cast(batch, tf.float32), training=False), input_signature=signature)


def extract_maps(
    lower: "keras.Model",
    photos: Sequence[Photo],
    labels: Sequence[str],
    maker: ViewMaker,
    folder: Path,
    name: str,
    track: Track = silently,
) -> Maps:
    """Runs the frozen part over all views of the photos.

    Args:
        lower: pixels to maps, see `backbone.cut`.
        photos: to run it over.
        labels: all labels, in order.
        maker: of the views.
        folder: where the maps are kept while training goes on.
        name: of the split, for the file and the progress bar.
        track: shows progress.
    """
    shape = (len(photos) * maker.count, *lower.output_shape[1:])
    values = np.lib.format.open_memmap(folder / f"{name}.npy", mode="w+", dtype=np.float16, shape=shape)
    run = compiled(lower, tf.uint8)
    unusable: dict[int, Unusable] = {}
    kept: list[Photo] = []
    batches = pixel_batches(photos, maker, unusable)
    steps = -(-len(photos) // BATCH_PHOTOS)
    for positions, pixels in track(batches, f"Running the backbone over {name} photos", steps):
        maps = run(tf.reshape(pixels, (-1, *maker.spec.shape))).numpy().reshape(len(positions), maker.count, *shape[1:])
        for position, views in zip(positions.numpy(), maps, strict=True):
            if int(position) not in unusable:
                values[len(kept) * maker.count : (len(kept) + 1) * maker.count] = views
                kept.append(photos[position])
    numbers = {label: number for number, label in enumerate(labels)}
    targets = np.repeat([numbers[photo.label] for photo in kept], maker.count)
    return Maps(values[: len(targets)], targets, kept, [unusable[position] for position in sorted(unusable)])


def predict_photos(
    model: "keras.Model", photos: Sequence[Photo], maker: ViewMaker, name: str, track: Track = silently
) -> tuple[npt.NDArray[np.float32], list[Photo], list[Unusable]]:
    """Scores of the whole model for photos as the device sees them.

    Returns:
        Scores, float32, shape (photos, labels); the photos that could be decoded, in order; the others.
    """
    unusable: dict[int, Unusable] = {}
    run = compiled(model, tf.uint8)
    scores: list[npt.NDArray[np.float32]] = []
    steps = -(-len(photos) // BATCH_PHOTOS)
    for _, pixels in track(pixel_batches(photos, maker, unusable), f"Scoring {name} photos", steps):
        scores.append(run(pixels[:, 0]).numpy())
    good = [position for position in range(len(photos)) if position not in unusable]
    return (
        np.concatenate(scores)[good] if scores else np.empty((0, model.output_shape[-1]), np.float32),
        [photos[position] for position in good],
        [unusable[position] for position in sorted(unusable)],
    )

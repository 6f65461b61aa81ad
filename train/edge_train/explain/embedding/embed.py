"""Photos as the layer before the scores sees them, and that space flattened: where the network puts what it takes to be
alike."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import cv2
import numpy as np
import numpy.typing as npt
from scipy.cluster.vq import kmeans2

from edge_core.codec import JsonObject
from edge_core.data.photo_folder import SPLITS, Photo, Split, Unusable, identify_photos, walk
from edge_core.data.photo_list import find_all_photos
from edge_core.errors import DatasetError, RunFolderError
from edge_core.images import read_picture
from edge_core.preprocess import preprocess
from edge_core.progress import Track, silently
from edge_core.run_folder import Run, evenly_spaced, own_photos
from edge_keras.tf import keras, tf
from edge_train.data.augment import ViewMaker
from edge_train.evaluation.evaluate import open_model
from edge_train.explain.embedding.neighbors import Vectors, nearest
from edge_train.training.features import BATCH_PHOTOS, compiled, pixel_batches

Method = Literal["pca", "umap"]
Which = Literal["all", "train", "val", "test"]

MOST_PHOTOS: Final = 20_000
"""At most as many are embedded, at even distances; of 20,000 the page has 11 MB and the command took 1.3 GB."""

SPRITE_SIDE: Final = 4608
"""Pixels of all thumbnails together, at most, squared: 64 MB here and 85 MB in a browser. Room for 20,000 of 32
pixels."""

THUMBNAIL_SIDES: Final = (96, 80, 64, 48, 32)
"""Multiples of 16, so that neighbors in the sprite share no block of a JPEG."""

COMPONENTS: Final = 4
"""Principal components that are kept: what a page offers as axes."""

MANY_LABELS: Final = 20
PER_LABEL: Final = 2
WITHOUT_LABELS: Final = 8
"""Clusters: two for each label, so that what differs within a class is seen, or eight if the photos have none."""

CLUSTERED_COMPONENTS: Final = 32


@dataclass(frozen=True)
class Embedding:
    """Photos and what a network makes of them.

    Attributes:
        photos: That could be decoded; a label is empty if the photo has none.
        splits: That the run had each photo in; None for those that it has never seen.
        vectors: What the last layer sees of each, scaled to unit length: float32, shape (photos, features).
        scores: float32, shape (photos, labels).
        labels: Labels in the order of the scores.
        thumbnails: uint8, R, G, B, shape (photos, side, side, 3).
        unusable: Files that could not be decoded.
        left_out: Photos beyond `MOST_PHOTOS`.
    """

    photos: tuple[Photo, ...]
    splits: tuple[Split | None, ...]
    vectors: Vectors
    scores: Vectors
    labels: tuple[str, ...]
    thumbnails: npt.NDArray[np.uint8]
    unusable: tuple[Unusable, ...] = ()
    left_out: int = 0


@dataclass(frozen=True)
class Layout:
    """An embedding in a few dimensions.

    Attributes:
        method: That it was made with.
        places: float32, shape (photos, axes).
        shares: Share of the variance that each axis has under principal component analysis; None for other methods.
    """

    method: Method
    places: Vectors
    shares: tuple[float, ...] = ()


@dataclass(frozen=True)
class Near:
    """A photo of an embedding that lies near another picture, and the cosine distance."""

    photo: Photo
    split: Split | None
    distance: float

    def to_json(self) -> JsonObject:
        return {
            "path": str(self.photo.path),
            "label": self.photo.label,
            "split": self.split,
            "distance": round(self.distance, 6),
        }


class Embedder:
    """The full-size model of a run with two outputs: what its last layer sees, and its scores."""

    def __init__(self, run: Run) -> None:
        """Loads the model; raises what `edge_train.evaluation.evaluate.open_model` raises."""
        self.run = run
        model = open_model(run)
        self.features, self.labels = model.layers[-1].input_shape[-1], model.output_shape[-1]
        self._model = compiled(keras.Model(model.input, [model.layers[-1].input, model.output]), tf.uint8)

    def __call__(self, pixels: npt.NDArray[np.uint8]) -> tuple[Vectors, Vectors]:
        """Vectors of unit length, shape (photos, features), and scores; `pixels` as `preprocess` makes them."""
        features, scores = (output.numpy() for output in self._model(pixels))
        return features / np.linalg.norm(features, axis=1, keepdims=True).clip(1e-12), scores

    def picture(self, path: Path) -> Vectors:
        """The vector of a picture file: shape (1, features).

        Raises:
            PictureError: It cannot be decoded.
        """
        return self(preprocess(read_picture(path, levels=self.run.card.input.levels), self.run.card.input)[None])[0]


def embed(
    embedder: Embedder,
    data: Path | None = None,
    *,
    which: Which = "all",
    labeled: bool = True,
    track: Track = silently,
) -> Embedding:
    """Runs the full-size model of a run over photos.

    Args:
        embedder: Embedder of the run.
        data: A photo folder, of labels that the run need not know; or one without subfolders, whose photos have no
            label. The run's own photos by default.
        which: Which of the run's own photos to embed.
        labeled: Whether subfolders of `data` are labels.
        track: Receives the progress of each step.

    Raises:
        DatasetError: There are no pictures in `data`, or fewer than two can be decoded.
        RunFolderError: The run's photos are no longer where they were, or its model cannot be loaded.
    """
    run = embedder.run
    photos, unusable = _find_photos(run, data, which, labeled, track)
    chosen = evenly_spaced(photos, MOST_PHOTOS)
    vectors, scores, thumbnails, undecodable = _run(embedder, chosen, track)
    unusable += undecodable.values()
    decoded = [number for number in range(len(chosen)) if number not in undecodable]
    if len(decoded) < 2:
        first = f"; {unusable[0].path}: {unusable[0].reason}" if unusable else ""
        raise DatasetError(
            f"{data or run.folder}: a map takes two photos that can be decoded, not {len(decoded)}{first}"
        )
    split_of = {photo.sha256: split for split, members in run.splits.items() for photo in members}
    return Embedding(
        photos=tuple(chosen[number] for number in decoded),
        splits=tuple(split_of.get(chosen[number].sha256) for number in decoded),
        vectors=vectors[decoded],
        scores=scores[decoded],
        labels=run.card.labels,
        thumbnails=thumbnails[decoded],
        unusable=tuple(unusable),
        left_out=len(photos) - len(chosen),
    )


def nearest_photos(embedding: Embedding, picture: Path, vector: Vectors, count: int) -> list[Near]:
    """The photos of an embedding that the network takes to be most like a picture, which need not be one of them.

    Args:
        embedding: Embedding whose photos are searched.
        picture: Path of the picture; it is passed over if the embedding contains it.
        vector: Feature vector of the picture, as `Embedder.picture` returns it.
        count: How many, at most.
    """
    # One more, since the picture itself may be among them.
    positions, distances = nearest(vector, embedding.vectors, count + 1)
    itself = picture.resolve()
    found = [
        Near(embedding.photos[position], embedding.splits[position], float(distance))
        for position, distance in zip(positions[0], distances[0], strict=True)
        if embedding.photos[position].path.resolve() != itself
    ]
    return found[:count]


def lay_out(vectors: Vectors, method: Method = "pca", seed: int = 1) -> Layout:
    """Flattens an embedding.

    Args:
        vectors: Vectors of unit length, shape (photos, features).
        method: `pca`, or `umap` (McInnes et al., "UMAP", 2018; the package umap-learn must be there).
        seed: Random seed of UMAP.

    Raises:
        ModuleNotFoundError: Umap-learn is not there.
    """
    if method == "pca":
        return principal_components(vectors, COMPONENTS)
    import umap  # of the extra; takes seconds

    around = min(15, len(vectors) - 1)  # umap-learn's own default, where there are so many
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a seed makes it use one thread
        mapper = umap.UMAP(n_neighbors=around, metric="cosine", random_state=seed)
        return Layout(method, np.asarray(mapper.fit_transform(vectors), np.float32))


def principal_components(vectors: Vectors, count: int) -> Layout:
    """The directions in which vectors differ most, and how far each lies along them (Pearson, 1901; Hotelling, 1933).

    From the eigenvectors of the covariance, features by features, so that the work hardly grows with the photos; where
    there are fewer photos than features, photos by photos. Of the two signs that an axis may have it gets the one that
    makes the place farthest out positive.
    """
    centered = vectors - vectors.mean(axis=0)
    if len(centered) < centered.shape[1]:
        variances, left = _largest(centered @ centered.T, count)
        places = left * np.sqrt(variances)
    else:
        variances, axes = _largest(centered.T @ centered, count)
        places = centered @ axes
    places = places * np.sign(places[np.abs(places).argmax(axis=0), np.arange(places.shape[1])])
    total = float((centered**2).sum()) or 1.0
    return Layout("pca", places.astype(np.float32), tuple(float(variance / total) for variance in variances))


def _largest(symmetric: Vectors, count: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The largest eigenvalues of a matrix that has no negative ones, largest first, and their eigenvectors as
    columns."""
    values, columns = np.linalg.eigh(symmetric.astype(np.float64))
    return values[::-1][:count].clip(0), columns[:, ::-1][:, :count]


def clusters(vectors: Vectors, count: int, seed: int = 1) -> npt.NDArray[np.int64]:
    """The cluster of each photo, 0 the largest: k-means (Lloyd, 1982; Arthur and Vassilvitskii, "k-means++", 2007).

    Found in the first 32 principal components; none is empty, so there may be fewer than `count`.
    """
    places = principal_components(vectors, CLUSTERED_COMPONENTS).places.astype(np.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a cluster is empty
        _, found = kmeans2(places, min(count, len(np.unique(places, axis=0))), minit="++", seed=seed)
    sizes = np.bincount(found)
    rank = np.empty(len(sizes), np.int64)
    # The inverse of the order: for each cluster its place by size.
    rank[np.argsort(-sizes, kind="stable")] = np.arange(len(sizes))
    ranked: npt.NDArray[np.int64] = rank[found]
    return ranked


def cluster_count(photos: Sequence[Photo]) -> int:
    labels = len({photo.label for photo in photos} - {""})
    return PER_LABEL * min(labels, MANY_LABELS) or WITHOUT_LABELS


def _listed(data: Path, labeled: bool) -> tuple[list[tuple[Path, str]], tuple[Unusable, ...]]:
    """Files of a folder or a list with their labels, and those that are no pictures; a flat folder has no labels."""
    if not data.exists():
        raise DatasetError(f"{data}: no such folder")
    if data.is_dir():
        below = walk(data)
        if not labeled or all(path.parent == data for path in below.pictures):
            return [(path, "") for path in below.pictures], below.dropped
    listing = find_all_photos(data)
    return list(listing.files), listing.dropped


def _find_photos(
    run: Run, data: Path | None, which: Which, labeled: bool, track: Track
) -> tuple[list[Photo], list[Unusable]]:
    if data is None:
        photos, unusable = own_photos(run, SPLITS if which == "all" else [which], track=track)
        if not photos:
            raise RunFolderError(
                f"{run.folder}: its photos are no longer where they were; name a photo folder after the run"
            )
        return photos, unusable
    files, dropped = _listed(data, labeled)
    if not files:
        raise DatasetError(f"{data}: it holds no pictures")
    photos, unusable = identify_photos(files, track=track)
    return photos, [*unusable, *dropped]


def _run(
    embedder: Embedder, photos: Sequence[Photo], track: Track
) -> tuple[Vectors, Vectors, npt.NDArray[np.uint8], dict[int, Unusable]]:
    """Vectors, scores and thumbnails of all photos, and those among them that could not be decoded."""
    spec = embedder.run.card.input
    side = thumbnail_side(len(photos))
    vectors = np.empty((len(photos), embedder.features), np.float32)
    scores = np.empty((len(photos), embedder.labels), np.float32)
    thumbnails = np.empty((len(photos), side, side, 3), np.uint8)
    unusable: dict[int, Unusable] = {}
    batches = pixel_batches(photos, ViewMaker(spec, (0,), False, 0), unusable)
    steps = -(-len(photos) // BATCH_PHOTOS)
    for numbers, views in track(batches, f"Embedding photos, {BATCH_PHOTOS} a step", steps):
        pixels = views.numpy()[:, 0]
        rows = numbers.numpy()
        vectors[rows], scores[rows] = embedder(pixels)
        shown = pixels if spec.color_order == "RGB" else pixels[..., ::-1]
        for row, picture in zip(rows, shown, strict=True):
            thumbnails[row] = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
    return vectors, scores, thumbnails, unusable


def thumbnail_side(photos: int) -> int:
    """Pixels of a thumbnail, so that all fit into a sprite."""
    return next(side for side in THUMBNAIL_SIDES if (SPRITE_SIDE // side) ** 2 >= min(photos, MOST_PHOTOS))

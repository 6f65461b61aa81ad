"""Where a network looks: Grad-CAM of the full-size model, occlusion of any, and how far they agree.

Written here, since tf-keras-vis 0.8.7 looks for Keras 3's convolutions (with TensorFlow 2.16 and later), finds none in
a tf_keras model and stops; and a .tflite it cannot ask at all.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.special import softmax

from edge_core.codec import JsonObject
from edge_core.data.photo_folder import Unusable
from edge_core.files import names_of
from edge_core.images import read_picture
from edge_core.preprocess import Frame, preprocess
from edge_core.progress import Track, silently
from edge_core.run_folder import Run, evenly_spaced, read_held_out
from edge_core.statistics import Z_95, Estimate
from edge_device.inference.classifier import top
from edge_device.results import Prediction
from edge_keras.models.backbone import SCORES
from edge_keras.tf import keras, tf
from edge_train.evaluation.evaluate import open_model
from edge_train.explain.heatmap.logits import from_file, full_size
from edge_train.explain.heatmap.occlusion import Map, Patches, occlusion_map
from edge_train.explain.map_layers import MapLayer, last_maps, layers_of, named

GRAD_CAM: Final = "Grad-CAM"
OCCLUSION: Final = "Occlusion"
ANOTHER: Final = "Grad-CAM of another photo"
RANDOM: Final = "Grad-CAM, last layers randomized"
FULL_SIZE: Final = "full-size"
BATCH: Final = 32


@dataclass(frozen=True)
class Heat:
    """Where a network looks in a picture.

    Attributes:
        method: `GRAD_CAM` or `OCCLUSION`.
        network: `FULL_SIZE`, or name of the .tflite.
        said: Its best label.
        map: float32, shape (rows, columns) of its own, coarse grid; more is more for the label.
    """

    method: str
    network: str
    said: Prediction
    map: Map

    @property
    def name(self) -> str:
        return f"{self.method}, {self.network}"


@dataclass(frozen=True)
class Looked:
    """A picture and where the networks look in it.

    Attributes:
        source: The picture's file.
        pixels: What the networks saw, uint8 RGB, shape (height, width, 3).
        label: That is looked for.
        heats: Grad-CAM first, then occlusion of the full-size model and of each .tflite.
        controls: Maps that should not agree, by name; none for a single picture.
    """

    source: Path
    pixels: Frame
    label: str
    heats: tuple[Heat, ...]
    controls: tuple[tuple[str, Map], ...] = ()

    def pairs(self) -> dict[tuple[str, str], float | None]:
        """Rank correlation of each two maps that are compared, by name; see `agreement`."""
        cam, *occlusions = self.heats
        found = {(cam.name, heat.name): agreement(cam.map, heat.map) for heat in occlusions}
        full = occlusions[0]
        found |= {(full.name, heat.name): agreement(full.map, heat.map) for heat in occlusions[1:]}
        last = occlusions[-1]
        return found | {(name, last.name): agreement(control, last.map) for name, control in self.controls}

    def to_json(self) -> JsonObject:
        return {
            "source": str(self.source),
            "label": self.label,
            "maps": [
                {
                    "method": heat.method,
                    "network": heat.network,
                    "said": vars(heat.said),
                    "map": np.round(heat.map.astype(float), 4).tolist(),
                }
                for heat in self.heats
            ],
            "rank_correlation": [
                {"first": first, "second": second, "value": value} for (first, second), value in self.pairs().items()
            ],
        }


@dataclass(frozen=True)
class MapAgreement:
    """How far two kinds of maps agree.

    Attributes:
        first, second: Names of the maps.
        mean: Mean rank correlation with its 95 % interval over photos; None if no photo has one.
        photos: Number of photos with a rank correlation.
        flat: Photos without one, since a map is the same everywhere.
    """

    first: str
    second: str
    mean: Estimate | None
    photos: int
    flat: int

    def to_json(self) -> JsonObject:
        return asdict(self)


@dataclass(frozen=True)
class Heatmaps:
    """Where networks look in some pictures.

    Attributes:
        looked: Pictures with their maps, in the order given.
        layer: That Grad-CAM was computed at.
        patches: That were hidden.
        unusable: Files that could not be decoded.
    """

    looked: tuple[Looked, ...]
    layer: MapLayer
    patches: Patches
    unusable: tuple[Unusable, ...] = ()

    def agreements(self) -> list[MapAgreement]:
        by_pair = [one.pairs() for one in self.looked]
        found = []
        for first, second in by_pair[0]:
            every = [pairs[first, second] for pairs in by_pair]
            values = np.array([value for value in every if value is not None])
            found.append(MapAgreement(first, second, _mean(values), len(values), len(every) - len(values)))
        return found

    def to_text(self) -> str:
        """A table of the agreements, for people."""
        found = self.agreements()
        names = [max(len(getattr(one, name)) for one in found) for name in ("first", "second")]
        many = f", mean over {len(self.looked)} pictures (95 % interval)" if len(self.looked) > 1 else ""
        lines = [f"rank correlation{many}"]
        for one in found:
            if one.mean is None:
                said = "none: one of the maps is the same everywhere"
            elif one.photos == 1:
                said = f"{one.mean.value:+.2f}"
            else:
                said = f"{one.mean.value:+.3f} ({one.mean.low:+.3f} to {one.mean.high:+.3f})"
                said += f", {one.flat} without" if one.flat else ""
            lines.append(f"  {one.first:{names[0]}}  {one.second:{names[1]}}  {said}")
        return "\n".join(lines)

    def to_json(self) -> JsonObject:
        return {
            "layer": self.layer.name,
            "patches": asdict(self.patches),
            "pictures": [one.to_json() for one in self.looked],
            "agreement": [one.to_json() for one in self.agreements()],
            "unusable": [str(file.path) for file in self.unusable],
        }


@dataclass(frozen=True)
class LookingFor:
    """What heatmaps are computed for.

    Attributes:
        label: Label to look for; by default the full-size model's top-1 label of each picture.
        layer: Layer to compute Grad-CAM at; `last_maps` finds the default.
        patches: Patches that occlusion hides.
    """

    label: str | None = None
    layer: str | None = None
    patches: Patches = field(default_factory=Patches)


ANYTHING: Final = LookingFor()


def explain_pictures(
    run: Run,
    pictures: Sequence[Path],
    files: Sequence[Path] = (),
    *,
    looking: LookingFor = ANYTHING,
    track: Track = silently,
) -> Heatmaps:
    """Where the full-size model of a run, and .tflite of it, look in pictures.

    Args:
        run: Run whose full-size model is explained.
        pictures: Paths of picture files.
        files: .tflite of the run.
        looking: What is looked for, and how finely.
        track: Receives the progress of each step.

    Raises:
        PictureError: A picture cannot be decoded.
        SettingsError: No such label or layer.
        ModelFormatError: A .tflite that cannot be run, or is of another run.
    """
    pixels = [preprocess(read_picture(path, levels=run.card.input.levels), run.card.input) for path in pictures]
    return _explain(run, list(pictures), pixels, files, looking, False, track)


def explain_held_out(
    run: Run,
    count: int,
    files: Sequence[Path] = (),
    *,
    data: Path | None = None,
    looking: LookingFor = ANYTHING,
    track: Track = silently,
) -> Heatmaps:
    """The same for `count` of the photos that the run has never seen, at even distances, with controls.

    A correlation by itself means little: objects lie in the middle of photos, so maps of different photos agree, too.
    So two maps are compared that should not: Grad-CAM of another photo, and Grad-CAM after the weights of the last
    layers were shuffled, which a map that tells of the network must not outlive (Adebayo and others, NeurIPS 2018).

    Raises:
        RunFolderError: See `read_held_out`.
    """
    read = read_held_out(run, lambda _, frame: preprocess(frame, run.card.input), data, track=track)
    chosen = evenly_spaced(list(zip([photo.path for photo in read.photos], read.values, strict=True)), count)
    paths, pixels = [path for path, _ in chosen], [values for _, values in chosen]
    found = _explain(run, paths, pixels, files, looking, True, track)
    return Heatmaps(found.looked, found.layer, found.patches, read.unusable)


def _explain(
    run: Run,
    paths: Sequence[Path],
    pixels: Sequence[Frame],
    files: Sequence[Path],
    looking: LookingFor,
    controls: bool,
    track: Track,
) -> Heatmaps:
    labels = run.card.labels
    wanted = None if looking.label is None else run.label_number(looking.label)
    others = [from_file(file, run, name) for file, name in zip(files, names_of(files), strict=True)]
    model = open_model(run)
    networks = [full_size(model, FULL_SIZE), *others]
    (at,) = named(model, [looking.layer]) if looking.layer else [last_maps(layers_of(model))]
    stacked = np.stack(pixels)
    said = [network.logits(stacked) for network in networks]
    targets = said[0].argmax(axis=1) if wanted is None else np.full(len(stacked), wanted)
    cams = grad_cam(model, stacked, targets, at.name)
    other_maps: list[tuple[tuple[str, Map], ...]] = [()] * len(stacked)
    if controls and len(stacked) > 1:
        shifted = np.roll(cams, len(cams) // 2, axis=0)  # photos lie class by class: mostly of another class
        shuffled = grad_cam(randomized(open_model(run), at.name), stacked, targets, at.name)
        other_maps = [((ANOTHER, one), (RANDOM, other)) for one, other in zip(shifted, shuffled, strict=True)]
    looked = []
    for number in track(range(len(stacked)), "Hiding parts of pictures", len(stacked)):
        best = [top(softmax(logits[number]), labels, 1)[0] for logits in said]
        heats = [Heat(GRAD_CAM, FULL_SIZE, best[0], cams[number])]
        for network, one in zip(networks, best, strict=True):
            found = occlusion_map(network, stacked[number], int(targets[number]), looking.patches)
            heats.append(Heat(OCCLUSION, network.name, one, found))
        rgb = stacked[number] if run.card.input.color_order == "RGB" else stacked[number][..., ::-1]
        looked.append(Looked(paths[number], rgb, labels[targets[number]], tuple(heats), other_maps[number]))
    return Heatmaps(tuple(looked), at, looking.patches)


def grad_cam(model: "keras.Model", pixels: Frame, labels: npt.NDArray[np.int64], layer: str) -> Map:
    """Gradient-weighted class activation maps (Selvaraju and others, ICCV 2017).

    The maps of a layer, each weighted by the mean gradient of the label's logit with respect to it, added up. What is
    below zero speaks for other labels; it is left as it is, for occlusion knows of it, too, and is cut where the map is
    drawn. Compared with occlusion, 24 photos of cats and dogs, the rank correlation was 0.64 so and 0.59 when cut.

    Args:
        model: A Keras classifier.
        pixels: uint8, shape (pictures, height, width, 3).
        labels: Number of the label of each picture.
        layer: Name of the layer.

    Returns:
        Float32, shape (pictures, rows, columns), at the resolution of the layer.
    """
    head = model.get_layer(SCORES)
    both = keras.Model(model.input, [model.get_layer(layer).output, head.input])

    def weighted(batch: tf.Tensor, wanted: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            pixels = tf.cast(batch, tf.float32)
            tape.watch(pixels)  # the weights are not trained here
            maps, features = both(pixels, training=False)
            logit = tf.gather(tf.matmul(features, head.kernel) + head.bias, wanted, batch_dims=1)
        weights = tf.reduce_mean(tape.gradient(logit, maps), axis=(1, 2), keepdims=True)
        return tf.reduce_sum(weights * maps, axis=-1)

    compiled = tf.function(weighted, reduce_retracing=True)
    starts = range(0, len(pixels), BATCH)
    return np.concatenate(
        [compiled(pixels[first : first + BATCH], labels[first : first + BATCH]).numpy() for first in starts]
    )


def randomized(model: "keras.Model", layer: str, seed: int = 0) -> "keras.Model":
    """The model, changed: the weights of every layer from the last convolution up to `layer` and beyond it are
    shuffled.

    Shuffled, not drawn anew, so that each layer's weights keep their distribution.
    """
    rng = np.random.default_rng(seed)
    names = [one.name for one in model.layers]
    before = names[: names.index(layer) + 1]
    first = max(number for number, name in enumerate(before) if "Conv" in type(model.get_layer(name)).__name__)
    for one in model.layers[first:]:
        one.set_weights([rng.permutation(weight.ravel()).reshape(weight.shape) for weight in one.get_weights()])
    return model


def agreement(first: Map, second: Map) -> float | None:
    """Spearman's rank correlation of two maps; None if one is the same everywhere.

    Of maps of different resolution the finer one is averaged around the middle of each cell of the coarser, two such
    cells wide: what a cell of the last layer sees is wider than itself. Grad-CAM (5 x 5) against occlusion (10 x 10),
    24 photos of cats and dogs: 0.71 so, 0.64 one cell wide.
    """
    if first.size > second.size:
        first, second = second, first
    if first.shape != second.shape:
        second = _averaged(second, first.shape)
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    from scipy.stats import spearmanr  # 0.7 s to import, which most that import this module need not wait

    return float(spearmanr(first.ravel(), second.ravel()).statistic)


def _averaged(fine: Map, shape: tuple[int, ...]) -> Map:
    def spans(length: int, count: int) -> list[slice]:
        cell = length / count
        ends = [(round((number - 0.5) * cell), round((number + 1.5) * cell)) for number in range(count)]
        return [slice(max(0, first), max(1, last)) for first, last in ends]

    rows, columns = (spans(length, count) for length, count in zip(fine.shape, shape, strict=True))
    return np.array([[fine[row, column].mean() for column in columns] for row in rows])


def _mean(values: npt.NDArray[np.float64]) -> Estimate | None:
    """The mean with its normal 95 % interval over photos."""
    if not values.size:
        return None
    half = Z_95 * values.std(ddof=1) / len(values) ** 0.5 if len(values) > 1 else np.inf
    mean = float(values.mean())
    return Estimate(mean, float(max(-1.0, mean - half)), float(min(1.0, mean + half)))

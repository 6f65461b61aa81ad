"""The ideal picture of a label: what a network wants to see, drawn by gradient ascent on the pixels.

Left alone, gradient ascent draws noise that no eye makes anything of. What makes it draw (after Olah, Mordvintsev and
Schubert, "Feature Visualization", Distill 2017, unless said otherwise):

- the picture is given by the amplitudes of its spatial frequencies in decorrelated colors, each scaled as in photos, so
  a step changes the whole picture rather than single pixels;
- the network sees another, slightly shifted, turned, magnified and mirrored view of it at each step;
- coarse frequencies come first and finer ones are let in octave by octave;
- total variation (Mahendran and Vedaldi, CVPR 2015) is kept low;
- the logit's lead over all others counts up to a limit only, so what is needed is drawn, and the rest stays calm.

The settings were chosen by eye, on two runs of MobileNetV2. Their scores could not choose: nearly every setting, also
one whose pictures showed nothing, had 0.99 and more. To keep the statistics of the maps near those that the batch
normalizations have seen (Yin and others, "Dreaming to Distill", CVPR 2020; weights 0.01 to 0.1) was no better to look
at, so it is not here.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from edge_core.codec import JsonObject
from edge_core.errors import SettingsError
from edge_core.files import names_of
from edge_core.images import read_picture
from edge_core.preprocess import Frame, preprocess
from edge_core.progress import Track, silently
from edge_core.run_folder import Run
from edge_device.inference.classifier import Classifier
from edge_keras.tf import keras, tf
from edge_train.evaluation.evaluate import open_model
from edge_train.explain.pixel_files import save_pixels
from edge_train.training.attacks import logits_of, margin

Array = npt.NDArray[np.float32]
MOVED: Final = (-8, -4, 0, 4, 8)
"""Pixels by which the finished picture is shifted, in both directions, to see whether its score holds."""
GOOD: Final = 0.95
"""Score from which a network is sure of its own picture."""

FRAMES: Final = 40
"""Of the animation, at most."""

COLORS: Final = np.array([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]], np.float32)
"""From decorrelated colors (light, red to blue, green to magenta) to R, G, B: the root of ImageNet's color covariance,
as the Lucid library (Olah and others, Apache-2.0) has it."""


@dataclass(frozen=True)
class AscentSettings:
    """How an ideal picture is searched.

    Attributes:
        steps: Number of gradient ascent steps.
        rate: Learning rate of Adam at the start; it falls to zero.
        lead: Logit of the label over the best other one, up to which it counts.
        variation: Weight of the total variation: of the mean of absolute differences, in gray levels.
        octaves: How many times coarser the first steps are.
        shift: Largest shift of a view as a share of the side.
        turn: Largest rotation of a view in degrees.
        magnify: Smallest and largest magnification of a view; under 1 there is gray around the picture.
    """

    steps: int = 200
    rate: float = 0.1
    lead: float = 20.0
    variation: float = 0.05
    octaves: float = 3.0
    shift: float = 0.06
    turn: float = 12.0
    magnify: tuple[float, float] = (0.7, 1.6)

    def __post_init__(self) -> None:
        if self.steps < 1 or not self.rate > 0 or not 0 < self.magnify[0] <= self.magnify[1]:
            raise SettingsError(f"a search has a step or more, a rate and a magnification above 0, not {self}")


@dataclass(frozen=True)
class Drawn:
    """A finished picture.

    Attributes:
        file: It was saved to.
        seed: That it began with.
        pixels: uint8 RGB, shape (height, width, 3), as read from the file.
        score: Score of the label that the full-size model gives the picture read from its file.
        moved: The lowest score when it is shifted by up to 8 pixels, and the mean.
        others: Score of the label by each .tflite, by name.
    """

    file: Path
    seed: int
    pixels: Frame
    score: float
    moved: tuple[float, float]
    others: dict[str, float]

    def to_json(self) -> JsonObject:
        return {
            "file": self.file.name,
            "seed": self.seed,
            "score": self.score,
            "least_score_when_shifted": self.moved[0],
            "mean_score_when_shifted": self.moved[1],
            "others": self.others,
        }


@dataclass(frozen=True)
class Ideal:
    """Ideal pictures of a label.

    Attributes:
        label: What they show.
        search: How they were found.
        pictures: One for each seed, the one whose score holds best first.
        frames: How the first one came about, each uint8 RGB, shape (height, width, 3).
    """

    label: str
    search: AscentSettings
    pictures: tuple[Drawn, ...]
    frames: tuple[Frame, ...]

    def to_json(self) -> JsonObject:
        return {
            "label": self.label,
            "search": asdict(self.search),
            "pictures": [one.to_json() for one in self.pictures],
        }


def explain_ideal(
    run: Run,
    label: str,
    folder: Path,
    files: Sequence[Path] = (),
    *,
    seeds: Sequence[int] = (0,),
    search: AscentSettings = AscentSettings(),
    track: Track = silently,
) -> Ideal:
    """Draws the ideal pictures of a label, saves them, and reads them again as a device would.

    Args:
        run: Run whose full-size model is explained.
        label: One of the run's labels.
        folder: Exists; the pictures go there as LABEL-SEED.png, at the size of the model's input.
        files: .tflite that are shown them, too.
        seeds: Each begins a picture.
        search: Settings of the search.
        track: Receives the progress of each step.

    Raises:
        SettingsError: No such label.
        ModelFormatError: A .tflite that cannot be run, or has no such label.
        OutputError: A picture cannot be written.
    """
    number = run.label_number(label)
    classifiers = [Classifier(file) for file in files]
    for file, classifier in zip(files, classifiers, strict=True):
        if label not in classifier.card.labels:
            raise SettingsError(f"{file} knows no label {label!r}; it knows {', '.join(classifier.card.labels)}")
    model, spec = open_model(run), run.card.input
    rgb = slice(None) if spec.color_order == "RGB" else slice(None, None, -1)
    frames: list[Frame] = []
    found = draw(
        model,
        number,
        seeds,
        search,
        bgr=spec.color_order == "BGR",
        mirror=bool(run.card.training.get("mirror", True)),
        watch=frames.append,
        track=track,
    )
    drawn = []
    for seed, picture in zip(seeds, found, strict=True):
        path = folder / f"{label.replace('/', '_')}-{seed}.png"
        save_pixels(path, picture, spec)
        frame = read_picture(path)
        pixels = preprocess(frame, spec)
        scores = np.asarray(model.predict_on_batch(moved(pixels).astype(np.float32)))[:, number]
        others = {
            name: float(one.scores(frame)[0][one.card.labels.index(label)])
            for name, one in zip(names_of(files), classifiers, strict=True)
        }
        least = float(scores.min()), float(scores.mean())
        drawn.append(Drawn(path, seed, pixels[..., rgb], float(scores[len(scores) // 2]), least, others))
    order = sorted(range(len(drawn)), key=lambda place: -drawn[place].moved[0])
    best = tuple(frame[order[0]][..., rgb] for frame in frames)
    return Ideal(label, search, tuple(drawn[place] for place in order), best)


def moved(pixels: Frame) -> Frame:
    """The picture shifted by all of `MOVED` both ways, its edges repeated: shape (25, height, width, 3); itself is the
    middle one."""
    height, width = pixels.shape[:2]
    most = max(MOVED)
    wide = np.pad(pixels, ((most, most), (most, most), (0, 0)), "edge")
    return np.stack([wide[most - down :, most - right :][:height, :width] for down in MOVED for right in MOVED])


def draw(
    model: "keras.Model",
    label: int,
    seeds: Sequence[int],
    search: AscentSettings = AscentSettings(),
    *,
    bgr: bool = False,
    mirror: bool = True,
    watch: Callable[[Frame], None] = lambda pictures: None,
    track: Track = silently,
) -> Frame:
    """Pictures that a classifier is sure of.

    Args:
        model: Classifier with its softmax layer.
        label: Index of the label.
        seeds: Each begins a picture; pictures do not depend on each other.
        search: Settings of the search.
        bgr: Whether the model takes B, G, R.
        mirror: Whether every other view is mirrored.
        watch: Is shown the pictures of up to `FRAMES` of the steps, and the finished ones.
        track: Receives the progress of each step.

    Returns:
        Uint8, shape (seeds, height, width, 3), in the model's color order.
    """
    height, width = model.input_shape[1:3]
    frequencies = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]).astype(np.float32)
    # Real and imaginary parts of the amplitudes in three colors.
    start = np.stack(
        [np.random.default_rng(seed).normal(0, 0.01, (2, 3, *frequencies.shape)).astype(np.float32) for seed in seeds]
    )
    spectrum = tf.Variable(start)
    scale = _photo_like(frequencies, height * width)
    colors = COLORS[::-1] if bgr else COLORS

    def picture(finest: tf.Tensor) -> tf.Tensor:
        """Float32, levels 0..255, with frequencies up to about `finest`, in cycles a pixel."""
        # A soft edge of 0.01 cycles a pixel, so that frequencies come in one after the other.
        amplitudes = spectrum * (scale * tf.sigmoid((finest - frequencies) / 0.01))
        light = tf.signal.irfft2d(tf.complex(amplitudes[:, 0], amplitudes[:, 1]), [height, width])
        return 255 * tf.sigmoid(tf.einsum("nkhw,ck->nhwc", light, colors))

    logits = logits_of(model)
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(search.rate, search.steps))

    def step(finest: tf.Tensor, views: tf.Tensor, mirrored: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            pixels = picture(finest)
            view = _viewed(pixels, views)
            view = tf.where(mirrored[:, None, None, None], view[:, :, ::-1], view)
            lead = margin(logits(view), tf.fill([len(seeds)], label))
            loss = tf.reduce_sum(tf.nn.softplus(search.lead - lead)) + search.variation * _variation(pixels)
        optimizer.apply_gradients([(tape.gradient(loss, spectrum), spectrum)])

    def finished(finest: float) -> Frame:
        levels: Frame = np.rint(picture(finest).numpy()).astype(np.uint8)
        return levels

    ascend = tf.function(step)
    highest = float(frequencies.max())
    for number in track(range(search.steps), "Drawing", search.steps):
        # Over the first 70 % of the steps the finest frequency rises by `octaves` octaves to the highest there is.
        finest = highest * 2 ** -(search.octaves * max(0.0, 1 - number / (0.7 * search.steps)))
        rngs = [np.random.default_rng([seed, number]) for seed in seeds]
        views = np.stack([_view(rng, search, height, width) for rng in rngs])
        ascend(tf.constant(finest, tf.float32), views, np.array([mirror and rng.random() < 0.5 for rng in rngs]))
        if number % -(-search.steps // FRAMES) == 0:
            watch(finished(finest))
    # At twice the highest frequency the soft edge leaves all of them as they are.
    pictures = finished(2 * highest)
    watch(pictures)
    return pictures


def _photo_like(frequencies: Array, pixels: int) -> Array:
    """What brings equal amplitudes to those of photos, which fall with the frequency; the lowest ones, of whole-picture
    light, are held back."""
    floor = 4 / pixels**0.5
    # irfft2d divides by the number of pixels.
    contrast = 0.12 * pixels / np.linalg.norm(COLORS, axis=0).max()
    scale: Array = (contrast * floor / np.maximum(frequencies, floor)).astype(np.float32)
    return scale


def _view(rng: np.random.Generator, search: AscentSettings, height: int, width: int) -> Array:
    """Of a random view, the eight numbers that `ImageProjectiveTransformV3` takes: from a place in it to one in the
    picture."""
    turn = np.deg2rad(rng.uniform(-search.turn, search.turn))
    factor = np.exp(rng.uniform(*np.log(search.magnify)))
    across, down = np.cos(turn) / factor, np.sin(turn) / factor
    x, y = (width - 1) / 2, (height - 1) / 2
    right, below = rng.uniform(-search.shift, search.shift, 2) * (width, height)
    return np.array(
        [across, -down, x - across * x + down * y + right, down, across, y - down * x - across * y + below, 0, 0],
        np.float32,
    )


def _viewed(pixels: tf.Tensor, views: tf.Tensor) -> tf.Tensor:
    """Each picture in its view, mid-gray around it."""
    return 127 + tf.raw_ops.ImageProjectiveTransformV3(
        images=pixels - 127,
        transforms=views,
        output_shape=pixels.shape[1:3],
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
        fill_value=0.0,
    )


def _variation(pixels: tf.Tensor) -> tf.Tensor:
    """Total variation, the sum over pictures of the mean over their pixels, in gray levels."""
    down = tf.reduce_sum(tf.abs(pixels[:, 1:] - pixels[:, :-1]))
    across = tf.reduce_sum(tf.abs(pixels[:, :, 1:] - pixels[:, :, :-1]))
    return (down + across) / (pixels.shape[1] * pixels.shape[2])

"""What each phase of a training trains, what it learns from, and where."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from edge_core.data.photo_folder import Photo, Unusable
from edge_core.run_folder import evenly_spaced
from edge_keras.models.architectures import Architecture
from edge_keras.models.backbone import Parts, uncut
from edge_keras.tf import keras, tf
from edge_train.data.augment import ViewMaker
from edge_train.evaluation.learning_curve import LearningCurve
from edge_train.settings import Phase, Settings
from edge_train.training.attacks import fgsm, logits_of, perturb, pgd
from edge_train.training.devices import ONE, Devices
from edge_train.training.features import Extractor, Maps, compiled, map_scores, pixel_batches
from edge_train.training.fine_tune import Array, Positions, Student, Teach, TrainingTargets, remembering, with_dropout

ROUNDING_PHOTOS: Final = 256
"""Photos whose activations set the ranges of quantization-aware training."""

ADVERSARIAL_STEPS: Final = 4
"""Of PGD in training. Each is a pass through the whole network and back, as the training step itself is."""

ROUNDED_VIEWS: Final = 2
"""Of each photo, for the same: as seen and mirrored."""


@dataclass(frozen=True)
class TrainingContext:
    """What the phases draw on.

    Attributes:
        model: The network that is trained.
        parts: The same network, cut at the seam.
        architecture: Architecture of the network.
        settings: Settings of the recipe.
        devices: All that there are.
        extractor: Extractor of feature maps.
        targets: Maps of the training photos in all views, with their targets.
        val: Maps of the validation photos.
        features: Features of the training photos in all views, as the pretrained network has them.
        curve: Whether more photos would help.
    """

    model: "keras.Model"
    parts: Parts
    architecture: Architecture
    settings: Settings
    devices: Devices
    extractor: Extractor
    targets: TrainingTargets
    val: Maps
    features: Maps
    curve: LearningCurve | None = None

    @property
    def unusable(self) -> list[Unusable]:
        """Training and validation photos that could not be decoded."""
        return [*self.targets.maps.unusable, *self.val.unusable]


@dataclass(frozen=True)
class PhasePlan:
    """A phase, ready to be trained.

    Attributes:
        student: What is trained.
        targets: What it learns from.
        val: Maps that it is validated on.
        devices: What it is trained on.
        finish: Moves what the student has learned into the network.
        quantized: The network for 8 bits, if the phase makes one.
        parts: The network with its new split layer, if this phase changes it; `val` then holds maps of these parts.
    """

    student: Student
    targets: TrainingTargets
    val: Maps
    devices: Devices = ONE
    finish: Callable[[], None] = lambda: None
    quantized: "keras.Model | None" = None
    parts: Parts | None = None


def plan(phase: Phase, context: TrainingContext) -> PhasePlan:
    """How to go about a phase; the imports that the last three need take two seconds."""
    makers = {"fine-tune": _fine_tune, "adversarial": _adversarial, "prune": _prune, "cluster": _cluster, "qat": _qat}
    return makers[phase.name](phase, context)


def _fine_tune(phase: Phase, context: TrainingContext) -> PhasePlan:
    targets = remembering(context.targets, context.features, context.settings.remember)
    return PhasePlan(with_dropout(context.parts), targets, context.val, context.devices)


def _adversarial(phase: Phase, context: TrainingContext) -> PhasePlan:
    """Training of the whole network on pictures that are made in every step against the network as it then is.

    Madry et al., "Towards Deep Learning Models Resistant to Adversarial Attacks" (2018); with one step from a random
    start Wong, Rice and Kolter, "Fast is better than free" (2020). With the lower part frozen it did not help with the
    settings that were tried (docs/results/training.md has the figures).
    """
    settings, train, maker = context.settings, context.targets.maps, context.extractor.maker
    parts, logits, epsilon = uncut(context.model), logits_of(context.model), settings.adversarial_epsilon
    attack = (
        fgsm(epsilon, random_start=True) if settings.adversarial == "fgsm" else pgd(epsilon, steps=ADVERSARIAL_STEPS)
    )

    @tf.function  # type: ignore[untyped-decorator]
    def attacked(pixels: tf.Tensor, labels: tf.Tensor, seeds: tf.Tensor) -> tf.Tensor:
        return perturb(logits, tf.cast(pixels, tf.float32), labels, attack, seeds)

    def view(position: int, number: int) -> tf.Tensor:
        return replace(maker, numbers=(number,))(train.photos[position])[0]

    def look(positions: Positions, views: Positions, seeds: tuple[int, int]) -> Array:
        # OpenCV does most of the work, and lets go of Python's lock meanwhile.
        with ThreadPoolExecutor() as pool:
            pixels = np.stack(list(pool.map(view, positions.tolist(), views.tolist())))
        found: Array = attacked(pixels, train.targets[positions], tf.constant(seeds)).numpy()
        return found

    pixels_of = context.extractor.through(parts.lower, of="pixels")
    val = replace(pixels_of("the validation photos' pixels", context.val.photos, (0,)), unusable=context.val.unusable)
    return PhasePlan(with_dropout(parts), replace(context.targets, look=look), val, parts=parts)


def _prune(phase: Phase, context: TrainingContext) -> PhasePlan:
    from edge_train.training.compression import pruned

    steps = phase.epochs * max(1, len(context.targets.maps.photos) // context.settings.batch)
    student, finish = pruned(context.parts.upper, context.settings.prune, steps)
    return PhasePlan(student, context.targets, context.val, finish=finish)


def _cluster(phase: Phase, context: TrainingContext) -> PhasePlan:
    from edge_train.training.compression import clustered

    student, finish = clustered(context.parts.upper, context.settings.cluster)
    return PhasePlan(student, context.targets, context.val, finish=finish)


def _qat(phase: Phase, context: TrainingContext) -> PhasePlan:
    from edge_train.training.qat import Rounding

    train, val, extractor = context.targets.maps, context.val, context.extractor
    rounding = Rounding(context.model, context.architecture.seam, _calibration(train.photos, extractor.maker))
    maps = extractor.through(rounding.lower, rounded=rounding.digest())
    rounded_val = maps("the validation photos, rounded", val.photos, (0,))
    rounded = maps("the training photos, rounded", train.photos, range(train.rows.shape[1])[:ROUNDED_VIEWS])
    unrounded = compiled(context.parts.upper, tf.float16)  # teaches

    teach: Teach = lambda photos, views: unrounded(train.read(photos, views)).numpy()
    targets = TrainingTargets(rounded, context.targets.weights, teach, 1.0, 1.0, map_scores(unrounded, val))
    student = rounding.student(keep_zeros=bool(context.settings.prune))
    return PhasePlan(student, targets, rounded_val, finish=rounding.finish, quantized=rounding.plain)


def _calibration(photos: list[Photo], maker: ViewMaker) -> Iterator[tf.Tensor]:
    """Pixels of some training photos, of all classes: uint8, shape (photos, height, width, 3)."""
    unusable: dict[int, Unusable] = {}
    some = evenly_spaced(photos, ROUNDING_PHOTOS)
    return (pixels[:, 0] for _, pixels in pixel_batches(some, maker, unusable))

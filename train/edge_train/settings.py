"""What can be turned in the recipe, and the phases that it goes through."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

from edge_core.errors import SettingsError

if TYPE_CHECKING:
    from edge_keras.models.architectures import Architecture

Augment = Literal["camera", "randaugment", "scene"]
Adversarial = Literal["", "fgsm", "pgd"]
Depth = Literal["head", "usual", "deep"]
"""How much of the network is trained: the last layer, what is behind the seam, or what is behind the deep seam."""

EPOCHS: Final = 8
"""Fine-tuning epochs unless stated."""

POOR_HEAD: Final = 0.85
"""Accuracy of the solved head on the validation photos, below which the frozen features hardly tell the classes apart;
it is 77 % with `signs`, 90 with flowers, 98 with cats and dogs."""

DEEP_PHOTOS: Final = 50
"""Training photos of a class, in the mean. A head on fewer may be poor for want of photos."""

FEW_PHOTOS: Final = 400
"""Training photos below which fine-tuning takes more from a good head than it gives: Adam has too few steps to recover
from its first ones. docs/results/training.md has the figures, also for the next two."""

TOO_FEW_PHOTOS: Final = 100
"""Training photos below which it does so to any head."""

POOR_HEAD_OF_FEW: Final = 0.7
"""Cross-validated accuracy below which a head on few photos is poor because the frozen features hardly tell the classes
apart: it is 55 to 66 % with 10 to 20 photos of each of the `signs`, 75 to 79 with as many flowers."""

USUAL_RATE: Final = 3e-4
USUAL_MIXUP: Final = 0.2
DEEP_RATE: Final = 6e-4
DEEP_MIXUP: Final = 0.0
"""From the deep seam on instead of the usual ones: features that must be learned anew need larger steps, and signs that
differ in one figure are blurred by mixing. docs/results/training.md has the figures."""


@dataclass(frozen=True)
class Settings:
    """Every setting of the recipe of a training.

    The defaults were chosen on flowers and on cats and dogs; docs/results/training.md has the figures.

    Attributes:
        seed: Random seed for weights, augmentations and order of photos; the split has a seed of its own.
        views: Number of augmented views of each training photo, see `augment.ViewMaker`.
        augment: How drawn views differ from the photo, see `augment.ViewMaker`.
        epochs: Largest number of fine-tuning epochs; 0 leaves the solved head as it is, None for `EPOCHS`, or for 0
            where that is better (`depth_for`).
        patience: Epochs in a row that are not kept, after which fine-tuning ends.
        batch: Pictures per step.
        train_size: Side in pixels of the pictures that it is trained on, at most the input's; 0 for the input's.
            Things look larger in random views than in the photos they are cut from, so a network does better on an
            input larger than it was trained at (Touvron and others, "Fixing the train-test resolution discrepancy",
            2019; docs/results/training.md has the figures).
        learning_rate: Learning rate of Adam after a warm-up over the first tenth of the steps and before a cosine
            decay to 0; None for `USUAL_RATE`, or for `DEEP_RATE` from the deep seam on.
        dropout: Share of the features that a training step leaves out before the last layer.
        fine_tune_from: Layer at whose output fine-tuning begins, or the number of last blocks that it changes; empty
            for the architecture's own.
        mixup: Two photos are mixed, maps and targets, by a share drawn from Beta(mixup, mixup); 0 for not at all, None
            for `USUAL_MIXUP`, or for `DEEP_MIXUP` from the deep seam on.
            Zhang et al., "mixup" (2018), here on the maps at the seam (Verma et al., "Manifold Mixup", 2019).
        remember: Weight in the loss of one less the cosine between the features and those that the pretrained network
            has of the same maps; 0 for not at all, as without pretrained weights. Of 162 foreign pictures a flowers
            model takes 10.5 % for flowers with 0, 6.2 % with 0.3 and 6.2 % with 1; right on validation and test photos
            together: 93.8, 94.0 and 92.1 % (docs/reference/foreign.md).
        label_smoothing: Share of each target that is spread over all labels.
        class_weights: Whether a photo counts in inverse proportion to the photos of its class, up to
            `head.MOST_WEIGHT`.
        teacher_weight: Share of the loss that is the teacher's, if there is one.
        temperature: Softmax temperature at which student and teacher are compared (Hinton et al., "Distilling the
            Knowledge", 2015).
        prune: Share of the fine-tuned convolutions' weights that becomes zero; 0 for none.
        cluster: Different values that each of those convolutions may have; 0 for any number.
        qat: Whether to train for 8-bit arithmetic, too.
        compression_epochs: Number of epochs for each of pruning, clustering and quantization-aware training.
        compression_rate: Learning rate of training for 8 bits, with the same warm-up and decay; ten times that of the
            other two.
        adversarial: Attack whose pictures all layers are trained on after fine-tuning; empty for none. At the learning
            rate of pruning and clustering.
        adversarial_epsilon: How far those may be from the photo, in gray levels of any channel of a pixel. With 2, all
            that the network knew was lost in the two trainings that were tried (docs/results/training.md).
        adversarial_epochs: Number of epochs of training on adversarial pictures.
        float32: Whether a GPU computes in float32 even where float16 is faster, so that losses are those of a
            processor.
    """

    seed: int = 1
    views: int = 4
    augment: Augment = "camera"
    epochs: int | None = None
    patience: int = 8
    batch: int = 32
    train_size: int = 0
    learning_rate: float | None = None
    dropout: float = 0.2
    fine_tune_from: str = ""
    mixup: float | None = None
    remember: float = 0.3
    label_smoothing: float = 0.0
    class_weights: bool = False
    teacher_weight: float = 0.5
    temperature: float = 2.0
    prune: float = 0.0
    cluster: int = 0
    qat: bool = False
    compression_epochs: int = 3
    compression_rate: float = 1e-5
    adversarial: Adversarial = ""
    adversarial_epsilon: float = 1.0
    adversarial_epochs: int = 5
    float32: bool = False


@dataclass(frozen=True)
class Phase:
    """A part of the training, with its own optimizer and its own warm-up and decay.

    Attributes:
        name: Name of the phase in `history.csv`.
        start: What the weights are called that it starts with, in `history.csv`; empty if they are not worth a line.
        title: Title of the phase's progress bar.
        epochs: Largest number of epochs.
        learning_rate: Highest learning rate of the phase.
        patience: Epochs in a row that are not kept, after which it ends; None keeps every epoch.
    """

    name: str
    start: str
    title: str
    epochs: int
    learning_rate: float
    patience: int | None


def phases(settings: Settings) -> list[Phase]:
    """In order."""
    count, rate = settings.compression_epochs, settings.compression_rate
    highest = USUAL_RATE if settings.learning_rate is None else settings.learning_rate
    epochs = EPOCHS if settings.epochs is None else settings.epochs
    found = [Phase("fine-tune", "head", "Fine-tuning", epochs, highest, settings.patience)]
    if settings.adversarial:
        epochs = settings.adversarial_epochs
        found.append(Phase("adversarial", "", "Adversarial training", epochs, 10 * rate, None))
    if settings.prune:
        found.append(Phase("prune", "", "Pruning", count, 10 * rate, None))
    if settings.cluster:
        found.append(Phase("cluster", "", "Clustering", count, 10 * rate, None))
    if settings.qat:
        found.append(Phase("qat", "rounded", "Training for 8 bits", count, rate, count))
    return found


_RANGES: Final = {
    "mixup": (0, 10),
    "remember": (0, 10),
    "prune": (0, 0.95),
    "adversarial_epsilon": (1, 64),
    "label_smoothing": (0, 1),
    "teacher_weight": (0, 1),
    "temperature": (0.01, 100),
    "compression_rate": (0, 1),
}
"""From the smallest to the largest number that each setting may be."""


def check_numbers(settings: Settings) -> None:
    """Checks the numbers that any network could be trained with or with none.

    Raises:
        SettingsError: A number is out of its range, with the option that states it.
    """
    for name, (low, high) in _RANGES.items():
        value = getattr(settings, name)
        if value is not None and not low <= value <= high:  # NaN is in no range
            raise SettingsError(f"--{name.replace('_', '-')} {value:g} is not a number from {low:g} to {high:g}")
    if settings.learning_rate is not None and not 0 < settings.learning_rate <= 1:
        raise SettingsError(f"--learning-rate {settings.learning_rate:g} is not above 0 and at most 1; 3e-4 is usual")
    if not 0 <= settings.dropout < 1:
        raise SettingsError(f"--dropout {settings.dropout:g} is not a share from 0 to below 1; 0.2 is usual")
    if settings.batch < 1:
        raise SettingsError(f"--batch {settings.batch} is not a number of pictures; 32 are usual")


def check_settings(settings: Settings, architecture: "Architecture") -> None:
    """Checks that a network can be trained so.

    Raises:
        SettingsError: It cannot, with the reason.
    """
    check_numbers(settings)
    if settings.qat and not architecture.qat:
        raise SettingsError(
            f"{architecture.name} cannot be trained for 8 bits: {architecture.why_not_qat}; leave --qat out"
        )
    layers = [name for name in ("prune", "cluster", "adversarial", "fine_tune_from") if getattr(settings, name)]
    if architecture.frozen and layers:
        option = layers[0].replace("_", "-")
        raise SettingsError(f"{architecture.name} is frozen, so that --{option} has nothing to train; leave it out")
    if settings.train_size and architecture.frozen:
        raise SettingsError(f"{architecture.name} is frozen, so that --train-size trains nothing; leave it out")
    _check_together(settings)


def _check_together(settings: Settings) -> None:
    if settings.train_size and settings.qat:
        raise SettingsError("--train-size with --qat: steps of 8 bits hold for one size alone; leave one of them out")
    if settings.qat and settings.cluster:
        raise SettingsError("--qat after --cluster would move the weights apart again: choose one of them")
    after = [name for name in ("prune", "cluster", "qat") if getattr(settings, name)]
    if settings.adversarial and after:
        raise SettingsError(
            f"--{after[0]} goes on with photos as they are and would undo --adversarial: choose one of them"
        )
    if settings.cluster == 1:
        raise SettingsError("--cluster 1 would leave a single weight; 16 or 32 are usual")


def depth_for(
    architecture: "Architecture", settings: Settings, photos: int, labels: int, head_accuracy: float
) -> Depth:
    """How much of a pretrained network is trained; what was asked for stays.

    Args:
        architecture: Architecture of the network.
        settings: Settings of the recipe.
        photos: Number of training photos.
        labels: Number of labels.
        head_accuracy: Accuracy of the solved head on photos that it was not solved on, 0 to 1.
    """
    if settings.epochs == 0:
        return "head"
    if settings.fine_tune_from:
        return "usual"
    enough = TOO_FEW_PHOTOS if head_accuracy < POOR_HEAD_OF_FEW else FEW_PHOTOS
    if settings.epochs is None and photos < enough:
        return "head"
    good = POOR_HEAD if photos >= DEEP_PHOTOS * labels else POOR_HEAD_OF_FEW
    deep = architecture.deep_seam and head_accuracy < good and photos >= TOO_FEW_PHOTOS
    return "deep" if deep else "usual"


def head_settings(settings: Settings) -> Settings:
    """The recipe that leaves the solved head as it is."""
    return usual_settings(replace(settings, epochs=0))


def usual_settings(settings: Settings) -> Settings:
    """The recipe from the architecture's own seam on: what was not asked for becomes the usual."""
    return _filled(settings, USUAL_RATE, USUAL_MIXUP)


def deep_settings(settings: Settings) -> Settings:
    """The recipe from the deep seam on; what was asked for stays."""
    return _filled(settings, DEEP_RATE, DEEP_MIXUP)


def _filled(settings: Settings, rate: float, mixup: float) -> Settings:
    return replace(
        settings,
        epochs=EPOCHS if settings.epochs is None else settings.epochs,
        learning_rate=rate if settings.learning_rate is None else settings.learning_rate,
        mixup=mixup if settings.mixup is None else settings.mixup,
    )

"""`edge-train fit`."""

import json
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from edge_core.data.photo_folder import Photo
from edge_core.errors import WeightsError
from edge_core.preprocess import InputSpec, parse_levels
from edge_core.run_folder import read_run
from edge_device.command_line.console import (
    Debug,
    Json,
    extra_needed,
    one_line_errors,
    say,
    say_first,
    say_passed_over,
    say_unusable,
    track,
    working,
)
from edge_device.command_line.next_step import say_next
from edge_device.system.nearest import nearest
from edge_device.system.user_folders import cache_folder
from edge_train.data.class_balance import headline
from edge_train.training.workers import read_worker, restarted_when_lost

if TYPE_CHECKING:
    from edge_train.data.dataset import PhotoSet
from edge_train.cli.train_parameters import NEEDS, Data, DataDir


class BackboneName(StrEnum):
    """The networks; `edge_keras.models.architectures` says what is known of each."""

    mobilenet_v1 = "mobilenet_v1"
    mobilenet_v2 = "mobilenet_v2"
    mobilenet_v3_small = "mobilenet_v3_small"
    mobilenet_v3_large = "mobilenet_v3_large"
    mobilenet_v3_small_minimalistic = "mobilenet_v3_small_minimalistic"
    mobilenet_v3_large_minimalistic = "mobilenet_v3_large_minimalistic"
    efficientnet_lite0 = "efficientnet_lite0"
    efficientnet_lite1 = "efficientnet_lite1"
    efficientnet_lite2 = "efficientnet_lite2"
    mobilenet_v4_conv_small = "mobilenet_v4_conv_small"
    mobilenet_v4_conv_medium = "mobilenet_v4_conv_medium"
    resnet50 = "resnet50"
    vgg16 = "vgg16"
    vgg19 = "vgg19"


class AugmentName(StrEnum):
    """How drawn views differ from the photo."""

    camera = "camera"
    randaugment = "randaugment"
    scene = "scene"


class AdversarialName(StrEnum):
    """How the pictures are made that adversarial training shows; `edge_train.training.attacks` has them."""

    fgsm = "fgsm"
    pgd = "pgd"


def fit(
    data: Data,
    out: Annotated[Path | None, typer.Option(help="Run folder to write. Default: runs/NAME-OF-DATA.")] = None,
    data_dir: DataDir = None,
    backbone: Annotated[
        str,
        typer.Option(
            metavar="NAME|PATH|hub:HANDLE",
            help=f"Network to train: {', '.join(BackboneName)}. Or your own, frozen: a SavedModel, a Keras file, "
            "or what TF-Hub or Kaggle has.",
        ),
    ] = "mobilenet_v2",
    backbone_range: Annotated[
        str,
        typer.Option(
            metavar="0..1|-1..1|0..255",
            help="Pixels that your own network takes. Default: 0..1 as on TF-Hub; 0..255 of a Keras file that "
            "begins with a layer that normalizes.",
            show_default=False,
        ),
    ] = "",
    image_size: Annotated[
        int | None,
        typer.Option(
            help="Side of the model's input in pixels. Default: 160 for MobileNet V1 and V2, 240 and 260 for "
            "EfficientNet-Lite1 and Lite2, what your own network demands, else 224.",
            min=32,
            max=1024,
        ),
    ] = None,
    train_size: Annotated[
        int | None,
        typer.Option(
            help="Side in pixels that it is trained at, if smaller than --image-size: training stays quick, and small "
            "subjects are seen better. Default: as --image-size.",
            min=32,
            max=1024,
            show_default=False,
        ),
    ] = None,
    crop: Annotated[
        str, typer.Option(help="How a photo that is not square becomes square: center, stretch or pad.")
    ] = "center",
    levels: Annotated[
        str,
        typer.Option(
            help="Levels of 16-bit and thermal photos that become black and white: 7300..8300, or auto for what the "
            "training photos have, but for hot pixels. Recorded in the model. Default: 0..65535.",
            show_default=False,
        ),
    ] = "",
    alpha: Annotated[
        float,
        typer.Option(
            help="Width multiplier of the MobileNet. For V2: 0.35, 0.5, 0.75, 1.0, 1.3 or 1.4.", min=0.1, max=4
        ),
    ] = 1.0,
    weights: Annotated[
        str, typer.Option(help="Weights to start from: imagenet, none, or the path of a weights file.")
    ] = "imagenet",
    epochs: Annotated[
        int | None,
        typer.Option(
            help="Largest number of fine-tuning epochs; 0 trains the last layer alone. 8 by default; 0 with fewer than "
            "100 photos to train on, and with fewer than 400 if the pretrained network tells the classes apart.",
            min=0,
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(help="Random seed of the split, the augmentation and the training.", min=0, max=2**32 - 1)
    ] = 1,
    mirror: Annotated[
        bool | None,
        typer.Option(
            "--mirror/--no-mirror",
            help="Train on mirrored photos, too, which suits neither signs nor text. Default: yes, except for the set "
            "`signs`.",
            show_default=False,
        ),
    ] = None,
    group_by: Annotated[
        str,
        typer.Option(
            metavar="folder|REGEX",
            help="Photos that must stay on one side of the split: those in one folder inside that of their class, or "
            "those in whose paths a regular expression finds the same. Copies, bursts and clips are found anyway.",
            show_default=False,
        ),
    ] = "",
    fine_tune_from: Annotated[
        str,
        typer.Option(
            metavar="LAYER|BLOCKS",
            help="Layer of the network at whose output fine-tuning begins, or how many of its last blocks it changes: "
            "block_9_add, or 6. Everything before is frozen. Default: what was measured for the network.",
            show_default=False,
        ),
    ] = "",
    learning_rate: Annotated[
        float | None,
        typer.Option(
            help="Highest learning rate of fine-tuning, reached after a tenth of its steps. Default: 3e-4, or 6e-4 "
            "where fit begins fine-tuning earlier because the head is poor.",
            show_default=False,
        ),
    ] = None,
    batch: Annotated[int, typer.Option(help="Pictures in a step of training.", min=1, max=4096)] = 32,
    dropout: Annotated[
        float, typer.Option(help="Share of the features that a training step leaves out before the last layer.")
    ] = 0.2,
    augment: Annotated[
        AugmentName,
        typer.Option(
            help="How training photos are varied. camera: moved, and in another light. randaugment: distorted in two "
            "more ways. scene: small and anywhere before parts of other photos."
        ),
    ] = AugmentName.camera,
    mixup: Annotated[
        float | None,
        typer.Option(
            help="Strength a of mixup, which blends two photos by a share drawn from Beta(a, a); 0 turns it off. "
            "Default: 0.2, or 0 where fit begins fine-tuning earlier because the head is poor.",
            min=0,
            max=10,
            show_default=False,
        ),
    ] = None,
    remember: Annotated[
        float,
        typer.Option(
            help="How strongly fine-tuning holds to the features of the pretrained network, by which the file tells "
            "what is foreign to it; 0 for not at all.",
            min=0,
            max=10,
        ),
    ] = 0.3,
    class_weights: Annotated[
        bool,
        typer.Option("--class-weights", help="Weigh photos of small classes more in training, up to 20 times as much."),
    ] = False,
    teacher: Annotated[
        Path | None,
        typer.Option(
            help="Run folder of a bigger network with the same labels, from whose scores this one learns, too."
        ),
    ] = None,
    prune: Annotated[
        float,
        typer.Option(help="Share of the weights in fine-tuned convolutions that is set to zero.", min=0, max=0.95),
    ] = 0.0,
    cluster: Annotated[
        int,
        typer.Option(
            help="Number of different weights that each fine-tuned convolution may have; 0 for any number.",
            min=0,
            max=256,
        ),
    ] = 0,
    qat: Annotated[
        bool,
        typer.Option(
            "--qat",
            help="Train for 8-bit arithmetic, too (quantization-aware training); edge-convert uses it for int8.",
        ),
    ] = False,
    adversarial: Annotated[
        AdversarialName | None,
        typer.Option(
            help="Train all layers, in the end, on pictures that are made to mislead the network, in one step (fgsm) "
            "or in four (pgd)."
        ),
    ] = None,
    adversarial_epsilon: Annotated[
        float,
        typer.Option(help="Largest change of a pixel in adversarial training, in gray levels of 255.", min=1, max=64),
    ] = 1.0,
    float32: Annotated[
        bool,
        typer.Option("--float32", help="Compute in float32 on a GPU, too, where float16 would be faster."),
    ] = False,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Also write logs for TensorBoard into the run folder's tensorboard/.")
    ] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Train a classifier on a folder of photos; after an interruption the same command goes on after the last epoch.

    Example: edge-train fit photos/ --out runs/flowers
    """
    with one_line_errors(debug), restarted_when_lost(say):
        # Refuses a TF_CONFIG that cannot be understood before any work is done.
        read_worker()
        with extra_needed("train", *NEEDS):
            from edge_train.data.dataset import open_photos
            from edge_train.settings import Settings, check_numbers, check_settings
            from edge_train.training.checkpoints import check_out
        if out is not None:
            check_out(out)
        if levels not in ("", "auto"):
            parse_levels(levels)
        settings = Settings(
            seed=seed,
            augment=augment.value,
            epochs=epochs,
            batch=batch,
            train_size=train_size or 0,
            learning_rate=learning_rate,
            dropout=dropout,
            fine_tune_from=fine_tune_from,
            mixup=mixup,
            remember=remember,
            class_weights=class_weights,
            prune=prune,
            cluster=cluster,
            qat=qat,
            adversarial=adversarial.value if adversarial else "",
            adversarial_epsilon=adversarial_epsilon,
            float32=float32,
        )
        check_numbers(settings)
        own = backbone not in set(BackboneName)
        if own and not backbone.startswith("hub:") and not Path(backbone).exists():
            raise WeightsError(
                f"--backbone {backbone}: neither a network's name nor a file or folder{nearest(backbone, BackboneName)}"
            )
        if (qat or adversarial) and not own:  # what cannot be is said before any work is done
            with extra_needed("train", *NEEDS):
                from edge_keras.models.architectures import ARCHITECTURES
            check_settings(settings, ARCHITECTURES[backbone])
        taught_by = read_run(teacher) if teacher else None
        photos = open_photos(
            data,
            seed=seed,
            mirror=mirror,
            cache=cache_folder(),
            data_dir=data_dir,
            group_by=group_by,
            track=track,
            say=say,
        )
        for line in photos.grouped:
            say(f"kept together: {line}")
        say(
            f"{photos.name}: {len(photos.labels)} classes, "
            + ", ".join(f"{len(members)} photos to {split}" for split, members in photos.splits.items())
        )
        say_passed_over(photos.passed_over, photos.notes)
        say_unusable(photos.unusable, "unreadable")
        _say_groups("there more than once, used once", photos.repeated)
        _say_groups("in several classes, left out", photos.contradicted)
        for warning in photos.warnings():
            say(f"warning: {warning}")
        out = out or Path("runs") / photos.name
        # Once more, as the default name was not known before.
        check_out(out)
        # TensorFlow takes seconds: after all that can be wrong with the photos
        with extra_needed("train", *NEEDS), working("Loading TensorFlow"):
            from edge_keras.models.backbone_source import find_backbone
            from edge_train.training.fit import FitOptions
            from edge_train.training.fit import fit as fit_photos
        # Weights are for the size that it is trained at.
        trained_at = train_size or image_size
        architecture, found, side = find_backbone(backbone, backbone_range, weights, alpha, trained_at, cache_folder())
        side = (image_size or architecture.size) if train_size else side
        spec = InputSpec(side, side, crop, levels=_levels(levels, photos, say))  # type: ignore[arg-type]
        say(f"weights: {found.source}")
        options = FitOptions(spec, found, cache_folder(), alpha, architecture, settings, taught_by, tensorboard)
        fitted = fit_photos(photos, out, options, track=track, say=say)
        say_unusable(fitted.unusable)
        if as_json:
            print(json.dumps({"run": str(fitted.folder), **json.loads(fitted.card.to_text())}))
        else:
            where = f" where {fitted.written_by} is" if fitted.written_by else ""
            if fitted.verdict:
                print(fitted.verdict)
            print(f"{headline(fitted.card)}; look at {fitted.folder}/report.html{where}")
            say_next(f"edge-convert export {quote(str(fitted.folder))}")


def _say_groups(what: str, groups: list[list[Photo]]) -> None:
    say_first(what, [", ".join(str(photo.path) for photo in group) for group in groups])


def _levels(text: str, photos: "PhotoSet", say: Callable[[str], None]) -> tuple[float, float] | None:
    """The range that `--levels` states, or that the photos need; warns if there is none and they would lose most of
    their levels."""
    from edge_train.data.deep import find_deep_photos

    if text not in ("", "auto"):
        return parse_levels(text)
    deep = find_deep_photos([photo.path for photo in photos.splits["train"]])
    if deep is None:
        return None
    if text == "auto" or deep.wide:
        say(f"levels: {deep.levels[0]:g} becomes black, {deep.levels[1]:g} white, in {deep.count} photos")
        return deep.levels
    if deep.warning():
        say(f"warning: {deep.warning()}")
    return None

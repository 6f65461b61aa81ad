"""A complete .tflite of a pretrained network that knows no label yet: `edge-run teach` gives it labels on the board."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from edge_convert.quantize.recipes import CALIBRATED, RECIPES
from edge_core.artifact.card import UNTAUGHT, Backbone, ModelCard
from edge_core.artifact.container import complete
from edge_core.artifact.golden import FRAMES
from edge_core.artifact.seal import Signer
from edge_core.data.photo_folder import pictures_below, read_photos
from edge_core.errors import DatasetError
from edge_core.files import written_whole
from edge_core.preprocess import Frame, InputSpec, preprocess
from edge_core.progress import Track, silently, tracked
from edge_core.run_folder import evenly_spaced
from edge_device.inference.verify import sealed
from edge_keras.models.architectures import Architecture
from edge_keras.models.backbone import SCORES, build
from edge_keras.models.pretrained import Weights

PLACEHOLDERS: Final = ("nothing taught", "nothing taught yet")
"""Labels of the outputs until there are real ones: a classifier has two outputs at least."""

CALIBRATION_PICTURES: Final = 100


@dataclass(frozen=True)
class PretrainedNetwork:
    """A network with the weights that it brings along.

    Attributes:
        architecture: Which network.
        weights: Pretrained weights.
        alpha: Width multiplier, which the weights are for.
    """

    architecture: Architecture
    weights: Weights
    alpha: float = 1.0


def export_backbone(
    out: Path,
    network: PretrainedNetwork,
    spec: InputSpec,
    *,
    recipe: str = "int8",
    calibration: Path | None = None,
    signer: Signer | None = None,
    track: Track = silently,
) -> None:
    """Writes a pretrained network as a file that can be taught.

    Args:
        out: The .tflite to write.
        network: Network to export.
        spec: The model's input.
        recipe: One of `RECIPES`.
        calibration: Folder of any pictures to calibrate on; drawn ones by default, with which two classes of
            cats_dogs, taught with ten photos each, are told apart in 96.4 % of other photos (mean of ten draws).
        signer: Private key that signs the file; without one the file is sealed but not signed.
        track: Receives the progress of each step.

    Raises:
        DatasetError: `calibration` holds no picture that can be decoded.
        OutputError: `out` cannot be written.
    """
    frames = drawn_pictures(CALIBRATION_PICTURES) if calibration is None else _read(calibration, track)
    architecture, weights, alpha = network.architecture, network.weights, network.alpha
    model = tracked(track, "Building the network", lambda: build(spec, len(PLACEHOLDERS), alpha, weights, architecture))
    # The layer that is solved on the board. A bias of zeros would be left out of the file, and could not be taught.
    kernel, bias = model.get_layer(SCORES).get_weights()
    model.get_layer(SCORES).set_weights([np.full_like(kernel, 0.01), np.full_like(bias, 0.1)])
    pixels = np.stack([preprocess(frame, spec) for frame in frames]) if recipe in CALIBRATED else None
    flatbuffer = tracked(track, f"Converting with the recipe {recipe}", lambda: RECIPES[recipe](model, pixels))
    card = ModelCard(
        labels=PLACEHOLDERS,
        input=spec,
        backbone=Backbone(architecture.name, alpha, weights.source, weights.sha256),
        conversion={
            "recipe": recipe,
            UNTAUGHT: True,
            "calibration": calibration.name if calibration else "drawn pictures",
        },
    )
    artifact = sealed(complete(flatbuffer, card, out.stem), frames[:FRAMES], signer)
    with written_whole(out) as beside:
        beside.write_bytes(artifact)


def drawn_pictures(count: int, side: int = 224) -> list[Frame]:
    """Pictures of soft and hard fields of color, lines, boxes and noise: they move every layer as photos do.

    Args:
        count: How many.
        side: Height and width in pixels.

    Returns:
        Frames of uint8, shape (side, side, 3); the same ones for the same count.
    """
    rng = np.random.default_rng(0)
    blends = (cv2.INTER_LINEAR, cv2.INTER_NEAREST, cv2.INTER_CUBIC)
    frames = []
    for number in range(count):
        fields = rng.integers(0, 256, (rng.integers(2, 12), rng.integers(2, 12), 3)).astype(np.uint8)
        frame = cv2.resize(fields, (side, side), interpolation=blends[number % len(blends)])
        for _ in range(rng.integers(0, 8)):
            color = tuple(int(level) for level in rng.integers(0, 256, 3))
            ends = [tuple(int(place) for place in rng.integers(0, side, 2)) for _ in range(2)]
            draw = cv2.line if rng.random() < 0.5 else cv2.rectangle
            draw(frame, ends[0], ends[1], color, int(rng.integers(1, 9)))
        noise = rng.normal(0, rng.uniform(0, 12), frame.shape)
        frames.append(np.clip(frame + noise, 0, 255).astype(np.uint8))
    return frames


def _read(folder: Path, track: Track) -> Sequence[Frame]:
    files = evenly_spaced([(path, "") for path in pictures_below(folder)], CALIBRATION_PICTURES)
    reading = read_photos(files, lambda _, frame: frame, levels=None, track=track, label="Reading calibration pictures")
    if not reading.values:
        raise DatasetError(f"{folder}: none of its files is a picture that can be decoded; give any photos")
    return reading.values

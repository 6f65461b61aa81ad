"""What must be the same bytes everywhere: run on the emulated board and on the workstation."""

from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from tests.pi.guest.pictures import read

from edge_core import InputSpec, preprocess
from edge_device import Classifier

SPECS: Final = (InputSpec(160, 160), InputSpec(224, 224, "pad"), InputSpec(96, 128, "stretch", "BGR"))
SCORED: Final = 100
"""Of the photos."""

SHOWN: Final = 20
"""Of the photos, put before the camera."""

Arrays = dict[str, npt.NDArray[np.generic]]


def measured(photos: Path, models: list[Path]) -> Arrays:
    """Pixels and scores of photos, by what they are of.

    Args:
        photos: a folder of them.
        models: complete .tflite files.
    """
    frames = [frame for _, frame in read(photos)]
    found: Arrays = {}
    for spec in SPECS:
        pixels = np.stack([preprocess(frame, spec) for frame in frames])
        found[f"preprocess {spec.width}x{spec.height} {spec.crop} {spec.color_order}"] = pixels
    for model in models:
        classifier = Classifier(model, threads=1)
        scores = np.stack([classifier.scores(frame)[0] for frame in frames[:SCORED]])
        found[f"scores {model.stem}"] = scores
    return found

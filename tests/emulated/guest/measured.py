"""What must be the same bytes everywhere: run on the emulated board and on the workstation."""

import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from tests.emulated.guest.pictures import evenly, read

from edge_core import Frame, InputSpec, preprocess
from edge_core.artifact.container import read_card
from edge_core.artifact.golden import sha256_of
from edge_device import Classifier

SPECS: Final = (InputSpec(160, 160), InputSpec(224, 224, "pad"), InputSpec(96, 128, "stretch", "BGR"))
SCORED: Final = 100
"""Of the photos, by a quantized model."""

SCORED_IN_FLOAT: Final = 10
"""Of the photos, by a float model, whose scores are close and never the same: an emulated processor takes three times
as long."""

SHOWN: Final = 20
"""Of the photos, put before the camera; as many decoded pictures are compared."""

Arrays = dict[str, npt.NDArray[np.generic]]


def measured(photos: Path, models: list[Path], *, by_the_product: bool = True) -> Arrays:
    """Pixels and scores of photos, by what they are of: `decode`, and `preprocess`, `scores` or `tensor` with of what.

    Args:
        photos: folder of the photos.
        models: complete .tflite files.
        by_the_product: whether scores are those of `Classifier`, as on the board, or of the bare interpreter: what both
            machines are to agree with must not come from the code that is being tried.
    """
    frames = [frame for _, frame in read(photos)]
    digests = [np.frombuffer(bytes.fromhex(sha256_of(frame)), np.uint8) for frame in evenly(frames, SHOWN)]
    found: Arrays = {"decode, SHA-256": np.stack(digests)}
    for spec in SPECS:
        pixels = np.stack([preprocess(frame, spec) for frame in frames])
        found[f"preprocess {spec.width}x{spec.height} {spec.crop} {spec.color_order}"] = pixels
    for path in models:
        classifier = Classifier(path, threads=1)
        scored = evenly(frames, SCORED if classifier.quantized else SCORED_IN_FLOAT)
        if by_the_product:
            scores = [classifier.scores(frame)[0] for frame in scored]
        else:
            scores = list(bare_scores(path, scored))
        found[f"scores {path.stem}"] = np.stack(scores)
        if classifier.quantized:
            pictures = [preprocess(frame, classifier.card.input) for frame in scored]
            if tensors := list(before_softmax(path, pictures)):
                found[f"tensor before SOFTMAX {path.stem}"] = np.stack(tensors)
    return found


def bare_scores(model: Path, frames: Iterable[Frame]) -> Iterator[npt.NDArray[np.float32]]:
    """A model's scores of frames, shape (labels,) each, from `preprocess` and the interpreter alone."""
    from ai_edge_litert.interpreter import Interpreter

    spec = read_card(model).input
    interpreter = Interpreter(str(model), num_threads=1)
    interpreter.allocate_tensors()
    (given,), (wanted,) = interpreter.get_input_details(), interpreter.get_output_details()
    scale, zero_point = wanted["quantization"]
    for frame in frames:
        interpreter.set_tensor(given["index"], preprocess(frame, spec)[None].astype(given["dtype"]))
        interpreter.invoke()
        raw = interpreter.get_tensor(wanted["index"])[0].astype(np.float32)
        yield (raw - np.float32(zero_point)) * np.float32(scale or 1)  # scale 0: not quantized


def before_softmax(model: Path, pictures: Iterable[Frame]) -> Iterator[npt.NDArray[np.generic]]:
    """What a model's SOFTMAX is given, shape (labels,), for each of some preprocessed pictures; none if it has none."""
    from ai_edge_litert.interpreter import Interpreter

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that keeping all tensors takes memory
        interpreter = Interpreter(str(model), num_threads=1, experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    tensors = [int(one["inputs"][0]) for one in interpreter._get_ops_details() if one["op_name"] == "SOFTMAX"]
    (given,) = interpreter.get_input_details()
    for picture in pictures if tensors else ():
        interpreter.set_tensor(given["index"], picture[None])
        interpreter.invoke()
        yield interpreter.get_tensor(tensors[-1])[0]

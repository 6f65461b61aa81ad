"""MediaPipe's image classifier, and the Task Library on Android: what they need of a file and of its metadata.

The rules are those of MediaPipe's `image_tensor_specs.cc` and `classification_postprocessing_graph.cc`, and of the Task
Library's `image_classifier.cc`; `benchmarks/experiments/targets.py mediapipe` holds them against MediaPipe itself.
"""

from collections.abc import Iterator
from math import prod
from typing import Final

from edge_convert.targets.runtimes import check_runtime
from edge_convert.targets.verdict import Verdict
from edge_convert.tflite.graph import Graph, Tensor
from edge_convert.tflite.metadata_reader import (
    LABELS,
    METADATA,
    Description,
    TensorDescription,
    read_description,
    read_text,
)
from edge_core.errors import ModelFormatError

RUNTIMES: Final = {"mediapipe": "litert-2.3", "android": "tflite-runtime-2.14"}
"""Whose operator versions stand for the interpreter within. MediaPipe 1.2.2 opened QUANTIZE 6 and SOFTMAX 4 but not 7
and 5, as that LiteRT does. The Task Library's last release, 0.4.4, is of 2023, as that tflite-runtime is."""

_EXPORT: Final = "edge-convert export writes it"


def check_task(model: bytes, graph: Graph, target: str) -> Verdict:
    """Whether the classifier of `mediapipe` or `android` opens a file and gives scores."""
    reasons = list(_tensors(graph, target))
    description = None
    try:
        metadata = graph.metadata.get(METADATA)
        description = read_description(metadata) if metadata is not None else None
    except ModelFormatError as error:
        reasons.append(str(error))
    else:
        reasons += _input(graph.inputs[0], description) if len(graph.inputs) == 1 else []
        reasons += _labels(model, graph, description)
    reasons += check_runtime(graph, RUNTIMES[target]).reasons
    notes = [] if reasons or _names_labels(description) else [f"no labels: results have numbers for names; {_EXPORT}"]
    return Verdict(target, not reasons, (*reasons, *notes))


def _tensors(graph: Graph, target: str) -> Iterator[str]:
    if graph.subgraphs != 1:
        yield f"the file has {graph.subgraphs} subgraphs, a classifier has one"
    if len(graph.inputs) != 1:
        yield f"the file has {len(graph.inputs)} inputs, a classifier has one image"
    if len(graph.outputs) != 1:
        yield f"the file has {len(graph.outputs)} outputs, a classifier has one"
    for image in graph.inputs[:1]:
        yield from _image(image)
    for scores in graph.outputs[:1]:
        yield from _scores(scores, target)


def _image(image: Tensor) -> Iterator[str]:
    if len(image.shape) != 4 or image.shape[0] != 1 or image.shape[3] != 3:
        yield f"the input has shape {list(image.shape)}; an image is [1, height, width, 3]"
    if image.dtype not in ("uint8", "float32"):
        yield f"the input is {image.dtype}; pixels are uint8 or float32"


def _scores(scores: Tensor, target: str) -> Iterator[str]:
    if scores.dtype not in ("uint8", "float32"):
        yield f"the output is {scores.dtype}; scores are uint8 or float32"
    # MediaPipe flattens whatever it gets; Android's task library takes two shapes.
    if target == "android" and (len(scores.shape) not in (2, 4) or any(side != 1 for side in scores.shape[:-1])):
        yield f"the output has shape {list(scores.shape)}; scores are [1, labels]"


def _input(image: Tensor, description: Description | None) -> Iterator[str]:
    said = next(iter(description.inputs), None) if description else None
    if said is not None:
        yield from _content(said)
    normalization = said.normalization if said else None
    if image.dtype == "float32" and normalization is None:
        yield f"the input is float32 and the metadata has no normalization for its pixels; {_EXPORT}"
    elif normalization is not None and (len(normalization[0]) not in (1, 3) or len({*map(len, normalization)}) != 1):
        yield "the metadata's normalization needs one mean and one standard deviation, or three of each"


def _content(said: TensorDescription) -> Iterator[str]:
    if said.content not in ("", "image"):
        yield f"the metadata calls the input {said.content}, not an image"
    elif said.color_space not in ("", "RGB"):
        yield f"the metadata says that the input's colors are {said.color_space}, not RGB"


def _names_labels(description: Description | None) -> bool:
    return description is not None and any(LABELS in output.files for output in description.outputs)


def _labels(model: bytes, graph: Graph, description: Description | None) -> Iterator[str]:
    if description is None or not description.outputs:
        return
    if len(description.outputs) != len(graph.outputs):
        yield f"the metadata describes {len(description.outputs)} outputs, there are {len(graph.outputs)}"
    for output, said in zip(graph.outputs, description.outputs, strict=False):
        name = said.files.get(LABELS)
        if name is None:
            continue
        try:
            labels = read_text(model, name).splitlines()
        except ModelFormatError as error:
            yield f"the metadata names the labels file {name}, but {error}"
        else:
            if len(labels) != prod(output.shape):
                yield f"{name} has {len(labels)} labels, the output has {prod(output.shape)} scores"

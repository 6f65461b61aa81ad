"""What is in a .tflite, anybody's: inputs, outputs, quantization, operators, metadata, card, seal."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from edge_convert.tflite.graph import Graph, Tensor, naming, read_graph
from edge_convert.tflite.metadata_reader import METADATA, Description, TensorDescription, file_sizes, read_description
from edge_core.artifact.card import ModelCard
from edge_core.artifact.container import CARD_FILE, read_card
from edge_core.artifact.seal import read_seal
from edge_core.codec import JsonObject
from edge_core.errors import CardError, ModelFormatError

T = TypeVar("T")


@dataclass(frozen=True)
class FileInspection:
    """What was found in a file.

    Attributes:
        file, size_bytes, sha256: Which file it is.
        graph: What it computes.
        description: Its TFLite Metadata; None if it has none.
        files: Zipped behind the model, by name: bytes.
        card: Model card of a file that edge-convert wrote; None for any other file.
        sealed: The digest in its seal; empty if it has none.
        problems: Parts that are there and cannot be read, a line each.
    """

    file: Path
    size_bytes: int
    sha256: str
    graph: Graph
    description: Description | None
    files: dict[str, int]
    card: ModelCard | None
    sealed: str
    problems: tuple[str, ...]

    def operators(self) -> dict[tuple[str, int], int]:
        """How many there are of each name and version, the most frequent first."""
        return dict(Counter((one.name, one.version) for one in self.graph.operators).most_common())

    def constants(self) -> dict[tuple[str, str], int]:
        """How many constant tensors there are of each type and granularity of quantization."""
        return dict(Counter((one.dtype, _granularity(one)) for one in self.graph.tensors if one.constant).most_common())

    def to_json(self) -> JsonObject:
        said = self.description
        return {
            "file": str(self.file),
            "size_bytes": self.size_bytes,
            "sha256": self.sha256,
            "seal": self.sealed or None,
            "made_by": self.graph.description,
            "inputs": _tensors_json(self.graph.inputs, said.inputs if said else ()),
            "outputs": _tensors_json(self.graph.outputs, said.outputs if said else ()),
            "operators": [
                {"name": name, "version": version, "count": count}
                for (name, version), count in self.operators().items()
            ],
            "constants": [
                {"dtype": dtype, "quantization": granularity, "count": count}
                for (dtype, granularity), count in self.constants().items()
            ],
            "buffers": {name: len(data) for name, data in self.graph.metadata.items()},
            "metadata": None
            if said is None
            else {part: getattr(said, part) for part in ("name", "description", "version", "author", "license")},
            "files": self.files,
            "card": None if self.card is None else json.loads(self.card.to_text()),
            "problems": list(self.problems),
        }


def inspect(path: Path) -> FileInspection:
    """Looks into a .tflite, complete or not, whoever made it.

    Raises:
        ModelFormatError: No such file, or not a TFLite model, or a damaged one.
    """
    with naming(path):
        data = path.read_bytes()
        graph = read_graph(data)
    problems: list[str] = []

    def attempt(read: Callable[[], T], otherwise: T) -> T:
        try:
            return read()
        except (ModelFormatError, CardError) as error:
            problems.append(str(error))
            return otherwise

    metadata = graph.metadata.get(METADATA)
    no_files: dict[str, int] = {}
    files = attempt(lambda: file_sizes(data), no_files)
    seal = attempt(lambda: read_seal(data), None)
    return FileInspection(
        file=path,
        size_bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        graph=graph,
        description=None if metadata is None else attempt(lambda: read_description(metadata), None),
        files=files,
        card=attempt(lambda: read_card(path), None) if CARD_FILE in files else None,
        sealed=seal.digest if seal else "",
        problems=tuple(problems),
    )


def _granularity(tensor: Tensor) -> str:
    if tensor.quantization is None:
        return "none"
    return "per channel" if tensor.quantization.per_channel else "per tensor"


def _tensors_json(tensors: Sequence[Tensor], descriptions: Sequence[TensorDescription]) -> list[JsonObject]:
    return [
        {
            "name": tensor.name,
            "dtype": tensor.dtype,
            "shape": list(tensor.shape),
            "static": tensor.static,
            "quantization": None
            if tensor.quantization is None
            else {"scales": list(tensor.quantization.scales), "zero_points": list(tensor.quantization.zero_points)},
            "metadata": vars(descriptions[place]) if place < len(descriptions) else None,
        }
        for place, tensor in enumerate(tensors)
    ]

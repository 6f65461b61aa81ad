"""What training was like, epoch by epoch."""

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Epoch:
    """A line of `history.csv`. Epoch 0 is the solved head. `seconds` count from the start of `fit`, reading included:
    for epoch 0 until the head was solved, for the others until the epoch was scored.

    In the phase `qat` the validation loss is against what the full-size model says, not against the labels.
    `kept` says whether the weights were good enough to replace those kept before: the last such epoch is the model.
    """

    phase: str
    epoch: int
    seconds: float
    train_loss: float
    val_loss: float
    val_accuracy: float
    kept: bool


def write_history(path: Path, history: Sequence[Epoch]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(Epoch.__dataclass_fields__))
        writer.writeheader()
        writer.writerows(asdict(epoch) for epoch in history)

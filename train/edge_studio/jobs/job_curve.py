"""The curve of a training: its epochs so far, while it runs and when it has ended."""

import csv
import math
from pathlib import Path

from edge_core.codec import JsonObject
from edge_studio.jobs.job import JobState
from edge_train.training.checkpoints import epochs_so_far


def epochs_of(run: Path, state: JobState) -> list[JsonObject]:
    """The epochs of a training: number, phase, loss on the training photos, share right of the validation photos.

    Args:
        run: Run folder, there or to be.
        state: State of the job that writes it.
    """
    if state == "queued":
        return []
    if state == "done":
        try:
            with (run / "history.csv").open(encoding="utf-8", newline="") as file:
                return [
                    _told(row["phase"], int(row["epoch"]), float(row["train_loss"]), float(row["val_accuracy"]))
                    for row in csv.DictReader(file)
                ]
        except (OSError, ValueError, KeyError):
            return []
    return [_told(one.phase, one.epoch, one.train_loss, one.val_accuracy) for one in epochs_so_far(run)]


def _told(phase: str, epoch: int, train_loss: float, val_accuracy: float) -> JsonObject:
    loss = train_loss if math.isfinite(train_loss) else None  # the solved head has none
    return {"phase": phase, "epoch": epoch, "train_loss": loss, "val_accuracy": val_accuracy}

"""What one looks at after training: curves, samples, confusion."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from edge_core.preprocess import Frame
from edge_train.evaluate import Evaluation

if TYPE_CHECKING:
    from edge_train.fit import Epoch

INK: Final = "#333333"
TRAIN: Final = "#0072B2"  # of the colour-blind-safe palette of Okabe and Ito (2008)
VAL: Final = "#D55E00"


def curves(history: Sequence["Epoch"]) -> Figure:
    """Loss and validation accuracy over the epochs; epoch 0 is the solved head."""
    figure = Figure(figsize=(9, 3.6), dpi=120, layout="constrained")
    loss, share = figure.subplots(1, 2)
    epochs = [epoch.epoch for epoch in history]
    kept = next(epoch for epoch in reversed(history) if epoch.kept)
    loss.plot(epochs, [epoch.train_loss for epoch in history], color=TRAIN, marker="o", ms=4, label="training")
    loss.plot(epochs, [epoch.val_loss for epoch in history], color=VAL, marker="o", ms=4, label="validation")
    share.plot(epochs, [epoch.val_accuracy for epoch in history], color=VAL, marker="o", ms=4)
    share.yaxis.set_major_formatter(PercentFormatter(1.0))
    loss.set_title("Loss (training: with label smoothing)", fontsize=10)
    share.set_title("Validation accuracy", fontsize=10)
    loss.legend(frameon=False)
    for axes in (loss, share):
        axes.axvline(kept.epoch, color=INK, lw=0.8, ls=":")
        axes.set_xlabel("epoch (0: head on frozen features; dotted: kept)")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def samples(pixels: Sequence[Frame], labels: Sequence[str]) -> Figure:
    """A grid of training photos as the model sees them; `pixels` are uint8 RGB."""
    columns = min(8, len(pixels)) or 1
    rows = -(-len(pixels) // columns) or 1
    figure = Figure(figsize=(1.5 * columns, 1.7 * rows), dpi=120, layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid:
        axes.axis("off")
    for axes, picture, label in zip(grid, pixels, labels, strict=False):
        axes.imshow(picture)
        axes.set_title(label, fontsize=8)
    return figure


def confusion(evaluation: Evaluation) -> Figure:
    """Test photos by true and predicted label, shaded by the share of the true label."""
    counts, labels = evaluation.confusion, evaluation.labels
    side = max(4.0, 0.45 * len(labels) + 2)
    figure = Figure(figsize=(side, side), dpi=120, layout="constrained")
    axes = figure.subplots()
    shares = counts / counts.sum(axis=1, keepdims=True).clip(1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(labels)), labels, rotation=60, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(labels)), labels)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(f"{len(evaluation.judged)} test photos, {evaluation.accuracy.percent()} right", fontsize=10)
    if len(labels) <= 40:  # beyond, the numbers would be too small to read
        for row in range(len(labels)):
            for column in range(len(labels)):
                if counts[row, column]:
                    dark = shares[row, column] > 0.5
                    axes.text(
                        column,
                        row,
                        counts[row, column],
                        ha="center",
                        va="center",
                        fontsize=8,
                        color="white" if dark else INK,
                    )
    return figure

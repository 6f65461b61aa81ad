"""What one looks at after training: curves, samples, confusion, each class by itself, scores against the truth."""

from collections.abc import Sequence
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from edge_core.preprocess import Frame
from edge_keras.plot_text import LABEL, plain
from edge_train.evaluation.history import Epoch
from edge_train.evaluation.learning_curve import LearningCurve
from edge_train.evaluation.metrics import Evaluation

INK: Final = "#262626"
QUIET: Final = "#6a6a6a"
GRID: Final = "#e6e6e6"
TRAIN: Final = "#0072b2"  # of the color-blind-safe palette of Okabe and Ito (2008)
VAL: Final = "#d55e00"
THIRD: Final = "#009e73"

WIDTH: Final = 5.4
"""Inches: half a desk's page, and on a phone the letters of a plot this wide can still be read."""
LONGEST: Final = 24.0
"""Inches: a plot of hundreds of classes is no longer read, and without a bound takes gigabytes to draw."""
MOST_NAMES: Final = 150
"""Labels beside each other along so many inches, each a line high."""
DPI: Final = 160
CAPTION: Final = 30
"""Characters above a picture of 1.6 inches."""
PERCENT: Final = FuncFormatter(lambda share, _: f"{100 * share:g} %")


def curves(history: Sequence[Epoch], label_smoothing: float = 0.0) -> Figure:
    """Loss and validation accuracy over the epochs; epoch 0 is the solved head.

    Args:
        history: The recorded epochs.
        label_smoothing: Share of label smoothing in the training loss, which the validation loss is without; told
            in the legend unless 0.
    """
    figure = Figure(figsize=(WIDTH, 5.2), dpi=DPI, layout="constrained")
    loss, share = figure.subplots(2, 1, sharex=True)
    epochs = [epoch.epoch for epoch in history]
    kept = next(epoch for epoch in reversed(history) if epoch.kept)
    for name, color, values in (
        (
            "training, labels smoothed" if label_smoothing else "training",
            TRAIN,
            [epoch.train_loss for epoch in history],
        ),
        ("validation", VAL, [epoch.val_loss for epoch in history]),
    ):
        loss.plot(epochs, values, color=color, marker="o", ms=4.5, label=name)
    share.plot(epochs, [epoch.val_accuracy for epoch in history], color=VAL, marker="o", ms=4.5)
    share.yaxis.set_major_formatter(PERCENT)
    title(loss, "Loss")
    title(share, "Validation accuracy")
    loss.legend(facecolor="white", edgecolor="none", framealpha=1, fontsize=9, labelcolor=QUIET)
    for axes in (loss, share):
        quiet(axes)
        axes.axvline(kept.epoch, color=INK, lw=1, ls=(0, (4, 4)), alpha=0.5)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    share.set_xlabel("Epoch; 0 is the head on frozen features, the dashed one was kept", color=QUIET, fontsize=9)
    return figure


def pictures(pixels: Sequence[Frame], captions: Sequence[str], columns: int = 6) -> Figure:
    """A grid of pictures with a caption above each; `pixels` are uint8 RGB of one shape."""
    columns = min(columns, len(pixels)) or 1
    rows = -(-len(pixels) // columns) or 1
    above = 1 + max((caption.count("\n") for caption in captions), default=0)
    figure = Figure(figsize=(1.6 * columns, (1.6 + 0.16 * above) * rows), dpi=110, layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid:
        axes.axis("off")
    for axes, picture, caption in zip(grid, pixels, captions, strict=False):
        axes.imshow(picture)
        axes.set_title("\n".join(plain(line, CAPTION) for line in caption.split("\n")), fontsize=7.5, color=INK, pad=3)
    return figure


def confusion(evaluation: Evaluation) -> Figure:
    """Test photos by true and predicted label, shaded by the share of the true label."""
    counts, labels = evaluation.confusion, evaluation.labels
    side = min(LONGEST, max(WIDTH, 0.32 * len(labels) + 2.2))
    figure = Figure(figsize=(side, side), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    # A class without test photos has no shares: its row stays empty.
    shares = counts / counts.sum(axis=1, keepdims=True).clip(1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(*_named(labels), rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(*_named(labels))
    axes.set_xlabel("taken for", color=QUIET, fontsize=9)
    axes.set_ylabel("shows", color=QUIET, fontsize=9)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelcolor=INK, labelsize=9)
    title(axes, f"{len(evaluation.judged)} test photos, {evaluation.accuracy.percent()} right")
    if len(labels) <= 40:  # beyond, the numbers would be too small to read
        for row in range(len(labels)):
            for column in range(len(labels)):
                if counts[row, column]:
                    axes.text(
                        column,
                        row,
                        counts[row, column],
                        ha="center",
                        va="center",
                        fontsize=9,
                        color="white" if shares[row, column] > 0.5 else INK,
                    )
    return figure


def _named(labels: Sequence[str]) -> tuple[range, list[str]]:
    """Places along an axis and the labels there; of more than `MOST_NAMES` every second, third …"""
    places = range(0, len(labels), -(-len(labels) // MOST_NAMES))
    return places, [plain(labels[place], LABEL) for place in places]


def classes(evaluation: Evaluation) -> Figure:
    """Precision, recall and F1 of each class with 95 % intervals."""
    scores = evaluation.classes()
    figure = Figure(figsize=(WIDTH, min(LONGEST, 0.62 * len(scores) + 1.3)), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    for shift, (name, color, marker) in enumerate(
        (("precision", TRAIN, "s"), ("recall", VAL, "o"), ("F1", THIRD, "D")), start=-1
    ):
        known = [(place, found) for place, score in enumerate(scores) if (found := getattr(score, name.lower()))]
        heights = [place + 0.2 * shift for place, _ in known]
        lows, values, highs = ([getattr(one, part) for _, one in known] for part in ("low", "value", "high"))
        # All at once: a thousand classes one by one take a minute.
        axes.hlines(heights, lows, highs, color=color, lw=1.6, alpha=0.45)
        axes.scatter(values, heights, s=32, color=color, marker=marker, edgecolor="white", zorder=3)
        # Empty: it stands for the color in the legend.
        axes.scatter([], [], s=32, color=color, marker=marker, label=name)
    axes.set_yticks(*_named([score.label for score in scores]))
    axes.set_ylim(len(scores) - 0.5, -0.5)
    axes.set_xlim(right=1.005)
    axes.xaxis.set_major_formatter(PERCENT)
    quiet(axes)
    axes.tick_params(axis="y", labelcolor=INK)
    title(axes, "Each class, with 95 % intervals")
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=9, labelcolor=QUIET)
    return figure


def reliability(evaluation: Evaluation) -> Figure:
    """Accuracy against score in equal-width bins with 95 % intervals, and how many photos each bin holds."""
    bins, error = evaluation.reliability()
    figure = Figure(figsize=(WIDTH, 5.2), dpi=DPI, layout="constrained")
    axes, counts = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    axes.plot([0, 1], [0, 1], color=INK, lw=1, ls=(0, (4, 4)), alpha=0.5)
    for one in bins:
        axes.vlines(one.score, one.accuracy.low, one.accuracy.high, color=TRAIN, lw=1.6, alpha=0.45)
    axes.plot([one.score for one in bins], [one.accuracy.value for one in bins], color=TRAIN, marker="o", ms=5.5, lw=1)
    counts.bar(
        [one.low for one in bins],
        [one.photos for one in bins],
        [one.high - one.low for one in bins],
        align="edge",
        color=TRAIN,
        edgecolor="white",
    )
    for part in (axes, counts):
        quiet(part)
    axes.set_xlim(0, 1)
    axes.set_ylim(-0.02, 1.02)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PERCENT)
    title(axes, f"Accuracy against score; expected calibration error {100 * error:.1f} %")
    title(counts, "Photos")
    counts.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    counts.set_xlabel(
        "Score of the predicted label; on the dashed line scores are what they promise", color=QUIET, fontsize=9
    )
    return figure


def learning_curve(curve: LearningCurve) -> Figure:
    """Accuracy of the solved head against photos a class, and what is expected of twice as many."""
    figure = Figure(figsize=(WIDTH, 4.2), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    photos = [point.photos for point in curve.points]
    for point in curve.points:
        axes.vlines(point.photos, point.accuracy.low, point.accuracy.high, color=TRAIN, lw=1.6, alpha=0.45)
    axes.plot(photos, [point.accuracy.value for point in curve.points], color=TRAIN, marker="o", ms=5.5, lw=1)
    if curve.gain is not None:
        now, then = curve.points[-1].accuracy.value, 2 * photos[-1]
        axes.plot(
            [photos[-1], then], [now, now + curve.gain.value], color=VAL, marker="D", ms=5.5, lw=1, ls=(0, (4, 4))
        )
        axes.vlines(then, now + curve.gain.low, now + curve.gain.high, color=VAL, lw=1.6, alpha=0.45)
        photos.append(then)
    axes.set_xscale("log")
    axes.set_xticks(photos, [f"{count:.0f}" for count in photos])
    axes.minorticks_off()
    axes.yaxis.set_major_formatter(PERCENT)
    quiet(axes)
    axes.set_xlabel("Photos a class to solve the head on; dashed: twice as many as there are", color=QUIET, fontsize=9)
    title(axes, f"Would more photos help? Judged by {curve.judged} validation photos")
    return figure


def title(axes: Axes, text: str) -> None:
    """What a plot shows, above it at the left."""
    axes.set_title(text, fontsize=10.5, weight="bold", color=INK, loc="left")


def quiet(axes: Axes) -> None:
    """Grid and scale step back behind what is drawn."""
    axes.grid(color=GRID, lw=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(QUIET)
    axes.tick_params(length=0, labelcolor=QUIET, labelsize=9)

"""Adversarial pictures to look at: each beside its original and the change, and all on a page."""

import json
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from edge_core import html as page
from edge_core.progress import Track, silently
from edge_core.run_folder import Run
from edge_device.results import Prediction
from edge_keras.plot_text import LABEL, plain
from edge_train.evaluation.training_plots import DPI, INK, PERCENT, QUIET, THIRD, TRAIN, VAL, quiet
from edge_train.explain.adversarial.find import PICTURES, TOP, Example, Outcome, Said, Share
from edge_train.training.attacks import Attack, Pixels, largest_change

COLORS: Final = (INK, TRAIN, VAL, THIRD, "#cc79a7", "#e69f00")
"""Of the full-size model, then of each .tflite; of the palette of Okabe and Ito (2008)."""
SIDE_BY_SIDE: Final = "side-by-side"
"""Folder of the figures."""
JSON_FILE: Final = "adversarial.json"
PAGE_FILE: Final = "adversarial.html"
FIGURES: Final = 12
NORMS: Final = {"linf": "L\N{INFINITY}", "l2": "L2"}
GRAY: Final = 127
LISTED: Final = 500
"""Pictures in the page's table; the JSON tells of all."""


def side_by_side(example: Example, outcome: Outcome, color_order: str) -> bytes:
    """The original, the change as much amplified as it can be, and the result, with what each model says, as a PNG."""
    original, changed = (_rgb(pixels, color_order) for pixels in (example.original, example.changed))
    factor = amplification(original, changed)
    models = len(example.said)
    bars = 0.9 + 0.16 * models * min(TOP, len(example.said[0].before))
    figure = Figure(figsize=(7.6, 2.9 + bars), dpi=DPI, layout="constrained")
    # Two parts, or the charts' labels would pull the pictures apart.
    (above,), (below,) = figure.subfigures(2, 1, height_ratios=(2.9, bars), squeeze=False)
    pictures, charts = above.subplots(1, 3), below.subplots(1, 3)
    amplified = np.clip(GRAY + factor * (changed.astype(int) - original), 0, 255).astype(np.uint8)
    for axes, picture, title in zip(
        pictures,
        (original, amplified, changed),
        (
            example.label,
            f"Change, {factor}\N{MULTIPLICATION SIGN} amplified",
            f"Taken for {example.said[0].after[0].label}",
        ),
        strict=True,
    ):
        axes.imshow(picture, interpolation="nearest")
        axes.axis("off")
        axes.set_title(plain(title), fontsize=10.5, weight="bold", color=INK)
    _bars(charts[0], [(said.model, said.before) for said in example.said])
    _bars(charts[2], [(said.model, said.after) for said in example.said])
    charts[1].axis("off")
    told = [
        f"at most {largest_change(example.original, example.changed, 'linf'):g} of 255 gray levels,",
        f"{np.abs(changed.astype(int) - original).mean():.1f} in the mean",
        method(outcome.attack),
    ]
    charts[1].text(0.5, 0.95, "\n".join(told), ha="center", va="top", fontsize=8.5, color=QUIET, linespacing=1.5)
    if models > 1:
        patches = [
            Patch(color=color, label=plain(said.model, LABEL))
            for said, color in zip(example.said, COLORS, strict=False)
        ]
        below.legend(handles=patches, loc="outside lower center", ncols=3, frameon=False, fontsize=8, labelcolor=QUIET)
    data = BytesIO()
    figure.savefig(data, format="png")
    return data.getvalue()


def write_outcome(outcome: Outcome, run: Run, folder: Path, most: int = FIGURES, track: Track = silently) -> None:
    """Writes side-by-side figures of the first examples, `adversarial.json` and `adversarial.html` beside the pictures.

    Args:
        outcome: Outcome with at least one example.
        run: That was attacked.
        folder: Existing folder to write into.
        most: Figures at most.
        track: Receives the progress of each step.

    Raises:
        OutputError: They cannot be written.
    """
    figures = []
    (folder / SIDE_BY_SIDE).mkdir()
    for example in track(outcome.examples[:most], "Drawing"):
        figures.append(side_by_side(example, outcome, run.card.input.color_order))
        (folder / SIDE_BY_SIDE / example.file).write_bytes(figures[-1])
    text = json.dumps(outcome.to_json(), indent=2, ensure_ascii=False)
    (folder / JSON_FILE).write_bytes(text.encode("utf-8", "backslashreplace"))
    page.write_page(folder / PAGE_FILE, adversarial_page(outcome, run.folder.resolve().name, figures))


def outcome_lines(outcome: Outcome, most: int = FIGURES) -> str:
    """What a person reads: the first examples, and how many were fooled."""
    lines = []
    for example in outcome.examples[:most]:
        names = [example.file, *(f"  {said.model}" for said in example.said[1:])]
        lines += [
            f"{name}: {_percent(said.before)} -> {_percent(said.after)}"
            for name, said in zip(names, example.said, strict=True)
        ]
    count = len(outcome.examples)
    if count > most:
        lines.append(f"and {count - most} more")
    aim = f"for {outcome.target}" if outcome.target else "for something else"
    lines.append(f"{_counted(count)} by {method(outcome.attack)} gray levels, to be taken {aim}:")
    lines.append(f"  as made             {_told(outcome.as_made)}")
    lines.append(
        f"  read from the file  {_told(outcome.read_again())}; of those fooled as made {_told(outcome.still_fooling)}"
    )
    for number, said in enumerate(outcome.examples[0].said[1:], start=1):
        lines.append(f"  {said.model}, read from the file  {_told(outcome.read_again(number))}")
    return "\n".join(lines)


def amplification(original: Pixels, changed: Pixels) -> int:
    """By how much the change can be multiplied and still be drawn around middle gray."""
    return max(1, int(GRAY // max(1, largest_change(original, changed, "linf"))))


def method(attack: Attack) -> str:
    """`PGD, 20 steps, L∞ 8`."""
    fgsm = attack.steps == 1 and not attack.random_start
    name = "FGSM" if fgsm else f"PGD, {attack.steps} step{'s' * (attack.steps > 1)}"
    starts = f", {attack.restarts} starts" if attack.restarts > 1 else ""
    return f"{name}{starts}, {NORMS[attack.norm]} {attack.epsilon:g}"


def adversarial_page(outcome: Outcome, run: str, figures: Sequence[bytes]) -> str:
    """The page.

    Args:
        outcome: That it tells of, of one example at least.
        run: Name of the run.
        figures: Made by `side_by_side`, of the first examples.
    """
    count = len(outcome.examples)
    models = [said.model for said in outcome.examples[0].said]
    aim = f"to be taken for {outcome.target}" if outcome.target else "to be taken for anything else"
    shares = [
        ("Fooled as made", _told(outcome.as_made)),
        ("Still fooled, read from the file", _told(outcome.still_fooling)),
    ]
    others = [(f"{name} fooled", _told(outcome.read_again(number))) for number, name in enumerate(models) if number]
    glance = page.facts([*shares, *others, ("Attack", method(outcome.attack)), ("Pictures", str(count))])
    note = (
        "Changes were made against the full-size model, in whole gray levels. Each picture was saved as PNG and read "
        f"again as a device reads it; the files are in {PICTURES}/. A .tflite counts where it has the original right."
    )
    shown = [
        page.figure(
            figure,
            f"{example.label} beside the picture that is taken for {example.said[0].after[0].label}",
            example.source.name,
            560,
        )
        for figure, example in zip(figures, outcome.examples, strict=False)
    ]
    rows: list[list[page.Text]] = [
        [
            page.lines(example.file, example.label),
            f"{largest_change(example.original, example.changed, 'linf'):g}",
            *(_verdict(said) for said in example.said),
        ]
        for example in outcome.examples[:LISTED]
    ]
    return page.page(
        f"{_counted(count)} {aim}",
        f"{run}, by {method(outcome.attack)} gray levels",
        page.section("At a glance", glance, page.paragraph(note)),
        page.section("Side by side", *shown),
        page.section("All pictures", page.table(("file", "levels", *models), rows)),
    )


def _counted(count: int) -> str:
    """`1 picture`, `2 pictures`."""
    return f"{count} picture{'s' * (count != 1)}"


def _told(share: Share | None) -> str:
    return str(share) if share else "none to judge by"


def _verdict(said: Said) -> page.Html:
    before, after = said.before[0], said.after[0]
    return page.lines(f"{after.label} {100 * after.score:.0f} %", f"was {before.label} {100 * before.score:.0f} %")


def _bars(axes: Axes, said: Sequence[tuple[str, Sequence[Prediction]]]) -> None:
    """The best labels of the full-size model, and what the others give these."""
    labels = [prediction.label for prediction in said[0][1]]
    thick = 0.8 / len(said)
    for number, (_, predictions) in enumerate(said):
        scores = {prediction.label: prediction.score for prediction in predictions}
        for place, label in enumerate(labels):
            if label in scores:  # a .tflite may have others among its best
                height = place + (number - (len(said) - 1) / 2) * thick
                axes.barh(height, scores[label], 0.86 * thick, color=COLORS[number % len(COLORS)])
                axes.text(
                    scores[label] + 0.02, height, f"{100 * scores[label]:.1f} %", va="center", fontsize=7, color=QUIET
                )
    axes.set_yticks(range(len(labels)), [plain(label, LABEL) for label in labels])
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.set_xlim(0, 1.25)
    axes.set_xticks([0, 0.5, 1])
    axes.xaxis.set_major_formatter(PERCENT)
    quiet(axes)
    axes.grid(axis="y", visible=False)  # or a line would run through the figures
    axes.tick_params(axis="y", labelcolor=INK)


def _percent(predictions: Sequence[Prediction]) -> str:
    return ", ".join(f"{one.label} {100 * one.score:.1f} %" for one in predictions)


def _rgb(pixels: Pixels, color_order: str) -> Pixels:
    return pixels if color_order == "RGB" else pixels[..., ::-1]

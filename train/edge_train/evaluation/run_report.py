"""A run, or a dataset, as pictures and as one page to look at."""

import json
from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import cv2
from matplotlib.figure import Figure

from edge_core import html as page
from edge_core.artifact.card import ModelCard
from edge_core.data.photo_folder import SPLITS
from edge_core.errors import PictureError
from edge_core.files import folder_written_whole
from edge_core.html import Html
from edge_core.images import encode_jpeg, read_picture
from edge_core.preprocess import Frame, InputSpec, preprocess
from edge_core.statistics import Estimate
from edge_device.inference.card_rows import in_words
from edge_train.data.audit import Inspection, NearDuplicates, spaced_per_class
from edge_train.data.class_balance import imbalance_warning, photos_per_class
from edge_train.data.dataset import Found, PhotoSet
from edge_train.evaluation import training_plots as plots
from edge_train.evaluation.history import Epoch
from edge_train.evaluation.learning_curve import CURVE_FILE, LearningCurve
from edge_train.evaluation.metrics import BINS, Evaluation, Judged
from edge_train.evaluation.run_verdict import verdict

REPORT_FILE: Final = "report.html"
EVALUATION_FILE: Final = "evaluation.json"
MISTAKES: Final = 24
MANY_LABELS: Final = 12
"""More than these need the whole width for their confusion matrix."""
SAMPLES: Final = 24
NEAR_GROUPS: Final = 30
"""Groups of near-duplicates on the page; the JSON has all."""
NEAR_PHOTOS: Final = 6


def write_run_report(
    folder: Path,
    card: ModelCard,
    history: Sequence[Epoch],
    evaluation: Evaluation,
    samples: Sequence[Frame],
    sample_labels: Sequence[str],
    curve: LearningCurve | None = None,
    photos: PhotoSet | None = None,
) -> None:
    """Writes `report.html`, its pictures as PNG files and its figures as `evaluation.json` into a run folder.

    Args:
        folder: The run folder.
        card: Model card of the run.
        history: Training history, epoch by epoch.
        evaluation: Evaluation on the test photos.
        samples: What training saw, uint8 RGB, one shape.
        sample_labels: True labels of the samples.
        curve: Whether more photos would help, if that is known; its figures become `learning_curve.json`.
        photos: The dataset, whose files that were left out are listed.

    Raises:
        OutputError: A file cannot be written.
    """
    wrong = _shown_mistakes(evaluation, card)
    figures = {
        "curves": plots.curves(history, float(card.training.get("label_smoothing") or 0)),
        "classes": plots.classes(evaluation),
        "confusion": plots.confusion(evaluation),
        "reliability": plots.reliability(evaluation),
        "samples": plots.pictures(samples, sample_labels),
    }
    if wrong:
        figures["mistakes"] = plots.pictures([pixels for _, pixels in wrong], [_caption(item) for item, _ in wrong])
    if curve is not None:
        figures["learning_curve"] = plots.learning_curve(curve)
        (folder / CURVE_FILE).write_text(json.dumps(curve.to_json(), indent=2) + "\n", "utf-8")
    drawn = {name: _png(figure) for name, figure in figures.items()}
    for name, data in drawn.items():
        (folder / f"{name}.png").write_bytes(data)
    text = json.dumps(evaluation.to_json(), indent=2, ensure_ascii=False) + "\n"
    (folder / EVALUATION_FILE).write_bytes(text.encode("utf-8", "backslashreplace"))
    name = card.dataset.name if card.dataset else folder.name
    title = f"{name}: {100 * evaluation.accuracy.value:.1f} % right"
    sections = [
        page.section("Is it good to use?", page.paragraph(verdict(evaluation))),
        _summary(card, evaluation),
        page.section(
            "Each class",
            page.beside(
                _class_table(evaluation), page.figure(drawn["classes"], "Precision, recall and F1 of each class")
            ),
        ),
        page.section("What is taken for what", _confusion(drawn["confusion"], card, evaluation)),
        page.section("The most confident mistakes", _mistakes(wrong, evaluation)),
        page.section(
            "Can the scores be believed?",
            page.beside(page.figure(drawn["reliability"], "Reliability diagram"), _belief(card, evaluation)),
        ),
        page.section(
            "Training",
            page.beside(page.figure(drawn["curves"], "Loss and accuracy, epoch by epoch"), _settings(card)),
        ),
        page.section("What training saw", _gallery(samples, sample_labels, "A training photo of {}, as augmented")),
    ]
    if evaluation.subject_sizes:
        sections.append(page.section("Small in the frame", *_small(evaluation)))
    if curve is not None:
        sections.append(page.section("Would more photos help?", *_would_more_help(curve, drawn["learning_curve"])))
    if card.dataset:
        sections.append(page.section("Photos", _counts(card.dataset.counts, card.labels)))
    sections += _left_out(photos) if photos else []
    subtitle = f"{len(evaluation.judged)} test photos that training has never seen, {len(card.labels)} classes"
    page.write_page(folder / REPORT_FILE, page.page(title, subtitle, *sections))


def _shown_mistakes(evaluation: Evaluation, card: ModelCard) -> list[tuple[Judged, Frame]]:
    """The most confident mistakes whose photos can still be read, with what the model saw of them."""
    seen = [(item, _seen(item.path, card.input)) for item in evaluation.mistakes()[:MISTAKES]]
    return [(item, pixels) for item, pixels in seen if pixels is not None]


def _caption(item: Judged) -> str:
    return f"labeled {item.label}\ntaken for {item.predicted}, {100 * item.predicted_score:.0f} %"


def _confusion(drawn: bytes, card: ModelCard, evaluation: Evaluation) -> Html:
    """The matrix with the worst confusions: beside it, or beneath a matrix of many labels, which takes the width."""
    many = len(card.labels) > MANY_LABELS
    what = "Confusion matrix: test photos by true and predicted label"
    figure = page.figure(drawn, what, min_width=28 * len(card.labels) if many else 0)
    return (page.stack if many else page.beside)(figure, _confusions(evaluation))


def _gallery(samples: Sequence[Frame], labels: Sequence[str], alternative: str) -> Html:
    """Pictures with their labels; `alternative`, with the label in place of {}, is for who cannot see them."""
    return page.gallery(
        page.GalleryPicture(_jpeg(pixels), label, alternative.format(label))
        for pixels, label in zip(samples, labels, strict=True)
    )


def write_inspection(inspection: Inspection, found: Found, out: Path) -> None:
    """Writes `report.html`, `inspection.json` and `samples.png` into a new folder, whole or not at all.

    Raises:
        OutputError: The folder is there already or cannot be written.
    """
    with folder_written_whole(out) as folder:
        _write_inspection(inspection, found, folder)


def _write_inspection(inspection: Inspection, found: Found, folder: Path) -> None:
    seen = [(_seen(path, THUMBNAIL), label) for path, label in spaced_per_class(found.files, SAMPLES)]
    samples = [pixels for pixels, _ in seen if pixels is not None]
    labels = [label for pixels, label in seen if pixels is not None]
    (folder / "samples.png").write_bytes(_png(plots.pictures(samples, labels)))
    text = json.dumps(inspection.to_json(), indent=2, ensure_ascii=False) + "\n"
    (folder / "inspection.json").write_bytes(text.encode("utf-8", "backslashreplace"))
    sections = [
        page.section(
            "At a glance",
            page.facts(
                [
                    ("Photos", str(inspection.photos)),
                    ("Classes", str(len(inspection.counts))),
                    ("Unreadable files", str(len(inspection.unusable))),
                    ("Copies, used once", str(sum(len(group) - 1 for group in inspection.repeated))),
                    ("In several classes, left out", str(sum(len(group) for group in inspection.contradicted))),
                    ("Groups of near-duplicates", str(len(inspection.near))),
                    ("Formats", ", ".join(f"{count} {kind}" for kind, count in inspection.formats.items())),
                    *(
                        (name.capitalize(), f"{low} to {high} pixels, median {middle}")
                        for name, (low, middle, high) in inspection.sizes.items()
                    ),
                ]
            ),
            page.listing(inspection.warnings()) if inspection.warnings() else page.paragraph("Nothing to complain of."),
        ),
        page.section(
            "Classes", _counts(inspection.split_counts or {"photos": inspection.counts}, tuple(inspection.counts))
        ),
        page.section("Samples", _gallery(samples, labels, "A photo of {}")),
    ]
    if inspection.near:
        sections.append(page.section("Near-duplicates", *_near(inspection.near)))
    sections += _left_out(inspection)
    subtitle = f"{inspection.photos} photos of {len(inspection.counts)} classes"
    page.write_page(folder / REPORT_FILE, page.page(inspection.name, subtitle, *sections))


def _left_out(found: Inspection | PhotoSet) -> list[Html]:
    """Sections on what of a folder is not used, or used once; none where there is nothing of the kind."""
    copies = (
        ("The same content in several classes, left out", found.contradicted),
        ("The same content more than once, used once", found.repeated),
    )
    lines = {title: [", ".join(str(photo.path) for photo in group) for group in groups] for title, groups in copies}
    lines["Unreadable"] = [f"{item.path}: {item.reason}" for item in found.unusable]
    lines["Passed over"] = [f"{item.path}: {item.reason}" for item in found.passed_over]
    lines["How the folder was read"] = list(found.notes)
    return [page.section(title, page.listing(part)) for title, part in lines.items() if part]


def _summary(card: ModelCard, evaluation: Evaluation) -> Html:
    majority, share = evaluation.majority
    pairs: list[tuple[str, page.Text]] = [
        ("Test accuracy, 95 % interval", evaluation.accuracy.percent()),
        ("Each class counting the same", evaluation.balanced_accuracy.percent()),
        (f"Always saying {majority!r} would be right in", f"{100 * share:.1f} %"),
        ("Mistakes", f"{len(evaluation.mistakes())} of {len(evaluation.judged)}"),
        ("Expected calibration error", f"{100 * evaluation.reliability()[1]:.1f} %"),
        ("Input", f"{card.input.width} × {card.input.height}, {card.input.crop}"),
    ]
    if card.backbone:
        pairs.append(("Backbone", f"{card.backbone.name}, width {card.backbone.alpha:g}"))
        pairs.append(("Started from", card.backbone.weights))
    if "seconds" in card.training:
        pairs.append(("Training took", f"{float(card.training['seconds']):.0f} s"))
    counts = photos_per_class(card)
    unequal = imbalance_warning(counts) if counts else ""
    warned = [page.paragraph(f"Warning: {unequal}.")] if unequal else []
    return page.section("At a glance", page.facts(pairs), *warned)


def _would_more_help(curve: LearningCurve, drawn: bytes) -> list[Html]:
    """The learning curve as a sentence, a plot and a table; what cross-validation says, if it was asked."""
    rows = ((f"{point.photos:.0f}", str(len(point.draws)), _percent(point.accuracy)) for point in curve.points)
    parts = [page.paragraph(curve.sentence())]
    if curve.cross_validated is not None:
        parts.append(page.paragraph(curve.validation_sentence()))
    figure = page.figure(drawn, "Accuracy of the solved head against photos a class")
    return [*parts, page.beside(figure, page.table(("photos a class", "draws", "right %"), rows))]


def _small(evaluation: Evaluation) -> list[Html]:
    """Accuracy by the size of the subject, and what to do where that falls."""
    rows = [("the photo alone", _percent(evaluation.accuracy))]
    rows += [(f"{one.height:.0%}", _percent(one.right)) for one in evaluation.subject_sizes]
    return [
        page.paragraph(
            "Whole frames of 16:9 in which a test photo lies before one of another class, as a camera may see it. "
            "Where that is much worse than the photo alone, let edge-run live look at the subject: --focus motion or "
            "tiles."
        ),
        page.table(("subject's height, of the frame's", "right %"), rows),
    ]


def _class_table(evaluation: Evaluation) -> Html:
    return page.table(
        ("class", "photos", "precision %", "recall %", "F1 %"),
        (
            (one.label, str(one.photos), *(_percent(estimate) for estimate in (one.precision, one.recall, one.f1)))
            for one in evaluation.classes()
        ),
    )


def _percent(estimate: Estimate | None) -> page.Text:
    if estimate is None:
        return "–"
    return page.lines(f"{100 * estimate.value:.1f}", f"{100 * estimate.low:.1f}–{100 * estimate.high:.1f}")


def _confusions(evaluation: Evaluation) -> Html:
    """The pairs of classes that are confused most often, in words."""
    counts = evaluation.confusion
    pairs = sorted(
        (
            (-int(counts[true, taken]), evaluation.labels[true], evaluation.labels[taken])
            for true, taken in zip(*counts.nonzero(), strict=True)
            if true != taken
        ),
    )
    if not pairs:
        return page.paragraph("No test photo was taken for another class.")
    return page.table(
        ("label → taken for", "photos"), ((f"{true} → {taken}", str(-count)) for count, true, taken in pairs[:12])
    )


def _mistakes(wrong: Sequence[tuple[Judged, Frame]], evaluation: Evaluation) -> Html:
    if not wrong:
        return page.paragraph("None that could be shown.")
    return page.gallery(
        page.GalleryPicture(
            _jpeg(pixels),
            page.lines(
                f"taken for {item.predicted}, {100 * item.predicted_score:.0f} %",
                f"labeled {item.label}, {100 * item.label_score:.0f} %",
                item.path.name,
            ),
            f"A photo labeled {item.label}, taken for {item.predicted}",
        )
        for item, pixels in wrong
    )


def _belief(card: ModelCard, evaluation: Evaluation) -> Html:
    bins, error = evaluation.reliability()
    too_low = sum(one.photos * (one.accuracy.value - one.score) for one in bins) / len(evaluation.judged)
    told = (
        f"Of photos with a score of 80 % about 80 % should be right. Here score and accuracy are {100 * error:.1f} "
        f"points apart on average (expected calibration error over {BINS} bins of equal width; Guo et al., ICML "
        f"2017). All "
        f"in all the model is right {'more' if too_low > 0 else 'less'} often than its scores say, by "
        f"{100 * abs(too_low):.1f} "
        "points."
    )
    if too_low > 0 and card.training.get("label_smoothing"):
        told += " Label smoothing does that: it teaches the model never to be quite sure."
    return page.stack(
        page.paragraph(told),
        page.table(
            ("score %", "photos", "mean score %", "right %"),
            (
                (
                    f"{100 * one.low:.0f} to {100 * one.high:.0f}",
                    str(one.photos),
                    f"{100 * one.score:.1f}",
                    f"{100 * one.accuracy.value:.1f}",
                )
                for one in bins
            ),
        ),
    )


def _settings(card: ModelCard) -> Html:
    rows: list[tuple[str, Any]] = [*card.training.items(), *card.versions.items()]
    return page.table(("setting", "value"), ((name.replace("_", " "), in_words(value)) for name, value in rows))


def _counts(counts: Any, labels: Sequence[str]) -> Html:
    """Photos per class and split, with a line of sums."""
    splits = [split for split in SPLITS if split in counts] or list(counts)
    rows = [(label, *(str(counts[split].get(label, 0)) for split in splits)) for label in labels]
    return page.table(("class", *splits), [*rows, ("all", *(str(sum(counts[split].values())) for split in splits))])


def _near(groups: Sequence[NearDuplicates]) -> list[Html]:
    parts = [
        page.paragraph(
            "Photos that look alike though their files differ: bursts, crops, copies saved again. Across splits they "
            "make a test easier than the camera will be; across classes one label may be wrong."
        )
    ]
    galleries = []
    for group in groups[:NEAR_GROUPS]:
        shown = [
            page.GalleryPicture(
                _jpeg(pixels),
                page.lines(photo.label, split or "not used", photo.path.name),
                f"A photo of {photo.label}",
            )
            for photo, split in zip(group.photos[:NEAR_PHOTOS], group.splits, strict=False)
            if (pixels := _seen(photo.path, THUMBNAIL)) is not None
        ]
        galleries.append(page.gallery(shown))
    parts.append(page.beside(*galleries))
    if len(groups) > NEAR_GROUPS:
        parts.append(page.paragraph(f"And {len(groups) - NEAR_GROUPS} groups more, in inspection.json."))
    return parts


THUMBNAIL: Final = InputSpec(192, 192)


def _seen(path: Path, spec: InputSpec) -> Frame | None:
    """A photo as the model sees it, uint8 RGB; None if it is no longer there."""
    try:
        return preprocess(read_picture(path, levels=spec.levels), replace(spec, color_order="RGB"))
    except PictureError:
        return None


def _jpeg(pixels: Frame) -> bytes:
    return encode_jpeg(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), 88)


def _png(figure: Figure) -> bytes:
    data = BytesIO()
    figure.savefig(data, format="png")
    return data.getvalue()

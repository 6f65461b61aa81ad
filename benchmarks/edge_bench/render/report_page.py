"""A report as one page to look at."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import cv2

from edge_bench.perturb.corruptions import squared
from edge_bench.render import bench_plots as plots
from edge_bench.render import page_tables
from edge_bench.render.chart import chart_png
from edge_bench.render.table import threads_of, three_digits
from edge_bench.results.foreign_pictures import ForeignTold
from edge_bench.results.report import BenchReport
from edge_convert.foreign.foreign_page import foreign_summary, worst_pictures
from edge_core import html as page
from edge_core.data.photo_folder import Photo
from edge_core.errors import PictureError
from edge_core.html import Html
from edge_core.images import deep_levels, encode_jpeg, read_picture
from edge_core.statistics import Estimate

SHOWN: Final = 24
"""Photos on the page; the JSON tells of all."""
MATRICES: Final = 6
MOST_LABELS: Final = 24
"""Beyond, the matrices would be too large to read."""

FEW: Final = 2
"""Rows that are called unstable one by one."""


def write_page(
    report: BenchReport, path: Path, photos: Sequence[Photo] = (), foreign: Sequence[ForeignTold] = ()
) -> None:
    """Writes the page.

    Args:
        report: That it is about.
        path: Path of the HTML file to write.
        photos: That the accuracies are of, in the report's order; without them none is shown.
        foreign: What the files make of foreign pictures.

    Raises:
        OutputError: It cannot be written.
    """
    sections = [
        page.section("At a glance", _glance(report), *_warnings(report)),
        page.section("Rows", page_tables.rows(report)),
        page.section(
            "Accuracy against latency",
            page.figure(chart_png(report), "Top-1 accuracy over latency, a point for each row", min_width=560),
        ),
        page.section(
            "Latency",
            page.beside(
                page.figure(plots.distributions(report.rows), "Distribution of the latency of each row"),
                page.figure(plots.sizes(report.rows), "File size and peak memory of each row"),
            ),
            page_tables.latencies(report),
        ),
        page.section("Over time", *_over_time(report)),
        page.section("Accuracy", page_tables.accuracies(report), page_tables.classes(report)),
    ]
    if len(report.labels) <= MOST_LABELS and len(report.rows) > 1:
        sections.append(page.section("What is taken for something else now", _matrices(report)))
    if photos:
        sections.append(page.section("Photos on which the rows disagree", _disagreements(report, photos)))
    for told in foreign:
        shown = page.facts(foreign_summary(told.test)), worst_pictures(told.test, told.spec)
        sections.append(page.section(f"What is foreign to {told.file}", *shown))
    if report.scenes:
        sections.append(page.section("Small in the frame", page_tables.scenes(report)))
    if any(row.robustness for row in report.rows):
        sections.append(page.section("Under corruption", _robustness(report)))
    sections.append(page.section("Where and how", _environment(report)))
    subtitle = (
        f"{report.environment.machine}, {report.environment.date[:16].replace('T', ' ')}; compared with the first row"
    )
    title = f"{len(report.rows)} rows on {report.photos} held-out photos"
    page.write_page(path, page.page(title, subtitle, *sections))


def _glance(report: BenchReport) -> Html:
    first, *others = report.rows
    facts: list[tuple[str, page.Text]] = [
        (first.name, page.lines(first.accuracy.top1.percent(), f"{three_digits(first.total_ms.median.value)} ms")),
    ]
    if others:
        fastest = min(others, key=lambda row: row.ratio.value)
        smallest = min(others, key=lambda row: row.file_bytes)
        best = max(others, key=lambda row: row.accuracy.top1.value)
        facts += [
            ("Fastest", page.lines(fastest.name, f"{_plain(fastest.ratio)} times the first row's latency")),
            ("Smallest", page.lines(smallest.name, f"{smallest.file_bytes / 1e3:,.0f} kB")),
            ("Most accurate of the others", page.lines(best.name, best.accuracy.top1.percent())),
        ]
    return page.facts(facts)


def _warnings(report: BenchReport) -> Iterator[Html]:
    lines = [f"{failed.name} was not measured: {failed.reason}" for failed in report.failed]
    unstable = [f"{row.name} is unstable: {reason}" for row in report.rows for reason in row.unstable]
    if len(unstable) > FEW:  # on a telephone they were a page of their own
        unstable[FEW:] = [f"and {len(unstable) - FEW} more; the table says which"]
    lines += unstable
    lines += [
        f"Nobody knows which photos {name} was trained on; its accuracy may be too good." for name in report.unknown
    ]
    if report.environment.load > 0.3 * report.environment.cores:
        lines.append(
            f"Other programs kept {report.environment.load:.1f} of {report.environment.cores} cores busy when this "
            f"began: "
            "believe the ratios rather than the milliseconds."
        )
    if lines:
        yield page.listing(lines)


def _over_time(report: BenchReport) -> Iterator[Html]:
    burst = plots.over_time([(row.name, row.turns) for row in report.rows])
    figures = [page.figure(burst, "Latency of the turns over time", "In short turns, in random order.")]
    kept = [(row.name, row.sustained) for row in report.rows if row.sustained]
    if kept:
        alone = plots.over_time([(name, sustained.turns) for name, sustained in kept])
        figures.append(page.figure(alone, "Latency of rows that run alone", "One after another, each without a pause."))
    yield page.beside(*figures)
    if kept:
        yield page.table(
            ("row", "end against begin", "unstable"),
            ((name, f"{sustained.slowdown:.2f}", "; ".join(sustained.unstable)) for name, sustained in kept),
        )


def _matrices(report: BenchReport) -> Html:
    first, *others = report.rows
    by_matrix = {
        row.accuracy.confusion: row for row in reversed(others) if row.accuracy.confusion != first.accuracy.confusion
    }
    shown = sorted(by_matrix.values(), key=lambda row: row.difference.agreement.value if row.difference else 1)[
        :MATRICES
    ]
    if not shown:
        return page.paragraph("Nothing: all rows take as many photos for the same as the first row.")
    return page.stack(
        page.paragraph(
            f"Photos more or fewer than in the first row, {first.name}; of rows that are alike one is shown"
            + (
                f", of labels the {plots.MATRIX_LABELS} with most changes."
                if len(report.labels) > plots.MATRIX_LABELS
                else "."
            )
        ),
        page.beside(
            *(
                page.figure(
                    plots.confusion_change(row, first, report.labels),
                    f"Confusion of {row.name} less the first row's",
                    row.name,
                )
                for row in shown
            )
        ),
    )


def _disagreements(report: BenchReport, photos: Sequence[Photo]) -> Html:
    said = list(zip(*(row.accuracy.predicted for row in report.rows), strict=True))
    chosen = [index for index, labels in enumerate(said) if len(set(labels)) > 1]
    if not chosen:
        return page.paragraph("None: every row says the same of every photo.")
    chosen.sort(key=lambda index: -sum(label != said[index][0] for label in said[index]))
    return page.stack(
        page.gallery(_pictures(report, photos, said, chosen[:SHOWN])),
        page.paragraph(f"{len(chosen)} of {len(said)} photos" + (f", {SHOWN} shown." if len(chosen) > SHOWN else ".")),
    )


def _pictures(
    report: BenchReport, photos: Sequence[Photo], said: Sequence[tuple[int, ...]], chosen: Sequence[int]
) -> Iterator[page.GalleryPicture]:
    for index in chosen:
        try:
            levels = deep_levels(photos[index].path.read_bytes())
            frame = squared(read_picture(photos[index].path, levels=levels))
        except (OSError, PictureError):  # gone since it was scored
            continue
        rows: dict[int, list[str]] = defaultdict(list)
        for row, label in zip(report.rows, said[index], strict=True):
            rows[label].append(row.name)
        lines = [
            f"{report.labels[label]}: {names[0] if len(names) == 1 else f'{len(names)} rows'}"
            for label, names in rows.items()
        ]
        yield page.GalleryPicture(
            encode_jpeg(cv2.resize(frame, (160, 160), interpolation=cv2.INTER_AREA), 85),
            page.lines(f"labeled {photos[index].label}", *lines, photos[index].path.name),
            f"A photo labeled {photos[index].label}; rows say {', '.join(report.labels[label] for label in rows)}",
        )


def _robustness(report: BenchReport) -> Html:
    rows = [(row, row.robustness) for row in report.rows if row.robustness]
    kinds = list(rows[0][1].accuracy)
    return page.stack(
        page.beside(
            page.figure(plots.corrupted(report.rows), "Accuracy over the severity of corruption"),
            page.table(
                ("row", "as it is %", "corrupted %", "change, points", "lost %", "lost more, points"),
                (
                    (
                        row.name,
                        page_tables.percent(found.clean),
                        page_tables.percent(found.mean),
                        page_tables.percent(found.difference, "+") if found.difference else "",
                        page_tables.percent(found.drop),
                        page_tables.percent(found.relative_drop, "+") if found.relative_drop else "",
                    )
                    for row, found in rows
                ),
            ),
        ),
        page.paragraph(
            f"Mean over 15 kinds at five severities, {report.settings.robustness_photos} photos at most; intervals: "
            "bootstrap over photos. Lost: the share of its own accuracy that a row loses; lost more: than the first "
            "row."
        ),
        page.table(
            ("% right under", *(row.name for row, _ in rows)),
            (
                (kind, *(f"{100 * sum(found.accuracy[kind]) / len(found.accuracy[kind]):.1f}" for _, found in rows))
                for kind in kinds
            ),
        ),
    )


def _environment(report: BenchReport) -> Html:
    where, how = report.environment, report.settings
    return page.facts(
        [
            ("Machine", where.machine),
            ("Cores", str(where.cores)),
            ("Threads of an inference", ", ".join(dict.fromkeys(threads_of(row) for row in report.rows))),
            ("Governor", where.governor or "unknown"),
            ("Load when it began", f"{where.load:.1f}"),
            ("System", f"{where.system}, {where.distribution}"),
            ("Python", where.python),
            ("Packages", ", ".join(f"{name} {version}" for name, version in where.packages.items())),
            ("Power measured by", where.power or "nothing"),
            ("Frames", f"{how.frame_size[0]}×{how.frame_size[1]}"),
            ("Timed", f"{how.seconds:g} s a row at most, until {100 * how.precision:g} % are reached"),
            ("Photos left out, known to a run", str(report.left_out)),
            ("Photos, fingerprint", report.photos_sha256[:16]),
        ]
    )


def _plain(estimate: Estimate) -> str:
    return f"{estimate.value:.2f} ({estimate.low:.2f} to {estimate.high:.2f})"

"""A report on adversarial pictures as a table, a plot, a page and files."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.markup import escape

from edge_bench.adversarial.attack_report import NOISE, SQUARE, AdversarialReport, AttackedRow
from edge_bench.render import output, page_tables
from edge_core import html as page
from edge_core.files import folder_written_whole
from edge_core.html import Html
from edge_core.statistics import Estimate
from edge_device.command_line.tables import Column, print_table, terminal

JSON_FILE: Final = "robustness.json"
CSV_FILE: Final = "robustness.csv"
PLOT_FILE: Final = "robustness.png"
PAGE_FILE: Final = "robustness.html"
FILES: Final = frozenset({JSON_FILE, CSV_FILE, PLOT_FILE, PAGE_FILE})


def check_out(folder: Path) -> None:
    """Whether `write_report` will be able to write there; see `edge_bench.render.output.check_out`."""
    output.check_out(folder, FILES, JSON_FILE)


def write_report(report: AdversarialReport, folder: Path) -> None:
    """Writes the four files; an earlier report in this folder gives way.

    Raises:
        OutputError: See `check_out`.
        RuntimeMissingError: Matplotlib is not installed.
    """
    from edge_bench.adversarial.attack_plot import curves_png

    check_out(folder)
    plot = curves_png(report)
    with folder_written_whole(folder.resolve(), replace=True) as beside:
        (beside / JSON_FILE).write_text(report.to_text(), "utf-8")
        with (beside / CSV_FILE).open("w", encoding="utf-8", newline="") as file:
            table = report.table()
            writer = csv.DictWriter(file, list(table[0]))
            writer.writeheader()
            writer.writerows(table)
        (beside / PLOT_FILE).write_bytes(plot)
        page.write_page(beside / PAGE_FILE, report_page(report, plot))


def title_of(report: AdversarialReport, attack: str) -> str:
    """What an attack is, in a line."""
    how = report.settings
    if attack == NOISE:
        return "Random noise: every channel of every pixel up or down by epsilon"
    if attack == SQUARE:
        return f"Square Attack, on each row itself, {how.queries} queries at most"
    steps = f", {how.steps} steps" if attack == "pgd" else ""
    return f"{attack.upper()}{steps}, made against {report.made_against} and shown to all rows"


def print_report(report: AdversarialReport) -> None:
    """Prints a table for each attack to standard output."""
    console = terminal()
    *epsilons, mean, change = _columns(report)
    columns = (
        Column("model", number=False),
        *(Column(name, keep=number) for number, name in enumerate(epsilons)),
        Column(mean, keep=len(epsilons)),
        Column(change),
    )
    for attack in report.attacks:
        rows = [row for row in report.rows if attack in row.curves]
        cells = [(escape(row.name), *(_two_lines(one, sign) for one, sign in _cells(row, attack))) for row in rows]
        photos = report.rows[0].curves[attack].photos
        console.print(f"{escape(title_of(report, attack))}; {photos} photos", soft_wrap=True)
        print_table(console, columns, cells, f"{PAGE_FILE} has all")
        for row in rows[1:]:
            if attack != NOISE:
                console.print(f"{row.name}: {row.curves[attack].verdict}", markup=False, soft_wrap=True)
        if attack == SQUARE:
            for row in rows:
                console.print(f"{row.name}: {_queries(report, row)}", markup=False, soft_wrap=True)
        console.print()
    for failed in report.failed:
        console.print(f"{failed.name}: not attacked: {failed.reason}", markup=False, soft_wrap=True)
    console.print(f"[dim]{LEGEND}[/dim]", soft_wrap=True)


LEGEND: Final = """\
Top-1 accuracy in % with its 95 % interval, 0: the photos as they are. Mean: over all epsilons but 0.
Change: of the mean to the first row's, in points, photo by photo; less than 0 is easier to fool."""


def report_page(report: AdversarialReport, plot: bytes) -> str:
    """The page; `plot` is a PNG."""
    first = report.rows[0]
    count = max(curve.photos for curve in first.curves.values())
    attacks = [attack for attack in report.attacks if attack != NOISE]
    facts: list[tuple[str, page.Text]] = [
        (f"{first.name}, as the photos are", first.curves[NOISE].points[0].accuracy.percent()),
        *(
            (
                row.name,
                page.lines(*(f"{attack}: {row.curves[attack].verdict}" for attack in attacks if attack in row.curves)),
            )
            for row in report.rows[1:]
        ),
    ]
    warnings = [f"{failed.name} was not attacked: {failed.reason}" for failed in report.failed]
    warnings += [
        f"Nobody knows which photos {name} was trained on; its accuracy may be too good." for name in report.unknown
    ]
    where, how = report.environment, report.settings
    return page.page(
        f"{sum(NOISE in row.curves for row in report.rows)} models under attack",
        f"{count} held-out photos; compared with {first.name}",
        page.section(
            "Easier to fool than the first row?", page.facts(facts), *([page.listing(warnings)] if warnings else [])
        ),
        page.section(
            "Accuracy over epsilon",
            page.figure(
                plot, "Accuracy of each row over epsilon, a panel for each attack", min_width=330 * len(attacks)
            ),
        ),
        *(
            page.section(title_of(report, attack), _table(report, attack), *_notes(report, attack))
            for attack in report.attacks
        ),
        page.section(
            "Where and how",
            page.facts(
                [
                    ("Pictures made against", report.made_against),
                    ("Seed", str(how.seed)),
                    ("Machine", where.machine),
                    ("Runtimes", ", ".join(dict.fromkeys(row.runtime for row in report.rows))),
                    ("Photos left out, known to a run", str(report.left_out)),
                    ("Files that could not be decoded", str(report.unusable)),
                    ("Photos, fingerprint", report.photos_sha256[:16]),
                ]
            ),
            page.paragraph(
                "Epsilon: gray levels of 255 that any channel of any pixel may change by. All pictures hold whole "
                "levels, were saved "
                "as PNG and read again as a device reads them."
            ),
        ),
    )


def _table(report: AdversarialReport, attack: str) -> Html:
    return page.table(
        ("row", *_columns(report)),
        (
            (row.name, *(page_tables.percent(one, sign) if one else "" for one, sign in _cells(row, attack)))
            for row in report.rows
            if attack in row.curves
        ),
    )


def _notes(report: AdversarialReport, attack: str) -> list[Html]:
    count = report.rows[0].curves[attack].photos
    if attack == NOISE:
        note = "What any row withstands: an attack that does no worse than this has found nothing."
    elif attack == SQUARE:
        note = (
            "Asks a row for its scores and keeps what makes it less sure; the same squares are tried on every row, "
            "and a picture that "
            "withstands one epsilon counts as one that withstands the smaller ones. In the second line the first "
            "row's scores are rounded "
            "as 8 bits have them: what that alone changes is a blindfold of the attacker, not a virtue of a model."
        )
    elif report.white_box:
        note = (
            "The first row is attacked with its own gradients, the others see what was made for it. Who withstands "
            "more may merely be "
            "another network: --surrogate RUN puts all into the same position."
        )
    else:
        note = f"{report.made_against} is not the first row."
    parts = [page.paragraph(f"{count} photos. {note} Mean: over all epsilons but 0; change: of the mean, in points.")]
    if attack == SQUARE:
        parts.append(
            page.listing(f"{row.name}: {_queries(report, row)}" for row in report.rows if attack in row.curves)
        )
    return parts


def _columns(report: AdversarialReport) -> tuple[str, ...]:
    return ("0", *map(str, report.settings.epsilons), "mean", "change")


def _cells(row: AttackedRow, attack: str) -> Sequence[tuple[Estimate | None, str]]:
    """Estimates of a row of the table, and how to write them."""
    curve = row.curves[attack]
    return [*((point.accuracy, "") for point in curve.points), (curve.mean, ""), (curve.difference, "+")]


def _two_lines(estimate: Estimate | None, sign: str) -> str:
    if estimate is None:
        return ""
    value, low, high = (f"{100 * part:{sign}.1f}" for part in (estimate.value, estimate.low, estimate.high))
    return f"{value}\n[dim]{low}…{high}[/dim]"


def _queries(report: AdversarialReport, row: AttackedRow) -> str:
    """`fooled after 12 queries at epsilon 8, in the median`."""
    spent = [
        f"{count:.0f} at {epsilon}"
        for epsilon, count in zip(report.settings.epsilons, row.curves[SQUARE].queries, strict=True)
        if count is not None
    ]
    return f"queries that fooled it, median: {', '.join(spent)}" if spent else "never fooled"


def to_json(report: AdversarialReport) -> str:
    """For `--json`: the text of `robustness.json`, indented."""
    return json.dumps(json.loads(report.to_text()), indent=2, ensure_ascii=False)

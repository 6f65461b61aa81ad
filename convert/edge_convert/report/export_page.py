"""What was written and what proves it, as one page to look at."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from edge_convert.foreign.foreign_page import Shown, first_as_seen, foreign_summary, worst_pictures
from edge_convert.gate.candidate import Candidate, pi_verdict
from edge_convert.gate.gate_comparison import Changed, Comparison
from edge_convert.gate.limits import Limits, doubt_of
from edge_convert.quantize.sqnr import LayerNoise
from edge_convert.report.layer_plots import draw_layers
from edge_convert.targets import Verdict
from edge_convert.targets.verdict import count_names
from edge_convert.tflite.graph import read_graph
from edge_core import html as page
from edge_core.html import Html
from edge_core.preprocess import InputSpec

LAYERS: Final = 20


def write_report(
    path: Path, name: str, candidate: Candidate, limits: Limits, full_size: Path, tried: Sequence[Candidate] = ()
) -> None:
    """Writes the page.

    Args:
        path: Path of the HTML file to write.
        name: File name of the .tflite that the page is about.
        candidate: What was written.
        limits: That it was held to.
        full_size: File of the full-size model.
        tried: All candidates of a search, this one among them.

    Raises:
        OutputError: It cannot be written.
    """
    comparison, spec = candidate.comparison, candidate.card.input
    sections = [
        page.section("Is it good to use?", page.paragraph(pi_verdict(candidate, limits))),
        page.section("At a glance", _summary(candidate, limits, full_size), _judgement(candidate, limits)),
        page.section("Photos whose label changed", _changed(comparison, spec)),
    ]
    if candidate.foreign:
        worst = [worst_pictures(candidate.foreign, spec)] if candidate.foreign.foreign else []
        sections.append(page.section("What is foreign to it", page.facts(foreign_summary(candidate.foreign)), *worst))
    if len(tried) > 1:
        sections.append(page.section("What was tried", _tried(tried)))
    sections.append(page.section("Targets", _targets(candidate.verdicts.values())))
    if candidate.layers:
        sections.append(page.section("Layers", _layers(candidate.layers)))
    sections.append(page.section("Operators", _operators(candidate.artifact)))
    subtitle = f"{candidate.name}, on {comparison.photos} held-out photos that training has never seen"
    title = f"{name}: {100 * comparison.converted.value:.1f} % right, {0.0 - comparison.drop_points:+.1f} points"
    page.write_page(path, page.page(title, subtitle, *sections))


def _summary(candidate: Candidate, limits: Limits, full_size: Path) -> Html:
    comparison = candidate.comparison
    worst = comparison.worst_class
    before, after = full_size.stat().st_size, len(candidate.artifact)
    low, high = 100 * comparison.difference.low, 100 * comparison.difference.high
    return page.facts(
        [
            ("Full-size model right", comparison.full_size.percent()),
            ("This file right", comparison.converted.percent()),
            ("Difference, points", f"{0.0 - comparison.drop_points:+.1f} ({low:+.1f} to {high:+.1f})"),
            (f"Limit of {limits.max_drop:g} points", comparison.judge(limits.max_drop)),
            ("Same label", comparison.agreement.percent()),
            ("Became right, became wrong", f"{comparison.won} and {comparison.lost} photos"),
            ("That this is chance (McNemar's test)", f"p = {comparison.p_value:.2g}"),
            ("Worst class", f"{worst.label}, {100 * worst.difference.value:+.1f} points of {worst.photos} photos"),
            ("Mean score difference", f"{comparison.score_difference:.4f}"),
            ("Size before, Keras", f"{before / 1e3:,.0f} kB"),
            ("Size now", f"{after / 1e3:,.0f} kB, {candidate.compressed_bytes / 1e3:,.0f} kB compressed"),
            ("One inference, where it was converted", f"{candidate.latency_ms:.1f} ms"),
            ("Recipe", candidate.name),
        ]
    )


def _judgement(candidate: Candidate, limits: Limits) -> Html:
    lines = list(candidate.missed.values())
    if not lines and candidate.comparison.photos_to_tell(limits.max_drop):
        lines.append(doubt_of(candidate.comparison, limits.max_drop))
    return page.listing(lines) if lines else page.stack()


def _changed(comparison: Comparison, spec: InputSpec) -> Html:
    if not comparison.changed:
        return page.paragraph("None.")
    return first_as_seen([_shown(item) for item in comparison.changed], spec, ", in the JSON beside this")


def _shown(item: Changed) -> Shown:
    lines = (
        f"labeled {item.label}",
        f"before: {item.full_size}, {100 * item.full_size_score:.0f} %",
        f"now: {item.converted}, {100 * item.converted_score:.0f} %",
        item.path.name,
    )
    return item.path, lines, f"A photo labeled {item.label}: {item.full_size} before, {item.converted} now"


def _tried(tried: Sequence[Candidate]) -> Html:
    return page.table(
        ("recipe", "points", "same label %", "kB", "ms", "misses"),
        (
            (
                one.name,
                f"{0.0 - one.comparison.drop_points:+.1f}",
                f"{100 * one.comparison.agreement.value:.1f}",
                f"{len(one.artifact) / 1e3:,.0f}",
                f"{one.latency_ms:.1f}",
                ", ".join(one.missed) or "nothing",
            )
            for one in tried
        ),
    )


def _targets(verdicts: Iterable[Verdict]) -> Html:
    return page.listing(page.lines(f"{verdict.target} {_placed(verdict)}", *verdict.reasons) for verdict in verdicts)


def _placed(verdict: Verdict) -> str:
    if not verdict.placements:
        return "takes it" if verdict.ok else "refuses it"
    mapped = sum(one.mapped for one in verdict.placements)
    return f"{'takes it' if verdict.ok else 'refuses it'}: {mapped} of {len(verdict.placements)} operators mapped"


def _layers(layers: Sequence[LayerNoise]) -> Html:
    shown = layers[:LAYERS]
    return page.stack(
        page.paragraph(
            "What rounding to 8 bits adds to each layer's result, of the same input; the noisiest first. "
            f"Of {len(layers)} operators the first {len(shown)} are shown."
        ),
        page.beside(
            page.figure(draw_layers(layers, LAYERS), "Signal-to-quantization-noise ratio of the noisiest layers"),
            page.table(
                ("layer", "each channel alike, dB", "all values, dB"),
                (
                    (page.lines(one.layer, one.operator), f"{one.channel_sqnr_db:.1f}", f"{one.sqnr_db:.1f}")
                    for one in shown
                ),
            ),
        ),
    )


def _operators(artifact: bytes) -> Html:
    graph = read_graph(artifact)
    versions = {name: version for name, version in graph.opcodes}
    counts = count_names(graph.operators)
    return page.table(
        ("operator", "version", "count"),
        ((name, str(versions.get(name, "")), str(count)) for name, count in counts.items()),
    )

"""What a person sees of an inspection and of verdicts, on standard output."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from rich.markup import escape
from rich.table import Table

from edge_convert.targets import Verdict
from edge_convert.targets.edgetpu_compiler import Compiled
from edge_convert.tflite.graph import Tensor
from edge_convert.tflite.inspection import FileInspection
from edge_convert.tflite.metadata_reader import TensorDescription
from edge_core.artifact.card import ModelCard
from edge_device.command_line.tables import Column, print_table, terminal

if TYPE_CHECKING:  # they need TensorFlow, which to inspect a file does not
    from edge_convert.gate.candidate import Candidate, Exported
    from edge_convert.quantize.sqnr import LayerNoise


def print_verdicts(verdicts: Iterable[Verdict]) -> None:
    """A line for each target, and below it what it will do and why."""
    for verdict in verdicts:
        print(f"{verdict.target:<20}  {'ok' if verdict.ok else 'refused'}")
        said = verdict.to_json()
        for title, key in (("Edge TPU", "mapped_operators"), ("CPU", "cpu_operators")):
            if counts := said.get(key):
                names = ", ".join(f"{count} {name}" for name, count in counts.items())
                print(f"  {title:<8}  {_printable(names)}")
        for reason in verdict.reasons:
            print(f"  - {_printable(reason)}")


def print_exported(exported: "Exported") -> None:
    """What was written, and what proves it."""
    from edge_convert.gate.candidate import pi_verdict  # late: it needs TensorFlow, which to inspect a file does not

    comparison, limit = exported.comparison, exported.limits.max_drop
    low, high = 100 * comparison.difference.low, 100 * comparison.difference.high
    worst = comparison.worst_class
    print(pi_verdict(exported.candidate, exported.limits))
    print(f"{exported.file}  {exported.size_bytes / 1e3:.0f} kB, {exported.candidate.name}")
    print(f"  full-size     {comparison.full_size.percent()} on {comparison.photos} held-out photos")
    print(f"  converted     {comparison.converted.percent()}")
    print(f"  difference    {0.0 - comparison.drop_points:+.1f} points ({low:+.1f} to {high:+.1f})")
    print(f"  limit         {limit:g} points: {comparison.judge(limit)}")
    print(f"  changed       {comparison.won} photos became right, {comparison.lost} became wrong")
    print(f"  chance        p = {comparison.p_value:.2g} that these changes are chance (McNemar's test)")
    print(
        f"  worst class   {_printable(worst.label)} {100 * worst.difference.value:+.1f} points of {worst.photos} photos"
    )
    print(f"  agreement     {comparison.agreement.percent()}")
    print(f"  scores        {comparison.score_difference:.4f} apart on average")
    if foreign := exported.candidate.foreign:
        print(f"  known         {foreign.kept.percent()} of the held-out photos count as known")
        if foreign.let_in and foreign.fpr95 and foreign.auroc:
            print(f"  foreign       {foreign.let_in.percent()} of {foreign.foreign} do, too")
            print(f"  FPR at 95 %   {foreign.fpr95.percent()}; AUROC {foreign.auroc.value:.3f}")
    print(f"  latency       {exported.candidate.latency_ms:.1f} ms an inference on this machine")
    print(f"  report        {exported.page}")


def print_tried(tried: Sequence["Candidate"]) -> None:
    """What a search tried, in order."""
    columns = (
        Column("recipe", number=False),
        *(Column(title, keep=keep) for keep, title in ((4, "points"), (1, "same label"), (3, "kB"), (2, "ms"))),
        Column("misses", number=False),
    )
    rows = [
        (
            one.name,
            f"{0.0 - one.comparison.drop_points:+.1f}",
            f"{100 * one.comparison.agreement.value:.1f} %",
            f"{len(one.artifact) / 1e3:.0f}",
            f"{one.latency_ms:.1f}",
            ", ".join(one.missed) or "nothing",
        )
        for one in tried
    ]
    print_table(terminal(), columns, rows, "the report has all")


def print_layers(layers: Sequence["LayerNoise"]) -> None:
    """Layers with what 8 bits add to them."""
    columns = (
        Column("layer", number=False),
        Column("operator", number=False, keep=1),
        Column("SQNR,\nchannels alike"),
        Column("SQNR,\nall", keep=2),
    )
    rows = [
        (_shown(one.layer), one.operator, f"{one.channel_sqnr_db:.1f} dB", f"{one.sqnr_db:.1f} dB") for one in layers
    ]
    print_table(terminal(), columns, rows, "--json has all")


def print_compiled(compiled: Compiled) -> None:
    """What the compiler made, and where it is not what was forecast."""
    print(f"{compiled.file}  {compiled.size_bytes / 1e3:.0f} kB")
    for row in compiled.log:
        print(f"  {row.count:>4} {row.name:<24}  {row.status}")
    for line in compiled.differences:
        print(f"  not as forecast: {line}")
    if not compiled.differences:
        print("  as forecast")


def print_inspection(found: FileInspection) -> None:
    """Prints it to standard output, for a person."""
    console = terminal()
    console.print(f"{escape(str(found.file))}  {found.size_bytes / 1e3:.0f} kB", soft_wrap=True)
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    for name, value in _facts(found).items():
        if value:
            facts.add_row(name, _shown(value))
    console.print(facts)

    console.print()
    print_table(console, _PORTS, _ports(found), "--json has all")

    operators = [(_shown(name), str(number), str(count)) for (name, number), count in found.operators().items()]
    console.print()
    print_table(console, (Column("operator", number=False), Column("version"), Column("count")), operators)


def _facts(found: FileInspection) -> dict[str, str]:
    """What is known of a whole file, by name; empty where nothing is."""
    said = found.description
    version = f"version {said.version}" if said and said.version else ""
    constants = (
        f"{count} {dtype}" + (f" {granularity}" if granularity != "none" else "")
        for (dtype, granularity), count in found.constants().items()
    )
    return {
        "SHA-256": found.sha256,
        "seal": f"SHA-256 {found.sealed}" if found.sealed else "",
        "made by": found.graph.description,
        "constants": ", ".join(constants),
        "metadata": ", ".join(filter(None, (said.name, version, said.author, said.license))) if said else "",
        "files": ", ".join(f"{name} ({size} bytes)" for name, size in found.files.items()),
        "card": _card_line(found.card) if found.card else "",
    }


def _ports(found: FileInspection) -> list[tuple[str, ...]]:
    """A row for each input and output."""
    graph, said = found.graph, found.description
    rows: list[tuple[str, ...]] = []
    for label, tensors, descriptions in (
        ("input", graph.inputs, said.inputs if said else ()),
        ("output", graph.outputs, said.outputs if said else ()),
    ):
        for place, tensor in enumerate(tensors):
            words = _words(descriptions[place]) if place < len(descriptions) else ""
            cells = (label, tensor.name, tensor.dtype, _shape(tensor), _quantization(tensor), words)
            rows.append(tuple(_shown(cell) for cell in cells))
    return rows


_PORTS: Final = (
    Column("", number=False),
    Column("name", number=False, keep=2),
    Column("type", number=False),
    Column("shape"),
    Column("quantization", number=False, keep=3),
    Column("described as", number=False, keep=1),
)


def _printable(text: str) -> str:
    """Names come from the file, and a file is anybody's: nothing in them commands the terminal."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def _shown(text: str) -> str:
    return escape(_printable(text))


def _card_line(card: ModelCard) -> str:
    parts = [f"{len(card.labels)} labels", f"{card.input.width}x{card.input.height} {card.input.color_order}"]
    parts += [f"{name} {estimate.percent()}" for name, estimate in card.metrics.items()]
    return ", ".join(parts) + "; edge-run show has all of it"


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) + ("" if tensor.static else " (not fixed)")


def _quantization(tensor: Tensor) -> str:
    if tensor.quantization is None:
        return ""
    if tensor.quantization.per_channel:
        return f"{len(tensor.quantization.scales)} scales along axis {tensor.quantization.axis}"
    return f"scale {tensor.quantization.scales[0]:.6g}, zero point {tensor.quantization.zero_points[0]}"


def _words(said: TensorDescription) -> str:
    parts = [said.name, said.color_space]
    if said.normalization is not None:
        means, deviations = (", ".join(f"{value:g}" for value in values) for values in said.normalization)
        parts.append(f"(pixel - {means}) / {deviations}")
    return ", ".join(part for part in (*parts, *said.files.values()) if part)

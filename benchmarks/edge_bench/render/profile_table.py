"""A profile, as a person sees it."""

import sys

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from edge_bench.profiling.profile import Profile
from edge_bench.render.table import WIDTH


def print_profile(profile: Profile) -> None:
    """Prints a profile to standard output: every step in order, what fell out of the delegate, and the sums."""
    console = Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False)
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for name in ("#", "ms", "%"):
        table.add_column(name, justify="right", no_wrap=True)
    for name in ("operator", "shape", "run by"):
        table.add_column(name, no_wrap=True)
    table.add_column("layer", overflow="fold")
    for step in profile.steps:
        table.add_row(
            "" if step.index is None else str(step.index),
            f"{step.ms:.3f}",
            f"{100 * step.share:.1f}",
            escape(step.operator),
            "x".join(str(side) for side in step.shape),
            escape(step.kernel) if step.delegated else "[bold]interpreter[/bold]",
            escape(step.layer or step.output),
        )
    threads = f"{profile.threads} thread{'s' * (profile.threads > 1)}"
    console.print(f"{profile.runtime}, {threads}, {profile.runs} runs; times are the runtime's own\n", markup=False)
    console.print(table)
    alone = sum(step.ms for step in profile.fallen_out)
    delegate = f"XNNPACK ran {len(profile.steps) - len(profile.fallen_out)} in {profile.partitions} part{'s' * (profile.partitions != 1)}"
    console.print(
        f"\n{len(profile.steps)} steps take {profile.steps_ms:.3f} ms; {delegate},"
        f" the interpreter {len(profile.fallen_out)} in {alone:.3f} ms."
        f"\nAn inference takes {profile.profiled_ms:.3f} ms under the profiler and {profile.invoke_ms:.3f} ms without;"
        " what no step accounts for is the runtime's own, or other processes'.",
        soft_wrap=True,
    )

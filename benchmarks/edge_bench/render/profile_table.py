"""A profile, as a person sees it."""

from typing import Final

from rich.markup import escape

from edge_bench.profiling.profile import Profile
from edge_device.command_line.tables import Column, print_table, terminal

COLUMNS: Final = (
    Column("#", keep=1),
    Column("ms"),
    Column("%", keep=5),
    Column("operator", number=False),
    Column("shape", keep=2),
    Column("run by", number=False, keep=4),
    Column("layer", number=False, keep=3),
)


def print_profile(profile: Profile) -> None:
    """Prints a profile to standard output: every step in order, what fell out of the delegate, and the sums."""
    console = terminal()
    rows = [
        (
            "" if step.index is None else str(step.index),
            f"{step.ms:.3f}",
            f"{100 * step.share:.1f}",
            escape(step.operator),
            "x".join(str(side) for side in step.shape),
            escape(step.kernel) if step.delegated else "interpreter",
            escape(step.layer or step.output),
        )
        for step in profile.steps
    ]
    threads = f"{profile.threads} thread{'s' * (profile.threads > 1)}"
    console.print(f"{profile.runtime}, {threads}, {profile.runs} runs; times are the runtime's own\n", markup=False)
    print_table(console, COLUMNS, rows, "--json has all")
    alone = sum(step.ms for step in profile.fallen_out)
    parts = f"{profile.partitions} part{'s' * (profile.partitions != 1)}"
    delegate = f"XNNPACK ran {len(profile.steps) - len(profile.fallen_out)} in {parts}"
    console.print(
        f"\n{len(profile.steps)} steps take {profile.steps_ms:.3f} ms; {delegate},"
        f" the interpreter {len(profile.fallen_out)} in {alone:.3f} ms."
        f"\nAn inference takes {profile.profiled_ms:.3f} ms under the profiler and {profile.invoke_ms:.3f} ms without;"
        " what no step accounts for is the runtime's own, or other processes'.",
        soft_wrap=True,
    )

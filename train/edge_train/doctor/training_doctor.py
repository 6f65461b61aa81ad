"""`edge-train doctor`: parsed with argparse, since Typer, too, may be what is broken."""

import argparse
from collections.abc import Sequence

from edge_device.doctor.command import present
from edge_train.doctor.examine_training import EXAMINATIONS, examine


def main(arguments: Sequence[str]) -> int:
    """Examines this computer and prints what was found; returns the exit status: 1 if there is a problem."""
    parser = argparse.ArgumentParser(
        prog="edge-train doctor",
        description="Find out what keeps this computer from training, or from training on its GPU, and how to mend it. "
        "What may crash is tried in a process of its own. The exit status is 1 if there is a problem.",
        epilog="Example: edge-train doctor --json",
    )
    parser.add_argument("--json", action="store_true", help="Print JSON, for scripts.")
    options = parser.parse_args(arguments)
    return present(lambda tell: examine(tell=tell), list(EXAMINATIONS), options.json, "edge-train fit photos/")

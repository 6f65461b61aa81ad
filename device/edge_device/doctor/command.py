"""`edge-run doctor`: parsed with argparse, since Typer, too, may be what is broken."""

import argparse
import json
import shutil
import sys
import textwrap
import time
from collections.abc import Callable, Sequence
from shlex import quote

from edge_device.command_line.next_step import say_next
from edge_device.doctor.examine import EXAMINATIONS, examine
from edge_device.doctor.findings import Report
from edge_device.system.interrupts import end_on_signals

QUIET_S = 2.0
"""What is done sooner needs no progress."""


def main(arguments: Sequence[str]) -> int:
    """Examines this board and prints what was found; returns the exit status: 1 if there is a problem."""
    parser = argparse.ArgumentParser(
        prog="edge-run doctor",
        description="Find out what keeps this board from classifying, and how to mend it. "
        "What may crash is tried in a process of its own. The exit status is 1 if there is a problem.",
        epilog="Example: edge-run doctor --model flowers-int8.tflite",
    )
    parser.add_argument("--json", action="store_true", help="Print JSON, for scripts.")
    parser.add_argument("--model", metavar="FILE", help="A .tflite to be run, too, with every interpreter.")
    options = parser.parse_args(arguments)
    return present(
        lambda tell: examine(model=options.model, tell=tell),
        [*EXAMINATIONS, "model"],
        options.json,
        f"edge-run verify {quote(options.model)}" if options.model else "edge-run doctor --model FILE.tflite",
    )


def present(
    look: Callable[[Callable[[str], None]], Report], names: Sequence[str], as_json: bool, next_command: str
) -> int:
    """Examines and prints what was found, showing what is looked at while it takes long; returns the exit status.

    Args:
        look: Examines; is given what wants the name of each examination before it begins.
        names: Names of all examinations that there may be, in order.
        as_json: Whether JSON is printed.
        next_command: What to do next if there is no problem.
    """
    # A signal has to end the wait for a process, too.
    end_on_signals()
    began, width = time.monotonic(), shutil.get_terminal_size().columns

    def tell(name: str) -> None:
        if sys.stderr.isatty() and time.monotonic() - began > QUIET_S:
            print(f"\r\033[K{names.index(name)} of {len(names)}: {name}", end="", file=sys.stderr, flush=True)

    try:
        report = look(tell)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)
    text = json.dumps(report.to_json(), indent=2) + "\n" if as_json else rendered(report, width)
    sys.stdout.write(text)
    sys.stdout.flush()
    if not as_json and report.verdict != "problem":
        say_next(next_command)
    return 1 if report.verdict == "problem" else 0


def rendered(report: Report, width: int = 100) -> str:
    """A report for a person: a line a finding, and what mends it below."""
    name_width = max(len(finding.id) for finding in report.findings)
    indent = " " * (9 + name_width + 2)
    lines = []
    for finding in report.findings:
        first = f"{finding.level:<9}{finding.id:<{name_width}}  "
        # At least 60: on a narrower terminal the indentation alone would leave no room for words.
        lines += textwrap.wrap(_printable(finding.text), max(width, 60), initial_indent=first, subsequent_indent=indent)
        if finding.fix:
            lines.append(f"{indent}{_printable(finding.fix)}")  # not wrapped: it will be copied
    levels = [finding.level for finding in report.findings]
    lines.append(f"problems: {levels.count('problem')}, warnings: {levels.count('warning')}")
    return "\n".join(lines) + "\n"


def _printable(text: str) -> str:
    """Without what a terminal would obey: a USB device chooses its own name."""
    return "".join(character if character.isprintable() else "?" for character in text)

"""What Ctrl-C in the first moments of a command gives, by the processor time that the process has had.

    python benchmarks/experiments/early_interrupts.py edge-run --times 5 --until 60

Processor time, read from the kernel, since a busy machine stretches the clock. Until Python has set its own handler a
signal ends the process without a word; from then until ours is set it prints a traceback, from Python's own start, from
the script that pip wrote, or from our packages; then it is told in one word.
"""

import argparse
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.table import Table

from edge_device.command_line.entry import INTERRUPTED

OUTCOMES = ("ended silently", "Python's start", "the script", "our packages", "interrupted", "done", "other")
BIN_MS = 4


def processor_ms(process: int) -> float:
    """Processor time of a process, in milliseconds."""
    return int(Path(f"/proc/{process}/schedstat").read_text().split()[0]) / 1e6


def interrupt(command: str, after_ms: float) -> tuple[float, str]:
    """Sends SIGINT to a new process; when that was, and what came of it."""
    pipe = subprocess.PIPE
    process = subprocess.Popen([command, "--help"], stdout=subprocess.DEVNULL, stderr=pipe, text=True)
    began_ms = processor_ms(process.pid)
    while (now_ms := processor_ms(process.pid) - began_ms) < after_ms and process.poll() is None:
        time.sleep(0.0002)
    process.send_signal(signal.SIGINT)
    return now_ms, outcome(process.communicate()[1], process.returncode, command)


def outcome(errors: str, status: int, command: str) -> str:
    """The one of `OUTCOMES` that it is."""
    if "Traceback" in errors or "KeyboardInterrupt" in errors:
        files = [line for line in errors.splitlines() if line.lstrip().startswith("File ")]
        if any(re.search(r"/edge_\w+/(\w+/)*\w+\.py\b", line) for line in files):
            return "our packages"
        return "the script" if any(command in line for line in files) else "Python's start"
    return {-signal.SIGINT: "ended silently", INTERRUPTED: "interrupted", 0: "done"}.get(status, "other")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("command", help="one of the four commands")
    parser.add_argument("--times", type=int, default=5, help="number of signals in each two milliseconds")
    parser.add_argument("--until", type=int, default=60, help="milliseconds of processor time to look at")
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # one that is ignored would be ignored by the command
    command = str(Path(sys.executable).with_name(options.command))
    counts: dict[int, Counter[str]] = {}
    for after_ms in range(0, options.until, 2):
        for _ in range(options.times):
            at_ms, what = interrupt(command, after_ms)
            counts.setdefault(int(at_ms) // BIN_MS, Counter())[what] += 1
    table = Table("ms of processor", *OUTCOMES)
    for number, count in sorted(counts.items()):
        table.add_row(f"{BIN_MS * number}", *(str(count[name] or "") for name in OUTCOMES))
    total = sum(counts.values(), Counter[str]())
    table.add_section()
    table.add_row("all", *(str(total[name]) for name in OUTCOMES))
    Console(width=110).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())

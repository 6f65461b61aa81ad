"""Whether `edge-bench run` says the same thrice, and once more while another process takes half of a core.

    python benchmarks/experiments/repeatability.py runs/flowers flowers-float32.tflite flowers-int8.tflite --threads 1

What follows is passed on to `edge-bench run`. Prints the ratio to the first row, run by run, how far the three quiet
ones lie apart (at most 5 %), and how far the loaded one lies from their median (at most 10 %, unless the row says
itself that it is unstable). The exit status is 1 if either does not hold.
"""

import argparse
import json
import multiprocessing
import subprocess
import sys
import time
from statistics import median
from typing import Any, Final

RUNS: Final = 3
QUIET_LIMIT: Final = 0.05
LOADED_LIMIT: Final = 0.10
PERIOD_S: Final = 0.1
COMMAND: Final = [sys.executable, "-c", "from edge_bench.cli import app; app(prog_name='edge-bench')", "run", "--json"]


def burn() -> None:
    """Takes half of a core, for ever."""
    while True:
        until = time.perf_counter() + PERIOD_S / 2
        while time.perf_counter() < until:
            pass
        time.sleep(PERIOD_S / 2)


def measure(arguments: list[str]) -> dict[str, dict[str, Any]]:
    """The rows of one benchmark, by name."""
    done = subprocess.run([*COMMAND, *arguments], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(done.returncode)
    return {row["name"]: row for row in json.loads(done.stdout)["rows"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", metavar="RUN")
    parser.add_argument("files", metavar="FILE.tflite")
    asked, more = parser.parse_known_args()
    arguments = [asked.run, asked.files, *more]
    quiet = [measure(arguments) for _ in range(RUNS)]
    burning = multiprocessing.Process(target=burn, daemon=True)
    burning.start()
    loaded = measure(arguments)
    burning.terminate()
    held = True
    for name in list(loaded)[1:]:
        ratios = [run[name]["ratio"]["value"] for run in quiet]
        middle = median(ratios)
        apart = (max(ratios) - min(ratios)) / middle
        under_load = loaded[name]["ratio"]["value"] / middle - 1
        unstable = loaded[name]["unstable"]
        fine = apart <= QUIET_LIMIT and (abs(under_load) <= LOADED_LIMIT or bool(unstable))
        held &= fine
        print(
            f"{'ok ' if fine else 'NOT'} {name}: {', '.join(f'{ratio:.4f}' for ratio in ratios)}: {100 * apart:.1f} % "
            f"apart; "
            f"under load {100 * under_load:+.1f} %{', and says that it is unstable' if unstable else ''}",
            flush=True,
        )
    sys.exit(not held)


if __name__ == "__main__":
    main()

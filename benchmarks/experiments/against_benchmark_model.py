"""Whether our median of `invoke` is that of LiteRT's own benchmark tool, on the same file with as many threads.

    python benchmarks/experiments/against_benchmark_model.py flowers-int8.tflite --threads 1

The tool is the one in the ai-edge-litert wheel, `litert-benchmark`; the compiled benchmark_model is not on PyPI, and
litert-cli fetches it from the network. The two take turns. The tool fills its input once and then only invokes, so our
worker is timed on one frame, whose preprocessing is not counted. Prints both medians and the median of the ratios, pair
by pair; the exit status is 1 if that is more than 5 % from 1.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import numpy as np

from edge_bench.backends.contenders import Variants, plan, read_source
from edge_bench.measure.worker_process import WorkerProcess
from edge_bench.results.latency import median_interval

LIMIT: Final = 0.05
WARM_UPS: Final = 20


def theirs(file: Path, threads: int, runs: int, folder: Path) -> float:
    """Median of an inference in milliseconds, as the tool has it."""
    result = folder / "result.json"
    command = [sys.executable, "-m", "ai_edge_litert.tools.benchmark_litert_model", f"--model={file}"]
    options = [f"--num_threads={threads}", f"--num_runs={runs}", f"--warmup_runs={WARM_UPS}", f"--result_json={result}"]
    subprocess.run([*command, *options], check=True, capture_output=True)
    return float(json.loads(result.read_text("utf-8"))["latency"]["median_ms"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--pairs", type=int, default=12)
    parser.add_argument("--runs", type=int, default=200, help="inferences a turn")
    options = parser.parse_args()
    candidate = plan([read_source(options.file)], Variants(threads=(options.threads,)))[0]
    pairs: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as scratch:
        frame = str(Path(scratch) / "frame.npy")
        np.save(frame, np.random.default_rng(0).integers(0, 256, (*candidate.input.shape[:2], 3), np.uint8))
        for number in range(options.pairs):
            tool = theirs(options.file, options.threads, options.runs, Path(scratch)) if number % 2 else 0.0
            with WorkerProcess(options.file) as worker:
                worker.ask("open", frame=frame, **candidate.to_json())
                worker.ask("burst", frames=[frame], seconds=0.2)
                ours = float(np.median(worker.ask("burst", frames=[frame], seconds=0.5)["invoke_ms"]))
            tool = tool or theirs(options.file, options.threads, options.runs, Path(scratch))
            pairs.append((ours, tool))
    ours_ms, tool_ms = (float(np.median(values)) for values in zip(*pairs, strict=True))
    ratio = median_interval(np.array([ours / tool for ours, tool in pairs]))
    print(
        f"{options.file.name}, {options.threads} threads, {options.pairs} pairs: ours {ours_ms:.3f} ms, the tool's "
        f"{tool_ms:.3f} ms"
    )
    print(f"ours / tool's, pair by pair: {ratio.value:.3f} ({ratio.low:.3f} to {ratio.high:.3f})")
    sys.exit(abs(ratio.value - 1) > LIMIT)


if __name__ == "__main__":
    main()

"""Accuracy, latency and size compared with the full-size model; the `edge-bench` command."""

from edge_device.system.lazy_exports import lazy_exports

TYPE_CHECKING = False  # as in edge_device/command_line/entry.py
if TYPE_CHECKING:
    from edge_bench.measure.benchmark import run_benchmark
    from edge_bench.results.report import BenchReport

__all__ = ["BenchReport", "run_benchmark"]

_PLACES = {
    "BenchReport": "edge_bench.results.report",
    "run_benchmark": "edge_bench.measure.benchmark",
}

# Worker processes, whose memory is measured, import this package, too.
__getattr__ = lazy_exports(__name__, _PLACES)

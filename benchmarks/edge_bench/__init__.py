"""Accuracy, latency and size compared with the full-size model; the `edge-bench` command."""

from typing import TYPE_CHECKING

from edge_device.system.lazy_exports import lazy_exports

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

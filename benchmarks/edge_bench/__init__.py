"""Accuracy, latency and size compared with the full-size model; the `edge-bench` command."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_bench.measure.benchmark import run_benchmark
    from edge_bench.results.report import BenchReport

__all__ = ["BenchReport", "run_benchmark"]

_MODULES = {"BenchReport": "results.report", "run_benchmark": "measure.benchmark"}


def __getattr__(name: str) -> object:
    """Imports what is asked for, and not before: worker processes, whose memory is measured, import this package,
    too."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"edge_bench.{_MODULES[name]}"), name)

"""Accuracy, latency and size against the full-size model; the `edge-bench` command."""

from edge_bench.benchmark import run_benchmark
from edge_bench.report import Environment, Latency, Report, Row

__all__ = ["Environment", "Latency", "Report", "Row", "run_benchmark"]

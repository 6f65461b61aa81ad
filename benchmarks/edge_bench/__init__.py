"""Accuracy, latency and size against the full-size model; the `edge-bench` command.

`edge_bench.measure.benchmark.run_benchmark` measures, `edge_bench.results.report.Report` is what it found. Nothing is imported here: a
worker process, whose memory and start are measured, imports this package, too.
"""

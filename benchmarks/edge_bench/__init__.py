"""Accuracy, latency and size against the full-size model; the `edge-bench` command."""

"""Benchmark results as tables, plots, pages and files."""

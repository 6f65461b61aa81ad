"""Boards that are measured over SSH."""

from edge_bench.remote.host import RemoteHost, RemoteWorker
from edge_bench.remote.install import Setup
from edge_bench.remote.remote_benchmark import HostBenchmark, run_on_hosts

__all__ = ["HostBenchmark", "RemoteHost", "RemoteWorker", "Setup", "run_on_hosts"]

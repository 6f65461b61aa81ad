"""Boards that are measured over SSH."""

from edge_bench.host.benchmark import HostBenchmark, run_on_hosts
from edge_bench.host.host import Host, RemoteWorker
from edge_bench.host.install import Setup

__all__ = ["Host", "HostBenchmark", "RemoteWorker", "Setup", "run_on_hosts"]

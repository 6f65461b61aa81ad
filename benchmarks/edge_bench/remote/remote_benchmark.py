"""The benchmark on boards: .tflite files there, full-size models here."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from edge_bench.backends.contenders import KERAS, RowSpec, Variants
from edge_bench.measure.benchmark import Benchmark, run_benchmark
from edge_bench.measure.worker_process import BenchWorker, WorkerProcess
from edge_bench.remote.host import RemoteHost
from edge_bench.results.report import BenchSettings
from edge_core.codec import JsonObject
from edge_core.errors import HostError


@dataclass(frozen=True)
class HostBenchmark:
    """What became of one board.

    Attributes:
        host: Address as the command line gave it.
        benchmark: Its rows on the board have the board in their names; None if it failed.
        error: Why it failed; None if it did not.
    """

    host: str
    benchmark: Benchmark | None
    error: HostError | None


def run_on_hosts(
    models: Sequence[Path],
    hosts: Sequence[RemoteHost],
    *,
    variants: Variants | None = None,
    all_cores: bool = True,
    settings: BenchSettings | None = None,
    data: Path | None = None,
    held_out_by: Sequence[Path] = (),
) -> list[HostBenchmark]:
    """Measures models as `run_benchmark` does, on several boards at the same time.

    A run's full-size model is measured here, since TensorFlow never goes to a board; those of several boards take
    turns. So a ratio to such a row is one between machines.

    Args:
        models: Models as `run_benchmark` takes them.
        hosts: The boards, not yet entered; each has its own progress.
        variants: Variants as `run_benchmark` takes them.
        all_cores: Whether one inference uses all cores of each board, whatever `variants` says about threads.
        settings, data, held_out_by: The arguments of `run_benchmark`.

    Raises:
        EdgeError: As `run_benchmark`; what is wrong with a board is no error, but in the result.
    """
    one_at_a_time = threading.Lock()

    def run(host: RemoteHost) -> HostBenchmark:
        try:
            with host:
                here: set[str] = set()

                def start(candidate: RowSpec) -> BenchWorker:
                    if candidate.runtime != KERAS:
                        return host.worker(candidate.file)
                    here.add(candidate.name)
                    return _Here(host, WorkerProcess(candidate.file), one_at_a_time)

                chosen = variants or Variants()
                if all_cores:
                    chosen = replace(chosen, threads=(host.board.about["cores"],))
                environment = host.environment()  # before there is a load of our own
                done = run_benchmark(
                    models,
                    variants=chosen,
                    settings=settings,
                    data=data,
                    held_out_by=held_out_by,
                    start=start,
                    track=host.track,
                )
                if host.board.broken:
                    raise HostError(f"{host.name}: {host.board.broken}")
                rows = (
                    row if row.name in here else replace(row, name=f"{row.name}, {host.name}")
                    for row in done.report.rows
                )
                report = replace(done.report, rows=tuple(rows), environment=environment)
                return HostBenchmark(host.name, replace(done, report=report), None)
        except HostError as error:
            return HostBenchmark(host.name, None, error)

    with ThreadPoolExecutor(len(hosts)) as pool:
        try:
            return list(pool.map(run, hosts))
        except BaseException:  # Ctrl-C comes to this thread only
            for host in hosts:
                host.board.give_up("given up")
            raise


class _Here:
    """A worker on this machine that the benchmarks of several boards share out among themselves.

    It stands still once its board is gone, so that nobody measures on in vain.
    """

    def __init__(self, host: RemoteHost, worker: WorkerProcess, one_at_a_time: threading.Lock) -> None:
        self._host, self._worker, self._one_at_a_time = host, worker, one_at_a_time

    def __enter__(self) -> Self:
        self._worker.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._worker.__exit__(kind, error, traceback)

    def ask(self, do: str, **fields: object) -> JsonObject:
        with self._one_at_a_time:
            if self._host.board.broken:
                raise HostError(f"{self._host.name}: {self._host.board.broken}")
            return self._worker.ask(do, **fields)

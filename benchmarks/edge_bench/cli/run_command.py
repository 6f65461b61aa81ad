"""`edge-bench run`."""

import re
import sys
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from edge_bench.backends.contenders import DELEGATES, INTERPRETERS, PEERS, Variants
from edge_bench.cli.bench_parameters import ask_password_of, parse_share
from edge_bench.measure.benchmark import Benchmark, run_benchmark
from edge_bench.measure.foreign_test import files_that_tell, with_foreign
from edge_bench.render.output import check_out, write_report
from edge_bench.results.report import BenchReport, BenchSettings
from edge_bench.scenes.scene_test import SceneSettings, check_scenes, with_scenes
from edge_core.data.photo_folder import Unusable
from edge_core.errors import HostError
from edge_device.command_line.arguments import parse_size
from edge_device.command_line.console import (
    Debug,
    Json,
    one_line_errors,
    say,
    say_unusable,
    track,
    working,
)
from edge_device.command_line.next_step import say_next

if TYPE_CHECKING:
    from edge_bench.remote import RemoteHost, Setup

T = TypeVar("T")


def run(
    models: Annotated[
        list[Path],
        typer.Argument(
            metavar="MODEL",
            help="Run folders, whose full-size model is meant, and complete .tflite files. The others are compared "
            "with the first one.",
            show_default=False,
        ),
    ],
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="PHOTOS",
            help="Photo folder, or CSV of path,label, to test on; photos that the runs were trained on are left out. "
            "Default: the runs' test photos.",
        ),
    ] = None,
    held_out_by: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="RUN",
            help="Another run whose training photos are left out of the test, too. Its model is not measured. May be "
            "repeated.",
        ),
    ] = None,
    unknown: Annotated[
        Path | None,
        typer.Option(
            metavar="PICTURES",
            help="Folder of pictures that show none of the labels. The report says how many each .tflite takes for "
            "something it knows, and shows the worst.",
        ),
    ] = None,
    scene: Annotated[
        Path | None,
        typer.Option(
            metavar="BACKGROUNDS",
            help="Folder of pictures that become still backgrounds. Held-out photos come in before them at five sizes, "
            "and the report says of how many each .tflite decides rightly, with whole frames and with --focus motion.",
        ),
    ] = None,
    scenes: Annotated[int, typer.Option(min=1, help="Number of scenes of each size.")] = SceneSettings.scenes,
    out: Annotated[
        Path, typer.Option(help="Folder to write, with bench.json, bench.csv, bench.png and bench.html.")
    ] = Path("bench"),
    runtime: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[=PYTHON]",
            help=f"What runs the .tflite files: {', '.join((*INTERPRETERS, *PEERS))}. PYTHON is the interpreter of the "
            "venv that has it. May be repeated: a row each.",
        ),
    ] = None,
    threads: Annotated[
        str | None, typer.Option(metavar="N[,N...]", help="Number of threads for one inference. Default: all cores.")
    ] = None,
    delegate: Annotated[
        list[str] | None,
        typer.Option(
            help=f"Delegate that computes the .tflite files: {', '.join(DELEGATES)}, or coral:usb:0. Default: "
            f"XNNPACK. May be repeated: a row each."
        ),
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=0.25, help="Longest time that each row is measured for, in seconds.")
    ] = 10.0,
    precision: Annotated[
        str, typer.Option(metavar="SHARE", help="Precision of all medians and ratios at which measuring stops earlier.")
    ] = "2%",
    frame_size: Annotated[str, typer.Option(help="Width and height of the camera frames that are timed.")] = "1280x720",
    robustness: Annotated[
        bool,
        typer.Option(
            "--robustness", help="Also measure accuracy under 15 corruptions at 5 severities, which takes long."
        ),
    ] = False,
    robustness_photos: Annotated[int, typer.Option(min=1, help="Largest number of photos to corrupt.")] = 200,
    sustained: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Time for which each row runs alone afterwards: 90s, 10m. Default: none."),
    ] = None,
    power_csv: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Log of a power meter, with the columns time (seconds since 1970) and watts."
        ),
    ] = None,
    cold_starts: Annotated[
        int, typer.Option(min=1, help="Number of processes started for each row to time the start.")
    ] = 3,
    seed: Annotated[int, typer.Option(help="Random seed of the benchmark order.")] = 0,
    host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[USER@]BOARD[:PORT]",
            help="Measure the .tflite files on this board over SSH, full-size models here. May be repeated: boards are "
            "measured at the same time, and each gets a folder in --out.",
        ),
    ] = None,
    ask_password: Annotated[bool, typer.Option("--ask-password", help="Ask for the boards' SSH passwords.")] = False,
    wheel: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.whl",
            help="Wheel of edge-mobilenet to install on boards. Default: the version that is installed here.",
        ),
    ] = None,
    wheels: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Folder with all wheels that a board without internet installs."),
    ] = None,
    keep_env: Annotated[
        bool,
        typer.Option(
            "--keep-env", help="Leave the installed packages on the boards, so that the next run begins sooner."
        ),
    ] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Measure accuracy, latency, size and memory of models, and compare them with the first one.

    Accuracy is measured on photos that none of the runs has ever seen. Every row runs in a process of its own, and they
    take turns.

    Example: edge-bench run runs/flowers flowers-int8.tflite --threads 1,4 --out bench/pi4

    Example: edge-bench run runs/flowers flowers-int8.tflite --runtime ai-edge-litert
    --runtime tflite-runtime=venv-2.14/bin/python

    Example: edge-bench run runs/flowers flowers-int8.tflite --host pi@raspberrypi.local --out bench/pi
    """
    with one_line_errors(debug):
        variants = parse_variants(runtime, threads, delegate)
        settings = BenchSettings(
            frame_size=parse_size(frame_size, "--frame-size"),
            seconds=seconds,
            precision=parse_share(precision, "--precision"),
            cold_starts=cold_starts,
            robustness_photos=robustness_photos if robustness else 0,
            sustained_s=_parse_time(sustained),
            seed=seed,
        )
        folders = _folders(out, host or [])
        for folder in folders.values():
            check_out(folder)
        with working("Loading what draws the report"):
            import edge_bench.render.chart  # noqa: F401 - or a missing matplotlib would be told of after all the work
        telling = files_that_tell(models, unknown) if unknown else []
        composed = SceneSettings(scene, scenes, seed) if scene else None
        shown = check_scenes(models, composed) if composed else []

        def show(benchmark: Benchmark, folder: Path) -> None:
            if unknown:
                benchmark = with_foreign(benchmark, telling, unknown, track)
            if composed:
                benchmark = with_scenes(benchmark, shown, composed, track)
            _show(benchmark, folder, as_json)

        others = tuple(held_out_by or ())
        if not host:
            measured = run_benchmark(
                models,
                variants=variants,
                settings=settings,
                data=data,
                held_out_by=others,
                power_log=power_csv,
                track=track,
            )
            show(measured, out)
            return
        if power_csv:
            raise typer.BadParameter("a log of power is of one machine, not of boards", param_hint="--power-csv")
        from edge_bench.remote import Setup, run_on_hosts

        results = run_on_hosts(
            models,
            _boards(host, Setup(wheel, wheels, keep_env), ask_password),
            variants=variants,
            all_cores=threads is None,
            settings=settings,
            data=data,
            held_out_by=others,
        )
        for result in results:
            if result.benchmark:
                show(result.benchmark, folders[result.host])
        _raise_first([result.error for result in results if result.error])


def _boards(hosts: list[str], setup: "Setup", ask_password: bool) -> "list[RemoteHost]":
    from edge_bench.remote import RemoteHost

    return [
        RemoteHost(
            host,
            setup,
            password=ask_password_of(host) if ask_password else None,
            track=track if len(hosts) == 1 else partial(_tell, host),
        )
        for host in hosts
    ]


def _raise_first(errors: list[HostError]) -> None:
    """Raises the first of several errors, once the others are said."""
    for error in errors[1:]:
        say(f"error: {error}")
    if errors:
        raise errors[0]


def _show(benchmark: Benchmark, out: Path, as_json: bool) -> None:
    """Writes a report and prints it."""
    report = benchmark.report
    _say_what_was_left_out(report, benchmark.unusable)
    with working("Writing the report"):
        write_report(report, out, benchmark.photos, benchmark.foreign)
    if as_json:
        print(report.to_text(), end="")
    else:
        from edge_bench.render.table import print_report  # late: rich is slow to import

        print_report(report)
    say(f"wrote bench.json, bench.csv, bench.png and bench.html to {out}")
    if not as_json:
        say_next(f"edge-bench reference --with {quote(str(out / 'bench.json'))}")


def _folders(out: Path, hosts: list[str]) -> dict[str, Path]:
    """Where each host's report goes: of several, below `out`."""
    if len(hosts) < 2:
        return dict.fromkeys(hosts or [""], out)
    if len(set(hosts)) < len(hosts):
        raise typer.BadParameter("a board is given twice", param_hint="--host")
    folders: dict[str, Path] = {}
    for host in hosts:
        name = re.sub(r"[^\w.@-]", "-", host)
        # pi@board:22 and pi@board-22 would share a folder, and the second would replace the first's report.
        while out / name in folders.values():
            name += "-"
        folders[host] = out / name
    return folders


def _tell(name: str, items: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
    """A `Track` for one of several hosts: bars of several threads would draw over each other."""
    del total
    if label:
        say(f"{name}: {label}")
    yield from items


def parse_variants(runtimes: list[str] | None, threads: str | None, delegates: list[str] | None) -> Variants:
    """What `--runtime`, `--threads` and `--delegate` say.

    Raises:
        typer.BadParameter: Threads that are no numbers.
        SettingsError: No such runtime or delegate.
    """
    pairs = [one.partition("=") for one in runtimes or ["auto"]]
    chosen = Variants(
        tuple((name, python or sys.executable) for name, _, python in pairs), delegates=tuple(delegates or ["xnnpack"])
    )
    if threads is None:
        return chosen
    if not re.fullmatch(r"[1-9]\d{0,2}(,[1-9]\d{0,2})*", threads, re.ASCII):
        raise typer.BadParameter(
            f"{threads!r} is no number of threads, nor several such as 1,2,4", param_hint="--threads"
        )
    counts = tuple(dict.fromkeys(int(count) for count in threads.split(",")))
    return Variants(chosen.runtimes, counts, chosen.delegates)


def _parse_time(text: str | None) -> float:
    """Seconds; 0 where no time is given."""
    if text is None:
        return 0.0
    match = re.fullmatch(r"([1-9]\d{0,4})(s|m|h)", text, re.ASCII)
    if not match:
        raise typer.BadParameter(f"{text!r} is no time such as 90s or 10m", param_hint="--sustained")
    return float(match[1]) * {"s": 1, "m": 60, "h": 3600}[match[2]]


def _say_what_was_left_out(report: BenchReport, unusable: tuple[Unusable, ...]) -> None:
    if report.left_out:
        say(f"left out {report.left_out} photos that a run was trained or validated on")
    say_unusable(unusable)
    if report.unknown:
        say(
            f"warning: nobody knows which photos {', '.join(report.unknown)} was trained on; its accuracy may be too "
            f"good"
        )
    load, cores = report.environment.load, report.environment.cores
    if load > 0.3 * cores:
        say(
            f"warning: the load was {load:.1f} on {cores} cores before this began; believe ratios rather than "
            f"milliseconds"
        )

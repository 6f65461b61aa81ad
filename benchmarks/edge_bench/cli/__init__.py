"""The `edge-bench` command."""

import json
import re
import sys
from collections.abc import Iterable, Iterator
from functools import partial
from getpass import getpass
from pathlib import Path
from shlex import quote
from typing import Annotated, TypeVar

import typer

from edge_bench.backends.contenders import DELEGATES, INTERPRETERS, PEERS, Variants
from edge_bench.measure.benchmark import Benchmark, run_benchmark
from edge_bench.measure.foreign_test import files_that_tell, with_foreign
from edge_bench.render.output import check_out, write_report
from edge_bench.results.comparison import compare_reports
from edge_bench.results.report import BenchReport, BenchSettings
from edge_core.data.photo_folder import Unusable
from edge_core.errors import CheckFailedError, ReportError
from edge_core.files import require_writable, written_whole
from edge_device.command_line.console import (
    Debug,
    Json,
    command_line,
    one_line_errors,
    say,
    say_unusable,
    track,
    working,
)
from edge_device.command_line.next_step import say_next, say_next_live

T = TypeVar("T")

app = command_line(
    "Measure models against the full-size one that they were made of.\n\n"
    "Example: edge-bench run runs/flowers flowers-float32.tflite flowers-int8.tflite"
)


@app.command()
def run(
    models: Annotated[
        list[Path],
        typer.Argument(
            metavar="MODEL...",
            help="Run folders, whose full-size model is meant, and complete .tflite files. The others are compared with "
            "the first one.",
            show_default=False,
        ),
    ],
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="PHOTOS",
            help="Test on this photo folder, or CSV of path,label, less what the runs were trained on.",
        ),
    ] = None,
    held_out_by: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="RUN",
            help="Another run whose training photos are left out of the test, too. Its model is not measured. May be repeated.",
        ),
    ] = None,
    unknown: Annotated[
        Path | None,
        typer.Option(
            metavar="PICTURES",
            help="Folder of pictures that show none of the labels. The report says how many each .tflite takes for something "
            "it knows, and shows the worst.",
        ),
    ] = None,
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
            help=f"Delegate that computes the .tflite files: {', '.join(DELEGATES)}, or coral:usb:0. Default: XNNPACK. May be repeated: a row each."
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

    Accuracy is measured on photos that none of the runs has ever seen. Every row runs in a process of its own, and they take turns.

    Example: edge-bench run runs/flowers flowers-int8.tflite --threads 1,4 --out bench/pi4

    Example: edge-bench run runs/flowers flowers-int8.tflite --runtime ai-edge-litert
    --runtime tflite-runtime=venv-2.14/bin/python

    Example: edge-bench run runs/flowers flowers-int8.tflite --host pi@raspberrypi.local --out bench/pi
    """
    with one_line_errors(debug):
        variants = parse_variants(runtime or ["auto"], threads, delegate or ["xnnpack"])
        settings = BenchSettings(
            frame_size=_parse_size(frame_size),
            seconds=seconds,
            precision=parse_share(precision, "--precision"),
            cold_starts=cold_starts,
            robustness_photos=robustness_photos if robustness else 0,
            sustained_s=_parse_time(sustained) if sustained else 0.0,
            seed=seed,
        )
        folders = _folders(out, host or [])
        for folder in folders.values():
            check_out(folder)
        with working("Loading what draws the report"):
            import edge_bench.render.chart  # noqa: F401 - or a missing matplotlib would be told of after all the work
        telling = files_that_tell(models, unknown) if unknown else []

        def show(benchmark: Benchmark, folder: Path) -> None:
            _show(with_foreign(benchmark, telling, unknown, track) if unknown else benchmark, folder, as_json)

        if host:
            from edge_bench.remote import Setup, run_on_hosts

            if power_csv:
                raise typer.BadParameter("a log of power is of one machine, not of boards", param_hint="--power-csv")
            results = run_on_hosts(
                models,
                host,
                setup=Setup(wheel, wheels, keep_env),
                passwords=[_password(one) if ask_password else None for one in host],
                variants=variants,
                all_cores=threads is None,
                settings=settings,
                data=data,
                held_out_by=held_out_by or (),
                track=lambda name: track if len(host) == 1 else partial(_tell, name),
            )
            for result in results:
                if result.benchmark:
                    show(result.benchmark, folders[result.host])
            failed = [result.error for result in results if result.error]
            for error in failed[1:]:
                say(f"error: {error}")
            if failed:
                raise failed[0]
            return
        benchmark = run_benchmark(
            models,
            variants=variants,
            settings=settings,
            data=data,
            held_out_by=held_out_by or (),
            power_log=power_csv,
            track=track,
        )
        show(benchmark, out)


@app.command()
def robustness(
    models: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN [FILE.tflite]...",
            help="A run folder, whose full-size model is meant, and what is compared with it: .tflite files, other runs.",
            show_default=False,
        ),
    ],
    attack: Annotated[
        str,
        typer.Option(
            metavar="NAME[,NAME...]",
            help="Attacks to try. pgd and fgsm make pictures against RUN and show them to all rows; square asks each row for its scores.",
        ),
    ] = "pgd,square",
    epsilon: Annotated[
        str,
        typer.Option(metavar="N[,N...]", help="Largest changes of any channel of any pixel, in gray levels of 255."),
    ] = "1,2,4,8",
    photos: Annotated[int, typer.Option(min=1, help="Largest number of held-out photos to attack.")] = 200,
    steps: Annotated[int, typer.Option(min=1, max=10_000, help="Number of PGD steps.")] = 10,
    square_photos: Annotated[int, typer.Option(min=1, help="Largest number of these photos that square attacks.")] = 50,
    queries: Annotated[
        int, typer.Option(min=1, max=100_000, help="Number of Square Attack queries for each photo and epsilon.")
    ] = 500,
    surrogate: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            help="Run against which the pictures are made instead of RUN, so that no row is at a disadvantage.",
        ),
    ] = None,
    quantised: Annotated[
        bool,
        typer.Option(
            "--quantised", help="Make the pictures against the run's weights for 8 bits, which fit --qat has trained."
        ),
    ] = False,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="PHOTOS",
            help="Photo folder to attack; photos that the runs were trained on are left out. Default: the runs' test photos.",
        ),
    ] = None,
    held_out_by: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="RUN",
            help="Another run whose training photos are left out, too. Its model is not attacked. May be repeated.",
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, max=2**31 - 1, help="Random seed of the starting points, the squares and the noise.")
    ] = 0,
    out: Annotated[
        Path,
        typer.Option(help="Folder to write, with robustness.json, robustness.csv, robustness.png and robustness.html."),
    ] = Path("robustness"),
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Measure accuracy on adversarial pictures: is the quantised model easier to fool than the full-size one?

    Pictures hold whole grey levels, are saved as PNG and read again. Random noise of the same size is shown, too, which
    tells what an attack has to beat. 200 photos of 160 pixels take about ten minutes on two cores.

    Example: edge-bench robustness runs/flowers flowers-float16.tflite flowers-int8.tflite --out robustness
    """
    with one_line_errors(debug):
        from edge_bench.adversarial.attack_report import ATTACKS, AttackSettings

        attacks = tuple(dict.fromkeys(attack.split(",")))
        if unknown := [name for name in attacks if name not in ATTACKS]:
            raise typer.BadParameter(
                f"no attack is called {unknown[0]!r}; there are {', '.join(ATTACKS)}", param_hint="--attack"
            )
        settings = AttackSettings(attacks, parse_epsilons(epsilon), photos, steps, square_photos, queries, seed)
        from edge_bench.adversarial.attack_output import check_out, print_report, to_json
        from edge_bench.adversarial.attack_output import write_report as write_attacked

        check_out(out)
        import edge_bench.adversarial.attack_plot  # noqa: F401 - or a missing matplotlib would be told of after all the work
        from edge_bench.adversarial.attack_rows import attack_models

        report = attack_models(
            models,
            settings=settings,
            surrogate=surrogate,
            quantised=quantised,
            data=data,
            held_out_by=held_out_by or (),
            track=track,
        )
        write_attacked(report, out)
        if report.left_out:
            say(f"left out {report.left_out} photos that a run was trained or validated on")
        if report.unknown:
            say(f"warning: nobody knows which photos {', '.join(report.unknown)} was trained on")
        say(f"look at {out / 'robustness.html'}")
        if as_json:
            print(to_json(report))
        else:
            print_report(report)
            say_next(f"edge-train explain adversarial {quote(str(models[0]))}")


@app.command()
def compare(
    old: Annotated[Path, typer.Argument(metavar="OLD.json", help="The earlier bench.json.", show_default=False)],
    new: Annotated[Path, typer.Argument(metavar="NEW.json", help="The later bench.json.", show_default=False)],
    max_slowdown: Annotated[str, typer.Option(metavar="SHARE", help="Largest slowdown of a row that passes.")] = "5%",
    max_drop: Annotated[
        float, typer.Option(min=0, help="Largest loss of accuracy of a row that passes, in percentage points.")
    ] = 0.5,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Tell whether a row has become slower or worse; exit status 1 if one has.

    On the same machine milliseconds decide, elsewhere and for unstable rows the ratio to the first row. A row is slower
    only if its whole interval is: what the limit cuts in two is said, and passes.

    Example: edge-bench compare bench/main.json bench/branch.json --max-slowdown 10% --max-drop 0.5
    """
    with one_line_errors(debug):
        comparison = compare_reports(_read(old), _read(new), parse_share(max_slowdown, "--max-slowdown"), max_drop)
        if as_json:
            print(json.dumps(comparison.to_json(), indent=2, ensure_ascii=False))
        else:
            for change in comparison.changes:
                print(f"{change.verdict:8}  {change.row}: {change.figure}: {change.why}")
        if comparison.broken:
            rows = ", ".join(dict.fromkeys(change.row for change in comparison.broken))
            raise CheckFailedError(f"worse than {old}: {rows}")
        if not as_json:
            say_next(f"edge-bench reference --with {quote(str(new))}")


@app.command()
def profile(
    file: Annotated[Path, typer.Argument(metavar="FILE.tflite", show_default=False)],
    threads: Annotated[int, typer.Option(min=1, help="Number of threads for one inference.")] = 1,
    xnnpack: Annotated[bool, typer.Option(help="Whether XNNPACK computes the operators that it can.")] = True,
    runs: Annotated[int, typer.Option(min=4, help="Number of inferences to profile.")] = 50,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Show where a model's time goes, operator by operator, and which operators fell out of the delegate.

    Example: edge-bench profile flowers-int8.tflite --threads 1
    """
    with one_line_errors(debug):
        from edge_bench.profiling.profile import profile as profile_file

        profiled = profile_file(file, threads=threads, xnnpack=xnnpack, runs=runs)
        if as_json:
            print(json.dumps(profiled.to_json(), indent=2, ensure_ascii=False))
        else:
            from edge_bench.render.profile_table import print_profile

            print_profile(profiled)
            say_next(f"edge-bench run {quote(str(file))} --data PHOTOS")


@app.command()
def reference(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[WORD]...", help="Words that a figure must contain to be shown: pi 4, v2, coral."),
    ] = None,
    with_: Annotated[
        Path | None,
        typer.Option(
            "--with", metavar="bench.json", help="The bench.json whose rows are shown beside the published ones."
        ),
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Show published figures of MobileNets on boards, with their sources, beside your own.

    Example: edge-bench reference "raspberry pi" --with bench/bench.json
    """
    with one_line_errors(debug):
        from edge_bench.results.reference import matching, own, published, to_json

        figures = matching(published(), words or ())
        rows = own(_read(with_)) if with_ else ()
        if as_json:
            print(json.dumps(to_json(figures, rows), indent=2, ensure_ascii=False))
        else:
            from edge_bench.render.reference_table import print_reference

            print_reference(figures, rows)
            say_next(
                "edge-bench run RUN FILE.tflite"
                if not with_
                else "edge-bench run RUN FILE.tflite --host pi@raspberrypi.local"
            )


@app.command()
def instructions(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE.tflite...", help="Complete .tflite files whose instructions are counted.", show_default=False
        ),
    ],
    cpu: Annotated[
        list[str] | None,
        typer.Option(
            help="Core to emulate: cortex-a72 (Raspberry Pi 4) or cortex-a76 (Raspberry Pi 5). May be repeated. Default: both."
        ),
    ] = None,
    frame_size: Annotated[
        str, typer.Option(metavar="WxH", help="Width and height of the frames that are preprocessed.")
    ] = "1280x720",
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE.csv", help="File to write with the table, ending in .csv. Default: none."),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.csv",
            help="Table that an earlier --out wrote; the exit status is 1 if a cost has risen since.",
        ),
    ] = None,
    max_increase: Annotated[str, typer.Option(metavar="SHARE", help="Largest increase of a cost that passes.")] = "2%",
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Count what a frame costs on Arm, without a board: instructions of an emulated core, not time.

    The counts are the same at every run and under any load. Needs qemu-user, gcc and apt; 0.2 GB are
    downloaded once.

    Example: edge-bench instructions flowers-int8.tflite flowers-float32.tflite --out costs.csv

    Example: edge-bench instructions flowers-*.tflite --against costs.csv --max-increase 2%
    """
    with one_line_errors(debug):
        from edge_bench.arm.instructions import (
            changes,
            count_instructions,
            from_csv,
            parse_cpus,
            risen,
            to_csv,
            to_json,
        )
        from edge_bench.render.instructions_table import instruction_lines

        size, limit = _parse_size(frame_size), parse_share(max_increase, "--max-increase")
        if out is not None:
            require_writable(out)
        try:
            before = from_csv(_text(against)) if against else []
        except ReportError as error:
            raise ReportError(f"{against}: {error}") from error
        costs = count_instructions(files, parse_cpus(cpu), size, track)
        changed = changes(before, costs)
        print(json.dumps(to_json(costs, changed), indent=2) if as_json else instruction_lines(costs, changed))
        if out:  # last: what took minutes is at least shown if it cannot be written
            with written_whole(out) as path:
                path.write_text(to_csv(costs), "utf-8")
        if dearer := risen(changed, limit):
            raise CheckFailedError(f"dearer than in {against}: {', '.join(map(str, dearer))}")
        if not as_json:
            table = f" --against {quote(str(out))}" if out else " --out costs.csv"
            say_next(f"edge-bench instructions {' '.join(quote(str(file)) for file in files)}{table}")


@app.command()
def install_check(
    host: Annotated[
        str,
        typer.Argument(
            metavar="[USER@]BOARD[:PORT]",
            help="Address of a board to reach over SSH, or the word here for this machine.",
            show_default=False,
        ),
    ],
    models: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[FILE.tflite]...",
            help="Complete .tflite files to verify there; the first one also classifies.",
            show_default=False,
        ),
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="Camera of the board to try: 0, /dev/video0 or picamera. Default: none.")
    ] = None,
    ask_password: Annotated[bool, typer.Option("--ask-password", help="Ask for the board's SSH password.")] = False,
    wheel: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.whl", help="Wheel of edge-mobilenet to install. Default: the version that is installed here."
        ),
    ] = None,
    wheels: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Folder with all wheels that a board without internet installs."),
    ] = None,
    keep_env: Annotated[
        bool, typer.Option("--keep-env", help="Leave the installed packages on the board for the next time.")
    ] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Make the checks on a board that every release passes on emulated ones; exit status 1 if one fails.

    Installs edge-mobilenet into a folder of its own there, and removes it. The report is what to attach to an issue.

    Example: edge-run install-check pi@raspberrypi.local flowers-int8.tflite --source 0
    """
    with one_line_errors(debug):
        from edge_device.doctor.install_check import check_installation, report_text

        if host == "here":
            report = check_installation(models or [], source, lambda name: say(f"checking {name}"))
        else:
            from edge_bench.remote import Setup
            from edge_bench.remote.check_board import check_board

            password = _password(host) if ask_password else None
            setup = Setup(wheel, wheels, keep_env)
            report = check_board(host, models or [], source, setup=setup, password=password, track=track)
        print(json.dumps(report.to_json(), indent=2) if as_json else report_text(report), end="", flush=True)
        if report.failed:
            raise CheckFailedError(f"failed on {host}: {', '.join(report.failed)}")
        if not as_json and models:
            say_next_live(models[0])


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ReportError(f"it cannot be read: {getattr(error, 'strerror', None) or error}") from error


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
    return {host: out / re.sub(r"[^\w.@-]", "-", host) for host in hosts}


def _password(host: str) -> str:
    if not sys.stdin.isatty():
        raise typer.BadParameter("there is no terminal to ask on", param_hint="--ask-password")
    return getpass(f"Password of {host}: ")


def _tell(name: str, items: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
    """A `Track` for one of several hosts: bars of several threads would draw over each other."""
    del total
    if label:
        say(f"{name}: {label}")
    yield from items


def parse_variants(runtimes: list[str], threads: str | None, delegates: list[str]) -> Variants:
    """What `--runtime`, `--threads` and `--delegate` say.

    Raises:
        typer.BadParameter: threads that are no numbers.
        SettingsError: no such runtime or delegate.
    """
    pairs = [one.partition("=") for one in runtimes]
    chosen = Variants(tuple((name, python or sys.executable) for name, _, python in pairs), delegates=tuple(delegates))
    if threads is None:
        return chosen
    if not re.fullmatch(r"[1-9]\d{0,2}(,[1-9]\d{0,2})*", threads, re.ASCII):
        raise typer.BadParameter(
            f"{threads!r} is no number of threads, nor several such as 1,2,4", param_hint="--threads"
        )
    counts = tuple(dict.fromkeys(int(count) for count in threads.split(",")))
    return Variants(chosen.runtimes, counts, chosen.delegates)


def parse_share(text: str, option: str) -> float:
    """`2%` or `0.02`.

    Raises:
        typer.BadParameter: neither.
    """
    match = re.fullmatch(r"(\d{1,4}(?:\.\d{1,6})?)\s*(%?)", text, re.ASCII)
    if not match:
        raise typer.BadParameter(f"{text!r} is no share such as 2%", param_hint=option)
    return float(match[1]) / (100 if match[2] else 1)


def parse_epsilons(text: str) -> tuple[int, ...]:
    """`1,2,4,8`, ascending.

    Raises:
        typer.BadParameter: something else than whole numbers from 1 to 255.
    """
    if not re.fullmatch(r"[1-9]\d{0,2}(,[1-9]\d{0,2})*", text, re.ASCII) or max(map(int, text.split(","))) > 255:
        raise typer.BadParameter(
            f"{text!r} is no number of grey levels, nor several such as 1,2,4,8", param_hint="--epsilon"
        )
    return tuple(sorted({int(one) for one in text.split(",")}))


def _parse_size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([1-9]\d{0,3})x([1-9]\d{0,3})", text, re.ASCII)
    if not match:
        raise typer.BadParameter(f"{text!r} is no size such as 1280x720", param_hint="--frame-size")
    return int(match[1]), int(match[2])


def _parse_time(text: str) -> float:
    match = re.fullmatch(r"([1-9]\d{0,4})(s|m|h)", text, re.ASCII)
    if not match:
        raise typer.BadParameter(f"{text!r} is no time such as 90s or 10m", param_hint="--sustained")
    return float(match[1]) * {"s": 1, "m": 60, "h": 3600}[match[2]]


def _read(path: Path) -> BenchReport:
    try:
        return BenchReport.from_json(path.read_text("utf-8"))
    except OSError as error:
        raise ReportError(f"{path}: {error.strerror}") from error
    except (ReportError, UnicodeDecodeError) as error:
        raise ReportError(f"{path}: {error}") from error


def _say_what_was_left_out(report: BenchReport, unusable: tuple[Unusable, ...]) -> None:
    if report.left_out:
        say(f"left out {report.left_out} photos that a run was trained or validated on")
    say_unusable(unusable)
    if report.unknown:
        say(
            f"warning: nobody knows which photos {', '.join(report.unknown)} was trained on; its accuracy may be too good"
        )
    load, cores = report.environment.load, report.environment.cores
    if load > 0.3 * cores:
        say(
            f"warning: the load was {load:.1f} on {cores} cores before this began; believe ratios rather than milliseconds"
        )

"""How the four commands talk: results to standard output, everything else to standard error."""

import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import cv2
import typer

from edge_core.data.photo_folder import Unusable
from edge_core.errors import EdgeError, RuntimeMissingError, printable
from edge_core.files import note_unfinished
from edge_core.version import __version__
from edge_device.command_line.arguments import Commands
from edge_device.command_line.elapsed_line import elapsed_line
from edge_device.command_line.entry import INTERRUPTED
from edge_device.command_line.narrow_help import CommandApp
from edge_device.command_line.progress_file import PROGRESS_VARIABLE, recorded
from edge_device.system import supervisor
from edge_device.system.interrupts import raising_on_signals

T = TypeVar("T")

BUG: Final = 70
"""Exit status after an error that nobody foresaw: EX_SOFTWARE of sysexits.h, not to be taken for a failed check."""

QUIET_S: Final = 2.0
"""Work shorter than this leaves no line in a log."""

EVERY_S: Final = 30.0
"""Between two lines that tell a log how far work is; continuous integration ends what is silent for ten minutes."""

Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


def command_line(help: str, commands: type[Commands] = Commands) -> typer.Typer:
    """The Typer application of one of the four commands, which tells its version."""
    app = command_group(help, commands)
    app.callback()(_begin)
    return app


def command_group(help: str, commands: type[Commands] = Commands) -> typer.Typer:
    """A Typer application of commands that belong together."""
    return CommandApp(
        cls=commands, help=help, no_args_is_help=True, rich_markup_mode="rich", pretty_exceptions_enable=False
    )


def _say_version(context: typer.Context, asked: bool) -> None:
    if asked:
        print(f"{context.find_root().info_name} {__version__}")
        raise typer.Exit


def _begin(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and end.", callback=_say_version, is_eager=True)
    ] = False,
) -> None: ...


def say(message: str) -> None:
    """One line to a person, on standard error."""
    # One line: messages of libraries go over several, and a journal would take each for one of its own.
    print(printable(" ".join(line.strip() for line in message.splitlines())), file=sys.stderr, flush=True)


SHOWN: Final = 10


def say_first(what: str, lines: Sequence[str]) -> None:
    """The first lines of a list on standard error, each after `what`, and how many more there are."""
    for line in lines[:SHOWN]:
        say(f"{what}: {line}")
    if len(lines) > SHOWN:
        say(f"{what}: and {len(lines) - SHOWN} more")


def say_unusable(files: Sequence[Unusable], what: str = "unusable") -> None:
    """The first of the files that were left out, and why."""
    say_first(what, [f"{item.path}: {item.reason}" for item in files])


def say_passed_over(files: Sequence[Unusable], notes: Sequence[str] = ()) -> None:
    """What a folder holds that is not used: a line for each reason with the number of files and the first of them."""
    for note in notes:
        say(f"note: {note}")
    by_reason: dict[str, list[Unusable]] = {}
    for item in files:
        by_reason.setdefault(item.reason, []).append(item)
    for reason, items in by_reason.items():
        more = f" and {len(items) - 1} more" if len(items) > 1 else ""
        say(f"passed over, {reason}: {items[0].path}{more}")


@contextmanager
def one_line_errors(debug: bool = False) -> Iterator[None]:
    """Turns an error into one line on standard error and its exit status; `debug` shows the traceback, too.

    A reader that closed standard output (`| head`) ends the command in silence; Ctrl-C ends it with status 130, SIGTERM
    with 143, and what was half-written is removed on the way. The logs of OpenCV and its FFmpeg are silenced: what they
    complain of is reported by us, once, with the file's name.
    """
    _silence_opencv()
    note_unfinished(supervisor.note_unfinished)
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # AV_LOG_QUIET
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file name need not be text, nor a terminal know all of it
    with raising_on_signals(), _in_one_line(debug):
        yield


@contextmanager
def _in_one_line(debug: bool) -> Iterator[None]:
    try:
        try:
            yield
        finally:
            # Within the inner block, so that an error of the flush, a broken pipe or a full disk, is told as any other.
            if sys.stdout is not None:  # closed by the shell: `>&-`
                sys.stdout.flush()
    except (typer.Exit, typer.Abort, typer.BadParameter):
        raise
    except EdgeError as error:
        _show_traceback(debug)
        say(f"error: {error}")
        raise SystemExit(error.exit_status) from None
    except KeyboardInterrupt:
        say("interrupted")
        raise SystemExit(INTERRUPTED) from None
    except BrokenPipeError:
        # At its end Python would flush what the failed write has left, and print a second error.
        _drop_output()
        raise SystemExit(0) from None
    except OSError as error:
        _show_traceback(debug)
        _drop_output()
        say(f"error: {error}")
        raise SystemExit(EdgeError.exit_status) from None
    except Exception as error:  # noqa: BLE001 - the outermost of all
        _show_traceback(debug)
        say(f"error: unexpected {type(error).__name__}: {error}; please report it with what --debug shows")
        raise SystemExit(BUG) from None


def _silence_opencv() -> None:
    if hasattr(cv2, "setLogLevel"):  # OpenCV 4
        cv2.setLogLevel(0)
    else:
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def _show_traceback(debug: bool) -> None:
    if debug:
        traceback.print_exc()


def _drop_output() -> None:
    """Sends what standard output still holds nowhere, or Python complains once more at its end."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def extra_needed(extra: str, *modules: str) -> Iterator[None]:
    """Around the import of a part whose dependencies are an extra: tells how to install it if they are missing.

    Raises:
        RuntimeMissingError: One of `modules` is not there; any other failed import passes through.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in modules:
            raise
        if sys.version_info >= (3, 14) and (error.name or "").startswith(("tensorflow", "tf_keras")):
            raise RuntimeMissingError(
                f"TensorFlow has no wheel for Python {sys.version_info[0]}.{sys.version_info[1]}; make a venv with "
                f"Python "
                "3.11 to 3.13 to train, convert and benchmark (edge-run works here)"
            ) from error
        raise RuntimeMissingError(
            f"this needs {error.name}; install it with: pip install 'edge-mobilenet[{extra}]'"
        ) from error


def track(items: Iterable[T], label: str, total: int | None = None) -> Generator[T, None, None]:
    """The `edge_core.progress.Track` of the commands, on standard error.

    Draws a bar with throughput and remaining time on a terminal, for a single step a line with the time that has
    passed; elsewhere prints a line every `EVERY_S`, and one at the end, if it took long. Whoever runs the command may
    have it all in a file.
    """
    if file := os.environ.get(PROGRESS_VARIABLE):
        items = recorded(items, label, total, Path(file))
    if sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        if total == 1:
            with elapsed_line(label):
                yield from items
            return
        yield from _with_bar(items, label, total)
    else:
        yield from _in_lines(items, label, total, quiet=bool(file))


def _in_lines(items: Iterable[T], label: str, total: int | None, quiet: bool) -> Iterator[T]:
    """Says how far it is, where there is no terminal; `quiet`: whoever reads the file of the progress knows it."""
    start, count = time.perf_counter(), 0

    def say_so_far() -> None:
        steps = "" if total == 1 else f"{count} of {total}, " if total else f"{count}, "
        say(f"{label}: {steps}{time.perf_counter() - start:.0f} s so far")

    with nullcontext() if quiet else _repeated(say_so_far):
        for item in items:
            yield item
            count += 1
    elapsed = time.perf_counter() - start
    if elapsed > QUIET_S:
        steps = "" if total == 1 else f"{count} in "
        rate = "" if total == 1 else f", {count / elapsed:.1f}/s"
        say(f"{label}: {steps}{elapsed:.0f} s{rate}")


@contextmanager
def _repeated(call: Callable[[], None]) -> Iterator[None]:
    """Calls a function every `EVERY_S`, in a thread: a single step may take minutes."""
    ended = threading.Event()

    def repeat() -> None:
        while not ended.wait(EVERY_S):
            call()

    thread = threading.Thread(target=repeat, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextmanager
def working(label: str) -> Iterator[None]:
    """Shows that work without steps goes on: a line with the time that has passed, as `track` draws it."""
    with ExitStack() as shown:
        # A generator of one step: `next` draws the line and comes back, and the second `next` runs it to its end.
        step = track([None], label, 1)
        shown.callback(step.close)
        next(step)
        yield
        next(step, None)


def _with_bar(items: Iterable[T], label: str, total: int | None) -> Iterator[T]:
    from rich.console import Console  # late: a tenth of the time that `edge-run images` takes on one picture
    from rich.progress import Progress

    terminal = Console(stderr=True)
    with Progress(*progress_columns(terminal.width), console=terminal) as progress:
        yield from progress.track(items, total=total, description=label)


def progress_columns(width: int) -> tuple[Any, ...]:
    """The columns of a `rich.progress.Progress` on a terminal of `width` columns: words fold, figures never do."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.table import Column
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text(f"{speed:.0f}/s" if speed and speed >= 10 else f"{speed:.1f}/s" if speed else "")

    words = TextColumn("{task.description}", markup=False, table_column=Column(overflow="fold"))
    return (
        words,
        BarColumn(min(40, max(6, width - 60)), table_column=Column(no_wrap=True)),
        MofNCompleteColumn(table_column=Column(no_wrap=True)),
        Rate(table_column=Column(no_wrap=True)),
        TimeRemainingColumn(elapsed_when_finished=True, table_column=Column(no_wrap=True)),
    )

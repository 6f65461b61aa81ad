"""How the four commands talk: results to standard output, everything else to standard error."""

import os
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Final, TypeVar

import cv2
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from edge_core.errors import EdgeError, RuntimeMissingError

T = TypeVar("T")

INTERRUPTED: Final = 130
"""Exit status after Ctrl-C: 128 + SIGINT, as shells have it."""

Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


def command_line(help: str) -> typer.Typer:
    """A Typer application as all four commands have it."""
    return typer.Typer(help=help, no_args_is_help=True, rich_markup_mode="rich", pretty_exceptions_enable=False)


def say(message: str) -> None:
    """One line to a person, on standard error."""
    print(message, file=sys.stderr, flush=True)


@contextmanager
def one_line_errors(debug: bool = False) -> Iterator[None]:
    """Turns an error raised on purpose into one line on standard error and its exit status.

    A reader that closed standard output (`| head`) ends the command in silence; Ctrl-C ends it with status 130. OpenCV's
    own log is silenced: what it complains of is reported by us, once, with the file's name.
    """
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
        sys.stdout.flush()
    except EdgeError as error:
        if debug:
            traceback.print_exc()
        say(f"error: {' '.join(str(error).split())}")
        raise SystemExit(error.exit_status) from None
    except KeyboardInterrupt:
        say("interrupted")
        raise SystemExit(INTERRUPTED) from None
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains once more at its end
        raise SystemExit(0) from None


@contextmanager
def extra_needed(extra: str, *modules: str) -> Iterator[None]:
    """Around the import of a part whose dependencies are an extra: tells how to install it if they are missing.

    Raises:
        RuntimeMissingError: one of `modules` is not there; any other failed import passes through.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in modules:
            raise
        raise RuntimeMissingError(
            f"this needs {error.name}; install it with: pip install 'edge-mobilenet[{extra}]'"
        ) from error


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.0f}/s" if speed and speed >= 10 else f"{speed:.1f}/s" if speed else "")


def track(items: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
    """The `edge_core.progress.Track` that draws a bar with throughput and remaining time on standard error."""
    columns: tuple[Any, ...] = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        yield from progress.track(items, total=total, description=label)

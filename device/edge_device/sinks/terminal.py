"""Results on standard output: a dashboard on a terminal, lines elsewhere, JSON for scripts."""

import json
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar, Final, Literal

from edge_core.artifact.card import ModelCard
from edge_core.errors import printable
from edge_device.command_line.console import say
from edge_device.notices import Notice
from edge_device.results import NOTHING_TO_SEE, UNKNOWN, Event, FrameResult, Prediction, Status
from edge_device.sinks.sink import Sink

if TYPE_CHECKING:
    from rich.console import Console as Terminal
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

Closed = Callable[[], None]
"""Told that nobody reads any more: the other end of the pipe was closed."""


def console(as_json: bool = False, closed: Closed = lambda: None, beside: Sink | None = None) -> Sink:
    """The sink for standard output as it is: a dashboard on a terminal, else lines; JSON if it is asked for.

    Args:
        as_json: Whether JSON is asked for.
        closed: Told that nobody reads any more.
        beside: The same of the camera that is shown above this one; None for the first camera.
    """
    if as_json:
        return JsonConsole(closed)
    if sys.stdout is not None and sys.stdout.isatty():
        from rich.console import Console as Terminal  # late: a tenth of a second

        terminal = Terminal()
        if terminal.is_terminal and not terminal.is_dumb_terminal:
            dashboard = Dashboard(terminal)
            if isinstance(beside, Dashboard):
                dashboard.join(beside)
            return dashboard
    return Lines(closed)


def json_line(what: FrameResult | Event | Notice | Status) -> str:
    """An object on one line; one that is no frame says in its first field, `type`, what it is."""
    fields = what.to_json()
    if not isinstance(what, FrameResult):
        fields = {"type": type(what).__name__.lower(), **fields}
    return json.dumps(fields, ensure_ascii=False) + "\n"


class FrameRate:
    """Frames a second over the last five seconds of frames, by when they were taken."""

    def __init__(self) -> None:
        self._taken: deque[float] = deque(maxlen=1000)

    def add(self, result: FrameResult) -> float:
        taken = self._taken
        if not taken or result.frame.taken_s != taken[-1]:  # zones share a frame
            taken.append(result.frame.taken_s)
        while taken[-1] - taken[0] > 5:
            taken.popleft()
        return (len(taken) - 1) / (taken[-1] - taken[0]) if taken[-1] > taken[0] else 0.0


_printing: Final = threading.Lock()
"""Held for a line of one of several cameras."""


class _Printing(Sink):
    """Prints, and tells when nobody reads any more."""

    name = "console"

    def __init__(self, closed: Closed = lambda: None) -> None:
        self._closed = closed

    def _print(self, text: str) -> None:
        if sys.stdout is None:  # closed by the shell: `>&-`
            return
        try:
            # Write and flush as one, so that lines of two cameras do not mix.
            with _printing:
                sys.stdout.write(text)
                sys.stdout.flush()
        except BrokenPipeError:
            self._closed()
            raise


class JsonConsole(_Printing):
    """One object a line."""

    def frame(self, result: FrameResult) -> None:
        self._print(json_line(result))

    def event(self, event: Event) -> None:
        self._print(json_line(event))

    def notice(self, notice: Notice) -> None:
        self._print(json_line(notice))

    def status(self, status: Status) -> None:
        self._print(json_line(status))


class Lines(_Printing):
    """One line a frame and event for a log; notices go to standard error."""

    def __init__(self, closed: Closed = lambda: None) -> None:
        super().__init__(closed)
        self._rate = FrameRate()

    def frame(self, result: FrameResult) -> None:
        took, fps = result.latency, self._rate.add(result)
        track = f"track {result.subject.track}" if result.subject else ""
        where = [result.camera, f"{result.frame.source}  {result.frame.time_s:.2f} s"]
        parts = [*where, result.zone, track, said(result)]
        if result.decision and result.top:
            score = f" {100 * result.decision.score:.1f} %" if result.decision.score else ""  # 0: nothing is believed
            parts.append(f"-> {result.decision.label or UNKNOWN}{score}")
        parts.append(f"{fps:.1f} fps")
        parts.append(
            f"capture {took.capture_ms:.1f}  preprocess {took.preprocess_ms:.1f}  invoke {took.invoke_ms:.1f} ms"
        )
        self._print(printable("  ".join(part for part in parts if part)) + "\n")

    def event(self, event: Event) -> None:
        self._print(event_line(event) + "\n")

    def notice(self, notice: Notice) -> None:
        say(notice_line(notice))


def named(result: FrameResult) -> str:
    """Zone and number of the subject, as far as there are any."""
    return f"{result.zone} #{result.subject.track}".strip() if result.subject else result.zone


def scores(best: tuple[Prediction, ...]) -> str:
    return "  ".join(f"{one.label} {100 * one.score:.1f} %" for one in best)


def said(result: FrameResult) -> str:
    """The labels of a frame with their scores; of one that is foreign to the model, that, and what it is most like."""
    if result.known is not False:
        return scores(result.top) or NOTHING_TO_SEE
    return f"{UNKNOWN} (familiarity {result.familiarity or 0.0:.3f}), most like {scores(result.top)}"


def event_line(event: Event) -> str:
    """For people, on one line."""
    after = f" after {event.duration_s:.1f} s" if event.kind == "left" else ""
    zone = (f" zone {event.zone}" if event.zone else "") + (f" track {event.track}" if event.track else "")
    what = f"{event.label} {event.kind}{zone}{after}  {100 * event.score:.0f} %"
    return printable("  ".join(part for part in (_clock(event.time), event.camera, what) if part))


def notice_line(notice: Notice) -> str:
    """For people, on one line."""
    about = (notice.level, notice.camera, notice.about, notice.text)
    return printable(": ".join(part for part in about if part))


def _clock(time_s: float) -> str:
    return datetime.fromtimestamp(time_s).strftime("%H:%M:%S")


BAR_CELLS: Final = 24
FIGURE_CELLS: Final = 7
WIDE: Final = 80
"""Cells of a bar on a terminal of at least `WIDE` columns, half as many below, and of the figure beside it. Words fold
between them, so that no number is cut."""


class Dashboard(Sink):
    """All that is known now, on a terminal, redrawn in place."""

    name = "console"
    frames: ClassVar[Literal["all", "newest", "none"]] = "newest"

    def __init__(self, terminal: "Terminal") -> None:
        self._terminal = terminal
        self._screen = _Screen(terminal)
        self._screen.dashboards.append(self)
        self._opened = False
        self._results: dict[tuple[str, int], FrameResult] = {}
        self._events: deque[str] = deque(maxlen=6)
        self._notices: deque[Notice] = deque(maxlen=4)
        self._status: Status | None = None

    def join(self, other: "Dashboard") -> None:
        """Shows its camera below those of another one, in short; to be called before `open` of any."""
        self._screen = other._screen
        self._screen.dashboards.append(self)

    def open(self, card: ModelCard) -> None:
        self._results.clear()
        if not self._opened:
            self._opened = True
            self.picture()  # imports what drawing takes: a busy machine may need longer than the sinks have at the end
            self._screen.open()

    def frame(self, result: FrameResult) -> None:
        if any(one.frame is not result.frame and (one.subject or result.subject) for one in self._results.values()):
            self._results.clear()  # other subjects, or none
        self._results[result.zone, result.subject.rank if result.subject else 0] = result
        self._screen.draw()

    def event(self, event: Event) -> None:
        self._events.append(event_line(event))
        self._screen.draw(at_once=True)

    def notice(self, notice: Notice) -> None:
        self._notices.append(notice)
        self._screen.draw(at_once=True)

    def status(self, status: Status) -> None:
        self._status = status
        self._screen.draw(at_once=True)

    def close(self) -> None:
        if self._opened:
            self._opened = False
            self._screen.close()

    def picture(self) -> "RenderableType":
        """What is drawn now."""
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        short = len(self._screen.dashboards) > 1
        parts: list[RenderableType] = []
        if (status := self._status) is not None:
            parts.append(Text(_title(status), style="bold"))
        cells = BAR_CELLS if self._terminal.width >= WIDE else BAR_CELLS // 2
        grid = Table.grid(padding=(0, 2))
        for width in (None, None, cells, FIGURE_CELLS):
            grid.add_column(min_width=width, overflow="fold")
        # A copy: another camera's thread draws this dashboard, too.
        for result in list(self._results.values()):
            _add_result(grid, result, cells, 1 if short else len(result.top))
        parts.append(grid)
        for result in list(self._results.values())[:1]:
            parts.append(Text(_latency(result, status), style="dim"))
        if status is not None:
            parts += _health(status)
        parts += [Text(line) for line in list(self._events)[-2 if short else 0 :]]
        parts += [_notice_text(notice) for notice in list(self._notices)[-1 if short else 0 :]]
        return Group(*parts)


def _add_result(grid: "Table", result: FrameResult, cells: int, count: int) -> None:
    """Rows of a zone: what is decided about it, where there is anything to say, and `count` labels with their bars."""
    from rich.text import Text

    if result.zone or result.decision or result.known is False:
        grid.add_row(Text(printable(named(result)), "bold cyan"), *_decided(result, cells))
    for best in result.top[:count]:
        grid.add_row("", _label(best.label), _bar(best.score, cells), Text(f"{100 * best.score:5.1f} %"))


def _notice_text(notice: Notice) -> "Text":
    from rich.text import Text

    style = "yellow" if notice.level == "warning" else "dim"
    return Text(f"{_clock(notice.time)}  {notice_line(notice)}", style)


class _Screen:
    """The terminal, and the dashboards of the cameras that are shown there, one below the other."""

    EVERY_S: Final = 0.15
    """Between two redraws, of which one takes some 5 ms on a desktop."""

    def __init__(self, terminal: "Terminal") -> None:
        from rich.live import Live

        on_terminal = sys.stderr is not None and sys.stderr.isatty()  # elsewhere, standard error stays where it is
        self._live = Live(console=terminal, auto_refresh=False, vertical_overflow="crop", redirect_stderr=on_terminal)
        self.dashboards: list[Dashboard] = []
        self._open = 0
        self._drawn_s = 0.0
        self._lock = threading.RLock()

    def open(self) -> None:
        """One dashboard more."""
        with self._lock:
            self._open += 1
            if not self._live.is_started:
                self._live.start()

    def close(self) -> None:
        """One dashboard less; the last one leaves the terminal as it is."""
        self.draw(at_once=True)
        with self._lock:
            self._open -= 1
            if self._open == 0:
                self._live.stop()

    def draw(self, at_once: bool = False) -> None:
        from rich.console import Group

        now_s = time.monotonic()
        if at_once or now_s - self._drawn_s >= self.EVERY_S:
            with self._lock:
                self._drawn_s = now_s
                self._live.update(Group(*(one.picture() for one in self.dashboards)), refresh=True)


def _label(label: str, style: str = "") -> "Text":
    from rich.text import Text

    return Text(printable(label), style)


def _bar(score: float, cells: int) -> "Text":
    from rich.text import Text

    filled = round(cells * min(max(score, 0.0), 1.0))
    return Text("━" * filled, "green").append("━" * (cells - filled), "bright_black")


def _decided(result: FrameResult, cells: int) -> tuple["RenderableType", ...]:
    if result.decision is None:
        return (_label(UNKNOWN, "bold yellow"), "", "") if result.known is False else ()
    if not result.top:
        return (_label(NOTHING_TO_SEE, "dim"), "", "")
    label, score = result.decision.label, result.decision.score
    style = "bold green" if label else "bold yellow"
    return _label(label or UNKNOWN, style), _bar(score, cells), f"{100 * score:5.1f} %"


def _title(status: Status) -> str:
    device = f"{status.device}, {status.threads} threads" if status.device == "cpu" else status.device
    view = "" if status.view == "clear" else f" {status.view}"
    camera = f"{status.camera}: " if status.camera else ""
    source = f"{status.source} {status.source_mode} {status.source_state}{view}"
    return printable(f"{camera}{status.model} on {device}  {source}")


def _latency(result: FrameResult, status: Status | None) -> str:
    took = result.latency
    line = (
        f"capture {took.capture_ms:.1f}  preprocess {took.preprocess_ms:.1f}  invoke {took.invoke_ms:.1f}  "
        f"total {took.total_ms:.1f} ms  age {result.age_ms:.0f} ms"
    )
    return f"{status.fps:.1f} fps  {line}" if status else line


def _health(status: Status) -> list["RenderableType"]:
    from rich.text import Text

    facts = [f"{status.frames} frames", f"{status.frames_dropped} dropped", f"up {_duration(status.uptime_s)}"]
    if status.frames_still:
        facts.append(f"{status.frames_still} still")
    if status.temperature_c is not None:
        facts.append(f"{status.temperature_c:.0f} °C")
    facts += [f"{status.memory_mb:.0f} MB", *status.throttled]
    lines: list[RenderableType] = [Text("  ".join(facts), style="dim")]
    if status.fallback:
        lines.append(Text(printable(f"on the CPU: {status.fallback}"), style="yellow"))
    for name, counts in status.sinks.items():
        if counts.error or counts.events_lost:
            text = f"{name}: {counts.error or 'works'}, {counts.events_lost} events lost"
            lines.append(Text(printable(text), "yellow" if counts.error else "dim"))
    return lines


def _duration(seconds: float) -> str:
    minutes, whole = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return (f"{days} d " if days else "") + f"{hours}:{minutes:02}:{whole:02}"

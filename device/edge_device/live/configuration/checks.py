"""What is wrong with options although each of them is of its type: texts that mean nothing, and contradictions."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from edge_core.errors import SettingsError
from edge_device.frames.regions import Orientation, parse_region, parse_zones
from edge_device.inference.accelerator import attached, parse_device
from edge_device.inference.threads import parse_threads
from edge_device.live.decisions import parse_smoothing, parse_thresholds
from edge_device.live.options import LiveOptions
from edge_device.sinks.exec import parse_command
from edge_device.sinks.mqtt.broker import parse_broker
from edge_device.sinks.web.address import parse_address
from edge_device.sources import parse_controls


@dataclass(frozen=True)
class Problem:
    """What is wrong with the value of an option.

    Attributes:
        name: Name of the option's field.
        text: What is wrong, and what to do.
    """

    name: str
    text: str


_NEEDS: Final = {
    "mqtt_ca": ("mqtt",),
    "mqtt_cert": ("mqtt",),
    "mqtt_key": ("mqtt_cert",),
    "web_root": ("web",),
    "web_frame": ("web",),
    "collect": ("web",),
    "teach": ("web",),
    "snapshots_foreign": ("snapshots",),
    "token_file": ("web", "prometheus"),
}
"""Options that do nothing without another one, or without one of several."""


def problems(options: LiveOptions) -> Iterator[Problem]:
    """What is wrong with options, found out before anything is opened."""
    yield from _texts(options)
    yield from _contradictions(options)


def teach_conflict(options: LiveOptions) -> str:
    """Why the model cannot be taught beside the other options; empty if it can."""
    if not options.sinks.web:
        return "--teach is for the buttons of the live page: give --web, too, or run edge-run teach"
    if options.updates.update_from:
        return "--teach and --update-from would both replace the model; use one of both"
    if options.model.fallback:
        return "--teach gives MODEL labels that the file of --fallback lacks, so it could not stand in; use one of both"
    if options.model.key:
        return "--teach writes files that nobody has signed, and --key takes signed ones alone; use one of both"
    return ""


def conflicts(cameras: Mapping[str, LiveOptions]) -> Iterator[tuple[str, Problem]]:
    """What cameras of one process cannot have beside each other, each with the name of the later one."""
    names = list(cameras)
    for number, name in enumerate(names):
        if len(names) > 1 and cameras[name].sinks.window:
            yield name, Problem("window", f"a window shows one camera, not {', '.join(names)}; --web shows them all")
        for other in names[:number]:
            one, before = cameras[name], cameras[other]
            if _device(one.source.source) and _device(one.source.source) == _device(before.source.source):
                yield name, Problem("source", f"{other} has this camera, too, and it can be opened once")
            if _clash(one, before):
                yield (
                    name,
                    Problem("device", f"{other} runs another file on this Coral, which can be opened once; share one"),
                )


def _device(source: str) -> str:
    """What can be opened once, of sources that can: cameras at this machine and standard input; else an empty text."""
    if source == "-" or source.startswith("/dev/"):
        return source
    if source.partition(":")[0] == "picamera":
        return f"picamera:{source.partition(':')[2] or 0}"
    return f"/dev/video{source}" if source.isdecimal() else ""


def _clash(one: LiveOptions, other: LiveOptions) -> bool:
    """Whether two cameras would open one Coral twice: they share it where they run the same files."""
    try:
        ours, theirs = (parse_device(options.model.device) for options in (one, other))
    except SettingsError:  # told of by itself
        return False
    if not ours or not theirs or (one.file, one.model.fallback) == (other.file, other.model.fallback):
        return False
    found = attached()
    return bool(ours.places(found) & theirs.places(found))


def _texts(options: LiveOptions) -> Iterator[Problem]:
    source, model, decisions, sinks = options.source, options.model, options.decisions, options.sinks
    checks: dict[str, Callable[[], object]] = {
        "rotate": lambda: Orientation(source.rotate),  # type: ignore[arg-type]
        "roi": lambda: source.roi and parse_region(source.roi),
        "zones": lambda: parse_zones(source.zones),
        "controls": lambda: parse_controls(source.controls),
        "device": lambda: parse_device(model.device),
        "threads": lambda: parse_threads(model.threads),
        "thresholds": lambda: parse_thresholds(decisions.thresholds),
        "smoothing": lambda: parse_smoothing(decisions.smoothing),
        "mqtt": lambda: sinks.mqtt and parse_broker(sinks.mqtt),
        "web": lambda: sinks.web and parse_address(sinks.web),
        "prometheus": lambda: sinks.prometheus and parse_address(sinks.prometheus),
        "webhook": lambda: sinks.webhook and _webhook(sinks.webhook),
        "on_event": lambda: sinks.on_event and parse_command(sinks.on_event),
    }
    for name, check in checks.items():
        try:
            check()
        except SettingsError as error:
            yield Problem(name, str(error))


def _webhook(url: str) -> object:
    from edge_device.sinks.webhook import Webhook  # late: urllib.request, which hardly anybody needs

    return Webhook(url)


def _contradictions(options: LiveOptions) -> Iterator[Problem]:
    source, sinks = options.source, options.sinks
    if source.roi and source.zones:
        yield Problem("zones", "--roi is for one part of the frame, --zone for several by name; use one of both")
    # Port 0 is any free one, so that two of them never clash.
    if sinks.web and sinks.web == sinks.prometheus and not sinks.web.endswith(":0") and sinks.web != "0":
        yield Problem("prometheus", "--web and --prometheus listen at one and the same port; give each one of its own")
    if sinks.teach and sinks.web and (reason := teach_conflict(options)):
        yield Problem("teach", reason)
    usual = type(sinks)()
    for name, needed in _NEEDS.items():
        if getattr(sinks, name) != getattr(usual, name) and not any(getattr(sinks, other) for other in needed):
            flags = " or ".join("--" + other.replace("_", "-") for other in needed)
            yield Problem(name, f"--{name.replace('_', '-')} does nothing without {flags}; give both or neither")

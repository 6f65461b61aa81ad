"""`edge-run live`: what its options ask for, put together."""

import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from edge_core.artifact.familiarity import FAMILIAR
from edge_core.errors import CheckFailedError, ModelFormatError, SettingsError
from edge_device.console import Debug, Json, extra_needed, one_line_errors, say
from edge_device.frames.motion import MotionRule
from edge_device.frames.regions import WHOLE, Orientation, Region, covering, parse_region, parse_zones
from edge_device.inference.accelerator import open_classifier, parse_device
from edge_device.inference.classifier import SOFTMAX_ONLY, Classifier
from edge_device.inference.interpreter import RuntimeName
from edge_device.inference.threads import choose_threads
from edge_device.inference.verify import verify
from edge_device.interrupts import StopRequest
from edge_device.live.decisions import Rule, parse_smoothing, parse_thresholds
from edge_device.live.loop import Live, LiveSettings
from edge_device.live.model_watcher import ModelSwap
from edge_device.results import Notice
from edge_device.sinks.sink_queue import Outlets
from edge_device.sinks.terminal import console, notice_line
from edge_device.sinks.web.address import TOKEN_VARIABLE, read_token
from edge_device.sources import CameraMode, Pictures, PixelFormat, open_source, parse_controls, redact

if TYPE_CHECKING:
    from edge_device.sinks.web import WebPage

MQTT_PASSWORD: Final = "EDGE_RUN_MQTT_PASSWORD"
WEBHOOK_TOKEN: Final = "EDGE_RUN_WEBHOOK_TOKEN"
"""Environment variables for secrets: what stands in a command line, every user of the machine can read."""

_SOURCE: Final = "Source"
_MODEL: Final = "Model"
_DECISIONS: Final = "Decisions"
_SINKS: Final = "Where results go"

PAGE_SIDE: Final = 360
"""Of the live page's and of Home Assistant's picture, the shorter side in pixels at least: half of 1280x720, which decodes in half the time."""


def live(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A .tflite that edge-convert wrote.")],
    source: Annotated[
        str,
        typer.Option(
            help="A camera (0, /dev/video0, picamera, rtsp://…, http://…), a video file, a picture, a folder or pattern "
            "of pictures, - for JPEGs on standard input, or fake:1280x720@30 to try things out.",
            rich_help_panel=_SOURCE,
        ),
    ] = "0",
    width: Annotated[
        int | None, typer.Option(min=1, help="Requested capture width in pixels.", rich_help_panel=_SOURCE)
    ] = None,
    height: Annotated[
        int | None, typer.Option(min=1, help="Requested capture height in pixels.", rich_help_panel=_SOURCE)
    ] = None,
    fps: Annotated[
        float | None,
        typer.Option(min=0.1, help="Requested capture rate in frames per second.", rich_help_panel=_SOURCE),
    ] = None,
    pixel_format: Annotated[
        PixelFormat | None,
        typer.Option("--format", help="Requested pixel format of a USB camera.", rich_help_panel=_SOURCE),
    ] = None,
    controls: Annotated[
        list[str] | None,
        typer.Option(
            "--control",
            metavar="NAME=VALUE",
            help="Setting of the camera, brightness=120 (USB) or AwbMode=Daylight (picamera). May be repeated; edge-run doctor "
            "lists what each camera has.",
            rich_help_panel=_SOURCE,
        ),
    ] = None,
    tuning_file: Annotated[
        Path | None,
        typer.Option(
            help="libcamera's tuning file for a Raspberry Pi camera: imx477_noir.json.", rich_help_panel=_SOURCE
        ),
    ] = None,
    rotate: Annotated[
        int, typer.Option(help="Clockwise: 0, 90, 180 or 270 degrees turn frames upright.", rich_help_panel=_SOURCE)
    ] = 0,
    mirror: Annotated[
        bool, typer.Option("--mirror", help="Mirror frames left to right.", rich_help_panel=_SOURCE)
    ] = False,
    roi: Annotated[
        str | None,
        typer.Option(help="Look at x,y,width,height only: 0.5,0,0.5,1 is the right half.", rich_help_panel=_SOURCE),
    ] = None,
    zones: Annotated[
        list[str] | None,
        typer.Option(
            "--zone",
            help="Classify this named part of the frame, door=0,0,0.5,1. May be given more than once.",
            rich_help_panel=_SOURCE,
        ),
    ] = None,
    realtime: Annotated[
        bool, typer.Option("--realtime", help="Play a video as if it were a camera.", rich_help_panel=_SOURCE)
    ] = False,
    wait: Annotated[
        bool,
        typer.Option("--wait-for-source", help="Wait for a camera that is not connected yet.", rich_help_panel=_SOURCE),
    ] = False,
    frames: Annotated[
        int | None, typer.Option(min=1, help="Stop after this number of frames.", rich_help_panel=_SOURCE)
    ] = None,
    max_fps: Annotated[
        float | None,
        typer.Option(min=0.01, help="Largest number of frames to classify in a second.", rich_help_panel=_SOURCE),
    ] = None,
    on_motion: Annotated[
        bool,
        typer.Option(
            "--on-motion", help="Classify while something moves, else once a second.", rich_help_panel=_SOURCE
        ),
    ] = False,
    runtime: Annotated[
        RuntimeName, typer.Option(help="Which interpreter runs the model.", rich_help_panel=_MODEL)
    ] = "auto",
    threads: Annotated[
        str,
        typer.Option(
            help="Number of threads for one inference; auto measures at the start which number is fastest.",
            rich_help_panel=_MODEL,
        ),
    ] = "auto",
    device: Annotated[
        str,
        typer.Option(
            help="Device that runs the model: cpu, coral, coral:usb:0 or coral:pci:0.", rich_help_panel=_MODEL
        ),
    ] = "cpu",
    fallback: Annotated[
        Path | None,
        typer.Option(help="The file that MODEL was compiled from, while the Coral is away.", rich_help_panel=_MODEL),
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option(help="Public key that must have signed MODEL and what replaces it.", rich_help_panel=_MODEL),
    ] = None,
    top: Annotated[
        int, typer.Option(min=1, help="Number of labels to show, best first.", rich_help_panel=_DECISIONS)
    ] = 3,
    thresholds: Annotated[
        list[str] | None,
        typer.Option(
            "--threshold",
            help="Score from which a label is reported: 0.6 for all labels, cat=0.8 for one.",
            rich_help_panel=_DECISIONS,
        ),
    ] = None,
    smoothing: Annotated[
        str,
        typer.Option(
            help="Smoothing of the scores: over 0.5s, by a vote of 3/5 frames, or none.", rich_help_panel=_DECISIONS
        ),
    ] = "0.5s",
    familiar: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="Familiarity below which a frame is unknown: 0.05 turns away one in twenty that the model knows, 0 none.",
            rich_help_panel=_DECISIONS,
        ),
    ] = FAMILIAR,
    as_json: Json = False,
    jsonl: Annotated[
        Path | None, typer.Option(help="Append JSON lines to this file; it is rotated.", rich_help_panel=_SINKS)
    ] = None,
    mqtt: Annotated[
        str | None,
        typer.Option(
            help="mqtt://USER@HOST/PREFIX, mqtts:// with TLS, ws:// or wss:// for WebSockets; Home Assistant discovers "
            f"it. The password is in {MQTT_PASSWORD}.",
            rich_help_panel=_SINKS,
        ),
    ] = None,
    mqtt_ca: Annotated[
        Path | None,
        typer.Option(help="Certificate of the authority that signed the broker's, PEM.", rich_help_panel=_SINKS),
    ] = None,
    mqtt_cert: Annotated[
        Path | None, typer.Option(help="Client certificate for the broker, PEM.", rich_help_panel=_SINKS)
    ] = None,
    mqtt_key: Annotated[
        Path | None,
        typer.Option(help="Private key of --mqtt-cert, unless it is in the same file.", rich_help_panel=_SINKS),
    ] = None,
    mqtt_picture: Annotated[
        bool,
        typer.Option(help="Send the picture of the last event to the broker, too.", rich_help_panel=_SINKS),
    ] = True,
    web: Annotated[
        str | None,
        typer.Option(
            help="[HOST:]PORT of the live page: 8080 for this machine alone, 0.0.0.0:8080 for all who have the token.",
            rich_help_panel=_SINKS,
        ),
    ] = None,
    web_root: Annotated[
        str, typer.Option(help="Path under which a proxy shows the live page, /cam/.", rich_help_panel=_SINKS)
    ] = "/",
    web_frame: Annotated[
        str,
        typer.Option(
            help="Origin whose pages may show the live page in a frame, https://home.example:8123.",
            rich_help_panel=_SINKS,
        ),
    ] = "",
    prometheus: Annotated[str | None, typer.Option(help="[HOST:]PORT of /metrics.", rich_help_panel=_SINKS)] = None,
    webhook: Annotated[
        str | None,
        typer.Option(help=f"Post each event there; a bearer token is in {WEBHOOK_TOKEN}.", rich_help_panel=_SINKS),
    ] = None,
    on_event: Annotated[
        str | None,
        typer.Option(
            help="Run a command for each event, no shell: 'notify-send {label} {kind}'.", rich_help_panel=_SINKS
        ),
    ] = None,
    record: Annotated[
        Path | None,
        typer.Option(help="Annotated video, porch.mp4; a new file every ten minutes.", rich_help_panel=_SINKS),
    ] = None,
    snapshots: Annotated[
        Path | None, typer.Option(help="Keep unsure frames here, to be labelled.", rich_help_panel=_SINKS)
    ] = None,
    snapshots_foreign: Annotated[
        bool,
        typer.Option(
            "--snapshots-foreign", help="Keep only frames that are foreign to the model.", rich_help_panel=_SINKS
        ),
    ] = False,
    window: Annotated[
        bool, typer.Option("--window", help="Show the frames with their labels in a window.", rich_help_panel=_SINKS)
    ] = False,
    token_file: Annotated[
        Path | None,
        typer.Option(
            help=f"Token for --web and --prometheus beyond this machine; else {TOKEN_VARIABLE} has it, or --web makes one.",
            rich_help_panel=_SINKS,
        ),
    ] = None,
    debug: Debug = False,
) -> None:
    """Classify the frames of a camera or a video as they come, until Ctrl-C.

    Made to run for months: a camera that is lost is opened again, a file that takes MODEL's place is verified and taken
    up, a sink that fails is tried again. `edge-run service install` makes a service of it.

    Example: edge-run live flowers-int8.tflite --source 0 --threshold 0.7 --web 8080 --jsonl events.jsonl
    """
    with one_line_errors(debug), ExitStack() as opened:
        asked = StopRequest()
        done = threading.Event()  # nobody reads standard output any more, or the window was closed
        regions = _regions(roi, zones or [])
        coral = parse_device(device)
        rule = _rule(thresholds or [], smoothing)
        mode = CameraMode(width, height, fps or max_fps, pixel_format, parse_controls(controls or []), tuning_file)
        orientation = Orientation(rotate, mirror)  # type: ignore[arg-type]
        sinks = [console(as_json, done.set)]
        token = read_token(token_file)
        if jsonl:
            from edge_device.sinks.jsonl import JsonLines

            sinks.append(JsonLines(jsonl))
        page = _web_page(web, token, regions, (web_root, web_frame)) if web else None
        if page:
            sinks.append(page)
        if mqtt:
            from edge_device.sinks.mqtt.broker import Certificates, parse_broker
            from edge_device.sinks.mqtt.publisher import Mqtt, MqttSettings

            broker = parse_broker(mqtt, os.environ.get(MQTT_PASSWORD), about=redact(source))
            certificates = Certificates(mqtt_ca, mqtt_cert, mqtt_key)
            told = MqttSettings(
                certificates=certificates, picture=mqtt_picture, page=lambda: page.url + web_root if page else ""
            )
            sinks.append(Mqtt(broker, tuple(regions), told))
        if prometheus:
            from edge_device.sinks.prometheus import Prometheus, parse_listen

            sinks.append(Prometheus(*parse_listen(prometheus), token))
        if webhook:
            from edge_device.sinks.webhook import Webhook

            sinks.append(Webhook(webhook, os.environ.get(WEBHOOK_TOKEN)))
        if on_event:
            from edge_device.sinks.exec import Command, parse_command

            sinks.append(Command(parse_command(on_event)))
        if record:
            from edge_device.sinks.recording import Recording

            sinks.append(Recording(record, regions))
        if snapshots:
            from edge_device.sinks.snapshots import Snapshots

            sinks.append(Snapshots(snapshots, regions, foreign_only=snapshots_foreign))
        if window:
            from edge_device.sinks.window import Window

            sinks.append(Window(regions, done.set))
        teller = _Teller()
        public_key = _verified(model, key, runtime) if key else None
        several = _threads(threads, lambda number: Classifier(fallback or model, runtime=runtime, threads=number))

        def open_model(at_once: bool = True) -> Classifier:
            return open_classifier(
                *(model, coral),
                fallback=fallback,
                runtime=runtime,
                threads=several,
                notify=teller,
                at_once=at_once,
                stopped=asked,
                familiar=familiar,
            )

        classifier = open_model()
        if classifier.softmax_only:
            teller(Notice("info", "model", f"{model.name}: {SOFTMAX_ONLY}", time.time()))
        rule.check(classifier.card.labels)
        needed = covering(classifier.card.input, list(regions.values()))
        whole = bool(record or snapshots or window)  # for people, and for training: not a part of the size
        camera = open_source(
            source,
            mode,
            lambda path, error: say(f"warning: {error}"),
            covering=None if whole else max(needed, PAGE_SIDE if web or (mqtt and mqtt_picture) else 0),
            levels=classifier.card.input.levels,
            realtime=realtime,
            reconnect=True,
            wait=wait,
            told=lambda level, text: teller(Notice(level, "source", text, time.time())),
        )
        frames_from = opened.enter_context(camera)
        opened.enter_context(asked.awaited())  # from here on there are outputs that must not be cut in two
        outlets = Outlets(
            sinks,
            classifier.card,
            zones=len(regions),
            patience=None if frames_from.live else lambda: not (asked() or done.is_set()),
        )
        teller.listener(outlets.notice)

        def replacement() -> Classifier:
            newer = open_model(at_once=False)
            if not whole and covering(newer.card.input, list(regions.values())) > needed:
                newer.close()
                raise ModelFormatError(f"{model} takes larger pictures than the one before; start edge-run anew for it")
            return newer

        swap = ModelSwap(model, replacement, teller, digest=classifier.digest, key=public_key, runtime=runtime)
        opened.enter_context(swap)
        signal.signal(signal.SIGHUP, lambda number, frame: swap.ask())
        settings = LiveSettings(
            count=top,
            regions=regions,
            orientation=orientation,
            rule=None if isinstance(frames_from, Pictures) else rule,  # a picture is no moment of a scene
            motion=MotionRule() if on_motion else None,
            max_fps=max_fps,
            frames=frames,
        )
        loop = Live(
            classifier,
            frames_from,
            outlets,
            settings,
            name=redact(source),
            model=model,
            swap=swap,
            told=lambda notice: None if done.is_set() else say(notice_line(notice)),
        )
        status = loop.run(lambda: asked() or done.is_set())
        if not done.is_set():
            say(
                f"{status.frames} frames, {status.fps:.1f} fps, median {status.latency.total_ms:.1f} ms, {status.runtime}"
            )


class _Teller:
    """Passes notices on; keeps those from before there is anybody to listen."""

    def __init__(self) -> None:
        self._kept: list[Notice] = []
        self._tell: Callable[[Notice], None] = self._kept.append

    def __call__(self, notice: Notice) -> None:
        self._tell(notice)

    def listener(self, tell: Callable[[Notice], None]) -> None:
        self._tell = tell
        for notice in self._kept:
            tell(notice)


def _regions(roi: str | None, zones: list[str]) -> dict[str, Region]:
    if roi and zones:
        raise SettingsError("--roi is for one part of the frame, --zone for several by name; use one of both")
    return {zone.name: zone.region for zone in parse_zones(zones)} or {"": parse_region(roi) if roi else WHOLE}


def _rule(thresholds: list[str], smoothing: str) -> Rule:
    common, by_label = parse_thresholds(thresholds)
    usual = Rule()
    return Rule(parse_smoothing(smoothing), usual.threshold if common is None else common, by_label)


def _threads(text: str, open_with: Callable[[int], Classifier]) -> int:
    if text == "auto":
        return choose_threads(open_with).threads
    if not text.isascii() or not text.isdecimal() or not 0 < int(text) < 1000:
        raise SettingsError(f"--threads is auto or a number of threads, not {text!r}")
    return int(text)


def _verified(model: Path, key: Path, runtime: RuntimeName) -> bytes:
    """The public key in a file, once it has been found to have signed the model."""
    with extra_needed("sign", "cryptography"):
        from edge_device.inference.signature import read_public_key
    public_key = read_public_key(key)
    found = verify(model, key=public_key, runtime=runtime)
    if found.divergence:
        raise CheckFailedError(f"{model} diverges at {found.divergence.stage}: {found.divergence.reason}")
    return public_key


def _web_page(address: str, token: str | None, regions: Mapping[str, Region], place: tuple[str, str]) -> "WebPage":
    from edge_device.sinks.web import WebPage, parse_address

    return WebPage(
        parse_address(address),
        token=token,
        zones={name: region for name, region in regions.items() if name},
        root=place[0],
        frame=place[1],
    )

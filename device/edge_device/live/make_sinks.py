"""The sinks that options name, each imported only where it is asked for."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edge_core.errors import SettingsError
from edge_device.frames.regions import Region
from edge_device.live.cameras.run_host import RunHost, SharedParts
from edge_device.live.options import MQTT_PASSWORD, WEBHOOK_TOKEN, LiveOptions, SinkOptions
from edge_device.sinks.sink import Sink
from edge_device.sinks.web.address import read_token

if TYPE_CHECKING:
    from edge_device.live.cameras.camera_teacher import CameraTeacher
    from edge_device.sinks.inbox.collection import Collection
    from edge_device.sinks.inbox.snapshots import Snapshots
    from edge_device.sinks.mqtt.publisher import Mqtt
    from edge_device.sinks.web import WebPage
    from edge_device.sinks.web.kept import KeptPictures


def make_sinks(
    options: SinkOptions,
    regions: Mapping[str, Region],
    about: str,
    host: RunHost,
    camera: str = "",
    teacher: "CameraTeacher | None" = None,
) -> list[Sink]:
    """Makes all sinks that `options` name; none is open yet.

    Args:
        options: What the sinks are to be.
        regions: Classified parts of the frame by the name of their zone.
        about: Name of the source for people, without credentials.
        host: The process, with what its cameras share.
        camera: Name of the camera, where it has one.
        teacher: Teaches the model from the live page; None: the page has no buttons for that.

    Raises:
        SettingsError: The text of an option is not what the sink takes.
        OutputError: The token file cannot be read.
        RuntimeMissingError: A sink needs a package that is not installed.
    """
    if options.collect and not options.web:
        raise SettingsError("--collect is for the buttons of the live page: give --web, too, or run edge-run collect")
    token = read_token(options.token_file)
    one = _Camera(options, regions, host.shared, camera)
    page = _web_page(one, token)
    snapshots = _snapshots(one)
    if page:
        page.kept = _kept(one, snapshots, teacher)
    made = [
        _json_lines(one),
        page,
        make_mqtt(options, about, tuple(regions), page, camera),
        _prometheus(one, token),
        _webhook(options),
        _command(options),
        _recording(one),
        snapshots,
        _window(options, regions, host.close_window),
    ]
    return [sink for sink in made if sink]


@dataclass(frozen=True)
class _Camera:
    """A camera that sinks are made for, and what it shares with others."""

    options: SinkOptions
    regions: Mapping[str, Region]
    shared: SharedParts
    name: str


def wants_whole_frames(asked: LiveOptions) -> bool:
    """Whether frames are needed in full: a focus cuts its subjects out of them, a sink keeps them for people or
    training."""
    options = asked.sinks
    return asked.focus.focus != "whole" or bool(
        options.record or options.snapshots or options.window or options.collect or options.teach
    )


def _json_lines(camera: _Camera) -> Sink | None:
    path = camera.options.jsonl
    if path is None:
        return None
    from edge_device.sinks.jsonl import JsonLines

    made = JsonLines(path)
    first = camera.shared.once(("jsonl", path.resolve()), lambda: made)
    # The first camera's sink has the file; the others append through it, so that lines never mix.
    if first is not made:
        made.join(first)
    return made


def _web_page(camera: _Camera, token: str | None) -> "WebPage | None":
    options = camera.options
    if not options.web:
        return None
    from edge_device.sinks.web import WebPage, parse_address

    made = WebPage(
        parse_address(options.web),
        token=token,
        zones={name: region for name, region in camera.regions.items() if name},
        root=options.web_root,
        frame=options.web_frame,
    )
    if camera.name:
        made.join(camera.shared.once("web", lambda: made), camera.name)
    return made


def make_mqtt(
    options: SinkOptions,
    about: str,
    zones: tuple[str, ...] = ("",),
    page: "WebPage | None" = None,
    camera: str = "",
) -> "Mqtt | None":
    """The connection to the broker that `options` name; None where they name none.

    Args:
        options: What the sinks are to be.
        about: Name of the source for people, without credentials.
        zones: Names of the zones, one empty name for the whole frame.
        page: Live page whose address is told.
        camera: Name of the camera, where it has one.

    Raises:
        SettingsError: The text of an option is not what the sink takes.
        RuntimeMissingError: A package is not installed.
    """
    if not options.mqtt:
        return None
    from edge_device.sinks.mqtt.broker import Certificates, parse_broker
    from edge_device.sinks.mqtt.publisher import Mqtt, MqttSettings

    broker = parse_broker(options.mqtt, os.environ.get(MQTT_PASSWORD), about=about, camera=camera)
    settings = MqttSettings(
        certificates=Certificates(options.mqtt_ca, options.mqtt_cert, options.mqtt_key),
        picture=options.mqtt_picture,
        page=lambda: page.address(options.web_root) if page else "",
    )
    return Mqtt(broker, zones, settings)


def _prometheus(camera: _Camera, token: str | None) -> Sink | None:
    if not camera.options.prometheus:
        return None
    from edge_device.sinks.prometheus import Prometheus, parse_listen

    made = Prometheus(*parse_listen(camera.options.prometheus), token)
    if camera.name:
        made.join(camera.shared.once("prometheus", lambda: made), camera.name)
    return made


def _webhook(options: SinkOptions) -> Sink | None:
    if not options.webhook:
        return None
    from edge_device.sinks.webhook import Webhook

    return Webhook(options.webhook, os.environ.get(WEBHOOK_TOKEN))


def _command(options: SinkOptions) -> Sink | None:
    if not options.on_event:
        return None
    from edge_device.sinks.exec import Command, parse_command

    return Command(parse_command(options.on_event))


def _recording(camera: _Camera) -> Sink | None:
    path = camera.options.record
    if path is None:
        return None
    from edge_device.sinks.recording import Recording

    # With a hyphen in front, so that "porch" is found in "porch" as well as in "back-porch".
    stem = f"-{path.stem}"
    if camera.name and not stem.endswith(f"-{camera.name}"):  # several cameras may have been given one name
        path = path.with_stem(f"{path.stem}-{camera.name}")
    return Recording(path, camera.regions)


def _kept(camera: _Camera, snapshots: "Snapshots | None", teacher: "CameraTeacher | None") -> "KeptPictures":
    """What the buttons and routes of the live page fill and fetch."""
    from edge_device.sinks.web.kept import KeptPictures

    folder, store = camera.options.collect, snapshots.store if snapshots else None
    made = KeptPictures(store=store, regions=camera.regions, camera=camera.name)
    if teacher:
        made.collection, made.teacher = teacher.collection, teacher.teacher
    elif folder:
        made.collection = shared_collection(camera.shared, folder)
    return made


def shared_collection(shared: SharedParts, folder: Path) -> "Collection":
    """The pictures in a folder, which several cameras may fill."""
    from edge_device.sinks.inbox.collection import Collection

    return shared.once(("collection", folder.resolve()), lambda: Collection(folder))


def _snapshots(camera: _Camera) -> "Snapshots | None":
    folder = camera.options.snapshots
    if folder is None:
        return None
    from edge_device.sinks.inbox.snapshots import Snapshots

    options = camera.options
    made = Snapshots(folder, camera.regions, every_s=options.snapshots_every, foreign_only=options.snapshots_foreign)
    made.join(camera.shared.once(("snapshots", folder.resolve()), lambda: made), camera.name)
    return made


def _window(options: SinkOptions, regions: Mapping[str, Region], closed: Callable[[], None]) -> Sink | None:
    if not options.window:
        return None
    from edge_device.sinks.window import Window

    return Window(regions, closed)

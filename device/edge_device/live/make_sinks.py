"""The sinks that options name, each imported only where it is asked for."""

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from edge_core.errors import SettingsError
from edge_device.frames.regions import Region
from edge_device.live.options import MQTT_PASSWORD, WEBHOOK_TOKEN, LiveOptions, SinkOptions
from edge_device.sinks.sink import Sink
from edge_device.sinks.web.address import read_token

if TYPE_CHECKING:
    from edge_device.sinks.inbox.snapshots import Snapshots
    from edge_device.sinks.mqtt.publisher import Mqtt
    from edge_device.sinks.web import WebPage
    from edge_device.sinks.web.kept import KeptPictures


def make_sinks(
    options: SinkOptions, regions: Mapping[str, Region], about: str, closed: Callable[[], None]
) -> list[Sink]:
    """Makes all sinks that `options` name; none is open yet.

    Args:
        options: What the sinks are to be.
        regions: Classified parts of the frame by the name of their zone.
        about: Name of the source for people, without credentials.
        closed: Called when a person has closed the window.

    Raises:
        SettingsError: The text of an option is not what the sink takes.
        OutputError: The token file cannot be read.
        RuntimeMissingError: A sink needs a package that is not installed.
    """
    if options.collect and not options.web:
        raise SettingsError("--collect is for the buttons of the live page: give --web, too, or run edge-run collect")
    token = read_token(options.token_file)
    jsonl = _json_lines(options)
    page = _web_page(options, token, regions)
    snapshots = _snapshots(options, regions)
    if page:
        page.kept = _kept(options, snapshots, regions)
    made = [
        jsonl,
        page,
        make_mqtt(options, about, tuple(regions), page),
        _prometheus(options, token),
        _webhook(options),
        _command(options),
        _recording(options, regions),
        snapshots,
        _window(options, regions, closed),
    ]
    return [sink for sink in made if sink]


def wants_whole_frames(asked: LiveOptions) -> bool:
    """Whether frames are needed in full: a focus cuts its subjects out of them, a sink keeps them for people or
    training."""
    options = asked.sinks
    return asked.focus.focus != "whole" or bool(
        options.record or options.snapshots or options.window or options.collect
    )


def _json_lines(options: SinkOptions) -> Sink | None:
    if options.jsonl is None:
        return None
    from edge_device.sinks.jsonl import JsonLines

    return JsonLines(options.jsonl)


def _web_page(options: SinkOptions, token: str | None, regions: Mapping[str, Region]) -> "WebPage | None":
    if not options.web:
        return None
    from edge_device.sinks.web import WebPage, parse_address

    return WebPage(
        parse_address(options.web),
        token=token,
        zones={name: region for name, region in regions.items() if name},
        root=options.web_root,
        frame=options.web_frame,
    )


def make_mqtt(
    options: SinkOptions, about: str, zones: tuple[str, ...] = ("",), page: "WebPage | None" = None
) -> "Mqtt | None":
    """The connection to the broker that `options` name; None where they name none.

    Args:
        options: What the sinks are to be.
        about: Name of the source for people, without credentials.
        zones: Names of the zones, one empty name for the whole frame.
        page: Live page whose address is told.

    Raises:
        SettingsError: The text of an option is not what the sink takes.
        RuntimeMissingError: A package is not installed.
    """
    if not options.mqtt:
        return None
    from edge_device.sinks.mqtt.broker import Certificates, parse_broker
    from edge_device.sinks.mqtt.publisher import Mqtt, MqttSettings

    broker = parse_broker(options.mqtt, os.environ.get(MQTT_PASSWORD), about=about)
    settings = MqttSettings(
        certificates=Certificates(options.mqtt_ca, options.mqtt_cert, options.mqtt_key),
        picture=options.mqtt_picture,
        page=lambda: page.url + options.web_root if page else "",
    )
    return Mqtt(broker, zones, settings)


def _prometheus(options: SinkOptions, token: str | None) -> Sink | None:
    if not options.prometheus:
        return None
    from edge_device.sinks.prometheus import Prometheus, parse_listen

    return Prometheus(*parse_listen(options.prometheus), token)


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


def _recording(options: SinkOptions, regions: Mapping[str, Region]) -> Sink | None:
    if options.record is None:
        return None
    from edge_device.sinks.recording import Recording

    return Recording(options.record, regions)


def _kept(options: SinkOptions, snapshots: "Snapshots | None", regions: Mapping[str, Region]) -> "KeptPictures":
    """What the buttons and routes of the live page fill and fetch."""
    from edge_device.sinks.inbox.collection import Collection
    from edge_device.sinks.web.kept import KeptPictures

    collection = Collection(options.collect) if options.collect else None
    return KeptPictures(collection, snapshots.store if snapshots else None, regions=regions)


def _snapshots(options: SinkOptions, regions: Mapping[str, Region]) -> "Snapshots | None":
    if options.snapshots is None:
        return None
    from edge_device.sinks.inbox.snapshots import Snapshots

    return Snapshots(
        options.snapshots, regions, every_s=options.snapshots_every, foreign_only=options.snapshots_foreign
    )


def _window(options: SinkOptions, regions: Mapping[str, Region], closed: Callable[[], None]) -> Sink | None:
    if not options.window:
        return None
    from edge_device.sinks.window import Window

    return Window(regions, closed)

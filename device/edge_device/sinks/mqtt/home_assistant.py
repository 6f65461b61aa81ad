"""What Home Assistant is told of a camera: one device with all of its entities, by one retained message.

Device discovery: https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload (2024.11 and later).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Final, get_args

from edge_core.codec import JsonObject
from edge_device.results import View
from edge_device.sinks.mqtt.broker import digest, segment

Component = JsonObject

NOTHING: Final = "nothing"
"""The state where no label is believed; Home Assistant keeps "unknown" and "None" for itself."""

_RESERVED: Final = ("", "none", "unknown", "unavailable", NOTHING)

STATE_CHARACTERS: Final = 255
"""Home Assistant takes no longer state."""

OPTIONS_BYTES: Final = 8_000
"""Above that, the list of all labels is left out: of a thousand, the message would take 20 kB for each zone."""

TRIGGERS: Final = 200
"""Above that, only the event entity tells what entered and left: nobody finds one of two thousand in a list."""

EXPIRE_S: Final = 60
"""Without news for so long a figure is unavailable, whatever the availability says; states are sent every 10 s."""


@dataclass(frozen=True)
class Topics:
    """Where a camera tells what.

    Attributes:
        prefix: Words that all topics begin with.
    """

    prefix: str

    def of(self, name: str) -> str:
        return f"{self.prefix}/{name}"

    def state(self, zone: str) -> str:
        """Of a zone; of the whole frame where its name is empty."""
        return self.of(f"zones/{segment(zone)}/state" if zone else "state")


@dataclass(frozen=True)
class CameraDevice:
    """What there is to tell of.

    Attributes:
        identity: Stays the same over restarts.
        topics: Topics that the camera publishes to.
        zones: Zones by name, one empty name for the whole frame.
        labels: Labels of the model.
        model, model_sha256: File name and digest.
        page: Address of the live page; empty where there is none.
        picture: Whether the picture of the last event is sent.
        temperature: Whether the processor's is known.
    """

    identity: str
    topics: Topics
    zones: Sequence[str]
    labels: Sequence[str]
    model: str
    model_sha256: str
    page: str = ""
    picture: bool = True
    temperature: bool = False


def words(labels: Sequence[str]) -> dict[str, str]:
    """A state for each label: short enough, not reserved, and no two alike."""
    found: dict[str, str] = {}
    taken = set[str]()
    for label in labels:
        word = label.strip()
        if word.lower() in _RESERVED:
            word = f"{word or 'empty'} (label)"
        if len(word) > STATE_CHARACTERS or word in taken:
            word = f"{word[: STATE_CHARACTERS - 11]} ({digest(label, 8)})"
        taken.add(word)
        found[label] = word
    return found


def bundle(camera: CameraDevice) -> JsonObject:
    """The discovery message."""
    device = {
        "identifiers": [camera.identity],
        "name": camera.topics.prefix.rpartition("/")[2],
        "manufacturer": "edge-mobilenet",
        "model": camera.model,
        "sw_version": version("edge-mobilenet"),
        "hw_version": camera.model_sha256[:12] or "not sealed",
    }
    if camera.page:
        device["configuration_url"] = camera.page
    components = _components(camera)
    for key, component in components.items():
        component["unique_id"] = f"{camera.identity}_{key}"
    # After the identities are given: device triggers are no entities and have none.
    components |= _triggers(camera)
    origin = {"name": "edge-mobilenet", "sw_version": version("edge-mobilenet")}
    return {"device": device, "origin": origin, "components": components}


def without(gone: JsonObject, now: JsonObject) -> JsonObject | None:
    """The message between an older bundle and `now` that removes what only the older has; None if there is nothing."""
    components = gone.get("components")
    # Home Assistant removes a component that comes with its platform alone.
    dropped = {
        key: {"platform": component["platform"]}
        for key, component in (components.items() if isinstance(components, dict) else ())
        if key not in now["components"] and isinstance(component, dict) and "platform" in component
    }
    return {**now, "components": {**now["components"], **dropped}} if dropped else None


def _components(camera: CameraDevice) -> dict[str, Component]:
    topics = camera.topics
    here = {"topic": topics.of("availability")}
    sees = {
        "topic": topics.of("status"),
        "value_template": "{{ 'online' if value_json.source_state in ('open', 'frozen') else 'offline' }}",
    }
    of_source = {"availability": [here, sees], "availability_mode": "all"}
    of_process = {"availability": [here]}
    found: dict[str, Component] = {}
    for zone in camera.zones:
        found |= _of_zone(camera, zone, of_source)
    found["event"] = {
        "platform": "event",
        "name": "Label entered or left",
        "icon": "mdi:motion-sensor",
        "state_topic": topics.of("event"),
        "event_types": ["entered", "left"],
        "value_template": "{{ dict(value_json, event_type=value_json.kind) | tojson }}",
        **of_process,
    }
    if camera.picture:
        found["picture"] = {
            "platform": "image",
            "name": "Last event",
            "icon": "mdi:image",
            "image_topic": topics.of("picture"),
            "content_type": "image/jpeg",
            **of_process,
        }
    return found | _of_status(camera, of_process)


def _of_zone(camera: CameraDevice, zone: str, availability: Component) -> dict[str, Component]:
    key = f"zone_{digest(zone, 8)}_" if zone else ""
    common = {"platform": "sensor", "state_topic": camera.topics.state(zone), "expire_after": EXPIRE_S, **availability}
    label = common | {
        "name": f"{zone} label" if zone else "Label",
        "icon": "mdi:tag",
        "value_template": "{{ value_json.state }}",
    }
    options = [NOTHING, *words(camera.labels).values()]
    # Quotes, a comma and a space around each of them in the message.
    if sum(len(option.encode()) + 4 for option in options) <= OPTIONS_BYTES:
        label |= {"device_class": "enum", "options": options}
    score = common | {
        "name": f"{zone} score" if zone else "Score",
        "icon": "mdi:percent",
        "value_template": "{{ (value_json.score * 100) | round(0) | int }}",
        "unit_of_measurement": "%",
        "state_class": "measurement",
    }
    return {f"{key}label": label, f"{key}score": score}


def _of_status(camera: CameraDevice, availability: Component) -> dict[str, Component]:
    topic = camera.topics.of("status")
    common = {"state_topic": topic, "expire_after": EXPIRE_S, "entity_category": "diagnostic", **availability}
    measured = common | {"platform": "sensor", "state_class": "measurement"}
    found: dict[str, Component] = {
        "problem": common
        | {
            "platform": "binary_sensor",
            "name": "Problem",
            "device_class": "problem",
            "value_template": "{{ 'ON' if value_json.problems else 'OFF' }}",
            "json_attributes_topic": topic,
            "json_attributes_template": "{{ dict(problems=value_json.problems, notices=value_json.notices) | tojson }}",
        },
        "view": common
        | {
            "platform": "sensor",
            "name": "View",
            "icon": "mdi:camera",
            "device_class": "enum",
            "options": list(get_args(View)),
            "value_template": "{{ value_json.view }}",
        },
        "fps": measured
        | {
            "name": "Frame rate",
            "icon": "mdi:speedometer",
            "value_template": "{{ value_json.fps | round(0) | int }}",
            "unit_of_measurement": "fps",
        },
    }
    if camera.temperature:
        found["temperature"] = measured | {
            "name": "Processor temperature",
            "device_class": "temperature",
            "value_template": "{{ value_json.temperature_c | round(0) | int }}",
            "unit_of_measurement": "°C",
        }
    return found


def _triggers(camera: CameraDevice) -> dict[str, Component]:
    told = [(zone, label, kind) for zone in camera.zones for label in camera.labels for kind in ("entered", "left")]
    if len(told) > TRIGGERS:
        return {}
    return {
        f"trigger_{digest(f'{zone}/{label}', 8)}_{kind}": {
            "platform": "device_automation",
            "automation_type": "trigger",
            "topic": camera.topics.of("event"),
            "type": kind,
            "subtype": f"{zone}: {label}" if zone else label,
            "payload": f"{kind} {digest(f'{zone}/{label}', 8)}",
            "value_template": _trigger_template(zone, label),
        }
        for zone, label, kind in told
    }


def _trigger_template(zone: str, label: str) -> str:
    """Answers an event of this zone and label with the payload of its trigger; a label may hold anything."""
    told = f"value_json.label == {_literal(label)} and value_json.zone == {_literal(zone)}"
    return f"{{{{ value_json.kind ~ ' {digest(f'{zone}/{label}', 8)}' if {told} }}}}"


def _literal(text: str) -> str:
    """A text as Jinja reads it, which takes JSON's escapes but its pairs of surrogates."""
    return json.dumps(text, ensure_ascii=False)

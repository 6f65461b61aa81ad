"""What `edge-run live` can be asked for: one description for its command line, for scripts and for what reads settings.

The annotation of each field carries its help text; a front end reads it with `groups` and `described`.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Annotated, Final, cast, get_type_hints

from edge_core.artifact.familiarity import FAMILIAR
from edge_device.inference.interpreter import RuntimeName
from edge_device.sinks.web.address import TOKEN_VARIABLE
from edge_device.sources import PixelFormat
from edge_device.sources.network.addresses import with_password

MQTT_PASSWORD: Final = "EDGE_RUN_MQTT_PASSWORD"
WEBHOOK_TOKEN: Final = "EDGE_RUN_WEBHOOK_TOKEN"
SOURCE_PASSWORD: Final = "EDGE_RUN_SOURCE_PASSWORD"
"""Environment variables for secrets: what stands in a command line, every user of the machine can read."""


def with_secret(source: str) -> str:
    """A source with the password that the environment has, where it is an address that names a user without one."""
    return with_password(source, os.environ.get(SOURCE_PASSWORD))


@dataclass(frozen=True)
class Option:
    """How a field is offered to a person.

    Attributes:
        help: Explanation of one or two sentences.
        flag: Name on a command line; None derives it from the field's name.
        minimum, maximum: Smallest and largest value of a number; None allows any.
        metavar: Placeholder for the value in help texts; None derives it from the type.
        shared: Whether all cameras of one process have one value: a port can be opened once.
    """

    help: str
    flag: str | None = None
    minimum: float | None = None
    maximum: float | None = None
    metavar: str | None = None
    shared: bool = False


@dataclass(frozen=True)
class OptionGroup:
    """How a group of options is offered to a person.

    Attributes:
        title: Heading above the group.
    """

    title: str


@dataclass(frozen=True)
class Described:
    """A field of a group of options, as a front end needs it.

    Attributes:
        name: Name of the field.
        type: Type annotation of the field, resolved.
        default: Value of the field where nobody sets it.
        option: How the field is offered.
    """

    name: str
    type: object
    default: object
    option: Option

    @property
    def key(self) -> str:
        """Name in a configuration file: that on a command line without its hyphens in front."""
        return (self.option.flag or self.name.replace("_", "-")).removeprefix("--")


def groups() -> Iterator[tuple[str, str, type]]:
    """The groups of `LiveOptions` in the order in which help texts show them: name of the field, heading, class."""
    for name, hint in get_type_hints(LiveOptions, include_extras=True).items():
        for one in getattr(hint, "__metadata__", ()):
            if isinstance(one, OptionGroup):
                yield name, one.title, hint.__origin__


@cache  # resolving the hints of a group takes a hundred times as long as looking at them
def described(group: type) -> tuple[Described, ...]:
    """The options of a group, `SourceOptions` for one, in the order in which help texts show them."""
    # include_extras keeps the `Option` of an `Annotated`, which is dropped otherwise.
    hints = get_type_hints(group, include_extras=True)
    return tuple(
        Described(one.name, hints[one.name].__origin__, one.default, hints[one.name].__metadata__[0])
        for one in fields(group)
    )


@dataclass(frozen=True)
class SourceOptions:
    """Where frames come from, and which part of which of them is classified.

    Each field is an option of `edge-run live`, with its help text.
    """

    source: Annotated[
        str,
        Option(
            "Where frames come from: a camera (0, /dev/video0, picamera, rtsp://…, http://…), a video file, a "
            "picture, a folder or pattern of pictures, - for JPEGs on standard input, or fake:1280x720@30 to try "
            "things out."
        ),
    ] = "0"
    width: Annotated[int | None, Option("Requested capture width in pixels.", minimum=1)] = None
    height: Annotated[int | None, Option("Requested capture height in pixels.", minimum=1)] = None
    fps: Annotated[float | None, Option("Requested capture rate in frames per second.", minimum=0.1)] = None
    pixel_format: Annotated[PixelFormat | None, Option("Requested pixel format of a USB camera.", flag="--format")] = (
        None
    )
    controls: Annotated[
        tuple[str, ...],
        Option(
            "Setting of the camera, brightness=120 (USB) or AwbMode=Daylight (picamera). May be repeated; edge-run "
            "doctor lists what each camera has.",
            flag="--control",
            metavar="NAME=VALUE",
        ),
    ] = ()
    tuning_file: Annotated[
        Path | None, Option("Tuning file of libcamera for a Raspberry Pi camera: imx477_noir.json.")
    ] = None
    buffers: Annotated[
        int | None,
        Option(
            "Number of frames that a Raspberry Pi camera has memory for, 6 by default: fewer where memory is short.",
            minimum=1,
            maximum=32,
        ),
    ] = None
    rotate: Annotated[
        int, Option("Degrees by which frames are turned clockwise, so that they are upright: 0, 90, 180 or 270.")
    ] = 0
    mirror: Annotated[bool, Option("Mirror frames left to right.", flag="--mirror")] = False
    roi: Annotated[
        str | None, Option("Classify only this part of the frame, x,y,width,height: 0.5,0,0.5,1 is the right half.")
    ] = None
    zones: Annotated[
        tuple[str, ...],
        Option("Classify this named part of the frame, door=0,0,0.5,1. May be given more than once.", flag="--zone"),
    ] = ()
    realtime: Annotated[bool, Option("Play a video as if it were a camera.", flag="--realtime")] = False
    wait: Annotated[bool, Option("Wait for a camera that is not connected yet.", flag="--wait-for-source")] = False
    frames: Annotated[int | None, Option("Stop after this number of frames.", minimum=1)] = None
    max_fps: Annotated[float | None, Option("Largest number of frames to classify in a second.", minimum=0.01)] = None
    on_motion: Annotated[
        bool,
        Option("Classify every frame while something moves, and one a second while nothing does.", flag="--on-motion"),
    ] = False


@dataclass(frozen=True)
class FocusOptions:
    """Which part of a frame is classified.

    Each field is an option of `edge-run live`, with its help text.
    """

    focus: Annotated[
        str,
        Option(
            "What is classified: the whole frame, a square around what moves (motion), or squares all over the frame, "
            "of which the best counts (tiles), or what an object detector finds (its .tflite).",
            metavar="whole|motion|tiles|FILE",
        ),
    ] = "whole"
    subjects: Annotated[int, Option("Largest number of subjects to follow at a time.", minimum=1, maximum=20)] = 3
    linger: Annotated[
        float, Option("Seconds for which a subject that has stopped is followed; then it is background.", minimum=0)
    ] = 10.0
    ignored: Annotated[
        tuple[str, ...],
        Option(
            "Part of the frame in which nothing is looked for, a flag or the camera's clock: 0,0,0.3,0.1. May be "
            "given more than once.",
            flag="--ignore",
            metavar="X,Y,W,H",
        ),
    ] = ()
    budget_ms: Annotated[float, Option("Milliseconds in each frame for looking at tiles.", minimum=1)] = 100.0
    detect: Annotated[
        str, Option("Classes that an object detector is to look for, bird,cat; without it all of them.")
    ] = ""


@dataclass(frozen=True)
class ModelOptions:
    """Interpreter, threads and device that run the model.

    Each field is an option of `edge-run live`, with its help text.
    """

    runtime: Annotated[RuntimeName, Option("Which interpreter runs the model.")] = "auto"
    threads: Annotated[
        str, Option("Number of threads for one inference; auto measures at the start which number is fastest.")
    ] = "auto"
    device: Annotated[str, Option("Device that runs the model: cpu, coral, coral:usb:0 or coral:pci:0.")] = "cpu"
    fallback: Annotated[
        Path | None, Option("The .tflite that MODEL was compiled from, which the CPU runs while the Coral is away.")
    ] = None
    key: Annotated[
        Path | None, Option("Public key that must have signed MODEL and every file that takes its place.")
    ] = None


@dataclass(frozen=True)
class DecisionOptions:
    """How scores become decisions and events.

    Each field is an option of `edge-run live`, with its help text.
    """

    top: Annotated[int, Option("Number of labels to show, best first.", minimum=1)] = 3
    thresholds: Annotated[
        tuple[str, ...],
        Option("Score from which a label is reported: 0.6 for all labels, cat=0.8 for one.", flag="--threshold"),
    ] = ()
    smoothing: Annotated[
        str, Option("Smoothing of the scores: over a time (0.5s), by a vote of frames (3/5), or none.")
    ] = "0.5s"
    familiar: Annotated[
        float,
        Option(
            "Familiarity below which a frame is unknown: 0.05 turns away one in twenty that the model knows, 0 turns "
            "none away.",
            minimum=0,
            maximum=1,
        ),
    ] = FAMILIAR


@dataclass(frozen=True)
class SinkOptions:
    """Outputs that get the results.

    Each field is an option of `edge-run live`, with its help text.
    """

    jsonl: Annotated[Path | None, Option("Append each result to this file as a line of JSON; the file is rotated.")] = (
        None
    )
    mqtt: Annotated[
        str | None,
        Option(
            "Publish to this broker, mqtt://USER@HOST/PREFIX: mqtts:// with TLS, ws:// or wss:// through WebSockets. "
            f"Home Assistant discovers it. The password is in {MQTT_PASSWORD}."
        ),
    ] = None
    mqtt_ca: Annotated[
        Path | None, Option("Certificate of the authority that signed the broker's certificate, in PEM.")
    ] = None
    mqtt_cert: Annotated[Path | None, Option("Client certificate that the broker asks for, in PEM.")] = None
    mqtt_key: Annotated[Path | None, Option("Private key of --mqtt-cert, where it is in a file of its own.")] = None
    mqtt_picture: Annotated[bool, Option("Send the picture of the last event to the broker.")] = True
    web: Annotated[
        str | None,
        Option(
            "Show the live page at [HOST:]PORT: 8080 for this machine alone, 0.0.0.0:8080 for all who have the token.",
            shared=True,
        ),
    ] = None
    web_root: Annotated[
        str, Option("Path under which a proxy shows the live page, for example /cam/.", shared=True)
    ] = "/"
    web_frame: Annotated[
        str,
        Option(
            "Origin whose pages may show the live page in a frame, for example https://home.example:8123.", shared=True
        ),
    ] = ""
    prometheus: Annotated[
        str | None, Option("Offer figures for Prometheus at [HOST:]PORT, under /metrics.", shared=True)
    ] = None
    webhook: Annotated[
        str | None, Option(f"Post each event to this address as JSON; {WEBHOOK_TOKEN} may hold a bearer token.")
    ] = None
    on_event: Annotated[
        str | None, Option("Run this command for each event, without a shell: 'notify-send {label} {kind}'.")
    ] = None
    record: Annotated[
        Path | None, Option("Record the annotated video, porch.mp4 for example, with a new file every ten minutes.")
    ] = None
    snapshots: Annotated[Path | None, Option("Keep unsure frames in this folder, to be labeled.")] = None
    snapshots_foreign: Annotated[
        bool, Option("Keep only frames that are foreign to the model.", flag="--snapshots-foreign")
    ] = False
    snapshots_every: Annotated[
        float, Option("Seconds between two pictures of a zone that --snapshots keeps, at least.", minimum=0.1)
    ] = 10.0
    collect: Annotated[
        Path | None,
        Option("Photo folder that the buttons of the live page take pictures into, one button for each label."),
    ] = None
    teach: Annotated[
        bool,
        Option(
            "Let the live page teach MODEL labels from pictures that its buttons take, into the folder of --collect or "
            "MODEL's name with -taught.",
            flag="--teach",
        ),
    ] = False
    window: Annotated[bool, Option("Show the frames with their labels in a window.", flag="--window", shared=True)] = (
        False
    )
    token_file: Annotated[
        Path | None,
        Option(
            f"File with the token that --web and --prometheus ask for beyond this machine. Default: {TOKEN_VARIABLE} "
            "has the token, or --web makes one.",
            shared=True,
        ),
    ] = None


@dataclass(frozen=True)
class UpdateOptions:
    """Where better models come from."""

    update_from: Annotated[
        str | None,
        Option("Address of a folder that edge-convert publish wrote, for models that --key has signed.", metavar="URL"),
    ] = None
    update_folder: Annotated[Path, Option("Folder for models that came as updates, and for what became of them.")] = (
        Path("updates")
    )
    update_group: Annotated[str, Option("Group of boards that this board is in, as publish --group names it.")] = ""
    update_device: Annotated[str, Option("Name of this board in rollouts. Default: derived from its machine id.")] = ""
    update_every: Annotated[float, Option("Seconds between two looks at the address, on average.", minimum=1)] = 3600.0
    update_frames: Annotated[
        int, Option("Number of frames that a new model must do well on beside the old one.", minimum=1)
    ] = 100
    update_trial: Annotated[
        float, Option("Seconds for which a new model that took over can still be taken back.", minimum=0)
    ] = 600.0
    update_labels: Annotated[bool, Option("Permit new models with other labels.", flag="--update-labels")] = False


@dataclass(frozen=True)
class LiveOptions:
    """Everything that a live run can be asked for.

        run_live(LiveOptions(Path("flowers-int8.tflite"), SourceOptions("picamera"), sinks=SinkOptions(web="8080")))

    Attributes:
        file: The .tflite that is run, and watched for a replacement.
        source: Camera, video or pictures that frames come from.
        model: Interpreter, threads and device that run the model.
        decisions: Thresholds and smoothing, by which scores become decisions and events.
        sinks: Outputs that get the results.
        updates: Address that newer models come from, and how they are tried.
        focus: Part of a frame that is classified.
    """

    file: Path
    source: Annotated[SourceOptions, OptionGroup("Source")] = field(default_factory=SourceOptions)
    model: Annotated[ModelOptions, OptionGroup("Model")] = field(default_factory=ModelOptions)
    decisions: Annotated[DecisionOptions, OptionGroup("Decisions")] = field(default_factory=DecisionOptions)
    sinks: Annotated[SinkOptions, OptionGroup("Where results go")] = field(default_factory=SinkOptions)
    updates: Annotated[UpdateOptions, OptionGroup("Model updates")] = field(default_factory=UpdateOptions)
    focus: Annotated[FocusOptions, OptionGroup("Focus")] = field(default_factory=FocusOptions)


@dataclass(frozen=True)
class ConsoleOptions:
    """What `edge-run live` says, and how; a script that calls `run_live` has sinks of its own for that."""

    as_json: Annotated[bool, Option("Print JSON, for scripts.", flag="--json", shared=True)] = False
    debug: Annotated[bool, Option("Show the traceback of an error.", flag="--debug", shared=True)] = False


MODEL: Final = Described("file", Path, None, Option("A .tflite that edge-convert wrote.", flag="model"))
"""The one option without a default: an argument on a command line, the key `model` in a file."""


def make_options(values: Mapping[str, object]) -> LiveOptions:
    """The options of a live run, from the values of some of their fields; the others have their defaults.

    Args:
        values: Value by name of the field, of `file` and of any option of any group.
    """
    made = {
        name: kind(**{one.name: values[one.name] for one in described(kind) if one.name in values})
        for name, _, kind in groups()
    }
    return LiveOptions(cast(Path, values[MODEL.name]), **made)


def values_of(options: LiveOptions) -> dict[str, object]:
    """The value of every field, `file` among them, by its name: what `make_options` takes."""
    found: dict[str, object] = {MODEL.name: options.file}
    for name, _, kind in groups():
        group = getattr(options, name)
        found |= {one.name: getattr(group, one.name) for one in described(kind)}
    return found

"""`edge-run collect`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from edge_device.cli.parameters import Device, Runtime
from edge_device.command_line.arguments import parse_size
from edge_device.command_line.console import Debug, Json, one_line_errors, say, track
from edge_device.command_line.entry import INTERRUPTED
from edge_device.frames.regions import WHOLE, Orientation, parse_region
from edge_device.inference.accelerator import open_classifier, parse_device
from edge_device.inference.classifier import Classifier
from edge_device.inference.interpreter import RuntimeName
from edge_device.sinks.terminal import notice_line
from edge_device.sources import CameraMode
from edge_device.sources.source import ANY_MODE


def collect(
    label: Annotated[str, typer.Option(help="What the pictures show: the name of their class folder.")],
    to: Annotated[Path, typer.Option(help="Photo folder that the class folder is in; it may have pictures already.")],
    model: Annotated[
        Path | None, typer.Argument(metavar="MODEL", help="A .tflite whose scores go to the manifest, too.")
    ] = None,
    source: Annotated[str, typer.Option(help="Camera, video file or folder of pictures, as for edge-run live.")] = "0",
    every: Annotated[float, typer.Option(min=0, help="Seconds between two frames that are looked at.")] = 0.5,
    count: Annotated[int, typer.Option(min=1, help="Number of new pictures to stop after.")] = 200,
    size: Annotated[str | None, typer.Option(metavar="WxH", help="Requested capture size: 1280x720.")] = None,
    roi: Annotated[str | None, typer.Option(help="Keep x,y,width,height only: 0.5,0,0.5,1 is the right half.")] = None,
    rotate: Annotated[
        int,
        typer.Option(help="Degrees by which frames are turned clockwise, so that they are upright: 0, 90, 180 or 270."),
    ] = 0,
    mirror: Annotated[bool, typer.Option("--mirror", help="Mirror frames left to right.")] = False,
    max_mb: Annotated[float, typer.Option(min=1, help="Size of the photo folder at which to stop, in MB.")] = 5000,
    free_mb: Annotated[float, typer.Option(min=0, help="Space in MB that stays free on the disk.")] = 500,
    device: Device = "cpu",
    runtime: Runtime = "auto",
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Take training pictures with the camera that the model will look through.

    Every half second a frame becomes a picture of LABEL, whole and at full quality, if it shows something new: move the
    thing, or the light. `manifest.jsonl` beside the class folders says of each picture when and where it was taken, and
    what MODEL made of it. Label _nothing collects pictures that show none of the classes. The exit status is 1 if the
    folder or the disk is full.

    Example: edge-run collect --source picamera --label cat --count 100 --to photos/
    """
    with one_line_errors(debug):
        from edge_device.live.collecting import CollectSettings  # late: other commands do without
        from edge_device.live.collecting import collect as collect_pictures
        from edge_device.sinks.inbox.collection import CollectionLimits

        settings = CollectSettings(
            source,
            label,
            every_s=every,
            count=count,
            mode=CameraMode(*parse_size(size, "--size")) if size else ANY_MODE,
            orientation=Orientation(rotate, mirror),  # type: ignore[arg-type]
            region=parse_region(roi) if roi else WHOLE,
        )
        done = collect_pictures(
            settings,
            to,
            limits=CollectionLimits(round(1e6 * max_mb), round(1e6 * free_mb)),
            classifier=_opened(model, device, runtime),
            track=track,
            notify=lambda notice: say(notice_line(notice)),
        )
        if as_json:
            print(json.dumps(done.to_json()), flush=True)
        say(f"{done.folder}: {done.taken} pictures, {done.alike} frames left out that show the same as one of them")
        if done.ended == "source" and done.taken < count:
            say(f"the source has ended; {count} pictures were asked for")
        if done.ended == "full":
            say(f"stopped: {done.reason}")
            raise typer.Exit(1)
        if done.ended == "interrupted":
            raise typer.Exit(INTERRUPTED)


def _opened(model: Path | None, device: str, runtime: RuntimeName) -> Classifier | None:
    return open_classifier(model, parse_device(device), runtime=runtime) if model else None

"""`edge-run teach`."""

import json
from collections.abc import Sequence
from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from edge_core.artifact.card import UNTAUGHT
from edge_core.artifact.container import read_card
from edge_core.errors import SettingsError
from edge_core.files import require_writable
from edge_device.cli.parameters import Model
from edge_device.command_line.console import Debug, Json, one_line_errors, say, track
from edge_device.command_line.next_step import say_next, say_next_live
from edge_device.inference.signing_key import read_signer
from edge_device.live.collecting import CollectSettings, taken_examples
from edge_device.sinks.terminal import notice_line
from edge_device.sources import redact
from edge_device.sources.network.addresses import has_password
from edge_device.teaching.examples import photo_examples
from edge_device.teaching.lesson import Lesson, TeachSettings
from edge_device.teaching.teach import Taught
from edge_device.teaching.teach import teach as teach_model
from edge_device.teaching.views import MOST_CUTS
from edge_device.teaching.write import undo as bring_back
from edge_device.teaching.write import write_taught

Many = list[str]


def teach(
    model: Model,
    label: Annotated[
        str | None,
        typer.Option(
            help="What the frames of --source or the pictures of --photos show: a new label or one of the model's."
        ),
    ] = None,
    source: Annotated[str | None, typer.Option(help="Camera to show it to, as for edge-run live.")] = None,
    count: Annotated[int, typer.Option(min=3, help="Number of frames to take.")] = 20,
    every: Annotated[float, typer.Option(min=0, help="Seconds between two frames.")] = 0.5,
    photos: Annotated[
        Path | None, typer.Option(help="Pictures to learn from: of --label, or in a folder for each label.")
    ] = None,
    forget: Annotated[
        Many | None, typer.Option(help="Label that the model loses. May be given more than once.")
    ] = None,
    rename: Annotated[
        Many | None, typer.Option(metavar="OLD=NEW", help="New name of a label. May be given more than once.")
    ] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Bring back the file that was taught last.")] = False,
    out: Annotated[
        Path | None, typer.Option(help="File to write. Default: MODEL, whose content is kept beside it.")
    ] = None,
    keep: Annotated[
        Path | None,
        typer.Option(help="Photo folder that keeps the frames of --source. Default: MODEL's name with -taught."),
    ] = None,
    cuts: Annotated[
        int, typer.Option(min=1, max=MOST_CUTS, help="Cuts of each frame to learn from, the whole frame among them.")
    ] = 3,
    mirrored: Annotated[
        bool | None,
        typer.Option(
            "--mirrored/--no-mirrored", help="Learn each cut mirrored, too. Default: as the model itself was trained."
        ),
    ] = None,
    min_right: Annotated[
        float,
        typer.Option(
            min=0,
            max=100,
            help="Percentage of a label's frames that must be right when the layer is solved without them.",
        ),
    ] = 40,
    max_loss: Annotated[
        float, typer.Option(min=0, help="Largest loss of accuracy of the other labels, in percentage points.")
    ] = 3,
    force: Annotated[
        bool, typer.Option("--force", help="Write the file whatever the test found; its model card says so.")
    ] = False,
    key: Annotated[
        Path | None, typer.Option(help="Private key that signs the new file, made by edge-convert keygen.")
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Teach a model a new label on this machine, in a minute and without TensorFlow.

    The last layer is solved anew on the features of the frames and on what the file keeps of the labels that it knows.
    The result is tested on what was left out; over a limit nothing is written, and the exit status is 1. A running
    `edge-run live` takes the new file up by itself.

    Example: edge-run teach flowers-int8.tflite --source 0 --label "my mug" --count 20
    """
    with one_line_errors(debug):
        if undo:
            bring_back(model)
            say(f"{model} is again what it was before")
            say_next_live(model)
            return
        settings = TeachSettings(cuts, mirrored, min_right, max_loss, force)
        target = out or model
        # Before a minute of showing things to a camera, not after it.
        require_writable(target)
        signer = read_signer(key)
        examples = {}
        if source is not None:
            if label is None:
                raise SettingsError("--source needs --label: what the camera is going to see")
            folder = keep or model.with_name(f"{model.stem}-taught")
            told = f"show {label} to the camera and turn it a little; the pictures are kept in {folder}"
            wanted = CollectSettings(source, label, every_s=every, count=count)
            examples = taken_examples(
                model, wanted, folder, track, lambda notice: say(notice_line(notice)), lambda: say(told)
            )
            # A classifier has two labels at least, so the first one waits as pictures.
            if len(examples) < 2 and read_card(model).conversion.get(UNTAUGHT):
                say(f"{model} takes its first two labels together; now show it the second with another --label")
                return
        elif photos is not None:
            examples = photo_examples(model, photos, label, track, lambda line: say(f"warning: {line}"))
        lesson = Lesson(examples, tuple(forget or ()), _renamed(rename or ()))
        if not (lesson.examples or lesson.forget or lesson.rename):
            raise SettingsError("nothing to teach: give --source or --photos, --forget or --rename, or --undo")
        taught = teach_model(model, lesson, settings, signer=signer, track=track)
        kept = write_taught(taught, target)
        if as_json:
            print(json.dumps(_to_json(taught, target, kept), ensure_ascii=False), flush=True)
            return
        for line in _lines(taught, target):
            print(line)
        shown = redact(source) if source and has_password(source) else source or "0"
        say_next(
            f"edge-run live {quote(str(target))} --source {quote(shown)}",
            *([f"edge-run teach {quote(str(target))} --undo"] if kept else []),
        )


def _renamed(pairs: Sequence[str]) -> dict[str, str]:
    found = {}
    for pair in pairs:
        old, equals, new = pair.partition("=")
        if not (old and equals and new):
            raise SettingsError(f"--rename is OLD=NEW, as in mug=cup, not {pair!r}")
        found[old] = new
    return found


def _to_json(taught: Taught, file: Path, kept: Path | None) -> dict[str, object]:
    return {
        "file": str(file),
        "labels": list(taught.card.labels),
        "kept": kept and str(kept),
        "judgement": taught.judgement and taught.judgement.to_json(),
    }


def _lines(taught: Taught, file: Path) -> list[str]:
    rows = {"wrote": f"{file}, {len(taught.artifact) / 1e6:.2f} MB", "labels": ", ".join(taught.card.labels)}
    found = taught.judgement
    if found:
        rows |= {
            f"{label}": f"{share.percent()} of its frames told right when left out"
            for label, share in found.taught.items()
        }
        if found.before and found.after:
            rows["others"] = (
                f"{found.before.percent()} of the exemplars told right before, {found.after.percent()} with it"
            )
    width = max(map(len, rows))
    return [f"{name:<{width}}  {text}" for name, text in rows.items()]

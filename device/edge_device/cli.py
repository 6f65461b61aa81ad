"""The `edge-run` command."""

import json
import shutil
import sys
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from edge_core.card import ModelCard
from edge_core.errors import CheckFailedError, PictureError, SourceError
from edge_core.tflite_file import read_card
from edge_device.classifier import Classifier, Prediction
from edge_device.console import Debug, Json, command_line, extra_needed, one_line_errors, say, stop_asked
from edge_device.interpreter import RuntimeName
from edge_device.results import FrameResult
from edge_device.run import Summary, classify_stream
from edge_device.sources import CameraMode, Pictures, open_source
from edge_device.verify import Verification
from edge_device.verify import verify as verify_file

app = command_line(
    "Run a model on pictures, videos and cameras.\n\nExample: edge-run live flowers-int8.tflite --source 0"
)

Model = Annotated[Path, typer.Argument(metavar="MODEL", help="A .tflite that edge-convert wrote.", show_default=False)]
Top = Annotated[int, typer.Option(min=1, help="How many labels to show.")]
Runtime = Annotated[RuntimeName, typer.Option(help="Which interpreter runs the model.")]
Threads = Annotated[int | None, typer.Option(min=1, help="For one inference; all cores by default.")]


@app.command()
def images(
    model: Model,
    pictures: Annotated[
        list[Path], typer.Argument(metavar="PICTURE", help="Files, or folders of them.", show_default=False)
    ],
    top: Top = 3,
    as_json: Json = False,
    runtime: Runtime = "auto",
    threads: Threads = None,
    debug: Debug = False,
) -> None:
    """Classify picture files.

    The exit status is 2 if a picture that was named cannot be read; one found in a folder is only warned of.

    Example: edge-run images flowers-int8.tflite tulip.jpg holiday/ --top 1
    """
    with one_line_errors(debug):
        classifier = Classifier(model, runtime=runtime, threads=threads)
        unusable = False
        shown = False

        def skipped(path: Path, error: PictureError) -> None:
            nonlocal unusable
            named = path in pictures
            unusable |= named
            say(f"{'error' if named else 'warning'}: {error}")

        for result in classify_stream(classifier, Pictures(pictures, skipped), top):
            shown = True
            print(_json(result) if as_json else f"{result.frame.source}  {_scores(result.top)}", flush=True)
        if unusable or not shown:
            raise typer.Exit(2)


@app.command()
def live(
    model: Model,
    source: Annotated[
        str, typer.Option(help="A camera (0, /dev/video0), a video file, a picture or a folder of pictures.")
    ] = "0",
    frames: Annotated[int | None, typer.Option(min=1, help="Stop after so many.")] = None,
    width: Annotated[int | None, typer.Option(min=1, help="Asked of a camera, which gives what comes nearest.")] = None,
    height: Annotated[int | None, typer.Option(min=1, help="Asked of a camera.")] = None,
    fps: Annotated[float | None, typer.Option(min=0.1, help="Asked of a camera.")] = None,
    top: Top = 3,
    as_json: Json = False,
    runtime: Runtime = "auto",
    threads: Threads = None,
    debug: Debug = False,
) -> None:
    """Classify the frames of a camera or a video as they come, until Ctrl-C.

    Example: edge-run live flowers-int8.tflite --source 0 --width 1280 --height 720
    """
    with one_line_errors(debug):
        classifier = Classifier(model, runtime=runtime, threads=threads)
        mode = CameraMode(width, height, fps)
        on_one_line = sys.stdout.isatty() and not as_json
        summary = Summary()
        with open_source(source, mode, lambda path, error: say(f"warning: {error}")) as opened, stop_asked() as stopped:
            try:
                for result in islice(classify_stream(classifier, opened, top), frames):
                    summary.add(result)
                    if as_json:
                        print(_json(result), flush=True)
                    elif on_one_line:
                        print("\r" + _fitted(_live_line(result, summary.fps)), end="", flush=True)
                    else:
                        print(_source(result), _live_line(result, summary.fps), sep="  ", flush=True)
                    if stopped():
                        break
            finally:
                if on_one_line and summary.frames:
                    print(flush=True)
        if not summary.frames:
            raise SourceError(f"{source} gave no frame that can be read")
        say(f"{summary.frames} frames, {summary.fps:.1f} fps, median {summary.median_ms:.1f} ms, {classifier.runtime}")


@app.command()
def show(model: Model, as_json: Json = False, debug: Debug = False) -> None:
    """Show what is known of a model: its labels, its input, how good it is.

    Example: edge-run show flowers-int8.tflite
    """
    with one_line_errors(debug):
        card = read_card(model)
        print(card.to_text() if as_json else _card_lines(model, card), end="")


@app.command()
def verify(
    model: Model,
    key: Annotated[
        Path | None,
        typer.Option(help="Public key that must have signed the file: a .pub that `edge-convert keygen` made."),
    ] = None,
    as_json: Json = False,
    runtime: Runtime = "auto",
    threads: Threads = None,
    debug: Debug = False,
) -> None:
    """Check that a model is the file that was exported, and does here what it did there.

    Its seal is held against every byte, then the frames inside are decoded, preprocessed and run. The first stage that
    diverges is named: digest, signature, decode, preprocess or invoke. The exit status is 1 then, and 2 for a file that
    was never sealed.

    Example: edge-run verify flowers-int8.tflite --key vendor.pub
    """
    with one_line_errors(debug):
        public_key = None
        if key is not None:
            with extra_needed("sign", "cryptography"):
                from edge_device.signature import read_public_key
            public_key = read_public_key(key)
        found = verify_file(model, key=public_key, runtime=runtime, threads=threads)
        print(json.dumps(found.to_json()) if as_json else _verification_lines(found), flush=True)
        if found.divergence:
            raise CheckFailedError(f"{model} diverges at {found.divergence.stage}: {found.divergence.reason}")


def _json(result: FrameResult) -> str:
    return json.dumps(result.to_json(), ensure_ascii=False)


def _scores(best: tuple[Prediction, ...]) -> str:
    return "  ".join(f"{one.label} {100 * one.score:.1f} %" for one in best)


def _source(result: FrameResult) -> str:
    return f"{result.frame.source}  {result.frame.time_s:.2f} s"


def _live_line(result: FrameResult, fps: float) -> str:
    took = result.latency
    return (
        f"{_scores(result.top)}  {fps:.1f} fps  "
        f"capture {took.capture_ms:.1f}  preprocess {took.preprocess_ms:.1f}  invoke {took.invoke_ms:.1f} ms"
    )


def _fitted(line: str) -> str:
    """Cut or filled up to the width of the terminal, in columns."""
    from rich.cells import set_cell_size

    return set_cell_size(line, shutil.get_terminal_size().columns - 1)


def _card_lines(path: Path, card: ModelCard) -> str:
    def few(values: Any, limit: int = 12) -> str:
        values = list(values)
        return ", ".join(values[:limit]) + (f", and {len(values) - limit} more" if len(values) > limit else "")

    def settings(fields: Any) -> str:
        return few(f"{name} {value}" for name, value in fields.items() if not isinstance(value, dict | list))

    rows = {
        "model": f"{path}, {path.stat().st_size / 1e6:.2f} MB",
        "labels": f"{len(card.labels)}: {few(card.labels)}",
        "input": f"{card.input.width}x{card.input.height} {card.input.color_order}, crop {card.input.crop}",
        "backbone": f"{card.backbone.name} {card.backbone.alpha}, from {card.backbone.weights}"
        if card.backbone
        else "",
        "dataset": f"{card.dataset.name}: "
        + ", ".join(f"{split} {sum(counts.values())}" for split, counts in card.dataset.counts.items())
        if card.dataset
        else "",
        "metrics": few(f"{name} {estimate.percent()}" for name, estimate in card.metrics.items()),
        "training": settings(card.training),
        "conversion": settings(card.conversion),
        "versions": settings(card.versions),
    }
    return "".join(f"{name:<10}  {value}\n" for name, value in rows.items() if value)


def _verification_lines(found: Verification) -> str:
    rows = {"model": str(found.file), "digest": "sha256:" + found.seal.digest if found.seal else "does not fit"}
    if found.seal:
        rows["signature"] = f"by ed25519:{found.signed_by}" if found.signed_by else "none"
        if found.signed_by and found.replay and not found.signature_checked:
            rows["signature"] += ", not checked: that takes pip install 'edge-mobilenet[sign]'"
    if found.golden and found.replay:
        difference = found.replay.largest_difference
        rows["replayed"] = f"{found.replay.frames} frames on {found.runtime}"
        rows["recorded"] = "on " + ", ".join(f"{name} {value}" for name, value in found.golden.made_with.items())
        if difference is not None:
            rows["scores"] = f"differ by {difference:.2g} at most, {found.replay.tolerance:.2g} is allowed"
    rows["verdict"] = f"diverges at {found.divergence.stage}" if found.divergence else "passed"
    return "\n".join(f"{name:<10}  {value}" for name, value in rows.items())

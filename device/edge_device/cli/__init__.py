"""The `edge-run` command."""

import json
from importlib.metadata import entry_points
from pathlib import Path
from shlex import quote
from typing import Annotated, Final

import typer

from edge_core.artifact.card import ModelCard
from edge_core.artifact.container import read_card
from edge_core.artifact.familiarity import FAMILIAR
from edge_core.errors import CheckFailedError, PictureError, RuntimeMissingError
from edge_device.cli import service as cli_service
from edge_device.cli.live_options import live
from edge_device.console import Debug, Json, command_line, extra_needed, one_line_errors, say
from edge_device.doctor.command import main as examine_board
from edge_device.inference.accelerator import open_classifier, parse_device
from edge_device.inference.card_rows import card_rows
from edge_device.inference.classifier import SOFTMAX_ONLY
from edge_device.inference.interpreter import RuntimeName
from edge_device.inference.streaming import classify_stream
from edge_device.inference.verify import Verification
from edge_device.inference.verify import verify as verify_file
from edge_device.next_step import say_next, say_next_live
from edge_device.results import FrameResult
from edge_device.sinks.terminal import said
from edge_device.sources import Pictures

COMMANDS: Final = "edge_mobilenet.run_commands"
"""Group of entry points: commands of `edge-run` that packages above this one have, each a Typer application."""

app = command_line(
    "Run a model on pictures, videos and cameras.\n\nExample: edge-run live flowers-int8.tflite --source 0"
)

Model = Annotated[Path, typer.Argument(metavar="MODEL", help="A .tflite that edge-convert wrote.", show_default=False)]
Top = Annotated[int, typer.Option(min=1, help="Number of labels to show, best first.")]
Runtime = Annotated[RuntimeName, typer.Option(help="Which interpreter runs the model.")]
Device = Annotated[
    str,
    typer.Option(
        help="Device that runs the model: cpu, coral, coral:usb or coral:pci; coral:usb:1 is the second of several."
    ),
]
Familiar = Annotated[
    float,
    typer.Option(
        min=0,
        max=1,
        help="Familiarity below which a frame is unknown: 0.05 turns away one in twenty of those that the model knows, 0 none.",
    ),
]
Threads = Annotated[int | None, typer.Option(min=1, help="Number of threads for one inference. Default: all cores.")]


@app.command()
def images(
    model: Model,
    pictures: Annotated[
        list[Path], typer.Argument(metavar="PICTURE", help="Picture files, or folders of pictures.", show_default=False)
    ],
    top: Top = 3,
    as_json: Json = False,
    runtime: Runtime = "auto",
    threads: Threads = None,
    device: Device = "cpu",
    familiar: Familiar = FAMILIAR,
    debug: Debug = False,
) -> None:
    """Classify picture files.

    The exit status is 2 if a picture that was named cannot be read; one found in a folder is only warned of.

    Example: edge-run images flowers-int8.tflite tulip.jpg holiday/ --top 1
    """
    with one_line_errors(debug):
        classifier = open_classifier(model, parse_device(device), runtime=runtime, threads=threads, familiar=familiar)
        if classifier.softmax_only:
            say(f"{model}: {SOFTMAX_ONLY}")
        unusable = False
        shown = False

        def skipped(path: Path, error: PictureError) -> None:
            nonlocal unusable
            named = path in pictures
            unusable |= named
            say(f"{'error' if named else 'warning'}: {error}")

        for result in classify_stream(classifier, Pictures(pictures, skipped, classifier.card.input.levels), top):
            shown = True
            print(_json(result) if as_json else f"{result.frame.source}  {said(result)}", flush=True)
        if unusable or not shown:
            raise typer.Exit(2)
        if not as_json:
            say_next_live(model)


app.command()(live)


@app.command()
def show(model: Model, as_json: Json = False, debug: Debug = False) -> None:
    """Show what is known of a model: its labels, its input, how good it is.

    Example: edge-run show flowers-int8.tflite
    """
    with one_line_errors(debug):
        card = read_card(model)
        print(card.to_text() if as_json else _card_lines(model, card), end="", flush=True)
        if not as_json:
            say_next(f"edge-run verify {quote(str(model))}")


@app.command()
def verify(
    model: Model,
    key: Annotated[
        Path | None,
        typer.Option(
            help="File of the public key that must have signed the model, a .pub that `edge-convert keygen` made. Default: none."
        ),
    ] = None,
    as_json: Json = False,
    runtime: Runtime = "auto",
    threads: Threads = None,
    device: Device = "cpu",
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
                from edge_device.inference.signature import read_public_key
            public_key = read_public_key(key)
        found = verify_file(model, key=public_key, runtime=runtime, threads=threads, coral=parse_device(device))
        print(json.dumps(found.to_json()) if as_json else _verification_lines(found), flush=True)
        if found.divergence:
            raise CheckFailedError(f"{model} diverges at {found.divergence.stage}: {found.divergence.reason}")
        if not as_json:
            say_next_live(model)


app.add_typer(cli_service.app, name="service")


@app.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
def doctor(options: Annotated[list[str] | None, typer.Argument(hidden=True)] = None) -> None:
    """Find out what keeps this board from classifying, and how to mend it.

    Example: edge-run doctor --model flowers-int8.tflite
    """
    # Here only to be listed by --help: edge_device.__main__ begins it before anything is imported that may be broken.
    raise typer.Exit(examine_board(options or []))


@app.command("install-check", context_settings={"ignore_unknown_options": True, "help_option_names": []})
def install_check(options: Annotated[list[str] | None, typer.Argument(hidden=True)] = None) -> None:
    """Make the checks on a board over SSH that every release passes on emulated ones.

    Example: edge-run install-check pi@raspberrypi.local flowers-int8.tflite --source 0
    """
    # Here only to be found: boards over SSH are edge_bench's, which this package must not import; it registers itself.
    with one_line_errors():
        found = entry_points(group=COMMANDS, name="install-check")
        if not found:
            raise RuntimeMissingError(
                "this installation has no install-check: its entry points are of another version; install it again with "
                "pip install --force-reinstall --no-deps edge-mobilenet"
            )
        command = next(iter(found)).load()
    command(["install-check", *(options or ["--help"])], prog_name="edge-run")


def _json(result: FrameResult) -> str:
    return json.dumps(result.to_json(), ensure_ascii=False)


def _card_lines(path: Path, card: ModelCard) -> str:
    rows = {"model": f"{path}, {path.stat().st_size / 1e6:.2f} MB", **card_rows(card)}
    return "".join(f"{name:<10}  {value}\n" for name, value in rows.items())


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

"""`edge-run show`."""

from pathlib import Path
from shlex import quote

from edge_core.artifact.card import ModelCard
from edge_core.artifact.container import read_card
from edge_device.cli.parameters import Model
from edge_device.command_line.console import Debug, Json, one_line_errors
from edge_device.command_line.next_step import say_next
from edge_device.inference.card_rows import card_rows


def show(model: Model, as_json: Json = False, debug: Debug = False) -> None:
    """Show what is known of a model: its labels, its input, how good it is.

    Example: edge-run show flowers-int8.tflite
    """
    with one_line_errors(debug):
        card = read_card(model)
        print(card.to_text() if as_json else _card_lines(model, card), end="", flush=True)
        if not as_json:
            say_next(f"edge-run verify {quote(str(model))}")


def _card_lines(path: Path, card: ModelCard) -> str:
    rows = {"model": f"{path}, {path.stat().st_size / 1e6:.2f} MB", **card_rows(card)}
    return "".join(f"{name:<10}  {value}\n" for name, value in rows.items())

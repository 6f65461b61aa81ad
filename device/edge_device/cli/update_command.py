"""`edge-run update`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from edge_device.command_line.arguments import Commands
from edge_device.command_line.console import Debug, Json, one_line_errors
from edge_device.command_line.narrow_help import CommandApp
from edge_device.live.update.update_state import UpdateFolder, UpdateState, pin, roll_back

app = CommandApp(
    cls=Commands,
    help="See, take back and stop the model updates of a board that runs with --update-from.",
    no_args_is_help=True,
)

Folder = Annotated[Path, typer.Option("--folder", help="Folder that edge-run live was given as --update-folder.")]
HERE = Path("updates")


@app.command()
def status(folder: Folder = HERE, as_json: Json = False, debug: Debug = False) -> None:
    """Show which model a board runs, whether it is on trial, and what was refused and why.

    Example: edge-run update status --folder /var/lib/edge-run/updates
    """
    with one_line_errors(debug):
        _show(UpdateFolder(folder).read(), as_json)


@app.command()
def rollback(folder: Folder = HERE, as_json: Json = False, debug: Debug = False) -> None:
    """Go back to the model before, which a run takes up within seconds; the one taken back is not tried again.

    Example: edge-run update rollback --folder /var/lib/edge-run/updates
    """
    with one_line_errors(debug):
        _show(roll_back(UpdateFolder(folder)), as_json)


@app.command("pin")
def pin_model(
    folder: Folder = HERE,
    off: Annotated[bool, typer.Option("--off", help="Let updates go on.")] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Keep the model that runs, whatever is published, until `pin --off`.

    Example: edge-run update pin --folder /var/lib/edge-run/updates
    """
    with one_line_errors(debug):
        _show(pin(UpdateFolder(folder), not off), as_json)


def _show(state: UpdateState, as_json: bool) -> None:
    if as_json:
        print(json.dumps(state.to_json()), flush=True)
        return
    model = f"sha256:{state.running[:16]}..." if state.running else "none yet"
    rows = {"model": f"{model}, {'an update' if state.current else 'given by hand'}"}
    if state.trial:
        rows["on trial"] = f"for {state.trial.seconds:.0f} s so far, start {state.trial.attempts}"
    if state.pinned:
        rows["pinned"] = "updates are stopped; edge-run update pin --off lets them go on"
    rows |= {f"refused {digest[:12]}": reason for digest, reason in state.refused.items()}
    rows["latest"] = state.told or "nothing has happened"
    print("\n".join(f"{name:<20}  {value}" for name, value in rows.items()), flush=True)

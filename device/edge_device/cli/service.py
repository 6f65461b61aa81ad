"""The `edge-run service` commands."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from edge_core.errors import CheckFailedError
from edge_device.cli.live_options import live
from edge_device.console import Debug, Json, one_line_errors, say
from edge_device.system import unit_file as service

app = typer.Typer(
    help="Run `edge-run live` as a systemd service, from now on and after every boot.", no_args_is_help=True
)

# What follows MODEL is not ours: it is handed to `live` as it is.
_PASSED_ON = {"allow_interspersed_args": False}

Name = Annotated[str, typer.Option(help="Of one of several services: lower-case letters, digits, hyphens.")]
Model = Annotated[Path, typer.Argument(metavar="MODEL", help="A .tflite that edge-convert wrote.", show_default=False)]
Options = Annotated[
    list[str] | None,
    typer.Argument(metavar="LIVE-OPTIONS", help="Of `edge-run live`; after MODEL.", show_default=False),
]


@app.command(context_settings=_PASSED_ON)
def install(model: Model, options: Options = None, name: Name = "", debug: Debug = False) -> None:
    """Install a service and start it; one of the same name is replaced.

    The model is copied to /var/lib/edge-mobilenet, where a new file in its place is taken over without a restart.
    Relative paths of what is written are taken from /var/lib/edge-run. Needs root.

    Example: sudo pi/bin/edge-run service install flowers-int8.tflite --source /dev/video0
    """
    _check(model, options or [])
    with one_line_errors(debug):
        plan = service.plan(model, options or [], name)
        for warning in plan.warnings:
            say(f"warning: {warning}")
        service.install(plan)
        for source, target in plan.copies:
            say(f"copied {source} to {target}")
        print(
            f"{plan.name} runs, now and after every boot; see: systemctl status {plan.name}; journalctl -u {plan.name}"
        )


@app.command(context_settings=_PASSED_ON)
def show(model: Model, options: Options = None, name: Name = "", debug: Debug = False) -> None:
    """Print the unit that `install` would write.

    Example: edge-run service show flowers-int8.tflite --source /dev/video0
    """
    _check(model, options or [])
    with one_line_errors(debug):
        plan = service.plan(model, options or [], name)
        for warning in (*plan.warnings, *plan.obstacles):
            say(f"warning: {warning}")
        print(plan.unit, end="")


@app.command()
def uninstall(name: Name = "", debug: Debug = False) -> None:
    """Stop a service and remove it; what it wrote stays. Needs root.

    Example: sudo pi/bin/edge-run service uninstall
    """
    with one_line_errors(debug):
        kept = service.uninstall(name)
        print(f"removed; what it wrote, if anything, is in {kept}")


@app.command()
def status(name: Name = "", as_json: Json = False, debug: Debug = False) -> None:
    """Tell how a service fares; the exit status is 1 if it does not run.

    Example: edge-run service status --json
    """
    with one_line_errors(debug):
        found = service.status(name)
        if as_json:
            print(json.dumps(found.to_json()))
        elif found.installed:
            memory = f", {found.memory_mb:.0f} MB" if found.memory_mb else ""
            since = f" since {found.since}" if found.since else ""
            print(f"{found.name}: {found.state}{since}, {found.restarts} restarts{memory}")
            if found.text:
                print(found.text)
        if not found.running:
            what = "does not run" if found.installed else "is not installed"
            raise CheckFailedError(f"{found.name} {what}; see: journalctl -u {found.name} -n 30")


def _check(model: Path, options: Sequence[str]) -> None:
    """Has `live` parse its options, so that a wrong one is told of here and not in a journal."""
    parser = typer.Typer(add_completion=False)
    parser.command()(live)
    typer.main.get_command(parser).make_context("edge-run live", [str(model), *options])

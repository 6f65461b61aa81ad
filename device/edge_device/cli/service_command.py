"""The `edge-run service` commands."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from edge_core.errors import CheckFailedError, EdgeError
from edge_device.cli.live_command import live
from edge_device.cli.live_parameters import given_fields, run_of
from edge_device.command_line.arguments import Commands, check_given
from edge_device.command_line.console import Debug, Json, one_line_errors, say
from edge_device.command_line.narrow_help import CommandApp
from edge_device.command_line.next_step import as_root, say_next
from edge_device.live.configuration.service_config import service_config
from edge_device.live.make_sinks import make_mqtt
from edge_device.sources import redact
from edge_device.system import unit_file as service
from edge_device.system.installed_unit import command_of, secrets_of

app = CommandApp(
    cls=Commands,
    help="Run `edge-run live` as a systemd service, from now on and after every boot.",
    no_args_is_help=True,
)

# What is not ours is handed to `live` as it is; MODEL is found among it as `live` finds it.
_PASSED_ON = {"ignore_unknown_options": True}

Name = Annotated[
    str, typer.Option(help="Name that tells several services apart, of lower-case letters, digits and hyphens.")
]
Words = Annotated[
    list[str],
    typer.Argument(
        metavar="MODEL [LIVE-OPTIONS]",
        help="A .tflite that edge-convert wrote, and any options of `edge-run live`.",
        show_default=False,
    ),
]


@app.command(context_settings=_PASSED_ON)
def install(words: Words, name: Name = "", debug: Debug = False) -> None:
    """Install a service and start it; one of the same name is replaced.

    The model is copied to /var/lib/edge-mobilenet, where a new file in its place is taken over without a restart.
    Relative paths of what is written are taken from /var/lib/edge-run. Needs root. With --config porch.toml the file is
    copied, too: install it again after a change.

    Example: sudo pi/bin/edge-run service install flowers-int8.tflite --source /dev/video0
    """
    model, options = _parsed(words)
    with one_line_errors(debug):
        plan = service.plan(model, options, name, service_config)
        for warning in plan.warnings:
            say(f"warning: {warning}")
        service.install(plan)
        for source, target in plan.copies:
            say(f"copied {source} to {target}")
        for _, target in plan.texts:
            say(f"wrote {target}, which is what the service reads from now on")
        print(
            f"{plan.name} runs, now and after every boot; see: systemctl status {plan.name}; journalctl -u {plan.name}"
        )
        say_next(f"edge-run service status{_named(name)}")


@app.command(context_settings=_PASSED_ON)
def show(words: Words, name: Name = "", debug: Debug = False) -> None:
    """Print the unit that `install` would write, and with --config the file that the service would read.

    Example: edge-run service show flowers-int8.tflite --source /dev/video0
    """
    model, options = _parsed(words)
    with one_line_errors(debug):
        plan = service.plan(model, options, name, service_config)
        for warning in (*plan.warnings, *plan.obstacles):
            say(f"warning: {warning}")
        print(plan.unit, end="", flush=True)
        for text, target in plan.texts:
            print(f"\n# {target}\n{text}", end="", flush=True)
        say_next(as_root("service", "install", *(["--name", name] if name else []), *words))


@app.command()
def uninstall(
    name: Name = "",
    keep_device: Annotated[
        bool, typer.Option("--keep-device", help="Leave the device in Home Assistant, and ask no broker.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Stop and remove a service, and its device in Home Assistant; what it wrote stays. Needs root.

    Example: sudo pi/bin/edge-run service uninstall
    """
    with one_line_errors(debug):
        kept = service.uninstall(name, (lambda: None) if keep_device else (lambda: _forget_device(name)))
        print(f"removed; what it wrote, if anything, is in {kept}")
        say_next(as_root("service", "install", "MODEL", *(["--name", name] if name else []), "--source", "0"))


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
        if not as_json:
            say_next(f"journalctl -u {found.name} --follow")


def _forget_device(name: str) -> None:
    """Clears what the broker of a stopped service holds of it, if it has a broker.

    Raises:
        CheckFailedError: The broker does not answer, or the unit names what there is no more.
    """
    # As systemd does for the service: the broker's password is in its EnvironmentFile.
    os.environ |= secrets_of(name)
    try:
        context = _live_command().make_context("edge-run live", command_of(name))
        for camera, options in run_of(context.params, given_fields(context)).cameras.items():
            broker = make_mqtt(options.sinks, redact(options.source.source), camera=camera)
            if broker is not None:
                broker.forget()
                say("cleared what the MQTT broker held of it; Home Assistant removes the device")
    except (OSError, EdgeError, typer.BadParameter) as error:
        raise CheckFailedError(
            f"the service is stopped, but its device in Home Assistant is still there: {error}. Uninstall it again "
            "once the broker answers, or with --keep-device"
        ) from error


def _live_command() -> Any:
    parser = typer.Typer(add_completion=False)
    parser.command()(live)
    return typer.main.get_command(parser)


def _named(name: str) -> str:
    return f" --name {name}" if name else ""


def _parsed(words: Sequence[str]) -> tuple[Path | None, list[str]]:
    """MODEL, None if a configuration file names it, and the options of `live`, which parses them all.

    So a wrong one is told of here and not in a journal.
    """
    command = _live_command()

    def parse(words: Sequence[str]) -> typer.Context:
        return cast(typer.Context, command.make_context("edge-run live", list(words)))

    check_given(command, "live", words)
    context = parse(words)
    with one_line_errors(bool(context.params["debug"])):
        run_of(context.params, given_fields(context))
    if context.params["model"] is None:
        return None, list(words)
    # MODEL is the word that may be moved to the front without a change of what is parsed.
    for place, word in enumerate(words):
        rest = [*words[:place], *words[place + 1 :]]
        if Path(word) == context.params["model"] and parse([word, *rest]).params == context.params:
            return Path(word), rest
    raise typer.BadParameter("MODEL stands before or after the options of live, not among them")

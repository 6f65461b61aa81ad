"""The command line of `edge-run live`, made of `LiveOptions`: help texts, defaults and types stand there, once."""

import inspect
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Final, cast

import typer

from edge_core.errors import SettingsError
from edge_device.command_line.console import one_line_errors
from edge_device.live.configuration import LiveRun, config_text, live_run, read_config
from edge_device.live.options import MODEL, ConsoleOptions, Described, LiveOptions, described, groups, make_options

MANY: Final = tuple[str, ...]
"""The type of an option that may be given more than once."""

Config = Annotated[
    Path | None,
    typer.Option(help="TOML file with MODEL and options, porch.toml; those on the command line take precedence."),
]
PrintConfig = Annotated[
    bool, typer.Option("--print-config", help="Print MODEL and these options as a configuration file, and end.")
]


def command_of(run: Callable[[LiveRun, Mapping[str, object]], None]) -> Callable[..., None]:
    """A function that Typer makes a command of, with a parameter for each option.

    Args:
        run: Called with what is to be run, and with the values that the command line gives, by the name of the field
            or `config`; its docstring is the help text.
    """

    def command(context: typer.Context, **values: object) -> None:
        with one_line_errors(bool(values["debug"])):
            asked = run_of(values, given_fields(context))
        if values["print_config"]:
            with one_line_errors(bool(values["debug"])):
                print(config_text(asked), end="")
            return
        run(asked, given_values(context))

    parameters = list(_parameters())
    command.__doc__ = run.__doc__
    # Typer reads a command's parameters from its signature and their types from its annotations.
    command.__signature__ = inspect.Signature(parameters, return_annotation=None)  # type: ignore[attr-defined]
    command.__annotations__ = {one.name: one.annotation for one in parameters}
    return command


def run_of(values: Mapping[str, object], given: set[str]) -> LiveRun:
    """What a command line asks for, with the file that it names.

    Args:
        values: Value by name of the parameter, as Typer has parsed it.
        given: Names of the parameters that the command line gives.

    Raises:
        SettingsError: See `read_config` and `live_run`.
    """
    config = cast(Path | None, values["config"])
    fields = {name: value for name, value in _fields(values).items() if name in given}
    if config is None and MODEL.name not in fields:
        raise SettingsError("MODEL is missing: name a .tflite, or give --config FILE that names one")
    return live_run(fields, read_config(config) if config else None)


def words_of(given: Mapping[str, object], local: Collection[str] = ()) -> list[str]:
    """The command line of `edge-run live` that gives these values.

    Args:
        given: Values by the name of the field, of `file`, of `config` or of options.
        local: Flags of places that must lie in the folder in which the command runs: the name is left of those that
            do not.
    """
    words = [str(given[MODEL.name])] if MODEL.name in given else []
    if "config" in given:
        words += ["--config", str(given["config"])]
    for one in (one for _, _, kind in groups() for one in described(kind) if one.name in given):
        flag, value = f"--{one.key}", given[one.name]
        if isinstance(value, bool):
            words.append(flag if value else f"--no-{one.key}")
        else:
            texts = [str(text) for text in value] if isinstance(value, tuple) else [str(value)]
            words += [word for text in texts for word in (flag, _inside(text) if flag in local else text)]
    return words


def _inside(place: str) -> str:
    """A place that begins in the folder that it is taken from, and stays there."""
    path = Path(place)
    return path.name if path.is_absolute() or ".." in path.parts else place


def options_of(values: Mapping[str, object]) -> LiveOptions:
    """The options that Typer has parsed.

    Args:
        values: Value by name of the parameter, of `model` and of every option.
    """
    return make_options(_fields(values))


def _fields(values: Mapping[str, object]) -> dict[str, object]:
    """Values by the name of the field, of every option of every group."""
    kinds = [kind for _, _, kind in groups()] + [ConsoleOptions]
    found = {one.name: _to_field(one, values[one.name]) for kind in kinds for one in described(kind)}
    return {MODEL.name: values["model"], **found}


def given_fields(context: typer.Context) -> set[str]:
    """Names of the fields that the command line sets."""
    # A value that equals the default was given all the same, and goes before that of the file.
    sources = {name: context.get_parameter_source(name) for name in context.params}
    names = {name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"}
    return {MODEL.name if name == "model" else name for name in names}


def given_values(context: typer.Context) -> dict[str, object]:
    """Values that the command line sets, by the name of the field or `config`."""
    values = {**_fields(context.params), "config": context.params["config"]}
    return {name: value for name, value in values.items() if name in given_fields(context)}


def _to_field(one: Described, value: object) -> object:
    return tuple(cast(list[str], value or ())) if one.type == MANY else value


def _parameters() -> Iterator[inspect.Parameter]:
    yield _parameter("context", typer.Context, inspect.Parameter.empty)
    argument = typer.Argument(metavar="MODEL", help=MODEL.option.help, show_default=False)
    yield _parameter("model", Annotated[Path | None, argument], None)
    for _, title, kind in groups():
        for one in described(kind):
            default = None if one.type == MANY else one.default
            yield _parameter(one.name, Annotated[_typed(one), _option(one, title)], default)
    yield _parameter("config", Config, None)
    yield _parameter("print_config", PrintConfig, False)
    for one in described(ConsoleOptions):
        yield _parameter(one.name, Annotated[one.type, _option(one, None)], one.default)


def _parameter(name: str, annotation: object, default: object) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _typed(one: Described) -> object:
    return list[str] | None if one.type == MANY else one.type


def _option(one: Described, title: str | None) -> object:
    offered = one.option
    return typer.Option(
        *([offered.flag] if offered.flag else []),
        help=offered.help,
        min=offered.minimum,
        max=offered.maximum,
        metavar=offered.metavar,
        rich_help_panel=title,
    )

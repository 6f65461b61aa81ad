"""The command line of `edge-run live`, made of `LiveOptions`: help texts, defaults and types stand there, once."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Final, cast

import typer

from edge_device.command_line.console import Debug, Json
from edge_device.live.options import Described, LiveOptions, described, groups

MANY: Final = tuple[str, ...]
"""The type of an option that may be given more than once."""

_Run = Callable[[LiveOptions, bool, bool], None]


def command_of(run: _Run) -> Callable[..., None]:
    """A function that Typer makes a command of, with a parameter for each option.

    Args:
        run: Called with the options, and whether `--json` and `--debug` were given; its docstring is the help text.
    """

    def command(**values: object) -> None:
        run(options_of(values), bool(values["as_json"]), bool(values["debug"]))

    parameters = list(_parameters())
    command.__doc__ = run.__doc__
    command.__signature__ = inspect.Signature(parameters, return_annotation=None)  # type: ignore[attr-defined]
    command.__annotations__ = {one.name: one.annotation for one in parameters}
    return command


def options_of(values: Mapping[str, object]) -> LiveOptions:
    """The options that Typer has parsed.

    Args:
        values: Value by name of the parameter, of `model` and of every option.
    """
    made = {
        name: kind(**{one.name: _to_field(one, values[one.name]) for one in described(kind)})
        for name, _, kind in groups()
    }
    return LiveOptions(cast(Path, values["model"]), **made)


def _to_field(one: Described, value: object) -> object:
    return tuple(cast(list[str], value or ())) if one.type == MANY else value


def _parameters() -> Iterator[inspect.Parameter]:
    yield _parameter(
        "model", Annotated[Path, typer.Argument(metavar="MODEL", help="A .tflite that edge-convert wrote.")]
    )
    for _, title, kind in groups():
        for one in described(kind):
            default = None if one.type == MANY else one.default
            yield _parameter(one.name, Annotated[_typed(one), _option(one, title)], default)
    yield _parameter("as_json", Json, False)
    yield _parameter("debug", Debug, False)


def _parameter(name: str, annotation: object, default: object = inspect.Parameter.empty) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _typed(one: Described) -> object:
    return list[str] | None if one.type == MANY else one.type


def _option(one: Described, title: str) -> object:
    offered = one.option
    return typer.Option(
        *([offered.flag] if offered.flag else []),
        help=offered.help,
        min=offered.minimum,
        max=offered.maximum,
        metavar=offered.metavar,
        rich_help_panel=title,
    )

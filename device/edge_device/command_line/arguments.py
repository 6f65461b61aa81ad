"""What the four commands have in common in reading their command lines."""

import re
import shlex
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from math import isfinite
from pathlib import Path
from typing import Any, ClassVar, Final

import typer
from typer.core import TyperGroup

from edge_device.command_line.narrow_help import CommandApp

_HINTS: Final = {
    "source": "one edge-run live looks through one camera: start a second one for the other, as a service with --name",
}

_UsageError: Final[Any] = typer.BadParameter.__base__
"""Click's, or that of the Typer which does without Click."""


class Commands(TyperGroup):
    """A group of commands that takes `@FILE` for the options in a file, and refuses an option that is given twice.

    Its help texts are wrapped by the terminal's width, wherever a docstring has its line ends. What is wrong with a
    command line is told in one line, as every other error is.
    """

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for command in self.commands.values():
            if command.help:
                command.help = unwrapped(command.help)

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        with _usage_errors_in_one_line(lambda: info_name or ""):
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: Any) -> Any:
        # What the parser of a command below raises does not say of which command it is.
        with _usage_errors_in_one_line(lambda: f"{ctx.command_path} {ctx.invoked_subcommand or ''}".rstrip()):
            return super().invoke(ctx)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        # Once, by the outermost command: a file may hold an @ of its own, which the commands below must not expand.
        return super().parse_args(ctx, expanded(args) if ctx.parent is None else args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        if command is not None:
            check_given(command, name or "", rest, ctx)
        return name, command, rest


class LazyCommands(Commands):
    """A group each of whose commands is imported when it is asked for: one needs little of what the others do.

    Attributes:
        places: Where each command is, `MODULE:NAME`: a function, or a Typer application with commands of its own.
        settings: Settings of a command's context, by the command's name.
    """

    places: ClassVar[Mapping[str, str]]
    settings: ClassVar[Mapping[str, dict[str, Any]]] = {}

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        # Click asks for nothing but the names of those that are not chosen: to guess what a misspelled one means.
        names: dict[str, Any] = dict.fromkeys(self.places)
        self.commands = names

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.places)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name in self.places and self.commands[cmd_name] is None:
            self.commands[cmd_name] = self._imported(cmd_name)
        return self.commands.get(cmd_name)

    def _imported(self, name: str) -> Any:
        module, _, attribute = self.places[name].partition(":")
        found = getattr(import_module(module), attribute)
        shelf = CommandApp(cls=Commands, rich_markup_mode="rich", pretty_exceptions_enable=False)
        shelf.callback()(_nothing)  # with a callback Typer makes a group even of one command
        if isinstance(found, typer.Typer):
            shelf.add_typer(found, name=name)
        else:
            shelf.command(name, context_settings=self.settings.get(name))(found)
        # Typer makes the Click command, which the outer group then hands out as its own.
        group: Any = typer.main.get_command(shelf)
        return group.commands[name]


def _nothing() -> None: ...


@contextmanager
def _usage_errors_in_one_line(command: Callable[[], str]) -> Iterator[None]:
    """Instead of Typer's box, which wraps a path or an option wherever the terminal ends."""
    try:
        yield
    except _UsageError as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # no error: the help text of a group without a command
            raise
        where = error.ctx.command_path if error.ctx else command()
        reason = " ".join(error.format_message().split()).removeprefix("Invalid value: ").rstrip(".")
        reason = reason.replace("Value error, ", "", 1)  # pydantic's name of the kind of error
        print(
            f"error: {reason}{'' if reason.endswith('?') else ';'} {where} --help tells what it takes",
            file=sys.stderr,
            flush=True,
        )
        raise SystemExit(error.exit_code) from None


def unwrapped(text: str) -> str:
    """Paragraphs, a line each, with an empty line between them."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in re.split(r"\n\s*\n", text))


def expanded(words: Sequence[str]) -> list[str]:
    """The words of a command line with `@FILE` replaced by what is in the file.

    A file has options as a shell would read them, over any number of lines; `#` begins a comment.

    Raises:
        typer.BadParameter: A file cannot be read, or has a quotation without an end.
    """
    found: list[str] = []
    for word in words:
        if len(word) > 1 and word[0] == "@":
            try:
                found += shlex.split(Path(word[1:]).read_text("utf-8"), comments=True)
            except (OSError, ValueError) as error:
                reason = getattr(error, "strerror", None) or error
                raise typer.BadParameter(
                    f"{word} stands for the options in the file {word[1:]}, which cannot be read: {reason}; "
                    f"a path that begins with @ is written ./{word}"
                ) from None
        else:
            found.append(word)
    return found


def parse_size(text: str, option: str) -> tuple[int, int]:
    """Width and height in pixels from `1280x720`.

    Raises:
        typer.BadParameter: It is no such text.
    """
    match = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", text, re.ASCII)
    if not match:
        raise typer.BadParameter(f"{text!r} is no size such as 1280x720", param_hint=option)
    return int(match[1]), int(match[2])


def check_given(command: Any, name: str, words: Sequence[str], parent: Any = None) -> None:
    """Checks that no option that takes a single value has several, and none that takes a number NaN or infinity.

    Args:
        command: The Click command that will parse `words`.
        name: Name of the command, for its context.
        words: Arguments of the command.
        parent: Context of the group that the command is in.

    Raises:
        typer.BadParameter: An option is given more than once, or is not finite.
    """
    # resilient_parsing: no callback runs and nothing is required, for this only looks.
    context = command.context_class(command, parent, info_name=name, resilient_parsing=True)
    context.allow_interspersed_args = command.allow_interspersed_args
    context.ignore_unknown_options = command.ignore_unknown_options
    try:
        # The third of the parser's results is the order in which parameters came, repetitions included.
        values, _, given = command.make_parser(context).parse_args(list(words))
    except Exception:  # noqa: BLE001 - whatever is wrong with the words, the command itself says it better
        return
    single = [
        one for one in given if one.param_type_name == "option" and not (one.multiple or one.is_flag or one.count)
    ]
    for option, times in Counter(single).items():
        if times > 1:
            hint = f"takes one value; {_HINTS.get(option.name, 'give it once')}"
            raise typer.BadParameter(f"{option.opts[0]} is given {times} times and {hint}", ctx=context)
    for option in given:
        if _takes_float(option):
            _refuse_endless(option, values.get(option.name), context)


def _takes_float(option: Any) -> bool:
    # Typer has the type in one attribute since it does without Click, and had it in another.
    described = getattr(option, "type_descriptor", None)
    return "float" in str(described.annotation if described else getattr(option, "type", ""))


def _refuse_endless(option: Any, words: object, context: Any) -> None:
    """NaN is neither below nor above any limit, and would come out somewhere else as a figure."""
    for word in words if isinstance(words, list | tuple) else [words]:
        try:
            finite = isfinite(float(str(word)))
        except ValueError:
            continue  # the command itself says what is no number
        if not finite:
            raise typer.BadParameter(f"{option.opts[0]} takes a finite number, not {word}", ctx=context)

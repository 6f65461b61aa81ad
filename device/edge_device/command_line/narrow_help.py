"""Help texts of commands on terminals of any width."""

import re
import shutil
from collections.abc import Callable
from typing import Any, Final

import typer
from typer.core import TyperCommand

TABLE_COLUMNS: Final = 100
"""Width of a terminal from which on options stand in a table: with 80 columns its five columns cut names of options
and, in the explanations, names of variables and addresses, and leave 17 columns for those."""

INDENT: Final = 4
"""Columns before what an option's values go on with in another line."""


class ListedCommand(TyperCommand):
    """A command whose help text lists the options where a table of them would cut their names."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        if shutil.get_terminal_size().columns >= TABLE_COLUMNS:
            super().format_help(ctx, formatter)
            return
        self.format_usage(ctx, formatter)
        self.format_help_text(ctx, formatter)
        self.format_options(ctx, formatter)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Writes each group of options under its heading, as the table has them."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            if record := parameter.get_help_record(ctx):
                usual = "Arguments" if parameter.param_type_name == "argument" else "Options"
                heading = getattr(parameter, "rich_help_panel", None) or usual
                groups.setdefault(heading, []).append(record)
        for heading, records in groups.items():
            with formatter.section(heading):
                formatter.write_dl([(_folded(names, formatter.width - INDENT), text) for names, text in records])


def _folded(names: str, width: int) -> str:
    """Names of an option with its values, over as many lines as they need: some networks' names take three."""
    lines = [""]
    for part in re.split(r"(?<=\|)", names):
        if lines[-1] and len(lines[-1]) + len(part) > width:
            lines.append(" " * INDENT)
        lines[-1] += part
    return "\n".join(lines)


class CommandApp(typer.Typer):
    """A Typer application of such commands."""

    def command(
        self, name: str | None = None, *, cls: type[TyperCommand] | None = None, **settings: Any
    ) -> Callable[[Any], Any]:
        return super().command(name, cls=cls or ListedCommand, **settings)

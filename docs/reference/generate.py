"""Writes reference/commands.md from the commands themselves: every subcommand, argument and option with its help text.

MkDocs runs it (plugin gen-files); the page exists only in the built site, so it cannot differ from the code.
"""

import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import mkdocs_gen_files
import typer

COMMANDS = {
    "edge-train": "edge_train.cli",
    "edge-convert": "edge_convert.cli",
    "edge-run": "edge_device.cli",
    "edge-bench": "edge_bench.cli",
}


def pages(name: str, command: Any, level: int) -> Iterator[str]:
    """A command and all commands below it, as Markdown."""
    context = command.context_class(command, info_name=name)
    yield f"{'#' * level} {name}\n"
    yield re.sub(r"\[/?bold\]", "`", command.help or "").strip() + "\n"
    if hasattr(command, "list_commands"):
        for child in command.list_commands(context):
            below = command.get_command(context, child)
            if below is not None and not below.hidden:
                yield from pages(f"{name} {child}", below, level + 1)
        return
    rows = [row for parameter in command.params if (row := record(parameter, context))]
    if rows:
        yield "| argument or option | meaning |\n|---|---|\n" + "\n".join(rows) + "\n"


def record(parameter: Any, context: Any) -> str:
    """One row of the table: the names of a parameter, its help text and its default; empty for a hidden one."""
    if getattr(parameter, "hidden", False):
        return ""
    found = parameter.get_help_record(context)
    if not found:
        return ""
    names, text = found
    return f"| `{names}` | {cell(text).replace('<', '&lt;')} |"


def cell(text: str) -> str:
    """Text that stays inside one cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")


with mkdocs_gen_files.open("reference/commands.md", "w") as page:
    page.write("# Commands\n\nGenerated from the commands themselves; `--help` prints the same.\n\n")
    for name, module in COMMANDS.items():
        page.write("\n".join(pages(name, typer.main.get_command(import_module(module).app), 2)) + "\n")

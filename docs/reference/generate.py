"""Writes reference/commands.md and reference/configuration.md from the commands themselves, with their help texts.

MkDocs runs it (plugin gen-files); the pages exist only in the built site, so they cannot differ from the code.
"""

import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import mkdocs_gen_files
import typer

from edge_device.live.configuration.config_file import options
from edge_device.live.configuration.toml_text import toml_value
from edge_device.live.configuration.typed_values import type_name

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
    yield re.sub(r"^Example: (.*)$", r"Example: `\1`", command.help or "", flags=re.MULTILINE).strip() + "\n"
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


def keys() -> Iterator[str]:
    """Every key of a configuration file of `edge-run live`, as Markdown."""
    yield "| key | type | default | meaning |\n|---|---|---|---|"
    for one in options().values():
        kind = type_name(one)
        value = str(one.default) if isinstance(one.default, Path) else one.default
        default = "" if value in (None, ()) else f"`{toml_value(value)}`"
        once = " Before the first table only." if one.option.shared else ""
        yield f"| `{one.key}` | {kind} | {default} | {cell(one.option.help).replace('<', '&lt;')}{once} |"


with mkdocs_gen_files.open("reference/configuration.md", "w") as page:
    page.write(
        "# Keys of a configuration file\n\nGenerated from the description that the command line is made of, too. "
    )
    page.write("[How to use one](../how-to/live.md#options-in-a-file).\n\n" + "\n".join(keys()) + "\n")

with mkdocs_gen_files.open("reference/commands.md", "w") as page:
    page.write("# Commands\n\nGenerated from the commands themselves; `--help` prints the same.\n\n")
    for name, module in COMMANDS.items():
        page.write("\n".join(pages(name, typer.main.get_command(import_module(module).app), 2)) + "\n")

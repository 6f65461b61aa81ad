"""Every command in the Markdown files parses against the commands there are, and every link within them leads
somewhere."""

import re
import runpy
import shlex
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Final

import pytest

from .test_advice import APPS, HANDED_ON, OWN_PARSER, command_of

ROOT: Final = Path(__file__).parents[1]
PAGES: Final = sorted({*ROOT.glob("*.md"), *ROOT.glob("[a-z]*/README.md"), *(ROOT / "docs").rglob("*.md")})
GENERATED: Final = {"commands.md", "configuration.md"}
"""Pages that exist only in the built site."""

_CODE: Final = re.compile(r"(?:^ {4,}(\S[^\n]*)$)|(?:^```[^\n]*\n(.*?)^```)", re.MULTILINE | re.DOTALL)
_LINK: Final = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def code_lines(text: str) -> Iterator[str]:
    """Lines of the indented and fenced blocks of a page; a line that ends in a backslash is joined with the next
    one."""
    for match in _CODE.finditer(text.replace("\\\n", " ")):
        yield from (match[1] or match[2]).splitlines()


def commands(text: str) -> Iterator[list[str]]:
    """Words of each command of ours in a page's code, from its name on."""
    for line in code_lines(text):
        found = re.match(r"(?:sudo )?(?:pi/bin/)?(edge-(?:run|convert|train|bench)\s.*)", line)
        if found:
            plain = re.sub(r"\$\(.*?\)", "FILE", found[1])
            yield shlex.split(plain.partition(" | ")[0].partition(" > ")[0], comments=True)


def faults(words: list[str]) -> list[str]:
    """What keeps a command from being parsed: a command, an option, a value or an argument that it does not take."""
    name, *rest = words
    path, command = command_of(APPS[name], name, [word for word in rest if not word.startswith("-")])
    if command is None or hasattr(command, "commands"):
        return [f"{' '.join(path)} is not a command"]
    given = [word for word in rest[len(path) - 1 :] if not word.startswith("@")]
    if path[:2] in OWN_PARSER:
        options = {word for word in given if word.startswith("-")}
        return [f"no option {word}" for word in sorted(options - OWN_PARSER[path[:2]])]
    if path in HANDED_ON:
        own = {option for parameter in command.params for option in parameter.opts if option.startswith("-")}
        while at := [index for index, word in enumerate(given) if word in own]:
            del given[at[0] : at[0] + 2]
        _, command = command_of(APPS["edge-run"], "edge-run", ["live"])
    try:
        command.make_context(path[-1], given)
    except Exception as error:  # noqa: BLE001 - whatever the parser says, of whichever click Typer brings
        return [getattr(error, "message", None) or repr(error)]
    return []


def anchors(text: str) -> set[str]:
    """Anchors of a page's headings, as Python-Markdown and GitHub make them."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    return {re.sub(r"\s+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower()) for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_parse(page: Path) -> None:
    wrong = [f"{shlex.join(words)}: {why}" for words in commands(page.read_text("utf-8")) for why in faults(words)]
    assert not wrong, "\n".join(wrong)


def test_there_are_commands_to_parse() -> None:
    assert sum(1 for page in PAGES for _ in commands(page.read_text("utf-8"))) > 100


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_lead_somewhere(page: Path) -> None:
    text = page.read_text("utf-8")
    wrong = []
    for link in _LINK.findall(text):
        if re.match(r"[a-z]+:", link):
            continue
        file, _, anchor = link.partition("#")
        target = page.parent / file if file else page
        if target.name in GENERATED:
            continue
        if not target.exists() or (anchor and anchor not in anchors(target.read_text("utf-8"))):
            wrong.append(link)
    assert not wrong, wrong


def uneven_rows(text: str) -> Iterator[str]:
    """Rows of the tables of a page that have not as many cells as the heading of their table."""
    heading = 0
    for line in _CODE.sub("", text).splitlines():
        row = line.strip()
        # As GitHub counts them: a bar parts cells wherever it stands, unless a backslash is before it.
        cells = len(re.findall(r"(?<!\\)\|", row)) - 1 if row.startswith("|") else 0
        heading = cells and (heading or cells)
        if cells != heading or (cells and not row.endswith("|")):
            yield row


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_row_of_a_table_has_as_many_cells_as_its_heading(page: Path) -> None:
    assert not list(uneven_rows(page.read_text("utf-8")))


def test_a_row_that_was_pasted_into_another_would_be_found() -> None:
    table = "| a | b |\n|---|---|\n| `x \\| y` | 1 |\n"
    assert list(uneven_rows(f"{table}\nText.\n\n| c |\n|---|\n| 1 |\n")) == []
    assert list(uneven_rows(f"{table}| 0.4 s | `one.py` | what? |\n| `two.py` |\n")) == [
        "| 0.4 s | `one.py` | what? |",
        "| `two.py` |",
    ]


def test_generated_pages_have_every_option(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "reference").mkdir()
    written = SimpleNamespace(open=lambda name, mode: (tmp_path / name).open(mode, encoding="utf-8"))
    monkeypatch.setitem(sys.modules, "mkdocs_gen_files", written)
    runpy.run_path(str(ROOT / "docs" / "reference" / "generate.py"))
    assert {page.name for page in (tmp_path / "reference").iterdir()} == GENERATED
    keys = (tmp_path / "reference" / "configuration.md").read_text("utf-8")
    assert re.search(r'^\| `update-folder` \|.*\| `"updates"` \|', keys, re.MULTILINE)
    assert "--smoothing" in (tmp_path / "reference" / "commands.md").read_text("utf-8")


FOLDERS: Final = ("device", "train", "convert", "benchmarks")
"""Folders of packages, each with a README."""


def test_readmes_say_what_every_folder_of_a_package_does() -> None:
    missing = []
    for folder in FOLDERS:
        text = (ROOT / folder / "README.md").read_text("utf-8")
        packages = sorted(module.parent for module in (ROOT / folder).glob("*/*/__init__.py"))
        assert packages
        names = [str(package.relative_to(ROOT / folder)) for package in packages]
        missing += [f"{folder}/{name}" for name in names if f"`{name}/`" not in text]
    assert not missing


def test_contributing_has_the_layers_that_are_checked() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    rows = dict(re.findall(r"^\| `(edge_\w+)` \|.*\| ([^|]*) \|$", text, re.MULTILINE))
    for contract in (one for one in contracts if "containers" in one):
        written = [
            [part.strip() for part in layer.split("`") if part.strip(" ,")]
            for layer in rows[contract["containers"][0]].split(">")
        ]
        checked = [re.split(r"[ :|]+", layer) for layer in contract["layers"] if layer != "__main__"]
        assert written == checked, contract["containers"]
    checked = [
        re.split(r"[ :|]+", layer) for layer in next(one for one in contracts if one["type"] == "layers")["layers"]
    ]
    line = next(line for line in text.splitlines() if line.startswith("    train/edge_studio"))
    assert [
        [part.split("/")[-1] for part in re.split(r"[ |]+", layer.strip())] for layer in line.split(" > ")
    ] == checked


def test_targets_of_make_exist() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    rules = re.findall(r"^([a-z][^=:\n]*):(?!=)", makefile, re.MULTILINE)
    targets = {target for rule in rules for target in rule.split()}
    named = {
        (str(page.relative_to(ROOT)), target)
        for page in PAGES
        for target in re.findall(r"(?:^ {4,}|`)make\s+([a-z][\w-]*)", page.read_text("utf-8"), re.MULTILINE)
    }
    assert len(named) > 20
    assert not {where for where in named if where[1] not in targets}


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("edge-train fit photos/ --out runs/x", False),
        ("edge-train fit --out runs/x", True),
        ("edge-train fit photos/ more/", True),
        ("edge-train fit photos/ --augment snow", True),
        ("edge-train fit photos/ --epochs many", True),
        ("edge-train fit photos/ --epoch", True),
        ("edge-train explain heatmap run a.jpg --photos 3", False),
        ("edge-train explain", True),
        ("edge-train doctor --fix", True),
        ("edge-run live m.tflite @porch.txt", False),
        ("sudo pi/bin/edge-run service install m.tflite --name x --source 0", False),
        ("sudo pi/bin/edge-run service install m.tflite --sauce 0", True),
    ],
)
def test_a_wrong_command_would_be_found(line: str, wrong: bool) -> None:
    assert bool([why for words in commands(f"\n    {line}\n") for why in faults(words)]) is wrong

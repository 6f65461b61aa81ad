"""Every command that is printed as advice, in an error, a help text or by the doctor, is one that works."""

import ast
import re
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Final

import pytest
import typer

from edge_bench.cli import app as edge_bench
from edge_convert.cli import app as edge_convert
from edge_device.cli import app as edge_run
from edge_train.cli import app as edge_train

ROOT: Final = Path(__file__).parents[1]
PACKAGES: Final = ("device", "convert", "train", "benchmarks/edge_bench")
APPS: Final = {"edge-run": edge_run, "edge-convert": edge_convert, "edge-train": edge_train, "edge-bench": edge_bench}

OWN_PARSER: Final[dict[tuple[str, ...], set[str]]] = {
    ("edge-run", "doctor"): {"--json", "--model"},
    ("edge-train", "doctor"): {"--json"},
}
"""Commands that Typer only lists: which options they have."""

HANDED_ON: Final = {("edge-run", "service", "install"), ("edge-run", "service", "show")}
"""Commands whose last options are those of `edge-run live`."""

PIP: Final = {
    *("ai-edge-litert", "edge-mobilenet", "opencv-python", "tflite-runtime", "tensorflow", "tensorflow-datasets"),
    *("onnxruntime", "mediapipe", "libclang", "numpy<2", "tensorboard", "pillow-heif", "tf-keras", "torch"),
}
APT: Final = {
    *("libgl1", "libglib2.0-0", "libatomic1", "python3-picamera2", "zram-tools", "edgetpu-compiler", "gasket-dkms"),
    *(
        "./libedgetpu1-std_*.deb",
        "./gasket-dkms_*.deb",
        "openssh-server",
        "openssh-client",
        "mosquitto",
        "gcc",
        "chromium",
    ),
    *("qemu-user", "qemu-user-static", "qemu-system-arm", "linux-perf", "python3-venv", "v4l-utils"),
}
_COMMAND: Final = re.compile(r"\b(edge-(?:run|convert|train|bench)) ((?:(?!: )[^\n`;])*)")
_INSTALL: Final = re.compile(r"\b(?:(pip) install|(apt) install) ((?:\S+ ?)+)")


@cache
def texts() -> list[tuple[str, str]]:
    """Place and content of every string in the packages; what is filled in later is an X."""
    found = []
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            nodes = list(ast.walk(ast.parse(path.read_text("utf-8"))))
            inside = {id(part) for node in nodes if isinstance(node, ast.JoinedStr) for part in ast.walk(node)}
            for node in nodes:
                text = _text(node) if id(node) not in inside or isinstance(node, ast.JoinedStr) else None
                if text is not None:
                    found.append((f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}", text))
    return found


def _text(node: ast.AST) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values)
    return None


built: Final = cache(typer.main.get_command)
"""An app's command: it is built of all its options, which takes longer than to look one of them up."""


def command_of(app: typer.Typer, name: str, words: list[str]) -> tuple[tuple[str, ...], Any]:
    """The command that words name, and its object; None if there is none."""
    command: Any = built(app)
    path = [name]
    while words and getattr(command, "commands", None):
        word = words.pop(0)
        command = command.get_command(None, word)
        path.append(word)
    return tuple(path), registered(tuple(path)) or command


def registered(path: tuple[str, ...]) -> Any:
    """The object of a command that another package has registered; None of any other."""
    groups = {"edge-run": "edge_mobilenet.run_commands", "edge-train": "edge_mobilenet.train_commands"}
    if len(path) != 2 or path[0] not in groups:
        return None
    for entry in entry_points(group=groups[path[0]], name=path[1]):
        command: Any = built(entry.load())
        return command.get_command(None, path[1]) if hasattr(command, "commands") else command
    return None


def wrong_options(line: str) -> list[str]:
    """What is not right of a line that begins with one of our commands; empty if it does not look like a command."""
    name, rest = line.split(" ", 1)
    words = [word.strip("[]'\",.:()") for word in rest.split()]
    if not words or not re.fullmatch(r"[a-z][a-z-]+", words[0]):
        return []
    options = [word.partition("=")[0] for word in words if re.match(r"--[a-z]", word)]
    path, command = command_of(APPS[name], name, [word for word in words if not word.startswith("-")])
    if command is None:
        # A sentence about the command, "edge-run tells …": only what has options is surely meant to be typed.
        return [f"{' '.join(path)} is not a command"] if options else []
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    known |= {"--help", *OWN_PARSER.get(path[:2], ())}
    if path in HANDED_ON:
        _, live = command_of(edge_run, "edge-run", ["live"])
        known |= {option for parameter in live.params for option in parameter.opts}
    return [f"{' '.join(path)} has no {option}" for option in options if option not in known]


def test_advised_commands_and_their_options_are_there() -> None:
    found = [(place, match[0]) for place, text in texts() for match in _COMMAND.finditer(text)]
    assert len(found) > 80  # else this looks at nothing
    wrong = [f"{place}: {why}: {line}" for place, line in found for why in wrong_options(line)]
    assert not wrong, "\n".join(wrong)


def test_advised_packages_are_known() -> None:
    wrong = []
    for place, text in texts():
        for match in _INSTALL.finditer(text):
            known = PIP if match[1] else APT
            package = next(
                (word.strip("'\"`,;:)").rstrip(".") for word in match[3].split() if not word.startswith("-")), ""
            )
            if package in ("X", "") or not re.search("[a-z]", package):
                continue
            if re.sub(r"[\[=>].*", "", package) not in known:
                wrong.append(f"{place}: {package!r} in {match[0]!r}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("edge-convert adopt X --cpu X.tflite", []),
        ("edge-convert adopt X --device coral", ["edge-convert adopt has no --device"]),
        ("edge-convert adapt X --cpu X", ["edge-convert adapt is not a command"]),
        ("edge-run doctor --model X", []),
        ("edge-run service install X --source 0", []),
        ("edge-run service install X --sauce 0", ["edge-run service install has no --sauce"]),
    ],
)
def test_a_wrong_advice_would_be_found(line: str, wrong: list[str]) -> None:
    assert wrong_options(line) == wrong

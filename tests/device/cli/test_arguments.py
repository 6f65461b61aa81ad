from importlib import import_module
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from edge_device.cli import app
from edge_device.cli.service_command import _parsed
from edge_device.command_line.arguments import expanded, unwrapped

TINY = "MODEL.tflite"


@pytest.mark.parametrize(
    "words",
    [
        [TINY, "--source", "0", "--web", "8080"],
        ["--source", "0", TINY, "--web", "8080"],
        ["--source", "0", "--web", "8080", TINY],
    ],
)
def test_a_services_model_may_stand_anywhere(words: list[str]) -> None:
    assert _parsed(words) == (Path(TINY), ["--source", "0", "--web", "8080"])


def test_a_services_name_may_follow_the_model() -> None:
    found = CliRunner().invoke(app, ["service", "show", "missing.tflite", "--name", "No Name", "--source", "0"])
    assert "is no name for a service" in found.output


@pytest.mark.parametrize("words", [["live"], ["service", "show"]])
def test_a_second_camera_is_refused_and_not_taken_for_the_first(words: list[str]) -> None:
    found = CliRunner().invoke(app, [*words, TINY, "--source", "0", "--source", "1"], terminal_width=200)
    assert found.exit_code == 2
    assert "--source is given 2 times" in found.output and "start a second one" in found.output


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("edge_train.cli", ["fit", "x", "--mixup", "nan"]),
        ("edge_train.cli", ["fit", "x", "--remember=NaN"]),
        ("edge_train.cli", ["fit", "x", "--learning-rate", "inf"]),
        ("edge_train.cli", ["fit", "x", "--adversarial-epsilon", "inf"]),
        ("edge_train.cli", ["explain", "adversarial", "x", "y", "--epsilon", "nan"]),
        ("edge_convert.cli", ["export", "x", "--max-drop", "nan"]),
        ("edge_convert.cli", ["export-backbone", "--alpha", "nan"]),
        ("edge_bench.cli", ["choose", "x", "--alpha", "0.5", "--alpha", "1e999"]),
        ("edge_device.cli", ["collect", "x", "--every", "inf"]),
        ("edge_device.cli", ["live", TINY, "--source", "0", "--max-fps", "nan"]),
        ("edge_device.cli", ["service", "show", TINY, "--source", "0", "--max-fps", "nan"]),
    ],
)
def test_nan_and_infinity_are_no_numbers_for_any_option(module: str, words: list[str]) -> None:
    found = CliRunner().invoke(import_module(module).app, words, terminal_width=200)
    assert found.exit_code == 2
    option = next(word for word in reversed(words) if word.startswith("--")).partition("=")[0]
    assert found.output.startswith(f"error: {option} takes a finite number, not ") and found.output.count("\n") == 1


@pytest.mark.parametrize(
    ("module", "words", "told"),
    [
        ("edge_bench.cli", ["run", "x", "--seconds"], "Option '--seconds' requires an argument; edge-x run --help"),
        (
            "edge_device.cli",
            ["snapshots", "pul"],
            "No such command 'pul'. Did you mean 'pull'? edge-x snapshots --help",
        ),
    ],
)
def test_what_is_wrong_is_told_with_the_command_that_takes_it(module: str, words: list[str], told: str) -> None:
    found = CliRunner().invoke(import_module(module).app, words, prog_name="edge-x")
    assert (found.exit_code, found.output) == (2, f"error: {told} tells what it takes\n")


def test_what_a_library_calls_its_errors_is_not_told() -> None:
    found = CliRunner().invoke(
        import_module("edge_convert.cli").app, ["export", "run", "--recipe", "int9", "--out", "x"]
    )
    assert found.exit_code == 2
    assert "'int9' is not one of" in found.output and "Value error" not in found.output


def test_a_text_may_be_nan() -> None:
    said = CliRunner().invoke(app, ["collect", "x", "--label", "nan"], terminal_width=200).output
    assert "finite" not in said


def test_an_option_that_may_be_repeated_still_may_be() -> None:
    found = CliRunner().invoke(app, ["live", TINY, "--zone", "a=0,0,1,1", "--zone", "b=0,0,1,1"], terminal_width=200)
    assert "times" not in found.output


def test_options_are_read_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "porch").write_text("--source picamera  # over the door\n--threshold 'black cat=0.8'\n")
    assert expanded(["live", TINY, f"@{tmp_path}/porch", "--json"]) == [
        "live",
        TINY,
        *("--source", "picamera", "--threshold", "black cat=0.8"),
        "--json",
    ]
    with pytest.raises(typer.BadParameter, match="cannot be read"):
        expanded(["live", f"@{tmp_path}/none"])
    assert "stands for the options" in CliRunner().invoke(app, ["live", "@none.txt"], terminal_width=200).output


def test_a_help_text_breaks_where_its_paragraphs_end_and_nowhere_else() -> None:
    assert unwrapped("Show it.\n\n  The first\n  half.\n\nExample: x") == "Show it.\n\nThe first half.\n\nExample: x"
    assert "verified and taken up" in CliRunner().invoke(app, ["live", "--help"]).output  # in one line of the terminal

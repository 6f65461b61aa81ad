"""The scripts that answer a question each: what they do with a command line that lacks something."""

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

SCRIPTS: Final = Path(__file__).parents[2] / "benchmarks" / "experiments"


def seed_table(*words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(SCRIPTS / "seed_table.py"), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("script", sorted(SCRIPTS.glob("*.py")), ids=lambda path: path.stem)
def test_a_script_leaves_its_command_line_to_a_parser(script: Path) -> None:
    """One that reads `sys.argv` by itself prints nothing where it is given nothing, or a traceback."""
    names = {node.attr for node in ast.walk(ast.parse(script.read_text("utf-8"))) if isinstance(node, ast.Attribute)}
    assert "argv" not in names or names & {"parse_args", "parse_known_args"}


def test_the_table_of_seeds_needs_reports_and_makes_a_row_of_those_of_one_network(tmp_path: Path) -> None:
    without = seed_table()
    assert (without.returncode, without.stdout) == (2, "") and "required: RUN.report.json" in without.stderr
    for seed, share in enumerate((0.5, 0.7)):
        card = {"dataset": {"name": "flowers", "split_seed": seed}, "backbone": {"name": "MobileNetV2"}}
        found = {name: {"value": share} for name in ("full_size", "converted", "agreement")} | {"photos": 40 + seed}
        report = {"card": card, "recipe": "int8", "comparison": found}
        (tmp_path / f"{seed}.report.json").write_text(json.dumps(report))
    told = seed_table(*map(str, tmp_path.glob("*.json"))).stdout.splitlines()
    assert told[0] == "flowers, MobileNetV2, splits 0, 1, 40, 41 test photos, in %:"
    assert told[2] == "  int8: 60.0 ± 14.1 (50.0, 70.0)"

from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_bench.instructions import CPUS, Cost, Stage, from_csv, parse_cpus, risen, to_csv
from edge_bench.instructions_table import instruction_lines
from edge_core.errors import ReportError, SettingsError

words = st.text(st.characters(blacklist_categories=("Cs", "Cc")))
counts = st.integers(0, 10**12)
costs = st.builds(
    Cost, words, st.sampled_from(CPUS), st.sampled_from(get_args(Stage)), words, st.integers(1, 10**12), counts, counts,
    counts, counts,
)  # fmt: skip

INT8 = Cost("int8", "cortex-a72", "inference", "1280x720 to 160x160", 58_000_000, 0, 320, 20_000_000, 11_000_000)


@given(st.lists(costs))
def test_what_is_written_is_read_back(table: list[Cost]) -> None:
    assert from_csv(to_csv(table)) == table


@given(st.text())
def test_another_file_is_a_clear_error(text: str) -> None:
    with pytest.raises(ReportError, match="a table of instructions begins with model,cpu,stage"):
        from_csv(text)


@pytest.mark.parametrize("row", ["int8,cortex-a72", "int8,cortex-a72,inference,x,many,0,0,0,0", "a,b,c,d,0,0,0,0,0"])
def test_a_damaged_row_is_a_clear_error(row: str) -> None:
    with pytest.raises(ReportError, match="a table of instructions has"):
        from_csv(to_csv([INT8]) + row + "\n")


def test_what_has_risen_by_more_than_the_limit_is_found() -> None:
    dearer = replace(INT8, instructions=59_200_000)
    assert risen([INT8], [dearer], limit=0.03) == []
    (change,) = risen([INT8], [dearer], limit=0.02)
    assert change.before == INT8 and change.now == dearer
    assert risen([dearer], [INT8], limit=0.0) == []


def test_a_comparison_with_nothing_in_common_does_not_pass() -> None:
    with pytest.raises(ReportError, match="nothing in the table"):
        risen([INT8], [replace(INT8, model="other")], limit=0.02)


def test_cores_are_named() -> None:
    assert parse_cpus(None) == CPUS
    assert parse_cpus(["cortex-a76"]) == ("cortex-a76",)
    with pytest.raises(SettingsError, match=r"'m4' is not one of cortex-a72, cortex-a76"):
        parse_cpus(["m4"])


def test_the_table_says_that_it_is_no_time_and_what_has_changed() -> None:
    text = instruction_lines([replace(INT8, instructions=58_580_000)], [INT8])
    assert "no time" in text.splitlines()[0]
    assert "58.58" in text and "+1.00%" in text

import csv
import io
import json
import re
import shutil
import subprocess
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from edge_bench.arm.instructions import (
    CPUS,
    InstructionCost,
    Stage,
    changes,
    count_instructions,
    from_csv,
    parse_cpus,
    risen,
    to_csv,
    to_json,
)
from edge_bench.render import instructions_table
from edge_bench.render.instructions_table import instruction_lines
from edge_core.errors import ReportError, SettingsError

from ...programs import needs

words = st.text(st.characters(blacklist_categories=("Cs", "Cc")))
counts = st.integers(0, 10**12)
costs = st.builds(
    InstructionCost, words, st.sampled_from(CPUS), st.sampled_from(get_args(Stage)), words, st.integers(1, 10**12),
    counts, counts, counts, counts, words,
)  # fmt: skip

INT8 = InstructionCost(
    "int8", "cortex-a72", "inference", "1280x720 to 160x160", 58_000_000, 0, 320, 20_000_000, 11_000_000, "litert 1"
)
PREPROCESSING = replace(INT8, stage="preprocessing", instructions=2_000_000)
FLOAT32 = replace(INT8, model="float32", instructions=88_000_000)
FRAME = [PREPROCESSING, INT8]
FRAMES = [*FRAME, replace(PREPROCESSING, model="float32"), FLOAT32]


@given(st.lists(costs))
def test_what_is_written_is_read_back(table: list[InstructionCost]) -> None:
    assert from_csv(to_csv(table)) == table


@given(st.text())
def test_another_file_is_a_clear_error(text: str) -> None:
    with pytest.raises(ReportError, match="a table of instructions begins with model,cpu,stage"):
        from_csv(text)


@pytest.mark.parametrize(
    "row",
    [
        "int8,cortex-a72",
        "int8,cortex-a72,inference,x,many,0,0,0,0,litert 1",
        "a,b,c,d,0,0,0,0,0,litert 1",
        "a,b,c,d,1,0,0,0,0",
        "a,b,c,d,1,0,0,0,0,litert 1,more",
    ],
)
def test_a_damaged_row_is_a_clear_error(row: str) -> None:
    with pytest.raises(ReportError, match="a table of instructions has"):
        from_csv(to_csv([INT8]) + row + "\n")


def test_the_table_on_disk_is_one_that_other_programs_read() -> None:
    (row,) = csv.DictReader(io.StringIO(to_csv([INT8])))
    assert row["instructions"] == "58000000" and row["integer_multiply"] == "20000000" and row["versions"] == "litert 1"


def test_what_has_risen_by_more_than_the_limit_is_found() -> None:
    dearer = replace(INT8, instructions=59_200_000)
    changed = changes([INT8], [dearer])
    assert risen(changed, limit=0.03) == []
    (change,) = risen(changed, limit=0.02)
    assert change.before == INT8 and change.now == dearer
    assert str(change) == "int8 inference on cortex-a72: +2.069%"
    assert risen(changes([dearer], [INT8]), limit=0.0) == []


def test_a_comparison_with_nothing_in_common_does_not_pass() -> None:
    with pytest.raises(ReportError, match="nothing in the table"):
        changes([INT8], [FLOAT32])
    assert changes([], [INT8]) == []


def test_cores_are_named() -> None:
    assert parse_cpus(None) == CPUS
    assert parse_cpus(["cortex-a76"]) == ("cortex-a76",)
    with pytest.raises(SettingsError, match=r"'m4' is not one of cortex-a72, cortex-a76"):
        parse_cpus(["m4"])


def test_two_files_of_the_same_name_are_refused_before_anything_is_counted(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"old/int8\.tflite and .*new/int8\.tflite have the same name"):
        count_instructions([tmp_path / "old/int8.tflite", tmp_path / "new/int8.tflite"])


def test_the_table_says_that_it_is_not_time_and_compares_with_the_first_model() -> None:
    lines = instruction_lines(FRAMES).splitlines()
    assert "not time" in lines[0] and "Frames of 1280x720" in lines[1] and "litert 1" in lines[1]
    int8, float32 = (next(line.split() for line in lines if line.startswith(name)) for name in ("int8", "float32"))
    assert int8[1:7] == ["160x160", "2.00", "58.00", "60.00", "1.00", "█" * 11 + "░" * 5]
    assert float32[1:7] == ["160x160", "2.00", "88.00", "90.00", "1.50", "█" * 16]
    assert not any("change" in line for line in lines)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_table_fits_and_no_number_is_cut(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instructions_table, "terminal", lambda: Console(width=width))
    now = [replace(cost, instructions=cost.instructions * 101 // 100) for cost in FRAMES]
    text = instruction_lines(now, changes(FRAMES, now))
    assert max(map(len, text.splitlines())) <= width
    shown = re.findall(r"[-+]?\d[\d.]*\d%?", text)
    for cost in now:
        assert "+1.000%" in shown
        assert cost.stage == "preprocessing" or f"{cost.instructions / 1e6:.2f}" in shown
    assert ("Left out" in text) == (width < 120)


def test_each_core_has_a_first_model_of_its_own() -> None:
    others = [replace(cost, cpu="cortex-a76", instructions=cost.instructions // 2) for cost in FRAMES]
    assert instruction_lines([*FRAMES, *others]).count("  1.00  █") == 2


def test_the_table_says_what_has_changed_and_what_is_new() -> None:
    now = [replace(cost, instructions=cost.instructions * 101 // 100, versions="litert 2") for cost in FRAMES]
    text = instruction_lines(now, changes([INT8], now))
    assert "Largest change of 1 counts: int8 inference on cortex-a72: +1.000%" in text
    assert "3 counts are not in the table of before" in text
    assert "Before with litert 1" in text
    assert text.count("new") == 3


def test_json_says_what_it_counts_and_how_it_has_changed() -> None:
    told = json.loads(json.dumps(to_json(FRAME, changes([INT8], FRAME))))
    assert "not time" in told["unit"]
    assert [row.get("change") for row in told["costs"]] == [None, 0.0]
    assert told["costs"][1]["instructions"] == 58_000_000


KINDS = {
    "sdot v0.4s, v1.16b, v2.16b": (0x4E829420, "dot"),
    "udot v0.2s, v1.8b, v2.4b[1]": (0x2FA2E020, "dot"),
    "fmla v0.4s, v1.4s, v2.4s": (0x4E22CC20, "float"),
    "fmla v0.4s, v1.4s, v2.s[3]": (0x4FA21820, "float"),
    "fmla v0.8h, v1.8h, v2.8h": (0x4E420C20, "float"),
    "fmla v0.8h, v1.8h, v2.h[7]": (0x4F321820, "float"),
    "smull v0.8h, v1.8b, v2.8b": (0x0E22C020, "integer"),
    "smull2 v0.4s, v1.8h, v2.h[0]": (0x4F42A020, "integer"),
    "smlal v0.4s, v1.4h, v2.4h": (0x0E628020, "integer"),
    "umlal2 v0.4s, v1.8h, v2.h[5]": (0x6F522820, "integer"),
    "ldr x0, [x1]": (0xF9400020, "memory"),
    "str q0, [x0, #16]": (0x3D800400, "memory"),
    "ldp x29, x30, [sp], #16": (0xA8C17BFD, "memory"),
    "ld1 {v0.16b}, [x0]": (0x4C407000, "memory"),
    "add x0, x1, x2": (0x8B020020, ""),
    "fadd v0.4s, v1.4s, v2.4s": (0x4E22D420, ""),
    "fmul v0.4s, v1.4s, v2.4s": (0x6E22DC20, ""),
    "mla v0.4s, v1.4s, v2.4s": (0x4EA29420, ""),
    "fmadd s0, s1, s2, s3": (0x1F020C20, ""),
    "b .": (0x14000000, ""),
}
"""Instructions, their encodings as LLVM has them, and of what kind they are."""

HARNESS = r"""
#include "count.c"
struct qemu_plugin_insn { uint32_t word; } insns[] = { %s };
void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id, on_translation *f) { (void)id, (void)f; }
void qemu_plugin_register_vcpu_syscall_cb(plugin_id id, on_syscall *f) { (void)id, (void)f; }
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *b, int op, void *where, uint64_t what)
{ (void)b, (void)op; *(uint64_t *)where += what; }
static size_t at;
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *b) { (void)b; return 1; }
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *b, size_t i)
{ (void)b, (void)i; return &insns[at]; }
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn) { return &insn->word; }
int main(void)
{
    out = stdout;
    for (; at < sizeof insns / sizeof *insns; at++) {
        translated(0, 0);
        called(0, 0, GETSID, at, 0, 0, 0, 0, 0, 0, 0);
    }
    return 0;
}
"""


@needs("gcc")
def test_the_plugin_knows_each_kind_of_instruction(tmp_path: Path) -> None:
    with resources.as_file(resources.files("edge_bench.arm") / "count.c") as source:
        shutil.copy(source, tmp_path)
    (tmp_path / "harness.c").write_text(HARNESS % ", ".join(f"{{ {word} }}" for word, _ in KINDS.values()))
    subprocess.run(["gcc", "-o", tmp_path / "harness", tmp_path / "harness.c"], check=True)
    said = subprocess.run([tmp_path / "harness"], check=True, capture_output=True, text=True).stdout
    for line, (text, (_, kind)) in zip(said.splitlines(), KINDS.items(), strict=True):
        _, every, *kinds = map(int, line.split())
        assert every == 1
        assert kinds == [int(kind == one) for one in ("dot", "float", "integer", "memory")], text

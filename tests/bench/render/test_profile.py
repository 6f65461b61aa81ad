"""The profiler of LiteRT on real files, and what is made of its events."""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_bench.profiling import profile as profiling
from edge_bench.profiling.profile import Profile, ProfilerEvent, assign, count_partitions, match, midmean, profile
from edge_bench.render.profile_table import print_profile
from edge_convert.tflite.graph import Graph, Operator, read_graph
from edge_core.errors import ModelFormatError, RuntimeMissingError

MODELS = Path(__file__).parents[2] / "models"


@pytest.mark.parametrize("kind", ["uint8", "float32"])
def test_the_steps_are_the_operators_of_the_graph(tiny_model: Callable[..., Path], kind: str) -> None:
    file = tiny_model(kind)
    graph = read_graph(file.read_bytes())
    profiled = profile(file, xnnpack=False, runs=8)
    assert [(step.index, step.operator) for step in profiled.steps] == [
        (one.index, one.name) for one in graph.operators
    ]
    assert [step.output for step in profiled.steps] == [graph.tensors[one.outputs[0]].name for one in graph.operators]
    assert profiled.fallen_out == profiled.steps and profiled.partitions == 0
    assert sum(step.share for step in profiled.steps) == pytest.approx(1)
    assert 0 < profiled.steps_ms == pytest.approx(sum(step.ms for step in profiled.steps))
    assert profiled.invoke_ms > 0 and profiled.profiled_ms >= 0


def test_what_xnnpack_took_is_told_from_what_it_left(tiny_model: Callable[..., Path]) -> None:
    profiled = profile(tiny_model("float32"), runs=4)
    assert profiled.partitions >= 1 and any(step.delegated for step in profiled.steps)
    assert json.loads(json.dumps(profiled.to_json()))["steps"][0]["delegated"] == profiled.steps[0].delegated


@pytest.mark.parametrize(
    ("content", "said"), [(b"", "not a TFLite model"), (b"\x1c\x00\x00\x00TFL3" + bytes(100), "not a TFLite model")]
)
def test_what_is_no_model_is_told(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "x.tflite").write_bytes(content)
    with pytest.raises(ModelFormatError, match=rf"x\.tflite: .*{said}"):
        profile(tmp_path / "x.tflite")
    with pytest.raises(ModelFormatError, match="No such file"):
        profile(tmp_path / "y.tflite")


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import os; os.kill(os.getpid(), 11)", "ended with SIGSEGV"),
        ("raise SystemExit(3)", "ended with status 3"),
        ("", "ended with status 0"),
    ],
)
def test_the_death_of_the_profiler_is_one_error(
    monkeypatch: pytest.MonkeyPatch, tiny_model: Callable[..., Path], code: str, said: str
) -> None:
    monkeypatch.setattr(profiling, "COMMAND", (sys.executable, "-c", code))
    with pytest.raises(ModelFormatError, match=said):
        profile(tiny_model())


@pytest.mark.parametrize("version", ["2.1.6", "1.4.0", "strange"])
def test_a_runtime_without_the_profiler_is_told(
    monkeypatch: pytest.MonkeyPatch, tiny_model: Callable[..., Path], version: str
) -> None:
    code = f"""
from edge_bench.profiling import lite_profiler
lite_profiler.metadata.version = lambda name: {version!r}
lite_profiler.main()
"""
    monkeypatch.setattr(profiling, "COMMAND", (sys.executable, "-c", code))
    with pytest.raises(RuntimeMissingError, match=r"ai-edge-litert>=2\.2"):
        profile(tiny_model())


def operators(*names: str) -> list[Operator]:
    empty = Operator(0, "", False, 1, (), (0,), {}, "")
    return [replace(empty, index=index, name=name, layer=f"layer{index}") for index, name in enumerate(names)]


def names(kernels: list[str], *graph: str) -> list[str | None] | None:
    found = match(kernels, operators(*graph))
    return None if found is None else [one.name if one else None for one in found]


def test_kernels_are_matched_to_operators_by_order_and_kind() -> None:
    conv, dense, depthwise = (
        "Convolution (NHWC, QC8) IGEMM",
        "Fully Connected (NC, F32) GEMM",
        "Convolution (NHWC, F32) DWConv",
    )
    assert names([conv, depthwise, dense], "CONV_2D", "DEPTHWISE_CONV_2D", "CONV_2D") == [
        "CONV_2D",
        "DEPTHWISE_CONV_2D",
        "CONV_2D",
    ]
    assert names(["Mean (ND) Reduce2", "Static Reshape (NC)", dense], "MEAN", "FULLY_CONNECTED") == [
        "MEAN",
        None,
        "FULLY_CONNECTED",
    ]
    assert names([conv], "DEQUANTIZE", "DEQUANTIZE", "PAD", "CONV_2D", "RESHAPE") == ["CONV_2D"]


@pytest.mark.parametrize(
    ("kernels", "graph"),
    [
        (["Softmax (NC, F32)"], ["CONV_2D"]),
        (["Convolution (x)"], ["CONV_2D", "CONV_2D"]),
        (["Convolution (x)", "Convolution (x)"], ["CONV_2D"]),
        (["Convolution (x)", "Copy (x)"], ["CONV_2D"]),
        (["Something new"], ["CONV_2D"]),
    ],
)
def test_kernels_that_do_not_come_out_even_are_not_matched(kernels: list[str], graph: list[str]) -> None:
    assert names(kernels, *graph) is None


def small_graph() -> Graph:
    return read_graph((MODELS / "tiny-uint8.tflite").read_bytes())


def test_kernels_without_an_operator_keep_their_names_and_times() -> None:
    graph = small_graph()
    events = [ProfilerEvent("Something new", 8, 0), ProfilerEvent("Something else", 8, 1)]
    steps = assign(graph, events, [1.0, 3.0])
    assert [(step.index, step.kernel, step.ms, step.share) for step in steps] == [
        (None, "Something new", 1.0, 0.25),
        (None, "Something else", 3.0, 0.75),
    ]


def test_a_delegate_that_is_entered_again_counts_anew() -> None:
    events = [
        ProfilerEvent("a", 8, 0),
        ProfilerEvent("b", 8, 1),
        ProfilerEvent("X", 2, 3),
        ProfilerEvent("c", 8, 0),
        ProfilerEvent("Y", 2, 0),
    ]
    assert count_partitions(events) == 2


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=60))
def test_the_mean_of_the_middle_half_lies_among_the_values(values: list[float]) -> None:
    assert min(values) - 1e-6 <= midmean(values) <= max(values) + 1e-6


def test_one_disturbed_run_in_five_changes_nothing() -> None:
    assert midmean([1.0] * 8 + [1000.0] * 2) == 1.0


def test_the_table_has_a_line_for_each_step(
    tiny_model: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    profiled: Profile = profile(tiny_model(), xnnpack=False, runs=4)
    print_profile(profiled)
    output = capsys.readouterr().out
    assert {"MEAN", "FULLY_CONNECTED", "SOFTMAX"} <= {step.operator for step in profiled.steps}
    assert all(step.operator in output for step in profiled.steps)
    assert f"{len(profiled.steps)} steps take {profiled.steps_ms:.3f} ms" in output
    assert max(map(len, output.splitlines()[:-3])) <= 100

"""What `edge-convert check` forecasts, held against Google's compiler, against the installed runtime, and against the
rules."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from edge_convert.adopt import adopt
from edge_convert.targets import Verdict, check, target_names
from edge_convert.targets.coral import MAX_SOFTMAX, OPERATORS, compiled_placements, forecast, obstacle
from edge_convert.targets.edgetpu_compiler import compile_for_edgetpu, differences, read_log
from edge_convert.targets.runtimes import releases
from edge_convert.tflite.graph import Graph, Operator, Quantization, Tensor, read_graph
from edge_core import InputSpec, ModelCard, complete, read_card
from edge_core.artifact.container import read_cpu_model, without_archive
from edge_core.artifact.golden import read_golden
from edge_core.artifact.metadata import attach, describe
from edge_core.errors import SealError
from edge_device.inference.verify import sealed, verify

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "models"
TINY = {kind: (ROOT / "tests" / "models" / f"tiny-{kind}.tflite").read_bytes() for kind in ("uint8", "float32")}
PAIRS = sorted(
    path for path in SHARED.glob("*_edgetpu.tflite") if (SHARED / path.name.replace("_edgetpu", "")).exists()
)

Command = Callable[..., subprocess.CompletedProcess[str]]
Change = Callable[[schema.ModelT], None]


def changed(kind: str, *changes: Change) -> bytes:
    """A tiny model with its flatbuffer changed."""
    model = schema.ModelT.InitFromPackedBuf(TINY[kind])
    for change in changes:
        change(model)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def one_scale(model: schema.ModelT) -> None:
    """Dense weights and biases as the Edge TPU wants them."""
    graph = model.subgraphs[0]
    for place in graph.operators[2].inputs[1:]:
        quantization = graph.tensors[place].quantization
        quantization.scale, quantization.zeroPoint = quantization.scale[:1], quantization.zeroPoint[:1]


def version(name: str, number: int) -> Change:
    code = getattr(schema.BuiltinOperator, name)

    def change(model: schema.ModelT) -> None:
        for entry in model.operatorCodes:
            if entry.builtinCode == code:
                entry.version = number

    return change


def code(place: int, name: str) -> Change:
    """Makes another operator of one; its options go."""

    def change(model: schema.ModelT) -> None:
        graph = model.subgraphs[0]
        entry = schema.OperatorCodeT()
        number = getattr(schema.BuiltinOperator, name, schema.BuiltinOperator.CUSTOM)
        entry.builtinCode, entry.deprecatedBuiltinCode, entry.version = number, min(number, 127), 1
        entry.customCode = name if number == schema.BuiltinOperator.CUSTOM else None
        model.operatorCodes.append(entry)
        graph.operators[place].opcodeIndex = len(model.operatorCodes) - 1
        graph.operators[place].builtinOptions = None
        graph.operators[place].builtinOptionsType = 0

    return change


def tensor(index: int, **fields: Any) -> Change:
    def change(model: schema.ModelT) -> None:
        for name, value in fields.items():
            setattr(model.subgraphs[0].tensors[index], name, value)

    return change


def coral(*changes: Change) -> Verdict:
    return check(changed("uint8", *changes), ["coral"])["coral"]


def on_cpu(verdict: Verdict) -> dict[str, str]:
    assert verdict.placements is not None
    return {f"{one.operator.index} {one.operator.name}": one.why for one in verdict.placements if not one.mapped}


@pytest.mark.skipif(not PAIRS, reason="no models compiled by Google beside the checkout")
@pytest.mark.parametrize("compiled", PAIRS, ids=lambda path: path.stem)
def test_the_forecast_is_what_googles_compiler_did_operator_by_operator(compiled: Path) -> None:
    graph = read_graph((SHARED / compiled.name.replace("_edgetpu", "")).read_bytes())
    expected = compiled_placements(graph, read_graph(compiled.read_bytes()))
    assert [one.mapped for one in forecast(graph)] == [one.mapped for one in expected]


@pytest.mark.skipif(not PAIRS, reason="no models compiled by Google beside the checkout")
def test_a_compiled_file_is_judged_by_what_the_compiler_left() -> None:
    verdicts = {path.stem: check(path.read_bytes(), ["coral"])["coral"] for path in PAIRS}
    assert verdicts["mobilenet_v1_0.25_128_quant_edgetpu"].ok
    deeplab = verdicts["deeplabv3_mnv2_dm05_pascal_quant_edgetpu"]
    assert not deeplab.ok and deeplab.to_json()["cpu_operators"]["CONV_2D"] == 2


def test_an_8_bit_model_maps_whole_and_the_json_has_the_documented_shape(command: Command, tmp_path: Path) -> None:
    file = tmp_path / "model.tflite"
    file.write_bytes(changed("uint8", one_scale))
    done = command("edge_convert.cli", "check", file, "--target", "coral", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "targets": {
            "coral": {
                "ok": True,
                "mapped_operators": {"QUANTIZE": 2, "MEAN": 1, "FULLY_CONNECTED": 1, "SOFTMAX": 1},
                "cpu_operators": {},
                "reasons": [],
            }
        }
    }


def test_dense_weights_with_a_scale_per_channel_stay_on_the_cpu_with_all_that_follows() -> None:
    verdict = coral()
    assert not verdict.ok
    assert list(on_cpu(verdict)) == ["2 FULLY_CONNECTED", "3 SOFTMAX", "4 QUANTIZE"]
    assert "scale per channel" in verdict.reasons[0] and "layer scores" in verdict.reasons[0]
    assert "single part" in verdict.reasons[1]


@pytest.mark.parametrize(
    ("changes", "stays", "why", "ok"),
    [
        ([code(3, "HARD_SWISH")], "3 HARD_SWISH", "not among", True),
        ([code(3, "MyOperator")], "3 MyOperator", "custom", True),
        ([code(1, "GATHER")], "1 GATHER", "not among", False),
        ([tensor(8, type=schema.TensorType.FLOAT32)], "4 QUANTIZE", "float32", True),
        ([tensor(6, shape=[2, 2])], "2 FULLY_CONNECTED", "one-dimensional", False),
        ([tensor(6, shape=[1, MAX_SOFTMAX + 1])], "3 SOFTMAX", "elements", True),
        ([tensor(0, shape=[2, 32, 32, 3])], "0 QUANTIZE", "innermost", True),
        ([version("MEAN", 99)], "1 MEAN", "newer than the compiler", False),
    ],
)
def test_what_stays_on_the_cpu_and_why(changes: list[Change], stays: str, why: str, ok: bool) -> None:
    """Tensors of the tiny model: 0 image, 6 dense output, 7 softmax output, 8 result."""
    verdict = coral(one_scale, *changes)
    assert why in on_cpu(verdict)[stays]
    assert any(stays.split()[1] in reason and why in reason for reason in verdict.reasons)
    assert verdict.ok == ok


def test_what_comes_first_on_the_cpu_does_not_keep_the_rest_from_the_edge_tpu() -> None:
    """As with a float input: the compiler's log has its QUANTIZE on the CPU and the network on the Edge TPU."""
    verdict = coral(one_scale, tensor(0, type=schema.TensorType.FLOAT32))
    assert verdict.ok and list(on_cpu(verdict)) == ["0 QUANTIZE"]


@pytest.mark.parametrize(
    ("model", "why"),
    [
        (TINY["float32"], "8-bit"),
        (changed("uint8", one_scale, tensor(0, shapeSignature=[-1, 32, 32, 3])), "not fixed"),
        (changed("uint8", lambda model: model.subgraphs.append(model.subgraphs[0])), "2 subgraphs"),
    ],
    ids=["float32", "any batch", "two subgraphs"],
)
def test_what_the_compiler_refuses_whole(model: bytes, why: str) -> None:
    verdict = check(model, ["coral"])["coral"]
    assert not verdict.ok and why in verdict.reasons[0] and len(verdict.reasons) == 1
    assert verdict.to_json()["mapped_operators"] == {}


def one(name: str, *inputs: Tensor, shape: tuple[int, ...] = (1, 8, 8, 4), **options: Any) -> Graph:
    """A graph of one 8-bit operator with an output of `shape`."""
    tensors = (*inputs, eight_bit(shape))
    places = tuple(range(len(inputs)))
    version = {"MEAN": 2, "UNIDIRECTIONAL_SEQUENCE_LSTM": 3}.get(name, 1)
    operator = Operator(0, name, False, version, places, (len(inputs),), options, "layer")
    return Graph("", 1, tensors, (operator,), tensors[:1], tensors[-1:], ((name, 1),), frozenset(), {})


def eight_bit(shape: tuple[int, ...] = (1, 8, 8, 4), size_bytes: int = 0) -> Tensor:
    return Tensor(0, "", "int8", shape, True, Quantization((0.1,), (0,), 0), size_bytes, None)


def state(dtype: str) -> Tensor:
    """What a recurrent layer keeps; an 8-bit LSTM's cell is of 16 bits."""
    quantization = None if dtype == "float32" else Quantization((0.1,), (0,), 0)
    return Tensor(0, "", dtype, (1, 20), True, quantization, 0, None, variable=True)


def numbers(*values: int) -> Tensor:
    return Tensor(0, "", "int32", (len(values),), True, None, 4 * len(values), values)


@pytest.mark.parametrize(
    ("graph", "why"),
    [
        (one("ADD", eight_bit(), eight_bit()), ""),
        (one("MAX_POOL_2D", eight_bit()), ""),
        (one("MAX_POOL_2D", eight_bit(), fused_activation_function="RELU"), "fused activation, RELU"),
        (one("CONV_2D", eight_bit(), eight_bit(size_bytes=9)), ""),
        (one("CONV_2D", eight_bit(), eight_bit()), "weights that are computed"),
        (one("CONV_2D", eight_bit(), eight_bit(size_bytes=9), dilation_w_factor=2, dilation_h_factor=1), "dilation 2"),
        (one("CONCATENATION", eight_bit(), eight_bit()), ""),
        (one("CONCATENATION", eight_bit(), eight_bit(size_bytes=9)), "a constant among the inputs"),
        (
            one("FULLY_CONNECTED", eight_bit((1, 4)), eight_bit(size_bytes=9), shape=(1, 4), weights_format=1),
            "shuffled",
        ),
        (one("MEAN", eight_bit(), numbers(1, 2)), ""),
        (one("MEAN", eight_bit(), numbers(0)), "batch"),
        (one("MEAN", eight_bit(), numbers(-4)), "batch"),
        (one("MEAN", eight_bit((1, 8, 8, 6)), numbers(-1)), "a depth of 6"),
        (one("MEAN", eight_bit(), eight_bit()), "axes that are computed"),
        (one("PAD", eight_bit(), numbers(0, 0, 1, 1, 1, 1, 0, 0)), ""),
        (one("PAD", eight_bit(), numbers(1, 0, 0, 0, 0, 0, 0, 0)), "pads the batch"),
        (one("TILE", eight_bit((1, 1, 1, 4)), numbers(1, 8, 8, 1)), ""),
        (one("TILE", eight_bit((1, 1, 1, 4)), numbers(2, 8, 8, 1)), "repeats the batch"),
        (one("TILE", eight_bit((1, 1, 1, 4)), eight_bit()), "repetitions that are computed"),
        (one("UNIDIRECTIONAL_SEQUENCE_LSTM", eight_bit((1, 28, 28)), state("int8"), state("int16")), ""),
        (
            one("UNIDIRECTIONAL_SEQUENCE_LSTM", eight_bit((1, 28, 28)), state("int8"), state("float32")),
            "a state in float",
        ),
        (one("PACK", eight_bit(), eight_bit(), axis=1), ""),
        (one("PACK", eight_bit(), eight_bit(), axis=0), "packs along the batch"),
        (one("SPLIT", numbers(3), eight_bit()), ""),
        (one("SPLIT", numbers(0), eight_bit()), "splits along the batch"),
        (one("PRELU", eight_bit(), eight_bit((1, 1, 4), 4)), ""),
        (one("PRELU", eight_bit(), eight_bit((8, 8, 4), 256)), "slope"),
        (one("STRIDED_SLICE", eight_bit(), numbers(0), numbers(1), numbers(1)), ""),
        (one("STRIDED_SLICE", eight_bit(), numbers(0), numbers(1), numbers(2)), "stride"),
        (one("STRIDED_SLICE", eight_bit(), numbers(0), numbers(1), numbers(1), new_axis_mask=1), "new axis"),
        (one("RESIZE_BILINEAR", eight_bit(), numbers(16, 16), shape=(1, 16, 16, 4)), ""),
        (one("RESIZE_BILINEAR", eight_bit((1, 1, 1, 256)), numbers(33, 33), shape=(1, 33, 33, 256)), "precision"),
        (one("RESIZE_NEAREST_NEIGHBOR", eight_bit((1, 256, 256, 32)), shape=(1, 512, 512, 32)), "size"),
        (one("RELU"), "no input"),
    ],
)
def test_the_limits_of_corals_table(graph: Graph, why: str) -> None:
    found = obstacle(graph, graph.operators[0])
    assert why in found if why else not found


def test_every_operator_of_corals_table_is_one_of_the_schema() -> None:
    assert not [name for name in OPERATORS if not hasattr(schema.BuiltinOperator, name)]


def test_a_newer_operator_version_is_refused_by_name_and_says_what_opens_it() -> None:
    verdict = check(changed("float32", version("FULLY_CONNECTED", 12)), ["tflite-runtime-2.14"])["tflite-runtime-2.14"]
    assert not verdict.ok
    assert verdict.reasons[0] == "FULLY_CONNECTED version 12 (layer scores): tflite-runtime 2.14.0 has versions 1 to 10"
    assert "ai-edge-litert 1.0.1" in verdict.reasons[1] and "--recipe" in verdict.reasons[1]


def test_a_family_of_runtimes_is_ok_where_every_release_is() -> None:
    newer = changed("float32", version("FULLY_CONNECTED", 14))
    verdicts = check(newer, ["litert-2.x", "litert-2.0", "litert-2.1", "litert-1.x", "tflite-runtime-2.x"])
    assert [verdict.ok for verdict in verdicts.values()] == [False, False, True, False, False]
    assert "ai-edge-litert 2.0.3" in verdicts["litert-2.x"].reasons[0]
    assert all(
        verdict.ok for verdict in check(TINY["uint8"], [name for name in target_names() if name != "coral"]).values()
    )


def test_custom_operators_are_refused_unless_the_runtime_brings_them() -> None:
    def verdict(name: str) -> Verdict:
        return check(changed("uint8", code(3, name)), ["litert-2.3"])["litert-2.3"]

    assert verdict("TFLite_Detection_PostProcess").ok
    assert "custom operator" in verdict("MyOperator").reasons[0]
    assert "libedgetpu" in verdict("edgetpu-custom-op").reasons[0]


def test_a_target_that_nobody_knows_is_refused() -> None:
    with pytest.raises(ValueError, match=r"tflite-runtime-2\.14"):
        check(TINY["uint8"], ["tflite-runtime-9"])


def installed() -> str:
    """The target that is the installed runtime, if it was measured."""
    name = ".".join(metadata.version("ai-edge-litert").split(".")[:2])
    release, _ = releases().get(f"litert-{name}", ("", None))
    return f"litert-{name}" if release == f"ai-edge-litert {metadata.version('ai-edge-litert')}" else ""


@pytest.mark.skipif(not installed(), reason="the installed ai-edge-litert is not among those measured")
def test_the_table_is_what_the_installed_runtime_registers() -> None:
    script = ROOT / "benchmarks" / "experiments" / "operator_versions.py"
    done = subprocess.run([sys.executable, script, "--probe"], capture_output=True, text=True, check=True)
    names = {number: name for name, number in vars(schema.BuiltinOperator).items() if isinstance(number, int)}
    measured = {
        names.get(key, key): range(low, high + 1) for key, low, high in map(json.loads, done.stdout.splitlines())
    }
    assert measured == dict(releases()[installed()][1])


@pytest.mark.skipif(not installed(), reason="the installed ai-edge-litert is not among those measured")
@pytest.mark.parametrize("number", [1, 4, 12, 14, 15, 99])
def test_the_installed_runtime_does_as_forecast(number: int) -> None:
    model = changed("uint8", version("FULLY_CONNECTED", number))
    try:
        Interpreter(model_content=model)
        opens = True
    except ValueError:
        opens = False
    assert check(model, [installed()])[installed()].ok == opens


def with_labels(kind: str, count: int) -> bytes:
    return complete(TINY[kind], ModelCard(tuple(f"label {one}" for one in range(count)), InputSpec(32, 32)), "tiny")


@pytest.mark.parametrize("target", ["mediapipe", "android"])
@pytest.mark.parametrize(
    ("model", "refused"),
    [
        (with_labels("uint8", 4), ""),
        (with_labels("float32", 4), ""),
        (TINY["uint8"], ""),
        (TINY["float32"], "no normalization"),
        (with_labels("uint8", 3), "3 labels, the output has 4"),
        (attach(TINY["uint8"], describe("tiny", "", "1")), "no such file"),
        (attach(TINY["uint8"], b"nothing"), "Metadata is damaged"),
        (changed("uint8", tensor(0, type=schema.TensorType.INT8)), "the input is int8"),
        (changed("uint8", tensor(0, shape=[2, 32, 32, 3])), "shape [2, 32, 32, 3]"),
        (changed("uint8", tensor(8, type=schema.TensorType.INT64)), "the output is int64"),
        (changed("uint8", code(3, "edgetpu-custom-op")), "libedgetpu"),
    ],
    ids=[
        "uint8",
        "float32",
        "bare",
        "bare float32",
        "labels",
        "no labels",
        "damaged",
        "int8",
        "batch",
        "int64",
        "compiled",
    ],
)
def test_what_mediapipe_and_the_task_library_need(target: str, model: bytes, refused: str) -> None:
    """As MediaPipe 1.2.2 does: see benchmarks/experiments/targets.py."""
    verdict = check(model, [target])[target]
    assert verdict.ok == (not refused)
    assert refused in " ".join(verdict.reasons)
    assert set(verdict.to_json()) == {"ok", "reasons"}


def test_check_ends_with_1_for_a_refusal_that_was_asked_for_and_2_for_a_wrong_name(
    command: Command, tmp_path: Path
) -> None:
    file = tmp_path / "model.tflite"
    file.write_bytes(TINY["float32"])
    assert command("edge_convert.cli", "check", file, "--target", "litert-2.x").returncode == 0
    refused = command("edge_convert.cli", "check", file, "--target", "coral", "--target", "litert-2.x")
    assert refused.returncode == 1
    assert refused.stdout.splitlines()[0].split() == ["coral", "refused"]
    everything = command("edge_convert.cli", "check", file)
    assert everything.returncode == 0
    assert "tflite-runtime-2.14" in everything.stdout
    wrong = command("edge_convert.cli", "check", file, "--target", "pixel")
    assert wrong.returncode == 2 and "mediapipe" in wrong.stderr


LOG = """\
Edge TPU Compiler version 16.0.384591198
Input: model.tflite
Output: model_edgetpu.tflite

Operator                       Count      Status

FULLY_CONNECTED                1          {}
SOFTMAX                        1          Mapped to Edge TPU
MEAN                           1          Mapped to Edge TPU
QUANTIZE                       2          Mapped to Edge TPU
"""


def test_the_compilers_log_is_read_and_held_against_the_forecast() -> None:
    placements = coral(one_scale).placements
    assert placements is not None
    log = read_log(LOG.format("Mapped to Edge TPU"))
    assert [(row.name, row.count) for row in log] == [
        ("FULLY_CONNECTED", 1),
        ("SOFTMAX", 1),
        ("MEAN", 1),
        ("QUANTIZE", 2),
    ]
    assert differences(placements, log) == ()
    (line,) = differences(placements, read_log(LOG.format("Operation not supported")))
    assert line.startswith("FULLY_CONNECTED: forecast 1 mapped and 0 on the CPU, the compiler has 0 and 1")
    assert "Operation not supported" in line


FAKE_COMPILER = """\
#!{python}
import pathlib, shutil, sys
assert sys.argv[1:3] == ["--show_operations", "--out_dir"], sys.argv
folder, source = pathlib.Path(sys.argv[3]), pathlib.Path(sys.argv[4])
if not {works}:
    print("Edge TPU Compiler version 16.0.384591198")
    print("Invalid model: " + source.name)
    print("Model not quantized")
    sys.exit(1)
shutil.copy(source, folder / (source.stem + "_edgetpu.tflite"))
(folder / (source.stem + "_edgetpu.log")).write_text({log!r})
"""


@pytest.fixture
def fake_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Puts an `edgetpu_compiler` on the path that writes a log as the real one does."""

    def put(works: bool = True) -> None:
        program = tmp_path / "bin" / "edgetpu_compiler"
        program.parent.mkdir()
        log = LOG.format("Operation not supported")
        program.write_text(FAKE_COMPILER.format(python=sys.executable, works=works, log=log))
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")

    return put


def run_compile(*arguments: object) -> subprocess.CompletedProcess[str]:
    """In this test's environment, where the fixture `command` has the session's."""
    program = "import sys; from edge_convert.cli import app; app(['compile', *sys.argv[1:]])"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", program, *(str(argument) for argument in arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def test_compile_writes_a_file_with_its_card_and_says_where_the_forecast_was_wrong(
    fake_compiler: Callable[..., None], tmp_path: Path
) -> None:
    fake_compiler()
    file = tmp_path / "model.tflite"
    card = ModelCard(("red", "green", "blue", "dark"), InputSpec(32, 32))
    file.write_bytes(complete(changed("uint8", one_scale), card, "tiny"))
    done = run_compile(file, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["file"] == str(tmp_path / "model_edgetpu.tflite")
    assert {"name": "QUANTIZE", "count": 2, "status": "Mapped to Edge TPU"} in told["log"]
    assert [line.split(":")[0] for line in told["differences"]] == ["FULLY_CONNECTED"]
    assert read_card(Path(told["file"])).labels == card.labels
    assert "not as forecast: FULLY_CONNECTED" in run_compile(file).stdout


def test_compile_takes_along_what_it_compiled_and_seals_it_anew(
    fake_compiler: Callable[..., None], tmp_path: Path
) -> None:
    fake_compiler()
    file, out, adopted = (tmp_path / name for name in ("model.tflite", "model_edgetpu.tflite", "adopted.tflite"))
    card = ModelCard(("red", "green", "blue", "dark"), InputSpec(32, 32))
    frame = np.full((40, 40, 3), (10, 20, 250), np.uint8)
    file.write_bytes(sealed(complete(changed("uint8", one_scale), card, "tiny"), [frame]))
    compile_for_edgetpu(file, out)
    assert read_cpu_model(out) == without_archive(file.read_bytes())
    assert read_golden(out) == read_golden(file)
    assert verify(out).passed
    adopt(out, adopted)
    assert read_cpu_model(adopted) == read_cpu_model(out)
    damaged = bytearray(file.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    file.write_bytes(damaged)
    with pytest.raises(SealError, match=r"model\.tflite"):
        compile_for_edgetpu(file, out)
    assert verify(out).passed


def test_what_the_compiler_refuses_is_one_line_and_status_1(fake_compiler: Callable[..., None], tmp_path: Path) -> None:
    fake_compiler(works=False)
    file = tmp_path / "model.tflite"
    file.write_bytes(TINY["float32"])
    done = run_compile(file)
    assert (done.returncode, done.stdout) == (1, "")
    assert "Model not quantized" in done.stderr and "--recipe int8" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bin", "model.tflite"]


def test_without_the_compiler_it_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    file = tmp_path / "model.tflite"
    file.write_bytes(TINY["uint8"])
    done = run_compile(file)
    assert done.returncode == 2
    assert "edgetpu_compiler is not installed" in done.stderr and "apt" in done.stderr

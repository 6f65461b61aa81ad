"""The picture of a .tflite, of files that are sound and of files that are not; what `edge-convert inspect` shows of
it."""

import json
import random
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import flatbuffers
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from edge_convert.targets import check, target_names
from edge_convert.tflite.graph import read_graph
from edge_convert.tflite.inspection import inspect
from edge_convert.tflite.metadata_reader import file_sizes, read_description, read_text
from edge_core.artifact.metadata import METADATA_NAME, attach, describe
from edge_core.errors import ModelFormatError

MODELS = Path(__file__).parents[1] / "models"
SHARED = Path(__file__).parents[3] / "shared" / "models"
TINY = {kind: (MODELS / f"tiny-{kind}.tflite").read_bytes() for kind in ("uint8", "float32")}

Command = Callable[..., subprocess.CompletedProcess[str]]


def test_operators_come_with_their_versions_options_and_layers() -> None:
    graph = read_graph(TINY["uint8"])
    assert [(one.name, one.version, one.layer) for one in graph.operators] == [
        ("QUANTIZE", 1, ""),
        ("MEAN", 2, "global_average_pooling2d"),
        ("FULLY_CONNECTED", 4, "scores"),
        ("SOFTMAX", 2, "scores"),
        ("QUANTIZE", 1, "scores"),
    ]
    assert graph.operators[1].options == {"keep_dims": False}
    assert graph.operators[2].options["fused_activation_function"] == "NONE"
    assert not any(one.custom for one in graph.operators)
    assert set(graph.opcodes) == {(one.name, one.version) for one in graph.operators}


def test_tensors_come_with_their_quantization_and_small_constants() -> None:
    graph = read_graph(TINY["uint8"])
    (pixels,), (scores,) = graph.inputs, graph.outputs
    assert (pixels.dtype, pixels.shape, pixels.static, pixels.constant) == ("uint8", (1, 32, 32, 3), True, False)
    assert pixels.quantization is not None and (pixels.quantization.scales, pixels.quantization.zero_points) == (
        (1,),
        (0,),
    )
    assert (scores.dtype, scores.shape) == ("uint8", (1, 4))
    axes, weights = graph.input_of(graph.operators[1], 1), graph.input_of(graph.operators[2], 1)
    assert axes is not None and axes.values == (1, 2)
    assert weights is not None and weights.constant and weights.values is None
    assert weights.quantization is not None and weights.quantization.per_channel
    assert len(weights.quantization.scales) == 4 and weights.quantization.axis == 0


@pytest.mark.parametrize("kind", TINY)
def test_the_picture_is_the_interpreters(kind: str) -> None:
    graph, interpreter = read_graph(TINY[kind]), Interpreter(model_content=TINY[kind], num_threads=1)
    interpreter.allocate_tensors()
    details = [
        one for one in interpreter.get_tensor_details() if one["index"] < len(graph.tensors)
    ]  # others are its own
    assert len(details) >= 6
    for detail in details:
        tensor = graph.tensors[detail["index"]]
        assert tensor.name == detail["name"]
        assert list(tensor.shape) == list(detail["shape"])
        scales = detail["quantization_parameters"]["scales"]
        assert list(tensor.quantization.scales if tensor.quantization else ()) == list(scales)


@pytest.mark.parametrize(
    ("names", "layer"),
    [
        (["model/Conv1_relu/Relu6;model/bn_Conv1/FusedBatchNormV3;model/Conv1/Conv2D1", "model/Conv1/Conv2D"], "Conv1"),
        (["m/a_BN/FusedBatchNormV3;m/a/depthwise;;m/a_pad/Pad1", "m/a_BN/FusedBatchNormV3;m/a/depthwise"], "a"),
        (["model/scores/MatMul;model/scores/BiasAdd", "model/scores/MatMul"], "scores"),
        (["MobilenetV2/expanded_conv/depthwise/Relu6", ""], "expanded_conv/depthwise"),
        (["StatefulPartitionedCall/net/block/add/add", ""], "block/add"),
        (["StatefulPartitionedCall:0", ""], ""),
        (["tfl.quantize", ""], ""),
        (["", ""], ""),
    ],
)
def test_the_layer_is_told_by_the_names_of_tensors(names: list[str], layer: str) -> None:
    output, weights = names
    assert read_graph(one_operator(output, weights)).operators[0].layer == layer


def one_operator(output: str, weights: str) -> bytes:
    """TINY with other names for the outputs and the weights of its first operator."""
    model = schema.ModelT.InitFromPackedBuf(TINY["float32"])
    graph = model.subgraphs[0]
    graph.operators = graph.operators[1:2]
    first = graph.operators[0]
    graph.tensors[first.outputs[0]].name = output
    graph.tensors[first.inputs[1]].name = weights
    return packed(model)


def packed(model: schema.ModelT) -> bytes:
    import flatbuffers

    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def test_a_custom_operator_and_one_that_is_not_known_yet_are_named() -> None:
    model = schema.ModelT.InitFromPackedBuf(TINY["float32"])
    mean, dense = model.operatorCodes[:2]
    mean.builtinCode, mean.deprecatedBuiltinCode, mean.customCode = 32, 32, "edgetpu-custom-op"
    dense.builtinCode, dense.deprecatedBuiltinCode = 9999, 127
    model.subgraphs[0].operators[0].builtinOptions = None
    graph = read_graph(packed(model))
    assert [one.name for one in graph.operators] == ["edgetpu-custom-op", "OPERATOR_9999", "SOFTMAX"]
    assert graph.custom_opcodes == {"edgetpu-custom-op"}


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Cut off, with bits flipped, with an offset or a length that is wrong, or with bytes replaced."""
    changed = bytearray(data)
    match rng.randrange(4):
        case 0:
            return data[: rng.randrange(len(data))]
        case 1:
            for _ in range(rng.randrange(1, 4)):
                changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        case 2:
            place = 4 * rng.randrange(len(data) // 4)
            word = rng.choice([0, len(data), len(data) // 4, 2**31 - 1, 2**32 - 1])
            changed[place : place + 4] = struct.pack("<I", word)
        case 3:
            for _ in range(20):
                changed[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(changed)


@pytest.mark.parametrize("kind", TINY)
def test_a_damaged_file_is_read_and_judged_or_refused(kind: str) -> None:
    """Any other exception fails the test."""
    rng = random.Random(1)
    outcomes = {True: 0, False: 0}
    for _ in range(2000):
        try:
            verdicts = check(damaged(TINY[kind], rng), target_names())
        except ModelFormatError as error:
            verdicts = {}
            assert str(error)
        assert all(verdict.ok or verdict.reasons for verdict in verdicts.values())
        outcomes[bool(verdicts)] += 1
    assert min(outcomes.values()) > 100, "both happen"


def test_damaged_metadata_is_read_or_refused() -> None:
    sound, rng = describe("tiny", "a model", "1"), random.Random(2)
    for _ in range(3000):
        try:
            read_description(damaged(sound, rng))
        except ModelFormatError as error:
            assert "damaged" in str(error)


def test_metadata_that_shares_its_parts_without_end_is_refused() -> None:
    """2,000 inputs that are all one, which has 2,000 files that are all one."""
    count = 2_000
    builder = flatbuffers.Builder(0)

    def table(**slots: int) -> int:
        builder.StartObject(7)
        for slot, offset in slots.items():
            builder.PrependUOffsetTRelativeSlot(int(slot[1:]), offset, 0)
        return int(builder.EndObject())

    def many(one: int) -> int:
        builder.StartVector(4, count, 4)
        for _ in range(count):
            builder.PrependUOffsetTRelative(one)
        return int(builder.EndVector())

    tensor = table(_6=many(table()))
    graph = table(_2=many(tensor))
    builder.StartVector(4, 1, 4)
    builder.PrependUOffsetTRelative(graph)
    builder.Finish(table(_3=int(builder.EndVector())), b"M001")
    with pytest.raises(ModelFormatError, match="damaged"):
        read_description(bytes(builder.Output()))


def test_a_file_that_shares_its_parts_without_end_is_refused() -> None:
    """A flatbuffer may point twice to the same place: 60,000 tensors that are all one with a name of 60,000 bytes."""
    model = schema.ModelT.InitFromPackedBuf(TINY["float32"])
    model.subgraphs[0].tensors[0].name = "n" * 60_000
    model.subgraphs[0].tensors += [schema.TensorT() for _ in range(60_000)]
    data = bytearray(packed(model))
    view = schema.Model.GetRootAs(data, 0).Subgraphs(0)
    vector = view._tab.Vector(view._tab.Offset(4))
    first = vector + struct.unpack_from("<I", data, vector)[0]
    for place in range(vector, vector + 4 * view.TensorsLength(), 4):
        if place < first:
            struct.pack_into("<I", data, place, first - place)
    with pytest.raises(ModelFormatError, match="damaged"):
        read_graph(bytes(data))


@pytest.mark.parametrize("data", [b"", b"hello", b"\0\0\0\0TFL3", b"PK\3\4", b"\x1c\0\0\0TFL3" + bytes(99)])
def test_what_is_no_model_is_refused(data: bytes) -> None:
    with pytest.raises(ModelFormatError, match="not a TFLite model"):
        read_graph(data)


def test_metadata_and_files_are_read_as_they_were_written(tiny_model: Callable[..., Path]) -> None:
    data = tiny_model("uint8").read_bytes()
    said = read_description(read_graph(data).metadata[METADATA_NAME.decode()])
    assert (said.name, said.version) == ("tiny", "1")
    (pixels,), (scores,) = said.inputs, said.outputs
    assert (pixels.name, pixels.content, pixels.color_space) == ("image", "image", "RGB")
    assert pixels.normalization == ((0.0,), (1.0,))
    assert (scores.content, scores.normalization) == ("feature", None)
    assert scores.files == {"TENSOR_AXIS_LABELS": "labels.txt"}
    assert "labels.txt" in file_sizes(data)
    assert read_text(data, "labels.txt") == "red\ngreen\nblue\ndark\n"
    with pytest.raises(ModelFormatError, match="no such file"):
        read_text(data, "other.txt")


def test_inspect_tells_all_of_a_complete_file(command: Command, tiny_model: Callable[..., Path]) -> None:
    file = tiny_model("uint8")
    told = json.loads(command("edge_convert.cli", "inspect", file, "--json").stdout)
    assert told["size_bytes"] == file.stat().st_size
    assert told["inputs"][0]["dtype"] == "uint8" and told["inputs"][0]["shape"] == [1, 32, 32, 3]
    assert told["inputs"][0]["metadata"]["normalization"] == [[0.0], [1.0]]
    assert {"name": "FULLY_CONNECTED", "version": 4, "count": 1} in told["operators"]
    assert told["card"]["labels"] == ["red", "green", "blue", "dark"]
    assert told["problems"] == []
    shown = command("edge_convert.cli", "inspect", file)
    assert shown.returncode == 0
    for part in ("FULLY_CONNECTED", "1x32x32x3", "scale 1, zero point 0", "4 labels", "tiny, version 1"):
        assert part in shown.stdout


def test_names_in_a_file_cannot_command_the_terminal(command: Command, tmp_path: Path) -> None:
    file = tmp_path / "model.tflite"
    model = schema.ModelT.InitFromPackedBuf(TINY["float32"])
    model.subgraphs[0].tensors[0].name = "\x1b[2J[red]gone"
    file.write_bytes(packed(model))
    shown = command("edge_convert.cli", "inspect", file)
    assert "\x1b" not in shown.stdout and "[red]gone" in shown.stdout


def test_inspect_tells_of_parts_that_are_damaged_and_shows_the_rest(tmp_path: Path) -> None:
    file = tmp_path / "model.tflite"
    file.write_bytes(attach(TINY["uint8"], b"no metadata at all"))
    found = inspect(file)
    assert found.problems == ("its TFLite Metadata is damaged",)
    assert found.description is None and len(found.graph.operators) == 5


@pytest.mark.parametrize("content", [b"", b"not a model", TINY["uint8"][:1000]], ids=["empty", "text", "cut"])
def test_inspect_and_check_say_in_one_line_what_is_no_model(command: Command, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "model.tflite"
    file.write_bytes(content)
    for subcommand in ("inspect", "check"):
        done = command("edge_convert.cli", subcommand, file)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(f"error: {file}: not a TFLite model") and done.stderr.count("\n") == 1


@pytest.mark.skipif(not SHARED.exists(), reason="no Google models beside the checkout")
def test_files_of_others_are_inspected() -> None:
    found = {path.stem: inspect(path) for path in SHARED.glob("*.tflite")}
    assert found
    assert not [one.problems for one in found.values() if one.problems]
    quantized = found["mobilenet_v1_0.25_128_quant"]
    assert quantized.operators()[("CONV_2D", 1)] == 15
    assert quantized.description is not None
    assert quantized.description.inputs[0].normalization == ((127.5,), (127.5,))
    compiled = found["mobilenet_v1_0.25_128_quant_edgetpu"]
    assert compiled.operators() == {("edgetpu-custom-op", 1): 1}

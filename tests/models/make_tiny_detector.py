"""An object detector of 3 kB: a grid of cells, of which each is an object of class 0 if it is green and 1 if it is
blue."""

import io
import zipfile
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import flexbuffers

SIDE = 4
"""Cells in a row, which are the pixels of its input, too."""


def tiny_detector(labels: tuple[str, ...] = (), labels_file: str = "labelmap.txt") -> bytes:
    """A .tflite that ends with `TFLite_Detection_PostProcess`; with labels, they are in a text behind the model."""
    model = schema.ModelT()
    model.version, model.description = 3, "tiny detector"
    model.buffers = [schema.BufferT()]
    graph = schema.SubGraphT()
    graph.tensors, graph.operators = [], []

    def tensor(name: str, shape: tuple[int, ...], values: Any = None, kind: int = schema.TensorType.FLOAT32) -> int:
        one = schema.TensorT()
        one.name, one.shape, one.type, one.buffer = name, list(shape), kind, 0
        if values is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
            model.buffers.append(buffer)
            one.buffer = len(model.buffers) - 1
        graph.tensors.append(one)
        return len(graph.tensors) - 1

    def operator(code: int, inputs: list[int], outputs: list[int]) -> Any:
        one = schema.OperatorT()
        one.opcodeIndex, one.inputs, one.outputs = code, inputs, outputs
        graph.operators.append(one)
        return one

    cells = SIDE * SIDE
    middles = (np.indices((SIDE, SIDE)).reshape(2, -1).T + 0.5) / SIDE
    anchors = np.hstack([middles, np.full((cells, 2), 1 / SIDE)]).astype(np.float32)
    picture = tensor("picture", (1, SIDE, SIDE, 3))
    shape = tensor("shape", (3,), np.array([1, cells, 3], np.int32), schema.TensorType.INT32)
    scores = tensor("scores of red, green, blue", (1, cells, 3))
    encodings = tensor("encodings", (1, cells, 4), np.zeros((1, cells, 4), np.float32))
    anchor = tensor("anchors", (cells, 4), anchors)
    outputs = [
        tensor(name, shape)
        for name, shape in (("boxes", (1, 8, 4)), ("classes", (1, 8)), ("found", (1, 8)), ("count", (1,)))
    ]
    reshape, found = schema.OperatorCodeT(), schema.OperatorCodeT()
    reshape.builtinCode = reshape.deprecatedBuiltinCode = schema.BuiltinOperator.RESHAPE
    found.builtinCode = found.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
    found.customCode = "TFLite_Detection_PostProcess"
    reshape.version = found.version = 1
    model.operatorCodes = [reshape, found]
    operator(0, [picture, shape], [scores])
    options = {
        "max_detections": 8, "max_classes_per_detection": 1, "num_classes": 2, "nms_score_threshold": 0.3,
        "nms_iou_threshold": 0.5, "y_scale": 10.0, "x_scale": 10.0, "h_scale": 5.0, "w_scale": 5.0,
        "use_regular_nms": False,
    }  # fmt: skip
    operator(1, [encodings, scores, anchor], outputs).customOptions = list(flexbuffers.Dumps(options))
    graph.inputs, graph.outputs = [picture], outputs
    model.subgraphs = [graph]
    builder = flatbuffers.Builder(4096)
    builder.Finish(model.Pack(builder), b"TFL3")
    data = bytes(builder.Output())
    if not labels:
        return data
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr(labels_file, "\n".join(labels) + "\n")
    return data + archive.getvalue()

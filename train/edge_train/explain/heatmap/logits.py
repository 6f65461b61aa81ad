"""How sure a network is of a label, on a scale that does not end: log-odds, from logits.

A softmax in 8 bits has 256 levels, and of a photo that the network is sure of it says the highest, whatever is hidden
of it: of 24 photos of cats and dogs 6 had an occlusion map with nothing in it. The logits before it are in 8 bits, too,
but still move. So a .tflite is opened with its last softmax passed over.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema
from scipy.special import logsumexp

from edge_core.artifact.container import is_compiled
from edge_core.artifact.flatbuffer import is_tflite
from edge_core.errors import ModelFormatError
from edge_core.preprocess import Frame
from edge_core.run_folder import Run
from edge_device.inference.classifier import Classifier
from edge_device.inference.interpreter import Interpreter
from edge_keras.tf import keras, tf
from edge_train.training.attacks import logits_of

Logits = npt.NDArray[np.float32]
BATCH: Final = 50

_FLOOR: Final = 1 / 512
"""Of a score in 256 levels, half a level: what a score of 0 stands for where there are no logits."""
_SOFTMAX: Final = schema.BuiltinOperator.SOFTMAX
_RESCALED: Final = (schema.BuiltinOperator.QUANTIZE, schema.BuiltinOperator.DEQUANTIZE)


@dataclass(frozen=True)
class Network:
    """Something that says how sure it is of what it sees.

    Attributes:
        name: Name of the network as people read it.
        logits: Function from pixels, uint8, shape (pictures, height, width, 3), to logits, shape (pictures,
            labels).
    """

    name: str
    logits: Callable[[Frame], Logits]


def full_size(model: "keras.Model", name: str) -> Network:
    """The full-size model of a run."""
    before = logits_of(model)
    signature = [tf.TensorSpec((None, *model.input_shape[1:]), tf.uint8)]
    compiled = tf.function(lambda pixels: before(tf.cast(pixels, tf.float32)), input_signature=signature)
    return Network(
        name,
        lambda pixels: np.concatenate(
            [compiled(pixels[first : first + BATCH]).numpy() for first in range(0, len(pixels), BATCH)]
        ),
    )


def from_file(path: Path, run: Run, name: str = "") -> Network:
    """A .tflite of a run, as the device runs it, but for its last softmax; with logarithms of its scores if it ends
    otherwise.

    Args:
        path: Path of the .tflite.
        run: That it was made of.
        name: The file's own unless told otherwise.

    Raises:
        ModelFormatError: It is no complete .tflite, or has other labels or another input than the run.
        SealError: It is not the file that was sealed.
    """
    passed_over = False

    def opened(file: Path) -> Interpreter:
        nonlocal passed_over
        model = _without_softmax(file.read_bytes())
        if model is None:
            return Interpreter(file)
        passed_over = True
        with TemporaryDirectory() as folder:
            copy = Path(folder) / file.name
            copy.write_bytes(model)
            return Interpreter(copy)

    classifier = Classifier(path, runner=opened)
    if (classifier.card.labels, classifier.card.input) != (run.card.labels, run.card.input):
        raise ModelFormatError(f"{path} has other labels or another input than {run.folder}")

    def logits(pixels: Frame) -> Logits:
        said = np.stack([classifier.pixel_scores(one) for one in pixels])
        return said if passed_over else np.log(said.clip(_FLOOR, 1 - _FLOOR))

    return Network(name or path.name, logits)


def log_odds(logits: Logits, label: int) -> Logits:
    """Logarithm of the odds for a label against all others, shape (pictures,): 0 is half and half, 4.6 is 99 to 1."""
    others = np.delete(logits, label, axis=1)
    difference: Logits = logits[:, label] - logsumexp(others, axis=1)
    return difference


def _without_softmax(file: bytes) -> bytes | None:
    """The file with what its last softmax takes as its output; None if it does not end in one."""
    if not is_tflite(file) or is_compiled(file):
        return None
    changed = bytearray(file)
    try:
        model = schema.Model.GetRootAs(changed)
        graph = model.Subgraphs(0)
        outputs = graph.OutputsAsNumpy()
        makers = {}
        for number in range(graph.OperatorsLength()):
            operator = graph.Operators(number)
            makers[int(operator.Outputs(0))] = operator
        tensor = int(outputs[0])
        while tensor in makers:
            operator = makers.pop(tensor)
            code = model.OperatorCodes(operator.OpcodeIndex())
            kind = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
            tensor = int(operator.Inputs(0))
            if kind == _SOFTMAX:
                outputs[0] = tensor  # a view of `changed`
                return bytes(changed)
            if kind not in _RESCALED:
                return None
    except Exception:  # noqa: BLE001 - the generated code trusts its bytes; the interpreter says what is wrong with them
        return None
    return None

"""Whether an adopted file says of raw pixels what the model said of its own kind of input before."""

import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from edge_convert.tflite.input_rewrite import Entry, RawPixelModel
from edge_core.artifact.golden import FLOAT, QUANTIZED
from edge_core.errors import CheckFailedError, ModelFormatError
from edge_core.native_stderr import silenced
from edge_core.preprocess import Frame
from edge_device.inference.interpreter import Interpreter, Scores, computes_in_integers


def noise(entry: Entry) -> list[Frame]:
    """Pictures of the model's size that no two models score alike: noise, bright and dark, and a black one."""
    rng = np.random.default_rng(1)
    shape = (entry.height, entry.width, 3)
    return [rng.integers(0, 256, shape, np.uint8) // np.uint8(part) for part in (1, 2, 4)] + [np.zeros(shape, np.uint8)]


def gives_probabilities(taking: RawPixelModel, pictures: Iterable[Frame]) -> bool:
    """Whether the scores of a model whose graph does not say so are 0..1 and add to 1, on every picture.

    Raises:
        ModelFormatError: It does not run.
    """
    # Eight bits leave out what is below half a step of each label.
    found = _scores(taking.model, pictures)
    return all(scores.min() > -0.01 and abs(scores.sum() - 1) <= 0.02 for scores in found)


def check_scores(original: bytes, taking: RawPixelModel, softmax: bool, pictures: list[Frame]) -> float:
    """Holds the changed model against the original one, which is given its own kind of input and read by hand.

    Args:
        original: The flatbuffer as it was.
        taking: What the changed model takes as its input.
        softmax: Whether one was put behind.
        pictures: Raw pixels of the model's size.

    Returns:
        The largest difference of a score.

    Raises:
        CheckFailedError: It is larger than two runs of the same arithmetic may differ by.
        ModelFormatError: The model does not run.
    """
    # Asked first: what no runtime runs is told as that.
    found = _scores(taking.model, pictures)
    before = _Original(original, taking.output)
    largest, scale = 0.0, 1.0
    for picture, scores in zip(pictures, found, strict=True):
        expected = before.scores(taking.entry.given(picture))
        if taking.one_score:
            # Of two labels the model scores the second alone, by a probability or a logit.
            expected = np.array([1 - expected[0] if taking.last_operator == "LOGISTIC" else 0, expected[0]], np.float32)
        if softmax:
            expected = np.exp(expected - expected.max())
            expected /= expected.sum()
        # NumPy's maximum keeps a NaN, which Python's max would drop when it comes second.
        largest = float(np.maximum(largest, np.abs(scores - expected).max()))
        scale = max(scale, float(np.abs(expected).max()))
    tolerance = (QUANTIZED if before.quantized else FLOAT).same_runtime
    # Of all pictures: a quantized score has the same steps, however small it is.
    if not largest < tolerance * scale:
        raise CheckFailedError(
            f"the changed model does not say what the original does: scores differ by {largest:.3g}; nothing was "
            f"written; "
            "report it, please, with the model"
        )
    return largest


class _Original:
    """A model as its maker runs it."""

    def __init__(self, model: bytes, output: int) -> None:
        from ai_edge_litert.interpreter import Interpreter as LiteRT

        with silenced():
            self._interpreter = LiteRT(model_content=model)
            self._interpreter.allocate_tensors()
        (self._input,) = self._interpreter.get_input_details()
        self._output = self._interpreter.get_output_details()[output]
        self.quantized = computes_in_integers(self._interpreter.get_tensor_details())

    def scores(self, given: "np.typing.NDArray[np.generic]") -> Scores:
        self._interpreter.set_tensor(self._input["index"], given)
        self._interpreter.invoke()
        raw = self._interpreter.get_tensor(self._output["index"]).reshape(-1).astype(np.float32)
        scale, zero_point = self._output["quantization"]
        # LiteRT tells a scale of 0 of a tensor that is not quantized.
        return (raw - np.float32(zero_point)) * np.float32(scale or 1)  # type: ignore[no-any-return]


def _scores(model: bytes, pictures: Iterable[Frame]) -> list[Scores]:
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "model.tflite"
        path.write_bytes(model)
        try:
            interpreter = Interpreter(path)
            return [interpreter.scores(picture) for picture in pictures]
        except ModelFormatError as error:
            raise ModelFormatError(str(error).replace(str(path), "it")) from error
        except RuntimeError as error:  # an operator that fails on what it is given
            raise ModelFormatError(f"it cannot be run by {interpreter.runtime}: {error}") from error

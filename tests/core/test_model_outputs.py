"""More outputs for a model in memory."""

from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_core.artifact.model_outputs import with_outputs
from edge_core.errors import ModelFormatError

MODEL = (Path(__file__).parents[1] / "models" / "tiny-float32.tflite").read_bytes()


def run(model: bytes) -> list[np.ndarray]:
    interpreter = Interpreter(model_content=model)
    interpreter.allocate_tensors()
    given_to = interpreter.get_input_details()[0]
    interpreter.set_tensor(given_to["index"], np.full(given_to["shape"], 90, given_to["dtype"]))
    interpreter.invoke()
    return [interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()]


def test_the_scores_stay_and_the_features_come_after_them() -> None:
    scores, features = run(with_outputs(MODEL, [4]))
    assert np.array_equal(scores, run(MODEL)[0])
    assert features.shape == (1, 3)


def test_none_more_is_the_same_model() -> None:
    assert np.array_equal(run(with_outputs(MODEL, []))[0], run(MODEL)[0])


@pytest.mark.parametrize("tensor", [-1, 10**6])
def test_a_tensor_that_is_not_there_is_refused(tensor: int) -> None:
    with pytest.raises(ModelFormatError, match="none with the indices"):
        with_outputs(MODEL, [tensor])


@settings(max_examples=300)
@given(st.data())
def test_a_damaged_flatbuffer_is_refused_or_changed_at_its_end_alone(data: st.DataObject) -> None:
    damaged = bytearray(MODEL)
    for _ in range(data.draw(st.integers(1, 6))):
        damaged[data.draw(st.integers(0, 200) | st.integers(0, len(MODEL) - 1))] = data.draw(st.integers(0, 255))
    try:
        longer = with_outputs(bytes(damaged[: data.draw(st.integers(0, len(MODEL)))]), [4])
    except ModelFormatError:
        return
    assert len(longer) <= 2 * len(MODEL) + 16

"""The part of the network that is not trained, run by what is quicker here.

On a processor that is the TFLite interpreter, one picture on each core at a time. Of MobileNetV2 at 160 pixels, on two
cores, it does 461 a second; TensorFlow does 158, 208, 243 and 224 in batches of 4, 8, 16 and 32.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edge_core.native_stderr import silenced
from edge_core.preprocess import Frame
from edge_device.inference.interpreter import load_runtime
from edge_keras.tf import keras, tf
from edge_train.doctor.workstation import usable_cores

Floats = npt.NDArray[np.float32]
Outputs = Callable[[Frame], list[Floats]]

MANY_PICTURES: Final = 400
"""From so many on an interpreter is made. That takes 1.5 s, which it saves over 650 pictures; as a rule the same part
has more of them to run over, the training photos after the validation photos."""

MOST_INTERPRETERS: Final = 16
"""Each holds its own copy of the weights."""

TOLERANCE: Final = 1e-3
"""How much an output may differ, as a part of its largest value. Maps are kept in float16, whose values are up to 1e-3
of their own size apart. The outputs of the architectures here differ by at most 3e-6."""


class FrozenPart:
    """A model from pixels to its outputs. Its weights are not to change once it is run."""

    def __init__(self, model: "keras.Model", run: "tf.types.experimental.GenericFunction") -> None:
        """Prepares; nothing is run yet.

        Args:
            model: Takes raw pixels, float32.
            run: The model, `compiled` for uint8.
        """
        self._model, self._run = model, run
        self._by_interpreter: ByInterpreter | None = None
        self._settled = not _of_keras_layers(model) or bool(tf.config.list_logical_devices("GPU"))

    def expect(self, pictures: int) -> None:
        """Makes an interpreter if that pays for so many pictures, and if it computes the same as TensorFlow."""
        if pictures < MANY_PICTURES or self._settled:
            return
        self._settled = True
        try:
            interpreter = ByInterpreter(self._model)
        except Exception:  # noqa: BLE001 - the converter's has no public name; whatever it is, TensorFlow runs the model
            return
        if _agree(interpreter, self._with_tensorflow, self._model.input_shape[1:]):
            self._by_interpreter = interpreter

    def __call__(self, pixels: Frame) -> list[Floats]:
        """Each output of the model, float32 of shape (pictures, ...).

        Args:
            pixels: Preprocessed, uint8, shape (pictures, height, width, 3).
        """
        return (self._by_interpreter or self._with_tensorflow)(pixels)

    def _with_tensorflow(self, pixels: Frame) -> list[Floats]:
        return [output.numpy() for output in tf.nest.flatten(self._run(pixels))]


class ByInterpreter:
    """A model converted for the TFLite interpreter, with its weights as they were then."""

    def __init__(self, model: "keras.Model") -> None:
        """Converts the model.

        Raises:
            RuntimeMissingError: No interpreter is installed.
            Exception: The converter or the interpreter does not take the model.
        """
        _, module = load_runtime("auto")
        call = tf.function(lambda pixels: model(tf.cast(pixels, tf.float32), training=False))
        concrete = call.get_concrete_function(tf.TensorSpec((1, *model.input_shape[1:]), tf.uint8))
        converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], model)
        # Else the model is saved to the disk on the way, and MobileNetV2 takes 13 s instead of 1.
        converter.experimental_lower_to_saved_model = False
        with silenced():
            data = converter.convert()
            count = min(usable_cores(), MOST_INTERPRETERS)
            self._interpreters = [module.Interpreter(model_content=data, num_threads=1) for _ in range(count)]
            for interpreter in self._interpreters:
                interpreter.allocate_tensors()
        self._input = self._interpreters[0].get_input_details()[0]["index"]
        self._outputs = [detail["index"] for detail in self._interpreters[0].get_output_details()]

    def __call__(self, pixels: Frame) -> list[Floats]:
        found: list[Sequence[Floats]] = [()] * len(pixels)

        def run(first: int, interpreter: Any) -> None:
            for number in range(first, len(pixels), len(self._interpreters)):
                interpreter.set_tensor(self._input, pixels[number : number + 1])
                interpreter.invoke()
                found[number] = [interpreter.get_tensor(index) for index in self._outputs]

        # The interpreter lets go of Python's lock while it computes.
        with ThreadPoolExecutor(len(self._interpreters)) as pool:
            list(pool.map(run, range(len(self._interpreters)), self._interpreters))
        return [np.concatenate(parts) for parts in zip(*found, strict=True)]


def _of_keras_layers(model: "keras.Model") -> bool:
    """Whether all layers are Keras' own: those of quantization-aware training round, which a converter may not."""
    return all(type(layer).__module__.split(".")[0] == "tf_keras" for layer in model.layers)


def _agree(one: Outputs, other: Outputs, shape: Sequence[int]) -> bool:
    """Whether both give the same outputs, in the same order, for two pictures of noise."""
    noise = np.random.default_rng(0).integers(0, 256, (2, *shape), dtype=np.uint8)
    pairs = list(zip(one(noise), other(noise), strict=True))
    with np.errstate(invalid="ignore"):  # of values that are not finite, which do not agree
        return all(a.shape == b.shape and np.abs(a - b).max() <= TOLERANCE * np.abs(b).max() for a, b in pairs)

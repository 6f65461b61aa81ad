"""What 8 bits do to each layer: signal-to-quantization-noise ratio (SQNR), ranked.

Ranked is by the ratio in which each channel counts alike: a few channels that are fifty times the others leave these
nothing of the 8 bits, and the common ratio does not show it (20 dB, where the other falls from 24 to 1 dB).

The converter's own `NumericVerify` does the work, as in `tf.lite.experimental.QuantizationDebugger`: beside each 8-bit
operator stands one of floats that gets the same input. The debugger itself hands out differences without the signal,
and converts once more; its graph is read directly here.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from edge_convert.quantize.calibration import Floats, all_tensors, quantize
from edge_convert.tflite.graph import Graph, Operator, read_graph
from edge_core.codec import JsonObject

PHOTOS: Final = 16
_VERIFY: Final = "NumericVerify"


@dataclass(frozen=True)
class LayerNoise:
    """What the 8 bits of one operator add to its result.

    Attributes:
        layer: The Keras layer that it came from.
        operator: Its name in the graph, `CONV_2D`, say.
        sqnr_db: Power of what floats give over that of the difference, in decibels, of the same input.
        channel_sqnr_db: The same with each channel counting alike, however small it is beside the others.
        spared: (layer, tensor) of what a recipe has to leave in floats for its result to stay in floats all the way:
            its own, and those of the operators that read it.
    """

    layer: str
    operator: str
    sqnr_db: float
    channel_sqnr_db: float
    spared: tuple[tuple[str, str], ...]

    def to_json(self) -> JsonObject:
        return asdict(self)


def layer_noise(calibrated: bytes, inputs: Floats) -> tuple[LayerNoise, ...]:
    """What 8 bits do to each layer, the worst first.

    Args:
        calibrated: What `calibration.calibrate` returned.
        inputs: What `model_input` gave, shape (photos, height, width, 3).
    """
    model = quantize(calibrated, verify=True)
    graph, source = read_graph(model), read_graph(calibrated)
    pairs = [
        # NumericVerify takes the 8-bit result and that of its twin in floats, in this order.
        (graph.tensors[one.inputs[0]], graph.tensors[one.inputs[1]])
        for one in graph.operators
        if one.name == _VERIFY
    ]
    signal: list[Any] = [0.0] * len(pairs)
    noise: list[Any] = [0.0] * len(pairs)
    with all_tensors(model) as interpreter:
        for photo in inputs[:: max(1, len(inputs) // PHOTOS)][:PHOTOS]:
            interpreter.set_tensor(interpreter.get_input_details()[0]["index"], photo[None])
            interpreter.invoke()
            for place, (rounded, exact) in enumerate(pairs):
                assert rounded.quantization is not None
                (scale,), (zero,) = rounded.quantization.scales, rounded.quantization.zero_points
                wanted = interpreter.get_tensor(exact.index).astype(np.float64)
                given = (interpreter.get_tensor(rounded.index).astype(np.float64) - zero) * scale
                # Over everything but the channels, which come last.
                others = tuple(range(wanted.ndim - 1))
                signal[place] += np.square(wanted).sum(axis=others)
                noise[place] += np.square(wanted - given).sum(axis=others)
    # The twin's result bears the name that the tensor has in the calibrated graph.
    makers = {source.tensors[one.outputs[0]].name: one for one in source.operators}
    found = []
    for (_, exact), power, error in zip(pairs, signal, noise, strict=True):
        maker = makers.get(exact.name)
        if maker is not None and power.sum() > 0:
            alive = power > 0
            found.append(
                LayerNoise(
                    maker.layer or maker.name,
                    maker.name,
                    _decibels(error.sum() / power.sum()),
                    # A channel that is lost altogether counts as 0 dB: unbounded, a single one would decide the mean.
                    _decibels(np.minimum(error[alive] / power[alive], 1).mean()),
                    _with_readers(source, maker),
                )
            )
    return tuple(sorted(found, key=lambda one: one.channel_sqnr_db))


def layers_of(noise: Sequence[LayerNoise]) -> tuple[str, ...]:
    """Keras layers that stay in floats when `noise` is spared."""
    return tuple(dict.fromkeys(layer for one in noise for layer, _ in one.spared))


def tensors_of(noise: Sequence[LayerNoise]) -> tuple[str, ...]:
    """Tensors that stay in floats when `noise` is spared, for `calibration.quantize`."""
    return tuple(dict.fromkeys(tensor for one in noise for _, tensor in one.spared))


def _with_readers(graph: Graph, maker: Operator) -> tuple[tuple[str, str], ...]:
    outputs = set(maker.outputs)
    readers = (one for one in graph.operators if outputs & set(one.inputs))
    return tuple((one.layer or one.name, graph.tensors[one.outputs[0]].name) for one in (maker, *readers))


def _decibels(noise_to_signal: float) -> float:
    return float(-10 * np.log10(max(noise_to_signal, 1e-12)))  # no more than 120 dB

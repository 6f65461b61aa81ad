"""The layer that holds a user's own network, and the opening of models that may have it."""

import base64
from pathlib import Path
from typing import Any

from edge_keras.tf import keras, tf


@keras.saving.register_keras_serializable("edge_mobilenet")
class FrozenGraph(keras.layers.Layer):  # type: ignore[misc]
    """A graph without variables, from float32 of shape (batch, height, width, 3) to (batch, features)."""

    def __init__(self, graph: str, source: str, result: str, features: int, **options: Any) -> None:
        """Imports the graph.

        Args:
            graph: GraphDef, serialized, in base64.
            source: Name of the graph's input tensor.
            result: Name of the graph's output tensor.
            features: Length of the output.
            **options: Options of every Keras layer.
        """
        # `from_config` hands back the `trainable` that `get_config` saved, which would then be given twice.
        super().__init__(trainable=False, **{key: value for key, value in options.items() if key != "trainable"})
        self._given = {"graph": graph, "source": source, "result": result, "features": features}
        self._features = features
        definition = tf.compat.v1.GraphDef.FromString(base64.b64decode(graph))
        # wrap_function is what TensorFlow 2 has for calling a GraphDef; prune keeps what lies between two tensors.
        imported = tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(definition, name=""), [])
        element = imported.graph.as_graph_element
        self._run = imported.prune(element(source), element(result))

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Features of normalized pixels."""
        # The dense layer behind needs a length that is known when the network is built.
        return tf.ensure_shape(self._run(inputs), (None, self._features))

    def compute_output_shape(self, input_shape: Any) -> tuple[Any, int]:
        return input_shape[0], self._features

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **self._given}


def load_keras(file: Path, **options: Any) -> "keras.Model":
    """Loads a full-size model: Keras knows the layer above only once this module is imported.

    Args:
        file: A `.keras` file that `edge-train` wrote.
        **options: Options of `keras.models.load_model`, whose errors it raises.
    """
    return keras.models.load_model(file, **options)

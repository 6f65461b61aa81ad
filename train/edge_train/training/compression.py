"""Pruning and weight clustering by tensorflow-model-optimization, of the layers that are fine-tuned.

The frozen layers stay as they are: without training them, too, half of their weights could not be spared. In
MobileNetV2 the fine-tuned convolutions have 73 % of all weights.
"""

from collections.abc import Callable
from typing import Final

from edge_keras.tf import keras
from edge_keras.tfmot import tfmot
from edge_train.training.fine_tune import Student

RAMP: Final = 2 / 3
"""Share of the steps over which weights are taken away; in the rest those that are left make up for it."""


def pruned(upper: "keras.Model", sparsity: float, steps: int) -> tuple[Student, Callable[[], None]]:
    """A student whose smallest weights become zero (Zhu and Gupta, "To prune, or not to prune", 2017).

    Args:
        upper: Maps to scores; stays as it is until the second result is called, which moves the trained weights into
            it.
        sparsity: Share of each convolution's kernel that is zero in the end.
        steps: Number of training steps.
    """
    end = max(1, round(steps * RAMP))
    schedule = tfmot.sparsity.keras.PolynomialDecay(0.0, sparsity, 0, end, frequency=max(1, end // 50))
    model = _wrapped(upper, lambda layer: tfmot.sparsity.keras.prune_low_magnitude(layer, pruning_schedule=schedule))
    layers = [layer for layer in model.layers if hasattr(layer, "pruning_step")]

    def before_step(step: int) -> None:
        # Under `fit` a callback of tfmot counts the steps; this loop is our own.
        for layer in layers:
            layer.pruning_step.assign(step)

    def finish() -> None:
        for layer in layers:
            layer.pruning_obj.weight_mask_op()  # the last step's gradients moved the zeros
        _copy(tfmot.sparsity.keras.strip_pruning(model), upper)

    return Student(model, lambda maps, seeds: (model(maps, training=True), None), before_step), finish


def clustered(upper: "keras.Model", clusters: int) -> tuple[Student, Callable[[], None]]:
    """A student whose convolutions have `clusters` different weights each; zeros stay zeros.

    See `pruned` for what is returned.
    """
    api = tfmot.clustering.keras
    start = api.CentroidInitialization.KMEANS_PLUS_PLUS
    model = _wrapped(
        upper,
        lambda layer: api.cluster_weights(
            layer, number_of_clusters=clusters, cluster_centroids_init=start, preserve_sparsity=True
        ),
    )
    return (
        Student(model, lambda maps, seeds: (model(maps, training=True), None)),
        lambda: _copy(api.strip_clustering(model), upper),
    )


def _wrapped(upper: "keras.Model", wrap: Callable[[keras.layers.Layer], keras.layers.Layer]) -> "keras.Model":
    """A copy of a model in which all convolutions but the depthwise are wrapped."""

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        if isinstance(layer, keras.layers.Dropout):  # its random numbers would not be those of an interrupted training
            return keras.layers.Dropout(0.0, name=layer.name)
        return wrap(layer) if type(layer) is keras.layers.Conv2D else layer

    # `clone_function` takes over the layers it does not wrap: without this copy their variables would be `upper`'s.
    copy = keras.models.clone_model(upper)
    copy.set_weights(upper.get_weights())
    return keras.models.clone_model(copy, clone_function=clone)


def _copy(source: "keras.Model", target: "keras.Model") -> None:
    for layer in target.layers:
        layer.set_weights(source.get_layer(layer.name).get_weights())

"""A network as it will run: batch normalization folded into the convolutions, ReLU made part of them.

What is quantized on the device are the folded kernels, so that is what has to be quantized in training, too.
"""

from collections import Counter

import numpy as np
import numpy.typing as npt

from edge_keras.tf import keras, tf

Weights = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]

CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)


def fold(model: "keras.Model", without: str = "") -> "keras.Model":
    """The same function without batch normalization and dropout, and with fewer layers.

    Convolutions keep their names. S. Jacob et al., "Quantization and Training of Neural Networks for Efficient
    Integer-Arithmetic-Only Inference" (2018), section 3.2, says why it must come before quantization.

    Args:
        model: Flat and functional, of one input and one output.
        without: Name of another layer to leave out.
    """
    tensors: dict[tf.Tensor, tf.Tensor] = {}  # of the old model -> of the new one
    makers: dict[tf.Tensor, str] = {}  # tensor of the old model -> the convolution whose result it is
    weights: dict[str, list[npt.NDArray[np.float32]]] = {}
    activations, readers = _activations(model), _readers(model)
    for layer in model.layers:
        node = _node(layer, tensors)
        # Keras' tensors cannot be hashed; what ref() returns can, and serves as a key.
        result = node.outputs.ref()
        if isinstance(layer, keras.layers.InputLayer):
            tensors[result] = keras.Input(node.outputs.shape[1:], name=layer.name)
            continue
        sources = [node.input_tensors] if not isinstance(node.input_tensors, list) else node.input_tensors
        first = sources[0].ref()
        maker = makers.get(first)
        if isinstance(layer, keras.layers.Dropout) or layer.name == without:
            tensors[result] = tensors[first]
            continue
        # Another reader of the convolution's result must get it as it was.
        if isinstance(layer, keras.layers.BatchNormalization) and maker and readers[first] == 1:
            weights[maker] = _scaled(weights[maker], layer)
            tensors[result], makers[result] = tensors[first], maker
            continue
        # The rebuilt convolution does this ReLU itself: it got it as its `activation`.
        if maker and activations.get(maker) and _relu(layer):
            tensors[result] = tensors[first]
            continue
        config = layer.get_config()
        weights[layer.name] = layer.get_weights()
        if isinstance(layer, CONVOLUTIONS):
            if not layer.use_bias:
                weights[layer.name].append(np.zeros(node.outputs.shape[-1], np.float32))
            config |= {"use_bias": True, "activation": activations.get(layer.name) or config["activation"]}
            if _linear(layer):
                makers[result] = layer.name
        inputs = [tensors[source.ref()] for source in sources]
        tensors[result] = type(layer).from_config(config)(inputs if len(inputs) > 1 else inputs[0])
    folded = keras.Model(tensors[model.input.ref()], tensors[model.output.ref()], name=model.name)
    # Only now are the kernels final: a batch normalization behind a convolution has scaled them since.
    for layer in folded.layers:
        if layer.weights:
            layer.set_weights(weights[layer.name])
    return folded


def _node(layer: keras.layers.Layer, tensors: dict[tf.Tensor, tf.Tensor]) -> tf.Tensor:
    """The call of a layer that belongs to the model: the same layer may be part of others, too."""
    for node in layer.inbound_nodes:
        sources = node.input_tensors if isinstance(node.input_tensors, list) else [node.input_tensors]
        if node.is_input or all(source.ref() in tensors for source in sources):
            return node
    raise ValueError(f"the layer {layer.name} is not part of one flat network")


def _linear(convolution: keras.layers.Layer) -> bool:
    """Whether nothing happens between its sums and what comes behind: only then can that become part of it."""
    return convolution.activation is keras.activations.linear


def _readers(model: "keras.Model") -> Counter[tf.Tensor]:
    """How many layers of the model take each tensor; its own output counts as taken."""
    members = {id(layer) for layer in model.layers}
    found: Counter[tf.Tensor] = Counter([model.output.ref()])
    for layer in model.layers:
        inside = (node for node in layer.outbound_nodes if id(node.outbound_layer) in members)
        found.update(source.ref() for node in inside for source in tf.nest.flatten(node.input_tensors))
    return found


def _activations(model: "keras.Model") -> dict[str, str]:
    """By the name of a convolution the ReLU that alone follows it, behind its batch normalization if it has one."""
    members = {id(layer) for layer in model.layers}

    def follower(layer: keras.layers.Layer) -> keras.layers.Layer:
        layers = {id(node.outbound_layer): node.outbound_layer for node in layer.outbound_nodes}
        inside = [layer for key, layer in layers.items() if key in members]
        return inside[0] if len(inside) == 1 else None

    found = {}
    for layer in model.layers:
        if isinstance(layer, CONVOLUTIONS) and _linear(layer):
            after = follower(layer)
            if isinstance(after, keras.layers.BatchNormalization):
                after = follower(after)
            if after is not None and _relu(after):
                found[layer.name] = _relu(after)
    return found


def _relu(layer: keras.layers.Layer) -> str:
    """The name of the activation that a layer is, if it is one that a convolution can do on its way."""
    if isinstance(layer, keras.layers.Activation):
        name = layer.get_config()["activation"]
        return name if name in ("relu", "relu6") else ""
    if isinstance(layer, keras.layers.ReLU) and not layer.negative_slope and not layer.threshold:
        if layer.max_value is None:
            return "relu"
        return "relu6" if float(layer.max_value) == 6 else ""
    return ""


def _scaled(weights: list[npt.NDArray[np.float32]], norm: keras.layers.Layer) -> list[npt.NDArray[np.float32]]:
    kernel, bias = weights
    mean, variance = norm.moving_mean.numpy(), norm.moving_variance.numpy()
    gamma = norm.gamma.numpy() if norm.scale else np.ones_like(mean)
    beta = norm.beta.numpy() if norm.center else np.zeros_like(mean)
    # Jacob et al., section 3.2: w' = w * gamma / sqrt(variance + epsilon), and the bias likewise.
    scale = gamma / np.sqrt(variance + norm.epsilon)
    # A depthwise kernel is (height, width, channels, 1), a common one (height, width, inputs, outputs).
    depthwise = kernel.shape[2:] == (len(scale), 1) and len(scale) > 1
    return [kernel * (scale[:, None] if depthwise else scale), (bias - mean) * scale + beta]

"""tensorflow-model-optimization, which takes two seconds to import: only for what needs it."""

import warnings

import edge_keras.tf  # noqa: F401  the old Keras must be chosen first

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # it asks for TensorFlow's version by way of distutils
    import tensorflow_model_optimization as tfmot
    from tensorflow_model_optimization.python.core.quantization.keras.quantize_layer import QuantizeLayer

__all__ = ["QuantizeLayer", "tfmot"]

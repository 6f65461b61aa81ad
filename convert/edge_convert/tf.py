"""TensorFlow and tf_keras, set up once: the old Keras that model optimisation needs, and no chatter."""

import os

from edge_device.console import silenced

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

with silenced():
    import tensorflow as tf
    import tf_keras as keras

__all__ = ["keras", "tf"]

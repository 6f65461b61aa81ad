"""TensorFlow and tf_keras, set up once: the old Keras that model optimization needs, and no chatter."""

import os

from edge_core.native_stderr import silenced

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")  # or it takes all memory of every GPU at once

with silenced():
    import tensorflow as tf
    import tf_keras as keras

tf.get_logger().setLevel("ERROR")  # of a function traced anew for other shapes it warns in 600 characters

__all__ = ["keras", "tf"]

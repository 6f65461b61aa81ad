"""The full-size model of a run, behind the methods that `Classifier` has."""

import os
import time

import numpy as np

from edge_bench.backends import check_shapes
from edge_bench.backends.contenders import RowSpec
from edge_core.preprocess import Frame, preprocess
from edge_device.command_line.console import extra_needed
from edge_device.inference.classifier import Timing
from edge_device.inference.interpreter import Scores


def open_model(candidate: RowSpec) -> "KerasModel":
    return KerasModel(candidate)


class KerasModel:
    """`model.keras` as a compiled graph, one picture at a time, on the CPU like what it is compared with.

    Attributes:
        runtime: Name and version of TensorFlow.
    """

    def __init__(self, candidate: RowSpec) -> None:
        """Loads a model; to be called before anything else imports TensorFlow.

        Args:
            candidate: Row whose model takes float32 of shape (batch, height, width, 3), raw pixels 0..255.

        Raises:
            RuntimeMissingError: TensorFlow is not installed.
            ModelFormatError: It takes or gives something else than its card says.
        """
        os.environ["TF_USE_LEGACY_KERAS"] = "1"
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
        with extra_needed("bench", "tensorflow", "tf_keras"):
            import tensorflow as tf

            from edge_keras.frozen_graph import load_keras
        tf.config.set_visible_devices([], "GPU")
        tf.config.threading.set_intra_op_parallelism_threads(candidate.threads)
        tf.config.threading.set_inter_op_parallelism_threads(candidate.threads)
        model = load_keras(candidate.file, compile=False)
        check_shapes(candidate.file, candidate, model.input_shape[1:], model.output_shape[1:])
        self.runtime = f"tensorflow {tf.__version__}"
        self._spec = candidate.input
        self._tensor = tf.constant
        batch = tf.TensorSpec((1, *self._spec.shape), tf.float32)
        self._invoke = tf.function(lambda pixels: model(pixels, training=False), input_signature=[batch])

    def scores(self, frame: Frame) -> tuple[Scores, Timing]:
        """All scores of a frame and what they took, with the clock read where `Classifier.scores` reads it."""
        start = time.perf_counter()
        tensor = self._tensor(preprocess(frame, self._spec)[np.newaxis].astype(np.float32))
        written = time.perf_counter()
        scores: Scores = self._invoke(tensor).numpy()[0]
        return scores, Timing(1e3 * (written - start), 1e3 * (time.perf_counter() - written))

    def pixel_scores(self, pixels: Frame) -> Scores:
        """All scores of preprocessed pixels."""
        scores: Scores = self._invoke(self._tensor(pixels[np.newaxis].astype(np.float32))).numpy()[0]
        return scores

"""OpenCV's dnn module, which reads .tflite files itself: those in floats, that is, as of OpenCV 5.0."""

import cv2
import numpy as np

from edge_bench.backends import check_shapes
from edge_bench.backends.contenders import RowSpec
from edge_bench.backends.pixels import PixelModel
from edge_core.errors import ModelFormatError
from edge_core.native_stderr import silenced
from edge_core.preprocess import Frame
from edge_device.inference.interpreter import Scores


def open_model(candidate: RowSpec) -> PixelModel:
    """Opens a file and tries it once: some are read and then cannot be run."""
    if candidate.threads:
        cv2.setNumThreads(candidate.threads)
    # OpenCV's networks take planes of channels, (1, channels, height, width), whatever the file has.
    blob = np.zeros((1, 3, candidate.input.height, candidate.input.width), np.float32)
    try:
        with silenced():
            network = cv2.dnn.readNetFromTFLite(str(candidate.file))
            network.setInput(blob)
            given = network.forward()
    except cv2.error as error:
        reason = " ".join(error.err.split())
        raise ModelFormatError(f"{candidate.file} cannot be run by OpenCV {cv2.__version__}: {reason}") from error
    check_shapes(candidate.file, candidate, candidate.input.shape, given.shape[1:])

    def write(pixels: Frame) -> None:
        blob[0] = pixels.transpose(2, 0, 1)
        network.setInput(blob)

    def invoke() -> Scores:
        scores: Scores = network.forward()[0].astype(np.float32)
        return scores

    return PixelModel(f"opencv {cv2.__version__}", candidate.input, write, invoke)

"""MediaPipe's image classifier; it gets pixels that are preprocessed already, and decides on its threads itself."""

import numpy as np

from edge_bench.backends.contenders import RowSpec
from edge_bench.backends.pixels import PixelModel
from edge_core.errors import ModelFormatError, RuntimeMissingError
from edge_core.native_stderr import silenced
from edge_core.preprocess import Frame
from edge_device.inference.interpreter import Scores


def open_model(candidate: RowSpec) -> PixelModel:
    """Opens a complete .tflite, whose metadata MediaPipe reads."""
    try:
        import mediapipe
        from mediapipe.tasks.python import BaseOptions, vision
    except ModuleNotFoundError as error:
        raise RuntimeMissingError(
            "mediapipe is not installed; it brings its own OpenCV, so give it a Python: mediapipe=VENV/bin/python"
        ) from error
    options = vision.ImageClassifierOptions(BaseOptions(model_asset_path=str(candidate.file)))
    try:
        with silenced():
            classifier = vision.ImageClassifier.create_from_options(options)
    except (ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise ModelFormatError(
            f"{candidate.file} cannot be run by MediaPipe {mediapipe.__version__}: {reason}"
        ) from error
    written: list[object] = []

    def write(pixels: Frame) -> None:
        written[:] = [mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=pixels)]

    def invoke() -> Scores:
        scores = np.zeros(len(candidate.labels), np.float32)
        for category in classifier.classify(written[0]).classifications[0].categories:
            scores[candidate.labels.index(category.category_name)] = category.score
        return scores

    return PixelModel(f"mediapipe {mediapipe.__version__}", candidate.input, write, invoke)

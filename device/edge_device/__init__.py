"""What runs on the Pi: interpreters, the classifier, cameras and files, the `edge-run` command."""

from edge_device.system.lazy_exports import lazy_exports
from edge_device.system.moved import keep_old_paths

TYPE_CHECKING = False  # as in edge_device/command_line/entry.py
if TYPE_CHECKING:
    from edge_device.inference.classifier import Classifier
    from edge_device.inference.streaming import classify_stream
    from edge_device.live.options import (
        DecisionOptions,
        FocusOptions,
        LiveOptions,
        ModelOptions,
        SinkOptions,
        SourceOptions,
    )
    from edge_device.live.run import run_live
    from edge_device.results import Prediction
    from edge_device.sources import open_source

__all__ = [
    "Classifier",
    "DecisionOptions",
    "FocusOptions",
    "LiveOptions",
    "ModelOptions",
    "Prediction",
    "SinkOptions",
    "SourceOptions",
    "classify_stream",
    "open_source",
    "run_live",
]

_PLACES = {
    "Classifier": "edge_device.inference.classifier",
    "DecisionOptions": "edge_device.live.options",
    "FocusOptions": "edge_device.live.options",
    "LiveOptions": "edge_device.live.options",
    "ModelOptions": "edge_device.live.options",
    "Prediction": "edge_device.results",
    "SinkOptions": "edge_device.live.options",
    "SourceOptions": "edge_device.live.options",
    "classify_stream": "edge_device.inference.streaming",
    "open_source": "edge_device.sources",
    "run_live": "edge_device.live.run",
}

keep_old_paths()
# `edge_device.doctor` runs where NumPy and OpenCV do not.
__getattr__ = lazy_exports(__name__, _PLACES)

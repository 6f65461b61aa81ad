"""What runs on the Pi: interpreters, the classifier, cameras and files, the `edge-run` command."""

from importlib import import_module
from typing import TYPE_CHECKING

from edge_device.system.moved import keep_old_paths

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

_MODULES = {
    "Classifier": "inference.classifier",
    "DecisionOptions": "live.options",
    "FocusOptions": "live.options",
    "LiveOptions": "live.options",
    "ModelOptions": "live.options",
    "Prediction": "results",
    "SinkOptions": "live.options",
    "SourceOptions": "live.options",
    "classify_stream": "inference.streaming",
    "open_source": "sources",
    "run_live": "live.run",
}

keep_old_paths()


def __getattr__(name: str) -> object:
    """Imports what is asked for, and not before: `edge_device.doctor` runs where NumPy and OpenCV do not."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"edge_device.{_MODULES[name]}"), name)

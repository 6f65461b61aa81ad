"""What runs on the Pi: interpreters, the classifier, cameras and files, the `edge-run` command."""

from edge_device.classifier import Classifier, Prediction
from edge_device.run import classify_stream
from edge_device.sources import open_source

__all__ = ["Classifier", "Prediction", "classify_stream", "open_source"]

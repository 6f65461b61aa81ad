"""What runs on the Pi: interpreters, the classifier, cameras and files, the `edge-run` command."""

from edge_device.classifier import Classifier, Prediction

__all__ = ["Classifier", "Prediction"]

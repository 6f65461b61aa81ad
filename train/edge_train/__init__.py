"""From photos to a trained run; the `edge-train` command."""

from edge_device.system.lazy_exports import lazy_exports

TYPE_CHECKING = False  # as in edge_device/command_line/entry.py
if TYPE_CHECKING:
    from edge_keras.models.pretrained import find_weights
    from edge_train.data.dataset import open_photos
    from edge_train.settings import Settings
    from edge_train.training.fit import FitOptions, fit

__all__ = ["FitOptions", "Settings", "find_weights", "fit", "open_photos"]

_PLACES = {
    "FitOptions": "edge_train.training.fit",
    "Settings": "edge_train.settings",
    "find_weights": "edge_keras.models.pretrained",
    "fit": "edge_train.training.fit",
    "open_photos": "edge_train.data.dataset",
}

# `edge_train.doctor` runs where TensorFlow does not.
__getattr__ = lazy_exports(__name__, _PLACES)

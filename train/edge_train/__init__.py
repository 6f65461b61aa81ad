"""From photos to a trained run; the `edge-train` command."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_keras.models.pretrained import find_weights
    from edge_train.data.dataset import open_photos
    from edge_train.settings import Settings
    from edge_train.training.fit import fit

__all__ = ["Settings", "find_weights", "fit", "open_photos"]

_MODULES = {
    "Settings": "edge_train.settings",
    "find_weights": "edge_keras.models.pretrained",
    "fit": "edge_train.training.fit",
    "open_photos": "edge_train.data.dataset",
}


def __getattr__(name: str) -> object:
    """Imports what is asked for, and not before: `edge_train.doctor` runs where TensorFlow does not."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)

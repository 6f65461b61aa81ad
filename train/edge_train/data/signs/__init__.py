"""Road signs as a dataset that needs no download: rendered photos to train on, a sheet to print, a drive to score on.

A classifier trained on the rendered photos is meant to recognize the printed sheet before a real camera too.
"""

from typing import TYPE_CHECKING

from edge_train.data.signs.artwork import LABELS, NOTHING, SIGNS, draw_sign
from edge_train.data.signs.drive import Appearance, write_video
from edge_train.data.signs.photo_set import write_photos
from edge_train.data.signs.render import RENDERER_VERSION, render_photo

if TYPE_CHECKING:
    from edge_train.data.signs.sheet import write_sheet

__all__ = [
    "LABELS",
    "NOTHING",
    "RENDERER_VERSION",
    "SIGNS",
    "Appearance",
    "draw_sign",
    "render_photo",
    "write_photos",
    "write_sheet",
    "write_video",
]


def __getattr__(name: str) -> object:
    """Imports what writes the sheet once it is asked for: Matplotlib takes a second, and `fit` does without."""
    if name != "write_sheet":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from edge_train.data.signs.sheet import write_sheet

    return write_sheet

"""Road signs as a dataset that needs no download: rendered photos to train on, a sheet to print, a drive to score on.

A classifier trained on the rendered photos is meant to recognize the printed sheet before a real camera too.
"""

from typing import TYPE_CHECKING

from edge_device.system.lazy_exports import lazy_exports
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

# Matplotlib, which draws the sheet, takes a second to import, and `fit` does without.
__getattr__ = lazy_exports(__name__, {"write_sheet": "edge_train.data.signs.sheet"})

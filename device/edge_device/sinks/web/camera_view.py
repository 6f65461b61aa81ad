"""What the live page has of one camera."""

from dataclasses import dataclass

from edge_device.sinks.web.feed import Feed
from edge_device.sinks.web.kept import KeptPictures
from edge_device.sinks.web.picture import PictureTaker


@dataclass
class CameraView:
    """What is shown of a camera.

    Attributes:
        feed: What is known of it.
        taker: Takes its pictures.
        kept: Pictures that a person takes and fetches by the page; None: there are no such buttons.
    """

    feed: Feed
    taker: PictureTaker
    kept: KeptPictures | None = None

"""Photos made small for the grid, and kept; made of what the product's one decoder gives, so they show what training
sees."""

import hashlib
from contextlib import suppress
from pathlib import Path
from typing import Final

import cv2

from edge_core.errors import OutputError, PictureError
from edge_core.files import written_whole
from edge_core.images import encode_jpeg
from edge_core.preprocess import Frame
from edge_studio.photos.photo_index import IndexedPhoto
from edge_studio.photos.uploads import PICTURE_BYTES, THUMBNAIL_SIDE, check_picture

QUALITY: Final = 80
PREVIEW_SIDE: Final = 1600
PREVIEW_QUALITY: Final = 88


class Thumbnails:
    """Thumbnails of one project's photos in a folder of the cache, which may be emptied at any time."""

    def __init__(self, photos: Path, cache: Path) -> None:
        """Keeps thumbnails.

        Args:
            photos: Folder of the photos.
            cache: Folder of the thumbnails.
        """
        self._photos, self._cache = photos, cache

    def get(self, photo: IndexedPhoto) -> bytes:
        """A JPEG with a longer side of `THUMBNAIL_SIDE` pixels.

        Raises:
            PictureError: The photo cannot be decoded, or is gone.
        """
        file = self._file(photo)
        try:
            return file.read_bytes()
        except OSError:
            made = encode_jpeg(shrunk(self._frame(photo), THUMBNAIL_SIDE), QUALITY)
            with suppress(OutputError), written_whole(file) as beside:  # shown, even if the disk is full
                beside.write_bytes(made)
            return made

    def preview(self, photo: IndexedPhoto) -> bytes:
        """A JPEG with a longer side of `PREVIEW_SIDE` pixels at most, made anew, whatever format the photo has.

        Raises:
            PictureError: The photo cannot be decoded, or is gone.
        """
        # `covering` is of the shorter side, here taken as half the longer one.
        return encode_jpeg(shrunk(self._frame(photo, PREVIEW_SIDE // 2), PREVIEW_SIDE), PREVIEW_QUALITY)

    def _frame(self, photo: IndexedPhoto, covering: int = THUMBNAIL_SIDE) -> Frame:
        if photo.size > PICTURE_BYTES:
            raise PictureError(f"{photo.path} has {photo.size >> 20} MB; {PICTURE_BYTES >> 20} is the most")
        try:
            data = (self._photos / photo.path).read_bytes()
        except OSError as error:
            raise PictureError(f"{photo.path}: {error.strerror or error}") from error
        return check_picture(data, covering)[1]

    def _file(self, photo: IndexedPhoto) -> Path:
        name = hashlib.sha256(f"{photo.path}\0{photo.version}".encode("utf-8", "surrogateescape")).hexdigest()
        return self._cache / name[:2] / f"{name[2:34]}.jpg"


def shrunk(frame: Frame, side: int) -> Frame:
    """A frame whose longer side has `side` pixels at most."""
    height, width = frame.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return frame
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(frame, size, interpolation=cv2.INTER_AREA)  # type: ignore[return-value]

"""Standard input: JPEGs one after the other, as `rpicam-vid --codec mjpeg -o -` and `ffmpeg -f mjpeg -` write them."""

import os
import select
import stat
import sys
import time
from collections.abc import Iterator
from typing import Final

from edge_core.errors import SourceError
from edge_device.sources.jpegs import JpegDecoder, JpegSplitter
from edge_device.sources.source import SLICE_S, Source, SourceFrame

CHUNK: Final = 1 << 18
"""Bytes read at once: a few pictures at most, so that the newest is found without decoding what came before it."""


class StandardInput(Source):
    """JPEGs from a pipe, of which only the newest counts, or from a file (`< frames.mjpeg`), of which every one
    does."""

    def __init__(self, covering: int | None = None, descriptor: int | None = None, name: str = "-") -> None:
        """Takes the pictures from now on.

        Args:
            covering: Shorter side in pixels to decode at, see `edge_core.images.decode_picture`.
            descriptor: Descriptor of an open file, which stays open; standard input where None.
            name: What frames and errors say.

        Raises:
            SourceError: Standard input is closed, or is a terminal.
        """
        try:
            self._descriptor = sys.stdin.fileno() if descriptor is None else descriptor
            kind = os.fstat(self._descriptor).st_mode
        except (OSError, AttributeError, ValueError):
            raise SourceError("standard input is closed; pipe JPEGs into it, or name a camera with --source") from None
        if os.isatty(self._descriptor):
            raise SourceError(
                "standard input is a terminal; pipe JPEGs into it: rpicam-vid --codec mjpeg -o - | edge-run …"
            )
        self.live = not stat.S_ISREG(kind)
        self._name = name
        self._decoder = JpegDecoder(name, covering)
        self._splitter = JpegSplitter()
        self._closed = False

    @property
    def unreadable(self) -> int:
        return self._decoder.unreadable + self._splitter.damaged

    @property
    def cut(self) -> int:
        return self._decoder.cut

    def __iter__(self) -> Iterator[SourceFrame]:
        """Gives the pictures until the stream ends.

        Raises:
            SourceError: It ends without one, or there are damaged ones only.
        """
        opened = time.monotonic()
        start = time.perf_counter()
        index = 0
        while not self._closed:
            # In slices, as nothing else ends a read from a pipe that gives nothing.
            if not select.select([self._descriptor], [], [], SLICE_S)[0]:
                continue
            try:
                data = os.read(self._descriptor, CHUNK)
            except OSError as error:
                raise SourceError(f"standard input: {error.strerror or error}") from error
            if not data:
                break
            pictures = self._splitter.feed(data)
            taken = time.monotonic()
            # Of a pipe the newest alone: what came before it is the past.
            for picture in pictures[-1:] if self.live else pictures:
                image = self._decoder.decode(picture)
                if image is not None:
                    capture_ms = 1e3 * (time.perf_counter() - start)
                    yield SourceFrame(image, self._name, index, taken - opened, capture_ms, taken)
                    index += 1
                    start = time.perf_counter()
        if not index and not self._closed:
            raise SourceError(f"standard input ended without a JPEG; {self.unreadable} of its pictures are damaged")

    def close(self) -> None:
        self._closed = True

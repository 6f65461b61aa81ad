"""Frames with their labels in video files."""

import math
import os
import re
import shutil
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from edge_core.artifact.card import ModelCard
from edge_core.errors import OutputError, SettingsError
from edge_core.native_stderr import silenced, without_lines
from edge_core.preprocess import Frame
from edge_device.command_line.console import say
from edge_device.frames.regions import Region
from edge_device.sinks.drawing import DrawingSink
from edge_device.sources import SourceFrame

CODECS: Final = {
    ".mp4": (("avc1", ".mp4"), ("VP80", ".webm")),
    ".webm": (("VP80", ".webm"),),
    ".mkv": (("avc1", ".mkv"), ("VP80", ".mkv")),
    ".avi": (("MJPG", ".avi"),),
}
"""By suffix: codec and suffix of the file, tried in turn. All but .avi play in a browser.

H.264 takes an encoder that OpenCV's wheels have only where the kernel has one (a Raspberry Pi 4). VP8 is built in: a
frame of 640x480 takes about 30 ms on a PC, VP9 about 93 ms, and MPEG-4 part 2, which no browser plays, 2 to 3 ms
(measured on a loaded machine).
"""

VP8_SIDE: Final = 640
"""Pixels of the longer side in VP8, whose encoder would fall behind the camera with more."""

GAP_S: Final = 2.0
"""After a longer pause of the source a new file is begun; a shorter one is filled with the frame before it."""

FREE_BYTES: Final = 200_000_000
"""Left on the disk for everything else; the video writer does not tell when a disk is full."""

FULL_BYTES: Final = 65_536
"""With less than this left at its end, a file is not whole."""

_TAG: Final = re.compile(rb"OpenCV: FFMPEG: tag ")
"""What OpenCV writes to standard error of VP8 in a WebM file, which it writes all the same."""

CHECKED_S: Final = 5.0
"""Between two looks at the free space: 3 MB of video."""


class Recording(DrawingSink):
    """Writes video files of `minutes` each, at a constant rate, so that they play as fast as things happened.

    A file has a hidden name until it is whole. What the power cut off is removed at the next start.
    """

    name = "recording"

    def __init__(
        self,
        path: Path,
        regions: Mapping[str, Region] | None = None,
        *,
        minutes: float = 10.0,
        keep: int = 144,
        fps: float = 10.0,
    ) -> None:
        """Names the files.

        Args:
            path: `porch.mp4` makes `porch-20260321-074500.mp4` (local time) and so on; with `minutes` 0 one file of
                that name, or `porch-2.mp4`, for what is there is never written over.
            regions: Regions of the zones, by name.
            minutes: Length of a file; 0: it ends with the run, or where the source changes its size or pauses.
            keep: Files of this name; the oldest are removed, those of this run last, whatever the clock said when they
                were named. 144 of ten minutes are a day, some 4 GB at 720p.
            fps: Frames a second in the file.

        Raises:
            SettingsError: The suffix is of no known video file.
        """
        super().__init__(regions)
        if path.suffix.lower() not in CODECS:
            raise SettingsError(f"{path} is no video file that can be written; name it {path.stem or 'video'}.mp4")
        self._path = path
        self._seconds = 60 * minutes or math.inf
        self._keep = keep
        self._fps = fps
        self._writer: cv2.VideoWriter | None = None
        self._codec, suffix = _first_codec(path)
        if suffix != path.suffix.lower():
            say(f"recording: there is no H.264 encoder here; {path.stem}{suffix} is written in place of {path.name}")
            self._path = path = path.with_suffix(suffix)
        # The number of the process tells at the next start whether somebody still writes it. The whole path, as FFmpeg
        # would take "12:30.mp4" for an address.
        self._beside = path.absolute().with_name(f".{path.stem}-{os.getpid()}.tmp{path.suffix}")
        self._shape: tuple[int, ...] = ()
        self._began_s = self._last_s = self._checked_s = 0.0
        self._written = 0
        self._made: list[Path] = []

    def open(self, card: ModelCard) -> None:
        folder = self._path.parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{folder} cannot be written: {error.strerror or error}") from error
        if not os.access(folder, os.W_OK):
            raise OutputError(f"{folder} cannot be written: it is not permitted")
        if self._writer is None:
            for path in self._files(r"\.", r"-(\d+)\.tmp"):
                process = int(path.name.split("-")[-1].split(".")[0])
                if process == os.getpid() or not Path(f"/proc/{process}").exists():
                    path.unlink(missing_ok=True)

    def drawn(self, picture: Frame, frame: SourceFrame) -> None:
        now_s, picture = frame.time_s, self._of_codec(picture)
        if self._writer and (
            picture.shape != self._shape
            or not 0 <= now_s - self._last_s <= GAP_S
            or now_s - self._began_s >= self._seconds
        ):
            self._finish()
        self._check_space()
        if self._writer is None:
            self._begin(picture, now_s)
        assert self._writer
        # The rate is constant: frames of a slower camera are repeated, some of a faster one left out.
        while self._written <= (now_s - self._began_s) * self._fps:
            self._writer.write(picture)
            self._written += 1
        self._last_s = now_s

    def _of_codec(self, picture: Frame) -> Frame:
        """A picture of a size that the codec takes."""
        if self._codec == "VP80" and max(picture.shape) > VP8_SIDE:
            scale = VP8_SIDE / max(picture.shape)
            high, wide = (max(2, round(side * scale)) for side in picture.shape[:2])
            picture = cv2.resize(picture, (wide, high), interpolation=cv2.INTER_AREA).astype(np.uint8)
        return picture[: picture.shape[0] // 2 * 2, : picture.shape[1] // 2 * 2]  # its colors are per 2x2

    def close(self) -> None:
        self._finish()

    def _check_space(self) -> None:
        # Before each new file, and now and then within one.
        if self._writer is None or time.monotonic() - self._checked_s > CHECKED_S:
            self._checked_s = time.monotonic()
            if self._writer and not self._beside.exists():  # somebody has removed it
                self._finish()
            self._path.parent.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(self._path.parent).free
            if free < FREE_BYTES:
                self._finish()
                raise OutputError(
                    f"only {free / 1e6:.0f} MB are free for {self._path}; it goes on once {FREE_BYTES / 1e6:.0f} MB are"
                )

    def _begin(self, picture: Frame, now_s: float) -> None:
        height, width = picture.shape[:2]
        with without_lines(_TAG):
            writer = cv2.VideoWriter(
                str(self._beside), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*self._codec), self._fps, (width, height)
            )
        if not writer.isOpened():
            raise OutputError(f"{self._path} cannot be written: OpenCV opens no video of {width}x{height} there")
        self._writer, self._shape = writer, picture.shape
        self._began_s = self._last_s = now_s
        self._written = 0

    def _finish(self) -> None:
        if self._writer is None:
            return
        self._writer.release()
        self._writer = None
        # The writer does not tell of a full disk, and half a WebM file can be opened.
        free = shutil.disk_usage(self._path.parent).free if self._path.parent.exists() else 0
        if free < FULL_BYTES or not cv2.VideoCapture(str(self._beside), cv2.CAP_FFMPEG).isOpened():
            self._beside.unlink(missing_ok=True)
            raise OutputError(f"{self._path}: a video of {self._written} frames could not be written")
        name = self._free_name()
        os.replace(self._beside, name)
        self._made = [*self._made, name][-self._keep :]
        # By name, but those of this run in the order in which they were made: a clock that was put back names new files
        # before old ones.
        others = [path for path in self._files("", r"-\d{8}-\d{6}(-\d+)?") if path not in self._made]
        for old in (others + self._made)[: -self._keep]:
            with suppress(OSError):
                old.unlink()

    def _free_name(self) -> Path:
        stem = self._path.stem
        if math.isfinite(self._seconds):
            stem += time.strftime("-%Y%m%d-%H%M%S")
        name, number = self._path.with_name(stem + self._path.suffix), 1
        while name.exists():
            number += 1
            name = self._path.with_name(f"{stem}-{number}{self._path.suffix}")
        return name

    def _files(self, before: str, after: str) -> list[Path]:
        """The files of this and other runs with the name and what these patterns add to it, oldest first."""
        name = re.compile(before + re.escape(self._path.stem) + after + re.escape(self._path.suffix))
        return sorted(path for path in self._path.parent.iterdir() if name.fullmatch(path.name))


def _first_codec(path: Path) -> tuple[str, str]:
    """The first codec for a suffix that OpenCV can write here, and the suffix of its file.

    Raises:
        SettingsError: There is none.
    """
    tried = CODECS[path.suffix.lower()]
    with tempfile.TemporaryDirectory() as folder, silenced():
        for codec, suffix in tried:
            probe = cv2.VideoWriter(
                f"{folder}/probe{suffix}", cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*codec), 10.0, (64, 48)
            )
            opened = probe.isOpened()
            probe.release()
            if opened:
                return codec, suffix
    raise SettingsError(f"OpenCV has no encoder here for {path.name} that a browser plays; record to {path.stem}.avi")

"""V4L2 cameras: USB, or CSI through the legacy driver."""

import os
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
from cv2.typing import MatLike

from edge_core.errors import EdgeError, SourceError
from edge_core.images import Levels, in_8_bits
from edge_device.notices import Notifier, ignore, notice
from edge_device.sources.jpegs import JpegDecoder
from edge_device.sources.opencv import Retriever
from edge_device.sources.source import ANY_MODE, SLICE_S, CameraMode, Closing, Source, SourceFrame
from edge_device.system.v4l2_device import RAW, driver_of, set_controls

STALLED_S: Final = 3
"""A camera that gives nothing for so long is lost. In the dark some take a second for a frame."""

_COMPRESSED: Final = ("MJPG", "JPEG")

_DEEP: Final = "Y16"
"""Gray in 16 bits, as thermal cameras give it."""


class Camera(Source):
    """A V4L2 camera, read through OpenCV.

    JPEGs are taken from the driver as they are (`CAP_PROP_CONVERT_RGB` off), so that only the newest is decoded, at the
    size that is needed. OpenCV hands its driver's buffer back before it has copied such a JPEG, so there must be other
    buffers that the driver fills first: the queue is kept at its four and emptied, never cut down to one.
    """

    live = True

    def __init__(
        self,
        device: str,
        mode: CameraMode = ANY_MODE,
        covering: int | None = None,
        notify: Notifier = ignore,
        levels: Levels = None,
    ) -> None:
        """Opens `device`: `/dev/video0`, or better `/dev/v4l/by-id/…`, which stays the same when cameras are
        re-plugged.

        Args:
            device: Path of the camera.
            mode: Mode that is requested.
            covering: Shorter side in pixels to decode at, see `edge_core.images.decode_picture`; for MJPG alone.
            notify: Gets what was granted, where it is not what was asked for.
            levels: Levels of a 16-bit picture that become black and white, of the model's `InputSpec`. With them Y16 is
                asked for, unless `mode` names a pixel format.

        Raises:
            SettingsError: It has no such control, or the control cannot have such a value.
            SourceError: It is not there, not permitted, or no camera.
        """
        self._device = device
        if not os.path.exists(device):
            raise SourceError(f"there is no camera {device}; {_cameras()}")
        if not os.access(device, os.R_OK | os.W_OK):
            raise SourceError(f"{device} is not permitted; join its group with: sudo usermod -aG video $USER")
        if driver_of(device) in RAW:
            raise SourceError(
                f"{device} is the camera at the board's connector, and gives raw data; let libcamera make pictures of "
                f"it: "
                "--source picamera"
            )
        if mode.controls:
            _set_controls(device, mode.controls, notify)
        # Only the first frame is waited for inside of OpenCV, for 10 s by default.
        os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", str(STALLED_S))
        self._opened = time.monotonic()
        self._capture = cv2.VideoCapture(device, cv2.CAP_V4L2)
        if not self._capture.isOpened():
            raise SourceError(f"{device} does not open as a camera, or another program uses it; {_cameras()}")
        self._closing = Closing(self._capture.release)
        granted = _ask(self._capture, mode, levels)
        self.mode = str(granted)
        if refused := _refused(mode, granted):
            notify(
                notice(
                    "warning",
                    "source",
                    f"{device} gives {self.mode}, not the {' and '.join(refused)} that it was asked for",
                )
            )
        if levels and granted.pixel_format != _DEEP:
            notify(
                notice(
                    "warning",
                    "source",
                    f"{device} gives {granted.pixel_format}; the model has seen 16-bit pictures, as a camera that "
                    f"gives Y16 "
                    "makes them",
                )
            )
        self._levels = levels if granted.pixel_format == _DEEP else None
        self._jpegs = granted.pixel_format in _COMPRESSED
        self._decoder = JpegDecoder(device, covering)
        self._retrieve = Retriever(self._capture)

    @property
    def unreadable(self) -> int:
        return self._decoder.unreadable

    @property
    def cut(self) -> int:
        return self._decoder.cut

    def __iter__(self) -> Iterator[SourceFrame]:
        """Gives frames without end.

        Raises:
            SourceError: The camera gives none any more, or only damaged ones.
        """
        index = 0
        start = time.perf_counter()
        heard = time.monotonic()
        while not self._closing.asked.is_set():
            with self._closing.reading() as may:
                data = self._newest(index) if may else None
            taken = time.monotonic()
            if data is None:
                if taken - heard > STALLED_S and not self._closing.asked.is_set():
                    raise SourceError(
                        f"{self._device} has given no frame for {STALLED_S} s; check its cable and its power"
                    )
                continue
            heard = taken
            image = self._decoder.decode(data.tobytes()) if self._jpegs else data
            if image is not None:
                capture_ms = 1e3 * (time.perf_counter() - start)
                yield SourceFrame(image, self._device, index, taken - self._opened, capture_ms, taken)  # type: ignore[arg-type]
                index += 1
                start = time.perf_counter()
                heard = time.monotonic()  # what the reader did meanwhile is not the camera's fault
                data = image = None  # or it would count as used while the next is read

    def close(self) -> None:
        self._closing.close()

    def _newest(self, index: int) -> MatLike | None:
        """The newest frame in the driver's queue, or None where there was none to be had for a moment.

        A full queue holds no new frame: the driver has thrown away all that came after the fourth. Then the next is
        waited for.
        """
        try:
            if not self._ready(SLICE_S):
                return None
            data = self._taken()
            # As many as the queue may hold beside the one that was taken: when none is left, that one is the newest.
            for _ in range(round(self._capture.get(cv2.CAP_PROP_BUFFERSIZE)) - 1):
                # A nanosecond, as OpenCV waits for ever where it is given 0.
                if not self._ready(1e-9):
                    return data
                data = self._taken()
        except cv2.error:
            raise SourceError(
                f"{self._device} has stopped giving frames after {index}; check its cable"
                if index
                else f"{self._device} opens but gives no frames; {_cameras()}"
            ) from None
        return None

    def _ready(self, seconds: float) -> bool:
        return cv2.VideoCapture.waitAny([self._capture], round(seconds * 1e9))[0]

    def _taken(self) -> MatLike | None:
        if self._jpegs:
            return self._capture.retrieve()[1]
        try:
            image = self._retrieve()
        except cv2.error as error:  # a buffer that is only partly filled
            self._decoder.damaged(error.err)
            return None
        self._decoder.intact()
        if image is not None and self._levels:
            return cv2.cvtColor(in_8_bits(image, self._levels), cv2.COLOR_GRAY2BGR)
        return image


def _set_controls(device: str, wanted: Mapping[str, str], notify: Notifier) -> None:
    """Sets controls, which a driver keeps from one opening to the next, and tells what they are then."""
    try:
        granted = set_controls(device, wanted)
    except OSError as error:
        if isinstance(error, EdgeError):
            raise
        raise SourceError(f"{device} does not open as a camera: {error.strerror or error}; {_cameras()}") from error
    notify(notice("info", "source", f"{device}: {', '.join(f'{name} is {value}' for name, value in granted.items())}"))


@dataclass(frozen=True)
class _Granted:
    width: int
    height: int
    pixel_format: str
    fps: float

    def __str__(self) -> str:
        return f"{self.width}x{self.height} {self.pixel_format} {self.fps:g} fps"


def _ask(capture: cv2.VideoCapture, mode: CameraMode, levels: Levels) -> _Granted:
    """Asks for a mode and tells what is granted."""
    pixel_format = mode.pixel_format or (_DEEP if levels else "MJPG")
    # The format first: which sizes and rates there are depends on it.
    capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*pixel_format.ljust(4)))
    if mode.width or mode.height:
        _ask_size(capture, mode)
    if mode.fps is not None:
        capture.set(cv2.CAP_PROP_FPS, mode.fps)
    granted = _now(capture)
    # Its own conversion decodes a JPEG at full size, and keeps but the upper 8 bits of a deep gray.
    if granted.pixel_format in _COMPRESSED or (levels and granted.pixel_format == _DEEP):
        capture.set(cv2.CAP_PROP_CONVERT_RGB, 0)
    return granted


def _ask_size(capture: cv2.VideoCapture, mode: CameraMode) -> None:
    """Asks for a width and a height; the one that is not given keeps the shape of what the camera gives now."""
    now = _now(capture)
    width = mode.width or round(now.width * (mode.height or 0) / now.height)
    # OpenCV sets neither before it was told both.
    capture.set(cv2.CAP_PROP_FRAME_WIDTH, width)
    capture.set(cv2.CAP_PROP_FRAME_HEIGHT, mode.height or round(now.height * width / now.width))


def _now(capture: cv2.VideoCapture) -> _Granted:
    return _Granted(
        width=round(capture.get(cv2.CAP_PROP_FRAME_WIDTH)),
        height=round(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)),
        pixel_format=int(capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little").decode("latin-1").strip(),
        fps=round(capture.get(cv2.CAP_PROP_FPS), 2),
    )


def _refused(mode: CameraMode, granted: _Granted) -> list[str]:
    """What was asked for and not granted, in words."""
    return [
        f"{name} {asked}"
        for name, asked, given in (
            ("width", mode.width, granted.width),
            ("height", mode.height, granted.height),
            ("pixel format", mode.pixel_format, granted.pixel_format),
        )
        if asked is not None and asked != given
    ] + ([f"{mode.fps:g} fps"] if mode.fps is not None and abs(mode.fps - granted.fps) > 0.5 else [])


def _cameras() -> str:
    """Which video devices there are, by name (a Raspberry Pi's codecs are among them), and what to do."""
    devices = sorted(Path("/dev").glob("video*"), key=lambda path: int("0" + re.sub(r"\D", "", path.name)))
    if not devices:
        return "this machine has none (no /dev/video*); plug one in, or name a video or a folder with --source"
    names = []
    for device in devices:
        try:
            names.append(f"{device} ({Path('/sys/class/video4linux', device.name, 'name').read_text().strip()})")
        except OSError:
            names.append(str(device))
    return f"choose with --source from {', '.join(names)}"

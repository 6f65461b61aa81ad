"""Where frames come from: cameras, video files, pictures.

A source is opened, gives its frames once, in order, and is closed:

    with open_source("0") as source:
        for frame in source:
            print(frame.time_s, classifier.classify(frame.image)[0])
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from edge_core.data.photo_folder import HEAD_BYTES
from edge_core.errors import SettingsError, SourceError
from edge_core.images.image_header import format_of
from edge_device.notices import Notifier, ignore
from edge_device.sources.network.addresses import is_address, redact, split_address
from edge_device.sources.pictures import Pictures, Skipped, matching
from edge_device.sources.source import (
    ANY_MODE,
    WHOLE,
    CameraMode,
    Decoding,
    PixelFormat,
    Source,
    SourceFrame,
    parse_controls,
)
from edge_device.system.interrupts import interruptible
from edge_device.system.lazy_exports import lazy_exports
from edge_device.system.nearest import nearest

if TYPE_CHECKING:
    from edge_device.sources.fake import FakeCamera
    from edge_device.sources.reconnecting import Reconnecting
    from edge_device.sources.stdin import StandardInput
    from edge_device.sources.v4l2 import Camera
    from edge_device.sources.video import Video

__all__ = [
    "Camera",
    "CameraMode",
    "Decoding",
    "FakeCamera",
    "Pictures",
    "PixelFormat",
    "Reconnecting",
    "Skipped",
    "Source",
    "SourceFrame",
    "StandardInput",
    "Video",
    "is_camera",
    "names_file",
    "open_source",
    "parse_controls",
    "redact",
]

# Each kind of source is imported when it is opened: who classifies pictures needs none of the cameras.
__getattr__ = lazy_exports(
    __name__,
    {
        "Camera": "edge_device.sources.v4l2",
        "FakeCamera": "edge_device.sources.fake",
        "Reconnecting": "edge_device.sources.reconnecting",
        "StandardInput": "edge_device.sources.stdin",
        "Video": "edge_device.sources.video",
    },
)


def names_file(text: str) -> bool:
    """Whether a source is a file, a folder or a pattern of files by a relative path, and no camera."""
    kind, colon, rest = text.partition(":")
    camera = (kind == "picamera" and (not colon or rest.isdecimal())) or (kind == "fake" and colon)
    return bool(text) and not (text == "-" or text.isdecimal() or text.startswith("/") or is_address(text) or camera)


@contextmanager
def open_source(
    text: str,
    mode: CameraMode = ANY_MODE,
    skipped: Skipped | None = None,
    *,
    decoding: Decoding = WHOLE,
    realtime: bool = False,
    reconnect: bool = False,
    wait: bool = False,
    notify: Notifier = ignore,
) -> Iterator[Source]:
    """Opens a source by what names it, and closes it at the end.

    Args:
        text: A camera's number or device (`0`, `/dev/video0`, `/dev/v4l/by-id/…`), a Raspberry Pi camera (`picamera`,
            `picamera:1`), a network camera (`rtsp://…`, `http://…`), a picture, a folder of pictures, a pattern
            (`photos/*.jpg`), a video file (of JPEGs in a row if it is named `.mjpeg`), standard input (`-`), or a
            camera that is not there (`fake:1280x720@30`).
        mode: Size, rate, format and controls to ask a camera for; of an address of single pictures, the rate alone.
        skipped: Function that is told of pictures passed over, see `Pictures`.
        decoding: Smallest size to which JPEGs may be decoded, and the levels of 16-bit pictures.
        realtime: Whether to play a video as if it were a camera.
        reconnect: Whether to open a camera that is lost again, for as long as it takes.
        wait: Whether to wait for a camera that is not there at first, too; needs `reconnect`.
        notify: Function that is told what a camera granted instead of what was asked for, that it is lost, and that it
            is back.

    Yields:
        The open source.

    Raises:
        SettingsError: A camera has no such control, or a source that is not a camera was given one.
        SourceError: There is no such source, or it gives no frames.
        RuntimeMissingError: picamera2 is not installed.
    """
    # A function that opens it, called below: settings are checked before any device is touched.
    camera = _camera(text, mode, decoding, notify)
    _check_settings(text, mode)
    source: Source
    if camera and reconnect:
        from edge_device.sources.reconnecting import Reconnecting

        # Opening waits within native code, where Ctrl-C would not be heard.
        source = interruptible(lambda: Reconnecting(camera, notify, wait=wait))
    elif camera:
        source = interruptible(camera)
    else:
        source = interruptible(lambda: _file(text, skipped, decoding, realtime))
    try:
        yield source
    finally:
        source.close()


def is_camera(text: str) -> bool:
    """Whether what names a source names a camera, here or on the network."""
    return _is_own(text) or is_address(text) or _is_picamera(text)


def _is_own(text: str) -> bool:
    return text.isdecimal() or text.startswith("/dev/")


def _is_picamera(text: str) -> bool:
    return text.partition(":")[0] == "picamera" and not Path(text).exists()


def _check_settings(text: str, mode: CameraMode) -> None:
    """Refuses settings where there is nobody to take them."""
    picamera = text.partition(":")[0] == "picamera"
    if mode.controls and not (_is_own(text) or picamera):
        raise SettingsError(f"--control is for cameras at this machine, not for {redact(text)}")
    if mode.tuning_file and not picamera:
        raise SettingsError(f"--tuning-file is for --source picamera, not for {redact(text)}")
    if mode.buffers and not picamera:
        raise SettingsError(f"--buffers is for --source picamera, not for {redact(text)}")


def _camera(text: str, mode: CameraMode, decoding: Decoding, notify: Notifier) -> Callable[[], Source] | None:
    """What opens a camera, as often as needed; None if `text` names no camera."""
    if _is_own(text):
        from edge_device.sources.plug import Plug
        from edge_device.sources.v4l2 import Camera

        plug = Plug(f"/dev/video{text}" if text.isdecimal() else text)
        return lambda: Camera(plug.device(), mode, decoding.covering, notify, decoding.levels)
    if is_address(text):
        scheme = split_address(text)[0].partition(":")[0]
        from edge_device.sources.network.streams import HttpCamera, RtspCamera  # 60 ms that no other source needs

        if scheme.startswith("rtsp"):
            return lambda: RtspCamera(text)
        return lambda: HttpCamera(text, mode.fps, decoding.covering)
    kind, _, rest = text.partition(":")
    if _is_picamera(text):
        if rest and not rest.isdecimal():
            raise SourceError(f"{text!r} is no Raspberry Pi camera; one is picamera or picamera:1")
        from edge_device.sources.picamera import PiCamera

        return lambda: PiCamera(int(rest or 0), mode, notify)
    if kind == "fake" and text != kind:
        from edge_device.sources.fake import fake_camera

        return fake_camera(text, mode).open
    return None


def _file(text: str, skipped: Skipped | None, decoding: Decoding, realtime: bool) -> Source:
    path = Path(text)
    if text == "-":
        from edge_device.sources.stdin import StandardInput

        return StandardInput(decoding.covering)
    if text and not path.exists() and any(mark in text for mark in "*?["):
        return Pictures(matching(text), skipped, decoding.levels)
    if not text or not path.exists():
        raise SourceError(
            f"{text!r} is no file, folder or camera{nearest(text.partition(':')[0], ['picamera'])}; --source takes "
            "one of these, 0 is the first camera, and rtsp:// or http:// begins the address of one on the network"
        )
    if path.is_dir() or _is_picture(path):
        return Pictures([path], skipped, decoding.levels)
    from edge_device.sources.video import Video

    return Video(path, realtime)


def _is_picture(path: Path) -> bool:
    """Whether a file's content is a picture's; a pipe is left to be read as a video, and so are JPEGs in a row."""
    # By the name alone: phones put several JPEGs into the file of one photo, too.
    if not path.is_file() or path.suffix.lower() in (".mjpeg", ".mjpg"):
        return False
    try:
        with path.open("rb") as file:
            return format_of(file.read(HEAD_BYTES)) not in ("", "video")
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror or error}") from error

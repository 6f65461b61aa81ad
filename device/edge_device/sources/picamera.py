"""The Raspberry Pi's camera, through picamera2."""

import os
import time
from collections.abc import Iterator, Mapping
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

from edge_core.errors import RuntimeMissingError, SettingsError, SourceError
from edge_device.notices import Notifier, ignore, notice
from edge_device.sources.source import ANY_MODE, SLICE_S, CameraMode, Closing, Source, SourceFrame
from edge_device.system.nearest import no_control
from edge_device.system.packages import installed, is_other_numpy, older_numpy

if TYPE_CHECKING:
    import numpy as np

STALLED_S: Final = 3.0
"""A camera that gives nothing for so long is lost: its ribbon cable has come loose, say."""

DEFAULT_SIZE: Final = (1280, 720)
"""What picamera2 gives for video; the image processor scales it down from the whole sensor for nothing."""

MANUAL, CONTINUOUS = 0, 2
"""Of AfMode: the lens goes where LensPosition says, or follows the scene (libcamera, control_ids_core.yaml)."""

SETTLED_FRAMES: Final = 10
"""Frames after which a camera has taken its settings up: the first few were on their way when it was asked."""

SAME: Final = 0.05
"""Part by which a value that is read back may differ: exposure comes in lines of the sensor, gain in its steps."""

_FORMAT: Final = "RGB888"
"""Named by the bits of a word as libcamera does: in memory its bytes are B, G, R (Picamera2 manual, 4.2.2)."""


class PiCamera(Source):
    """A camera on the board's ribbon connector."""

    live = True

    def __init__(self, number: int = 0, mode: CameraMode = ANY_MODE, notify: Notifier = ignore) -> None:
        """Opens and starts a camera.

        Args:
            number: Number of the camera, counted from 0 in the order of `rpicam-hello --list-cameras`.
            mode: Mode that is requested; its pixel format does not apply. A camera with a motor focuses
                continuously unless a control of its focus is given.
            notify: Gets what was granted, where it is not what was asked for, and what the controls that were given are
                after `SETTLED_FRAMES`.

        Raises:
            SettingsError: It has no such control, or the control cannot have such a value.
            SourceError: It is not there, or another program uses it.
            RuntimeMissingError: picamera2 cannot be imported.
        """
        self._name = f"picamera:{number}"
        camera_class = _picamera2()
        self._opened = time.monotonic()
        size = _size(mode)
        camera = None
        try:
            camera = camera_class(number, **({"tuning": str(mode.tuning_file.absolute())} if mode.tuning_file else {}))
            self._asked = _configure(camera, mode, size)
            granted = camera.camera_configuration()["main"]
            camera.start()
        except Exception as error:  # RuntimeError, IndexError, and what libcamera raises
            if camera is not None:
                camera.close()
            if isinstance(error, SettingsError):
                raise
            reason = f"{error} ({error.__cause__})" if error.__cause__ else str(error)
            raise SourceError(
                f"{self._name} does not start: {reason}; see rpicam-hello --list-cameras, and that no other program "
                f"uses it"
            ) from error
        self._camera = camera
        self._closing = Closing(self._release)
        self._notify = notify
        self.mode = "{}x{} {}".format(*granted["size"], granted["format"]) + (f" {mode.fps:g} fps" if mode.fps else "")
        if granted["format"] != _FORMAT:
            self.close()
            raise SourceError(f"{self._name} gives {granted['format']}, not the {_FORMAT} that it was asked for")
        if tuple(granted["size"]) != size:
            notify(
                notice(
                    "warning",
                    "source",
                    f"{self._name} gives {self.mode}, not the size {size[0]}x{size[1]} that it was asked for",
                )
            )

    def __iter__(self) -> Iterator[SourceFrame]:
        """Gives frames without end.

        Raises:
            SourceError: The camera gives none any more.
        """
        index = 0
        while not self._closing.asked.is_set():
            start = time.perf_counter()
            image = self._next()
            taken = time.monotonic()
            if image is not None:
                capture_ms = 1e3 * (time.perf_counter() - start)
                yield SourceFrame(image, self._name, index, taken - self._opened, capture_ms, taken)
                index += 1
                if index == SETTLED_FRAMES and self._asked:
                    self._read_back()

    def close(self) -> None:
        self._closing.close()

    def _next(self) -> "np.typing.NDArray[np.uint8] | None":
        """The next frame, or None when it was closed."""
        deadline = time.monotonic() + STALLED_S
        job: Any = None
        while time.monotonic() < deadline:
            with self._closing.reading() as may:
                if not may:
                    return None
                try:
                    # One job for all slices of the wait: a second one would wait for a second frame.
                    job = job or self._camera.capture_array("main", wait=False)
                    return self._camera.wait(job, timeout=SLICE_S)  # type: ignore[no-any-return]
                except TimeoutError:
                    continue
                except Exception as error:
                    raise SourceError(f"{self._name} has stopped giving frames: {error}") from error
        raise SourceError(f"{self._name} has given no frame for {STALLED_S:g} s; check its ribbon cable")

    def _read_back(self) -> None:
        """Tells what the controls are that were asked for, as the description of a frame has them."""
        with self._closing.reading() as may:
            if not may:
                return
            try:
                found = self._camera.wait(self._camera.capture_metadata(wait=False), timeout=STALLED_S)
            except Exception as error:  # noqa: BLE001 - frames are what counts; that they stop is noticed by `_next`
                self._notify(notice("warning", "source", f"{self._name} does not tell what its controls are: {error}"))
                return
        told, wrong = read_back(self._asked, found)
        self._notify(notice("warning" if wrong else "info", "source", f"{self._name}: {told}"))

    def _release(self) -> None:
        self._camera.cancel_all_and_flush()  # a job that still waits would keep `close` waiting
        self._camera.close()


def read_back(asked: Mapping[str, Any], found: Mapping[str, Any]) -> tuple[str, bool]:
    """What controls are, for people, and whether one is not what it was asked to be.

    Args:
        asked: Values that were asked for, by name.
        found: Description of a frame; it has what the sensor and the image processor did, not every setting.
    """
    told, wrong = [], False
    for name, value in asked.items():
        if name not in found:
            told.append(f"{name} was set to {_text(value)}, which the camera does not tell back")
            continue
        # Gains and limits are several numbers, and a frame's description may have fewer of them.
        pairs = list(zip(_items(value), _items(found[name]), strict=False))
        differs = any(abs(float(is_now) - float(wanted)) > SAME * abs(float(wanted)) + 1e-3 for wanted, is_now in pairs)
        wrong = wrong or differs
        told.append(
            f"{name} is {_text(found[name])}" + (f", not the {_text(value)} that was asked for" if differs else "")
        )
    return "; ".join(told), wrong


def _size(mode: CameraMode) -> tuple[int, int]:
    """Width and height to ask for; where one is given alone, the other follows from the usual size's shape."""
    width, height = mode.width, mode.height
    if width and not height:
        height = round(width * DEFAULT_SIZE[1] / DEFAULT_SIZE[0])
    if height and not width:
        width = round(height * DEFAULT_SIZE[0] / DEFAULT_SIZE[1])
    return (width, height) if width and height else DEFAULT_SIZE


def _configure(camera: Any, mode: CameraMode, size: tuple[int, int]) -> dict[str, Any]:
    """Sets a camera up, not yet started; what its controls were asked to be, by name."""
    offered = camera.camera_controls
    # libcamera has no frame rate: a frame's duration in microseconds, and the same as lowest and highest, fixes it.
    controls: dict[str, Any] = {"FrameDurationLimits": (round(1e6 / mode.fps),) * 2} if mode.fps else {}
    asked = {name: typed(name, text, offered) for name, text in mode.controls.items()}
    controls |= _focus(offered, mode.controls) | asked
    buffers = {"buffer_count": mode.buffers} if mode.buffers else {}
    main = {"size": size, "format": _FORMAT}
    camera.configure(camera.create_video_configuration(main, controls=controls, **buffers))
    return asked


def _text(value: Any) -> str:
    return ",".join(f"{one:g}" if isinstance(one, float) else str(one) for one in _items(value))


def typed(name: str, text: str, offered: Mapping[str, tuple[Any, Any, Any]]) -> Any:
    """The value of a control, of the type that the camera has for it.

    Args:
        name: Name of the control.
        text: A number, true or false, the name of one of libcamera's values ("Continuous"), or several with commas.
        offered: Lowest, highest and usual value of each control, as picamera2's `camera_controls` has them.

    Raises:
        SettingsError: There is no such control, or it cannot have such a value.
    """
    if name not in offered:
        ranges = {one: f"{one} ({offered[one][0]} to {offered[one][1]})" for one in sorted(offered)}
        raise SettingsError(no_control("the camera", name, ranges))
    low, high, usual = offered[name]
    limits = [_items(limit) for limit in (low, high, usual) if limit is not None]
    example = limits[-1][0] if limits else 0
    words = [word.strip() for word in text.split(",")]
    try:
        values = tuple(_one(name, word, example) for word in words)
    except ValueError:
        values = ()
    if not values or not _within(values, low, high):
        raise SettingsError(f"the control {name} is from {low} to {high}, not {text!r}")
    return values if len(values) > 1 else values[0]


def _within(values: tuple[Any, ...], low: Any, high: Any) -> bool:
    """Whether all values are within a control's limits; None is no limit."""
    return (low is None or min(values) >= min(_items(low))) and (high is None or max(values) <= max(_items(high)))


def _items(limit: Any) -> tuple[Any, ...]:
    return tuple(limit) if isinstance(limit, (tuple, list)) else (limit,)


def _one(name: str, word: str, example: Any) -> Any:
    # Before the numbers, since a bool is an int.
    if isinstance(example, bool):
        by_word = {"true": True, "1": True, "false": False, "0": False}
        if word.lower() not in by_word:
            raise ValueError
        return by_word[word.lower()]
    if isinstance(example, float):
        if not isfinite(float(word)):
            raise ValueError
        return float(word)
    try:
        return int(word)
    except ValueError:
        return _named(name, word)


def _named(name: str, word: str) -> int:
    """A value of one of libcamera's enumerations: `Continuous` of AfMode."""
    try:
        from libcamera import controls
    except ImportError as error:
        raise ValueError from error
    values = getattr(getattr(controls, f"{name}Enum", None), "__members__", {})
    found = {key.lower(): value for key, value in values.items()}.get(word.lower())
    if found is None:
        raise ValueError
    return int(found)


def _focus(offered: Mapping[str, object], given: Mapping[str, str]) -> dict[str, int]:
    """What a camera with a motor needs, which stays at its default distance otherwise."""
    if "AfMode" not in offered or "AfMode" in given:
        return {}
    return {"AfMode": MANUAL if "LensPosition" in given else CONTINUOUS}


def _picamera2() -> Any:
    """The class `Picamera2`.

    Raises:
        RuntimeMissingError: It is not installed, or not for this Python or NumPy.
    """
    os.environ.setdefault("LIBCAMERA_LOG_LEVELS", "*:ERROR")  # else it greets on standard error
    try:
        from picamera2 import Picamera2
    except (ImportError, ValueError) as error:  # ValueError: a part of it was compiled for another NumPy
        if is_other_numpy(str(error)):
            raise RuntimeMissingError(
                f"picamera2 was compiled for NumPy 1, and this Python has {installed('numpy')} ({error}); "
                f"{older_numpy()}"
            ) from error
        raise RuntimeMissingError(
            f"picamera2 cannot be imported ({error}); it comes from apt, not from pip: sudo apt install "
            f"python3-picamera2, "
            "and make the venv with python3 -m venv --system-site-packages, so that it is found"
        ) from error
    return Picamera2

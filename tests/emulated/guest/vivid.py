"""vivid, the kernel's virtual camera: its controls, its faults, and pictures put before it.

Structures and numbers: include/uapi/linux/videodev2.h of the Linux kernel; what the controls do:
Documentation/admin-guide/media/vivid.rst.
"""

import fcntl
import mmap
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Self

import numpy as np

from edge_core import Frame

DRIVER: Final = Path("/sys/bus/platform/drivers/vivid")
DEVICE: Final = "vivid.0"

WEBCAM: Final = 0
HDMI: Final = 1
"""The inputs that `edge_bench.arm.machine.CAMERA` gives it."""

DROPPED: Final = 90
"""Per cent of the frames. HDMI has 60 of them a second, more than an emulated processor can copy beside other work."""

_QUERYCTRL: Final = 0xC0445624
_G_CTRL: Final = 0xC008561B
_S_CTRL: Final = 0xC008561C
_ENUM_DV_TIMINGS: Final = 0xC0945662
_S_DV_TIMINGS: Final = 0xC0845657
_S_INPUT: Final = 0xC0045627
_G_FMT: Final = 0xC0D05604
_S_FMT: Final = 0xC0D05605
_REQBUFS: Final = 0xC0145608
_QUERYBUF: Final = 0xC0585609
_QBUF: Final = 0xC058560F
_DQBUF: Final = 0xC0585611
_STREAMON: Final = 0x40045612

_NEXT: Final = 0x80000000
_OUTPUT: Final = 2
_MMAP: Final = 1
_NO_FIELD: Final = 1


def bind() -> None:
    """Plugs the camera in."""
    (DRIVER / "bind").write_text(DEVICE)


def unbind() -> None:
    """Pulls it out, whoever is using it."""
    (DRIVER / "unbind").write_text(DEVICE)


class Node:
    """One of its device files, `vid-cap` or `vid-out`, while the `with` block runs."""

    def __init__(self, kind: str) -> None:
        (path,) = (
            Path("/dev", name.parent.name)
            for name in Path("/sys/class/video4linux").glob("*/name")
            if name.read_text().strip().endswith(kind)
        )
        self.path = str(path)

    def __enter__(self) -> Self:
        self.file = os.open(self.path, os.O_RDWR)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.file)

    def control(self, name: str, value: int = 1) -> None:
        """Sets a control, or presses it if it is a button."""
        fcntl.ioctl(self.file, _S_CTRL, struct.pack("<Ii", dict(self._controls())[name], value))

    def value(self, name: str) -> int:
        """What a control is set to."""
        setting = bytearray(struct.pack("<Ii", dict(self._controls())[name], 0))
        fcntl.ioctl(self.file, _G_CTRL, setting)
        value: int = struct.unpack_from("<i", setting, 4)[0]
        return value

    def choose(self, signal: int) -> None:
        """Which of its inputs it captures, `WEBCAM` or `HDMI`."""
        fcntl.ioctl(self.file, _S_INPUT, struct.pack("<i", signal))

    def timings(self, width: int, height: int) -> None:
        """Lets the signal, or expects it to, be of that size; the first rate that there is."""
        for index in range(200):
            query = bytearray(struct.pack("<I", index).ljust(148, b"\0"))
            fcntl.ioctl(self.file, _ENUM_DV_TIMINGS, query)
            if struct.unpack_from("<III", query, 16) == (0, width, height):
                fcntl.ioctl(self.file, _S_DV_TIMINGS, query[16:])
                return

    def _controls(self) -> Iterator[tuple[str, int]]:
        number = 0
        while True:
            query = bytearray(struct.pack("<I", number | _NEXT).ljust(68, b"\0"))
            try:
                fcntl.ioctl(self.file, _QUERYCTRL, query)
            except OSError:
                return
            (number,) = struct.unpack_from("<I", query)
            yield query[8:40].split(b"\0")[0].decode(), number


class Screen(Node):
    """What stands before the camera while the `with` block runs: pictures of one size, pixel for pixel."""

    BUFFERS: Final = 3

    def __init__(self, width: int, height: int) -> None:
        super().__init__("vid-out")
        self._shape = (height, width, 3)

    def __enter__(self) -> Self:
        super().__enter__()
        height, width, _ = self._shape
        with Node("vid-cap") as camera:
            camera.choose(HDMI)
            for node in (self, camera):
                node.timings(width, height)
            camera.control("OSD Text Mode", 2)  # none
            camera.control("Loop Video")
            camera.control("Percentage of Dropped Buffers", DROPPED)
        form = bytearray(struct.pack("<I", _OUTPUT).ljust(208, b"\0"))
        fcntl.ioctl(self.file, _G_FMT, form)
        struct.pack_into("<2I4s3I", form, 8, width, height, b"BGR3", _NO_FIELD, 0, 0)
        fcntl.ioctl(self.file, _S_FMT, form)
        fcntl.ioctl(self.file, _REQBUFS, bytearray(struct.pack("<5I", self.BUFFERS, _OUTPUT, _MMAP, 0, 0)))
        self._memory = []
        for index in range(self.BUFFERS):
            query = self._buffer(index)
            fcntl.ioctl(self.file, _QUERYBUF, query)
            offset, length = struct.unpack_from("<I4xI", query, 64)
            self._memory.append(mmap.mmap(self.file, length, offset=offset))
        self._unused = list(range(self.BUFFERS))
        self._streams = False
        return self

    def show(self, picture: Frame) -> None:
        """Puts a picture there, and returns once the camera gives that one.

        The driver shows the picture that has waited longest for as long as no other waits, so nothing need be repeated.
        It gives back the picture before when it takes this one, a frame later or, as often as it drops frames, many.
        """
        assert picture.shape == self._shape
        for _ in range(1 if self._streams else 2):  # it wants two to begin with
            index = self._unused.pop()
            self._memory[index][: picture.nbytes] = np.ascontiguousarray(picture).tobytes()
            fcntl.ioctl(self.file, _QBUF, self._buffer(index))
        if not self._streams:
            fcntl.ioctl(self.file, _STREAMON, struct.pack("<i", _OUTPUT))
            self._streams = True
        while len(self._unused) < self.BUFFERS - 1:
            done = self._buffer(0)
            fcntl.ioctl(self.file, _DQBUF, done)
            self._unused.append(struct.unpack_from("<I", done)[0])

    def _buffer(self, index: int) -> bytearray:
        buffer = bytearray(88)
        struct.pack_into("<5I", buffer, 0, index, _OUTPUT, int(np.prod(self._shape)), 0, _NO_FIELD)
        struct.pack_into("<I", buffer, 60, _MMAP)
        return buffer

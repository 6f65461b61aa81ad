"""Frames with their labels in a window on the desktop."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import ClassVar, Final, Literal

import cv2

from edge_core.artifact.card import ModelCard
from edge_core.errors import SettingsError
from edge_core.preprocess import Frame
from edge_device.frames.regions import Region
from edge_device.sinks.drawing import DrawingSink
from edge_device.sources import SourceFrame

ESCAPE: Final = 27


class Window(DrawingSink):
    """Shows the newest frame until the window is closed, or q or Escape is pressed."""

    name = "window"
    frames: ClassVar[Literal["all", "newest", "none"]] = "newest"

    def __init__(self, regions: Mapping[str, Region] | None = None, closed: Callable[[], None] = lambda: None) -> None:
        """Opens nothing yet.

        Args:
            regions: Regions of the zones, by name.
            closed: Told when the person has closed the window.
        """
        super().__init__(regions)
        self._closed = closed
        self._title = "edge-run"
        self._shown = False
        self._probed = False

    def open(self, card: ModelCard) -> None:
        if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            raise SettingsError("--window needs a desktop: neither DISPLAY nor WAYLAND_DISPLAY is set; try --web")
        if not hasattr(cv2, "currentUIFramework") or not cv2.currentUIFramework():
            raise SettingsError("--window needs an OpenCV with windows; this one is headless, opencv-python is not")
        os.environ.setdefault("QT_LOGGING_RULES", "*.warning=false")  # it misses fonts that nothing here uses
        if not self._probed:
            # Where the desktop cannot be reached, Qt ends the process.
            probe = [sys.executable, "-c", "import cv2; cv2.namedWindow('edge-run'); cv2.waitKey(1)"]
            if subprocess.run(probe, capture_output=True, timeout=30, check=False).returncode:
                raise SettingsError(
                    "--window cannot reach the desktop that DISPLAY or WAYLAND_DISPLAY names; try --web"
                )
            self._probed = True

    def drawn(self, picture: Frame, frame: SourceFrame) -> None:
        if self._shown and cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) < 1:
            self._closed()
            return
        if not self._shown:  # here, not in `open`: a window belongs to the thread that made it
            cv2.namedWindow(self._title, cv2.WINDOW_NORMAL)
            cv2.resizeWindow(self._title, picture.shape[1], picture.shape[0])
            self._shown = True
        cv2.imshow(self._title, picture)
        # Also what lets the window be drawn; the higher bits are states of the keyboard.
        if cv2.waitKey(1) & 0xFF in (ESCAPE, ord("q")):
            self._closed()

    def close(self) -> None:
        if self._shown:
            cv2.destroyWindow(self._title)

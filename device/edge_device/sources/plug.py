"""Where a camera is plugged in: what stays the same when the kernel gives it another number."""

from pathlib import Path
from typing import Final

KNOWN: Final = Path("/sys/class/video4linux")
"""Of the kernel: a folder for each /dev/video*, with a link to the device behind it, and the stream's `index`, of which
a camera has several."""


class Plug:
    """Finds a camera again that comes back before its old number is free: /dev/video0 is /dev/video1 then."""

    def __init__(self, device: str, known: Path = KNOWN) -> None:
        """Remembers nothing yet.

        Args:
            device: Path of the camera, or a link to it.
            known: Folder in which the kernel lists the cameras that it knows.
        """
        self._device = device
        self._known = known
        self._place: tuple[Path, str] | None = None

    def device(self) -> str:
        """The path to open: that of what hung at this place at the first call, else the one that was named."""
        # Links, as those in /dev/v4l/by-id, are followed to the node that they lead to now.
        there = self._place_of(Path(self._device).resolve().name)
        if self._place is None:
            self._place = there
        if there != self._place:
            for name in sorted(entry.name for entry in self._known.glob("video*")):
                if self._place_of(name) == self._place:
                    return f"/dev/{name}"
        return self._device

    def _place_of(self, name: str) -> tuple[Path, str] | None:
        try:
            return (self._known / name / "device").resolve(strict=True), (self._known / name / "index").read_text()
        except OSError:
            return None

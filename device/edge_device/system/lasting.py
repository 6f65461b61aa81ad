"""What will not last: folders in memory, as on a root that an overlay protects from being written."""

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

MOUNTS: Final = Path("/proc/self/mountinfo")

_IN_MEMORY: Final = ("tmpfs", "ramfs")


@dataclass(frozen=True)
class Mount:
    """A file system and where it is mounted.

    Attributes:
        point: Where it is mounted.
        kind: Its type: "ext4", "overlay", "tmpfs".
        options: Its own options, as the kernel has them: "rw,lowerdir=/,upperdir=/media/root-rw/overlay".
    """

    point: PurePosixPath
    kind: str
    options: str


def why_not_lasting(path: Path, mounts: Path = MOUNTS) -> str:
    """Why what is written at a path is gone after the next start of the machine, for people; empty if it lasts.

    Args:
        path: A file or a folder, which need not be there.
        mounts: The kernel's list of mounts.
    """
    try:
        found = parse_mounts(mounts.read_text("utf-8", "replace"))
    except OSError:  # not Linux, or no /proc: nothing is known
        return ""
    mount = _mount_of(PurePosixPath(path.resolve()), found)
    if mount is None:
        return ""
    if mount.kind in _IN_MEMORY:
        return f"{mount.point} is in memory ({mount.kind})"
    upper = re.search(r"(?:^|,)upperdir=([^,]+)", mount.options)
    if mount.kind == "overlay" and upper:
        above = _mount_of(PurePosixPath(upper[1]), found)
        if above is not None and above.kind in _IN_MEMORY:
            return f"{mount.point} is an overlay whose changes are in memory ({above.kind} at {above.point})"
    return ""


def parse_mounts(text: str) -> list[Mount]:
    """The mounts in a `mountinfo`, see proc(5), those that hide others last; lines that are something else are left
    out."""
    found = []
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        left, right = before.split(" "), after.split(" ")
        if len(left) >= 6 and len(right) >= 3:
            # The kernel writes spaces, tabs, line breaks and backslashes in octal.
            point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), left[4])
            found.append(Mount(PurePosixPath(point), right[0], right[2]))
    return found


def _mount_of(path: PurePosixPath, mounts: list[Mount]) -> Mount | None:
    """The mount that a path is on: of those above it the deepest, of those at one place the latest."""
    above = [mount for mount in mounts if mount.point in (path, *path.parents)]
    return max(enumerate(above), key=lambda one: (len(one[1].point.parts), one[0]))[1] if above else None

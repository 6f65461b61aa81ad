"""Labels as names of folders."""

import re

from edge_core.data.photo_folder import nfc
from edge_device.results import UNKNOWN


def folder_name(label: str) -> str:
    """A label as the name of a folder, in NFC: no path, not hidden, not too long for a file system."""
    name = re.sub(r"[/\\\0-\x1f\x7f]", "_", nfc(label)).strip()
    name = re.sub(r"^\.", "_", name) or UNKNOWN
    # File systems take 255 bytes for a name; cut within a character, its rest is dropped.
    return name.encode(errors="replace")[:200].decode(errors="ignore")

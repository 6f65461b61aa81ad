"""Folders of the user's account. Standard library alone."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """Where rendered photos, feature maps and fetched weights are kept between runs (XDG Base Directory
    Specification)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edge-mobilenet"


def state_folder() -> Path:
    """Where what a program remembers from one start to the next is kept (XDG Base Directory Specification)."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "edge-mobilenet"

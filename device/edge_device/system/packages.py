"""What is installed, and the commands that mend it: the standard library alone, for where nothing else can be
imported."""

import shlex
import sys
from importlib import metadata
from typing import Final

OPENCVS: Final = ("opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless")
"""All of them are a package cv2, in one and the same folder: the last one installed wins, in part."""

LIBEDGETPU: Final = (
    "take libedgetpu1-std for this system from github.com/feranick/libedgetpu/releases, then: "
    "sudo apt install ./libedgetpu1-std_*.deb"
)
"""Not Google's own, which is reported to die by SIGSEGV with tflite-runtime 2.12 and newer."""


def pip(*arguments: str) -> str:
    """A command that installs into this very Python."""
    return shlex.join([sys.executable, "-m", "pip", *arguments])


def installed(distribution: str) -> str | None:
    """Version of an installed distribution; None if it is not."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def older_numpy() -> str:
    """A command that brings NumPy 1 for what was compiled for it.

    OpenCV 5 and 4.12 want NumPy 2, so it is named, too: pip takes the newest release of it that bears NumPy 1, 4.11.
    """
    return pip("install", "numpy<2", *([name for name in OPENCVS if installed(name)] or OPENCVS[:1]))


def is_other_numpy(error: str) -> bool:
    """Whether an import failed since what it loads was compiled for another NumPy, by what Cython and NumPy say then:
    "numpy.dtype size changed", "numpy.core.multiarray failed to import", "module compiled against ABI version ..."."""
    text = error.lower()
    return "no module named" not in text and ("numpy" in text or "compiled against" in text)

"""The studio as a command of its own, for a real browser."""

import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def served(start: Callable[..., subprocess.Popen[str]], folder: Path) -> Iterator[str]:
    """Runs `edge-train studio` on a folder; gives the address to open, with its token."""
    with start(
        "edge_studio.cli", folder, "--port", 0, "--no-browser", "--token-file", folder.parent / "token"
    ) as process:
        assert process.stderr
        line = process.stderr.readline()
        found = re.search(r"http://\S+", line)
        assert found, line + process.stderr.read()
        yield found[0]
        process.terminate()
        process.wait(30)

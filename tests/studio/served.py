"""The studio as a command of its own, for a real browser."""

import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def served(start: Callable[..., subprocess.Popen[str]], folder: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Runs `edge-train studio` on a folder; gives the address to open, with its token, and the process."""
    with start(
        "edge_studio.cli", folder, "--port", 0, "--no-browser", "--token-file", folder.parent / "token"
    ) as process:
        assert process.stderr
        said = ""
        while not (found := re.search(r"http://\S+\n", said)):  # a warning may come first
            line = process.stderr.readline()
            assert line, said
            said += line
        yield found[0].strip(), process
        process.terminate()
        process.wait(120)

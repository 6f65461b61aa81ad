"""The last line of a command: what to do next, to be pasted. Only a person at a terminal gets it, no script and no
log."""

import shlex
import shutil
import sys
from pathlib import Path


def say_next(*commands: str) -> None:
    """Prints the next command on standard error, and others that may be meant instead, a line each."""
    if sys.stderr is None or not sys.stderr.isatty():
        return
    for number, command in enumerate(commands):
        print("  or:" if number else "next:", command, file=sys.stderr, flush=True)


def as_root(*words: str) -> str:
    """`sudo edge-run ...`, with the command's path, which root does not search for in a venv."""
    return shlex.join(["sudo", shutil.which("edge-run") or "edge-run", *words])


def say_next_live(model: Path, *options: str) -> None:
    """Prints how to look through a camera with `model`: a USB camera, or the Raspberry Pi's own.

    Args:
        model: Path of the model.
        options: Further options of `edge-run live`.
    """
    words = shlex.join([str(model), *options])
    say_next(*(f"edge-run live {words} --source {source}" for source in ("0", "picamera")))

"""How each of the four commands begins, with nothing but the standard library.

The command itself is imported here, so that what goes wrong on the way (Ctrl-C, a NumPy or OpenCV that cannot be
loaded) is told in one line, as it is later on.
"""

from __future__ import annotations

# Until Ctrl-C has its handler it prints a traceback, so what Python's own start has not loaded is imported later on.
import os
import sys
from importlib import import_module

TYPE_CHECKING = False  # `typing` takes as long to import as all that is done until then
if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Sequence
    from typing import Any, Final
else:
    import _signal as signal  # the same functions, without the enumerations that `signal` makes of its numbers

_BROKEN: Final = (ImportError, SystemError, AttributeError, ValueError)
"""What an import raises where a package is missing or was built for another NumPy."""

INTERRUPTED: Final = 130
"""Exit status after Ctrl-C: 128 + SIGINT, as shells have it."""

TERMINATED: Final = 143
"""Exit status after SIGTERM."""


def run_command(
    name: str, module: str, *, doctor: Callable[[Sequence[str]], int] | None = None, in_child: bool = True
) -> None:
    """Runs one of the four commands with the arguments of this process.

    Args:
        name: Name of the command, `edge-train` for one.
        module: Module whose `app` is the command.
        doctor: Examination that is begun, for `NAME doctor`, before anything is imported that it may find broken.
        in_child: Whether the command works in a process of its own, see `edge_device.system.supervisor`.

    Raises:
        SystemExit: Always, with the exit status.
    """
    # At once: Python's own handler raises within the import of a module, which prints a traceback.
    signal.signal(signal.SIGINT, _interrupted)
    _occupy_standard_streams()
    if doctor is not None and sys.argv[1:2] == ["doctor"]:
        raise SystemExit(doctor(sys.argv[2:]))
    # Before anything large is imported: the child is forked while the process is small and has no threads.
    if in_child:
        from edge_device.system.supervisor import go_on_in_child

        go_on_in_child()
    else:
        from edge_device.system.interrupts import exit_on_signals

        exit_on_signals()
    try:
        app = _shown(name, module) if in_child else import_module(module).app
    except _BROKEN as error:
        reason = " ".join(str(error).split())
        advisor = name if doctor is not None else "edge-run"
        print(f"error: {reason}; {advisor} doctor tells what is wrong and how to mend it", file=sys.stderr)
        raise SystemExit(2) from None
    try:
        app(prog_name=name)
    except SystemExit as ended:
        if in_child and ended.code in (INTERRUPTED, TERMINATED):
            os._exit(ended.code)  # all is cleaned up and told; to take TensorFlow down in order takes seconds more
        raise


def _occupy_standard_streams() -> None:
    """Opens what the shell has closed (`2>&-`): a file that is opened would get its number, and what goes to it."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    if sys.stderr is None:  # `print` would take standard output in its place, which scripts read
        sys.stderr = os.fdopen(2, "w")


def _shown(name: str, module: str) -> Any:
    """The command of a module; on a terminal, a line says that it is on its way: a busy machine takes seconds."""
    from contextlib import nullcontext

    from edge_device.command_line.elapsed_line import elapsed_line

    with elapsed_line(f"Starting {name}") if sys.stderr.isatty() else nullcontext():
        return import_module(module).app


def _interrupted(number: int, frame: object) -> None:
    """What Ctrl-C does until the modules are there that know better."""
    os.write(2, b"interrupted\n")
    os._exit(INTERRUPTED)

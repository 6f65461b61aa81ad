import os
import pty
import re
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edge_device.command_line.elapsed_line import line

HOLDS_THE_LOCK = """
import ctypes
from edge_device.command_line.console import say, working
with working("Converting"):
    ctypes.PyDLL(None).read(0, ctypes.create_string_buffer(9), 9)  # a PyDLL, unlike a CDLL, keeps Python's lock
say("done")
"""
"""A program whose threads all stand still until its input ends, as they do in TensorFlow's import and converter."""

END = b"\x04"
"""What ends the input of a program that reads from a terminal."""


def on_a_terminal() -> tuple[int, int]:
    """Process id of the program, and the terminal's other end."""
    process, terminal = pty.fork()
    if process == 0:
        os.environ["TERM"] = "xterm"
        os.execv(sys.executable, [sys.executable, "-c", HOLDS_THE_LOCK])
    return process, terminal


def read_until(terminal: int, pattern: str) -> str:
    """What a terminal shows, up to the first match or the end of the program."""
    shown = ""
    while not re.search(pattern, shown):
        assert select.select([terminal], [], [], 120)[0], shown
        try:
            shown += os.read(terminal, 1 << 16).decode()
        except OSError:  # the last process has closed it
            break
    return shown


def test_the_time_goes_on_while_native_code_holds_pythons_lock() -> None:
    process, terminal = on_a_terminal()
    shown = read_until(terminal, r"Converting \d+:\d\d")
    begun = re.findall(r"\d+:\d\d", shown)[-1]
    shown += read_until(terminal, rf"Converting (?!{begun})\d+:\d\d")
    os.write(terminal, END)
    shown += read_until(terminal, "done")
    os.waitpid(process, 0)
    os.close(terminal)
    assert shown.rsplit("\033[K", 1)[1].startswith("done")  # on a line of its own, nothing left beside it


def test_nothing_is_drawn_any_more_once_the_program_was_killed() -> None:
    process, terminal = on_a_terminal()
    read_until(terminal, "Converting")
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    read_until(terminal, "never shown")  # ends when no process has the terminal open
    os.close(terminal)


def test_ctrl_c_reaches_the_program_and_leaves_no_trace_of_the_line() -> None:
    process, terminal = on_a_terminal()
    read_until(terminal, "Converting")
    os.write(terminal, b"\x03")
    shown = read_until(terminal, "never shown")
    _, status = os.waitpid(process, 0)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGINT
    assert shown.count("KeyboardInterrupt") == 1  # the program's own


def test_a_log_gets_no_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", HOLDS_THE_LOCK],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=180,
        cwd=tmp_path,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("", "done\n")


@pytest.mark.parametrize("width", [10, 40, 80])
def test_the_line_never_folds_and_keeps_its_time(width: int) -> None:
    drawn = line("Loading TensorFlow, which takes a while", 3_725, 2, width).replace("\r", "").replace("\033[K", "")
    assert len(drawn) < width
    assert drawn.endswith(" 62:05")

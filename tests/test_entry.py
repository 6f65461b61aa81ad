"""How the four commands begin and how signals end them, with real processes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import cv2
import pytest
from tests.programs import Started

from edge_core import Frame

PATIENCE_S = 120.0
"""Seconds within which a command must have ended that takes one on an idle machine."""

COMMANDS = {
    "edge-train": "edge_train",
    "edge-convert": "edge_convert",
    "edge-run": "edge_device",
    "edge-bench": "edge_bench",
}
STATUS = {signal.SIGINT: (130, "interrupted\n"), signal.SIGTERM: (143, "")}

NATIVE = """
def native(tells=None):
    "Waits for ever in native code that holds Python's lock: a mutex is locked twice, which no signal interrupts."
    import ctypes
    mutex, library = ctypes.create_string_buffer(256), ctypes.PyDLL(None)
    library.pthread_mutex_lock(mutex)
    if tells:
        Path(tells).write_text("next")
    while True:
        library.pthread_mutex_lock(mutex)
"""

WORK = f"""
import os, time
from pathlib import Path
from edge_core.files import folder_written_whole
from edge_device.command_line.console import one_line_errors
{NATIVE}
def app(prog_name):
    with one_line_errors(), folder_written_whole(Path("run")) as beside:
        (beside / "half").write_text("written")
        Path("ready").write_text(str(os.getpid()))
        WAIT
"""


def begun(folder: Path, *command: str) -> "Started[str]":
    """A command in a session of its own, begun with SIGINT ignored, whose modules in `folder` come before installed
    ones."""
    path = os.pathsep.join([str(folder), *sys.path])
    return Started(
        ["sh", "-c", 'trap "" INT; exec "$@"', "sh", sys.executable, *command],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def working(folder: Path, wait: str) -> "Started[str]":
    """A command that works in a child, and has half-written a folder when this returns."""
    (folder / "work.py").write_text(WORK.replace("WAIT", wait))
    process = begun(
        folder, "-c", "from edge_device.command_line.entry import run_command; run_command('edge-x', 'work')"
    )
    wait_for(folder / "ready")
    return process


def wait_for(file: Path) -> str:
    end_s = time.monotonic() + PATIENCE_S
    while not (file.exists() and file.read_text()):
        assert time.monotonic() < end_s, f"{file.name} is not written"
        time.sleep(0.01)
    return file.read_text()


def test_a_command_that_works_in_a_child_needs_no_temporary_files(tmp_path: Path) -> None:
    (tmp_path / "work.py").write_text(WORK.replace("WAIT", "pass"))
    run = "from edge_device.command_line.entry import run_command; run_command('edge-x', 'work')"
    with begun(tmp_path, "-c", f"import tempfile; tempfile.tempdir = '/nowhere'; {run}") as process:
        assert process.communicate(timeout=PATIENCE_S) == ("", "")
    assert (tmp_path / "run" / "half").exists()


@pytest.mark.parametrize("module", COMMANDS.values())
def test_ctrl_c_while_a_command_is_imported_is_one_word(module: str, tmp_path: Path) -> None:
    (tmp_path / "cv2.py").write_text("open('ready', 'w').write('now')\nimport time\ntime.sleep(60)")
    with begun(tmp_path, "-m", module) as process:
        wait_for(tmp_path / "ready")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, errors) == (130, "interrupted\n")


FIRST = """
import os, sys, _signal
loaded = set(sys.modules)
def handler(number, does):
    print(*sorted(name for name in set(sys.modules) - loaded if not name.startswith("edge_")))
    sys.stdout.flush()
    os._exit(0)
_signal.signal = handler
from MODULE.__main__ import main
main()
"""


@pytest.mark.parametrize("module", COMMANDS.values())
def test_ctrl_c_has_its_handler_before_anything_is_imported_that_takes_long(module: str, tmp_path: Path) -> None:
    with begun(tmp_path, "-c", FIRST.replace("MODULE", module)) as process:
        imported, errors = process.communicate(timeout=PATIENCE_S)
    assert not errors
    # With `typing` and `enum`, three of four tracebacks after Ctrl-C came from here and not from Python's own start.
    assert {name.split(".")[0] for name in imported.split()} <= {"__future__", "_warnings", "importlib", "warnings"}


@pytest.mark.parametrize(("name", "module"), COMMANDS.items())
def test_a_package_that_cannot_be_loaded_is_one_line(name: str, module: str, tmp_path: Path) -> None:
    (tmp_path / "cv2.py").write_text("raise ImportError('numpy.core.multiarray failed\\nto import')")
    with begun(tmp_path, "-m", module, "--help") as process:
        _, errors = process.communicate(timeout=PATIENCE_S)
    doctor = name if name == "edge-train" else "edge-run"
    told = f"error: numpy.core.multiarray failed to import; {doctor} doctor tells what is wrong and how to mend it\n"
    assert (process.returncode, errors) == (2, told)


@pytest.mark.parametrize("number", STATUS)
@pytest.mark.parametrize("wait", ["native()", "time.sleep(60)"])
def test_a_signal_ends_a_command_wherever_it_is_and_nothing_half_written_stays(
    wait: str, number: signal.Signals, tmp_path: Path
) -> None:
    with working(tmp_path, wait) as process:
        process.send_signal(number)
        _, errors = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, errors) == STATUS[number]
    assert {path.name for path in tmp_path.iterdir()} <= {"ready", "work.py", "__pycache__"}


@pytest.mark.parametrize(("number", "told"), [(signal.SIGINT, "second\n"), (signal.SIGTERM, "")])
def test_a_command_that_had_to_be_killed_says_what_it_has_noted_last(
    number: signal.Signals, told: str, tmp_path: Path
) -> None:
    notes = "from edge_device.system.supervisor import note_advice; note_advice('first'); note_advice('second'); "
    with working(tmp_path, notes + "native('noted')") as process:
        wait_for(tmp_path / "noted")
        time.sleep(1.5)  # a signal that comes before the next call is answered by the child itself, which says nothing
        process.send_signal(number)
        _, errors = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, errors) == (STATUS[number][0], told + STATUS[number][1])
    assert not (tmp_path / "run").exists() and not list(tmp_path.glob("*says*"))


def test_ctrl_c_at_a_terminal_reaches_parent_and_child_and_counts_once(tmp_path: Path) -> None:
    # It says that it has begun where its `finally` holds, not before.
    slowly = "try: Path('begun').write_text('yes'); time.sleep(60)\n        "
    slowly += "finally: time.sleep(1.5); Path('cleaned').write_text('up')"
    with working(tmp_path, slowly) as process:
        wait_for(tmp_path / "begun")
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, errors) == (130, "interrupted\n")
    assert (tmp_path / "cleaned").exists()  # a child that has heard takes the time it needs


def test_a_command_does_not_outlive_the_process_that_was_started(tmp_path: Path) -> None:
    with working(tmp_path, "native()") as process:
        process.kill()
        process.communicate(timeout=PATIENCE_S)  # ends when nobody holds the pipes any more


def test_a_command_that_the_kernel_kills_says_so(tmp_path: Path) -> None:
    with working(tmp_path, "os.kill(os.getpid(), 9)") as process:
        _, errors = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, errors) == (137, "error: the command was ended by SIGKILL; memory may have run out\n")
    assert not list(tmp_path.glob(".run*"))


@pytest.mark.parametrize(("name", "module"), COMMANDS.items())
def test_each_command_tells_its_version(name: str, module: str, tmp_path: Path) -> None:
    with begun(tmp_path, "-m", module, "--version") as process:
        told, errors = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, told, errors) == (0, f"{name} {version('edge-mobilenet')}\n", "")


@pytest.mark.parametrize("module", ["edge_train", "edge_convert", "edge_bench"])
def test_tensorflow_is_loaded_by_work_and_by_no_help_text(module: str, tmp_path: Path) -> None:
    (tmp_path / "tensorflow.py").write_text("open('loaded', 'w')")
    with begun(tmp_path, "-m", module, "--help") as process:
        process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    assert not (tmp_path / "loaded").exists()


def test_a_command_imports_nothing_that_only_others_need() -> None:
    program = "import sys; from edge_device.cli import app; app(['images', '--help'], standalone_mode=False); "
    told = "print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", program + told], check=True, capture_output=True, text=True)
    modules = set(done.stderr.split())
    assert "edge_device.cli.images_command" in modules and "Usage: " in done.stdout
    assert not modules & {"edge_device.cli.live_command", "edge_device.teaching", "edge_device.live", "tomllib", "ssl"}


HEAVY = {
    *("argparse", "asyncio", "concurrent", "html", "http", "logging", "multiprocessing", "sqlite3", "ssl"),
    *("statistics", "tomllib", "urllib.request", "cryptography", "rich", "starlette", "matplotlib", "tensorflow"),
    *("edge_device.cli.live_command", "edge_device.cli.service_command", "edge_device.doctor", "edge_device.frames"),
    *("edge_device.live", "edge_device.sinks.mqtt", "edge_device.sinks.web", "edge_device.system.board"),
    *("edge_device.system.unit_file", "edge_device.teaching", "edge_device.inference.verify"),
}
"""What classifying a picture does without; with some of these families it imported 6 % more modules."""


def test_classifying_a_picture_imports_nothing_that_only_other_work_needs(
    tiny_model: Callable[..., Path], color_frames: dict[str, Frame], tmp_path: Path
) -> None:
    picture = tmp_path / "red.png"
    cv2.imwrite(str(picture), color_frames["red"])
    program = "import sys; from edge_device.cli import app; app(sys.argv[1:], standalone_mode=False); "
    told = "print(*sys.modules, file=sys.stderr)"
    words = [sys.executable, "-c", program + told, "images", str(tiny_model()), str(picture)]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    assert "red" in done.stdout
    modules = done.stderr.splitlines()[-1].split()
    found = {one for one in modules for family in HEAVY if one == family or one.startswith(f"{family}.")}
    assert not found and "edge_device.inference.classifier" in modules


def test_the_demo_keeps_the_run_before_until_another_is_trained(tmp_path: Path) -> None:
    programs, run = tmp_path / ".venv" / "bin", tmp_path / "demo" / "run"
    for folder in (programs, run):
        folder.mkdir(parents=True)
    (run / "made").write_text("before")
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / ".venv" / "ready").write_text(f"{tmp_path}\n")
    for name in COMMANDS:
        (programs / name).write_text("#!/bin/sh\n")
        (programs / name).chmod(0o755)

    def made(data: str) -> tuple[int, str]:
        command = ["make", "-f", str(Path(__file__).parents[1] / "Makefile"), "demo", f"DATA={data}"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=PATIENCE_S, check=False)
        return done.returncode, (run / "made").read_text()

    (programs / "edge-train").write_text('#!/bin/sh\ntest -d "$2" && mkdir -p "$4" && echo -n after > "$4/made"\n')
    status, content = made("fotos/")
    assert status and content == "before"
    (tmp_path / "photos").mkdir()
    assert made("photos/") == (0, "after")


@pytest.mark.parametrize("closed", ["2>&-", "<&- 2>&-"])
def test_where_the_shell_has_closed_standard_error_no_message_goes_to_standard_output(closed: str) -> None:
    line = f"exec {sys.executable} -m edge_device images no-such-file.tflite no-such-picture.png --json {closed}"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert (done.returncode, done.stdout) == (2, "")

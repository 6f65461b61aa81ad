"""Signals that come to a thread which is not the main one leave the main one in its system call, as the race does that
is described in `edge_device.system.interrupts`; so these tests need no luck."""

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from edge_device.system.interrupts import TOGETHER_S, StopRequest, end_on_signals, interruptible

STATUS = {signal.SIGINT: 130, signal.SIGTERM: 143}


def ended(
    wait: str, number: signal.Signals = signal.SIGINT, prepare: str = "ready.set()"
) -> subprocess.CompletedProcess[str]:
    """What becomes of a command, started with SIGINT ignored, that gets a signal while it waits: 0.2 s after `prepare`,
    or `wait` itself, has set `ready`."""
    program = f"""
import ctypes, os, queue, signal, subprocess, sys, threading, time
from edge_device.command_line.console import one_line_errors
from edge_device.system.interrupts import TOGETHER_S, StopRequest, interruptible

ready = threading.Event()

def send():
    ready.wait()
    time.sleep(0.2)
    signal.pthread_kill(threading.get_ident(), {int(number)})

reading, writing = os.pipe()
{prepare}
with one_line_errors():
    threading.Thread(target=send, daemon=True).start()
    {wait}
    print("it has not ended")
"""
    command = ["sh", "-c", 'trap "" INT; exec "$@"', "sh", sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    "wait",
    [
        "os.read(reading, 1)",
        "open('pipe', 'rb').read()",
        "time.sleep(1000)",
        "queue.Queue().get()",
        "subprocess.run(['sleep', '20'])",
        "interruptible(ctypes.CDLL(None).pause)",
    ],
)
def test_a_signal_ends_whatever_waits(
    wait: str, number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = ended(wait, number, "os.mkfifo('pipe'); ready.set()")
    assert (done.returncode, done.stdout) == (STATUS[number], "")
    assert done.stderr == ("interrupted\n" if number == signal.SIGINT else "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_exception_that_a_destructor_swallows_comes_again(number: signal.Signals) -> None:
    swallowing = """
class Slow:
    def __del__(self):
        ready.set()
        os.read(reading, 1)
"""
    done = ended("Slow(); os.read(reading, 1)", number, swallowing)
    assert (done.returncode, done.stdout) == (STATUS[number], "")
    assert "Traceback" not in done.stderr


def test_a_forked_process_ends_as_well() -> None:
    fork = "child = os.fork(); child and sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))"
    done = ended("os.read(reading, 1)", prepare=f"with one_line_errors():\n    {fork}\nready.set()")
    assert (done.returncode, done.stderr) == (130, "interrupted\n")


def test_a_loop_is_asked_to_stop_first_and_ended_by_the_second_signal() -> None:
    loop = """
    stopped = StopRequest()
    with stopped.awaited():
        ready.set()  # not before: a signal would raise
        while not stopped():
            time.sleep(0.01)
        print("asked", flush=True)
        threading.Thread(target=send, daemon=True).start()
        os.read(reading, 1)
"""
    done = ended(loop.strip(), signal.SIGINT, "")
    assert (done.returncode, done.stdout, done.stderr) == (130, "asked\n", "interrupted\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_raises_again_once_nobody_looks_whether_it_asked(number: signal.Signals) -> None:
    stopped = StopRequest()
    before = {each: signal.getsignal(each) for each in STATUS}
    try:
        with stopped.awaited():
            signal.raise_signal(number)
            assert stopped()
        time.sleep(2 * TOGETHER_S)  # sooner, it would be the same signal
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            signal.raise_signal(number)
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def test_what_an_interruptible_call_returns_and_raises_is_its_own() -> None:
    assert interruptible(lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
        interruptible(lambda: 1 / 0)


def test_only_the_main_thread_sets_handlers() -> None:
    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=end_on_signals)
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGINT) is before


def test_the_main_thread_is_left_alone_once_the_handler_has_run() -> None:
    count = "count = 0\ndef seen(number, frame):\n    global count\n    count += 1"
    look = """
    stopped = StopRequest()
    with stopped.awaited():
        ready.set()
        while not stopped():
            time.sleep(0.01)
        time.sleep(0.5)  # one that was under way when the handler ran has come by then
        signal.signal(signal.SIGURG, seen)
        time.sleep(0.5)
        print("interrupted", count, "times")
        sys.exit(0)
"""
    assert ended(look.strip(), prepare=count).stdout == "interrupted 0 times\n"

"""What a service tells the manager that started it: ready, alive, stopping (sd_notify(3)); nothing where none did."""

import os
import socket
import time
from collections.abc import Callable, Mapping
from typing import Final

_READY: Final = "READY=1"


class ServiceManager:
    """The systemd that waits for `READY=1`, or nobody.

    All methods are safe to call at any time, from any thread, and never raise: a manager that does not listen is no
    reason to stop classifying.
    """

    def __init__(
        self, environment: Mapping[str, str] = os.environ, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Finds the manager.

        Args:
            environment: Variables that systemd gave the process: NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID.
            clock: Function that gives seconds and does not jump.
        """
        self._address = _address(environment.get("NOTIFY_SOCKET", ""))
        self._every_s = _watchdog_s(environment) / 3  # two may be late before the third ends it
        self._clock = clock
        self._next = -1.0
        self._status = ""

    @property
    def present(self) -> bool:
        """Whether anybody listens."""
        return self._address is not None

    @property
    def alive_every_s(self) -> float:
        """How often `alive` should be called at least, in seconds; 0 if there is no watchdog."""
        return self._every_s

    def ready(self) -> None:
        """Start or reload is over."""
        self._send(_READY)

    def reloading(self) -> None:
        """The model is being exchanged; `ready` must follow, whatever comes out of it."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """The end was asked for and is being prepared."""
        self._send("STOPPING=1")

    def status(self, text: str) -> None:
        """One line that `systemctl status` shows; sent when it changes."""
        text = " ".join(text.split())
        if text != self._status:
            self._status = text
            self._send(f"STATUS={text}")

    def alive(self) -> None:
        """The loop lives. Costs nothing to call for every frame: it is passed on as often as the watchdog needs it."""
        if self._every_s and self._clock() >= self._next:
            self._next = self._clock() + self._every_s
            self._send("WATCHDOG=1")

    def _send(self, message: str) -> None:
        if self._address is None:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
                channel.setblocking(False)  # a manager that does not read must not stop the loop
                channel.sendto(message.encode(errors="replace"), self._address)
        except OSError:
            pass


def _address(name: str) -> bytes | None:
    """Where to send to: a path, or an abstract name, which is written with an @; None if it is neither."""
    if name.startswith("@"):
        # An abstract address of Linux begins with a zero byte (unix(7)).
        return b"\0" + os.fsencode(name[1:])
    return os.fsencode(name) if name.startswith("/") else None


def _watchdog_s(environment: Mapping[str, str]) -> float:
    """After how long a silent service is ended, in seconds; 0 if there is no watchdog, or it waits for another
    process."""
    limit, process = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
    if not (limit.isascii() and limit.isdigit()) or process not in ("", str(os.getpid())):
        return 0.0
    return int(limit) / 1e6

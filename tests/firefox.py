"""Headless Firefox, driven by Marionette over its port: a second engine to open pages in, without a driver to install.

Marionette's messages are JSON arrays, each behind its length in bytes and a colon (Firefox source docs, "Protocol").
"""

import itertools
import json
import os
import socket
import time
from pathlib import Path
from typing import Any

from .browser import ANSWER_S, Page
from .programs import Started, program

FIREFOX = program("firefox-esr", "firefox")

START_S = 120.0
"""Seconds within which Firefox must listen."""

PREFERENCES = {
    "marionette.port": 0,  # any that is free
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "app.update.enabled": False,
    "media.navigator.streams.fake": True,
    "media.navigator.permission.disabled": True,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
}


class Firefox(Page):
    """A tab of a headless Firefox; its camera plays colors that change."""

    def __init__(self, profile: Path) -> None:
        """Starts Firefox with its files in `profile`."""
        assert FIREFOX
        lines = (f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in PREFERENCES.items())
        (profile / "user.js").write_text("".join(lines))
        self._process: Started[bytes] = Started(
            [FIREFOX, "--headless", "--marionette", "--no-remote", "--profile", str(profile)],
            env=os.environ | {"HOME": str(profile), "MOZ_CRASHREPORTER_DISABLE": "1"},
            stdin=-3,
            stdout=-3,
            stderr=-3,
        )
        self._ids = itertools.count(1)
        self._socket = socket.create_connection(("127.0.0.1", self._port(profile / "MarionetteActivePort")), ANSWER_S)
        self._stream = self._socket.makefile("rb")
        self._receive()  # who it is
        self._send("WebDriver:NewSession", {})

    def _port(self, path: Path) -> int:
        """The port that Firefox has written down."""
        end = time.monotonic() + START_S
        while not (path.is_file() and (text := path.read_text().strip())):
            assert self._process.poll() is None, f"Firefox ended with {self._process.returncode}"
            assert time.monotonic() < end, "Firefox does not listen"
            time.sleep(0.1)
        return int(text)

    def _receive(self) -> Any:
        length = b""
        while (character := self._stream.read(1)) != b":":
            assert character, "Firefox has hung up"
            length += character
        return json.loads(self._stream.read(int(length)))

    def _send(self, command: str, parameters: dict[str, object]) -> Any:
        data = json.dumps([0, next(self._ids), command, parameters]).encode()
        self._socket.sendall(b"%d:%b" % (len(data), data))
        _, _, error, result = self._receive()
        assert error is None, error
        return result

    def open(self, url: str) -> None:
        self._send("WebDriver:Navigate", {"url": url})

    def ask(self, expression: str) -> Any:
        # In a sandbox around the page: its policy forbids text that becomes code in the page itself.
        script = (
            f"const done = arguments[arguments.length - 1]; (async () => ({expression}))()"
            ".then((value) => done({ value }), (error) => done({ error: String(error) }))"
        )
        answer = self._send("WebDriver:ExecuteAsyncScript", {"script": script, "args": []})["value"]
        assert "error" not in answer, answer
        return answer.get("value")

    def close(self) -> None:
        self._stream.close()
        self._socket.close()
        self._process.kill()
        self._process.wait()

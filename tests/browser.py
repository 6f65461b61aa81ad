"""Headless Chromium, driven over its DevTools pipe: pages in a real browser, without a driver to install."""

import base64
import itertools
import json
import os
import signal
import threading
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from .programs import program

CHROMIUM = program("chromium", "chromium-browser", "google-chrome")

PATIENCE_S = 120.0
"""Seconds within which a page must come to what is waited for, thirty times what an idle machine takes."""

ANSWER_S = 300.0
"""Seconds within which a browser must answer a request, with the scores of many pictures for one."""


class Navigated(AssertionError):
    """The page went elsewhere before it had answered."""


class Page(ABC):
    """A tab of a browser."""

    @abstractmethod
    def open(self, url: str) -> None:
        """Goes to an address."""

    @abstractmethod
    def ask(self, expression: str) -> Any:
        """The value of a JavaScript expression."""

    def wait(self, expression: str, seconds: float = PATIENCE_S) -> Any:
        """Its value once it is true; until the page is there, it may throw."""
        end = time.monotonic() + seconds
        while not (
            value := self._asked_anew(f"(() => {{ try {{ return {expression}; }} catch {{ return false; }} }})()")
        ):
            assert time.monotonic() < end, f"never true: {expression}\n{self.ask('document.body.innerText')}"
            time.sleep(0.1)
        return value

    def _asked_anew(self, expression: str) -> Any:
        """The value of an expression; None where the page goes elsewhere meanwhile."""
        try:
            return self.ask(expression)
        except Navigated:
            return None


class Browser(Page):
    """A tab of a headless Chromium; `complaints` is what its console, its network and its policies had to say."""

    def __init__(self, profile: Path, *more: str) -> None:
        """Starts Chromium with its files in `profile`, and `more` options than those that every test needs."""
        assert CHROMIUM
        to_browser, self._out = os.pipe()
        self._in, from_browser = os.pipe()
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
        self._process = os.posix_spawn(
            CHROMIUM,
            [CHROMIUM, *options, *more, f"--user-data-dir={profile}", "--remote-debugging-pipe"],
            os.environ | {"TMPDIR": str(profile)},  # what is killed does not tidy up
            file_actions=[
                *((os.POSIX_SPAWN_OPEN, number, "/dev/null", os.O_RDWR, 0) for number in (0, 1, 2)),
                # By way of high numbers: Chromium reads from 3 and writes to 4, which either pipe may have.
                (os.POSIX_SPAWN_DUP2, to_browser, 200),
                (os.POSIX_SPAWN_DUP2, from_browser, 201),
                (os.POSIX_SPAWN_DUP2, 200, 3),
                (os.POSIX_SPAWN_DUP2, 201, 4),
                (os.POSIX_SPAWN_CLOSE, 200),
                (os.POSIX_SPAWN_CLOSE, 201),
            ],
        )
        os.close(to_browser)
        os.close(from_browser)
        self.complaints: list[str] = []
        self._ids = itertools.count(1)
        self._answers: dict[int, dict[str, Any]] = {}
        self._news = threading.Condition()
        self._session: str | None = None
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._context: str | None = None
        self._open_tab()

    def begin_anew(self) -> None:
        """Closes the tab for one in which nothing is stored: no cookie, file, worker or permission of those before.

        Starting Chromium anew takes over two seconds of processor.
        """
        self._session = None
        if self._context:
            self.send("Target.disposeBrowserContext", browserContextId=self._context)
        self._context = self.send("Target.createBrowserContext")["browserContextId"]
        self._open_tab(browserContextId=self._context)

    def _open_tab(self, **where: str) -> None:
        target = self.send("Target.createTarget", url="about:blank", **where)["targetId"]
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.complaints.clear()
        for domain in ("Page", "Runtime", "Log"):
            self.send(f"{domain}.enable")

    def _read(self) -> None:
        rest = b""
        while data := os.read(self._in, 1 << 16):
            *messages, rest = (rest + data).split(b"\0")
            for message in map(json.loads, messages):
                with self._news:
                    if "id" in message:
                        self._answers[message["id"]] = message
                        self._news.notify_all()
                    elif message.get("sessionId") != self._session:
                        pass  # of a tab that was closed
                    elif message["method"] in ("Runtime.exceptionThrown", "Log.entryAdded") or (
                        message["method"] == "Runtime.consoleAPICalled" and message["params"]["type"] == "error"
                    ):
                        self.complaints.append(json.dumps(message["params"]))

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._ids)
        message = {"id": number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        with self._news:
            assert self._news.wait_for(lambda: number in self._answers, ANSWER_S), f"no answer to {method}"
            answer = self._answers.pop(number)
        if "navigated or closed" in answer.get("error", {}).get("message", ""):
            raise Navigated(answer)
        assert "error" not in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    @property
    def pid(self) -> int:
        """Process that has started all the others."""
        return self._process

    def resize(self, width: int, height: int) -> None:
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=2 if width < 600 else 1,
            mobile=width < 600,
        )

    def open(self, url: str) -> None:
        self.send("Page.navigate", url=url)

    def ask(self, expression: str) -> Any:
        answer = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait_for_complaints(self, text: str, count: int = 1) -> None:
        """Waits until so many complaints have a text; they come when the page has gone on already."""
        end = time.monotonic() + PATIENCE_S
        while sum(text in one for one in self.complaints) < count:
            assert time.monotonic() < end, self.complaints
            time.sleep(0.05)

    def screenshot(self) -> bytes:
        """A PNG of what is in view."""
        return base64.b64decode(self.send("Page.captureScreenshot")["data"])

    def close(self) -> None:
        os.kill(self._process, signal.SIGKILL)
        os.waitpid(self._process, 0)
        self._reader.join(PATIENCE_S)  # before its file is closed, whose number another one gets
        os.close(self._out)
        os.close(self._in)

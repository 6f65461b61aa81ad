"""The JavaScript engine in a browser, asked from Python as `NodeEngine` is."""

import gzip
import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from edge_convert.web.litert_js import LiteRtJs

from ...browser import Page
from .node_engine import ENGINE, HERE, Refused


class _Handler(SimpleHTTPRequestHandler):
    def end_headers(self) -> None:
        """Lets nothing be kept: the same name stands for one file after the other."""
        self.send_header("Cache-Control", "no-store")
        super().end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        """Says nothing."""


@contextmanager
def serving_folder(folder: Path) -> Iterator[str]:
    """Serves a folder on loopback, at the address that it gives."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


class BrowserEngine:
    """A page with the engine and LiteRT.js in it.

    Attributes:
        folder: Folder that is served on loopback: files that the engine is asked to read lie in it.
    """

    def __init__(self, browser: Page, runtime: LiteRtJs, folder: Path) -> None:
        """Opens the page; `folder` is filled with what it needs."""
        self.folder = folder
        shutil.copytree(ENGINE, folder / "js")
        for source in (HERE / "operations.js", HERE / "engine_page.html", ENGINE.parent / "page" / "wasm_loader.js"):
            shutil.copy(source, folder)
        (folder / "litertjs_core.js").write_bytes(runtime.module)
        (folder / "litert_loader.js").write_bytes(runtime.loader)
        (folder / "runtime.wasm").write_bytes(gzip.decompress(runtime.wasm))
        self._serving = ExitStack()
        self._browser = browser
        browser.open(f"{self._serving.enter_context(serving_folder(folder))}/engine_page.html")
        browser.wait("typeof ask === 'function'")

    def ask(self, do: str, **request: object) -> Any:
        """The value that the operation gives; paths are of files in `folder`.

        Raises:
            Refused: The engine refused what it was given.
        """
        told = json.dumps({"do": do, **request}, default=self._address)
        answer = self._browser.ask(f"ask({told})")
        if "error" in answer:
            raise Refused(answer["error"], answer["stage"])
        return answer["value"]

    def close(self) -> None:
        self._serving.close()

    def _address(self, value: object) -> str:
        return value.relative_to(self.folder).as_posix() if isinstance(value, Path) else str(value)

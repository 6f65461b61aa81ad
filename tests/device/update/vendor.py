"""A vendor for tests: tiny models that are signed, a published folder, and a web server on loopback that serves it."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np

from edge_convert.keys import PrivateKey, read_private_key, write_key_pair
from edge_core import InputSpec, ModelCard, complete
from edge_device.inference.verify import sealed

MODELS = Path(__file__).parents[2] / "models"
LABELS = ("red", "green", "blue", "dark")


def new_key(path: Path) -> PrivateKey:
    write_key_pair(path)
    return read_private_key(path)


def signed_model(path: Path, key: PrivateKey | None, name: str = "tiny", labels: tuple[str, ...] = LABELS) -> Path:
    """A complete, sealed model of the tests, signed by a key; another `name` makes another file of it."""
    card = ModelCard(labels=labels, input=InputSpec(width=32, height=32))
    artifact = complete((MODELS / "tiny-uint8.tflite").read_bytes(), card, name)
    frames = [np.full((48, 64, 3), color, np.uint8) for color in ((10, 20, 250), (250, 10, 20))]
    path.write_bytes(sealed(artifact, frames, key))
    return path


@dataclass
class Served:
    """A folder on loopback; what is asked for is written down.

    Attributes:
        url: Its address.
        asked: Paths in the order in which they were asked for.
        lies: Answers by path that are sent in place of the files.
    """

    folder: Path
    asked: list[str] = field(default_factory=list)
    lies: dict[str, Callable[[Any], None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        served = self

        class Handler(SimpleHTTPRequestHandler):
            def log_message(self, format: str, *args: Any) -> None:
                pass

            def do_GET(self) -> None:
                served.asked.append(self.path)
                if lie := served.lies.get(self.path):
                    lie(self)
                else:
                    super().do_GET()

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(self.folder)))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

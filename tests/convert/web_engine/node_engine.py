"""The JavaScript engine in node, asked from Python."""

import gzip
import json
import os
from importlib import resources
from pathlib import Path
from typing import Any, Final

from edge_convert.web.litert_js import find_litert_js

from ...programs import Started, program

HERE: Final = Path(__file__).parent
ENGINE: Final = Path(str(resources.files("edge_convert"))) / "web" / "js"
NODE: Final = program("node", "nodejs")


class Refused(Exception):
    """The engine's own error.

    Attributes:
        stage: The stage of the self-test that had failed, if any.
    """

    def __init__(self, message: str, stage: str | None) -> None:
        super().__init__(message)
        self.stage = stage


class NodeEngine:
    """A node process with the engine in it."""

    def __init__(
        self, node: str, *, engine: Path = ENGINE, litert: Path | None = None, emulator: tuple[str, ...] = ()
    ) -> None:
        """Starts node.

        Args:
            node: Path of the program.
            engine: Folder of the engine's modules.
            litert: Folder with LiteRT.js' WebAssembly; without it, models open but do not run.
            emulator: Command that runs `node`, where it is of another machine.
        """
        command = [*emulator, node, str(HERE / "node_driver.mjs"), str(engine), *([str(litert)] if litert else [])]
        self._process = Started(command, stdin=-1, stdout=-1, text=True, env={"PATH": os.environ.get("PATH", "")})

    def ask(self, do: str, **request: object) -> Any:
        """The value that the operation gives.

        Raises:
            Refused: The engine refused what it was given.
        """
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps({"do": do, **request}, default=str) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"node ended with {self._process.wait()}"
        answer = json.loads(line)
        if "error" in answer:
            raise Refused(answer["error"], answer["stage"])
        return answer["value"]

    def close(self) -> None:
        with self._process:
            assert self._process.stdin
            self._process.stdin.close()


def unpack_litert(folder: Path) -> Path:
    """Writes LiteRT.js' WebAssembly as its package has it; returns the folder.

    Raises:
        WeightsError: It can be had neither from the cache nor from npm.
    """
    runtime = find_litert_js()
    (folder / "litert_wasm_compat_internal.js").write_bytes(runtime.loader)
    (folder / "litert_wasm_compat_internal.wasm").write_bytes(gzip.decompress(runtime.wasm))
    return folder

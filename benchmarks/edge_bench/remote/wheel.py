"""The wheel that a board installs: what runs here runs there."""

import base64
import hashlib
import re
import zipfile
from collections.abc import Mapping
from importlib import metadata
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Final

from edge_core.errors import HostError

DISTRIBUTION: Final = "edge-mobilenet"
PACKAGES: Final = ("edge_core", "edge_device", "edge_keras", "edge_train", "edge_convert", "edge_bench", "edge_studio")


def installed_wheel() -> tuple[str, bytes]:
    """File name and content of a wheel of the product as it is installed here, editable or not.

    It is packed anew from the modules that Python finds and the metadata that pip recorded, so it needs no build tool,
    no network and no checkout, and nothing that is not in it can have run here. The same files give the same bytes.

    Raises:
        HostError: The product is not installed, only on the path.
    """
    try:
        installed = metadata.distribution(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        raise HostError(f"{DISTRIBUTION} is not installed here; name a wheel for the board with --wheel") from None
    files: dict[str, bytes] = {}
    for package in PACKAGES:
        spec = find_spec(package)
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            for path in Path(folder).rglob("*"):
                if path.is_file() and "__pycache__" not in path.parts:
                    files[f"{package}/{path.relative_to(folder).as_posix()}"] = path.read_bytes()
    stem = f"{re.sub(r'[-_.]+', '_', DISTRIBUTION)}-{installed.version}"
    for name in ("METADATA", "entry_points.txt"):
        files[f"{stem}.dist-info/{name}"] = (installed.read_text(name) or "").encode()
    files[f"{stem}.dist-info/WHEEL"] = b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    return f"{stem}-py3-none-any.whl", pack(files, f"{stem}.dist-info/RECORD")


def pack(files: Mapping[str, bytes], record: str, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A wheel of these files and a record of their digests, as PEP 427 has it.

    `record` is the name of the record's file.
    """
    lines = []
    for name, data in sorted(files.items()):
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        lines.append(f"{name},sha256={digest},{len(data)}\n")
    lines.append(f"{record},,\n")
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w") as wheel:
        for name, data in [*sorted(files.items()), (record, "".join(lines).encode())]:
            entry = zipfile.ZipInfo(name)  # of 1980: the same files are the same wheel
            entry.compress_type = compression
            entry.external_attr = 0o644 << 16
            wheel.writestr(entry, data)
    return archive.getvalue()

"""`make verify-pi-pins`: resolves anew what emulated boards install, and writes it down with the SHA-256 of every
wheel.

Two files: what the product requires, which instruction counts depend on (benchmarks/edge_bench/arm/requirements.txt),
and what its tests require besides (tests/emulated/requirements.txt).
"""

import json
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from tests.emulated.artifacts import ROOT

from edge_bench.arm.wheels import PYTHONS, pip
from edge_core.errors import EdgeError

PRODUCT: Final = ROOT / "benchmarks/edge_bench/arm/requirements.txt"
TESTS: Final = ROOT / "tests/emulated/requirements.txt"
WANTED: Final = ("cryptography", "hypothesis", "paho-mqtt", "pillow", "pytest", "starlette", "uvicorn")
"""What tests/core and tests/device import."""

Pins = dict[str, set[str]]
"""`name==version` and the SHA-256 of its wheels, one for all Pythons or one for each."""


def main() -> int:
    product = resolved(required("edge-mobilenet"))
    both = resolved([*required("edge-mobilenet"), *WANTED])
    PRODUCT.write_text(lines(product))
    TESTS.write_text(lines({pin: digests for pin, digests in both.items() if pin not in product}))
    return 0


def required(distribution: str) -> list[str]:
    """What an installed distribution requires on 64-bit Arm, without its extras."""
    environment = {"platform_machine": "aarch64", "extra": ""}
    found = (Requirement(line) for line in metadata.requires(distribution) or ())
    return [f"{one.name}{one.specifier}" for one in found if one.marker is None or one.marker.evaluate(environment)]


def resolved(wanted: Iterable[str]) -> Pins:
    """The newest versions that fit together, for every Python."""
    found: Pins = defaultdict(set)
    for python in PYTHONS:
        with tempfile.TemporaryDirectory() as scratch:
            report = Path(scratch, "report.json")
            dry = ("--quiet", "--dry-run", "--ignore-installed", "--report", str(report), "--target", f"{scratch}/to")
            pip("install", python, *dry, *wanted)
            for one in json.loads(report.read_text())["install"]:
                pin, digest = pinned(one)
                found[pin].add(digest)
    return found


def pinned(one: Mapping[str, Any]) -> tuple[str, str]:
    """`name==version` and SHA-256 of an item of pip's installation report."""
    about = one["metadata"]
    digest = one["download_info"]["archive_info"]["hashes"]["sha256"]
    return f"{canonicalize_name(about['name'])}=={about['version']}", digest


def lines(pins: Mapping[str, Iterable[str]]) -> str:
    """A file of requirements."""
    rows = sorted((pin.split("=="), sorted(digests)) for pin, digests in pins.items())
    return "".join(f"{'=='.join(pin)} {' '.join(f'--hash=sha256:{one}' for one in digests)}\n" for pin, digests in rows)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except EdgeError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_status)

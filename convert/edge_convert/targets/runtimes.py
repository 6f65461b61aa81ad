"""Interpreters: whether a runtime registers the operator versions that a file uses.

`operator_versions.csv` was measured, not copied: `benchmarks/experiments/operator_versions.py` asked every release in a
venv of its own. A row is an operator, a column a release, a cell the lowest and highest version that it opens.
"""

import csv
from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Final

from edge_convert.targets.verdict import Verdict, where
from edge_convert.tflite.graph import Graph, Operator

_NAMES: Final = {"tflite-runtime": "tflite-runtime", "ai-edge-litert": "litert"}
Versions = MappingProxyType[str, range]
"""The versions of each operator that a release registers."""
Release = tuple[str, Versions]
"""Package and version, and what it registers."""


@cache
def releases() -> MappingProxyType[str, Release]:
    """The releases that were measured by target (`tflite-runtime-2.14`), the oldest of each package first."""
    rows = list(csv.reader(files(__package__).joinpath("operator_versions.csv").read_text("utf-8").splitlines()))
    table: dict[str, Release] = {}
    for column, release in enumerate(rows[0][1:], start=1):
        package, version = release.split("==")
        cells = {row[0]: row[column].split("-") for row in rows[1:] if row[column]}
        versions = {name: range(int(low), int(high) + 1) for name, (low, high) in cells.items()}
        target = f"{_NAMES[package]}-{'.'.join(version.split('.')[:2])}"
        table[target] = f"{package} {version}", MappingProxyType(versions)
    return MappingProxyType(table)


def families() -> MappingProxyType[str, tuple[str, ...]]:
    """Names for all measured releases of one major version: `litert-2.x` for `litert-2.0`, `litert-2.1`, …"""
    table: dict[str, tuple[str, ...]] = {}
    for target in releases():
        family = target.rsplit(".", 1)[0] + ".x"
        table[family] = (*table.get(family, ()), target)
    return MappingProxyType(table)


def check_runtime(graph: Graph, target: str) -> Verdict:
    """Whether a runtime opens a file; a family must open it in every release.

    Args:
        graph: Graph of the file, as `read_graph` returns it.
        target: One of `releases()`, or of `families()`.
    """
    members = [releases()[member] for member in families().get(target, (target,))]
    missing = _missing(graph, members)
    users: dict[str, list[Operator]] = defaultdict(list)
    for operator in graph.operators:
        users[operator.name].append(operator)
    reasons = [
        _refusal(name, version, name in graph.custom_opcodes, users[name], *first)
        for (name, version), first in missing.items()
    ]
    if any(name not in graph.custom_opcodes for name, _ in missing):
        reasons.append(_advice(graph))
    return Verdict(target, not reasons, tuple(reasons))


def _missing(graph: Graph, members: Sequence[Release]) -> dict[tuple[str, int], Release]:
    """The operator versions that not every release has, with the first that lacks them."""
    lacking = {
        (name, version): [member for member in members if version not in member[1].get(name, ())]
        for name, version in graph.opcodes
    }
    return {opcode: without[0] for opcode, without in lacking.items() if without}


def _refusal(name: str, version: int, custom: bool, users: Sequence[Operator], release: str, versions: Versions) -> str:
    known, used = versions.get(name), where(users)
    if name == "edgetpu-custom-op":
        return f"{name}{used}: compiled for the Edge TPU; {release} needs Coral's libedgetpu to run it"
    if custom:
        return f"{name}{used}: a custom operator, which {release} does not have"
    if not known:
        return f"{name}{used}: {release} does not have this operator"
    return f"{name} version {version}{used}: {release} has versions {known[0]} to {known[-1]}"


def _advice(graph: Graph) -> str:
    able = [member[0] for member in releases().values() if not _missing(graph, [member])]
    newer = f"{able[0]} opens it; for" if able else "no release that was measured opens it; for"
    return (
        f"{newer} this one, export with another --recipe: MobileNet's int8 and float16 open in every release measured"
    )

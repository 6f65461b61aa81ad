"""Packages: whether each can be imported and does its work, found out in processes that may die of it."""

import shlex
from collections.abc import Iterator
from typing import Final

from edge_device.doctor.findings import Finding
from edge_device.doctor.machine_facts import Host
from edge_device.doctor.probe import Probed
from edge_device.system.packages import OPENCVS, installed, older_numpy, pip

RUNTIMES: Final = {"ai-edge-litert": "ai_edge_litert", "tflite-runtime": "tflite_runtime"}
"""Distribution and import names, as `edge_device.inference.interpreter` has them, which imports NumPy."""

SYSTEM_LIBRARIES: Final = {
    "libGL.so.1": "libgl1",
    "libgthread-2.0.so.0": "libglib2.0-0",
    "libatomic.so.1": "libatomic1",
}
"""What wheels want of Debian, and the package that has it."""


def numpy(host: Host) -> Iterator[Finding]:
    yield _importable(host, "numpy", "numpy", "NumPy")


def opencv(host: Host) -> Iterator[Finding]:
    several = [name for name in OPENCVS if installed(name)]
    if len(several) > 1:
        text = f"{' and '.join(several)} are both installed, into the same folder: parts of both are used"
        fix = f"{pip('uninstall', '--yes', *several)} && {pip('install', 'opencv-python')}"
        yield Finding("opencv-twice", "warning", text, fix, {"installed": several})
    yield _importable(host, "opencv", "cv2", "OpenCV", several[0] if several else "opencv-python")


def runtimes(host: Host) -> Iterator[Finding]:
    there = {name: installed(name) for name in RUNTIMES}
    if not any(there.values()):
        text = "there is no TFLite interpreter"
        yield Finding("runtime", "problem", text, pip("install", "ai-edge-litert"))
    for name, version in there.items():
        if version:
            yield _runtime(host, name, version)


def _runtime(host: Host, name: str, version: str) -> Finding:
    outcome = host.probe("runtime", name, RUNTIMES[name])
    details = {"version": version, "error": outcome.error, "kind": outcome.kind}
    what = f"{name} {version}"
    if not outcome.error:
        return Finding(name, "ok", f"{what} runs a model and gets it right", details=details)
    numpy_version = installed("numpy") or "0"
    # It was built for NumPy 1 and fails under NumPy 2 with a bare SystemError, which tells nobody what to do.
    if name == "tflite-runtime" and int(numpy_version.split(".")[0]) >= 2 and outcome.kind != "ModuleNotFoundError":
        text = f"{what} was built for NumPy 1 and does not work with {numpy_version}: {outcome.error}"
        return Finding(name, "problem", text, older_numpy(), details)
    return Finding(name, "problem", f"{what} does not run: {outcome.error}", _mend(name, outcome), details)


def model(host: Host, path: str) -> Iterator[Finding]:
    """What `edge-run verify` says of a file, with every interpreter."""
    for name in RUNTIMES:
        if not installed(name):
            continue
        outcome = host.probe("model", path, name)
        details = {"file": path, "runtime": name, "sealed": outcome["sealed"], "error": outcome.error}
        wrong = outcome.error or outcome["diverges"]
        if wrong:
            fix = shlex.join(["edge-run", "verify", path, "--runtime", name])
            text = f"{path} with {name}: {wrong.removeprefix(f'{path}: ')}"
            yield Finding("model", "problem", text, fix, details)
        elif outcome["sealed"]:
            text = f"{path} does with {name} what it did where it was made"
            yield Finding("model", "ok", text, details=details)
        else:
            text = f"{path} runs with {name}; whether it is right is not known, as it was never sealed"
            fix = shlex.join(["edge-convert", "adopt", path])
            yield Finding("model", "warning", text, fix, details)


def _importable(host: Host, id: str, module: str, name: str, distribution: str = "") -> Finding:
    outcome = host.probe("imports", module)
    details = {"version": outcome["version"], "file": outcome["file"], "error": outcome.error, "kind": outcome.kind}
    if outcome.error:
        text = f"{name} does not load: {outcome.error}"
        return Finding(id, "problem", text, _mend(distribution or module, outcome), details)
    return Finding(id, "ok", f"{name} {outcome['version']}", details=details)


def _mend(distribution: str, outcome: Probed) -> str:
    """The command that most likely mends a package."""
    for library, package in SYSTEM_LIBRARIES.items():
        if library in outcome.error:
            return f"sudo apt install {package}"
    if outcome.kind == "ModuleNotFoundError":
        return pip("install", distribution)
    if outcome.kind == "SIGILL":  # the wheel has instructions that this processor lacks
        return pip("install", f"{distribution}<{installed(distribution)}")
    return pip("install", "--force-reinstall", "--no-cache-dir", distribution)

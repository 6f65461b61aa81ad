"""TensorFlow and what must fit it."""

from collections.abc import Iterator
from typing import Final

from edge_device.doctor.findings import Finding
from edge_device.doctor.machine_facts import Host
from edge_device.system.packages import installed, pip
from edge_train.doctor import workstation as system

SAME: Final = ("tensorflow", "tf-keras")
"""Distributions that must have the same minor version."""


def tensorflow(host: Host) -> Iterator[Finding]:
    versions = {name: installed(name) for name in (*SAME, "tensorflow-model-optimization")}
    missing = [name for name, version in versions.items() if version is None]
    fix = pip("install", "edge-mobilenet[train]")
    if missing:
        yield Finding("tensorflow", "problem", f"{' and '.join(missing)} not installed", fix, {"versions": versions})
        return
    minors = {str(versions[name]).rsplit(".", 1)[0] for name in SAME}
    if len(minors) > 1:
        both = " beside ".join(f"{name} {versions[name]}" for name in SAME)
        yield Finding("tensorflow", "problem", f"{both}: they must be of one version", fix, {"versions": versions})
        return
    outcome = host.probe("tensorflow")
    details = {"versions": versions, "error": outcome.error, "kind": outcome.kind, **(outcome.value or {})}
    if outcome.error:
        text = f"TensorFlow {versions['tensorflow']} does not compute: {outcome.error}"
        mend = pip("install", "--force-reinstall", "--no-cache-dir", f"tensorflow=={versions['tensorflow']}")
        if outcome.kind == "SIGILL":
            text, mend = f"{text}; this processor lacks instructions that the wheel has", "train on another computer"
        yield Finding("tensorflow", "problem", text, mend, details)
    else:
        built = f", built for CUDA {outcome['cuda']}" if outcome["cuda"] else ", built without CUDA"
        cores = system.usable_cores()
        text = f"TensorFlow {outcome['version']}{built}, computes on {cores} processor core{'s' * (cores != 1)}"
        yield Finding("tensorflow", "ok", text, details=details)

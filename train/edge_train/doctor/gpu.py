"""GPUs: driver, CUDA libraries and TensorFlow held against each other, and a computation on each GPU."""

import os
from collections.abc import Iterator
from typing import Final

from edge_device.doctor.findings import Finding, JsonObject
from edge_device.doctor.machine_facts import Host
from edge_device.system.packages import installed, pip
from edge_train.doctor.nvidia import NEEDED, Driver, find_driver

LIBRARIES: Final = ("nvidia-cuda-runtime-cu12", "nvidia-cudnn-cu12", "nvidia-cublas-cu12", "nvidia-cuda-nvcc-cu12")
"""Distributions of `tensorflow[and-cuda]` without which no network trains on a GPU; nvcc has what XLA compiles with."""

INSTALL: Final = pip("install", "edge-mobilenet[gpu]")


def gpu(host: Host) -> Iterator[Finding]:
    driver = find_driver(host)
    if driver is None:
        text = "no NVIDIA driver: training runs on the processor"
        yield Finding("gpu", "ok", text, details={"driver": None})
        return
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    details: JsonObject = {"driver": driver.version, "where": driver.where, "CUDA_VISIBLE_DEVICES": hidden}
    outcome = host.probe("gpus")
    details |= outcome.value or {}
    if outcome.error:
        text = f"TensorFlow does not say which GPUs it sees: {outcome.error}"
        yield Finding("gpu", "problem", text, INSTALL, details)
    elif not outcome["gpus"]:
        yield _unseen(driver, str(outcome["cuda"] or ""), details)
    else:
        for number, one in enumerate(outcome["gpus"]):
            yield _computes(host, number, one, driver, details)


def _unseen(driver: Driver, cuda: str, details: JsonObject) -> Finding:
    """Why TensorFlow sees no GPU although the driver is there: the first reason that holds."""
    what = f"NVIDIA's driver {driver.version} is there, and TensorFlow sees no GPU: "
    major = int(cuda.split(".")[0]) if cuda else 0
    lacking = [name for name in LIBRARIES if installed(name) is None]
    if details["CUDA_VISIBLE_DEVICES"] in ("", "-1"):
        return Finding("gpu", "warning", what + "CUDA_VISIBLE_DEVICES hides it", "unset CUDA_VISIBLE_DEVICES", details)
    if not cuda:
        text = f"{what}this TensorFlow was built without CUDA"
        return Finding("gpu", "problem", text, INSTALL, details)
    if driver.runs_cuda(major) is False:
        needed = ".".join(map(str, NEEDED[major]))
        text = f"{what}CUDA {cuda} wants driver {needed} or newer"
        return Finding(
            "gpu", "problem", text, "sudo ubuntu-drivers install, or NVIDIA's installer; then reboot", details
        )
    if lacking:
        text = f"{what}{', '.join(lacking)} not installed"
        return Finding("gpu", "problem", text, INSTALL, details | {"lacking": lacking})
    text = f"{what}its libraries are there, so the kernel's module may not fit the driver's, or /dev/nvidia0 is closed"
    return Finding(
        "gpu", "problem", text, "nvidia-smi, which tells more; a reboot after an update of the driver", details
    )


def _computes(host: Host, number: int, one: JsonObject, driver: Driver, details: JsonObject) -> Finding:
    outcome = host.probe("multiply", str(number))
    capability = ".".join(map(str, one["capability"] or ()))
    what = f"{one['name']}, compute capability {capability or 'unknown'}, driver {driver.version}"
    details = details | {"gpu": number, "error": outcome.error, "kind": outcome.kind}
    if outcome.error:
        text = f"{what}: it does not compute: {outcome.error}"
        return Finding("gpu", "problem", text, "CUDA_VISIBLE_DEVICES=-1 edge-train fit ... trains without it", details)
    precision = "float16" if tuple(one["capability"] or ()) >= (7, 0) else "float32"
    return Finding("gpu", "ok", f"{what}: computes; training will use {precision}", details=details)

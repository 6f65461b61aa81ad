"""What a probe does, in the process that may die of it; `edge_device.doctor.probes.main` runs it."""

import contextlib
import os
import subprocess
import sys
import urllib.request
from typing import Any, Final

from edge_device.doctor import probes
from edge_device.doctor.findings import JsonObject

SERVER_S: Final = 5
INDEX_S: Final = 20


def tensorflow() -> JsonObject:
    """Imports TensorFlow, multiplies two matrices on the processor, and tells what it was built for."""
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    tf = _tensorflow()
    with tf.device("/CPU:0"):
        total = float(tf.reduce_sum(tf.matmul(tf.ones((64, 64)), tf.ones((64, 64)))))
    if total != 64.0**3:
        raise ArithmeticError(f"the processor multiplies matrices wrongly: {total} instead of {64.0**3}")
    return {"version": tf.__version__, **_built(tf)}


def gpus() -> JsonObject:
    """Lists the GPUs that TensorFlow sees."""
    tf = _tensorflow()
    found = []
    for device in tf.config.list_physical_devices("GPU"):
        told = tf.config.experimental.get_device_details(device)
        found.append({"name": told.get("device_name", device.name), "capability": told.get("compute_capability")})
    return {"gpus": found, **_built(tf)}


def multiply(number: str) -> JsonObject:
    """Convolves and multiplies on a GPU, in float32 and float16, and checks the results: cuDNN and cuBLAS do their
    work."""
    os.environ["TF_FORCE_GPU_ALLOW_GROWTH"] = "true"
    tf = _tensorflow()
    with tf.device(f"/GPU:{number}"):
        for kind in (tf.float32, tf.float16):
            product = float(
                tf.reduce_mean(tf.cast(tf.matmul(tf.ones((64, 64), kind), tf.ones((64, 64), kind)), tf.float32))
            )
            # Ones times ones: 64 products in the matrix, 3 * 3 * 16 under the kernel.
            maps = tf.nn.conv2d(tf.ones((1, 8, 8, 16), kind), tf.ones((3, 3, 16, 16), kind), 1, "VALID")
            if (product, float(tf.reduce_max(maps))) != (64.0, 144.0):
                raise ArithmeticError(f"it computes wrongly in {kind.name}")
    return {}


def weights() -> JsonObject:
    """Which backbones' weights are at hand, and which sources answer; only asks, downloads nothing."""
    from edge_device.system.user_folders import cache_folder
    from edge_keras.models.architectures import ARCHITECTURES, DEFAULT
    from edge_keras.models.pretrained import kept_weights, keras_folder

    here = [name for name, one in ARCHITECTURES.items() if kept_weights(one, cache_folder()) is not None]
    server = ""
    if DEFAULT.keras_file is not None:
        try:
            request = urllib.request.Request(DEFAULT.keras_file(1.0, DEFAULT.size).url, method="HEAD")
            with contextlib.closing(urllib.request.urlopen(request, timeout=SERVER_S)):
                pass
        except (OSError, ValueError) as error:
            server = str(getattr(error, "reason", error))
    wheels = {name: one.wheel.requirement for name, one in ARCHITECTURES.items() if one.wheel is not None}
    return {
        "default": DEFAULT.name,
        "here": here,
        "server": server,
        "wheels": [name for name, requirement in wheels.items() if _in_index(requirement)],
        "place": f"the file that Keras names into {keras_folder()}",
    }


def _in_index(requirement: str) -> bool:
    """Whether the user's own package index has a wheel; pip knows the index, the proxy and the certificates."""
    name, _, version = requirement.partition("==")
    command = [sys.executable, "-m", "pip", "index", "versions", "--disable-pip-version-check", "--retries", "0", name]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INDEX_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return False
    return version in done.stdout


def _tensorflow() -> Any:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow

    return tensorflow


def _built(tf: Any) -> JsonObject:
    built = tf.sysconfig.get_build_info()
    return {"cuda": built.get("cuda_version") or "", "cudnn": built.get("cudnn_version") or ""}


def main() -> None:
    """Runs the probe that the command line names, one of these or of the device's."""
    probes.main({**probes.PROBES, **{probe.__name__: probe for probe in (tensorflow, gpus, multiply, weights)}})

"""Runs `edge-train` in this process, and writes how much memory it took: `python -m tests.gpu.trained FILE fit ...`."""

import json
import resource
import sys
from pathlib import Path


def main(file: Path, arguments: list[str]) -> None:
    from edge_train.cli import app

    app(arguments, prog_name="edge-train", standalone_mode=False)
    from edge_keras.tf import tf

    found = tf.config.list_physical_devices("GPU")
    gpu = sum(tf.config.experimental.get_memory_info(f"GPU:{number}")["peak"] for number in range(len(found)))
    names = [str(tf.config.experimental.get_device_details(one).get("device_name", one.name)) for one in found]
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    file.write_text(json.dumps({"gpus": names, "gpu_mb": gpu / 1e6, "memory_mb": peak_kib * 1024 / 1e6}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])

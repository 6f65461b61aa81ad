"""Two workers on loopback against one: the largest difference of a loss, with one of the two killed in epoch 2.

    python benchmarks/experiments/two_workers.py PHOTOS [--epochs 3 ...]

What follows PHOTOS is passed on to `edge-train fit`. It runs in float32 and again in float64. Two workers add gradients
in another order than one, and training amplifies what that rounds away: a difference that float64 takes with it is
rounding, one that it leaves is a fault. `history.csv` has six digits, so 1e-06 is the last that can be seen.
"""

import argparse
import csv
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

PROGRAM = """
from edge_keras.tf import keras
keras.backend.set_floatx("{floatx}")
from edge_train.cli import app
app(prog_name="edge-train")
"""


def losses(run: Path) -> list[tuple[float, float]]:
    """Training and validation loss of each epoch."""
    with (run / "history.csv").open(newline="") as file:
        return [(float(row["train_loss"]), float(row["val_loss"])) for row in csv.DictReader(file)][1:]


def gap(folder: Path, floatx: str, words: Sequence[str]) -> float:
    """Trains alone and with two workers, one of which is killed; the maps in `folder` are those of the call before."""
    command = [sys.executable, "-c", PROGRAM.format(floatx=floatx), "fit", *words, "--out"]
    alone, together = folder / f"one-{floatx}", folder / f"two-{floatx}"
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    addresses = [f"127.0.0.1:{taken.getsockname()[1]}" for taken in sockets]
    for taken in sockets:
        taken.close()

    def start(number: int) -> subprocess.Popen[bytes]:
        config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": number}}
        more = {"TF_CONFIG": json.dumps(config), "XDG_CACHE_HOME": str(folder / f"cache-{number}")}
        return subprocess.Popen([*command, str(together)], env=os.environ | more)

    subprocess.run([*command, str(alone)], check=True, env=os.environ | {"XDG_CACHE_HOME": str(folder / "cache-0")})
    workers = [start(0), start(1)]
    while not (folder / f".{together.name}.training-1" / "epoch-1").is_dir():
        if any(worker.poll() is not None for worker in workers):
            sys.exit("a worker ended before epoch 2")
        time.sleep(0.02)
    workers[1].kill()
    workers[1].wait()
    print("worker 1 was killed in epoch 2; starting it again", flush=True)
    workers[1] = start(1)
    statuses = [worker.wait() for worker in workers]
    if any(statuses):
        sys.exit(f"exit statuses {statuses}")
    pairs = zip(losses(alone), losses(together), strict=True)
    return max(abs(one - other) for epochs in pairs for one, other in zip(*epochs, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", metavar="PHOTOS")
    asked, more = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as folder:
        found = {floatx: gap(Path(folder), floatx, [asked.photos, *more]) for floatx in ("float32", "float64")}
    for floatx, largest in found.items():
        print(f"{floatx}: largest difference of a loss {largest:.0e}")


if __name__ == "__main__":
    main()

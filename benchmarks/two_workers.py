"""Two workers on loopback against one: the largest difference of a loss, with one of the two killed in epoch 2.

    python benchmarks/two_workers.py PHOTOS [--weights none --image-size 32 --alpha 0.35 ...]

What follows PHOTOS is passed on to `edge-train fit`.
"""

import csv
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

COMMAND = [sys.executable, "-c", "from edge_train.cli import app; app(prog_name='edge-train')", "fit"]


def losses(run: Path) -> list[tuple[float, float]]:
    with (run / "history.csv").open(newline="") as file:
        return [(float(row["train_loss"] or 0), float(row["val_loss"])) for row in csv.DictReader(file)][1:]


def main() -> None:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    addresses = [f"127.0.0.1:{taken.getsockname()[1]}" for taken in sockets]
    for taken in sockets:
        taken.close()
    folder = Path(tempfile.mkdtemp())
    print(f"runs and caches: {folder}")

    def start(number: int) -> subprocess.Popen[bytes]:
        config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": number}}
        more = {"TF_CONFIG": json.dumps(config), "XDG_CACHE_HOME": str(folder / f"cache-{number}")}
        return subprocess.Popen([*COMMAND, *sys.argv[1:], "--out", str(folder / "two")], env=os.environ | more)

    subprocess.run([*COMMAND, *sys.argv[1:], "--out", str(folder / "one")], check=True)
    first, second = start(0), start(1)
    while not (folder / ".two.training-1" / "epoch-1").is_dir():
        if first.poll() is not None or second.poll() is not None:
            sys.exit("a worker ended before epoch 2")
        time.sleep(0.02)
    second.kill()
    second.wait()
    print("worker 1 was killed in epoch 2; starting it again")
    second = start(1)
    statuses = first.wait(), second.wait()
    one, two = losses(folder / "one"), losses(folder / "two")
    gap = max(abs(a - b) for pair in zip(one, two, strict=True) for a, b in zip(*pair, strict=True))
    print(f"exit statuses {statuses}; {len(two)} epochs; largest difference of a loss {gap:.1e}")


if __name__ == "__main__":
    main()

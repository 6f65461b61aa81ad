"""Flips single bits of a sealed .tflite, at places drawn by a seed, and counts what `edge-run verify` makes of each.

    python benchmarks/bit_flips.py flowers-int8.tflite --flips 1000

Ends with status 1 if one was let through. A crash of the interpreter would end this process, too: nothing is caught but
what `verify` raises on purpose.
"""

import argparse
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path

from edge_core.errors import EdgeError
from edge_device.inference.verify import verify


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--flips", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if not verify(options.file).passed:
        sys.exit(f"error: {options.file} does not pass as it is")
    content = options.file.read_bytes()
    verdicts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / options.file.name
        for bit in random.Random(options.seed).sample(range(8 * len(content)), options.flips):
            flipped = bytearray(content)
            flipped[bit // 8] ^= 1 << bit % 8
            path.write_bytes(flipped)
            try:
                divergence = verify(path).divergence
                verdicts[f"rejected at {divergence.stage}" if divergence else "PASSED"] += 1
            except EdgeError as error:
                verdicts[f"rejected as {type(error).__name__}"] += 1
    for verdict, count in verdicts.most_common():
        print(f"{count:6} {verdict}")
    sys.exit(int("PASSED" in verdicts))


if __name__ == "__main__":
    main()

"""How well a frame's luma tells full range from video range, `python benchmarks/experiments/luma_range.py PHOTOS ...`.

Frames of a camera whose browser does not tell: each photo as JPEG has its luma (0 to 255), and as BT.601 video has it
(16 to 235), also as a camera that sharpens sends it, which overshoots both ends. Printed for each folder, rule and
kind: of how many photos the rule finds "full". js/frames.js has what was chosen on cats_dogs and is told of flowers.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np

from edge_core import Frame, read_picture
from edge_core.data.photo_folder import pictures_below

SIZE = (640, 480)
PHOTOS = 300
SHARPENED = (0.0, 0.5, 1.0, 2.0)
"""Amount of the unsharp mask, by a Gaussian of one pixel."""

RULES = [(bound, share) for bound in (16, 12, 8, 4, 1) for share in (1e-4, 1e-3, 3e-3, 1e-2)]
"""Levels below `bound` and above 251 - `bound` (of 16: below 16 and above 235) count, and how many there must be."""


def luma(frame: cv2.typing.MatLike, sharpened: float, full: bool) -> Frame:
    """Luma of a frame, uint8, as a camera sends it."""
    gray = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY).astype(np.float32)
    video = gray if full else 16 + gray * (219 / 255)
    if sharpened:
        video += sharpened * (video - cv2.GaussianBlur(video, (0, 0), 1.0))
    return np.clip(np.rint(video), 0, 255).astype(np.uint8)


def outside(levels: Frame, bound: int) -> float:
    """Share of the levels that video range does not have, `bound` 16, or has only by far overshooting."""
    return float(((levels < bound) | (levels > 251 - bound)).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", metavar="PHOTOS", type=Path, nargs="+")
    for folder in parser.parse_args().folders:
        files = sorted(pictures_below(folder))
        frames = [cv2.resize(read_picture(one), SIZE) for one in files[:: max(1, len(files) // PHOTOS)][:PHOTOS]]
        kinds = [(full, amount) for full in (True, False) for amount in SHARPENED]
        found = {kind: [luma(frame, kind[1], kind[0]) for frame in frames] for kind in kinds}
        names = " ".join(f"{'full' if full else 'video'}+{amount:<4}" for full, amount in kinds)
        print(f"{folder.name}, {len(frames)} photos\n  below share   {names}")
        for bound, share in RULES:
            counts = [sum(outside(levels, bound) >= share for levels in found[kind]) for kind in kinds]
            print(f"  {bound:5} {share:<7} " + " ".join(f"{count / len(frames):9.1%}" for count in counts))


if __name__ == "__main__":
    main()

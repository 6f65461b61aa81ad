"""How far apart groups of the studio's inbox should stay: `python benchmarks/experiments/inbox_groups.py FILE PHOTOS`.

Frames that look alike are labeled by one key. Of photos of every class and of foreign pictures, drawn evenly, it prints
for several distances how many groups there are (keys to press) and how many frames are in a group whose majority is
another class (labels that are wrong if nobody unticks them).
"""

import argparse
from collections import Counter
from pathlib import Path

import numpy as np

from edge_core.data.photo_folder import pictures_below
from edge_core.run_folder import evenly_spaced
from edge_studio.devices.likeness_groups import FrameEmbedder, clusters


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, help=".tflite with a detector")
    parser.add_argument("photos", type=Path, help="photo folder, of which each subfolder is a class")
    parser.add_argument("--foreign", type=Path, help="folder of pictures of something else")
    parser.add_argument("--frames", type=int, default=60, help="frames of each class")
    asked = parser.parse_args()
    folders = [path for path in sorted(asked.photos.iterdir()) if path.is_dir()]
    paths = [(path, folder.name) for folder in folders for path in pictures_below(folder)]
    if asked.foreign:
        paths += [(path, "none of these") for path in evenly_spaced(pictures_below(asked.foreign), asked.frames)]
    chosen = [
        one
        for name in dict.fromkeys(label for _, label in paths)
        for one in evenly_spaced([pair for pair in paths if pair[1] == name], asked.frames)
    ]
    embedder = FrameEmbedder(asked.file, [path for folder in folders for path in pictures_below(folder)])
    found = [(embedder.embed(path), label) for path, label in chosen]
    rows = np.stack([one[0] for one, _ in found if one])
    labels = np.array([label for one, label in found if one])
    print(f"{len(rows)} frames of {len(set(labels.tolist()))} kinds")
    print("apart  groups  frames a group  wrong %")
    for apart in (0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7):
        members = clusters(rows, apart)
        right = sum(max(Counter(labels[members == one].tolist()).values()) for one in np.unique(members))
        groups = len(np.unique(members))
        print(f"{apart:5.2f}  {groups:6d}  {len(rows) / groups:14.1f}  {100 * (1 - right / len(rows)):7.1f}")


if __name__ == "__main__":
    main()

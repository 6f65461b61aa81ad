"""Whether runs know subjects that are small in the frame: `edge-train fit --augment camera` against `scene`, say.

    python benchmarks/experiments/small_in_frame.py PHOTOS GROUNDS RUN...

PHOTOS is a folder of class folders and GROUNDS a folder of pictures without the classes, neither trained on. Prints for
each run, in percent, what is right of the photos as they are, and with their middle at four heights before GROUNDS.
"""

import argparse
from functools import partial
from pathlib import Path

import numpy as np

from edge_core.data.photo_folder import Photo
from edge_core.images import read_picture
from edge_core.preprocess import preprocess
from edge_core.run_folder import MODEL_FILE, read_run
from edge_keras.tf import keras
from edge_train.evaluation.subject_sizes import subject_sizes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", metavar="PHOTOS", type=Path)
    parser.add_argument("grounds", metavar="GROUNDS", type=Path)
    parser.add_argument("runs", metavar="RUN", type=Path, nargs="+")
    asked = parser.parse_args()
    photos = [Photo(path, path.parent.name, "") for path in sorted(asked.photos.glob("*/*"))]
    behind = [Photo(path, "", "") for path in sorted(asked.grounds.iterdir())]
    for name in asked.runs:
        run = read_run(name)
        model = keras.models.load_model(run.folder / MODEL_FILE, compile=False)
        score = partial(model.predict, verbose=0)
        labels, spec = run.card.labels, run.card.input
        whole = np.stack([preprocess(read_picture(photo.path), spec) for photo in photos])
        right = score(whole).argmax(axis=1) == [labels.index(photo.label) for photo in photos]
        sizes = subject_sizes(photos, labels, spec, score, grounds=behind, most=len(photos))
        told = ", ".join(f"{one.height:.0%} high {one.right.value:.1%}" for one in sizes)
        print(f"{name}: of {len(photos)} photos {right.mean():.1%}; {told}", flush=True)


if __name__ == "__main__":
    main()

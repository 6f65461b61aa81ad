"""How accurate are a run's weights on larger or smaller pictures than they were trained on?

    python benchmarks/experiments/input_sizes.py RUN 160,192,224 [--photos FOLDER]

Judges the run's own test photos, or class folders of photos that it has not seen. Prints for each size the accuracy and
the lowest recalls.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from edge_core.data.photo_folder import Photo, find_photos, identify_photos
from edge_core.images import read_picture
from edge_core.preprocess import preprocess
from edge_core.run_folder import Run, load_model, read_run
from edge_keras.models.architectures import ARCHITECTURES
from edge_keras.models.backbone import build
from edge_keras.models.pretrained import Weights
from edge_keras.tf import keras

LOWEST = 3
"""Recalls that are printed."""


def network(run: Run, side: int) -> "keras.Model":
    """The run's network for pictures of a size."""
    model, backbone = load_model(run, keras.models.load_model), run.card.backbone
    spec = replace(run.card.input, width=side, height=side)
    if spec == run.card.input or backbone is None:
        return model
    architecture = ARCHITECTURES[backbone.name]
    larger = build(spec, len(run.card.labels), backbone.alpha, Weights("none (random)"), architecture)
    larger.set_weights(model.get_weights())
    return larger


def right(run: Run, side: int, photos: list[Photo]) -> np.ndarray:
    """Whether each photo is named rightly."""
    spec, model, found = replace(run.card.input, width=side, height=side), network(run, side), []
    for first in range(0, len(photos), 64):
        part = photos[first : first + 64]
        pixels = [preprocess(read_picture(photo.path, levels=spec.levels), spec) for photo in part]
        best = model.predict_on_batch(np.stack(pixels).astype(np.float32)).argmax(axis=1)
        found += [run.card.labels[label] == photo.label for label, photo in zip(best, part, strict=True)]
    return np.array(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("sizes", help="sides in pixels, between commas")
    parser.add_argument("--photos", type=Path, help="class folders of photos; the run's test photos by default")
    options = parser.parse_args()
    run = read_run(options.run)
    photos = identify_photos(find_photos(options.photos).files)[0] if options.photos else list(run.splits["test"])
    for side in map(int, options.sizes.split(",")):
        found = right(run, side, photos)
        names = np.array([photo.label for photo in photos])
        recalls = sorted((100 * float(found[names == label].mean()), label) for label in set(names.tolist()))
        lowest = ", ".join(f"{label} {recall:.1f}" for recall, label in recalls[:LOWEST])
        print(f"{side} pixels: {100 * found.mean():.1f} % of {len(photos)}; lowest recalls: {lowest}", flush=True)


if __name__ == "__main__":
    main()

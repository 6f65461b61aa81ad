"""Classify one picture: `python classify_frame.py flowers-int8.tflite tulip.jpg`."""

import sys
from pathlib import Path

from edge_core import read_picture
from edge_device import Classifier


def main(model: str, picture: str) -> None:
    """Prints the labels of a picture with their scores, the best first."""
    classifier = Classifier(model)
    for prediction in classifier.classify(read_picture(Path(picture))):
        print(f"{prediction.score:.3f}  {prediction.label}")
    classifier.close()


if __name__ == "__main__":
    main(*sys.argv[1:])

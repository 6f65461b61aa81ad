"""Runs on the emulated machine, as a file: scores of preprocessed pictures, as the model's output has them.

armv7l_scores.py MODEL.tflite PIXELS.npy SCORES.npy
"""

import sys

import numpy as np
from tflite_runtime.interpreter import Interpreter


def main(model: str, pixels: str, out: str) -> None:
    try:
        interpreter = Interpreter(model, num_threads=1)
        interpreter.allocate_tensors()
    except ValueError as error:  # an operator version that it does not know, told in several lines
        sys.exit(" ".join(str(error).split()))
    given, wanted = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    scores = []
    for picture in np.load(pixels):
        interpreter.set_tensor(given["index"], picture[None].astype(given["dtype"]))
        interpreter.invoke()
        scores.append(interpreter.get_tensor(wanted["index"])[0])
    np.save(out, scores)


if __name__ == "__main__":
    main(*sys.argv[1:])

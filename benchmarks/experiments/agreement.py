"""Whether other runtimes say of a file's test photos what `edge-run images` says; each in a venv of its own.

    python benchmarks/experiments/agreement.py flowers-int8.tflite --run runs/flowers --runtime mediapipe
    python benchmarks/experiments/agreement.py flowers-int8.tflite --run runs/flowers --runtime tflite-runtime

The run's test photos are cropped to squares first, since MediaPipe stretches what is not. The venv is kept (--venv) and
made with the Python that runs this; tflite-runtime 2.14 has wheels up to Python 3.11.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from edge_core.images import read_picture
from edge_core.run_folder import read_run
from edge_core.statistics import accuracy

ROOT: Final = Path(__file__).parents[2]

INSTALLED: Final = {
    "mediapipe": ["mediapipe==1.2.2"],
    "tflite-runtime": [f"{ROOT}[tflite-runtime]", "tflite-runtime==2.14.0"],
}

MEDIAPIPE: Final = """
import json, sys
import mediapipe as mp
vision = mp.tasks.vision
classifier = vision.ImageClassifier.create_from_options(
    vision.ImageClassifierOptions(mp.tasks.BaseOptions(model_asset_path=sys.argv[1]), max_results=1))
for path in sys.argv[2:]:
    best = classifier.classify(mp.Image.create_from_file(path)).classifications[0].categories[0]
    print(json.dumps({"source": path, "top": [{"label": best.category_name, "score": best.score}]}))
"""
TFLITE_RUNTIME: Final = """
import sys
from edge_device.cli import app
app(["images", *sys.argv[1:], "--runtime", "tflite-runtime", "--json"])
"""
OURS: Final = "import sys; from edge_device.cli import app; app(['images', *sys.argv[1:], '--json'])"


def top_1(python: Path, program: str, file: Path, photos: list[Path]) -> dict[str, str]:
    done = subprocess.run([python, "-c", program, file, *photos], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"error: {python} ended with status {done.returncode}")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return {row["source"]: row["top"][0]["label"] for row in rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--runtime", choices=sorted(INSTALLED), required=True)
    parser.add_argument("--venv", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        venv = options.venv or Path(scratch) / "venv"
        python = venv / "bin" / "python"
        if not python.exists():
            subprocess.run([sys.executable, "-m", "venv", venv], check=True)
            subprocess.run([python, "-m", "pip", "install", "--quiet", *INSTALLED[options.runtime]], check=True)
        photos = []
        for number, photo in enumerate(read_run(options.run).splits["test"]):
            frame = read_picture(photo.path)
            side = min(frame.shape[:2])
            top, left = ((length - side) // 2 for length in frame.shape[:2])
            photos.append(Path(scratch) / f"{number:04}.png")
            cv2.imwrite(str(photos[-1]), frame[top : top + side, left : left + side])
        ours = top_1(Path(sys.executable), OURS, options.file, photos)
        program = MEDIAPIPE if options.runtime == "mediapipe" else TFLITE_RUNTIME
        theirs = top_1(python, program, options.file, photos)
        same = accuracy(np.array([ours[source] == theirs[source] for source in ours]))
        print(f"{options.runtime}: the same top-1 as edge-run images on {same.percent()} of {len(photos)} photos")


if __name__ == "__main__":
    main()

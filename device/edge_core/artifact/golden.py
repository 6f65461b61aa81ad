"""Golden vectors: a few frames inside an artifact, and what every stage on the way to the scores must make of them."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from edge_core.artifact.container import opened_archive, read_entry
from edge_core.errors import ModelFormatError
from edge_core.images import encode_jpeg
from edge_core.preprocess import Frame, InputSpec

GOLDEN_FILE: Final = "golden.json"
SCHEMA: Final = "1.0"
"""As of the model card: a reader refuses a newer major version."""

FRAMES: Final = 4
MAX_JPEG_BYTES: Final = 16 << 10
"""Of one frame: four of them are 2 % of a MobileNetV2 in int8."""


@dataclass(frozen=True)
class Tolerance:
    """By how much a score, 0..1, may differ between machines that are both right.

    Attributes:
        same_runtime: Tolerance on the very runtime, by name and version, that made the golden vectors.
        other_runtime: Tolerance on any other runtime, whose kernels may round differently.
    """

    same_runtime: float
    other_runtime: float

    def widened(self, other: "Tolerance") -> "Tolerance":
        """The larger of each."""
        return Tolerance(max(self.same_runtime, other.same_runtime), max(self.other_runtime, other.other_runtime))


QUANTIZED: Final = Tolerance(10 / 255, 40 / 255)
"""Of arithmetic in integers, where nothing nearer is known: on an Edge TPU, and in files that tflite-runtime sealed.
LiteRT with XNNPACK gave the same int8 scores on x86-64, Cortex-A72 and A76, and up to 9/255 between them of a uint8
model of 2018. XNNPACK against the built-in kernels, 24 photos: MobileNetV2-160 int8
10/255, dynamic range 7/255, Google's quantized MobileNetV2-224 28/255 and 32/255."""

STEPS: Final = 2 / 255
"""Two steps of a score in 8 bits: by as much the scores of arithmetic in 8 bits without exception may differ between
machines with one runtime, where they were never seen to differ at all."""

ACCELERATED: Final = "with libedgetpu"
"""In the name of a runtime that has an accelerator compute: whose rounding no kernel of a CPU foretells."""

FLOAT: Final = Tolerance(1e-4, 1e-4)
"""Of arithmetic in floats; the largest difference seen was 1.3e-6, XNNPACK against the built-in kernels."""


def tolerance_of(apart: float, signed: bool) -> Tolerance:
    """How much less than `QUANTIZED` a file needs, of which it was measured how far kernels are apart.

    tflite-runtime 2.14 differed on seven files by exactly as much as the built-in kernels of LiteRT 2.3 on x86-64, and
    has the scores of the reference kernels on Arm. Other versions may round elsewhere again, so it is doubled.

    Args:
        apart: Largest difference of a golden score between the kernels that a runtime offers.
        signed: Whether all arithmetic is in signed integers.
    """
    other = min(2 * apart + STEPS, QUANTIZED.other_runtime)
    return Tolerance(STEPS if signed else min(QUANTIZED.same_runtime, other), other)


@dataclass(frozen=True)
class GoldenFrame:
    """A frame and what must become of it.

    Attributes:
        jpeg: The picture file: only pixels, nothing of what a camera writes beside them.
        decoded_sha256: SHA-256 of the decoded picture, channels R, G, B, row by row.
        pixels_sha256: SHA-256 of the pixels that `preprocess` makes for the model.
        scores: One per label, as float32 holds them.
    """

    jpeg: bytes
    decoded_sha256: str
    pixels_sha256: str
    scores: tuple[float, ...]


@dataclass(frozen=True)
class GoldenVectors:
    """What a model gave where it was made.

    Attributes:
        frames: One or more.
        tolerance: Largest permitted difference of a score on another machine.
        made_with: Runtime, OpenCV and machine that made them, by name.
    """

    frames: tuple[GoldenFrame, ...]
    tolerance: Tolerance
    made_with: Mapping[str, str]

    def tolerance_on(self, runtime: str) -> float:
        """By how much a score may differ on a runtime, `ai-edge-litert 2.3.0`, say."""
        if runtime.endswith(ACCELERATED) and self.tolerance != FLOAT:
            return QUANTIZED.other_runtime
        same = runtime == self.made_with.get("runtime")
        return self.tolerance.same_runtime if same else self.tolerance.other_runtime

    def to_files(self) -> dict[str, bytes]:
        """Name and content of the files in the archive; the same vectors give the same bytes."""
        table = {
            "schema": SCHEMA,
            "made_with": dict(self.made_with),
            "tolerance": asdict(self.tolerance),
            "frames": [
                {
                    "file": _jpeg_name(index),
                    "decoded_sha256": frame.decoded_sha256,
                    "pixels_sha256": frame.pixels_sha256,
                    "scores": [float(str(np.float32(score))) for score in frame.scores],  # the shortest that reads back
                }
                for index, frame in enumerate(self.frames)
            ],
        }
        jpegs = {_jpeg_name(index): frame.jpeg for index, frame in enumerate(self.frames)}
        return {GOLDEN_FILE: (json.dumps(table) + "\n").encode(), **jpegs}


def read_golden(path: Path) -> GoldenVectors:
    """Reads the golden vectors of a sealed .tflite.

    Raises:
        ModelFormatError: No such file, without golden vectors, or with some that make no sense.
    """
    with opened_archive(path, "no golden vectors, so it cannot be replayed") as archive:
        text = read_entry(archive, GOLDEN_FILE)
        try:
            return _parse(json.loads(text), lambda name: read_entry(archive, name))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ModelFormatError(f"{path} has golden vectors that cannot be read: {error}") from error


def _parse(table: Any, read: Callable[[str], bytes]) -> GoldenVectors:
    if str(table["schema"]).split(".")[0] != SCHEMA.split(".")[0]:
        raise ValueError(f"their schema is {table['schema']}, this version reads {SCHEMA}; upgrade edge-mobilenet")
    frames = tuple(
        GoldenFrame(
            read(_jpeg_name(index)),
            str(frame["decoded_sha256"]),
            str(frame["pixels_sha256"]),
            tuple(float(score) for score in frame["scores"]),
        )
        for index, frame in enumerate(table["frames"])
    )
    if not frames:
        raise ValueError("there is no frame")
    tolerance = Tolerance(*(float(table["tolerance"][name]) for name in ("same_runtime", "other_runtime")))
    return GoldenVectors(frames, tolerance, {str(name): str(value) for name, value in table["made_with"].items()})


def to_jpeg(frame: Frame, spec: InputSpec) -> bytes:
    """A frame as a JPEG file of at most `MAX_JPEG_BYTES`.

    Its shorter side is 2.25 times the model's longer one where the frame has as much, so that `preprocess` has both a
    halving and a linear step to do on it; what needs too many bytes so is compressed more, then shrunk.
    """
    shorter = min(frame.shape[:2])
    factor = min(1.0, 2.25 * max(spec.width, spec.height) / shorter)
    while True:
        height, width = (max(1, round(factor * side)) for side in frame.shape[:2])
        # INTER_AREA may differ by a level between processors, but once in the file the pixels are what they are.
        small = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)
        for quality in (85, 70, 50, 30):
            jpeg = encode_jpeg(small, quality)
            if len(jpeg) <= MAX_JPEG_BYTES:
                return jpeg
        # Ends at one pixel at the latest, whose file has some 600 bytes.
        factor *= 0.8


def sha256_of(pixels: Frame) -> str:
    """SHA-256, hexadecimal, of an array's bytes in C order."""
    return hashlib.sha256(pixels.tobytes()).hexdigest()


def _jpeg_name(index: int) -> str:
    return f"golden/{index}.jpg"

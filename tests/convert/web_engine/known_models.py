"""Sealed tiny models that can tell what is foreign to them."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import numpy as np

from edge_core import InputSpec, ModelCard, complete
from edge_core.artifact.familiarity import Detector, DetectorHeader, Layer, Term, TermShape
from edge_core.artifact.seal import Signer
from edge_core.preprocess import Frame
from edge_device.inference.verify import sealed

from ...conftest import LABELS, MODELS

SPEC: Final = InputSpec(32, 32, "pad")
LAYERS: Final = {"uint8": (Layer(5, 3), Layer(4, 3)), "float32": (Layer(4, 3), Layer(5, 4))}
"""Pooled colors, and the quantized picture or the logits."""

KnownModel = Callable[..., Path]


def detector_of(kind: str) -> Detector:
    """Finds red familiar, and what is like it; the second layer counts a little."""
    layers = LAYERS[kind]
    widths = [layer.width for layer in layers]
    rng = np.random.default_rng(3)
    axis = np.array([[100, -3, 5]], np.int8)
    mean = np.array([[0.5, 0.1, 0.05]], np.float32)
    apart = rng.integers(-90, 90, (2, widths[1]), np.int8)
    centers = rng.normal(0, 0.3, (3, 2)).astype(np.float32)
    terms = (
        Term(TermShape("residual", 0, False, 1, 1, 0.01, 0.3, 0.2), axis, mean),
        Term(TermShape("residual", 0, True, 1, 1, 0.01, 0.4, 0.3), axis, mean),
        Term(TermShape("mahalanobis", 1, False, 2, 3, 0.01, 0.5, 0.4), apart, centers),
    )
    header = DetectorHeader(
        layers, tuple(one.shape for one in terms), (-6.0, -1.0, 0.5, 2.0), (1.0, 0.6, 0.2, 0.04), 1.5, (40, 20)
    )
    return Detector(header, terms)


def taught_detector(kind: str) -> Detector:
    """Finds blue familiar."""
    term = Term(
        TermShape("nearest", 0, False, 1, 1, 0.01, 0.2, 0.2), np.array([[3, 8, 99]], np.int8), np.zeros((1, 0), "f4")
    )
    return Detector(DetectorHeader(LAYERS[kind][:1], (term.shape,), (-1.0, 2.0), (1.0, 0.1), 1.0, (4, 4)), (term,))


def known_model(
    path: Path,
    frames: Mapping[str, Frame],
    kind: str = "uint8",
    *,
    labels: tuple[str, ...] = LABELS,
    signer: Signer | None = None,
    files: Mapping[str, bytes] | None = None,
) -> Path:
    """Writes a sealed model; `files` are further ones of its archive."""
    model = (MODELS / f"tiny-{kind}.tflite").read_bytes()
    artifact = complete(
        model, ModelCard(labels, SPEC), "colors", detector=detector_of(kind).to_bytes(), files=files or {}
    )
    path.write_bytes(sealed(artifact, frames.values(), signer))
    return path

"""What the full-size model said of its test photos, kept in the run folder: it takes half a minute to ask it again.

Kept scores belong to bytes, those of the model's file and those of the preprocessed pixels, and to nothing else: a
photo that was changed or cut in another way, or another model in the same folder, has none.
"""

import hashlib
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from edge_core.preprocess import Frame
from edge_core.run_folder import MODEL_FILE

SCORES_FILE: Final = "scores.npz"

CONFIRMED: Final = 32
"""Photos, or up to twice as many, that the model is asked of again before kept scores count: one step, for 25."""

TOLERANCE: Final = 1e-4
"""Scores of the same model for the same pixels differ by up to 1e-6 with the size of the batch and the number of
threads, by more on a GPU that computes in float16, whose scores are not taken for those of this machine."""

_DAMAGED: Final = (OSError, ValueError, LookupError, EOFError, TypeError, RuntimeError, zlib.error, zipfile.BadZipFile)
"""What NumPy and zipfile raise of a damaged file: where it looks encrypted or packed, as no .npz is, a RuntimeError."""

Scores = npt.NDArray[np.float32]


def pixels_name(pixels: Frame) -> bytes:
    """The name of preprocessed pixels, the same for the same bytes in the same shape."""
    return hashlib.sha256(f"{pixels.shape}".encode() + pixels.tobytes()).digest()


def write_scores(folder: Path, names: Sequence[bytes], scores: Scores) -> None:
    """Keeps scores beside the model that gave them.

    Args:
        folder: Run folder that has its model file already.
        names: Name of each photo's pixels, see `pixels_name`.
        scores: Scores of the full-size model, shape (photos, labels).
    """
    rows = np.frombuffer(b"".join(names), np.uint8).reshape(len(names), -1)
    np.savez(folder / SCORES_FILE, model=_model_name(folder), pixels=rows, scores=scores.astype(np.float32))


def find_scores(folder: Path, names: Sequence[bytes]) -> Scores | None:
    """Kept scores for pixels by name, shape (photos, labels).

    None if a single one is missing, the model is another one, or nothing legible was kept.
    """
    try:
        with (folder / SCORES_FILE).open("rb") as file, np.load(file, allow_pickle=False) as kept:
            if kept["model"].tobytes() != _model_name(folder).tobytes():
                return None
            scores: Scores = kept["scores"]
            rows = {name.tobytes(): row for row, name in enumerate(kept["pixels"])}
        return scores[[rows[name] for name in names]]
    except _DAMAGED:
        return None


def scores_of_all(kept: Scores | None, ask: Callable[[slice], Scores], count: int) -> Scores:
    """Kept scores if the model gives the same for some of the photos now, else what it gives for all of them.

    Args:
        kept: What `find_scores` found.
        ask: Function that has the model score a part of the photos: shape (photos, labels).
        count: Number of photos.
    """
    everything, some = slice(None), slice(None, None, max(1, count // CONFIRMED))
    if kept is None:
        return ask(everything)
    again = ask(some)
    alike = again.shape == kept[some].shape and np.abs(again - kept[some]).max() <= TOLERANCE
    return kept if alike else ask(everything)


def _model_name(folder: Path) -> npt.NDArray[np.uint8]:
    with (folder / MODEL_FILE).open("rb") as file:
        return np.frombuffer(hashlib.file_digest(file, "sha256").digest(), np.uint8)

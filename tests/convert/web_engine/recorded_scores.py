"""Sequences of scores such as cameras give, with pauses, lost sources and damaged frames, for deciders to agree on."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from edge_device.inference.interpreter import Scores

LABELS: Final = ("cat", "café", "dog", "bird=blue")

Action = Literal["update", "lost", "leave", "relabel"]


@dataclass(frozen=True, eq=False)
class Step:
    """What happens at a time, in seconds: a frame with scores, shape (labels,), or what the action says."""

    action: Action
    now_s: float
    scores: Scores
    known: bool
    labels: tuple[str, ...]


def recorded(seed: int, length: int = 200) -> Iterator[Step]:
    """Scores of things that come and go, each frame's softmax noisy, at 5 to 30 frames a second."""
    rng = np.random.default_rng(seed)
    now_s, shown, labels = float(rng.uniform(0, 1e5)), 0, LABELS
    for _ in range(length):
        now_s += float(rng.choice([0.0, 1 / 30, 0.2, 2.0, 6.0], p=[0.02, 0.6, 0.34, 0.03, 0.01]))
        shown = int(rng.integers(len(labels))) if rng.random() < 0.05 else shown
        logits = rng.normal(0, 1.2, len(labels)) + 2.5 * (np.arange(len(labels)) == shown)
        scores = (np.exp(logits) / np.exp(logits).sum()).astype(np.float32)
        if rng.random() < 0.02:
            scores[rng.integers(len(labels))] = rng.choice(np.array([np.nan, np.inf], np.float32))
        action: Action = ("update", "lost", "leave", "relabel")[rng.choice(4, p=[0.94, 0.04, 0.01, 0.01])]
        if action == "relabel" and rng.random() < 0.5:
            labels = labels[::-1]
        yield Step(action, now_s, scores, bool(rng.random() < 0.8), labels)

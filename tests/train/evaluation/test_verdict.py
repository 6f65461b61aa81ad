from pathlib import Path

import numpy as np
import pytest

from edge_core.data.photo_folder import Photo
from edge_train.evaluation.metrics import Evaluation, evaluate_scores
from edge_train.evaluation.run_verdict import verdict

LABELS = ("daisy", "rose")


def evaluated(counts: tuple[int, int], right: tuple[int, int]) -> Evaluation:
    truth = np.repeat([0, 1], counts)
    said = np.concatenate(
        [np.where(np.arange(n) < k, c, 1 - c) for c, (n, k) in enumerate(zip(counts, right, strict=True))]
    )
    photos = [Photo(Path(f"{number}.jpg"), LABELS[label], str(number)) for number, label in enumerate(truth)]
    return evaluate_scores(np.eye(2, dtype=np.float32)[said] * 0.8 + 0.1, photos, LABELS)


@pytest.mark.parametrize(
    ("counts", "right", "reason"),
    [
        ((50, 50), (48, 47), ""),
        ((97, 3), (97, 0), "better than always saying 'daisy'"),
        ((50, 50), (50, 20), "fewer than half of the photos of 'rose' (40 %)"),
        ((50, 50), (35, 35), "wrong on 30 %"),
        ((50, 3), (50, 3), "fewer than 5 test photos show 'rose'"),
    ],
)
def test_a_classifier_is_good_to_use_or_it_is_said_what_stands_against_it(
    counts: tuple[int, int], right: tuple[int, int], reason: str
) -> None:
    said = verdict(evaluated(counts, right))
    assert said.startswith("Not good to use on a Pi yet" if reason else "Good to use on a Pi: ")
    assert reason in said

"""What a run said of each of its test photos, as `edge-train fit` has written it down."""

import csv
from pathlib import Path
from typing import Final

from edge_core.errors import RunFolderError
from edge_train.evaluation.metrics import Judged

PREDICTIONS_FILE: Final = "predictions.csv"


def read_predictions(run: Path) -> list[Judged]:
    """The test photos of a run folder, those with the lowest score for their own label first.

    Raises:
        RunFolderError: The file is not there, or is damaged.
    """
    file = run / PREDICTIONS_FILE
    try:
        with file.open(encoding="utf-8", errors="surrogateescape", newline="") as opened:
            return [
                Judged(
                    Path(row["path"]),
                    row["label"],
                    float(row["label_score"]),
                    row["predicted"],
                    float(row["predicted_score"]),
                )
                for row in csv.DictReader(opened)
            ]
    except OSError as error:
        raise RunFolderError(f"{file}: {error.strerror or error}") from error
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise RunFolderError(f"{file} is damaged: {error}") from error

"""Run folders without a model: what a page of results reads."""

import csv
import json
from pathlib import Path

from edge_core import InputSpec, ModelCard
from edge_core.data.photo_folder import SPLITS, Photo, Split
from edge_core.run_folder import CARD_FILE, MODEL_FILE, write_photos
from edge_studio import Project
from edge_studio.review.run_review import sha256_of

LABELS = ("roses", "tulips")
Row = tuple[str, str, float, str, float]


def write_run(project: Project, name: str, rows: list[Row]) -> Path:
    """A run folder as `edge-train fit` leaves it, but for its model; a row is what was said of a photo."""
    folder = project.runs / name
    folder.mkdir(parents=True)
    (folder / MODEL_FILE).write_bytes(b"")
    (folder / CARD_FILE).write_text(ModelCard(labels=LABELS, input=InputSpec(32, 32)).to_text())
    splits: dict[Split, list[Photo]] = {split: [] for split in SPLITS}
    splits["test"] = [Photo(project.photos / row[0], row[1], sha256_of(project.photos / row[0])) for row in rows]
    write_photos(folder, splits)
    with (folder / "predictions.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "label", "label_score", "predicted", "predicted_score"))
        writer.writerows((project.photos / row[0], *row[1:]) for row in rows)
    estimate = {"value": 0.5, "low": 0.2, "high": 0.8}
    classes = [{"label": label, "recall": estimate} for label in LABELS]
    evaluation = {"accuracy": estimate, "confusion": [[1, 2], [0, 1]], "labels": LABELS, "classes": classes}
    (folder / "evaluation.json").write_text(json.dumps(evaluation))
    return folder

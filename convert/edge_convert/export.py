"""A run becomes a complete .tflite, or nothing at all if too much accuracy went."""

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from edge_convert.gate import Comparison, artifact_scores, compare, full_size_scores
from edge_convert.recipes import CALIBRATED, RECIPES, Pixels
from edge_convert.tf import keras
from edge_core.errors import CheckFailedError, DatasetError, OutputError
from edge_core.files import written_whole
from edge_core.photos import find_photos, read_photos
from edge_core.preprocess import preprocess
from edge_core.progress import Track, silently
from edge_core.run_folder import Run, load_model, read_held_out, read_training_photos
from edge_core.tflite_file import complete
from edge_device.classifier import Classifier

if TYPE_CHECKING:
    from edge_core.preprocess import Frame

CALIBRATION_PHOTOS: Final = 100
"""Of 20, 100, 200 and 500, none was better: agreement with the full-size model was 97.7 to 97.9 % on 2,600 road signs,
98.3 to 98.5 % on 461 flowers, 98.1 to 98.5 % on 206 cats and dogs."""

MAX_DROP_POINTS: Final = 1.0


@dataclass(frozen=True)
class Exported:
    """A file that was written.

    Attributes:
        file: the complete .tflite.
        report: the JSON beside it.
        size_bytes: of the file.
        comparison: with the full-size model.
        left_out: photos of `--data` that were passed over because the run had seen them.
    """

    file: Path
    report: Path
    size_bytes: int
    comparison: Comparison
    left_out: int


def calibration_pixels(run: Run, folder: Path | None, track: Track = silently) -> Pixels:
    """Pixels to calibrate on: every class in proportion, of the run's training photos or of another photo folder.

    Raises:
        DatasetError: `folder` is no photo folder, or none of its pictures can be decoded.
        RunFolderError: the run's photos are no longer where they were.
    """

    def visit(_: int, frame: "Frame") -> Pixels:
        return preprocess(frame, run.card.input)

    if folder is None:
        return np.stack(read_training_photos(run, visit, CALIBRATION_PHOTOS, track=track).values)
    found = find_photos(folder)
    step = max(1, len(found) // CALIBRATION_PHOTOS)
    reading = read_photos(found[::step], visit, track=track, label="Reading calibration photos")
    if not reading.values:
        raise DatasetError(f"{folder}: none of its pictures can be decoded")
    return np.stack(reading.values)


def export(
    run: Run,
    recipe: str,
    out: Path,
    *,
    calibration: Path | None = None,
    data: Path | None = None,
    max_drop: float = MAX_DROP_POINTS,
    force: bool = False,
    say: Callable[[str], None] = lambda line: None,
    track: Track = silently,
) -> Exported:
    """Converts a run, proves the result on held-out photos, and writes it with a report beside it.

    Args:
        run: the trained run.
        recipe: one of `RECIPES`.
        out: the .tflite to write.
        calibration: photo folder to calibrate on instead of the run's training photos.
        data: photo folder to prove it on instead of the run's test photos, see `read_held_out`.
        max_drop: the loss of top-1 accuracy, in points, up to which the file is written.
        force: write it whatever it lost; the card says so.
        say: is told what goes on.
        track: shows progress.

    Raises:
        CheckFailedError: it lost more than `max_drop`; nothing is written.
        DatasetError, RunFolderError: there are no photos to calibrate on or to prove it with.
        OutputError: `out` cannot be written.
    """
    if out.is_dir() or out.suffix != ".tflite":
        raise OutputError(f"{out}: the file to write ends in .tflite")
    model = load_model(run, keras.models.load_model)
    pixels = calibration_pixels(run, calibration, track) if recipe in CALIBRATED else None
    held_out = read_held_out(run, lambda _, frame: preprocess(frame, run.card.input), data, track=track)
    test_pixels = np.stack(held_out.values)
    say(f"converting with the recipe {recipe} ...")
    flatbuffer = RECIPES[recipe](model, pixels)

    with tempfile.TemporaryDirectory() as scratch:  # what is proven is a whole file, opened as on the device
        candidate = Path(scratch) / out.name
        candidate.write_bytes(complete(flatbuffer, run.card, run.folder.resolve().name))
        scores = artifact_scores(Classifier(candidate), test_pixels, track)
    comparison = compare(full_size_scores(model, test_pixels, track), scores, held_out.photos, run.card.labels)
    refused = comparison.drop_points > max_drop
    if refused and not force:
        raise CheckFailedError(
            f"{recipe} loses {comparison.drop_points:.1f} points on {comparison.photos} held-out photos, more than "
            f"--max-drop {max_drop:g}: {comparison.full_size.percent()} became {comparison.converted.percent()}. Nothing "
            "was written; try another recipe, other calibration photos, or --force"
        )
    card = replace(
        run.card,
        conversion={
            "recipe": recipe,
            "calibration_photos": 0 if pixels is None else len(pixels),
            "calibration": "" if pixels is None else str(calibration.name if calibration else "training photos"),
            "max_drop_points": max_drop,
            "within_max_drop": not refused,
            **{name: value for name, value in comparison.to_json().items() if name != "changed"},
        },
        versions={**run.card.versions, "tensorflow": metadata.version("tensorflow")},
    )
    artifact = complete(flatbuffer, card, run.folder.resolve().name)
    report_file = out.with_suffix(".report.json")
    report: dict[str, Any] = {
        "file": out.name,
        "size_bytes": len(artifact),
        "run": str(run.folder),
        "comparison": comparison.to_json(),
        "left_out_seen_in_training": held_out.left_out,
        "unusable": [{"path": str(item.path), "reason": item.reason} for item in held_out.unusable],
        "card": json.loads(card.to_text()),
    }
    with written_whole(report_file) as beside:
        beside.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", "utf-8")
    with written_whole(out) as beside:
        beside.write_bytes(artifact)
    return Exported(out, report_file, len(artifact), comparison, held_out.left_out)

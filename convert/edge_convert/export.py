"""A run becomes a complete .tflite, or nothing at all if too much accuracy went."""

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import numpy as np

from edge_convert.gate import Comparison, artifact_scores, compare, full_size_scores
from edge_convert.recipes import CALIBRATED, RECIPES, Pixels
from edge_convert.tf import keras
from edge_core.errors import CheckFailedError, DatasetError, OutputError
from edge_core.files import written_whole
from edge_core.golden import FRAMES
from edge_core.photos import Reading, Unusable, find_all_photos, identify_photos, read_photos
from edge_core.pictures import read_picture
from edge_core.preprocess import Frame, preprocess
from edge_core.progress import Track, silently
from edge_core.run_folder import Run, load_model, read_held_out, read_training_photos, spread
from edge_core.seal import Signer
from edge_core.tflite_file import complete
from edge_device.classifier import Classifier
from edge_device.verify import sealed

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
        calibrated_on: how many photos; 0 where the recipe needs none.
        unusable: photos to calibrate on or to prove it with that could not be used.
    """

    file: Path
    report: Path
    size_bytes: int
    comparison: Comparison
    left_out: int
    calibrated_on: int
    unusable: tuple[Unusable, ...]


def read_calibration(run: Run, folder: Path | None, track: Track = silently) -> Reading[Pixels]:
    """Pixels to calibrate on: every class in proportion, of the run's training photos or of another photo folder.

    The run's test photos are passed over: the artifact is proven on them.

    Raises:
        DatasetError: `folder` is no photo folder, or none of its pictures can be used.
        RunFolderError: the run's photos are no longer where they were.
    """

    def visit(_: int, frame: Frame) -> Pixels:
        return preprocess(frame, run.card.input)

    if folder is None:
        return read_training_photos(run, visit, CALIBRATION_PHOTOS, track=track)
    tested_on = {photo.sha256 for photo in run.splits["test"]}
    photos, unusable = identify_photos(find_all_photos(folder), track=track)
    files = [(photo.path, photo.label) for photo in photos if photo.sha256 not in tested_on]
    reading = read_photos(spread(files, CALIBRATION_PHOTOS), visit, track=track, label="Reading calibration photos")
    if not reading.values:
        raise DatasetError(f"{folder}: none of its pictures can be decoded, or all are among the run's test photos")
    return Reading(reading.photos, reading.values, (*unusable, *reading.unusable))


def export(
    run: Run,
    recipe: str,
    out: Path,
    *,
    calibration: Path | None = None,
    data: Path | None = None,
    max_drop: float = MAX_DROP_POINTS,
    force: bool = False,
    signer: Signer | None = None,
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
        signer: whose signature the file gets; none by default.
        say: is told what goes on.
        track: shows progress.

    Raises:
        CheckFailedError: it lost more than `max_drop`; nothing is written.
        DatasetError, RunFolderError: there are no photos to calibrate on or to prove it with.
        OutputError: `out` cannot be written.
        ValueError: `max_drop` is no number of points.
    """
    if not 0 <= max_drop <= 100:
        raise ValueError(f"a drop is 0 to 100 points, not {max_drop}")
    if out.is_dir() or out.suffix != ".tflite":
        raise OutputError(f"{out}: the file to write ends in .tflite")
    model = load_model(run, keras.models.load_model)
    calibrated = read_calibration(run, calibration, track) if recipe in CALIBRATED else None
    held_out = read_held_out(run, lambda _, frame: preprocess(frame, run.card.input), data, track=track)
    test_pixels = np.stack(held_out.values)
    say(f"converting with the recipe {recipe} ...")
    flatbuffer = RECIPES[recipe](model, None if calibrated is None else np.stack(calibrated.values))

    with tempfile.TemporaryDirectory() as scratch:  # what is proven is a whole file, opened as on the device
        candidate = Path(scratch) / out.name
        candidate.write_bytes(complete(flatbuffer, run.card, run.folder.resolve().name))
        scores = artifact_scores(Classifier(candidate), test_pixels, track)
    comparison = compare(full_size_scores(model, test_pixels, track), scores, held_out.photos, run.card.labels)
    refused = comparison.drop_points > max_drop + 1e-9  # 7 of 1,000 are 0.7 points, though not in binary
    if refused and not force:
        raise CheckFailedError(_refusal(recipe, comparison, max_drop))
    card = replace(
        run.card,
        metrics={"test_accuracy": comparison.converted, "full_size_test_accuracy": comparison.full_size},
        conversion={
            "recipe": recipe,
            "calibration_photos": 0 if calibrated is None else len(calibrated.photos),
            "calibration": "" if calibrated is None else calibration.name if calibration else "training photos",
            "max_drop_points": max_drop,
            "within_max_drop": not refused,
            **{name: value for name, value in comparison.to_json().items() if name != "changed"},
        },
        versions={**run.card.versions, "tensorflow": metadata.version("tensorflow")},
    )
    unusable = held_out.unusable if calibrated is None else (*calibrated.unusable, *held_out.unusable)
    files = spread([(photo.path, photo.label) for photo in held_out.photos], FRAMES)
    artifact = sealed(
        complete(flatbuffer, card, run.folder.resolve().name), [read_picture(path) for path, _ in files], signer
    )
    report_file = out.with_suffix(".report.json")
    report: dict[str, Any] = {
        "file": out.name,
        "size_bytes": len(artifact),
        "run": str(run.folder),
        "comparison": comparison.to_json(),
        "left_out_seen_in_training": held_out.left_out,
        "unusable": [{"path": str(item.path), "reason": item.reason} for item in unusable],
        "card": json.loads(card.to_text()),
    }
    with written_whole(report_file) as report_beside, written_whole(out) as beside:
        beside.write_bytes(artifact)
        report_beside.write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    calibrated_on = 0 if calibrated is None else len(calibrated.photos)
    return Exported(out, report_file, len(artifact), comparison, held_out.left_out, calibrated_on, unusable)


def _refusal(recipe: str, comparison: Comparison, max_drop: float) -> str:
    low, high = 100 * comparison.difference.low, 100 * comparison.difference.high
    enough = comparison.photos_to_tell(max_drop)
    doubt = (
        f" These photos are too few to be sure ({low:+.1f} to {high:+.1f} points): about {enough} would tell, --data takes "
        "more."
        if enough
        else ""
    )
    changed = "".join(f" {item.path} ({item.full_size} became {item.converted})," for item in comparison.changed[:3])
    return (
        f"{recipe} loses {comparison.drop_points:.1f} points on {comparison.photos} held-out photos, more than --max-drop "
        f"{max_drop:g}: {comparison.full_size.percent()} became {comparison.converted.percent()}.{doubt} Changed:{changed} "
        f"{len(comparison.changed)} in all. Nothing was written; try --recipe dynamic or float16, or allow it with "
        "--max-drop or --force"
    )

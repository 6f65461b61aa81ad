"""A run becomes a complete .tflite, or nothing at all if too much accuracy went."""

import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Final

import numpy as np

from edge_convert.foreign.extraction import DetectorFitter
from edge_convert.foreign.measure import NO_FOLDERS, ForeignFolders, judge_foreign, read_foreign
from edge_convert.gate.candidate import Candidate, Exported
from edge_convert.gate.gate_comparison import Comparison, artifact_scores, compare, full_size_scores
from edge_convert.gate.limits import USUAL_LIMITS, USUAL_TARGETS, Limits
from edge_convert.quantize.calibration import quantize
from edge_convert.quantize.recipes import (
    CALIBRATED,
    CALIBRATED_GRAPHS,
    ON_QUANTIZED,
    RECIPES,
    Pixels,
    int8_selective,
    noise_of,
)
from edge_convert.quantize.sqnr import LayerNoise
from edge_convert.report.export_page import write_report
from edge_convert.targets import check
from edge_core.artifact.card import ModelCard
from edge_core.artifact.container import complete
from edge_core.artifact.golden import FRAMES
from edge_core.artifact.seal import Signer
from edge_core.codec import JsonObject
from edge_core.data.photo_folder import Reading, identify_photos, read_photos
from edge_core.data.photo_list import find_all_photos
from edge_core.errors import CheckFailedError, DatasetError, RunFolderError
from edge_core.files import require_tflite, written_whole
from edge_core.images import read_picture
from edge_core.preprocess import Frame, preprocess
from edge_core.progress import Track, silently, tracked
from edge_core.run_folder import HeldOut, Run, evenly_spaced, load_model, read_held_out, read_training_photos
from edge_device.inference.classifier import Classifier
from edge_device.inference.interpreter import Scores
from edge_device.inference.verify import sealed
from edge_keras.frozen_graph import load_keras
from edge_keras.kept_scores import find_scores, pixels_name, scores_of_all
from edge_keras.tf import keras

CALIBRATION_PHOTOS: Final = 100
"""Of 20, 100, 200 and 500, none was better: agreement with the full-size model was 97.7 to 97.9 % on 2,600 road signs,
98.3 to 98.5 % on 461 flowers, 98.1 to 98.5 % on 206 cats and dogs."""


def read_calibration(run: Run, folder: Path | None, track: Track = silently) -> Reading[Pixels]:
    """Pixels to calibrate on: every class in proportion, of the run's training photos or of another photo folder.

    The run's test photos are passed over: the artifact is proven on them.

    Raises:
        DatasetError: `folder` is no photo folder, or none of its pictures can be used.
        RunFolderError: The run's photos are no longer where they were.
    """

    def visit(_: int, frame: Frame) -> Pixels:
        return preprocess(frame, run.card.input)

    if folder is None:
        return read_training_photos(run, visit, CALIBRATION_PHOTOS, track=track)
    tested_on = {photo.sha256 for photo in run.splits["test"]}
    listing = find_all_photos(folder)
    photos, unusable = identify_photos(listing.files, track=track)
    files = [(photo.path, photo.label) for photo in photos if photo.sha256 not in tested_on]
    reading = read_photos(
        evenly_spaced(files, CALIBRATION_PHOTOS),
        visit,
        levels=run.card.input.levels,
        track=track,
        label="Reading calibration photos",
    )
    if not reading.values:
        raise DatasetError(f"{folder}: none of its pictures can be decoded, or all are among the run's test photos")
    return Reading(reading.photos, reading.values, (*listing.dropped, *unusable, *reading.unusable))


def recipe_for(run: Run, recipe: str) -> str:
    """The recipe that is meant: for weights that were trained to be rounded, int8 is int8-qat.

    Raises:
        RunFolderError: int8-qat of a run without such weights.
    """
    if recipe == "int8-qat" and run.quantized_file is None:
        raise RunFolderError(f"{run.folder} was not trained for 8 bits; edge-train fit --qat does that")
    return "int8-qat" if recipe == "int8" and run.quantized_file is not None else recipe


@dataclass(frozen=True)
class ConversionOptions:
    """What an export takes beside the run, whatever the recipe.

    Attributes:
        calibration: Photo folder to calibrate on instead of the run's training photos.
        data: Photo folder to prove it on instead of the run's test photos, see `read_held_out`.
        foreign: Foreign pictures to learn from, and to tell how many of them count as known.
        signer: Private key that signs each file; without one files are sealed but not signed.
        say: Function that is given lines for a person about what goes on.
        track: Receives the progress of each step.
    """

    calibration: Path | None = None
    data: Path | None = None
    foreign: ForeignFolders = NO_FOLDERS
    signer: Signer | None = None
    say: Callable[[str], None] = lambda line: None
    track: Track = silently


USUAL_OPTIONS: Final = ConversionOptions()


class ExportSession:
    """A run with all that it takes to convert it and to prove the result, read once for any number of recipes."""

    def __init__(self, run: Run, options: ConversionOptions = USUAL_OPTIONS) -> None:
        """Reads the model and the photos to prove it with.

        Raises:
            DatasetError, RunFolderError: There are no photos to prove it with.
        """
        self.run, self.options, self._track = run, options, options.track
        foreign, track = options.foreign, options.track
        self.model = tracked(track, "Opening the full-size model", lambda: load_model(run, load_keras))
        self.held_out: HeldOut[Pixels] = read_held_out(
            run, lambda _, frame: preprocess(frame, run.card.input), options.data, track=track
        )
        self._pixels = np.stack(self.held_out.values)
        self._detectors = DetectorFitter(run, options.say, track, foreign.negatives)
        self._teachable = foreign.teachable
        self._foreign = (
            read_foreign(foreign.unknown, run.card.input, track, self._detectors.negatives) if foreign.unknown else []
        )

    @cached_property
    def calibrated_on(self) -> Reading[Pixels]:
        """The photos to calibrate on, read when they are first asked for."""
        return read_calibration(self.run, self.options.calibration, self._track)

    @cached_property
    def _calibration_pixels(self) -> Pixels:
        return np.stack(self.calibrated_on.values)

    @cached_property
    def _trained_to_be_rounded(self) -> "keras.Model":
        return load_model(self.run, load_keras, self.run.quantized_file)

    @cached_property
    def _full_size(self) -> Scores:
        kept = find_scores(self.run.folder, [pixels_name(photo) for photo in self._pixels])
        return scores_of_all(
            kept, lambda part: full_size_scores(self.model, self._pixels[part], self._track), len(self._pixels)
        )

    @cached_property
    def _golden(self) -> list[Frame]:
        return [
            read_picture(photo.path, levels=self.run.card.input.levels)
            for photo in evenly_spaced(self.held_out.photos, FRAMES)
        ]

    def try_recipe(self, recipe: str, limits: Limits, spared: int | None = None) -> Candidate:
        """Converts and compares, and writes nothing.

        Args:
            recipe: One of `RECIPES`.
            limits: Limits that the candidate is compared with.
            spared: How many layers int8-selective leaves in floats.

        Raises:
            DatasetError, RunFolderError: There are no photos to calibrate on.
        """
        recipe = recipe_for(self.run, recipe)
        qat = recipe in ON_QUANTIZED and self.run.quantized_file is not None
        model = self._trained_to_be_rounded if qat else self.model
        pixels = self._calibration_pixels if recipe in CALIBRATED else None
        label = f"Converting with the recipe {recipe}" + (f", {spared} layers left in floats" if spared else "")
        flatbuffer, layers = tracked(self._track, label, lambda: self._converted(recipe, model, pixels, spared))
        name = self.run.folder.resolve().name
        with tempfile.TemporaryDirectory() as scratch:  # what is proven is a whole file, opened as on the device
            knows = self._detectors.fit(flatbuffer, Path(scratch)).to_files(self._teachable)
            file = Path(scratch) / "candidate.tflite"
            file.write_bytes(complete(flatbuffer, self.run.card, name, files=knows))
            classifier = Classifier(file)
            scored = artifact_scores(classifier, self._pixels, self._track)
            foreign = None
            if scored.familiarities is not None:
                foreign = judge_foreign(classifier, scored.familiarities, self._foreign, self._track)
        comparison = compare(self._full_size, scored.scores, self.held_out.photos, self.run.card.labels)
        card = self._card(recipe, comparison, limits)
        # The card says how the comparison went, so the file is put together a second time, with the final card.
        artifact = tracked(
            self._track,
            "Sealing the file",
            lambda: sealed(complete(flatbuffer, card, name, files=knows), self._golden, self.options.signer),
        )
        targets = list(dict.fromkeys((*limits.checks(), *USUAL_TARGETS)))
        verdicts = tracked(self._track, "Asking what targets make of the file", lambda: check(artifact, targets))
        missed = limits.missed(comparison, len(artifact), scored.latency_ms, verdicts, foreign)
        return Candidate(
            recipe, spared, artifact, card, comparison, scored.latency_ms, verdicts, missed, layers, foreign
        )

    @staticmethod
    def _converted(
        recipe: str, model: "keras.Model", pixels: Pixels | None, spared: int | None
    ) -> tuple[bytes, tuple[LayerNoise, ...]]:
        """The flatbuffer by a recipe, and what 8 bits do to its layers where the recipe tells."""
        if recipe in CALIBRATED_GRAPHS and pixels is not None:
            graph = CALIBRATED_GRAPHS[recipe](model, pixels)
            return quantize(graph), noise_of(graph, model, pixels)
        if recipe == "int8-selective" and spared:
            return int8_selective(model, pixels, spared), ()
        return RECIPES[recipe](model, pixels), ()

    def _card(self, recipe: str, comparison: Comparison, limits: Limits) -> ModelCard:
        calibration = self.options.calibration.name if self.options.calibration else "training photos"
        found = {name: value for name, value in comparison.to_json().items() if name != "changed"}
        return replace(
            self.run.card,
            metrics={"test_accuracy": comparison.converted, "full_size_test_accuracy": comparison.full_size},
            conversion={
                "recipe": recipe,
                "calibration_photos": len(self.calibrated_on.photos) if recipe in CALIBRATED else 0,
                "calibration": calibration if recipe in CALIBRATED else "",
                **comparison.judgement_to_json(limits.max_drop),
                "within_max_drop": comparison.passes(limits.max_drop),
                **found,
            },
            versions={**self.run.card.versions, "tensorflow": metadata.version("tensorflow")},
        )

    def that_would(self, limits: Limits) -> str:
        """The first of a few recipes whose file the targets take, or nothing if none is."""
        for recipe in ("int8", "float16", "float32"):
            pixels = self._calibration_pixels if recipe in CALIBRATED else None
            flatbuffer = RECIPES[recipe](self.model, pixels)
            artifact = complete(flatbuffer, self.run.card, self.run.folder.resolve().name)
            if all(verdict.ok for verdict in check(artifact, limits.checks()).values()):
                return recipe
        return ""

    def write(self, candidate: Candidate, out: Path, limits: Limits, tried: Sequence[Candidate] = ()) -> Exported:
        """Writes a candidate, with a report for scripts and one for people beside it.

        Raises:
            OutputError: A file cannot be written.
        """
        report_file, page_file = out.with_suffix(".report.json"), out.with_suffix(".report.html")
        calibrated = candidate.recipe in CALIBRATED
        unusable = (*(self.calibrated_on.unusable if calibrated else ()), *self.held_out.unusable)
        report: JsonObject = {
            "file": out.name,
            **candidate.to_json(),
            "run": str(self.run.folder),
            "comparison": candidate.comparison.to_json(),
            **candidate.comparison.judgement_to_json(limits.max_drop),
            "targets": {name: verdict.to_json() for name, verdict in candidate.verdicts.items()},
            "layers": [one.to_json() for one in candidate.layers],
            "tried": [one.to_json() for one in tried],
            "left_out_seen_in_training": self.held_out.left_out,
            "unusable": [{"path": str(item.path), "reason": item.reason} for item in unusable],
            "card": json.loads(candidate.card.to_text()),
        }
        # Left in reverse order: the .tflite is in place before the reports that speak of it.
        with (
            written_whole(report_file) as report_beside,
            written_whole(page_file) as page_beside,
            written_whole(out) as beside,
        ):
            beside.write_bytes(candidate.artifact)
            report_beside.write_bytes(
                (json.dumps(report, indent=2, ensure_ascii=True) + "\n").encode("utf-8", "backslashreplace")
            )
            write_report(page_beside, out.name, candidate, limits, self.run.model_file, tried)
        return Exported(
            file=out,
            report=report_file,
            page=page_file,
            candidate=candidate,
            limits=limits,
            left_out=self.held_out.left_out,
            calibrated_on=len(self.calibrated_on.photos) if calibrated else 0,
            unusable=unusable,
        )


def export(
    run: Run,
    recipe: str,
    out: Path,
    *,
    limits: Limits = USUAL_LIMITS,
    force: bool = False,
    options: ConversionOptions = USUAL_OPTIONS,
) -> Exported:
    """Converts a run, proves the result on held-out photos, and writes it with reports beside it.

    Args:
        run: The trained run.
        recipe: One of `RECIPES`.
        out: The .tflite to write.
        limits: Limits that the file must keep; by default a loss of at most `MAX_DROP_POINTS` of top-1 accuracy.
        force: Whether to write the file whatever it lost; its card says so then.
        options: Photos, key and where progress goes.

    Raises:
        CheckFailedError: The file does not keep to a limit; nothing is written.
        DatasetError, RunFolderError: There are no photos to calibrate on or to prove it with.
        OutputError: `out` cannot be written.
        ValueError: A limit makes no sense.
    """
    require_tflite(out)
    bench = ExportSession(run, options)
    candidate = bench.try_recipe(recipe, limits)
    if candidate.missed and not force:
        raise CheckFailedError(_refusal(bench, candidate, limits))
    return bench.write(candidate, out, limits)


def _refusal(bench: ExportSession, candidate: Candidate, limits: Limits) -> str:
    comparison = candidate.comparison
    parts = [f"{candidate.recipe}: {'; '.join(candidate.missed.values())}."]
    if not limits.keeps_drop(comparison):
        parts.append(f"{comparison.full_size.percent()} became {comparison.converted.percent()}.")
        if comparison.changed:
            changed = ",".join(
                f" {item.path} ({item.full_size} became {item.converted})" for item in comparison.changed[:3]
            )
            parts.append(f"Changed:{changed}, {len(comparison.changed)} in all.")
        parts.append("Nothing was written, nor a report; try --recipe auto, or write both with --max-drop or --force")
    elif refused := [name for name in limits.checks() if not candidate.verdicts[name].ok]:
        other = bench.that_would(limits)
        able = f"--recipe {other} gives a file that it takes" if other else "so is what int8, float16 and float32 give"
        parts.append(f"Nothing was written, nor a report; {', '.join(refused)}: {able}")
    else:
        parts.append(
            "Nothing was written, nor a report; --recipe auto looks for one that keeps to it, --force writes both"
        )
    return " ".join(parts)

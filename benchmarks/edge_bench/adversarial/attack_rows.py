"""Rows on adversarial pictures: made against the full-size model and shown to all, and found by asking each row."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt

from edge_bench.adversarial.attack_report import (
    COARSE,
    NOISE,
    SQUARE,
    STEPS_OF_8_BITS,
    AdversarialReport,
    AttackedRow,
    AttackSettings,
    Right,
    curve,
)
from edge_bench.backends.contenders import ModelSource, RowSpec, Variants, check_same_labels, plan, read_source
from edge_bench.measure.benchmark import BATCH, open_contender
from edge_bench.measure.held_out import pool, save_for, save_frame
from edge_bench.measure.timing import Contender
from edge_bench.measure.worker_process import WorkerProcess, link_packages
from edge_bench.results.accuracy import Truth
from edge_bench.results.environment import Environment
from edge_bench.results.report import Failed
from edge_core.codec import from_fields
from edge_core.data.photo_folder import fingerprint
from edge_core.errors import EdgeError, RunFolderError
from edge_core.images import read_picture
from edge_core.preprocess import Frame, InputSpec, preprocess
from edge_core.progress import Track, silently
from edge_core.run_folder import HeldOut, Run, evenly_spaced, load_model, read_held_out, read_run
from edge_device.command_line.console import extra_needed

with extra_needed("bench", "tensorflow", "tf_keras"):
    from edge_keras.frozen_graph import load_keras
    from edge_keras.tf import keras
    from edge_train.explain.pixel_files import save_pixels
    from edge_train.training.attacks import Pixels, attack_pictures, fgsm, logits_of, pgd

T = TypeVar("T")

ORIGINAL: Final = "original"
Names = dict[InputSpec, str]
"""Of the .npy files that hold a picture for each input there is."""


def attack_models(
    models: Sequence[Path],
    *,
    settings: AttackSettings | None = None,
    surrogate: Path | None = None,
    quantized: bool = False,
    data: Path | None = None,
    held_out_by: Sequence[Path] = (),
    track: Track = silently,
) -> AdversarialReport:
    """Attacks models with photos that none of the runs has ever seen.

    Every picture, originals too, is saved as PNG at the size that the attacked network takes, decoded and preprocessed,
    so that all rows see the same levels.

    Args:
        models: Run folders, whose full-size model is meant, and complete .tflite files, all with the same labels. The
            first is what the others are compared with.
        settings: Which attacks, how far and how long.
        surrogate: Run whose full-size model the transferred pictures are made against; the first of the models unless
            told otherwise. With one that is no row, all rows are in the same position.
        quantized: Whether to make them against the weights that this run has for 8 bits, see `Run.quantized_file`,
            which are a quantization-aware file's own but for the rounding.
        data, held_out_by: The arguments of `edge_bench.measure.benchmark.run_benchmark`.
        track: Receives the progress of each step.

    Raises:
        RunFolderError, DatasetError: A run or the photos cannot be used, or there is none to make pictures against.
        ModelFormatError: A file has other labels than the first, or the first cannot be run.
        RuntimeMissingError: TensorFlow is not installed.
    """
    settings = settings or AttackSettings()
    sources = [read_source(path) for path in models]
    check_same_labels(sources)
    attacked = _attacked(models[0], sources[0], surrogate, quantized)
    pooled = pool(sources, [read_run(folder) for folder in held_out_by], data)
    # One thread: the full-size model takes 7 ms of processor time for a picture, with two threads 13, and no time is
    # told here.
    candidates = plan(sources, Variants(threads=(1,)))
    specs = list(dict.fromkeys(candidate.input for candidate in candidates))
    with TemporaryDirectory(prefix="edge-bench-") as name:
        folder = Path(name)
        link_packages(folder / "packages")
        originals = _originals(pooled.run, attacked, settings.photos, folder, data, track)
        truth = np.array([sources[0].labels.index(photo.label) for photo in originals.photos], np.intp)
        model = load_model(attacked, load_keras, attacked.quantized_file if quantized else None)
        shown = _pictures(model, attacked.card.input, originals.values, truth, settings, specs, folder, track)
        frame = save_frame(folder / "frame.npy", read_picture(originals.values[0], levels=attacked.card.input.levels))
        found, failed, environment = _attack_rows(candidates, frame, shown, truth, settings, folder, track)
    return AdversarialReport(
        tuple(_summed_up(row, found[0], settings.epsilons) for row in found),
        failed,
        attacked.folder.resolve().name + (" as trained for 8 bits" if quantized else ""),
        not quantized and sources[0].run is not None and attacked.folder.samefile(sources[0].run.folder),
        fingerprint(originals.photos),
        originals.left_out,
        len(originals.unusable),
        tuple(path.name for path in pooled.unknown),
        environment,
        settings,
    )


@dataclass(frozen=True)
class _Found:
    """What a row is right about under each attack, and the queries of Square Attack."""

    name: str
    runtime: str
    right: dict[str, Right]
    queries: tuple[float | None, ...] = ()


def _attacked(first: Path, source: ModelSource, surrogate: Path | None, quantized: bool) -> Run:
    """The run whose network pictures are made against.

    Raises:
        RunFolderError: There is none, or it has other labels than the first model, or no weights for 8 bits.
    """
    attacked = read_run(surrogate) if surrogate else source.run
    if attacked is None:
        raise RunFolderError(
            f"{first} has no gradients: name a run folder first, or one to make the pictures against with "
            f"--surrogate RUN"
        )
    if attacked.card.labels != source.labels:
        raise RunFolderError(f"{attacked.folder} has other labels than {first}, or in another order")
    if quantized and attacked.quantized_file is None:
        raise RunFolderError(f"{attacked.folder} has no weights for 8 bits; edge-train fit --qat trains some")
    return attacked


def _attack_rows(
    candidates: Sequence[RowSpec],
    frame: str,
    shown: Mapping[str, list[list[Names]]],
    truth: Truth,
    settings: AttackSettings,
    folder: Path,
    track: Track,
) -> tuple[list[_Found], tuple[Failed, ...], Environment]:
    """What becomes of each row, and of those that cannot be run; the first row has to run."""
    found: list[_Found] = []
    failed: list[Failed] = []
    environment: Environment | None = None

    def start(one: RowSpec) -> WorkerProcess:
        return WorkerProcess(one.file, one.python, folder / "packages")

    for candidate in candidates:
        try:
            with ExitStack() as stack:
                row = open_contender(candidate, frame, not found, start, stack)
                if environment is None:
                    environment = from_fields(Environment, row.worker.ask("environment")["environment"])
                found += _attack(row, shown, truth, settings, len(candidates) > 1, track)
        except EdgeError as error:
            if not found:
                raise
            failed.append(Failed(candidate.name, str(error)))
    assert environment is not None
    return found, tuple(failed), environment


def _summed_up(row: _Found, first: _Found, epsilons: tuple[int, ...]) -> AttackedRow:
    curves = {
        attack: curve(
            right,
            None if row is first else first.right[attack],
            epsilons,
            row.queries if attack == SQUARE else (),
        )
        for attack, right in row.right.items()
    }
    return AttackedRow(row.name, row.runtime, curves)


def _originals(run: Run, attacked: Run, most: int, folder: Path, data: Path | None, track: Track) -> HeldOut[Path]:
    """Photos to attack, each as a PNG of the pixels that the attacked network takes."""

    def save(index: int, frame: Frame) -> Path:
        path = folder / f"{ORIGINAL}-{index}.png"
        save_pixels(path, preprocess(frame, attacked.card.input), attacked.card.input)
        return path

    if data is None:
        # Before they are read, so that no more are decoded than will be attacked.
        run = replace(run, splits={**run.splits, "test": evenly_spaced(run.splits["test"], most)})
    held_out = read_held_out(run, save, data, track=track)
    chosen = evenly_spaced(list(zip(held_out.photos, held_out.values, strict=True)), most)
    photos, files = zip(*chosen, strict=True)
    return replace(held_out, photos=photos, values=files)


def _pictures(
    model: "keras.Model",
    spec: InputSpec,
    originals: Sequence[Path],
    truth: Truth,
    settings: AttackSettings,
    specs: Sequence[InputSpec],
    folder: Path,
    track: Track,
) -> Mapping[str, list[list[Names]]]:
    """What is shown to all rows: the originals, noise, and what an attack makes, picture by picture for each
    epsilon."""
    pixels = np.stack([preprocess(read_picture(path, levels=spec.levels), spec) for path in originals])
    seen = [save_for(specs, read_picture(path, levels=spec.levels), folder, path.stem) for path in originals]
    shown = {ORIGINAL: [seen], NOISE: []}
    attacks = [name for name in settings.attacks if name != SQUARE]
    for epsilon in settings.epsilons:
        made = {NOISE: sign_noise(pixels, epsilon, settings.seed)}
        for name in attacks:
            attack = fgsm(epsilon) if name == "fgsm" else pgd(epsilon, steps=settings.steps)
            labeled = partial(_named, track, f"{name.upper()}, epsilon {epsilon}")
            made[name] = attack_pictures(logits_of(model), pixels, truth, attack, seed=settings.seed, track=labeled)
        for name, pictures in made.items():
            shown.setdefault(name, []).append([])
            for index, picture in enumerate(pictures):
                path = folder / f"{name}-{epsilon}-{index}.png"
                save_pixels(path, picture, spec)
                shown[name][-1].append(save_for(specs, read_picture(path), folder, path.stem))
                path.unlink()
    return shown


def sign_noise(pixels: Pixels, epsilon: int, seed: int) -> Pixels:
    """Every channel of every pixel changed by `epsilon` up or down, by a fair coin: as far from the original as an
    attack may go."""
    coins = np.random.default_rng([seed, epsilon]).integers(0, 2, pixels.shape, np.int16)
    noisy: Pixels = np.clip(pixels + (2 * coins - 1) * epsilon, 0, 255).astype(np.uint8)
    return noisy


def _attack(
    row: Contender,
    shown: Mapping[str, list[list[Names]]],
    truth: Truth,
    settings: AttackSettings,
    several: bool,
    track: Track,
) -> list[_Found]:
    """What becomes of a row; of the first of several also what becomes of it when its scores are as coarse as those of
    8 bits."""
    right = _judge(row, shown, truth, track)
    if SQUARE not in settings.attacks:
        return [_Found(row.candidate.name, row.runtime, right)]
    ask = partial(_ask, row, shown[ORIGINAL][0], truth, right[NOISE][:, 0], settings, track)
    right[SQUARE], queries = ask(None)
    found = [_Found(row.candidate.name, row.runtime, right, queries)]
    if row.first and several:
        coarse, queries = ask(STEPS_OF_8_BITS)
        found.append(_Found(row.candidate.name + COARSE, row.runtime, {SQUARE: coarse}, queries))
    return found


def _judge(row: Contender, shown: Mapping[str, list[list[Names]]], truth: Truth, track: Track) -> dict[str, Right]:
    """What a row is right about of what is shown to all, by attack."""
    names = [
        picture[row.candidate.input] for by_epsilon in shown.values() for pictures in by_epsilon for picture in pictures
    ]
    batches = [names[start : start + BATCH] for start in range(0, len(names), BATCH)]
    scores = [row.classify(batch) for batch in track(batches, f"Classifying: {row.candidate.name}")]
    # A row for each epsilon of each attack, in the order of `names`.
    predicted = iter(np.concatenate(scores).argmax(1).reshape(-1, len(truth)))
    judged = {attack: [next(predicted) == truth for _ in by_epsilon] for attack, by_epsilon in shown.items()}
    clean = judged.pop(ORIGINAL)
    return {attack: np.stack([*clean, *right], axis=1) for attack, right in judged.items()}


def _ask(
    row: Contender,
    originals: Sequence[Names],
    truth: Truth,
    clean: npt.NDArray[np.bool_],
    settings: AttackSettings,
    track: Track,
    steps: int | None,
) -> tuple[Right, tuple[float | None, ...]]:
    """What a row is right about under Square Attack, and how many queries that took at each epsilon, in the median.

    Args:
        row: That is asked.
        originals: Photos as uint8 pixels of the model's input.
        truth: What they show.
        clean: Whether the row is right about each photo without an attack.
        settings: How many of them, and for how long.
        track: Receives the progress of each step.
        steps: Number of score levels for `edge_bench.perturb.square_attack.in_steps`; None keeps the scores as they
            are.
    """
    chosen = evenly_spaced(range(len(truth)), settings.square_photos)
    spent = np.full((len(chosen), len(settings.epsilons)), np.inf)
    name = row.candidate.name + (COARSE if steps else "")
    for place, index in enumerate(track(chosen, f"Square Attack: {name}")):
        if clean[index]:
            reply = row.worker.ask(
                "square",
                pixels=originals[index][row.candidate.input],
                label=int(truth[index]),
                epsilons=list(settings.epsilons),
                queries=settings.queries,
                seed=[settings.seed, index],
                steps=steps,
            )
            spent[place] = [np.inf if queries is None else queries for queries in reply["queries"]]
    fooled = np.isfinite(spent)
    right = clean[chosen][:, np.newaxis]
    queries = tuple(
        float(np.median(column[some])) if some.any() else None for column, some in zip(spent.T, fooled.T, strict=True)
    )
    return np.hstack([right, right & ~fooled]), queries


def _named(track: Track, name: str, items: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
    """A `Track` under another name."""
    del label
    return track(items, name, total)

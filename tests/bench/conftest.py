"""A tiny run, its photos, and .tflite files of it: everything that a benchmark needs, made in five seconds."""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from edge_bench.backends.contenders import Variants
from edge_bench.measure.benchmark import Benchmark, run_benchmark
from edge_bench.perturb.corruptions import CORRUPTIONS
from edge_bench.results.accuracy import compare, measure_accuracy
from edge_bench.results.environment import Environment
from edge_bench.results.latency import RowLatency, latency
from edge_bench.results.report import BenchReport, BenchSettings, Robustness, Row, Turn
from edge_core import InputSpec, ModelCard, complete
from edge_core.artifact.card import Dataset
from edge_core.data.photo_folder import Photo, Split
from edge_core.run_folder import CARD_FILE, write_photos
from edge_core.statistics import Estimate
from edge_device.system.board import Readings

from ..conftest import made_once

MakeReport = Callable[..., BenchReport]
LABELS = ("red", "green", "blue")
FLOWERS = ("daisy", "dandelion", "roses", "sunflowers", "tulips")
DATASET = Dataset("colors", {}, "0" * 64, 1)
SPEC = InputSpec(32, 32)
SPLITS: dict[Split, range] = {"train": range(4), "val": range(4, 6), "test": range(6, 13)}
BLANK = cv2.imencode(".png", np.full((2, 2, 3), 255, np.uint8))[1].tobytes()
MISLABELED = 12
"""Number of the photo of each class that shows the next class's color."""


@dataclass(frozen=True)
class Tiny:
    """Attributes:
    run: a run folder whose model names the brightest channel.
    same: that model as a .tflite.
    swapped: one that calls red green and green red.
    photos: all photos of the run, and one file that is none.
    """

    run: Path
    same: Path
    swapped: Path
    photos: Path


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """No test changes it."""
    with made_once(tmp_path_factory, "tiny") as (folder, made):
        same, swapped = (folder / f"tiny-{name}.tflite" for name in ("same", "swapped"))
        tiny = Tiny(folder / "made" / "run", same, swapped, folder / "photos")
        if not made:
            _make(tiny, folder / "made")
    return tiny


def _make(tiny: Tiny, folder: Path) -> None:
    from .make_tiny_run import main

    main(folder)
    card = ModelCard(LABELS, SPEC, dataset=DATASET)
    (tiny.run / CARD_FILE).write_text(card.to_text(), "utf-8")
    for name, file in (("same", tiny.same), ("swapped", tiny.swapped)):
        file.write_bytes(complete((folder / f"{name}.bare").read_bytes(), card, name))
    write_photos(tiny.run, _make_photos(tiny.photos))


@pytest.fixture(scope="session")
def measured(tiny: Tiny) -> Benchmark:
    """What the benchmark makes of it: the run, the swapped file, the same file."""
    return run_benchmark(
        [tiny.run, tiny.swapped, tiny.same],
        variants=Variants(threads=(1,)),
        settings=BenchSettings((160, 90), seconds=0.4, cold_starts=1, robustness_photos=2, sustained_s=0.1),
        data=tiny.photos,
    )


@pytest.fixture
def charts_are_blank(monkeypatch: pytest.MonkeyPatch) -> None:
    """To draw them takes most of a report's time; `render/test_output.py` looks at one."""
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda figure, file, **options: file.write(BLANK))


@pytest.fixture
def make_report() -> Callable[..., BenchReport]:
    """Makes a report out of (name, share right, total ms) for each row, without measuring anything."""

    def make(*rows: tuple[str, float, float], photos: int = 736, robustness: bool = True) -> BenchReport:
        truth = np.arange(photos) % 5
        first = _scores(truth, rows[0][1])
        made = [
            Row(
                name=name,
                runtime="ai-edge-litert 2.3.0" if index else "tensorflow 2.21.0",
                threads=4,
                delegate="xnnpack" if index else None,
                accuracy=measure_accuracy(_scores(truth, share), truth, FLOWERS),
                difference=compare(_scores(truth, share), first, truth) if index else None,
                preprocess_ms=_latency(0.1 * total_ms),
                invoke_ms=_latency(0.9 * total_ms),
                total_ms=_latency(total_ms),
                ratio=Estimate(*(factor * total_ms / rows[0][2] for factor in (1, 0.99, 1.01))),
                invoke_ratio=Estimate(*(factor * total_ms / rows[0][2] for factor in (1, 0.99, 1.01))),
                cold_start_ms=400.0,
                first_ms=3 * total_ms,
                turns=tuple(Turn(0.25 * turn, total_ms, 40, Readings(50.0 + turn)) for turn in range(12)),
                unstable=(),
                sustained=None,
                robustness=_robustness(share) if robustness else None,
                joules=0.011,
                file_bytes=2_700_000,
                peak_memory_mb=61.5,
            )
            for index, (name, share, total_ms) in enumerate(rows)
        ]
        environment = Environment(
            date="2026-01-01T12:00:00+00:00",
            machine="Raspberry Pi 5 Model B Rev 1.0",
            cores=4,
            governor="performance",
            load=0.1,
            system="Linux 6.12 aarch64",
            distribution="Debian GNU/Linux 12",
            python="3.11.9",
            packages={"numpy": "2.4.6"},
            power=None,
        )
        return BenchReport(
            rows=tuple(made),
            failed=(),
            labels=FLOWERS,
            truth=tuple(int(index) for index in truth),
            photos_sha256="0" * 64,
            left_out=2934,
            unusable=0,
            unknown=(),
            environment=environment,
            settings=BenchSettings(),
        )

    return make


def _scores(truth: npt.NDArray[np.intp], share: float) -> npt.NDArray[np.float32]:
    """Scores that are right about the first so many of the photos."""
    said = np.where(np.arange(len(truth)) < round(share * len(truth)), truth, (truth + 1) % len(FLOWERS))
    return np.eye(len(FLOWERS), dtype=np.float32)[said] * np.float32(0.6) + np.float32(0.1)


def _latency(milliseconds: float) -> RowLatency:
    return latency([milliseconds * np.array([0.99, 1, 1, 1.01, 1.2])] * 12)


def _robustness(share: float) -> Robustness:
    low, high = 0.6 * share, 0.8 * share
    kinds = {kind: tuple(share * (1 - 0.1 * severity) for severity in range(1, 6)) for kind in CORRUPTIONS}
    clean, mean = Estimate(share, share, share), Estimate(0.7 * share, low, high)
    return Robustness(clean, mean, None, Estimate(0.3, 0.2, 0.4), None, kinds)


def _make_photos(folder: Path) -> dict[Split, list[Photo]]:
    random = np.random.default_rng(0)
    splits: dict[Split, list[Photo]] = {split: [] for split in SPLITS}
    for label in LABELS:
        (folder / label).mkdir(parents=True)
        for split, numbers in SPLITS.items():
            for number in numbers:
                shown = LABELS[(LABELS.index(label) + (number == MISLABELED)) % 3]
                frame = random.integers(0, 120, (36, 64, 3), np.uint8)
                frame[..., 2 - LABELS.index(shown)] += 100  # B, G, R
                path = folder / label / f"{number}.jpg"
                cv2.imwrite(str(path), frame)
                splits[split].append(Photo(path, label, sha256(path.read_bytes()).hexdigest()))
    (folder / "red" / "broken.jpg").write_bytes(b"no picture")
    return splits

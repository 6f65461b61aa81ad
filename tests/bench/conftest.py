"""A tiny run, its photos, and .tflite files of it: everything that a benchmark needs, made in five seconds."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_bench import Environment, Latency, Report, Row, run_benchmark
from edge_core import InputSpec, ModelCard, complete
from edge_core.intervals import accuracy, paired_difference
from edge_core.photos import Photo, Split
from edge_core.run_folder import CARD_FILE, write_photos

LABELS = ("red", "green", "blue")
SPEC = InputSpec(32, 32)
SPLITS: dict[Split, range] = {"train": range(4), "val": range(4, 6), "test": range(6, 13)}
MISLABELLED = 12
"""Number of the photo of each class that shows the next class's colour."""


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
    folder = tmp_path_factory.mktemp("tiny")
    script = Path(__file__).with_name("make_tiny_run.py")
    made = subprocess.run([sys.executable, script, folder / "made"], check=False, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    run = folder / "made" / "run"
    card = ModelCard(LABELS, SPEC)
    (run / CARD_FILE).write_text(card.to_text(), "utf-8")
    files = {}
    for name in ("same", "swapped"):
        files[name] = folder / f"tiny-{name}.tflite"
        files[name].write_bytes(complete((folder / "made" / f"{name}.bare").read_bytes(), card, name))
    write_photos(run, _make_photos(folder / "photos"))
    return Tiny(run, files["same"], files["swapped"], folder / "photos")


@pytest.fixture(scope="session")
def measured(tiny: Tiny) -> Report:
    """What the benchmark makes of it, the swapped file first."""
    return run_benchmark(
        tiny.run, [tiny.swapped, tiny.same], data=tiny.photos, seconds=0.5, threads=1, frame_size=(160, 90)
    )


@pytest.fixture
def make_report() -> Callable[..., Report]:
    """Makes a report out of (name, share right, total ms) for each row, without measuring anything."""

    def make(*rows: tuple[str, float, float], photos: int = 736) -> Report:
        def right(share: float) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
            return np.arange(photos) < round(share * photos)

        made = [
            Row(
                name=name,
                runtime="ai-edge-litert 2.3.0" if index else "tensorflow 2.21.0",
                top1=accuracy(right(share)),
                difference=paired_difference(right(share), right(rows[0][1])) if index else None,
                agreement=accuracy(right(share) == right(rows[0][1])) if index else None,
                preprocess_ms=Latency(0.1 * total_ms, 0.12 * total_ms),
                invoke_ms=Latency(0.9 * total_ms, 1.1 * total_ms),
                total_ms=Latency(total_ms, 1.2 * total_ms),
                timed_frames=1234,
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
            python="3.11.9",
            packages={"numpy": "2.4.6"},
            threads=4,
            frame_size=(1280, 720),
            seconds=5.0,
        )
        return Report("flowers", tuple(made), photos, "0" * 64, 2934, (), environment)

    return make


def _make_photos(folder: Path) -> dict[Split, list[Photo]]:
    random = np.random.default_rng(0)
    splits: dict[Split, list[Photo]] = {split: [] for split in SPLITS}
    for label in LABELS:
        (folder / label).mkdir(parents=True)
        for split, numbers in SPLITS.items():
            for number in numbers:
                shown = LABELS[(LABELS.index(label) + (number == MISLABELLED)) % 3]
                frame = random.integers(0, 120, (36, 64, 3), np.uint8)
                frame[..., 2 - LABELS.index(shown)] += 100  # B, G, R
                path = folder / label / f"{number}.jpg"
                cv2.imwrite(str(path), frame)
                splits[split].append(Photo(path, label, sha256(path.read_bytes()).hexdigest()))
    (folder / "red" / "broken.jpg").write_bytes(b"no picture")
    return splits

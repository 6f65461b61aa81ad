"""What a taught file stands: flipped bits in what it carries of its features, and kill -9 while it is made."""

import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_convert.adopt import Taking, adopt
from edge_core.artifact.container import feature_files
from edge_core.errors import EdgeError
from edge_device import Classifier
from edge_device.inference.verify import verify

MODEL = Path(__file__).parents[1] / "models" / "tiny-uint8.tflite"
COLORS = {"red": (40, 40, 200), "green": (40, 200, 40), "blue": (200, 40, 40), "dark": (30, 30, 30)}  # B, G, R
YELLOW = (20, 220, 220)
FLIPS = 1000
KILLS = 10


def fill(folder: Path, color: tuple[int, int, int], count: int) -> None:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(1)
    for number in range(count):
        shade = np.array(color) * rng.uniform(0.9, 1.1, 3)
        frame = np.clip(shade + rng.normal(0, 5, (32, 32, 3)), 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / f"{number:02}.png"), frame)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a file that has a detector and exemplars, and pictures of a label that it does not know."""
    folder = tmp_path_factory.mktemp("taught")
    for label, color in COLORS.items():
        fill(folder / "known" / label, color, 20)
    fill(folder / "yellow", YELLOW, 9)
    (folder / "labels.txt").write_text("".join(f"{label}\n" for label in COLORS))
    adopt(MODEL, folder / "colors.tflite", Taking(folder / "labels.txt"), known=folder / "known")
    return folder


def lesson(shop: Path, file: Path) -> tuple[object, ...]:
    return ("edge_device.cli", "teach", file, "--photos", shop / "yellow", "--label", "yellow")


@pytest.fixture(scope="module")
def taught(shop: Path, command: Callable[..., subprocess.CompletedProcess[str]]) -> Path:
    file = shop / "taught.tflite"
    done = command(*lesson(shop, shop / "colors.tflite"), "--out", file)
    assert done.returncode == 0, done.stderr
    return file


@pytest.mark.slow
@pytest.mark.parametrize("where", ["familiarity.bin", "exemplars.bin", "familiarity/4.bin", "the whole file"])
def test_a_flipped_bit_is_refused(taught: Path, tmp_path: Path, where: str) -> None:
    data = taught.read_bytes()
    part = data if where == "the whole file" else feature_files(taught)[where]
    start = data.index(part)
    file = tmp_path / "flipped.tflite"
    file.write_bytes(data)
    assert verify(file).passed
    refused = 0
    for bit in random.Random(1).sample(range(8 * len(part)), min(FLIPS, 8 * len(part))):
        flipped = bytearray(data)
        flipped[start + bit // 8] ^= 1 << bit % 8
        file.write_bytes(flipped)
        try:
            refused += not verify(file).passed
        except EdgeError:
            refused += 1
    print(f"{where}: {refused} of {min(FLIPS, 8 * len(part))} flipped bits refused")
    assert refused == min(FLIPS, 8 * len(part))


@pytest.mark.slow
def test_a_kill_while_teaching_leaves_the_old_file_or_the_new_one(
    shop: Path, tmp_path: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    """From the first tenth of a lesson to its last, where the files are written; nothing half-written is in use."""
    original = (shop / "colors.tflite").read_bytes()
    file = tmp_path / "colors.tflite"
    file.write_bytes(original)
    begun = time.monotonic()
    with start(*lesson(shop, file)) as process:
        assert process.wait(120) == 0
    whole = time.monotonic() - begun
    ended = []
    for number in range(KILLS):
        for leftover in tmp_path.iterdir():
            leftover.unlink()
        shutil.copyfile(shop / "colors.tflite", file)
        with start(*lesson(shop, file)) as process:
            time.sleep(whole * (0.4 + 0.6 * number / KILLS))
            process.send_signal(signal.SIGKILL)
            process.wait(120)
        assert verify(file).passed
        new = file.read_bytes() != original
        assert Classifier(file).card.labels == (*COLORS, *(["yellow"] if new else []))
        kept = file.with_name("colors.previous.tflite")
        assert not kept.exists() or kept.read_bytes() == original
        ended.append("new" if new else "old")
    print(f"{KILLS} kills, a file in use that is whole after each: {', '.join(ended)}")
    assert "old" in ended

"""What the tests of every component share."""

import fcntl
import gc
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import settings
from typer.testing import CliRunner

from edge_core import Frame, InputSpec, ModelCard, complete
from edge_core.run_folder import Run, read_run

from .browser import CHROMIUM, Browser
from .firefox import FIREFOX, Firefox
from .forked import Forks
from .programs import BY_DEPS, Started, missing

MODELS = Path(__file__).parent / "models"
LABELS = ("red", "green", "blue", "dark")
INPUT = InputSpec(width=32, height=32)

# No deadline: a Raspberry Pi and a busy CI runner are slow.
settings.register_profile("any machine", deadline=None, max_examples=50)
settings.register_profile("thorough", deadline=None, max_examples=500)  # pytest --hypothesis-profile=thorough
settings.load_profile("any machine")

# Networks are built of so many objects that looking for garbage at every 700th takes a tenth of the time.
gc.set_threshold(20_000, 20, 20)


def pytest_collection_finish() -> None:
    """Leaves what was imported out of every later search for garbage."""
    gc.collect()
    gc.freeze()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says last what was skipped, why, and what to do about it."""
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in skipped)
    if reasons:
        terminalreporter.section("skipped")
    for reason, count in reasons.most_common():
        terminalreporter.write_line(f"{count:>4}  {reason}")
    if lacking := sum(count for reason, count in reasons.items() if reason.endswith(BY_DEPS)):
        terminalreporter.write_line(f"`make deps` installs what {lacking} of these {len(skipped)} tests need")


@pytest.fixture
def tiny_model(tmp_path: Path) -> Callable[..., Path]:
    """Makes a complete .tflite that names the color of a picture: `tiny_model("uint8")`, or `"float32"`.

    Its labels and its input can be given, wrong ones, too. See `models/make_tiny_models.py`.
    """

    def make(kind: str = "uint8", labels: tuple[str, ...] = LABELS, spec: InputSpec = INPUT) -> Path:
        path = tmp_path / f"tiny-{kind}.tflite"
        model = (MODELS / f"tiny-{kind}.tflite").read_bytes()
        path.write_bytes(complete(model, ModelCard(labels=labels, input=spec), "tiny"))
        return path

    return make


@pytest.fixture(scope="session")
def color_frames() -> dict[str, Frame]:
    """A frame of one color for every label of the tiny models, shape (48, 64, 3), B, G, R."""
    colors = {"red": (10, 20, 250), "green": (10, 250, 20), "blue": (250, 10, 20), "dark": (9, 9, 9)}
    return {label: np.full((48, 64, 3), color, np.uint8) for label, color in colors.items()}


@pytest.fixture(scope="session")
def start() -> Callable[..., subprocess.Popen[str]]:
    """Starts a command in a fresh process, `start("edge_device.cli", "show", model)`; its output is piped."""

    def popen(module: str, *arguments: object) -> subprocess.Popen[str]:
        program = f"from {module} import app; app(prog_name='edge')"
        command = [sys.executable, "-c", program, *(str(argument) for argument in arguments)]
        pipe = subprocess.PIPE
        return Started(command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True, env=_environment())

    return popen


@pytest.fixture(scope="session")
def command() -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """Runs to its end what `start` starts: forked from a process that has imported it, or in this one.

    What trains and converts runs here: a process of its own would warm TensorFlow up anew, which takes longer than most
    commands. What is seen in a fresh process alone is for `start`.
    """
    forks: list[Forks] = []

    def run(module: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        words = [str(argument) for argument in arguments]
        if not module.startswith("edge_device."):
            app = import_module(module).app
            done = CliRunner().invoke(app, words, prog_name="edge", env={"COLUMNS": "80"}, catch_exceptions=False)
            return subprocess.CompletedProcess(["edge", *words], done.exit_code, done.stdout, done.stderr)
        if not forks:
            forks.append(Forks(*DEVICE))
        return forks[0].run(module, words, _environment())

    yield run
    for each in forks:
        each.close()


DEVICE = (
    "edge_device.cli.live_command",
    "edge_device.cli.teach_command",
    "edge_device.cli.images_command",
    "typer.rich_utils",
    "pydantic",
    "ai_edge_litert.interpreter",
)
"""Also what the command line and the runtime import late."""


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "COLUMNS": "80"}


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip(missing("chromium"))
    browser = Browser(tmp_path_factory.mktemp("chromium"))
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def browser(chromium: Browser) -> Browser:
    """Chromium with a tab that knows nothing of other modules' pages."""
    chromium.begin_anew()
    return chromium


@pytest.fixture(scope="session")
def firefox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firefox]:
    if FIREFOX is None:
        pytest.skip(missing("firefox-esr"))
    firefox = Firefox(tmp_path_factory.mktemp("firefox"))
    yield firefox
    firefox.close()


COLORS = {"blue": (200, 40, 30), "green": (40, 190, 50), "red": (40, 30, 210)}


@contextmanager
def made_once(factory: pytest.TempPathFactory, name: str) -> Iterator[tuple[Path, bool]]:
    """A folder that all workers of pytest-xdist share, and whether it is there already; who comes later waits."""
    base = factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with (shared / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield shared / name, (shared / name / "made").exists()
        (shared / name / "made").touch()


@pytest.fixture(scope="session")
def color_photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photo folder: 14 noisy photos each of three colors, of several sizes. No test changes it."""
    with made_once(tmp_path_factory, "color-photos") as (folder, made):
        if not made:
            _draw_colors(folder / "colors")
    return folder / "colors"


def _draw_colors(folder: Path) -> None:
    rng = np.random.default_rng(0)
    sizes = [(48, 64), (97, 61), (120, 160), (40, 40)]
    for label, color in COLORS.items():
        (folder / label).mkdir(parents=True)
        for number in range(14):
            noise = rng.integers(-30, 31, (*sizes[number % len(sizes)], 3))
            frame = np.clip(np.array(color) + noise, 0, 255).astype(np.uint8)
            cv2.imwrite(str(folder / label / f"{number}.png"), frame)


@pytest.fixture(scope="session")
def color_run(color_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of `fit` on `color_photos`: `SMALL_NETWORK` at 48, from random weights, one epoch. No test changes it.

    What only a whole MobileNet shows is in `train/test_cli.py`.
    """
    with made_once(tmp_path_factory, "color-run") as (folder, made):
        if not made:
            folder.mkdir(exist_ok=True)
            _train_colors(color_photos, folder / "colors")
    return read_run(folder / "colors")


def _train_colors(color_photos: Path, folder: Path) -> None:
    from edge_keras.models.pretrained import Weights
    from edge_train.data.dataset import open_photos
    from edge_train.settings import Settings
    from edge_train.training.fit import FitOptions, fit

    from .train.small_network import SMALL_NETWORK

    photos = open_photos(str(color_photos), seed=1, cache=folder.parent)
    settings = Settings(epochs=1, views=2, batch=8)
    weights = Weights("none (random)")
    fit(
        photos,
        folder,
        FitOptions(
            spec=InputSpec(48, 48), weights=weights, cache=folder.parent, architecture=SMALL_NETWORK, settings=settings
        ),
    )

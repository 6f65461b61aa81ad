"""A model file that is replaced while it runs."""

import os
import queue
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from edge_core import Frame, InputSpec, ModelCard, complete
from edge_core.artifact.seal import check_seal
from edge_device.inference.classifier import Classifier
from edge_device.inference.verify import sealed
from edge_device.live.model_watcher import ModelWatcher, Replacement
from edge_device.notices import Notice

MODELS = Path(__file__).parents[2] / "models"
OFTEN_S = 0.02
PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory, color_frames: dict[str, Frame]) -> dict[str, Path]:
    """Files to swap: "english" and "german", which call the colors otherwise, and broken ones."""
    folder = tmp_path_factory.mktemp("versions")
    names = {"english": ("red", "green", "blue", "dark"), "german": ("rot", "grün", "blau", "dunkel")}
    for name, labels in names.items():
        artifact = complete((MODELS / "tiny-uint8.tflite").read_bytes(), ModelCard(labels, InputSpec(32, 32)), "tiny")
        (folder / f"{name}.tflite").write_bytes(sealed(artifact, color_frames.values()))
        (folder / f"{name}-unsealed.tflite").write_bytes(artifact)
    german = (folder / "german.tflite").read_bytes()
    (folder / "cut.tflite").write_bytes(german[: len(german) // 2])
    (folder / "flipped.tflite").write_bytes(german[:700] + bytes([german[700] ^ 1]) + german[701:])
    (folder / "empty.tflite").write_bytes(b"")
    (folder / "text.tflite").write_text("404 not found")
    return {path.stem: path for path in folder.iterdir()}


class Running:
    """A swap with the notices that it gave."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.notices: queue.Queue[Notice] = queue.Queue()
        self.swap: ModelWatcher[Classifier]

    def told(self) -> Notice:
        return self.notices.get(timeout=PATIENCE_S)

    def taken(self) -> Classifier:
        """The model that is handed over, which it must be."""
        self.told()
        replacement = self.swap.take()
        assert isinstance(replacement, Replacement)
        assert replacement.digest == check_seal(self.path).digest  # type: ignore[union-attr]
        return replacement.model

    def quiet_for(self, looks: int) -> bool:
        """Whether nothing is told of for so many looks at the file."""
        try:
            self.notices.get(timeout=looks * OFTEN_S)
        except queue.Empty:
            return True
        return False


@pytest.fixture
def running(tmp_path: Path, versions: dict[str, Path]) -> Iterator[Running]:
    with watching(versions["english"], tmp_path / "model.tflite") as found:
        yield found


@contextmanager
def watching(version: Path, path: Path, key: bytes | None = None) -> Iterator[Running]:
    shutil.copy(version, path)
    found = Running(path)
    seal = check_seal(path)
    found.swap = ModelWatcher(
        path,
        lambda: Classifier(path, threads=1),
        found.notices.put,
        digest=seal.digest if seal else None,
        key=key,
        every_s=OFTEN_S,
    )
    with found.swap:
        yield found


def put(version: Path, path: Path) -> None:
    """Replaces a file as `mv` does."""
    beside = path.with_suffix(".new")
    shutil.copy(version, beside)
    os.replace(beside, path)


def test_a_replaced_file_is_handed_over_once_with_its_own_labels(running: Running, versions: dict[str, Path]) -> None:
    assert running.swap.take() is None
    put(versions["german"], running.path)
    new = running.taken()
    assert new.classify(np.full((48, 64, 3), (10, 20, 250), np.uint8))[0].label == "rot"
    assert running.swap.take() is None
    put(versions["english"], running.path)
    assert running.taken().card.labels[0] == "red"


@pytest.mark.parametrize("broken", ["cut", "flipped", "empty", "text", "german-unsealed"])
def test_a_file_that_does_not_pass_is_told_of_once_and_the_next_good_one_is_taken(
    running: Running, versions: dict[str, Path], broken: str
) -> None:
    put(versions[broken], running.path)
    notice = running.told()
    assert (notice.level, notice.about) == ("warning", "model")
    assert "the old one goes on" in notice.text
    assert str(running.path) in notice.text
    assert running.quiet_for(10)
    assert running.swap.take() is None
    put(versions["german"], running.path)
    assert running.taken().card.labels[0] == "rot"


def test_a_file_that_vanishes_is_told_of_once_and_may_come_back(running: Running, versions: dict[str, Path]) -> None:
    running.path.unlink()
    assert "is gone" in running.told().text
    assert running.quiet_for(10)
    put(versions["german"], running.path)  # whole: half a copy that lies still over two looks is told of, too
    assert running.taken().card.labels[0] == "rot"


def test_something_else_than_a_file_in_its_place_does_not_hold_it_up(
    running: Running, versions: dict[str, Path]
) -> None:
    running.path.unlink()
    os.mkfifo(running.path)  # to open it would wait for a writer
    assert "no file" in running.told().text
    put(versions["german"], running.path)
    assert running.taken().card.labels[0] == "rot"


def test_a_file_that_is_being_copied_is_waited_for(tmp_path: Path, versions: dict[str, Path]) -> None:
    """It changes between every two looks, so that half of it is never tried."""
    running = Running(tmp_path / "model.tflite")
    shutil.copy(versions["english"], running.path)
    running.swap = swap = ModelWatcher(
        running.path, lambda: Classifier(running.path), running.notices.put
    )  # not started
    content = versions["german"].read_bytes()
    with running.path.open("wb", buffering=0) as file:
        for start in range(0, len(content), 500):
            file.write(content[start : start + 500])
            swap.look()
    assert running.notices.empty()
    swap.look()
    assert running.taken().card.labels[0] == "rot"


def test_touching_or_replacing_a_file_by_itself_swaps_nothing(running: Running, versions: dict[str, Path]) -> None:
    os.utime(running.path)
    put(versions["english"], running.path)
    assert running.quiet_for(10)
    assert running.swap.take() is None


def test_a_file_replaced_between_loading_and_watching_is_noticed(tmp_path: Path, versions: dict[str, Path]) -> None:
    path = tmp_path / "model.tflite"
    shutil.copy(versions["german"], path)
    english = check_seal(versions["english"])
    told: queue.Queue[Notice] = queue.Queue()
    with ModelWatcher(path, lambda: Classifier(path), told.put, digest=english.digest, every_s=OFTEN_S) as swap:  # type: ignore[union-attr]
        told.get(timeout=PATIENCE_S)
        assert swap.take() is not None


def test_a_model_without_a_seal_may_run_and_gives_way_to_one_with(tmp_path: Path, versions: dict[str, Path]) -> None:
    with watching(versions["english-unsealed"], tmp_path / "model.tflite") as running:
        assert running.quiet_for(10)
        put(versions["german"], running.path)
        assert running.taken().card.labels[0] == "rot"


def test_asking_by_a_signal_always_brings_an_answer(running: Running, versions: dict[str, Path]) -> None:
    previous = signal.signal(signal.SIGHUP, lambda number, frame: running.swap.ask())
    try:
        os.kill(os.getpid(), signal.SIGHUP)
        assert "runs already" in running.told().text
        put(versions["text"], running.path)
        os.kill(os.getpid(), signal.SIGHUP)
        assert running.told().level == "warning"
        os.kill(os.getpid(), signal.SIGHUP)
        assert running.told().level == "warning", "asked again, told again"
    finally:
        signal.signal(signal.SIGHUP, previous)


def test_only_what_the_key_has_signed_is_taken(tmp_path: Path, versions: dict[str, Path]) -> None:
    pytest.importorskip("cryptography")
    with watching(versions["english"], tmp_path / "model.tflite", key=bytes(32)) as running:
        put(versions["german"], running.path)
        assert "not signed" in running.told().text
        assert running.swap.take() is None


def test_an_error_that_nobody_foresaw_leaves_the_watch_alive(tmp_path: Path, versions: dict[str, Path]) -> None:
    path = tmp_path / "model.tflite"
    shutil.copy(versions["english"], path)
    told: queue.Queue[Notice] = queue.Queue()
    failures: list[Callable[[], Classifier]] = [lambda: Classifier(path)]

    def load() -> Classifier:
        if failures:
            failures.pop()
            raise MemoryError("no room")
        return Classifier(path)

    with ModelWatcher(path, load, told.put, digest="0" * 64, every_s=OFTEN_S) as swap:
        assert "MemoryError: no room" in told.get(timeout=PATIENCE_S).text
        put(versions["german"], path)
        assert told.get(timeout=PATIENCE_S).level == "info"
        assert swap.take() is not None


def test_a_model_that_nobody_takes_is_closed(tmp_path: Path, versions: dict[str, Path]) -> None:
    """By a newer one, or because the file changed while it was opened: its turn at a shared model is given up."""
    path = tmp_path / "model.tflite"
    shutil.copy(versions["english"], path)
    closed: list[int] = []
    opened: list[int] = []

    def load() -> int:
        opened.append(len(opened))
        if opened[-1] == 1:
            put(versions["english"], path)
        return opened[-1]

    swap = ModelWatcher(path, load, lambda notice: None, digest="0" * 64, discard=closed.append)
    for version in ("english", "german"):
        put(versions[version], path)
        swap.look()
        swap.look()
    assert (opened, closed) == ([0, 1], [1])  # the second gave way to what had taken its place
    put(versions["german"], path)
    swap.look()
    swap.look()
    assert (opened, closed) == ([0, 1, 2], [1, 0])
    assert (last := swap.take()) and last.model == 2


def test_it_ends_and_leaves_no_thread(running: Running) -> None:
    (thread,) = (one for one in threading.enumerate() if one is running.swap._thread)
    running.swap.__exit__(None, None, None)
    thread.join(PATIENCE_S)  # a busy machine ends it a moment later
    assert not thread.is_alive()

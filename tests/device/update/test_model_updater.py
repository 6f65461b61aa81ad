"""Updates on a board: which candidates take over, which are refused beside the old model, and which are taken back."""

import json
import math
import os
import queue
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("tuf", reason="the extra [update] is not installed")
pytest.importorskip("cryptography", reason="the extra [sign] is not installed")

from edge_convert.keys import PrivateKey
from edge_convert.publish.publication import publish
from edge_core import Frame, InputSpec, ModelCard
from edge_core.artifact.seal import check_seal
from edge_core.errors import UpdateError
from edge_device.inference.classifier import Classifier, top
from edge_device.live.update import model_updater, shadow, shadow_worker
from edge_device.live.update.model_updater import ModelUpdater, UpdateSettings
from edge_device.live.update.seats import AWAY_S
from edge_device.live.update.shadow import ShadowFrame, ShadowLimits, ShadowProcess, verdict, worker_command
from edge_device.live.update.tuf_client import UpdateClient
from edge_device.live.update.update_state import UpdateFolder, begin, pin, roll_back
from edge_device.notices import Notice
from edge_device.results import FrameResult, Latency, Status
from edge_device.sources import SourceFrame

from .vendor import LABELS, Served, new_key, signed_model

FRAMES = 6
STATUS = Status(
    0, 0, 9, 0, 0, 30.0, Latency(1, 1, 2, 4), 0, "0", "", "open", 0, "m", "", 0, "r", "cpu", 1, memory_mb=90
)


WORKER = f"import sys, json, time\nprint(json.dumps({{'labels': {LABELS!r}}}), flush=True)\nn = 0\n"
FRAME = "while sys.stdin.buffer.read(32 * 32 * 3):\n    n += 1\n    %s\n    print(json.dumps(%s), flush=True)\n"
REPLY = "{'label': 'red', 'known': True, 'ms': 2.0, 'memory_mb': 50.0}"
GOOD = WORKER + FRAME % ("pass", REPLY)


HANGS_OVER_A_FRAME = WORKER + "sys.stdin.buffer.read(1)\nwhile True: pass"


def scripted(code: str) -> Callable[[Path], ShadowProcess]:
    """A worker that is no model: what it answers is known, and it starts in a tenth of the time."""
    return lambda path: ShadowProcess([sys.executable, "-S", "-c", code])


def digest(path: Path) -> str:
    seal = check_seal(path)
    assert seal
    return seal.digest


class Board:
    """A board without a loop: it runs what `follow` names, and is handed frames and statuses by the test."""

    def __init__(self, folder: Path, factory: Path, key: PrivateKey, url: str, boot: str = "first") -> None:
        self.notices: queue.SimpleQueue[Notice] = queue.SimpleQueue()
        self.folder, self.now_s = UpdateFolder(folder), 0.0
        state = begin(self.folder, digest(factory), boot)
        self.runs = self.folder.model(state.current.digest) if state.current else factory
        limits = ShadowLimits(frames=FRAMES, per_s=1e6)
        settings = UpdateSettings(
            factory, key.public_key, "board-1", every_s=math.inf, trial_s=60.0, limits=limits, boot=boot
        )
        self.worker: Callable[[Path], ShadowProcess] | None = scripted(GOOD)
        self.updater = ModelUpdater(
            settings,
            self.folder,
            UpdateClient(url, self.folder.metadata, key.public_key),
            follow=self._follow,
            notify=self.notices.put,
            start=lambda model: (self.worker or self.updater._worker)(model),
            clock=lambda: self.now_s,
        )
        self.updater.open(Classifier(factory).card)

    def _follow(self, path: Path, key: bytes) -> None:
        self.runs = path

    def frames(self, count: int = FRAMES, known: bool | None = None, camera: str = "") -> None:
        classifier = Classifier(self.runs)
        for index in range(count):
            image = np.full((48, 64, 3), (10, 20, 250), np.uint8)
            best = tuple(top(classifier.scores(image)[0], classifier.card.labels, 3))
            frame = SourceFrame(image, "camera", index, index / 10, 1.0)
            self.updater.frame(FrameResult(frame, best, Latency(1, 1, 1000, 1002), known=known, camera=camera))

    def status(self, seconds: float = 0.0, **fields: float | str) -> None:
        self.now_s += seconds
        self.updater.status(replace(STATUS, model_sha256=digest(self.runs), **fields))  # type: ignore[arg-type]

    def told(self) -> list[str]:
        return [self.notices.get().text for _ in range(self.notices.qsize())]


@pytest.fixture
def key(tmp_path: Path) -> PrivateKey:
    return new_key(tmp_path / "vendor")


@pytest.fixture
def model(tmp_path: Path, key: PrivateKey) -> Callable[..., Path]:
    return lambda name, **more: signed_model(tmp_path / f"{name}.tflite", key, name, **more)


@pytest.fixture
def board(tmp_path: Path, key: PrivateKey, model: Callable[..., Path], site: Served) -> Iterator[Board]:
    board = Board(tmp_path / "board", model("old"), key, site.url)
    board.status()
    yield board
    board.updater.close()


def offer(board: Board, site: Served, key: PrivateKey, file: Path) -> None:
    publish(file, site.folder, key)
    board.updater.poll()


def test_another_camera_tries_a_model_out_while_the_first_is_away(
    board: Board, site: Served, key: PrivateKey, model: Callable[..., Path]
) -> None:
    for camera, fps in (("porch", 30.0), ("gate", 5.0)):
        board.frames(1, camera=camera)
        board.status(camera=camera, fps=fps)
    offer(board, site, key, model("new"))
    board.frames(FRAMES - 1, camera="porch")
    board.now_s += AWAY_S - 1
    board.frames(9, camera="gate")
    assert board.updater.told().phase == "shadow", "the porch leads still"
    board.now_s += 2
    board.frames(1, camera="gate")
    assert board.updater.told().phase == "trial"
    board.frames(60, camera="gate")
    board.status(30, camera="gate", fps=5.0)
    board.status(9, camera="porch", source_state="lost", fps=0.0)
    assert board.updater.told().phase == "trial", "each camera is held against itself, and one that is away is not"
    board.frames(60, camera="gate")
    board.status(9, camera="gate", fps=2.0)
    assert "2.0 frames are classified in a second, 5.0 were before" in board.told()[-1]
    assert board.runs.name == "old.tflite"


def test_a_good_model_runs_beside_the_old_one_takes_over_and_stays(
    board: Board, site: Served, key: PrivateKey, model: Callable[..., Path]
) -> None:
    board.worker = None  # the real one
    offer(board, site, key, model("new"))
    assert board.updater.told().phase == "shadow"
    assert board.runs.name == "old.tflite"
    board.frames(FRAMES - 1)
    assert board.runs.name == "old.tflite"
    board.frames(1)
    assert board.runs.read_bytes() == model("new").read_bytes()
    assert board.updater.told().phase == "trial"
    board.status(59)
    assert board.folder.read().trial
    board.status(2)
    assert board.folder.read().trial is None
    assert "passed its trial" in board.told()[-1]
    board.updater.poll()
    assert board.updater.told().phase == "idle", "it is there already"


def test_another_key_signs_the_next_model_after_the_folder_was_handed_over(
    board: Board, site: Served, key: PrivateKey, tmp_path: Path, model: Callable[..., Path]
) -> None:
    from edge_convert.publish.publication import rotate_key

    publish(model("new"), site.folder, key)
    newer = new_key(tmp_path / "newer")
    rotate_key(site.folder, key, newer)
    offer(board, site, newer, signed_model(tmp_path / "other.tflite", newer, "other"))
    board.frames()
    current = board.folder.read().current
    assert current and current.key == newer.public_key.hex()


BAD = {
    "crashes": (FRAME % ("if n == 4: import os; os.abort()", REPLY), "after 3 frames .* ended with status -6"),
    "slow": (FRAME % ("pass", REPLY.replace("2.0", "2001.0")), "2001.0 ms instead of 1000.0 ms"),
    "disagrees": (FRAME % ("pass", REPLY.replace("red", "blue")), "agrees .* on 0%"),
    "unsure": (FRAME % ("pass", REPLY.replace("True", "False")), "100% of 6 frames are unknown"),
    "leaks": (FRAME % ("pass", REPLY.replace("50.0", "50.0 + 11 * n")), "memory grew by"),
    "mute": ("time.sleep(60)", "did not answer"),
    "does not open": ("", "after 0 frames"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_model_is_refused_beside_the_old_one_with_the_reason_and_not_tried_again(
    board: Board, site: Served, key: PrivateKey, model: Callable[..., Path], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_device.live.update.shadow.ANSWER_S", 0.5 if kind == "mute" else 60.0)
    monkeypatch.setattr("edge_device.live.update.shadow.SETTLED_FRAMES", 0)
    code, reason = BAD[kind]
    board.worker = scripted(WORKER + code)
    offer(board, site, key, model("new"))
    board.frames(FRAMES, known=True)
    assert board.runs.name == "old.tflite"
    ((refused, told),) = board.folder.read().refused.items()
    assert refused == digest(model("new"))
    assert re.search(reason, told), told
    assert any(reason_said in told for reason_said in board.told()[-1].split(": ", 1)[1:])
    assert board.updater.told().refused == 1
    board.updater.poll()
    assert board.updater.told().phase == "idle"
    assert not list((board.folder.path / "models").glob("*.tflite")), "what is refused takes no room"


def test_other_labels_need_a_permission(
    board: Board, site: Served, key: PrivateKey, model: Callable[..., Path]
) -> None:
    board.worker = None
    offer(board, site, key, model("new", labels=("rot", "grün", "blau", "dunkel")))
    assert "--update-labels" in next(iter(board.folder.read().refused.values()))


def test_a_model_that_cannot_be_opened_is_refused(
    board: Board, site: Served, key: PrivateKey, model: Callable[..., Path]
) -> None:
    board.worker = scripted('print(\'{"error": "no such operator"}\')')
    offer(board, site, key, model("new"))
    assert "no such operator" in next(iter(board.folder.read().refused.values()))


@pytest.mark.parametrize(
    ("fields", "known", "reason"),
    [
        ({"latency": Latency(1, 1, 7, 9)}, None, "7.0 ms, 2.0 ms before"),
        ({"fps": 9.0}, None, "9.0 frames"),
        ({"memory_mb": 400.0}, None, "400 MB"),
        ({}, False, "unknown to it"),
    ],
)
def test_a_model_whose_health_falls_in_its_trial_is_taken_back_at_once(
    board: Board,
    site: Served,
    key: PrivateKey,
    model: Callable[..., Path],
    fields: dict[str, float],
    known: bool,
    reason: str,
) -> None:
    offer(board, site, key, model("new"))
    board.frames()
    assert board.updater.told().phase == "trial"
    board.updater.open(Classifier(board.runs).card)  # as the queues do after a swap
    board.frames(60, known=known)
    board.status(5, **fields)
    assert board.runs.name == "old.tflite"
    assert reason in board.told()[-1]
    assert board.folder.read().refused


def test_a_model_that_never_serves_is_taken_back(
    board: Board, site: Served, key: PrivateKey, model: Callable[..., Path]
) -> None:
    offer(board, site, key, model("new"))
    board.frames()
    board.now_s += 61
    board.updater.status(replace(STATUS, model_sha256=digest(model("old"))))
    assert "did not begin to run" in board.told()[-1]
    assert board.runs.name == "old.tflite"


@pytest.mark.parametrize(("boot", "starts"), [("first", 1), ("another", 4)])
def test_a_run_that_dies_in_a_trial_starts_with_the_old_model(
    board: Board, site: Served, key: PrivateKey, model: Callable[..., Path], tmp_path: Path, boot: str, starts: int
) -> None:
    """At once after a crash or a watchdog's kill; after power cuts, which are no fault of a model, at the fourth
    start."""
    offer(board, site, key, model("new"))
    board.frames()
    runs = []
    for start in range(starts):
        again = Board(tmp_path / "board", model("old"), key, site.url, boot if boot == "first" else f"{boot} {start}")
        runs.append(again.runs.name == "old.tflite")
    assert runs == [False] * (starts - 1) + [True]
    assert digest(model("new")) in board.folder.read().refused


def test_an_end_in_order_is_no_crash_and_the_trial_goes_on(
    board: Board, site: Served, key: PrivateKey, model: Callable[..., Path], tmp_path: Path
) -> None:
    offer(board, site, key, model("new"))
    board.frames()
    board.status(40)
    board.updater.close()
    board.updater.end_in_order()
    again = Board(tmp_path / "board", model("old"), key, site.url)
    assert again.runs.name != "old.tflite"
    again.status(21)
    assert again.folder.read().trial is None
    again.updater.close()


def test_statistics_that_arrive_after_the_end_do_not_make_it_a_crash(
    board: Board,
    site: Served,
    key: PrivateKey,
    model: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The queue of a sink hands the last statistics over in its own time, after the end of the run was noted."""
    monkeypatch.setattr(model_updater, "WRITE_S", 30.0)
    offer(board, site, key, model("new"))
    board.frames()
    board.updater.end_in_order()
    board.status(40)
    again = Board(tmp_path / "board", model("old"), key, site.url)
    assert again.runs.name != "old.tflite"


def test_a_run_that_ends_by_an_error_of_the_model_starts_with_the_old_one(
    board: Board, site: Served, key: PrivateKey, model: Callable[..., Path], tmp_path: Path
) -> None:
    offer(board, site, key, model("new"))
    board.frames()
    board.updater.close()  # as the loop does on its way out, whatever has ended it
    again = Board(tmp_path / "board", model("old"), key, site.url)
    assert again.runs.name == "old.tflite"


def test_a_person_takes_a_model_back_and_stops_updates(
    board: Board, site: Served, key: PrivateKey, model: Callable[..., Path]
) -> None:
    offer(board, site, key, model("new"))
    board.frames()
    board.status(61)
    roll_back(board.folder)
    board.status()
    assert board.runs.name == "old.tflite"
    pin(board.folder, True)
    offer(board, site, key, model("newer"))
    assert board.updater.told().phase == "pinned"
    pin(board.folder, False)
    board.updater.poll()
    assert board.updater.told().phase == "shadow"


def test_a_run_that_ends_does_not_undo_what_a_person_did_a_moment_before(
    board: Board, site: Served, key: PrivateKey, model: Callable[..., Path], tmp_path: Path
) -> None:
    """`edge-run update rollback && systemctl restart edge-run`: the run has not looked in between."""
    offer(board, site, key, model("new"))
    board.frames()
    pin(board.folder, True)
    board.status(30)
    roll_back(board.folder)
    board.updater.end_in_order()
    again = Board(tmp_path / "board", model("old"), key, site.url)
    assert again.runs.name == "old.tflite" and again.updater.told().phase == "pinned"


def test_a_trial_that_a_person_ends_over_its_verdict_is_not_settled(
    board: Board, site: Served, key: PrivateKey, model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(board, site, key, model("new"))
    board.frames()
    monkeypatch.setattr(board.updater, "_take_up_what_a_person_did", lambda: roll_back(board.folder))
    board.status(61)
    assert board.runs.name == "old.tflite" and board.folder.read().current is None
    assert "a person has taken it back" in board.told()[-1]


def test_a_model_that_a_person_puts_in_by_hand_takes_the_place_of_an_update(
    board: Board, site: Served, key: PrivateKey, model: Callable[..., Path], tmp_path: Path
) -> None:
    offer(board, site, key, model("new"))
    board.frames()
    board.status(61)
    again = Board(tmp_path / "board", model("by hand"), key, site.url)
    assert again.runs.name == "by hand.tflite"


@pytest.mark.parametrize("damage", ["models", "state.json"])
def test_whatever_is_damaged_there_is_a_model_to_run(
    board: Board, site: Served, key: PrivateKey, model: Callable[..., Path], tmp_path: Path, damage: str
) -> None:
    offer(board, site, key, model("new"))
    board.frames()
    board.status(61)
    for path in [board.folder.path / damage, *(board.folder.path / damage).glob("*")]:
        if path.is_file():
            path.write_bytes(path.read_bytes()[:100])
    again = Board(tmp_path / "board", model("old"), key, site.url)
    assert again.runs.name == "old.tflite"
    Classifier(again.runs)


def test_the_verdict_counts_only_frames_that_the_old_model_knows() -> None:
    unknown = [ShadowFrame(None, True, False, 1.0, 1.0, 10.0)] * 5
    assert verdict(unknown, ShadowLimits()) == ""
    assert "agrees" in verdict([*unknown, ShadowFrame(False, True, True, 1.0, 1.0, 10.0)], ShadowLimits())


def test_no_trial_begins_once_the_run_has_ended(
    board: Board, site: Served, key: PrivateKey, model: Callable[..., Path], tmp_path: Path
) -> None:
    """As where a candidate is being fetched meanwhile, and would take over at once: none runs beside an accelerator."""
    board.updater._settings = replace(board.updater._settings, in_shadow=False)
    board.updater.close()
    board.updater.end_in_order()
    offer(board, site, key, model("new"))
    assert board.folder.read().trial is None
    Board(tmp_path / "board", model("old"), key, site.url)
    assert not board.folder.read().refused


def test_a_candidate_is_not_refused_because_the_file_of_the_old_model_is_being_written(
    model: Callable[..., Path], tmp_path: Path
) -> None:
    old = tmp_path / "copied.tflite"
    old.write_bytes(model("old").read_bytes()[:5000])
    process = ShadowProcess(worker_command(model("new"), old, "auto", 1, 0.05))
    try:
        assert process.opened() == LABELS
        assert process.look(np.zeros((32, 32, 3), np.uint8))["label"] in LABELS
    finally:
        process.close()


def test_a_candidate_is_not_the_slower_one_for_being_asked_first_after_a_pause(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now_s, warm = [0.0], set[object]()

    class Model:
        card = ModelCard(LABELS, InputSpec(4, 4))

        def pixel_scores(self, pixels: Frame) -> np.ndarray:
            now_s[0] += 0.01 if self in warm else 0.3
            warm.add(self)
            return np.array([1, 0, 0, 0], np.float32)

        def familiarity(self) -> None:
            return None

        knows = staticmethod(lambda familiarity: None)

    def read(size: int) -> bytes:
        warm.clear()
        return bytes(size if now_s[0] < 1 else 0)

    monkeypatch.setattr(shadow_worker, "Classifier", lambda *_, **__: Model())
    monkeypatch.setattr(shadow_worker, "time", SimpleNamespace(perf_counter=lambda: now_s[0]))
    monkeypatch.setattr(os, "nice", lambda by: by)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=SimpleNamespace(read=read)))
    assert shadow_worker.main(["new", "old", "auto", "1", "0.05"]) == 0
    _, *told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert told and all((one["ms"], one["was_ms"]) == pytest.approx((10, 10)) for one in told)


def test_a_worker_that_closes_its_output_and_lives_on_is_told_of_as_other_ends_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shadow, "END_S", 0.05)
    process = scripted("import os, time; os.close(1); time.sleep(60)")(Path())
    try:
        with pytest.raises(UpdateError, match="closed its output"):
            process.opened()
    finally:
        process.close()


def test_ctrl_c_at_the_terminal_does_not_reach_a_worker() -> None:
    """It would end the worker, and the candidate would be refused for ever as one whose process ended."""
    process = scripted(GOOD)(Path())
    try:
        assert process.opened() == LABELS
        assert os.getpgid(process._process.pid) != os.getpgrp()
    finally:
        process.close()


@pytest.mark.parametrize("code", ["while True: pass", HANGS_OVER_A_FRAME], ids=["opens never", "answers never"])
def test_a_candidate_that_hangs_is_killed_at_the_end_and_not_refused(
    board: Board,
    site: Served,
    key: PrivateKey,
    model: Callable[..., Path],
    code: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without the kill the close would wait for an answer: ten minutes here, so the test would not end."""
    monkeypatch.setattr(shadow, "OPEN_S", 600)
    monkeypatch.setattr(shadow, "ANSWER_S", 600)
    board.worker = scripted(code)

    def tries_it() -> None:
        offer(board, site, key, model("new"))
        board.frames(1)

    waiting = threading.Thread(target=tries_it)
    waiting.start()
    while not (candidate := board.updater._candidate):
        assert waiting.is_alive()
        time.sleep(0.01)
    while code == HANGS_OVER_A_FRAME and board.updater._lock.acquire(blocking=False):
        board.updater._lock.release()  # until `frame` holds it, for good
        time.sleep(0.01)
    board.updater.close()
    waiting.join()
    assert candidate._process.returncode == -signal.SIGKILL
    assert not board.folder.read().refused


def test_a_real_worker_is_ended_with_its_board(
    board: Board, site: Served, key: PrivateKey, model: Callable[..., Path]
) -> None:
    board.worker = None
    offer(board, site, key, model("new"))
    assert board.updater._shadow
    process = board.updater._shadow[0]._process._process
    board.updater.close()
    end = time.monotonic() + 60
    while process.poll() is None:
        assert time.monotonic() < end

"""A live run that is updated while it classifies: one process, a real repository, a real worker, a real swap."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("tuf", reason="the extra [update] is not installed")
pytest.importorskip("cryptography", reason="the extra [sign] is not installed")

from edge_convert.publish.publication import publish
from edge_core import InputSpec, ModelCard, complete
from edge_core.artifact.golden import read_golden
from edge_core.artifact.seal import check_seal, seal
from edge_core.errors import OutputError, SettingsError, SourceError
from edge_core.files import written_whole
from edge_device.live.cameras.together import run_cameras
from edge_device.live.loop import Live
from edge_device.live.options import LiveOptions, ModelOptions, SourceOptions, UpdateOptions
from edge_device.live.run import run_live
from edge_device.live.update import shadow, update_state
from edge_device.live.update.model_updater import ModelUpdater
from edge_device.live.update.session import UpdateSession
from edge_device.live.update.shadow import ShadowProcess
from edge_device.live.update.update_state import (
    InstalledModel,
    UpdateFolder,
    UpdateState,
    begin,
    boot_id,
    pin,
    roll_back,
)
from edge_device.notices import Notice
from edge_device.results import FrameResult, Status
from edge_device.sinks.sink import Sink

from .vendor import LABELS, MODELS, Served, new_key, signed_model

COMPARED = 8
"""Frames beside the model that runs. Of fewer a busy machine holds up half, and the new model is refused as the slower
one."""


class Witness(Sink):
    """Writes down what it is told."""

    name = "witness"

    def __init__(self) -> None:
        self.frames_seen: list[int] = []
        self.notices: list[str] = []
        self.models: list[str] = []
        self.told: Status | None = None

    def open(self, card: ModelCard) -> None:
        pass

    def frame(self, result: FrameResult) -> None:
        self.frames_seen.append(result.frame.index)

    def notice(self, notice: Notice) -> None:
        self.notices.append(f"{notice.about}: {notice.text}")

    def status(self, status: Status) -> None:
        self.told = status
        if status.model_sha256 not in self.models[-1:]:
            self.models.append(status.model_sha256)


def digest(path: Path) -> str:
    seal = check_seal(path)
    assert seal
    return seal.digest


def session_of(model: Path, key: Path, folder: UpdateFolder) -> UpdateSession:
    """Of a run whose server of updates cannot be reached."""
    options = LiveOptions(
        model,
        SourceOptions("fake:64x48@20"),
        model=ModelOptions(key=key),
        updates=UpdateOptions("http://127.0.0.1:9", folder.path),
    )
    return UpdateSession(options, lambda notice: None)


def test_a_run_is_updated_without_losing_a_frame_and_goes_back_when_told(tmp_path: Path, site: Served) -> None:
    key = new_key(tmp_path / "vendor")
    old, new, other = (signed_model(tmp_path / f"{name}.tflite", key, name) for name in ("old", "new", "other"))
    signed_model(other, key, "other", labels=("rot", "grün", "blau", "dunkel"))
    publish(new, site.folder, key)
    options = LiveOptions(
        old,
        SourceOptions("fake:64x48@20"),
        model=ModelOptions(threads="1", key=tmp_path / "vendor.pub"),
        updates=UpdateOptions(site.url, tmp_path / "updates", update_every=1, update_frames=COMPARED, update_trial=1),
    )
    witness, ended = Witness(), threading.Event()
    results: list[Status] = []
    run = threading.Thread(
        target=lambda: results.append(run_live(options, sinks=[witness], stopped=ended.is_set, notify=lambda one: None))
    )
    run.start()
    folder = UpdateFolder(tmp_path / "updates")

    def until(true: Callable[[], object], seconds: float = 240) -> None:
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end and run.is_alive(), witness.notices
            time.sleep(0.05)

    try:
        until(lambda: (state := folder.read()).running == digest(new) and state.trial is None)
        assert witness.models == [digest(old), digest(new)]
        publish(other, site.folder, key)
        until(lambda: any("--update-labels" in one for one in witness.notices))
        until(lambda: witness.told and witness.told.update and witness.told.update.refused == 1)
        roll_back(folder)
        began = time.monotonic()
        until(lambda: witness.models[-1] == digest(old))
        print(f"the old model served again after {time.monotonic() - began:.1f} s")
    finally:
        ended.set()
        run.join(120)
    (status,) = results
    assert status.model_swaps == 2
    assert status.update and status.update.refused == 2
    between = [after - before for before, after in zip(witness.frames_seen, witness.frames_seen[1:], strict=False)]
    missing = witness.frames_seen[0] + sum(gap - 1 for gap in between)
    assert missing <= status.frames_dropped, "what is missing was dropped and counted"
    print(f"{status.frames} frames, {status.frames_dropped} dropped")
    assert [one for one in witness.notices if one.startswith("update:")]


@pytest.mark.parametrize("cameras", [1, 2])
def test_a_run_ends_although_a_candidate_hangs(
    tmp_path: Path, site: Served, cameras: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once: a sink that is still with it would be abandoned after half a second, and the notice tells so."""
    key = new_key(tmp_path / "vendor")
    old, new = (signed_model(tmp_path / f"{name}.tflite", key, name) for name in ("old", "new"))
    publish(new, site.folder, key)
    monkeypatch.setattr(shadow, "ANSWER_S", 600)
    hangs = f"import sys\nprint('{json.dumps({'labels': LABELS})}', flush=True)\n"
    hangs += f"sys.stdin.buffer.read(1)\nopen({str(tmp_path / 'hangs')!r}, 'w')\nwhile True: pass"
    command = [sys.executable, "-S", "-c", hangs]
    monkeypatch.setattr(ModelUpdater, "_worker", lambda self, model: ShadowProcess(command))
    options = LiveOptions(
        old,
        SourceOptions("fake:64x48@20"),
        model=ModelOptions(threads="1", key=tmp_path / "vendor.pub"),
        updates=UpdateOptions(site.url, tmp_path / "updates", update_every=1),
    )
    notices: list[str] = []
    how: dict[str, Any] = {"stopped": (tmp_path / "hangs").exists, "notify": lambda one: notices.append(one.text)}
    if cameras == 1:
        run_live(options, **how)
    else:
        run_cameras({"porch": options, "gate": options}, **how)
    assert (tmp_path / "hangs").exists()
    assert [one for one in notices if "abandoned" in one] == []
    assert not UpdateFolder(tmp_path / "updates").read().refused


def test_cameras_are_updated_although_the_first_of_them_is_away(tmp_path: Path, site: Served) -> None:
    key = new_key(tmp_path / "vendor")
    old, new = (signed_model(tmp_path / f"{name}.tflite", key, name) for name in ("old", "new"))
    publish(new, site.folder, key)
    updates = UpdateOptions(site.url, tmp_path / "updates", update_every=1, update_frames=COMPARED, update_trial=1)
    cameras = {
        name: LiveOptions(
            old,
            SourceOptions(source),
            model=ModelOptions(threads="1", key=tmp_path / "vendor.pub"),
            updates=updates,
        )
        for name, source in (("away", "/dev/video77"), ("there", "fake:64x48@20"))
    }
    witnesses, ended = {name: Witness() for name in cameras}, threading.Event()
    run = threading.Thread(
        target=lambda: run_cameras(
            cameras, sinks=lambda name: [witnesses[name]], stopped=ended.is_set, notify=lambda one: None
        )
    )
    run.start()
    try:
        end = time.monotonic() + 240
        while (state := UpdateFolder(tmp_path / "updates").read()).running != digest(new) or state.trial:
            assert time.monotonic() < end and run.is_alive(), witnesses["there"].notices
            time.sleep(0.05)
    finally:
        ended.set()
        run.join(120)
    assert not run.is_alive()
    assert witnesses["there"].models[-1] == digest(new)
    assert any("runs beside the model" in one for one in witnesses["away"].notices)
    assert witnesses["away"].frames_seen == []


@pytest.mark.parametrize("error", [RuntimeError("the interpreter"), SourceError("the camera")])
def test_only_an_error_of_the_model_counts_against_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    key = new_key(tmp_path / "vendor")
    old, new = (signed_model(tmp_path / f"{name}.tflite", key, name) for name in ("old", "new"))
    folder = UpdateFolder(tmp_path / "updates")
    state = begin(folder, digest(old), boot_id())
    folder.model(digest(new)).parent.mkdir()
    folder.model(digest(new)).write_bytes(new.read_bytes())
    folder.write(state.taken_over_by(InstalledModel(digest(new), 1, key.public_key.hex()), "the boot before"))

    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr(Live, "_look_at", fails)
    options = LiveOptions(
        old,
        SourceOptions("fake:64x48@20"),
        model=ModelOptions(threads="1", key=tmp_path / "vendor.pub"),
        updates=UpdateOptions("http://127.0.0.1:9", tmp_path / "updates"),
    )
    with pytest.raises(type(error)):
        run_live(options)
    after = begin(folder, digest(old), boot_id())
    assert after.running == (digest(new) if isinstance(error, SourceError) else digest(old))


def test_an_update_that_opens_no_more_gives_way_to_the_model_before(tmp_path: Path) -> None:
    """One that passed its trial long ago: the interpreter was upgraded since, say."""
    key = new_key(tmp_path / "vendor")
    old = signed_model(tmp_path / "old.tflite", key, "old")
    card = ModelCard(labels=("of", "another", "model"), input=InputSpec(32, 32))  # which has four outputs
    broken = seal(complete((MODELS / "tiny-uint8.tflite").read_bytes(), card, "b"), read_golden(old), key)
    (tmp_path / "broken.tflite").write_bytes(broken)
    folder = UpdateFolder(tmp_path / "updates")
    found = digest(tmp_path / "broken.tflite")
    state = begin(folder, digest(old), boot_id())
    folder.model(found).parent.mkdir()
    folder.model(found).write_bytes(broken)
    folder.write(state.taken_over_by(InstalledModel(found, 1, key.public_key.hex()), boot_id()).settled())
    witness = Witness()
    options = LiveOptions(
        old,
        SourceOptions("fake:64x48@20", frames=2),
        model=ModelOptions(threads="1", key=tmp_path / "vendor.pub"),
        updates=UpdateOptions("http://127.0.0.1:9", tmp_path / "updates"),
    )
    status = run_live(options, sinks=[witness])
    assert status.model_sha256 == digest(old)
    assert "cannot be opened" in folder.read().refused[found]


@pytest.mark.parametrize("written", [False, True])
def test_the_way_back_leads_over_each_model_once(
    written: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a card that has become read-only, which goes on to name the model that cannot be opened; and where a person
    has taken that model back already, which must not cost the one before."""
    key = new_key(tmp_path / "vendor")
    names = ("old", "before", "now")
    old, before, now = (signed_model(tmp_path / f"{name}.tflite", key, name) for name in names)
    folder = UpdateFolder(tmp_path / "updates")
    state = begin(folder, digest(old), boot_id())
    folder.model("any").parent.mkdir()
    for number, model in enumerate((before, now)):
        installed = InstalledModel(digest(model), number, key.public_key.hex())
        model.rename(folder.model(installed.digest))
        state = folder.write(state.taken_over_by(installed, boot_id()).settled())

    def fails(path: Path, durable: bool) -> None:
        raise OutputError("state.json cannot be written: Read-only file system")

    if not written:
        monkeypatch.setattr(update_state, "written_whole", fails)
    session = session_of(old, tmp_path / "vendor.pub", folder)
    assert session.file == folder.model(state.running)
    if written:  # at the moment at which the model turns out not to open
        roll_back(folder)
    gone_back: list[Path] = []
    while session.go_back("it cannot be opened") and len(gone_back) < 3:
        gone_back.append(session.file)
    assert state.previous
    assert gone_back == [folder.model(state.previous.digest), old]


def test_a_run_does_not_tidy_away_what_a_person_is_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = UpdateFolder(tmp_path / "updates")
    state = folder.write(UpdateState("a" * 64))
    tidying = threading.Thread(target=UpdateFolder(folder.path).tidy, args=[state])

    @contextmanager
    def meanwhile(path: Path, durable: bool) -> Iterator[Path]:
        with written_whole(path, durable=durable) as beside:
            yield beside
            tidying.start()
            tidying.join(0.2)

    monkeypatch.setattr(update_state, "written_whole", meanwhile)
    pin(folder, True)
    tidying.join(60)
    assert folder.read().pinned and not tidying.is_alive()


def test_a_way_back_does_not_undo_what_a_person_does_at_that_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = new_key(tmp_path / "vendor")
    old, now = (signed_model(tmp_path / f"{name}.tflite", key, name) for name in ("old", "now"))
    folder = UpdateFolder(tmp_path / "updates")
    installed = InstalledModel(digest(now), 1, key.public_key.hex())
    state = begin(folder, digest(old), boot_id())
    folder.model(installed.digest).parent.mkdir()
    now.rename(folder.model(installed.digest))
    folder.write(state.taken_over_by(installed, boot_id()).settled())
    session = session_of(old, tmp_path / "vendor.pub", folder)
    person, rolled_back = threading.Thread(target=pin, args=[UpdateFolder(folder.path), True]), UpdateState.rolled_back

    def slowly(state: UpdateState, reason: str) -> UpdateState:
        person.start()
        person.join(0.2)
        return rolled_back(state, reason)

    monkeypatch.setattr(UpdateState, "rolled_back", slowly)
    assert session.go_back("it cannot be opened")
    person.join(60)
    state = folder.read()
    assert state.pinned and state.current is None and installed.digest in state.refused


def test_a_start_does_not_undo_what_a_person_does_at_that_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = UpdateFolder(tmp_path / "updates")
    folder.write(UpdateState("a" * 64).taken_over_by(InstalledModel("b" * 64, 1, ""), "the boot before"))
    person = threading.Thread(target=pin, args=[UpdateFolder(folder.path), True])

    def whole(folder: UpdateFolder, model: InstalledModel | None) -> bool:
        if not person.ident:
            person.start()
            person.join(0.2)
        return True

    monkeypatch.setattr(UpdateFolder, "whole", whole)
    begin(folder, "a" * 64, boot_id())
    person.join(60)
    state = folder.read()
    assert state.pinned and state.trial and state.trial.attempts == 2


def test_updates_need_a_key_and_a_sealed_model(tmp_path: Path, tiny_model: Callable[..., Path]) -> None:
    options = LiveOptions(tiny_model(), SourceOptions("fake:64x48@20"), updates=UpdateOptions("http://127.0.0.1:9"))
    with pytest.raises(SettingsError, match="--key"):
        run_live(options)


def test_a_folder_that_cannot_be_written_costs_the_updates_not_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = new_key(tmp_path / "vendor")
    old = signed_model(tmp_path / "old.tflite", key, "old")

    def fails(path: Path, durable: bool) -> None:
        raise OutputError(f"{path.name} cannot be written: Read-only file system")

    monkeypatch.setattr(update_state, "written_whole", fails)
    witness = Witness()
    options = LiveOptions(
        old,
        SourceOptions("fake:64x48@20", frames=3),
        model=ModelOptions(threads="1", key=tmp_path / "vendor.pub"),
        updates=UpdateOptions("http://127.0.0.1:9", tmp_path / "updates"),
    )
    assert run_live(options, sinks=[witness]).frames == 3
    assert any("no updates in this run" in one and "Read-only" in one for one in witness.notices)


class Process:
    """A real `edge-run live` that prints what it does as JSON."""

    def __init__(self, folder: Path, *options: str) -> None:
        command = [sys.executable, "-m", "edge_device", "live", str(folder / "old.tflite")]
        command += ["--threads", "1", "--json", "--key", str(folder / "vendor.pub"), *options]
        self._out = (folder / "out.jsonl").open("wb")
        self._process = subprocess.Popen(command, stdout=self._out, stderr=subprocess.DEVNULL)
        self._path = folder / "out.jsonl"

    def statuses(self) -> list[dict[str, Any]]:
        whole = self._path.read_text().rpartition("\n")[0].splitlines()
        return [told for told in map(json.loads, whole) if told.get("type") == "status"]

    def until(self, true: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        """The first statistics for which it is true."""
        end = time.monotonic() + 240
        while not (found := [one for one in self.statuses() if true(one)]):
            assert time.monotonic() < end and self._process.poll() is None, self.statuses()[-1:]
            time.sleep(0.05)
        return found[0]

    def end(self, how: int) -> None:
        self._process.send_signal(how)
        self._process.wait(60)
        self._out.close()


@pytest.mark.parametrize("cameras", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_process_that_is_killed_during_a_trial_starts_with_the_model_before(
    tmp_path: Path, site: Served, cameras: int
) -> None:
    key = new_key(tmp_path / "vendor")
    old, new = (signed_model(tmp_path / f"{name}.tflite", key, name) for name in ("old", "new"))
    publish(new, site.folder, key)
    folder = UpdateFolder(tmp_path / "updates")
    options = ["--update-from", site.url, "--update-folder", str(folder.path), "--update-every", "1"]
    options += ["--update-frames", str(COMPARED), "--update-trial", "600"]
    names = ["porch", "gate"] if cameras == 2 else [""]
    source = 'source = "fake:64x48@20"\n'
    tables = "".join(f"[camera.{name}]\n{source}" for name in names) if cameras == 2 else source
    (tmp_path / "live.toml").write_text(tables)
    options += ["--config", str(tmp_path / "live.toml")]

    def runs(model: Path, phase: str, name: str) -> Callable[[dict[str, Any]], object]:
        return lambda told: (
            (told.get("camera", ""), told["model_sha256"], told["update"]["phase"]) == (name, digest(model), phase)
        )

    process = Process(tmp_path, *options)
    try:
        for name in names:
            process.until(runs(new, "trial", name))
    finally:
        process.end(signal.SIGKILL)
    assert folder.read().trial
    process = Process(tmp_path, *options)
    try:
        for name in names:
            first = process.until(lambda told, name=name: told.get("camera", "") == name)  # type: ignore[misc]
            assert first["model_sha256"] == digest(old)
            assert first["update"]["refused"] == 1
    finally:
        process.end(signal.SIGTERM)
    state = folder.read()
    assert state.running == digest(old) and state.trial is None
    assert list(state.refused) == [digest(new)]

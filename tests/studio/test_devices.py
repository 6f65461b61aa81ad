"""Boards: a real device on this machine, its inbox and its next model; others over ssh."""

import json
import os
import pwd
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from http.client import HTTPConnection
from pathlib import Path

import pytest
import uvicorn
from starlette.testclient import TestClient

pytest.importorskip("tuf", reason="the extra [update] is not installed")
pytest.importorskip("cryptography", reason="the extra [sign] is not installed")

from edge_convert.keys import read_private_key
from edge_core.artifact.seal import check_seal
from edge_core.errors import EdgeError, HostError, SettingsError
from edge_device.sinks.inbox.snapshot_store import SnapshotStore
from edge_device.sinks.web.address import Address, listen
from edge_studio import Project, Studio
from edge_studio.devices import board_state, local_device
from edge_studio.devices.board_list import BoardList, StudioBoard, check_board
from edge_studio.devices.board_state import BoardState, live_page
from edge_studio.devices.deployment import copy_command, take_back_command, way_of
from edge_studio.devices.fleet import Fleet
from edge_studio.jobs.job import Job
from edge_studio.jobs.signing import signing_key
from edge_studio.studio_server import build_app, guarded

from ..device.update.vendor import signed_model
from ..doubles import free_port
from ..programs import Started, needs, program
from .conftest import TOKEN

TRIAL = ("--update-every", "1", "--update-frames", "8", "--update-trial", "1")
"""Of fewer frames a busy machine holds up half, and the new model is refused as the slower one."""


def until(true: Callable[[], object], what: str, seconds: float = 240) -> None:
    end_s = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end_s, f"never: {what}"
        time.sleep(0.1)


@pytest.fixture
def served(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> Iterator[Studio]:
    """A studio that listens on loopback, and waits for a device as long as a busy machine takes."""
    monkeypatch.setattr(local_device, "UP_S", 90.0)
    monkeypatch.setattr(board_state, "live_page", lambda board: live_page(board, 60))
    listener = listen(Address(port=0))
    port = listener.getsockname()[1]
    app = guarded(build_app(studio), TOKEN, frozenset({"localhost"}), port, site=studio.fleet.site)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="on", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    until(lambda: server.started, "it listens")
    studio.address = f"http://127.0.0.1:{port}"
    yield studio
    for project in studio.projects():
        for board in studio.fleet.boards.of(project.name):
            studio.fleet.remove(board)
    server.should_exit = True
    thread.join()


def digest(path: Path) -> str:
    found = check_seal(path)
    assert found
    return found.digest


def test_a_device_here_fills_the_inbox_tries_a_new_model_and_goes_back(
    served: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_device, "TRIAL", TRIAL)
    monkeypatch.setattr(local_device, "SNAPSHOTS_S", 0.3)
    fleet, project = served.fleet, served.create("colors")
    key = read_private_key(signing_key(served.state))
    project.exports.mkdir()
    old, new = (signed_model(project.exports / f"{name}.tflite", key, name) for name in ("old", "new"))
    board = fleet.start_here(project, old, "fake:64x48@20", served.address, "desk")
    with pytest.raises(SettingsError, match="'desk' already"):
        fleet.start_here(project, old, "fake:", served.address, "desk")

    def state() -> BoardState:
        return fleet.state_of(fleet.boards.get(project.name, board.id))

    until(lambda: state().top and state().verdict == "runs", "it runs the first model")
    assert (state().reached, state().digest, state().updates, state().collects) == (True, digest(old), True, True)

    # The inbox: what has arrived is let go of there, and what is labeled is a photo with its origin.
    until(lambda: len(live_page(fleet.boards.get(project.name, board.id), 60).snapshots()) >= 3, "it keeps frames")
    inbox = served.inbox(project)
    fetched = inbox.fetch(fleet.boards.get(project.name, board.id))
    assert fetched.pictures >= 3 and fetched.left == 0
    there = {one["id"] for one in live_page(fleet.boards.get(project.name, board.id), 60).snapshots()}
    here = {one.key.partition("/")[2] for one in inbox.frames()}
    assert len(here) == fetched.pictures and not here & there
    first, second, *rest = inbox.frames()
    done = inbox.label([first.key, second.key, "x/../../y"], "waves")
    assert len(done.added) == 2 and [key for key, _ in done.refused] == ["x/../../y"]
    assert {one.key for one in inbox.frames()} == {one.key for one in rest}
    lines = [json.loads(line) for line in (project.photos / "manifest.jsonl").read_text().splitlines()]
    assert [line["file"] for line in lines] == list(done.added)
    assert {line["board"] for line in lines} == {"desk"} and lines[0]["top"] and lines[0]["camera"] == "fake:64x48@20"
    assert all((project.photos / path).is_file() for path in done.added)

    # The next model: published, tried beside the old one, taken over, and taken back. The studio may be lost meanwhile.
    job = fleet.deploy(fleet.boards.get(project.name, board.id), project, new)
    assert job and job.record.kind == "publish"
    after_a_crash = Fleet(served.settings.folder, served.state, served.jobs)
    seen: set[str] = set()

    def runs() -> bool:
        now = after_a_crash.state_of(after_a_crash.boards.get(project.name, board.id))
        seen.add(now.verdict)
        return now.verdict == "runs" and "passed its trial" in now.told

    until(runs, f"the new model passes its trial: {served.jobs.log(job.id)}")
    assert state().digest == digest(new)
    assert fleet.take_back(fleet.boards.get(project.name, board.id), project) is None
    until(lambda: state().digest == digest(old), "the old model runs again")
    until(lambda: state().verdict == "refused" and "a person has taken it back" in state().told, "it says why")
    fleet.stop(board)
    assert not state().reached and "does not run" in state().reason


def test_an_unsigned_file_replaces_the_model_of_a_device_here_and_one_that_is_damaged_does_not(
    served: Studio, project: Project
) -> None:
    fleet = served.fleet
    project.exports.mkdir()
    old, new = (signed_model(project.exports / f"{name}.tflite", None, name) for name in ("old", "new"))
    board = fleet.start_here(project, old, "fake:64x48@20", "", "desk")

    def state() -> BoardState:
        return fleet.state_of(fleet.boards.get(project.name, board.id))

    until(lambda: state().verdict == "runs", "it runs")
    assert fleet.deploy(board, project, new) is None
    until(lambda: state().digest == digest(new), "the new model runs")
    fleet.take_back(board, project)
    until(lambda: state().digest == digest(old), "the old model runs again")
    damaged = project.exports / "damaged.tflite"
    damaged.write_bytes(new.read_bytes()[:-40] + bytes(40))
    with pytest.raises(EdgeError):
        fleet.deploy(board, project, damaged)
    assert state().digest == digest(old)


def test_what_a_device_cannot_do_is_said_in_its_own_words_and_leaves_no_board(served: Studio, project: Project) -> None:
    project.exports.mkdir()
    file = signed_model(project.exports / "a.tflite", None)
    for source, why in (("no-such-video.mp4", "no-such-video.mp4"), ("--debug", "not a source"), (" ", "not a source")):
        with pytest.raises(EdgeError, match=why):
            served.fleet.start_here(project, file, source, "", "desk")
    assert served.fleet.boards.of(project.name) == []
    assert not list((served.state / "devices").glob("*"))


def test_updates_are_served_to_who_knows_the_secret_and_nothing_else_is(served: Studio, project: Project) -> None:
    def ask(path: str) -> tuple[int, bytes]:
        connection = HTTPConnection("127.0.0.1", int(served.address.rpartition(":")[2]))
        with closing(connection):
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()

    (project.updates / "metadata").mkdir(parents=True)
    (project.updates / "metadata" / "timestamp.json").write_text("{}")
    (project.updates / "secret.txt").write_text("x")
    (project.updates / "metadata" / "link").symlink_to(served.state / "boards.json")
    served.fleet.boards.add(StudioBoard("", "porch", project.name, "http://porch"))
    path = served.fleet.site.path_of(project)
    assert ask(f"{path}/metadata/timestamp.json") == (200, b"{}")
    for wrong in (
        f"{path}/secret.txt",
        f"{path}/metadata/link",
        f"{path}/metadata/../../{project.name}/x",
        f"{path}/metadata/%2e%2e/%2e%2e/.studio/boards.json",
        f"{path}/metadata",
        f"/updates/wrong/{project.name}/metadata/timestamp.json",
        f"/updates//{project.name}/metadata/timestamp.json",
    ):
        assert ask(wrong) == (404, b""), wrong


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An `ssh` that runs the command here, in a shell, as the far end would, with `tmp_path / "home"` as its home."""
    script = tmp_path / "bin" / "ssh"
    script.parent.mkdir()
    home = tmp_path / "home"
    home.mkdir()
    script.write_text(f'#!/bin/sh\nfor word; do :; done\nHOME={home} exec sh -c "$word"\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}:/usr/bin:/bin")
    return home


def test_a_board_over_ssh_gets_the_whole_file_and_its_old_one_back(
    served: Studio, project: Project, ssh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.exports.mkdir()
    file = signed_model(project.exports / "new it's.tflite", None)
    board = served.fleet.add(StudioBoard("", "porch", project.name, ssh="pi@porch", model_file="~/a model.tflite"))
    (ssh / "a model.tflite").write_bytes(b"old")

    def finished(start: Callable[[], object]) -> str:
        start()
        job = served.jobs.jobs()[-1]
        until(lambda: served.jobs.job(job.id).state in ("done", "failed"), "it is copied")
        assert served.jobs.job(job.id).state == "done", served.jobs.log(job.id)
        return job.command.shell()

    shown = finished(lambda: served.fleet.deploy(board, project, file))
    assert "BatchMode=yes" in shown and "pi@porch" in shown
    assert (ssh / "a model.tflite").read_bytes() == file.read_bytes()
    assert served.fleet.boards.get(project.name, board.id).deployed == digest(file)
    finished(lambda: served.fleet.take_back(board, project))
    assert (ssh / "a model.tflite").read_bytes() == b"old"


@pytest.fixture
def sshd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A real sshd on loopback that lets this account in by a key; gives the host as a person would type it."""
    for name in ("host", "mine"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name)], check=True)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    port = free_port()
    settings = {"Port": port, "ListenAddress": "127.0.0.1", "HostKey": tmp_path / "host", "PidFile": "none"}
    settings |= {"AuthorizedKeysFile": tmp_path / "mine.pub", "UsePAM": "no", "StrictModes": "no"}
    (tmp_path / "sshd").write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    key = (tmp_path / "host.pub").read_text()
    (tmp_path / "known").write_text(f"[127.0.0.1]:{port} {key}")
    (tmp_path / "config").write_text(
        f"IdentityFile {tmp_path / 'mine'}\nIdentitiesOnly yes\nUserKnownHostsFile {tmp_path / 'known'}\n"
    )
    wrapper = tmp_path / "bin" / "ssh"  # the user's own configuration, as ~/.ssh/config is
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\nexec {program("ssh")} -F {tmp_path / "config"} "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{wrapper.parent}:{os.environ['PATH']}")
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    with Started([str(program("sshd")), "-D", "-f", str(tmp_path / "sshd")], stderr=subprocess.DEVNULL) as process:
        until(lambda: local_device.answers(port), "sshd listens")
        yield f"{pwd.getpwuid(os.geteuid()).pw_name}@127.0.0.1:{port}"
        process.terminate()


@needs("sshd")
def test_a_board_behind_a_real_sshd_is_given_a_model_goes_back_and_its_frames_come(
    served: Studio, project: Project, sshd: str, tmp_path: Path, jpeg: Callable[..., bytes]
) -> None:
    there = tmp_path / "on the board"
    store = SnapshotStore(there / "it's unsure")
    store.open()
    store.add(jpeg(1), "roses", {"source": "0"}, ("uncertain", "unsure"))
    (there / "a model.tflite").write_bytes(b"old")
    project.exports.mkdir()
    file = signed_model(project.exports / "new.tflite", None)
    known = StudioBoard("", "porch", project.name, ssh=sshd, model_file=str(there / "a model.tflite"))
    board = served.fleet.add(replace(known, snapshot_folder=str(there / "it's unsure")))

    def run(job: Job | None) -> Job:
        assert job
        until(lambda: served.jobs.job(job.id).state in ("done", "failed"), "the job ends")
        return served.jobs.job(job.id)

    job = run(served.fleet.deploy(board, project, file))
    assert job.state == "done", served.jobs.log(job.id)
    assert (there / "a model.tflite").read_bytes() == file.read_bytes()
    assert run(served.fleet.take_back(board, project)).state == "done"
    assert (there / "a model.tflite").read_bytes() == b"old"
    inbox = served.inbox(project)
    assert inbox.fetch(board).pictures == 1 and len(inbox.frames()) == 1
    assert not list(there.rglob("*.jpg")) and inbox.fetch(board).pictures == 0

    # Nobody could answer: a key that ssh does not know is an error, not a question.
    (tmp_path / "known").write_text("")
    failed = run(served.fleet.deploy(board, project, file))
    assert failed.state == "failed" and "Host key verification failed" in served.jobs.log(failed.id)
    with pytest.raises(HostError, match="Host key verification failed"):
        inbox.fetch(board)
    assert (there / "a model.tflite").read_bytes() == b"old"


def test_half_a_file_over_ssh_replaces_nothing(ssh: Path, tmp_path: Path) -> None:
    file = tmp_path / "model.tflite"
    file.write_bytes(b"x" * 100)
    board = StudioBoard("id", "porch", "flowers", ssh="pi@porch", model_file="~/model.tflite")
    words = copy_command(board, file).words
    (ssh / "model.tflite").write_bytes(b"old")
    file.write_bytes(b"x" * 60)  # what a connection that breaks off lets through
    assert subprocess.run(words, check=False).returncode != 0
    assert (ssh / "model.tflite").read_bytes() == b"old"


@pytest.mark.parametrize(
    "wrong",
    [
        {"address": ""},
        {"address": "ftp://porch"},
        {"address": "http://"},
        {"address": "", "ssh": "-oProxyCommand=x"},
        {"address": "", "ssh": "pi@porch; rm"},
        {"model_file": "model.tflite"},
        {"token": "short"},
        {"name": "../x"},
    ],
)
def test_a_board_that_cannot_be_is_refused(wrong: dict[str, str]) -> None:
    good = StudioBoard("", "porch", "flowers", "http://porch:8080")
    assert check_board(replace(good, address="porch:8080")) == good
    with pytest.raises(SettingsError):
        check_board(replace(good, **wrong))


def test_the_way_to_a_board_is_the_one_that_it_has() -> None:
    board, looks = StudioBoard("1", "porch", "flowers", "http://porch"), BoardState(True, updates=True)
    assert way_of(board, looks, signed=True) == "publish"
    with pytest.raises(SettingsError, match="signed files alone"):
        way_of(board, looks, signed=False)
    over_ssh = replace(board, ssh="pi@porch", model_file="/m.tflite")
    assert way_of(over_ssh, BoardState(False), signed=False) == "copy"
    with pytest.raises(SettingsError, match="no way"):
        way_of(board, BoardState(True), signed=True)
    with pytest.raises(SettingsError, match="not reached over ssh"):
        take_back_command(board)
    folder = replace(over_ssh, update_folder="/var/up dates")
    assert take_back_command(folder).words[-1] == "edge-run update rollback --folder '/var/up dates'"


def test_a_board_that_is_away_has_no_picture_and_one_that_is_not_there_is_an_error(
    studio: Studio, client: TestClient, project: Project
) -> None:
    # A browser logs each picture that is refused: a board that starts anew filled its console.
    with closing(listen(Address(port=0))) as nobody:
        address = f"http://127.0.0.1:{nobody.getsockname()[1]}"
    board = studio.fleet.boards.add(StudioBoard("", "porch", project.name, address))
    pictures = f"/api/p/{project.name}/boards/{{}}/frame.jpg"
    away = client.get(pictures.format(board.id))
    assert (away.status_code, away.content) == (204, b"")
    assert client.get(pictures.format("nobody")).status_code == 404


def test_boards_and_their_tokens_are_for_the_owner_s_eyes(tmp_path: Path) -> None:
    boards = BoardList(tmp_path / "boards.json")
    added = boards.add(StudioBoard("", "porch", "flowers", "http://porch", token="a-token-of-sixteen"))
    assert (tmp_path / "boards.json").stat().st_mode & 0o777 == 0o600
    assert "a-token" not in json.dumps(added.to_json()) and added.to_json()["has_token"] is True
    assert BoardList(tmp_path / "boards.json").of("flowers") == [added] and boards.of("birds") == []
    boards.change(added.id, lambda one: replace(one, name="yard"))
    boards.remove("another")
    assert boards.get("flowers", added.id).name == "yard"
    boards.remove(added.id)
    with pytest.raises(SettingsError, match="no board"):
        boards.get("flowers", added.id)

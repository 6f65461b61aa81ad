"""Pictures that a person takes and fetches by the live page: over real sockets, and with a finger in a real browser."""

import hashlib
import http.client
import io
import json
import os
import shutil
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from edge_core import Frame, InputSpec, ModelCard
from edge_core.errors import HostError, SettingsError
from edge_device.cli import app
from edge_device.results import FrameResult, Latency, Prediction
from edge_device.sinks.inbox.collection import Collection
from edge_device.sinks.inbox.live_page import SNAPSHOT_KEY
from edge_device.sinks.inbox.pull import Pulled, _snapshots_in, pull_snapshots
from edge_device.sinks.inbox.snapshot_store import SnapshotStore
from edge_device.sinks.inbox.snapshots import Snapshots
from edge_device.sinks.web import Address, WebPage
from edge_device.sinks.web.kept import KeptPictures
from edge_device.sources import SourceFrame

from ...browser import Browser

pytest.importorskip("starlette", reason="the extra [web] is not installed")
pytest.importorskip("uvicorn", reason="the extra [web] is not installed")

TOKEN = "correct-horse-battery-staple"
CARD = ModelCard(labels=("Katze <b>", "dog"), input=InputSpec(32, 32))
WRITES = {"X-Requested-By": "a test"}


def moving(index: int) -> Frame:
    """A frame that shows something else each time."""
    image = np.full((240, 320, 3), 90, np.uint8)
    place = (30 + 61 * index % 260, 30 + 47 * index % 180)
    return cv2.circle(image, place, 28, (30, 30, 220), -1)  # type: ignore[return-value]


@contextmanager
def served(folder: Path, *, host: str = "127.0.0.1", token: str | None = None) -> Iterator[tuple[WebPage, Snapshots]]:
    """A page with both kinds of pictures, fed by 20 sure frames a second."""
    snapshots = Snapshots(folder / "inbox", every_s=0)
    snapshots.open(CARD)
    page = WebPage(Address(host, 0), token=token)
    page.kept = KeptPictures(Collection(folder / "photos"), snapshots.store)
    page.open(CARD)
    stopped = threading.Event()

    def feed() -> None:
        index = 0
        while not stopped.wait(0.05):
            frame = SourceFrame(moving(index), "camera", index, index / 20, 1.0)
            result = FrameResult(frame, (Prediction("dog", 0.9), Prediction(CARD.labels[0], 0.1)), Latency(1, 1, 1, 3))
            page.frame(result)
            snapshots.frame(result)
            index += 1

    thread = threading.Thread(target=feed)
    thread.start()
    try:
        yield page, snapshots
    finally:
        stopped.set()
        thread.join()
        page.close()


def ask(page: WebPage, path: str, method: str = "GET", headers: dict[str, str] | None = None) -> tuple[int, Any]:
    port = int(page.url.rpartition(":")[2])
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        connection.request(method, path, headers=headers or {})
        answer = connection.getresponse()
        content = answer.read()
        return answer.status, json.loads(content) if answer.headers.get_content_subtype() == "json" else content


def eventually(true: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_button_takes_the_next_frame_of_a_label_that_the_page_has(tmp_path: Path) -> None:
    with served(tmp_path) as (page, _):
        status, told = ask(page, "/api/collect?label=Katze%20%3Cb%3E", "POST", WRITES)
        assert status == 202
        assert [one["label"] for one in told["labels"]] == [*CARD.labels, "_nothing"]
        eventually(lambda: list((tmp_path / "photos" / "Katze <b>").glob("*.jpg")))
        assert ask(page, "/api/collect?label=..%2Fup", "POST", WRITES)[0] == 400
        assert ask(page, "/api/collect", "POST", WRITES)[0] == 400
        eventually(lambda: ask(page, "/api/latest")[1]["kept"]["labels"][0]["count"] == 1)
    assert [path.name for path in tmp_path.iterdir() if path.name not in ("photos", "inbox")] == []


def test_snapshots_are_asked_for_listed_fetched_and_acknowledged(tmp_path: Path) -> None:
    with served(tmp_path) as (page, _):
        assert ask(page, "/api/snapshots") == (200, {"snapshots": []})
        assert ask(page, "/api/snapshots", "POST", WRITES)[0] == 202
        eventually(lambda: ask(page, "/api/snapshots")[1]["snapshots"])
        (one,) = ask(page, "/api/snapshots")[1]["snapshots"]
        assert (one["kind"], one["label"]) == ("asked", "dog")
        status, picture = ask(page, f"/api/snapshots/{one['id']}.jpg")
        assert status == 200
        assert hashlib.sha256(picture).hexdigest() == one["sha256"]
        assert cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR).shape == (240, 320, 3)  # type: ignore[union-attr]
        assert ask(page, f"/api/snapshots/{one['id']}.json")[1]["top"][0]["label"] == "dog"
        assert ask(page, f"/api/snapshots/{one['id']}/acknowledge", "POST", WRITES) == (200, {"removed": True})
        assert ask(page, f"/api/snapshots/{one['id']}/acknowledge", "POST", WRITES)[0] == 404
        assert ask(page, f"/api/snapshots/{one['id']}.jpg")[0] == 404
        assert list((tmp_path / "inbox").rglob("*.j*")) == []


@pytest.mark.parametrize(
    "path", ["/api/snapshots/../../photos", "/api/snapshots/%2e%2e/secret", "/api/snapshots/dog/x"]
)
def test_what_is_not_in_the_index_is_not_to_be_had(tmp_path: Path, path: str) -> None:
    (tmp_path / "secret.json").write_text("{}")
    with served(tmp_path) as (page, _):
        for suffix in (".json", ".jpg"):
            assert ask(page, path + suffix)[0] == 404


@pytest.mark.parametrize("path", ["/api/collect?label=dog", "/api/snapshots", "/api/snapshots/dog/x/acknowledge"])
def test_who_writes_needs_the_token_and_is_no_other_site(tmp_path: Path, path: str) -> None:
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    with served(tmp_path, host="0.0.0.0", token=TOKEN) as (page, snapshots):
        assert ask(page, path, "POST", WRITES)[0] == 401
        assert ask(page, path, "POST", bearer)[0] == 405, "a form of another site could send this"
        foreign = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}
        assert ask(page, path, "POST", bearer | WRITES | foreign)[0] == 403
        assert ask(page, path, "OPTIONS", bearer | WRITES)[0] == 405
        assert not snapshots.store.take_asked()
        assert ask(page, path, "POST", bearer | WRITES)[0] in (202, 404)


def test_a_finger_that_holds_a_label_takes_pictures_and_the_count_is_shown(browser: Browser, tmp_path: Path) -> None:
    with served(tmp_path) as (page, _):
        browser.complaints.clear()
        browser.resize(390, 844)
        browser.send("Emulation.setTouchEmulationEnabled", enabled=True)
        browser.open(page.url)
        buttons = "[...document.querySelectorAll('#labels button')]"
        browser.wait(f"{buttons}.length === 3")
        # What comes later would move the buttons away from under the finger.
        browser.wait("!document.getElementById('view').classList.contains('empty')")
        browser.wait("document.getElementById('zones').innerText.includes('dog')")
        assert browser.ask(f"{buttons}.map(one => one.firstChild.textContent)") == [*CARD.labels, "none of these"]
        box = browser.ask(
            f"(() => {{ const one = {buttons}[1]; one.scrollIntoView({{block: 'center'}}); "
            "const {x, y, width, height} = one.getBoundingClientRect(); return {x, y, width, height}; })()"
        )
        assert box["height"] >= 44, "large enough for a finger"
        assert browser.ask("document.documentElement.scrollWidth") <= 390
        finger = [{"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}]
        browser.send("Input.dispatchTouchEvent", type="touchStart", touchPoints=finger)
        browser.wait(f"Number({buttons}[1].lastChild.textContent) >= 3")
        browser.send("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
        browser.wait(f"!{buttons}[1].classList.contains('held')")

        def kept() -> int:
            return len(list((tmp_path / "photos" / "dog").glob("*.jpg")))

        def is_quiet() -> bool:
            before = kept()
            time.sleep(1.2)
            return kept() == before

        eventually(is_quiet)  # who lets go takes no more, but for a post that was on its way
        count = kept()
        browser.wait(f"{buttons}[1].lastChild.textContent === '{count}'")
        assert browser.ask(f"{buttons}[0].lastChild.textContent") == "0"
        browser.ask("document.getElementById('keep').click()")
        eventually(lambda: list((tmp_path / "inbox").rglob("*.jpg")))
        browser.send("Emulation.setTouchEmulationEnabled", enabled=False)
        assert browser.complaints == []


def test_without_pictures_to_keep_the_page_has_no_buttons(browser: Browser) -> None:
    page = WebPage(Address(port=0))
    page.open(CARD)
    try:
        browser.open(page.url)
        browser.wait("told.state !== null")
        assert browser.ask("getComputedStyle(document.getElementById('kept')).display") == "none"
        assert ask(page, "/api/collect?label=dog", "POST", WRITES)[0] == 404
    finally:
        page.close()


# --- Brought home


def kept(folder: Path, count: int = 3) -> list[str]:
    """Snapshots in a folder, as a board has them."""
    store = SnapshotStore(folder)
    store.open()
    for minute in range(count):
        taken = datetime(2026, 3, 1, 10, minute, tzinfo=UTC)
        store.add(
            b"\xff\xd8" + bytes([minute]) * 9000, "Katze <b>", {"n": minute}, ("unknown", "foreign"), "door", taken
        )
    return [one.key for one in store.snapshots()]


@contextmanager
def board(folder: Path, token: str | None = None) -> Iterator[str]:
    snapshots = Snapshots(folder)
    snapshots.open(CARD)
    page = WebPage(Address(port=0), token=token)
    page.kept = KeptPictures(store=snapshots.store)
    page.open(CARD)
    try:
        yield page.url
    finally:
        page.close()


def test_snapshots_come_home_and_what_has_arrived_goes_from_the_board(tmp_path: Path) -> None:
    keys = kept(tmp_path / "board")
    pictures = {key: (tmp_path / "board" / f"{key}.jpg").read_bytes() for key in keys}
    with board(tmp_path / "board", TOKEN) as url:
        assert pull_snapshots(url, tmp_path / "a", token=TOKEN, keep=True) == Pulled(3, 0)
        (tmp_path / "board" / f"{keys[1]}.jpg").write_bytes(b"damaged")
        assert pull_snapshots(url, tmp_path / "home", token=TOKEN) == Pulled(2, 1)
        assert pull_snapshots(url, tmp_path / "home", token=TOKEN) == Pulled(0, 1)
    for key in (keys[0], keys[2]):
        assert (tmp_path / "home" / f"{key}.jpg").read_bytes() == pictures[key]
        assert json.loads((tmp_path / "home" / f"{key}.json").read_text())["kind"] == "unknown"
        assert not (tmp_path / "board" / f"{key}.jpg").exists()
    assert sorted(path.name for path in (tmp_path / "board").rglob("*.jpg")) == [f"{keys[1].partition('/')[2]}.jpg"]


def test_a_board_that_refuses_is_told_of_in_one_line(tmp_path: Path) -> None:
    with board(tmp_path / "board", TOKEN) as url:
        with pytest.raises(HostError, match="asks for a token"):
            pull_snapshots(url, tmp_path / "home")
        with pytest.raises(HostError, match="no snapshots"):
            pull_snapshots(f"{url}/other", tmp_path / "home", token=TOKEN)
    with pytest.raises(HostError, match="cannot be reached"):
        pull_snapshots(url, tmp_path / "home")
    for host in ("ftp://porch/x", "ssh://porch", "ssh://porch/", ""):
        with pytest.raises(SettingsError, match="neither"):
            pull_snapshots(host, tmp_path / "home")
    assert not (tmp_path / "home").exists()


def test_a_token_file_that_is_not_there_is_refused_and_not_made(tmp_path: Path) -> None:
    """No board knows a token that a client makes up."""
    typo = tmp_path / "poch.token"
    with board(tmp_path / "board", TOKEN) as url:
        asked = ["snapshots", "pull", url, "--to", str(tmp_path / "home"), "--token-file"]
        refused = CliRunner().invoke(app, [*asked, str(typo)])
        assert refused.exit_code == 2 and not typo.exists()
        assert f"{typo} is not there" in refused.stderr and len(refused.stderr.splitlines()) == 1
        typo.write_text(TOKEN)
        assert CliRunner().invoke(app, [*asked, str(typo)]).exit_code == 0


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An `ssh` that runs the command here, in a shell, as the far end would."""
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin" / "ssh"
    script.write_text(
        '#!/bin/sh\nwhile [ "$1" != -- ]; do shift; done\n[ "$2" = pi@porch ] && exec sh -c "$3"\nexit 255\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}:{os.environ['PATH']}")


def test_snapshots_come_home_over_ssh_and_nothing_else_does(tmp_path: Path, ssh: None) -> None:
    there = tmp_path / "bo'ard"
    keys = kept(there)
    (there / "Katze <b>" / "notes.json").write_text("{}")
    (there / "dog").mkdir()
    shutil.copy(there / f"{keys[0]}.jpg", there / "dog")  # moved by a person: it has no .json
    assert pull_snapshots(f"ssh://pi@porch{there}", tmp_path / "a", keep=True) == Pulled(3, 1)
    assert pull_snapshots(f"ssh://pi@porch{there}", tmp_path / "home") == Pulled(3, 1)
    assert sorted(path.name for path in there.rglob("*.j*")) == [f"{keys[0].partition('/')[2]}.jpg", "notes.json"]
    here = sorted(str(path.relative_to(tmp_path / "home")) for path in (tmp_path / "home").rglob("*.j*"))
    assert here == sorted(f"{key}{suffix}" for key in keys for suffix in (".jpg", ".json"))
    assert pull_snapshots(f"ssh://pi@porch{there}", tmp_path / "home") == Pulled(0, 1)
    with pytest.raises(HostError, match="255"):
        pull_snapshots("ssh://pi@yard/tmp", tmp_path / "home")


def test_warnings_of_a_far_tar_do_not_keep_pictures_from_coming_home(
    tmp_path: Path, ssh: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More of them than a pipe holds, and before the first picture."""
    script = tmp_path / "bin" / "tar"
    script.write_text(f'#!/bin/sh\nhead -c 200000 /dev/zero >&2\nexec {shutil.which("tar")} "$@"\n')
    script.chmod(0o755)
    kept(tmp_path / "board")
    assert pull_snapshots(f"ssh://pi@porch{tmp_path / 'board'}", tmp_path / "home") == Pulled(3, 0)


def test_an_archive_with_paths_that_lead_elsewhere_writes_nothing_there() -> None:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for name in ("../up/20260301T100000.000000Z.jpg", "/etc/20260301T100000.000000Z.jpg", "a/b.jpg", "a/../c.json"):
            archive.addfile(tarfile.TarInfo(name))
        for folder in ("..", ".ssh", "./.."):
            archive.addfile(tarfile.TarInfo(f"{folder}/20260301T100000.000000Z.jpg"))
    data.seek(0)
    assert list(_snapshots_in(data)) == []


def test_a_snapshot_of_a_camera_and_a_zone_with_long_names_comes_home_too() -> None:
    shows = f"{'c' * 32}-{'z' * 32}"
    assert SNAPSHOT_KEY.fullmatch(f"Katze <b>/20260301T100000.000000Z-{shows}")

"""The studio killed without warning: what it has confirmed is there, and nothing is half done at the next opening."""

import hashlib
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from edge_core.data.photo_folder import find_photos
from edge_core.files import written_whole
from edge_studio import Project, Studio
from edge_studio.photos.photo_store import INCOMING, PhotoStore

from ..programs import Started

ROUNDS = [*range(2), *(pytest.param(number, marks=pytest.mark.slow) for number in range(2, 10))]

WORK = """
import random, sys
from pathlib import Path
from edge_studio import Project
from edge_studio.photos.photo_store import PhotoStore
root, cache, work, seed = sys.argv[1:]
draw = random.Random(seed)
store = PhotoStore(Project(Path(root), "flowers"), Path(cache))
photo = (Path(root) / "photo.jpg").read_bytes()

def upload(number):
    label = draw.choice("abc")
    return store.add(photo + b"%d" % number, f"{number}.jpg", label).path

def change(number):
    paths = [one.path for one in store.index().photos]
    if not paths or number % 5 == 4:
        return store.undo().title
    some = draw.sample(paths, min(20, len(paths)))
    return (store.delete(some[:5]) if number % 3 else store.move(some, draw.choice("abcd"))).title

for number in range(100_000):
    print({"upload": upload, "change": change}[work](number), flush=True)
"""


def killed(project: Project, cache: Path, work: str, seed: int) -> list[str]:
    """What a process has confirmed until it was killed, at some moment of its work."""
    command = [sys.executable, "-c", WORK, str(project.root), str(cache), work, str(seed)]
    with Started(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stderr
        first = process.stdout.readline()
        assert first, process.stderr.read()
        time.sleep(random.Random(seed).random() / 5)
        process.send_signal(signal.SIGKILL)
        lines = [first, *process.stdout.read().splitlines(keepends=True)]
    return [line.strip() for line in lines if line.endswith("\n")]


def contents(folder: Path) -> list[str]:
    return sorted(hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*.jpg"))


@pytest.mark.parametrize("seed", ROUNDS)
def test_every_photo_whose_upload_was_confirmed_is_there_and_whole(
    studio: Studio, project: Project, jpeg: Callable[..., bytes], seed: int
) -> None:
    (project.root / "photo.jpg").write_bytes(jpeg(seed))
    confirmed = killed(project, studio.settings.cache, "upload", seed)
    assert confirmed
    PhotoStore(project, studio.settings.cache)
    assert all((project.photos / path).read_bytes().startswith(jpeg(seed)) for path in confirmed)
    found = find_photos(project.photos)
    assert {path.relative_to(project.photos).as_posix() for path, _ in found.files} >= set(confirmed)
    assert len(found.files) <= len(confirmed) + 1
    # A class whose first picture had not begun to come when the server was killed is an empty class.
    assert {item.reason for item in found.dropped} <= {"no picture in this class folder"}
    assert not [path for path in project.photos.rglob(".*") if path.is_file()]
    assert not (project.bin / INCOMING).exists()


def test_a_class_whose_only_picture_did_not_come_whole_is_gone_at_the_next_opening(
    studio: Studio, project: Project, jpeg: Callable[..., bytes]
) -> None:
    for label in ("kept", "begun"):
        studio.photo_store(project).make_class(label)
    with suppress(KeyboardInterrupt), written_whole(project.photos / "begun" / "0.jpg") as beside:
        beside.write_bytes(jpeg()[:100])
        left = beside.rename(project.root / "left")
        raise KeyboardInterrupt
    left.rename(beside)  # as a kill leaves it, which tidies nothing up
    PhotoStore(project, studio.settings.cache)
    assert [path.name for path in project.photos.iterdir()] == ["kept"]


@pytest.mark.parametrize("seed", ROUNDS)
def test_no_photo_is_lost_when_many_are_being_moved_and_the_last_operation_is_whole(
    studio: Studio, project: Project, jpeg: Callable[..., bytes], seed: int
) -> None:
    for number in range(60):
        file = project.photos / "abc"[number % 3] / f"{number}.jpg"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(jpeg(seed) + b"%d" % number)
    (project.root / "photo.jpg").write_bytes(b"")
    before = contents(project.photos)
    confirmed = killed(project, studio.settings.cache, "change", seed)
    assert confirmed
    store = PhotoStore(project, studio.settings.cache)
    assert sorted(contents(project.photos) + contents(project.bin)) == before
    while store.last():
        store.undo()
    assert contents(project.photos) == before


def test_what_was_begun_when_the_power_failed_is_completed_at_the_next_opening(
    studio: Studio, project: Project, jpeg: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = studio.photo_store(project)
    for number in range(3):
        store.add(jpeg(number), f"{number}.jpg", "a")
    renames: list[object] = []

    def broken_rename(source: object, target: object) -> None:
        renames.append(source)
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr("os.rename", broken_rename)
        with pytest.raises(OSError, match="cannot be moved"):
            store.move(["a/0.jpg", "a/1.jpg"], "b")
    assert renames
    with store._journal.file.open("a") as journal:  # what a power cut leaves of the next line
        journal.write('{"number": 2, "moves": [')
    again = PhotoStore(project, studio.settings.cache)
    assert sorted(path.name for path in (project.photos / "b").iterdir()) == ["0.jpg", "1.jpg"]
    again.undo()
    assert not list((project.photos / "b").iterdir())

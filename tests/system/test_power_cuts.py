"""The power is cut at every write, sync, rename and removal of what outlives the process: what is there at the next
start?"""

import hashlib
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import cv2
import numpy as np
import pytest

from edge_core import InputSpec, ModelCard, complete
from edge_core.artifact.seal import check_seal
from edge_core.files import written_whole
from edge_core.images import read_picture
from edge_device.inference.verify import sealed
from edge_device.live.update.update_state import InstalledModel, UpdateFolder, begin
from edge_device.results import Event, FrameResult, Latency
from edge_device.sinks.inbox.collection import Collection
from edge_device.sinks.inbox.snapshot_store import Kind, SnapshotStore
from edge_device.sinks.jsonl import JsonLines
from edge_device.sources import SourceFrame
from edge_device.teaching.teach import Taught
from edge_device.teaching.write import previous_file, write_taught

from ..power_cuts import Disk

CARD = ModelCard(labels=("cat", "dog"), input=InputSpec(32, 32))
MODELS = Path(__file__).parents[1] / "models"
CUTS = {"file": 40, "json lines": 250, "inbox": 400, "collection": 120, "update": 60, "taught": 30}
"""Different states of the disk that each of the tests is to look at, at least: 1,000 with those of updates."""


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    (tmp_path / "disk").mkdir()
    return Disk(tmp_path / "disk")


def after_cuts(disk: Disk, least: int) -> Iterator[tuple[Path, list[Any]]]:
    """As `Disk.after_cuts`, of which there are `least` at least; what is checked need not wait for the real disk."""
    count = 0
    with patch.object(os, "fsync", lambda file: None):
        for state in disk.after_cuts():
            count += 1
            yield state
    print(f"{count} cuts")
    assert count >= least


def event(number: int) -> Event:
    return Event("entered", "cat", "", 1.7e9, 0.9, 0.0, number)


def test_the_disk_tells_a_careless_writer_from_a_careful_one(disk: Disk) -> None:
    """The harness itself: what a rename without a sync leaves is among the states."""
    (disk.root / "a").write_bytes(b"old")
    with disk.recording():
        (disk.root / "beside").write_bytes(b"new")
        os.replace(disk.root / "beside", disk.root / "a")
    seen = {(folder / "a").read_bytes() for folder, _ in disk.after_cuts()}
    assert {b"old", b"new", b""} <= seen


def test_a_durable_file_is_the_old_one_or_the_new_one(disk: Disk) -> None:
    (disk.root / "deep").mkdir()
    (disk.root / "deep" / "a").write_bytes(b"0")
    with disk.recording():
        for number in range(1, 4):
            with written_whole(disk.root / "deep" / "a", durable=True) as beside:
                beside.write_bytes(str(number).encode())
            with written_whole(disk.root / "new" / str(number), durable=True) as beside:
                beside.write_bytes(b"whole")
            disk.note(number)
    for folder, notes in after_cuts(disk, CUTS["file"]):
        assert int((folder / "deep" / "a").read_bytes()) >= max(notes, default=0)
        for number in notes:
            assert (folder / "new" / str(number)).read_bytes() == b"whole"


def test_an_event_that_was_acknowledged_is_in_the_json_lines_and_no_line_is_half(disk: Disk) -> None:
    def lines() -> JsonLines:
        sink = JsonLines(disk.root / "log" / "events.jsonl", max_bytes=1500, keep=8)
        sink.open(CARD)
        return sink

    with disk.recording():
        sink = lines()
        for number in range(60):
            sink.event(event(number))
            disk.note(number)
        sink.close()
    for folder, notes in after_cuts(disk, CUTS["json lines"]):
        sink = lines()
        sink.event(event(99))
        sink.close()
        found = [json.loads(line) for path in (folder / "log").iterdir() for line in path.read_text().splitlines()]
        numbers = [one["number"] for one in found]
        assert {*notes, 99} <= set(numbers)
        assert len(set(numbers)) == len(numbers)


def test_a_snapshot_that_was_kept_is_there_whole_and_nothing_half_is(disk: Disk) -> None:
    def opened() -> SnapshotStore:
        store = SnapshotStore(disk.root / "inbox", max_files=5)
        store.open()
        return store

    kinds: list[Kind] = ["uncertain", "unknown", "asked"]
    with disk.recording():
        store = opened()
        for number in range(19):
            taken = datetime(2026, 3, 1, 10, tzinfo=UTC) + timedelta(minutes=31 * number)
            disk.note(("began", {one.key: one.sha256 for one in store.snapshots()}))
            if number % 4 == 3:
                store.acknowledge(store.snapshots()[0].key)
            else:
                store.add(bytes([number]) * 3000, "Katze", {"n": number}, (kinds[number % 3], "said"), taken=taken)
            disk.note(("done", {one.key: one.sha256 for one in store.snapshots()}))
    for folder, notes in after_cuts(disk, CUTS["inbox"]):
        there = {one.key: one for one in opened().snapshots()}
        before: dict[str, str] = next((told for kind, told in reversed(notes) if kind == "began"), {})
        ended = bool(notes) and notes[-1][0] == "done"
        # What is in flight may have taken one away already; what was done is done, and nothing else is lost.
        certain = notes[-1][1] if ended else before
        missing = set(certain) - set(there)
        assert not missing if ended else len(missing) <= 1
        for key, one in there.items():
            picture = (folder / "inbox" / f"{key}.jpg").read_bytes()
            assert hashlib.sha256(picture).hexdigest() == one.sha256
        files = {path.name for path in folder.rglob("*") if path.is_file()}
        assert files == {one.name + suffix for one in there.values() for suffix in (".jpg", ".json")}


def test_a_training_picture_that_was_counted_is_there_whole_with_its_line(disk: Disk) -> None:
    def seen(index: int) -> FrameResult:
        image = cv2.circle(
            np.full((48, 64, 3), 90, np.uint8), (9 + 11 * index % 50, 9 + 17 * index % 30), 8, (0, 0, 220), -1
        )
        return FrameResult(SourceFrame(np.asarray(image, np.uint8), "camera", index, 0.0, 1.0), (), Latency(1, 0, 0, 1))

    with disk.recording():
        collection = Collection(disk.root / "photos")
        for index in range(8):
            collection.add(seen(index), ("cat", "dog")[index % 2])
            disk.note(dict(collection.counts))
    for folder, notes in after_cuts(disk, CUTS["collection"]):
        again = Collection(folder / "photos")
        counted = notes[-1] if notes else {}
        assert all(again.counts.get(label, 0) >= count for label, count in counted.items())
        again.add(seen(40), "cat")  # which also mends the manifest
        pictures = {str(path.relative_to(folder / "photos")) for path in (folder / "photos").rglob("*.jpg")}
        lines = [json.loads(line) for line in (folder / "photos" / "manifest.jsonl").read_text().splitlines()]
        assert {one["file"] for one in lines} <= pictures
        assert len(lines) >= sum(counted.values())
        for picture in pictures:
            read_picture(folder / "photos" / picture)
        assert not [path for path in folder.rglob("*") if ".tmp" in path.name]


def test_a_taught_file_is_the_one_before_or_the_new_one_and_the_one_before_is_kept(disk: Disk) -> None:
    file = disk.root / "flowers.tflite"
    file.write_bytes(b"0" * 9000)
    with disk.recording():
        for number in b"123":
            write_taught(Taught(bytes([number]) * 9000, CARD, None), file)
            disk.note(number)
    for folder, notes in after_cuts(disk, CUTS["taught"]):
        whole = (folder / file.name).read_bytes()
        assert len(whole) == 9000 and len(set(whole)) == 1
        assert whole[0] >= max(notes, default=0)
        if notes:
            kept = previous_file(folder / file.name).read_bytes()
            assert len(kept) == 9000 and len(set(kept)) == 1


def test_whenever_the_power_fails_in_an_update_there_is_a_model_to_run(disk: Disk, tmp_path: Path) -> None:
    """An update fetched, taken over, settled; a second one taken back; a third one refused."""
    models = {name: _sealed(tmp_path / f"{name}.tflite", name) for name in ("factory", "one", "two", "three")}
    digests = {name: digest_of(path) for name, path in models.items()}
    folder = UpdateFolder(disk.root / "updates")

    def fetched(name: str) -> InstalledModel:
        with written_whole(folder.model(digests[name]), durable=True) as beside:
            beside.write_bytes(models[name].read_bytes())
        return InstalledModel(digests[name], 1, "ab")

    with disk.recording():
        state = begin(folder, digests["factory"], "boot")
        disk.note(("runs", {digests["factory"]}))
        one = fetched("one")
        disk.note(("runs", {digests["factory"], digests["one"]}))
        state = folder.write(state.taken_over_by(one, "boot"))
        state = folder.write(state.settled())
        disk.note(("runs", {digests["one"]}))
        two = fetched("two")
        disk.note(("runs", {digests["one"], digests["two"]}))
        state = folder.write(state.taken_over_by(two, "boot"))
        state = folder.write(state.rolled_back("slow"))
        disk.note(("runs", {digests["one"]}))
        disk.note(("refused", digests["two"]))
        folder.tidy(state)
        three = fetched("three")
        folder.tidy(folder.write(state.refuse(three.digest, "unsure")))
        disk.note(("refused", digests["three"]))
    for root, notes in after_cuts(disk, CUTS["update"]):
        for boot in range(6):  # and it is started again and again
            found = begin(UpdateFolder(root / "updates"), digests["factory"], f"another {boot}")
            assert found.running == digests["factory"] or folder.whole(found.current)
        allowed = next((told for kind, told in reversed(notes) if kind == "runs"), {digests["factory"]})
        assert found.running in allowed
        assert found.trial is None, "a trial comes to an end, however often the power fails"
        assert {told for kind, told in notes if kind == "refused"} <= set(found.refused)


def _sealed(path: Path, name: str) -> Path:
    artifact = (MODELS / "tiny-uint8.tflite").read_bytes()
    labels = ("red", "green", "blue", "dark")
    whole = complete(artifact, ModelCard(labels=labels, input=InputSpec(32, 32)), name)
    path.write_bytes(sealed(whole, [np.full((48, 64, 3), 90, np.uint8)]))
    return path


def digest_of(path: Path) -> str:
    seal = check_seal(path)
    assert seal
    return seal.digest

"""What the store of snapshots keeps of what comes: fair over kinds and time, whatever happens to its files."""

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_device.sinks.inbox.snapshot_store import SHARES, Kind, SnapshotStore

EVENING = datetime(2026, 3, 1, 20, tzinfo=UTC)


def opened(folder: Path, max_files: int = 1000, max_bytes: int = 10**9) -> SnapshotStore:
    store = SnapshotStore(folder, max_files=max_files, max_bytes=max_bytes)
    store.open()
    return store


def add(store: SnapshotStore, taken: datetime, kind: Kind = "uncertain", label: str = "cat") -> bool:
    return store.add(b"\xff\xd8 a picture", label, {"frame": 1}, (kind, "said"), taken=taken)


def test_a_windy_night_does_not_push_out_the_days_before_and_leaves_room_for_those_after(tmp_path: Path) -> None:
    store = opened(tmp_path, 30)
    for day in range(3):
        for minute in range(10):
            add(store, EVENING + timedelta(days=day, minutes=7 * minute))
    for second in range(800):  # the fourth night: a branch before the camera
        add(store, EVENING + timedelta(days=3, seconds=20 * second))
    for minute in range(10):
        add(store, EVENING + timedelta(days=4, minutes=7 * minute))
    days = Counter(one.name[:8] for one in store.snapshots())
    assert days == {f"202603{day:02}": 6 for day in (1, 2, 3, 4, 5)}


def test_what_stays_of_an_hour_is_a_fair_sample_of_all_that_came_in_it(tmp_path: Path) -> None:
    store = opened(tmp_path, 40)
    for second in range(600):
        add(store, EVENING + timedelta(seconds=6 * second))
    minutes = [int(one.name[11:13]) for one in store.snapshots()]
    assert len(minutes) == 40
    # Of a fair sample 20 are of the first half hour, with a deviation of 3.2; a ring would keep none of them.
    assert 9 <= sum(minute < 30 for minute in minutes) <= 31
    kept = {one.key for one in store.snapshots()}
    again = opened(tmp_path, 40)
    assert {one.key for one in again.snapshots()} == kept, "the index is what the files say"


def test_a_camera_that_keeps_more_does_not_push_out_the_pictures_of_another(tmp_path: Path) -> None:
    store = opened(tmp_path, 20)
    for camera, count in (("porch", 10), ("gate", 200)):
        for second in range(count):
            told = {"frame": 1, "camera": camera}
            taken = EVENING + timedelta(seconds=second)
            store.add(b"\xff\xd8 a picture", "cat", told, ("uncertain", "said"), camera, taken)
    for one in (store, opened(tmp_path, 20)):
        assert Counter(each.camera for each in one.snapshots()) == {"porch": 10, "gate": 10}


def test_a_kind_has_its_share_and_what_others_leave(tmp_path: Path) -> None:
    store = opened(tmp_path, 40)
    for minute in range(60):
        add(store, EVENING + timedelta(minutes=minute))
    assert len(store.snapshots()) == 40
    for minute in range(60):
        for kind in ("unknown", "changed", "asked"):
            add(store, EVENING + timedelta(minutes=minute, seconds=1 + len(kind)), kind)
    kinds = Counter(one.kind for one in store.snapshots())
    assert kinds == {kind: round(40 * share) for kind, share in SHARES.items()}


def test_of_what_a_person_asked_for_the_oldest_goes(tmp_path: Path) -> None:
    store = opened(tmp_path, 3)
    for minute in (0, 1, 2, 3, 4):
        assert add(store, EVENING + timedelta(minutes=minute), "asked")
    assert [one.name[11:13] for one in store.snapshots()] == ["02", "03", "04"]


def test_what_arrived_elsewhere_goes_and_only_that(tmp_path: Path) -> None:
    store = opened(tmp_path)
    for minute in range(3):
        add(store, EVENING + timedelta(minutes=minute))
    first, second, third = (one.key for one in store.snapshots())
    assert store.acknowledge(second)
    assert not store.acknowledge(second)
    assert not store.acknowledge("../somebody")
    assert store.read(second, ".jpg") is None
    assert store.read("../../etc/passwd", ".json") is None
    assert [one.key for one in store.snapshots()] == [first, third] == [one.key for one in opened(tmp_path).snapshots()]
    assert not list(tmp_path.glob(f"{second}*"))


def test_snapshots_of_version_0_1_are_known_by_their_reason(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    reasons = {"a": "foreign to the model", "b": "decision changed", "c": "lead below 0.2"}
    for name, reason in reasons.items():
        (tmp_path / "cat" / f"{name}.jpg").write_bytes(b"a")
        (tmp_path / "cat" / f"{name}.json").write_text(json.dumps({"folder": "cat", "reason": reason}))
    assert [one.kind for one in opened(tmp_path).snapshots()] == ["unknown", "changed", "uncertain"]


@pytest.mark.parametrize("text", ["", "null", "[]", "{", '{"folder": 3}', '{"folder": "cat", "kind": [], "taken": 5}'])
def test_whatever_a_json_says_the_store_opens_and_the_picture_stays(tmp_path: Path, text: str) -> None:
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "a.jpg").write_bytes(b"a")
    (tmp_path / "cat" / "a.json").write_text(text)
    opened(tmp_path)
    assert (tmp_path / "cat" / "a.jpg").exists()


@settings(max_examples=10)
@given(
    st.lists(st.tuples(st.integers(0, 5000), st.sampled_from(list(SHARES))), max_size=40, unique_by=lambda one: one[0])
)
def test_the_limits_hold_and_files_and_index_agree(
    tmp_path_factory: pytest.TempPathFactory, arrivals: list[tuple[int, Kind]]
) -> None:
    folder = tmp_path_factory.mktemp("store")
    store = opened(folder, 7)
    for minute, kind in arrivals:
        add(store, EVENING + timedelta(minutes=minute), kind)
    keys = {one.key for one in store.snapshots()}
    assert len(keys) == min(7, len(arrivals))
    assert {str(path.relative_to(folder))[:-4] for path in folder.rglob("*.jpg")} == keys

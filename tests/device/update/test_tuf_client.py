"""The attacks of The Update Framework's specification (section 1.5.2), each against our client: refused, with one line.

https://theupdateframework.github.io/specification/latest/#goals-to-protect-against-specific-attacks
"""

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("tuf", reason="the extra [update] is not installed")
pytest.importorskip("cryptography", reason="the extra [sign] is not installed")

from edge_convert.keys import PrivateKey
from edge_convert.publish import publication
from edge_convert.publish.publication import publish, refresh, rotate_key
from edge_core.artifact.rollout import Offer, bucket, newest_for, read_offer
from edge_core.artifact.seal import check_seal
from edge_core.errors import CheckFailedError, EdgeError, HostError, OutputError, SettingsError, UpdateError
from edge_device.live.update.tuf_client import UpdateClient

from .vendor import Served, new_key, signed_model


@pytest.fixture
def key(tmp_path: Path) -> PrivateKey:
    return new_key(tmp_path / "vendor")


@pytest.fixture
def model(tmp_path: Path, key: PrivateKey) -> Callable[..., Path]:
    return lambda name="one": signed_model(tmp_path / f"{name}.tflite", key, name)


def client(site: Served, folder: Path, key: PrivateKey) -> UpdateClient:
    return UpdateClient(site.url, folder / "metadata", key.public_key)


def refused(client: UpdateClient, match: str) -> None:
    with pytest.raises(UpdateError, match=match) as caught:
        client.published()
    assert "\n" not in str(caught.value)


def test_what_is_published_is_offered_and_fetched(
    site: Served, key: PrivateKey, model: Callable[..., Path], tmp_path: Path
) -> None:
    publish(model(), site.folder, key)
    second = publish(model("two"), site.folder, key, rollout=50, group="porch")
    board = client(site, tmp_path / "board", key)
    found = board.published()
    assert found.keys == (key.public_key,)
    assert {(one.sequence, one.rollout, one.group) for one in found.offers} == {(1, 100.0, ""), (2, 50.0, "porch")}
    board.fetch(second.offer, tmp_path / "got.tflite")
    assert (tmp_path / "got.tflite").read_bytes() == (tmp_path / "two.tflite").read_bytes()


def test_a_rollout_grows_over_the_same_boards_and_is_for_its_group(
    site: Served, key: PrivateKey, model: Callable[..., Path], tmp_path: Path
) -> None:
    publish(model(), site.folder, key)
    boards = [f"board-{number}" for number in range(2000)]
    reached: list[set[str]] = []
    for percent in (0, 10, 40, 100):
        publish(model("two"), site.folder, key, rollout=percent)
        offers = client(site, tmp_path / str(percent), key).published().offers
        assert len(offers) == 2
        reached.append({board for board in boards if (one := newest_for(offers, board)) and one.sequence == 2})
    assert [len(one) for one in reached] == [0, pytest.approx(200, abs=60), pytest.approx(800, abs=90), 2000]
    assert reached[1] < reached[2] < reached[3]
    publish(model("three"), site.folder, key, group="porch")
    offers = client(site, tmp_path / "porch", key).published().offers
    assert [newest_for(offers, "a", group).sequence for group in ("", "porch", "yard")] == [2, 3, 2]  # type: ignore[union-attr]


def test_an_old_repository_again_is_a_rollback(
    site: Served, key: PrivateKey, model: Callable[..., Path], tmp_path: Path
) -> None:
    publish(model(), site.folder, key)
    shutil.copytree(site.folder, tmp_path / "old")
    publish(model("two"), site.folder, key)
    board = client(site, tmp_path / "board", key)
    board.published()
    shutil.rmtree(site.folder)
    shutil.copytree(tmp_path / "old", site.folder)
    refused(board, "rollback")
    assert client(site, tmp_path / "new board", key).published(), "a board that never saw the newer one cannot know"


def test_a_repository_that_is_never_signed_anew_is_frozen(
    site: Served, key: PrivateKey, model: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Past(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) - timedelta(days=31)

    with monkeypatch.context() as patched:
        patched.setattr(publication, "datetime", Past)
        publish(model(), site.folder, key)
    board = client(site, tmp_path / "board", key)
    refused(board, "expired")
    assert refresh(site.folder, key) > datetime.now(UTC)
    assert board.published().offers


def test_metadata_of_two_states_does_not_mix(
    site: Served, key: PrivateKey, model: Callable[..., Path], tmp_path: Path
) -> None:
    publish(model(), site.folder, key)
    publish(model("two"), site.folder, key)
    metadata = site.folder / "metadata"
    right = (metadata / "2.targets.json").read_bytes()
    shutil.copy(metadata / "1.targets.json", metadata / "2.targets.json")
    refused(client(site, tmp_path / "board", key), "rollback|mixed")
    (metadata / "2.targets.json").write_bytes(right)
    shutil.copy(metadata / "1.snapshot.json", metadata / "2.snapshot.json")
    refused(client(site, tmp_path / "another board", key), "rollback|mixed")


def test_data_without_end_is_cut(site: Served, key: PrivateKey, model: Callable[..., Path], tmp_path: Path) -> None:
    offer = publish(model(), site.folder, key).offer
    board = client(site, tmp_path / "board", key)
    sent = 0

    def endless(handler: Any) -> None:
        nonlocal sent
        handler.send_response(200)
        handler.end_headers()
        try:
            while sent < 1 << 30:
                sent += handler.wfile.write(bytes(1 << 16))
        except OSError:
            pass

    for path in ("/metadata/1.root.json", "/metadata/timestamp.json", "/metadata/1.snapshot.json"):
        site.lies = {path: endless}
        refused(client(site, tmp_path / path.replace("/", "-"), key), "more bytes")
    (target,) = (site.folder / "targets").rglob("*.tflite")
    site.lies = {}
    board.published()
    site.lies = {f"/{target.relative_to(site.folder)}": endless}
    with pytest.raises(UpdateError, match="more bytes"):
        board.fetch(offer, tmp_path / "got.tflite")
    assert not (tmp_path / "got.tflite").exists()
    assert sent < 64 << 20


def test_keys_that_are_not_the_vendors_are_refused(
    site: Served, key: PrivateKey, model: Callable[..., Path], tmp_path: Path
) -> None:
    publish(model(), site.folder, key)
    thief = new_key(tmp_path / "thief")
    refused(client(site, tmp_path / "board", thief), "--key")
    for name in ("timestamp.json", "1.root.json", "1.targets.json", "1.snapshot.json"):
        stolen = tmp_path / f"stolen-{name}"
        shutil.copytree(site.folder, stolen)
        changed = json.loads((stolen / "metadata" / name).read_text())
        changed["signed"]["x-changed"] = True
        (stolen / "metadata" / name).write_text(json.dumps(changed))
        served = Served(stolen)
        try:
            refused(client(served, tmp_path / f"board-{name}", key), "signed|--key|mixed")
        finally:
            served.close()


def test_a_repository_of_another_key_under_the_same_address_is_refused(
    site: Served, key: PrivateKey, model: Callable[..., Path], tmp_path: Path
) -> None:
    publish(model(), site.folder, key)
    board = client(site, tmp_path / "board", key)
    board.published()
    shutil.rmtree(site.folder / "metadata")
    thief = new_key(tmp_path / "thief")
    publish(signed_model(tmp_path / "thief.tflite", thief), site.folder, thief)
    refused(board, "signed")


def test_another_file_in_the_place_of_a_model_is_refused(
    site: Served, key: PrivateKey, model: Callable[..., Path], tmp_path: Path
) -> None:
    offer = publish(model(), site.folder, key).offer
    board = client(site, tmp_path / "board", key)
    board.published()
    (target,) = (site.folder / "targets").rglob("*.tflite")
    data = bytearray(target.read_bytes())
    data[1000] ^= 1
    target.write_bytes(data)
    with pytest.raises(UpdateError, match="not the one"):
        board.fetch(offer, tmp_path / "got.tflite")
    assert not (tmp_path / "got.tflite").exists()


@pytest.mark.parametrize("name", ["timestamp.json", "1.root.json", "1.snapshot.json", "1.targets.json"])
@pytest.mark.parametrize("content", [b"", b"null", b"[]", b"{", b'{"signed": {}, "signatures": []}', b"\xff" * 99])
def test_whatever_is_sent_is_one_line_and_changes_nothing(
    site: Served, key: PrivateKey, model: Callable[..., Path], tmp_path: Path, name: str, content: bytes
) -> None:
    publish(model(), site.folder, key)
    (site.folder / "metadata" / name).write_bytes(content)
    with pytest.raises(EdgeError) as caught:
        client(site, tmp_path / "board", key).published()
    assert isinstance(caught.value, UpdateError)
    assert "\n" not in str(caught.value)


def test_a_server_that_is_away_or_empty_cannot_be_reached(site: Served, key: PrivateKey, tmp_path: Path) -> None:
    with pytest.raises(HostError, match="404"):
        client(site, tmp_path / "board", key).published()
    site.close()
    with pytest.raises(HostError, match="cannot be reached"):
        client(site, tmp_path / "board", key).published()
    with pytest.raises(SettingsError, match="http"):
        UpdateClient("ftp://x/y", tmp_path, key.public_key)


def test_a_new_key_takes_over_for_boards_that_trust_the_old_one(
    site: Served, key: PrivateKey, model: Callable[..., Path], tmp_path: Path
) -> None:
    publish(model(), site.folder, key)
    board = client(site, tmp_path / "board", key)
    board.published()
    newer = new_key(tmp_path / "newer")
    rotate_key(site.folder, key, newer)
    with pytest.raises(CheckFailedError, match="another key"):
        publish(model("two"), site.folder, key)
    publish(signed_model(tmp_path / "three.tflite", newer, "three"), site.folder, newer)
    for one in (board, client(site, tmp_path / "another board", key)):
        found = one.published()
        assert found.keys == (newer.public_key,)
        assert len(found.offers) == 1


def test_metadata_that_a_power_cut_left_torn_is_fetched_again(
    site: Served, key: PrivateKey, model: Callable[..., Path], tmp_path: Path
) -> None:
    publish(model(), site.folder, key)
    board = client(site, tmp_path / "board", key)
    board.published()
    for path in (tmp_path / "board").rglob("*.json"):
        for content in (b"", path.read_bytes()[:40]):
            path.write_bytes(content)
            assert board.published().offers, path


def test_only_what_the_key_has_signed_is_published(
    site: Served, key: PrivateKey, tmp_path: Path, model: Callable[..., Path]
) -> None:
    with pytest.raises(CheckFailedError, match="not signed"):
        publish(signed_model(tmp_path / "a.tflite", None), site.folder, key)
    with pytest.raises(CheckFailedError, match="another key"):
        publish(signed_model(tmp_path / "b.tflite", new_key(tmp_path / "other")), site.folder, key)
    assert list(site.folder.iterdir()) == []
    for wrong in ({"rollout": 101}, {"rollout": -1}, {"group": "a/b"}, {"days": 0}):
        with pytest.raises(SettingsError):
            publish(model(), site.folder, key, **wrong)
    with pytest.raises(OutputError, match="holds no published"):
        refresh(tmp_path / "nothing", key)


@pytest.mark.parametrize("field", ["sequence", "rollout_hundredths"])
def test_true_is_no_number(field: str) -> None:
    """As a number Python takes it for 1: a rollout to a hundredth of a percent of the boards."""
    custom = Offer("a.tflite", "a" * 64, 1).to_custom()
    assert read_offer("a.tflite", custom) == Offer("a.tflite", "a" * 64, 1)
    assert read_offer("a.tflite", {**custom, field: True}) is None


def test_buckets_are_even_and_another_file_has_others() -> None:
    digests = ("a" * 64, "b" * 64)
    found = [[bucket(f"board-{number}", digest) for number in range(4000)] for digest in digests]
    for one in found:
        assert sum(one) / len(one) == pytest.approx(50, abs=2)
        assert 0 <= min(one) <= max(one) < 100
    both = sum(first < 10 and second < 10 for first, second in zip(*found, strict=True))
    assert both < 80, "a tenth of a tenth, not the same boards again"


def test_the_command_publishes_what_boards_accept(
    command: Callable[..., Any], site: Served, key: PrivateKey, model: Callable[..., Path], tmp_path: Path
) -> None:
    words = ("publish", "--to", site.folder, "--key", tmp_path / "vendor")
    done = command("edge_convert.cli", *words, model(), "--rollout", "10%", "--group", "porch")
    assert done.returncode == 0, done.stderr
    assert "10 % of group porch" in done.stdout
    assert command("edge_convert.cli", *words).returncode == 0
    assert client(site, tmp_path / "board", key).published().offers[0].rollout == 10
    seal = check_seal(tmp_path / "one.tflite")
    assert seal and seal.digest == client(site, tmp_path / "board", key).published().offers[0].digest
    wrong = command("edge_convert.cli", *words, model(), "--rollout", "a lot")
    assert wrong.returncode == 2
    assert "10%" in wrong.stderr

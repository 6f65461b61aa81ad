"""Feature maps survive anything that happens to the process that writes them."""

import errno
import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from edge_core.errors import OutputError
from edge_train.training import feature_cache
from edge_train.training.feature_cache import NAME_BYTES, FeatureCache, row_name

SHAPE = (2, 3)
KEY = {"backbone": "test"}


def names(*numbers: int) -> list[bytes]:
    return [row_name(str(number), "as seen") for number in numbers]


def rows(*numbers: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float16]]:
    return np.stack([np.full(SHAPE, number, np.float16) for number in numbers])


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    with FeatureCache(tmp_path, KEY, SHAPE) as cache:
        cache.append(names(1, 2, 3), rows(1, 2, 3))
        cache.sync()
    return tmp_path


def test_rows_are_found_by_name_in_a_later_run(filled: Path) -> None:
    with FeatureCache(filled, KEY, SHAPE) as cache:
        found = cache.find(names(3, 4, 1))
        assert found.tolist() == [2, -1, 0]
        np.testing.assert_array_equal(cache.read(found[[0, 2]]), rows(3, 1))


def test_another_key_finds_nothing(filled: Path) -> None:
    with FeatureCache(filled, {"backbone": "another"}, SHAPE) as cache:
        assert cache.find(names(1)).tolist() == [-1]


@pytest.mark.parametrize("lost", [1, NAME_BYTES, NAME_BYTES + 1, 2 * NAME_BYTES])
def test_a_cut_index_loses_the_last_names_only(filled: Path, lost: int) -> None:
    index = next(filled.glob("*/index"))
    os.truncate(index, index.stat().st_size - lost)
    left = 3 - -(-lost // NAME_BYTES)
    with FeatureCache(filled, KEY, SHAPE) as cache:
        assert (cache.find(names(1, 2, 3)) >= 0).tolist() == [number < left for number in range(3)]
        cache.append(names(9), rows(9))
        cache.sync()
    with FeatureCache(filled, KEY, SHAPE) as cache:
        np.testing.assert_array_equal(cache.read(cache.find(names(1, 9))), rows(1, 9))


def test_rows_that_never_reached_the_disk_are_not_found(filled: Path) -> None:
    maps = next(filled.glob("*/maps.f16"))
    os.truncate(maps, maps.stat().st_size - 1)
    with FeatureCache(filled, KEY, SHAPE) as cache:
        assert (cache.find(names(1, 2, 3)) >= 0).tolist() == [True, True, False]


def test_a_row_without_its_name_is_overwritten(filled: Path) -> None:
    """As after a kill between the writing of rows and the writing of their names."""
    with FeatureCache(filled, KEY, SHAPE) as cache:
        cache.append(names(4), rows(4))
        cache._unsynced.clear()
    with FeatureCache(filled, KEY, SHAPE) as cache:
        assert cache.find(names(4)).tolist() == [-1]
        cache.append(names(5), rows(5))
        np.testing.assert_array_equal(cache.read(cache.find(names(5))), rows(5))


def test_a_full_disk_is_told_of_and_leaves_no_half_name(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: int, data: bytes) -> None:
        os.write(file, data[: NAME_BYTES + 1])
        raise OSError(errno.ENOSPC, "No space left on device")

    with FeatureCache(filled, KEY, SHAPE) as cache:
        cache.append(names(4, 5), rows(4, 5))
        with monkeypatch.context() as patched:
            patched.setattr(feature_cache, "write_all", full)
            with pytest.raises(OutputError, match="No space left"):
                cache.sync()
        cache.sync()
    with FeatureCache(filled, KEY, SHAPE) as cache:
        np.testing.assert_array_equal(cache.read(cache.find(names(3, 4, 5))), rows(3, 4, 5))


def test_a_second_process_gets_a_cache_of_its_own(filled: Path) -> None:
    with FeatureCache(filled, KEY, SHAPE) as first, FeatureCache(filled, KEY, SHAPE) as second:
        second.append(names(7), rows(7))
        np.testing.assert_array_equal(second.read(second.find(names(7))), rows(7))
        assert first.find(names(7)).tolist() == [-1]
    assert len(list(filled.iterdir())) == 1


def test_what_killed_processes_had_for_themselves_goes_at_the_next_start(filled: Path) -> None:
    (shared,) = filled.iterdir()
    killed = subprocess.Popen(["true"])
    killed.wait()
    left, elsewhere = (shared.with_name(f"{digest}-{killed.pid}") for digest in (shared.name, "0" * 24))
    for folder in (left, elsewhere):
        shutil.copytree(shared, folder)
    with (elsewhere / "lock").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # by a process of another machine, whose disk this is, too
        with FeatureCache(filled, KEY, SHAPE):
            assert not left.exists() and elsewhere.exists()
    with FeatureCache(filled, KEY, SHAPE), FeatureCache(filled, KEY, SHAPE) as own:
        assert own._folder.exists()
        with FeatureCache(filled, {"backbone": "another"}, SHAPE):
            assert own._folder.exists() and not elsewhere.exists()


def test_caches_that_are_open_are_not_removed_to_make_room(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_cache, "LIMIT_BYTES", 0)
    with FeatureCache(filled, KEY, SHAPE) as cache, FeatureCache(filled, {"backbone": "another"}, SHAPE):
        assert cache._folder.exists()
    with FeatureCache(filled, {"backbone": "another"}, SHAPE):
        assert not cache._folder.exists()


@pytest.mark.parametrize("last", ["index", "maps.f16"])
def test_a_cache_that_another_process_removes_meanwhile_is_passed_over(
    filled: Path, monkeypatch: pytest.MonkeyPatch, last: str
) -> None:
    with FeatureCache(filled, {"backbone": "another"}, SHAPE):
        pass
    (other,) = (child for child in filled.iterdir() if (child / "maps.f16").stat().st_size)
    ask = Path.stat

    def stat(path: Path, **options: bool) -> os.stat_result:
        answer = ask(path, **options)
        if path == other / last:
            shutil.rmtree(other)
        return answer

    monkeypatch.setattr(Path, "stat", stat)
    with FeatureCache(filled, {"backbone": "another"}, SHAPE) as cache:
        assert cache.find(names(1)).tolist() == [-1]
    assert not other.exists()

import errno
import os
from pathlib import Path

import pytest

from edge_core.errors import CardError, OutputError
from edge_core.files import folder_written_whole, names_of, require_free, require_writable, written_whole


class Interrupted(BaseException):
    """Ctrl-C, say."""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_there_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "deeper" / "model.tflite"
    with written_whole(path) as beside:
        assert beside.suffix == ".tflite"
        beside.write_text("half")
        assert not path.exists()
        beside.write_text("whole")
    assert path.read_text() == "whole"
    assert names(path.parent) == ["model.tflite"]


def test_a_device_or_a_pipe_stays_as_it_is(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OutputError, match="a device or a pipe"):
        require_writable(pipe)
    with pytest.raises(OutputError, match="a device or a pipe"), written_whole(pipe) as beside:
        beside.write_text("whole")
    assert pipe.is_fifo()


@pytest.mark.parametrize("error", [Interrupted(), CardError("no"), KeyError("bug")])
def test_an_interrupted_file_leaves_what_was_there(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "model.tflite"
    for before in ([], ["model.tflite"]):
        with pytest.raises(type(error)), written_whole(path) as beside:
            beside.write_text("half")
            raise error
        assert names(tmp_path) == before
        path.write_text("old")
    assert path.read_text() == "old"


def test_a_file_that_cannot_be_written_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "file" / "below.txt", tmp_path / "file" / "further" / "below.txt", tmp_path / "folder"):
        with pytest.raises(OutputError, match=str(path)), written_whole(path) as beside:
            beside.write_text("text")
    with pytest.raises(OutputError, match="No space left"), written_whole(tmp_path / "full") as beside:
        os.symlink("/dev/full", beside)
        beside.write_text("text")
    assert names(tmp_path) == ["file", "folder"]


def test_a_folder_is_there_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "flowers"
    with folder_written_whole(path) as beside:
        (beside / "card.json").touch()
        assert not path.exists()
    assert names(path) == ["card.json"]
    assert names(path.parent) == ["flowers"]


@pytest.mark.parametrize("error", [Interrupted(), CardError("no"), KeyError("bug"), OSError(28, "No space left")])
def test_an_interrupted_folder_leaves_what_was_there(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "flowers"
    wanted = OutputError if isinstance(error, OSError) else type(error)
    for before in ([], ["flowers"]):
        with pytest.raises(wanted), folder_written_whole(path, replace=True) as beside:
            (beside / "half").touch()
            raise error
        assert names(tmp_path) == before
        path.mkdir(exist_ok=True)
        (path / "old").touch()
    assert names(path) == ["old"]


def test_a_folder_with_something_in_it_gives_way_only_when_told(tmp_path: Path) -> None:
    path = tmp_path / "flowers"
    path.mkdir()
    with folder_written_whole(path) as beside:
        (beside / "first").touch()
    with pytest.raises(OutputError, match="is there already"), folder_written_whole(path):
        pass
    assert names(path) == ["first"]
    with folder_written_whole(path, replace=True) as beside:
        (beside / "second").touch()
    assert names(path) == ["second"]
    assert names(tmp_path) == ["flowers"]


@pytest.mark.parametrize("replace", [False, True])
def test_a_file_never_gives_way_to_a_folder(tmp_path: Path, replace: bool) -> None:
    path = tmp_path / "flowers"
    path.write_text("mine")
    with pytest.raises(OutputError, match="is there already"), folder_written_whole(path, replace=replace):
        pass
    assert path.read_text() == "mine"
    assert names(tmp_path) == ["flowers"]


def test_a_place_that_cannot_be_written_is_told_of_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        require_free(tmp_path / "file" / "below")
    require_free(tmp_path / "new" / "deeper")


def test_a_full_disk_is_told_in_words_whoever_wrote(tmp_path: Path) -> None:
    told = r"run cannot be written: No space left on device$"
    with pytest.raises(OutputError, match=told), folder_written_whole(tmp_path / "run"):
        raise OSError(errno.ENOSPC, "Can't synchronously write data (file write failed: time = Sun\n, buf = 0x564a")


@pytest.mark.parametrize("length", [255, 256])
def test_a_name_as_long_as_names_may_be_is_written_and_a_longer_one_refused_before_the_work(
    tmp_path: Path, length: int
) -> None:
    path = tmp_path / ("é" * (length // 2) + "x" * (length % 2))
    if length == 256:
        with pytest.raises(OutputError, match="too long"):
            require_writable(path)
        return
    require_writable(path)
    with written_whole(path) as beside:
        beside.write_text("whole")
    path.unlink()
    with folder_written_whole(path) as beside:
        (beside / "a").write_text("whole")
    assert path.is_dir()


def test_a_link_in_a_circle_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "circle").symlink_to("circle")
    with pytest.raises(OutputError, match="circle cannot be written"):
        require_free(tmp_path / "circle")


def test_a_file_is_not_put_where_a_folder_is(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is a folder; name the file"):
        require_writable(tmp_path)
    require_writable(tmp_path, folder=True)
    require_writable(tmp_path / "new.tflite")
    assert names(tmp_path) == []


@pytest.mark.parametrize("place", ["/proc/model.tflite", "/sys/deeper/model.tflite", "/dev/null/model.tflite"])
def test_a_place_where_only_trying_tells_is_refused_even_to_root(place: str) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        require_writable(Path(place))


def test_an_empty_folder_is_free_for_a_folder_and_not_for_a_file(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    require_free(tmp_path / "empty")
    with pytest.raises(OutputError, match="there already"):
        require_free(tmp_path / "empty", folder=False)


def test_files_of_one_name_are_told_apart_by_their_paths() -> None:
    assert names_of([Path("a/int8.tflite"), Path("a/float.tflite")]) == ["int8.tflite", "float.tflite"]
    assert names_of([Path("a/int8.tflite"), Path("b/int8.tflite")]) == ["a/int8.tflite", "b/int8.tflite"]

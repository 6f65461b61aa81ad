"""What needs no sshd of measuring over SSH."""

import json
import select
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_bench.cli.run_command import _folders
from edge_bench.remote import Setup
from edge_bench.remote import remote_agent as far_end
from edge_bench.remote.connection import SshAddress
from edge_bench.remote.install import explain, read_wheels
from edge_bench.remote.wheel import installed_wheel
from edge_core.errors import HostError

from ...programs import Started


@pytest.mark.parametrize(
    "text", ["", "@board", "pi@", "board:", "board:0", "board:65536", "-oProxyCommand=x", "a b", "a@-b", "a@b@c"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(HostError, match="is no board"):
        SshAddress.parse(text)


@pytest.mark.parametrize("text", ["board", "pi@raspberrypi.local", "pi@10.0.0.7:2222", "me@[fe80::1%eth0]:22", "[::1]"])
def test_an_address_is_written_as_it_is_read(text: str) -> None:
    assert str(SshAddress.parse(text)) == text


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--host", "-oProxyCommand=x"], "'-oProxyCommand=x' is no board"),
        (["--host", "pi@a", "--host", "pi@a"], "a board is given twice"),
        (["--host", "pi@a", "--ask-password"], "there is no terminal to ask on"),
        (["--host", "pi@a", "--power-csv", "x.csv"], "a log of power is of one machine"),
        (["--host", "pi@a", "--wheels", "/no/such"], "/no/such holds no wheels"),
        (["--host", "pi@a", "--wheel", "/no/such.whl"], "/no/such.whl cannot be read"),
    ],
)
def test_options_that_cannot_be_followed_are_refused_before_anything_is_connected(
    command: Callable[..., subprocess.CompletedProcess[str]],
    tiny_model: Callable[..., Path],
    tmp_path: Path,
    options: list[str],
    said: str,
) -> None:
    done = command("edge_bench.cli", "run", tiny_model(), *options, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert said in done.stderr
    assert not (tmp_path / "out").exists()


@given(st.text(alphabet="ab@:[]-.%0159 \n\0é", max_size=30))
def test_an_address_is_read_or_refused(text: str) -> None:
    try:
        address = SshAddress.parse(text)
    except HostError:
        return
    assert SshAddress.parse(str(address)) == address
    assert not address.name.startswith("-") and not (address.user or "").startswith("-")


def test_the_wheel_for_a_board_is_the_same_every_time_and_installs(tmp_path: Path) -> None:
    name, data = installed_wheel()
    assert installed_wheel() == (name, data)
    (tmp_path / name).write_bytes(data)
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--target",
        str(tmp_path / "site"),
    ]
    subprocess.run([*pip, str(tmp_path / name)], check=True, capture_output=True)
    assert (tmp_path / "site" / "edge_bench" / "remote" / "remote_agent.py").is_file()
    built = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    packages = {Path(package).name for package in built["targets"]["wheel"]["packages"]}
    assert packages <= {path.name for path in (tmp_path / "site").iterdir()}
    assert (tmp_path / "site" / "bin" / "edge-bench").is_file()


def test_wheels_that_are_not_there_are_told_before_anything_is_connected(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="holds no wheels"):
        read_wheels(Setup(wheels=tmp_path))
    with pytest.raises(HostError, match=r"no\.whl cannot be read: No such file"):
        read_wheels(Setup(wheel=tmp_path / "no.whl"))


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (
            ["Collecting x", "ERROR: Could not install: [Errno 28] No space left on device", ""],
            "No space left.*; free some",
        ),
        (["Traceback", "ImportError: libGL.so.1: cannot open shared object file"], "libGL.*apt install libgl1"),
        (["something else", "ERROR: of a kind"], "^of a kind$"),
        ([], "without a word"),
    ],
)
def test_what_an_installation_failed_of_is_one_line(lines: list[str], said: str) -> None:
    with pytest.raises(HostError, match=said):
        raise HostError(explain(lines))


PATIENCE_S = 3.0
"""Seconds of silence after which the far end gives up here: more than any process is kept waiting."""


@pytest.fixture
def running(tmp_path: Path) -> subprocess.Popen[bytes]:
    """The far end, impatient, with a folder of its own below `tmp_path`."""
    program = Path(far_end.__file__).read_text().replace("PATIENCE_S = 90.0", f"PATIENCE_S = {PATIENCE_S}")
    return Started(
        [sys.executable, "-c", program],
        env={"TMPDIR": str(tmp_path), "PATH": "/usr/bin:/bin"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def test_a_board_that_hears_nothing_any_more_cleans_up(running: subprocess.Popen[bytes], tmp_path: Path) -> None:
    with running:
        assert running.stdin and running.stdout
        folder = Path(json.loads(running.stdout.readline())["folder"])
        assert list(tmp_path.iterdir()) == [folder]
        running.stdin.write(b'{"do": "start", "id": 1, "argv": ["sleep", "1000"], "log": false}\n')
        running.stdin.flush()
        end_s = time.monotonic() + 1.5 * PATIENCE_S
        while time.monotonic() < end_s:
            time.sleep(0.1)
            running.stdin.write(b'{"do": "beat"}\n')
            running.stdin.flush()
        assert running.poll() is None and folder.is_dir()
        assert select.select([running.stdout], [], [], 120)[0]
        assert running.stdout.read() == b""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("sent", [b"no json\n", b"{}\n", b'{"do": "put", "id": 1, "path": "x", "size": 9}\nab'])
def test_a_board_that_hears_nonsense_cleans_up(running: subprocess.Popen[bytes], tmp_path: Path, sent: bytes) -> None:
    running.communicate(sent, timeout=120)
    assert list(tmp_path.iterdir()) == []


def test_each_board_has_a_folder_of_its_own(tmp_path: Path) -> None:
    boards = ["pi@a:22", "pi@a-22", "pi@a-22-", "pi@b"]
    folders = _folders(tmp_path, boards)
    assert list(folders) == boards and len(set(folders.values())) == len(boards)
    assert folders["pi@b"] == tmp_path / "pi@b"

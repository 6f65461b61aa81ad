"""A real sshd on loopback, and a clean account that is made for these tests and removed after them."""

import base64
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from tempfile import mkdtemp

import cv2
import numpy as np
import pytest
from packaging.requirements import Requirement

from edge_bench.backends.contenders import RowSpec
from edge_bench.remote import RemoteHost, Setup, connection, install, run_on_hosts
from edge_bench.remote.connection import SshAddress
from edge_bench.remote.remote_board import RemoteBoard
from edge_bench.remote.wheel import installed_wheel, pack
from edge_bench.results.report import BenchSettings
from edge_core import Frame, InputSpec
from edge_core.errors import HostError, ModelFormatError

from ...doubles import free_port
from ...programs import Started, needs, program

pytest.importorskip("asyncssh", reason="asyncssh is not installed: pip install 'edge-mobilenet[ssh]'")

SSHD = program("sshd")
USER = f"edge-bench-{os.getpid()}"
PASSWORD = "only for this test"
LABELS, INPUT = ("red", "green", "blue", "dark"), InputSpec(width=32, height=32)  # of the tiny model
INDEX = "EDGE_TEST_INDEX"
"""Set it to install from the package index, as a board would, not from wheels made of what is installed here."""

pytestmark = [
    needs("sshd"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a clean account"),
]


@dataclass
class Sshd:
    """An sshd of ours with one account behind it.

    Attributes:
        folder: everything of it, readable by the account.
        home: of the account.
        temporary: where the account's temporary files go.
        client: the home folder of whoever connects: keys and known_hosts.
        port: of the one that runs now.
    """

    folder: Path
    home: Path
    temporary: Path
    client: Path
    port: int = 0
    uid: int = 0

    @property
    def address(self) -> str:
        return f"{USER}@127.0.0.1:{self.port}"

    @contextmanager
    def running(self, **environment: str) -> Iterator["Sshd"]:
        """Runs with these variables in every session's environment."""
        self.port = free_port()
        environment = {"TMPDIR": str(self.temporary)} | environment
        settings = [
            f"Port {self.port}",
            "ListenAddress 127.0.0.1",
            f"HostKey {self.folder}/host",
            f"PidFile {self.folder}/pid",
            f"AuthorizedKeysFile {self.folder}/authorized",
            "UsePAM no",
            "StrictModes no",
            "SetEnv " + " ".join(f'"{name}={value}"' for name, value in environment.items()),
        ]
        (self.folder / "config").write_text("\n".join(settings) + "\n")
        known = (self.folder / "host.pub").read_text().split()[:2]
        (self.client / ".ssh" / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {' '.join(known)}\n")
        process = subprocess.Popen(
            [str(SSHD), "-D", "-f", str(self.folder / "config")],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            process_group=0,
        )
        try:
            wait_until(lambda: listens(self.port))
            yield self
        finally:
            process.terminate()
            process.wait()

    def left(self) -> list[str]:
        """What the account has: files but those that a new account is given, and processes."""
        places = [self.home, self.temporary, Path("/tmp"), Path("/var/tmp"), Path("/dev/shm")]
        files = [path for place in places if place.is_dir() for path in place.iterdir()]
        found = [str(path) for path in files if self._owns(path) and path != self.kept]
        return found + [f"{pid}: {name}" for pid, name in self.processes().items() if "sshd" not in name]

    def _owns(self, path: Path) -> bool:
        try:
            return path.lstat().st_uid == self.uid
        except FileNotFoundError:
            return False  # other tests put files into the system's temporary folder, too, and remove them

    @property
    def kept(self) -> Path:
        """Where `keep_env` keeps environments."""
        return self.home / ".cache"

    def processes(self) -> dict[int, str]:
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if folder.stat().st_uid == self.uid and (folder / "cmdline").read_bytes():  # a zombie has none
                    found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue  # it has ended meanwhile
        return found


@pytest.fixture(scope="module")
def account() -> Iterator[Sshd]:
    folder = Path(mkdtemp(prefix="edge-sshd-"))
    folder.chmod(0o755)
    made = Sshd(folder, folder / "home", folder / "tmp", folder / "client")
    (made.client / ".ssh").mkdir(parents=True)
    for name in ("host", "client/.ssh/id_ed25519", "other"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    shutil.copy(made.client / ".ssh" / "id_ed25519.pub", folder / "authorized")
    Path("/run/sshd").mkdir(exist_ok=True)
    empty = folder / "skel"
    empty.mkdir()
    useradd = ["useradd", "--create-home", "--skel", str(empty), "--home-dir", str(made.home), "--shell", "/bin/sh"]
    subprocess.run([*useradd, USER], check=True, capture_output=True)
    try:
        subprocess.run(["chpasswd"], input=f"{USER}:{PASSWORD}\n", text=True, check=True)
        made.uid = pwd.getpwnam(USER).pw_uid
        made.temporary.mkdir()
        os.chown(made.temporary, made.uid, -1)
        yield made
    finally:
        subprocess.run(["userdel", "--remove", USER], check=False, capture_output=True)
        shutil.rmtree(folder)


@pytest.fixture
def sshd(account: Sshd, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sshd]:
    monkeypatch.setenv("HOME", str(account.client))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    assert account.left() == []
    with account.running():
        yield account


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_until(holds: Callable[[], bool], seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "it does not come true"
        time.sleep(0.02)


def opened(address: str, password: str | None = None) -> RemoteBoard:
    return RemoteBoard(SshAddress.parse(address), password)


def refused(board: RemoteBoard) -> str:
    with pytest.raises(HostError) as caught, board:
        pass
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_programs_run_on_a_board_and_nothing_is_left_of_them(sshd: Sshd) -> None:
    with opened(sshd.address) as board:
        folder = Path(board.about["folder"])
        assert folder.stat().st_mode & 0o777 == 0o700 and folder.stat().st_uid == sshd.uid
        path = Path(board.put("some/data.bin", bytes(range(256)) * 5000))
        assert path.read_bytes() == bytes(range(256)) * 5000
        assert board.check_output(["pwd"]) == str(folder)
        status, lines = board.run(["sh", "-c", "echo one; echo two >&2; exit 3"])
        assert (status, sorted(lines)) == (3, ["one", "two"])
        assert board.run(["no-such-program"])[0] == 127
        with pytest.raises(HostError, match="Is a directory"):
            board.put("some", b"")
        board.start(["sh", "-c", "trap '' HUP TERM; sleep 1000 & sleep 1000"], log=False)
        wait_until(lambda: sum("sleep" in name for name in sshd.processes().values()) >= 2)
    assert sshd.left() == []


def test_an_unknown_host_is_refused_and_stays_unknown(sshd: Sshd) -> None:
    known = sshd.client / ".ssh" / "known_hosts"
    known.unlink()
    message = refused(opened(sshd.address))
    assert "offers the key ssh-ed25519 SHA256:" in message and f"`ssh -p {sshd.port} 127.0.0.1`" in message
    assert not known.exists()


def test_another_host_key_than_the_known_one_is_refused(sshd: Sshd) -> None:
    other = (sshd.folder / "other.pub").read_text().split()[:2]
    (sshd.client / ".ssh" / "known_hosts").write_text(f"[127.0.0.1]:{sshd.port} {' '.join(other)}\n")
    assert "known_hosts has another key for it" in refused(opened(sshd.address))


@pytest.mark.parametrize(
    "setting", ["UserKnownHostsFile none", "UserKnownHostsFile /dev/null", "UserKnownHostsFile /no/such /nor/this"]
)
def test_no_configuration_turns_the_check_of_host_keys_off(sshd: Sshd, setting: str) -> None:
    config = sshd.client / ".ssh" / "config"
    config.write_text(f"StrictHostKeyChecking no\n{setting}\n")
    try:
        assert "known_hosts" in refused(opened(sshd.address)).lower().replace("userknownhosts", "known_hosts")
    finally:
        config.unlink()


def test_a_board_goes_by_the_name_that_the_configuration_gives_it(sshd: Sshd) -> None:
    config = sshd.client / ".ssh" / "config"
    config.write_text(
        f"UserKnownHostsFile /no/such ~/.ssh/known_hosts\nHost shed\n  HostName 127.0.0.1\n  Port {sshd.port}\n  User "
        f"{USER}\n"
    )
    try:
        with opened("shed") as board:
            assert board.check_output(["id", "-un"]) == USER
    finally:
        config.unlink()


def test_a_wrong_key_and_a_wrong_password_are_told_apart(sshd: Sshd) -> None:
    key, put_aside = sshd.client / ".ssh" / "id_ed25519", sshd.client / "aside"
    key.rename(put_aside)
    try:
        assert "takes none of your keys" in refused(opened(sshd.address))
        assert "takes neither your keys nor the password" in refused(opened(sshd.address, "wrong"))
        with opened(sshd.address, PASSWORD) as board:
            assert board.about["venv"]
    finally:
        put_aside.rename(key)


def test_a_board_that_is_not_there_is_told_in_one_line(sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        port = deaf.getsockname()[1]
        assert "Connect" in refused(opened(f"127.0.0.1:{port}"))
        deaf.listen()
        monkeypatch.setattr(connection, "LOGIN_S", 0.3)
        assert "Login timeout expired" in refused(opened(f"127.0.0.1:{port}"))
    assert "cannot be reached" in refused(opened("no-such-board.invalid"))


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (None, "it has no python3"),
        (
            """exec /usr/bin/python3 -c 'import sys; sys.version_info = (3, 9, 2); exec(sys.argv[1])' "$2" """,
            "it has Python 3.9; 3.11 or newer",
        ),
        ("echo 'Segmentation fault' >&2; exit 139", "Segmentation fault"),
        ("exit 4", "stopped with status 4"),
    ],
)
def test_a_board_without_a_python_that_fits_says_so(account: Sshd, sshd: Sshd, script: str | None, said: str) -> None:
    programs = account.folder / "bin"
    programs.mkdir(exist_ok=True)
    python = programs / "python3"
    python.unlink(missing_ok=True)
    if script:
        python.write_text(f"#!/bin/sh\n{script}\n")
        python.chmod(0o755)
    with account.running(PATH=str(programs)):
        assert said in refused(opened(account.address))
    assert account.left() == []


def test_a_greeting_of_the_shell_is_no_reply(account: Sshd, sshd: Sshd) -> None:
    programs = account.folder / "bin"
    programs.mkdir(exist_ok=True)
    (programs / "python3").write_text('#!/bin/sh\necho "Welcome!"; echo \'{"id": 1}\'; exec /usr/bin/python3 "$@"\n')
    (programs / "python3").chmod(0o755)
    with account.running(PATH=f"{programs}:/usr/bin:/bin"), opened(account.address) as board:
        assert board.check_output(["echo", "hello"]) == "hello"


def test_a_connection_that_breaks_half_way_is_one_line_and_the_board_cleans_up_alone(sshd: Sshd) -> None:
    with opened(sshd.address) as board, pytest.raises(HostError, match="the connection broke off") as caught:
        board.start(["sleep", "1000"], log=False)
        wait_until(lambda: any("sleep" in name for name in sshd.processes().values()))
        for pid, name in sshd.processes().items():
            if name.startswith("sshd"):
                os.kill(pid, signal.SIGKILL)
        board.run(["sleep", "1000"])
    assert "\n" not in str(caught.value)
    wait_until(lambda: sshd.left() == [])


def python(program: str) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return Started([sys.executable, "-c", program], env=environment, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_ctrl_c_ends_the_work_on_all_boards(sshd: Sshd, tiny_model: Callable[..., Path], tmp_path: Path) -> None:
    known = sshd.client / ".ssh" / "known_hosts"
    known.write_text(known.read_text().replace("[127.0.0.1]", "[localhost],[127.0.0.1]"))
    boards = ["--host", sshd.address, "--host", sshd.address.replace("127.0.0.1", "localhost")]
    arguments = ["run", str(tiny_model()), *boards, "--out", str(tmp_path / "out")]
    with python(f"from edge_bench.cli import app; app({arguments!r})") as process:
        wait_until(lambda: sum("venv" in name for name in sshd.processes().values()) >= 2)
        process.send_signal(signal.SIGINT)
        errors = process.communicate(timeout=120)[1]
    assert process.returncode == 130
    assert errors.splitlines()[-1] == "interrupted" and "Traceback" not in errors
    wait_until(lambda: sshd.left() == [])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_ending_the_command_here_ends_everything_there(sshd: Sshd, number: signal.Signals) -> None:
    program = f"""
import signal, sys
from edge_bench.remote.remote_board import RemoteBoard
from edge_bench.remote.connection import SshAddress
from edge_device.command_line.console import one_line_errors
with one_line_errors(), RemoteBoard(SshAddress.parse({sshd.address!r})) as board:
    board.run(["sh", "-c", "trap '' INT TERM HUP; sleep 1000"])
"""
    with python(program) as process:
        wait_until(lambda: any("sleep" in name for name in sshd.processes().values()))
        process.send_signal(number)
        errors = process.communicate(timeout=120)[1]
    assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}[number]
    assert "Traceback" not in errors
    wait_until(lambda: sshd.left() == [])


@contextmanager
def small_disk(sshd: Sshd, megabytes: int) -> Iterator[None]:
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,uid={sshd.uid}", "tmpfs", str(sshd.temporary)]
    if shutil.which("mount") is None or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", str(sshd.temporary)], check=True)


def test_a_full_disk_is_told_before_and_during_the_work(sshd: Sshd) -> None:
    with small_disk(sshd, 3):
        with (
            pytest.raises(HostError, match=r"has [23] MB free in .*, and installing takes 550 MB"),
            RemoteHost(sshd.address),
        ):
            pass
        with opened(sshd.address) as board:
            with pytest.raises(
                HostError, match=r"big\.npy of 4\.0 MB cannot be written to .*: No space left on device"
            ):
                board.put("big.npy", bytes(4_000_000))
            assert board.check_output(["echo", "still there"]) == "still there"
        assert list(sshd.temporary.iterdir()) == []


def test_a_board_that_cannot_make_a_venv_is_told_what_to_install(account: Sshd, sshd: Sshd) -> None:
    programs = account.folder / "bin"
    programs.mkdir(exist_ok=True)
    lacking = "import importlib.util, sys; importlib.util.find_spec = lambda name: None; exec(sys.argv[1])"
    (programs / "python3").write_text(f"#!/bin/sh\nexec /usr/bin/python3 -c '{lacking}' \"$2\"\n")
    (programs / "python3").chmod(0o755)
    with account.running(PATH=str(programs)), pytest.raises(HostError, match="apt install python3-venv"):
        RemoteHost(account.address).__enter__()
    assert account.left() == []


def test_a_board_without_internet_is_told_of_wheels(account: Sshd, sshd: Sshd) -> None:
    nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "0", "PIP_CONFIG_FILE": "/dev/null"}
    with account.running(**nowhere), pytest.raises(HostError, match="--wheels FOLDER") as caught:
        RemoteHost(account.address).__enter__()
    assert "\n" not in str(caught.value)
    assert account.left() == []


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wheels of what the product requires on a board, packed from what is installed here."""
    program = "import sys; print(sys.version_info[:2])"
    there = subprocess.run(["/usr/bin/python3", "-c", program], check=False, capture_output=True, text=True)
    if there.stdout.strip() != str(sys.version_info[:2]):
        pytest.skip("the account's Python is of another version than this one: no wheels for it")
    folder = tmp_path_factory.mktemp("wheels")
    waiting, done = ["edge-mobilenet"], set[str]()
    while waiting:
        name = waiting.pop()
        installed = metadata.distribution(name)
        if name in done:
            continue
        done.add(name)
        needed = [Requirement(line) for line in installed.requires or []]
        waiting += [one.name for one in needed if not one.marker or one.marker.evaluate({"extra": ""})]
        if name != "edge-mobilenet":
            repack(installed, folder)
    return folder


def repack(installed: metadata.Distribution, folder: Path) -> None:
    files = {
        str(file): Path(str(file.locate())).read_bytes()
        for file in installed.files or []
        if ".." not in file.parts and "__pycache__" not in file.parts and file.name not in ("RECORD", "INSTALLER")
    }
    information = next(name.split("/")[0] for name in files if ".dist-info/" in name)
    tags = re.findall(r"^Tag: (\S+)-(\S+)-(\S+)$", files[f"{information}/WHEEL"].decode(), re.MULTILINE)
    python, abi, platform = (".".join(dict.fromkeys(parts)) for parts in zip(*tags, strict=True))
    name = f"{information.removesuffix('.dist-info')}-{python}-{abi}-{platform}.whl"
    (folder / name).write_bytes(pack(files, f"{information}/RECORD", zipfile.ZIP_STORED))


def ask_all(sshd: Sshd, setup: Setup, model: Path, folder: Path) -> None:
    """Asks a worker there all that the benchmark does."""
    frame, pixels = (str(folder / f"{name}.npy") for name in ("frame", "pixels"))
    np.save(frame, np.zeros((90, 160, 3), np.uint8))
    np.save(pixels, np.full((32, 32, 3), (250, 10, 20), np.uint8))
    candidate = RowSpec("tiny", model, "auto", INPUT, LABELS, threads=1, delegate="xnnpack")
    with RemoteHost(sshd.address, setup) as host, host.worker(model) as worker, host.worker(model) as second:
        for one in (worker, second):
            reply = one.ask("open", **candidate.to_json(), frame=frame)
            assert reply["runtime"].startswith("ai-edge-litert ") and reply["first_ms"] > 0
        for one in (worker, second, worker):
            assert len(one.ask("burst", frames=[frame], seconds=0.01)["invoke_ms"]) >= 1
        assert second.ask("environment")["environment"]["packages"].keys() >= {"edge-mobilenet", "ai-edge-litert"}
        scores = np.frombuffer(base64.b64decode(second.ask("classify", pixels=[pixels])["scores"]), "<f4")
        assert LABELS[scores.argmax()] == "red"
        with pytest.raises(ModelFormatError, match=f"on {re.escape(sshd.address)}: "):
            worker.ask("classify", pixels=["/no/such.npy"])
        os.kill(
            next(pid for pid, name in sshd.processes().items() if "edge_bench.measure.bench_worker" in name),
            signal.SIGSEGV,
        )
        with pytest.raises(ModelFormatError, match="crashed with SIGSEGV"):
            for one in (worker, second):
                one.ask("burst", frames=[frame], seconds=0)


def test_models_are_measured_on_boards_with_an_environment_that_is_kept(
    sshd: Sshd,
    wheels: Path,
    tiny_model: Callable[..., Path],
    color_frames: dict[str, Frame],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name, wheel = installed_wheel()
    (tmp_path / name).write_bytes(wheel)  # the environment is kept for this very wheel
    kept = Setup(tmp_path / name, wheels, keep_env=True)
    try:
        ask_all(sshd, kept, tiny_model(), tmp_path)
        assert sshd.left() == []
        monkeypatch.setattr(install, "_make_venv", None)  # it is there already
        for label, frame in color_frames.items():
            (tmp_path / "photos" / label).mkdir(parents=True)
            cv2.imwrite(str(tmp_path / "photos" / label / "1.png"), frame)
        models = [tiny_model("uint8"), tiny_model("float32")]
        twice = [sshd.address, sshd.address.replace("127.0.0.1", "localhost"), "nobody@127.0.0.1:1"]
        known = sshd.client / ".ssh" / "known_hosts"
        known.write_text(known.read_text().replace("[127.0.0.1]", "[localhost],[127.0.0.1]"))
        settings = BenchSettings(frame_size=(160, 120), seconds=0.05, cold_starts=1)
        hosts = [RemoteHost(name, kept) for name in twice]
        results = run_on_hosts(models, hosts, settings=settings, data=tmp_path / "photos")
        assert sshd.left() == []
    finally:
        shutil.rmtree(sshd.kept, ignore_errors=True)
    for result in results[:2]:
        assert result.benchmark and not result.error
        rows = result.benchmark.report.rows
        assert [row.name for row in rows] == [f"tiny-uint8, {result.host}", f"tiny-float32, {result.host}"]
        assert all(row.accuracy.top1.value == 1 and row.runtime.startswith("ai-edge-litert ") for row in rows)
        assert result.benchmark.report.environment.python == sshd_python()
    assert results[2].benchmark is None and "nobody@127.0.0.1:1 cannot be reached" in str(results[2].error)


def sshd_python() -> str:
    program = "import platform; print(platform.python_version())"
    return subprocess.run(
        ["/usr/bin/python3", "-c", program], check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.mark.skipif(INDEX not in os.environ, reason=f"a minute: set {INDEX}=1 for it")
def test_a_clean_account_installs_from_the_index_and_nothing_is_left(
    sshd: Sshd, tiny_model: Callable[..., Path], tmp_path: Path
) -> None:
    ask_all(sshd, Setup(), tiny_model(), tmp_path)
    assert sshd.left() == [] and list(sshd.home.iterdir()) == []

"""`edge-run live` as a systemd service: the unit, what is done to install it, and what is told to systemd meanwhile."""

import os
import shlex
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import typer.testing
from hypothesis import given
from hypothesis import strategies as st

from edge_core.errors import CheckFailedError, ModelFormatError, OutputError, SettingsError
from edge_device.cli import service_command
from edge_device.live.configuration.service_config import service_config
from edge_device.sinks.mqtt.broker import Broker, parse_broker
from edge_device.sinks.mqtt.publisher import Mqtt
from edge_device.system import unit_file as service
from edge_device.system.installed_unit import unquoted
from edge_device.system.systemd import ServiceManager

from ...programs import needs

TinyModel = Callable[..., Path]
Command = Callable[..., subprocess.CompletedProcess[str]]

arguments = st.binary(max_size=30).map(lambda raw: os.fsdecode(raw.replace(b"\0", b""))) | st.sampled_from(
    [
        "",
        ";",
        "$HOME",
        "${HOME}",
        "%n",
        "%",
        '"',
        "'",
        "\\",
        "\\x41",
        "a b",
        "\n",
        "-",
        "@x",
        "ä",
        "\t",
        "#",
        "$$",
        "%%",
    ]
)


def as_systemd_reads(line: str) -> list[str]:
    """Words of a command line as systemd.service(5) and systemd.syntax(7) define them; no variable is set."""
    words: list[bytearray] = []
    quote = ""
    inside = False
    position = 0
    while position < len(line):
        character = line[position]
        position += 1
        if not quote and character in " \t\n":
            inside = False
            continue
        if not inside:
            words.append(bytearray())
            inside = True
        if not quote and character in "\"'":
            quote = character
        elif character == quote:
            quote = ""
        elif character == "\\":
            escape = line[position]
            position += 1
            if escape == "x":
                words[-1].append(int(line[position : position + 2], 16))
                position += 2
            else:
                words[-1] += {"n": b"\n", "t": b"\t"}.get(escape, escape.encode())
        else:
            words[-1] += character.encode()
    assert not quote
    return [_replaced(bytes(word)) for word in words]


def _replaced(word: bytes) -> str:
    for sign in b"%$":
        parts = word.split(bytes([sign, sign]))
        assert not any(bytes([sign]) in part for part in parts), f"{word!r} would be replaced"
        word = bytes([sign]).join(parts)
    return os.fsdecode(word)


@given(st.lists(arguments, max_size=5))
def test_any_argument_survives_the_unit(words: list[str]) -> None:
    line = " ".join(service.quoted(word) for word in words)
    assert line.isascii()
    assert line.isprintable()
    assert as_systemd_reads(line) == words


def test_a_lone_semicolon_does_not_end_the_command() -> None:
    assert service.quoted(";") == '";"'


def test_the_unit_runs_live_on_the_copy_of_the_model(tiny_model: TinyModel) -> None:
    plan = service.plan(tiny_model(), ["--source", "0"], name="kitchen")
    assert (plan.name, plan.unit_path.name) == ("edge-run-kitchen", "edge-run-kitchen.service")
    assert plan.model_path == Path("/var/lib/edge-mobilenet/edge-run-kitchen/model.tflite")
    command = next(line for line in plan.unit.splitlines() if line.startswith("ExecStart="))
    words = as_systemd_reads(command.removeprefix("ExecStart="))
    assert words[0] == sys.executable
    assert words[words.index("edge_device") :] == ["edge_device", "live", str(plan.model_path), "--source", "0"]
    assert "StateDirectory=edge-run-kitchen\n" in plan.unit


@needs("systemd-analyze")
def test_systemd_finds_nothing_to_complain_of_and_little_that_is_exposed(tiny_model: TinyModel, tmp_path: Path) -> None:
    hostile = ["--source", 'a "b" $HOME %n \\ ; \n ä', "--top", "3", "", ";", "%"]
    path = tmp_path / "edge-run.service"
    path.write_text(service.plan(tiny_model(), hostile).unit)
    verified = subprocess.run(["systemd-analyze", "verify", path], capture_output=True, text=True, check=False)
    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")
    judge = ["systemd-analyze", "security", "--offline=true", "--threshold=20", str(path)]  # of 100; a bare unit has 96
    assert subprocess.run(judge, capture_output=True, check=False).returncode == 0


def test_what_live_reads_is_copied_and_named_anew(tiny_model: TinyModel, tmp_path: Path) -> None:
    key, fallback = tmp_path / "vendor.pub", tmp_path / "other.tflite"
    key.write_text("key")
    fallback.write_text("model")
    plan = service.plan(tiny_model(), ["--key", str(key), f"--fallback={fallback}", "--top", "2"])
    home = Path("/var/lib/edge-mobilenet/edge-run")
    assert plan.copies[1:] == ((key, home / "key.pub"), (fallback, home / "fallback.tflite"))
    assert f"--key {home}/key.pub --fallback={home}/fallback.tflite --top 2\n" in plan.unit


def test_teaching_is_an_obstacle_as_a_service_cannot_write_its_model(tiny_model: TinyModel, tmp_path: Path) -> None:
    assert service.NO_TEACHING in service.plan(tiny_model(), ["--web", "8080", "--teach"]).obstacles
    config = tmp_path / "live.toml"
    config.write_text(f'model = "{tiny_model()}"\nweb = "8080"\nteach = true\n')
    found = service.plan(None, ["--config", str(config)], config=service_config).obstacles
    assert service.NO_TEACHING in found


def test_a_source_that_a_service_does_not_see_is_an_obstacle(tiny_model: TinyModel, tmp_path: Path) -> None:
    video = tmp_path / "film.avi"
    video.write_bytes(b"")
    plan = service.plan(tiny_model(), ["--source", str(video)])
    assert any(str(video) in obstacle for obstacle in plan.obstacles)
    with pytest.raises(CheckFailedError, match=r"film\.avi"):
        service.install(plan)


def test_a_relative_source_is_made_absolute(
    tiny_model: TinyModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "film.avi").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    assert f"--source {tmp_path}/film.avi\n" in service.plan(tiny_model(), ["--source", "film.avi"]).unit


def test_a_password_on_the_command_line_is_warned_of_and_not_repeated(tiny_model: TinyModel) -> None:
    plan = service.plan(tiny_model(), ["--source", "rtsp://admin:hunter2@camera/1"])
    assert len(plan.warnings) == 1
    assert "rtsp://...@camera/1" in plan.warnings[0]
    assert "hunter2" not in plan.warnings[0]


@pytest.mark.parametrize("name", ["Kitchen", "a b", "-a", "a-", "x" * 32, "../x", "é", "a.service", "a\n"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="no name for a service"):
        service.unit_name(name)


def test_a_model_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFormatError):
        service.plan(tmp_path / "absent.tflite")
    (tmp_path / "text.tflite").write_text("404 not found")
    with pytest.raises(ModelFormatError):
        service.plan(tmp_path / "text.tflite")


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A root whose systemctl writes down what it is told, and prints the file `answer`; units and copies go to
    `tmp_path`."""
    script = tmp_path / "bin/systemctl"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\ncat {tmp_path}/answer\n')
    script.chmod(0o755)
    (tmp_path / "answer").write_text("")
    monkeypatch.setenv("PATH", str(script.parent), prepend=os.pathsep)
    monkeypatch.setattr(service, "UNITS", tmp_path / "units")
    monkeypatch.setattr(service, "MODELS", tmp_path / "models")
    monkeypatch.setattr(service, "SECRETS", tmp_path / "secrets")
    monkeypatch.setattr(service, "BOOTED", tmp_path / "bin")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return script


@pytest.fixture
def plan(tiny_model: TinyModel, systemctl: Path) -> service.Plan:
    return replace(service.plan(tiny_model()), obstacles=())


def test_installing_copies_writes_and_starts_and_others_may_read_it(plan: service.Plan, tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        service.install(plan)
    finally:
        os.umask(before)
    assert plan.model_path.read_bytes() == plan.copies[0][0].read_bytes()
    assert plan.unit_path.read_text() == plan.unit
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (plan.unit_path, plan.model_path, plan.model_path.parent)]
    assert modes == [0o644, 0o644, 0o755]
    assert stat.S_IMODE(service.MODELS.stat().st_mode) == 0o755
    assert (tmp_path / "calls").read_text().splitlines() == [
        "daemon-reload",
        "enable --quiet edge-run",
        "restart edge-run",
    ]


def test_installing_again_puts_a_new_file_in_the_old_ones_place(plan: service.Plan) -> None:
    """As `ModelWatcher` needs it: the one that is open stays as it is."""
    service.install(plan)
    with plan.model_path.open("rb") as running:
        service.install(plan)
        assert os.fstat(running.fileno()).st_nlink == 0
    assert [path.name for path in plan.model_path.parent.iterdir()] == ["model.tflite"]


def test_uninstalling_removes_unit_and_copies(plan: service.Plan, tmp_path: Path) -> None:
    service.install(plan)
    assert service.uninstall() == Path("/var/lib/edge-run")
    assert not plan.unit_path.exists()
    assert not plan.model_path.parent.exists()
    assert (tmp_path / "calls").read_text().splitlines()[3:] == ["disable --quiet --now edge-run", "daemon-reload"]
    with pytest.raises(SettingsError, match="no service of this name"):
        service.uninstall()


def test_what_the_broker_holds_is_cleared_before_anything_of_the_service_is_removed(
    plan: service.Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, broker = plan.copies[0][0], "mqtt://pi@broker.example/edge/porch"
    service.install(service.plan(model, ["--source", "a $camera", "--mqtt", broker]))
    service.SECRETS.mkdir(parents=True, exist_ok=True)
    (service.SECRETS / "edge-run.env").write_text("# of the broker\nEDGE_RUN_MQTT_PASSWORD='se cret'\n")
    monkeypatch.delenv("EDGE_RUN_MQTT_PASSWORD", raising=False)
    found: list[Broker] = []

    def forget(sink: Mqtt) -> None:
        assert plan.unit_path.exists()
        found.append(sink._broker)
        if len(found) == 1:
            raise ConnectionError("nothing listens")

    monkeypatch.setattr(Mqtt, "forget", forget)
    runner = typer.testing.CliRunner()
    failed = runner.invoke(service_command.app, ["uninstall"])
    assert failed.exit_code == 1
    assert "nothing listens. Uninstall it again" in failed.stderr
    assert plan.model_path.exists()
    assert runner.invoke(service_command.app, ["uninstall"]).exit_code == 0
    assert not plan.unit_path.exists()
    assert found == 2 * [parse_broker(broker, "se cret")]


def test_a_service_is_uninstalled_without_a_word_to_the_broker(
    plan: service.Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.install(service.plan(plan.copies[0][0], ["--mqtt", "mqtt://broker.example/edge"]))
    monkeypatch.setattr(Mqtt, "forget", lambda sink: pytest.fail("it was asked"))
    assert typer.testing.CliRunner().invoke(service_command.app, ["uninstall", "--keep-device"]).exit_code == 0
    assert not plan.unit_path.exists()


@given(st.lists(arguments, min_size=1))
def test_the_words_of_a_unit_are_read_back(words: list[str]) -> None:
    line = " ".join(service.quoted(word, variables=number > 0) for number, word in enumerate(["first", *words]))
    assert unquoted(line) == ["first", *words]


def test_who_is_not_root_gets_the_command_to_run(plan: service.Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(sys, "argv", ["/opt/pi/bin/edge-run", "service", "install", "my model.tflite"])
    with pytest.raises(OutputError, match=r"sudo /opt/pi/bin/edge-run service install 'my model\.tflite'"):
        service.install(plan)
    assert not plan.unit_path.exists()


def test_what_systemctl_complains_of_is_told_on_one_line(plan: service.Plan, systemctl: Path) -> None:
    systemctl.write_text("#!/bin/sh\necho 'Job failed.' >&2\necho 'See journalctl.' >&2\nexit 1\n")
    with pytest.raises(OutputError, match=r"Job failed\. See journalctl\."):
        service.install(plan)


def test_nothing_stays_of_an_installation_that_systemctl_refuses(plan: service.Plan, systemctl: Path) -> None:
    works = systemctl.read_text()
    systemctl.write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(OutputError):
        service.install(plan)
    assert not plan.unit_path.exists()
    assert not plan.model_path.parent.exists()
    systemctl.write_text(works)
    service.install(plan)
    systemctl.write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(OutputError):
        service.install(replace(plan, unit="another"))
    assert plan.unit_path.read_text() == plan.unit
    assert plan.model_path.read_bytes() == plan.copies[0][0].read_bytes()


def test_where_systemd_has_not_booted_nothing_is_installed_and_all_is_uninstalled(
    plan: service.Plan, systemctl: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(service, "BOOTED", tmp_path / "none")
    with pytest.raises(OutputError, match="systemd does not run here"):
        service.install(plan)
    assert not service.UNITS.exists()
    assert not service.MODELS.exists()
    monkeypatch.setattr(service, "BOOTED", tmp_path)
    service.install(plan)
    monkeypatch.setattr(service, "BOOTED", tmp_path / "none")
    systemctl.write_text("#!/bin/sh\nexit 1\n")
    service.uninstall()
    assert not plan.unit_path.exists()
    assert not plan.model_path.parent.exists()


def test_without_systemd_that_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(OutputError, match="no systemd here"):
        service.status()


def test_the_status_is_read_from_systemd(systemctl: Path, tmp_path: Path) -> None:
    lines = ["LoadState=loaded", "ActiveState=active", "NRestarts=3", "MainPID=812", "MemoryCurrent=91000000"]
    (tmp_path / "answer").write_text("\n".join([*lines, "StatusText=a=b, 30.0 fps", "StateChangeTimestamp=Sun"]))
    found = service.status()
    expected = service.ServiceStatus("edge-run", True, "active", "a=b, 30.0 fps", 3, "Sun", 812, 91.0)
    assert (found, found.running) == (expected, True)
    (tmp_path / "answer").write_text("LoadState=not-found\nActiveState=inactive\nMemoryCurrent=18446744073709551615\n")
    found = service.status()
    assert (found.installed, found.running, found.memory_mb) == (False, False, None)


def test_the_command_shows_the_unit_and_refuses_what_live_does_not_know(
    command: Command, tiny_model: TinyModel
) -> None:
    shown = command("edge_device.cli", "service", "show", "--name", "hall", tiny_model(), "--source", "0")
    assert shown.returncode == 0
    assert f"ExecStart={shlex.quote(sys.executable)} -I " in shown.stdout
    refused = command("edge_device.cli", "service", "show", tiny_model(), "--sorce", "0")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "--sorce" in refused.stderr


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[dict[str, str], Callable[[], list[str]]]:
    """A socket as systemd has it: the environment that names it, and what arrived since it was last asked."""
    address = str(tmp_path / "notify") if request.param == "path" else f"@edge-test-{os.getpid()}-{tmp_path.name}"
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    request.addfinalizer(listener.close)
    listener.bind(address.replace("@", "\0", 1) if address.startswith("@") else address)
    listener.setblocking(False)

    def arrived() -> list[str]:
        messages = []
        try:
            while True:
                messages.append(listener.recv(4096).decode())
        except BlockingIOError:
            return messages

    return {"NOTIFY_SOCKET": address}, arrived


def test_systemd_hears_what_it_is_told(manager: tuple[dict[str, str], Callable[[], list[str]]]) -> None:
    environment, arrived = manager
    to_systemd = ServiceManager(environment)
    assert to_systemd.present
    to_systemd.ready()
    to_systemd.status("30 fps\nMAINPID=1")
    to_systemd.status("30 fps\nMAINPID=1")
    to_systemd.stopping()
    assert arrived() == ["READY=1", "STATUS=30 fps MAINPID=1", "STOPPING=1"]
    to_systemd.reloading()
    first, second = arrived()[0].splitlines()
    assert first == "RELOADING=1"
    assert int(second.removeprefix("MONOTONIC_USEC=")) > 0


def test_the_watchdog_hears_of_every_frame_that_it_needs_and_no_more(
    manager: tuple[dict[str, str], Callable[[], list[str]]],
) -> None:
    environment, arrived = manager
    now = [100.0]
    mine = {"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}
    to_systemd = ServiceManager(environment | mine, clock=lambda: now[0])
    assert to_systemd.alive_every_s == 10
    for second in range(35):
        now[0] = 100.0 + second
        to_systemd.alive()
    assert arrived() == ["WATCHDOG=1"] * 4


@pytest.mark.parametrize(
    "environment",
    [{}, {"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "soon"}, {"WATCHDOG_USEC": "0"}],
)
def test_a_watchdog_of_nobody_or_of_another_process_hears_nothing(
    manager: tuple[dict[str, str], Callable[[], list[str]]], environment: dict[str, str]
) -> None:
    to_systemd = ServiceManager(manager[0] | environment)
    to_systemd.alive()
    assert to_systemd.alive_every_s == 0
    assert manager[1]() == []


@pytest.mark.parametrize("address", ["", "nonsense", "/nowhere/notify", "@" + "x" * 200, "@nobody-listens"])
def test_without_anybody_who_listens_nothing_happens(address: str) -> None:
    to_systemd = ServiceManager({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000"})
    for tell in (to_systemd.ready, to_systemd.reloading, to_systemd.stopping, to_systemd.alive):
        tell()
    to_systemd.status("fine")


def test_a_manager_that_does_not_read_does_not_hold_up_the_loop(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf:
        deaf.bind(str(tmp_path / "notify"))
        to_systemd = ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "notify")})
        for number in range(5000):  # more than a queue of datagrams holds
            to_systemd.status(str(number))


@pytest.mark.parametrize(
    ("options", "obstacle"),
    [
        (["--jsonl", "events.jsonl", "--snapshots", "unsure/"], ""),
        (["--jsonl", "/var/lib/edge-run/events.jsonl"], ""),
        (["--jsonl", "/home/pi/events.jsonl"], "writes in /var/lib/edge-run only, not at /home/pi/events.jsonl"),
        (["--record=../porch.mp4"], "not at ../porch.mp4"),
        (["--snapshots", "/srv/unsure"], "not at /srv/unsure"),
        (["--source", "/home/pi/pictures/*.jpg"], "does not see /home/pi/pictures"),
        (["--on-event", "echo {label}"], ""),
        (["--on-event", "no-such-program {label}"], "no command no-such-program"),
        (["--token-file", "/home/pi/not-there-yet"], "not at /home/pi/not-there-yet"),
    ],
)
def test_places_that_the_unit_cannot_reach_are_told_of_before_it_is_installed(
    tiny_model: TinyModel, options: list[str], obstacle: str
) -> None:
    found = [one for one in service.plan(tiny_model(), options).obstacles if sys.prefix not in one]
    assert [obstacle in one for one in found] == ([True] if obstacle else [])


def test_a_program_in_a_home_is_not_run_for_events(
    tiny_model: TinyModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "notify"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setattr(service, "HIDDEN", (str(tmp_path),))
    monkeypatch.setattr(service, "PRIVATE", ())
    found = service.plan(tiny_model(), ["--on-event", f"{program} {{label}}"]).obstacles
    assert any(f"does not see {program}" in one for one in found)


def test_a_token_in_a_home_is_handed_over_by_systemd(tiny_model: TinyModel, tmp_path: Path) -> None:
    token = tmp_path / "100 % secret"
    token.write_text("0123456789abcdef\n")
    plan = service.plan(tiny_model(), ["--web", "0.0.0.0:8080", "--token-file", str(token)], name="porch")
    assert f"LoadCredential=token:{tmp_path}/100 %% secret\n" in plan.unit
    assert "--token-file /run/credentials/edge-run-porch.service/token" in plan.unit
    assert token not in dict(plan.copies)  # a copy would be readable by everybody

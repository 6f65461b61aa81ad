"""`edge-run live` as a systemd service: a unit that needs no rights, sees little, and never gives up.

A service has a user of its own, made up by systemd for as long as it runs (`DynamicUser=`). That user can read neither
the home of who installs it nor anything of another one, and writes nowhere but in /var/lib/NAME. So

- the model, and what else `live` reads, is copied to /var/lib/edge-mobilenet/NAME, which is root's: what the network
  feeds a service cannot change its model. Copying again swaps the running model: `ModelWatcher` watches the copy;
- homes are replaced by an empty file system (`ProtectHome=tmpfs`), and where this Python, its packages or this
  checkout are in one, these folders alone are mounted back, read-only. So they work although a home is closed to
  others (Debian 12 makes them 0700), and nothing else in it is seen.
"""

import grp
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from edge_core.artifact.container import read_card
from edge_core.codec import JsonObject
from edge_core.errors import CheckFailedError, OutputError, SettingsError
from edge_core.files import written_whole

UNITS: Final = Path("/etc/systemd/system")
MODELS: Final = Path("/var/lib/edge-mobilenet")
SECRETS: Final = Path("/etc/edge-mobilenet")
BOOTED: Final = Path("/run/systemd/system")
"""Is there where systemd has booted the system: sd_booted(3)."""

GROUPS: Final = ("video", "render", "plugdev", "apex")
"""Who may use cameras, a Coral on USB and a Coral on PCIe; a unit that names a group that is not there does not
start."""

COPIED: Final = ("--key", "--fallback", "--tuning-file", "--mqtt-ca")
"""Options of `live` that name a file that must be there at every start, and that any user may read."""

SECRET: Final = ("--mqtt-cert", "--mqtt-key")
"""Options of `live` that name a file with a private key, or that may have one in it."""

WRITTEN: Final = ("--jsonl", "--record", "--snapshots", "--collect", "--update-folder")
"""Options of `live` that name what it writes."""

NO_TEACHING: Final = "a service cannot write its model, so leave out --teach; run edge-run teach and install anew"

HIDDEN: Final = ("/home", "/root", "/run/user")
PRIVATE: Final = ("/tmp", "/var/tmp")
"""Where a service has folders of its own."""

_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,29}[a-z0-9])?", re.ASCII)
_CREDENTIALS: Final = re.compile(r"://[^/@\s]+@")


@dataclass(frozen=True)
class Plan:
    """What `install` will do.

    Attributes:
        name: Name of the unit, without ".service".
        unit: Text of the unit file.
        copies: Files, and where they are copied to.
        obstacles: Why the service could not start; none if all is well.
        warnings: What is not as good as it could be.
        texts: What is written, and into which file.
    """

    name: str
    unit: str
    copies: tuple[tuple[Path, Path], ...]
    obstacles: tuple[str, ...]
    warnings: tuple[str, ...]
    texts: tuple[tuple[str, Path], ...] = ()

    @property
    def unit_path(self) -> Path:
        return unit_path(self.name)

    @property
    def model_path(self) -> Path:
        """The model of the first camera."""
        return next(target for _, target in self.copies if target.name.startswith("model"))


@dataclass(frozen=True)
class ServiceStatus:
    """How a service fares, in systemd's words.

    Attributes:
        name: Name of the unit.
        installed: Whether there is such a unit.
        state: "active", "activating" (being started, or waiting to be), "failed", "inactive".
        text: What the service said last.
        restarts: How often it was started anew by itself.
        since: When it came into this state.
        process: Its number; 0 if it does not run.
        memory_mb: Memory of all its processes; None where it is not counted.
    """

    name: str
    installed: bool
    state: str
    text: str
    restarts: int
    since: str
    process: int
    memory_mb: float | None

    @property
    def running(self) -> bool:
        return self.state == "active"

    def to_json(self) -> JsonObject:
        return asdict(self)


def unit_name(name: str) -> str:
    """Name of the unit: "edge-run", or "edge-run-NAME" for one of several.

    Raises:
        SettingsError: `name` is not of lower-case letters, digits and hyphens.
    """
    if not name:
        return "edge-run"
    if not _NAME.fullmatch(name):
        raise SettingsError(f"{name!r} is no name for a service: lower-case letters, digits and hyphens, 31 at most")
    return f"edge-run-{name}"


def unit_path(unit: str) -> Path:
    """File of a unit."""
    return UNITS / f"{unit}.service"


def quoted(argument: str, variables: bool = True) -> str:
    """A word of a command line as systemd reads it back (systemd.service(5), "Command lines").

    Args:
        argument: Anything that the argument of a process can be.
        variables: Whether systemd replaces $NAME here: in every word but the first.

    Specifiers (%), variables ($), quotes and control characters lose their meaning; bytes that are no text are kept.
    """
    # Left as it is, for people who read the unit.
    if re.fullmatch(r"[\w@+=:,./-]+", argument, re.ASCII):
        return argument
    escaped = []
    for byte in os.fsencode(argument):
        character = chr(byte)
        if character in '"\\':
            escaped.append("\\" + character)
        elif character == "%" or (character == "$" and variables):
            escaped.append(2 * character)
        elif " " <= character <= "~":
            escaped.append(character)
        else:
            escaped.append(f"\\x{byte:02x}")
    return '"' + "".join(escaped) + '"'


@dataclass
class Places:
    """Places that options of `live` name, as a service can reach them: each method gives the word for the unit.

    Attributes:
        unit: Unit of the service, without ".service".
        visible: Folders in a home that are mounted back.
        copies: Files, and where they are copied to.
        credentials: Files that systemd hands over, readable by this service alone, by name.
        obstacles: Why the service could not start, or would write nothing.
        texts: What is written, and into which file.
    """

    unit: str
    visible: Sequence[Path]
    copies: list[tuple[Path, Path]] = field(default_factory=list)
    credentials: dict[str, Path] = field(default_factory=dict)
    obstacles: list[str] = field(default_factory=list)
    texts: list[tuple[str, Path]] = field(default_factory=list)

    def takes(self, suffix: str = "") -> dict[str, Callable[[str], str]]:
        """What becomes of the values of options, by flag.

        Args:
            suffix: Behind the names of copies, where several cameras have files of their own.
        """

        def copied(option: str, path: str) -> str:
            return self.copied(path, option[2:] + suffix + Path(path).suffix)

        taken: dict[str, Callable[[str], str]] = {option: partial(copied, option) for option in COPIED}
        taken |= {option: partial(self.secret, option[2:] + suffix) for option in SECRET}
        taken |= dict.fromkeys(WRITTEN, self.written)
        taken["--focus"] = lambda text: copied("--focus", text) if text.endswith(".tflite") else text
        return taken | {"--source": self.source, "--token-file": self.token, "--on-event": self.program}

    def copied(self, path: str, target: str) -> str:
        source = Path(path).absolute()
        if not source.is_file():
            raise SettingsError(f"{path} is not a file")
        copy = MODELS / self.unit / target
        self.copies.append((source, copy))
        return str(copy)

    def source(self, text: str) -> str:
        if not text.startswith("/") and (text == "-" or not Path(text).exists()):
            return text  # a camera's number, an address
        path = Path(text).absolute()
        if self._hidden(path):
            self.obstacles.append(f"a service does not see {path}; move it to /srv, say")
        return str(path)

    def token(self, text: str) -> str:
        """A token that exists is handed over by systemd; one that does not is made where the service may write."""
        return self.secret("token", text) if Path(text).exists() else self.written(text)

    def secret(self, name: str, text: str) -> str:
        """A file that systemd reads as root and hands over to this service alone."""
        if not Path(text).exists():
            raise SettingsError(f"{text} is not a file")
        if not os.access(text, os.R_OK):
            raise SettingsError(f"{text} cannot be read by this user; run the command with sudo")
        self.credentials[name] = Path(text).absolute()
        return f"/run/credentials/{self.unit}.service/{name}"

    def written(self, text: str) -> str:
        state = Path("/var/lib") / self.unit
        # By the text alone: the folder is made by systemd, so there is nothing yet to resolve.
        if not Path(os.path.normpath(state / text)).is_relative_to(state):
            self.obstacles.append(
                f"a service writes in {state} only, not at {text}; give a path relative to that folder"
            )
        return text

    def program(self, text: str) -> str:
        try:
            word = next(iter(shlex.split(text)), "")
        except ValueError:
            return text  # `live` says what is wrong with it
        found = shutil.which(word)
        if found is None or (
            self._hidden(Path(found)) and not any(Path(found).is_relative_to(at) for at in self.visible)
        ):
            where = f"a service does not see {found}" if found else f"there is no command {word}"
            self.obstacles.append(f"{where}, which --on-event runs; put it into /usr/local/bin")
        return text

    def _hidden(self, path: Path) -> bool:
        return _inside(path, HIDDEN + PRIVATE)


ConfigWriter = Callable[[Places, str, bool], str]
"""Copies a configuration file: the places of the service, the path of the file, whether the command line has MODEL."""


def plan(model: Path | None, options: Sequence[str] = (), name: str = "", config: ConfigWriter | None = None) -> Plan:
    """What is to be done to run `edge-run live MODEL OPTIONS` as a service.

    Args:
        model: Path of the model file; None where the configuration file among the options names it.
        options: Options of `live`; relative paths of what it writes are taken from /var/lib/NAME.
        name: Name of one of several services.
        config: What copies the configuration file that the options name.

    Raises:
        SettingsError: The name cannot be one, or a file is not there.
        ModelFormatError: The model cannot be used.
    """
    unit = unit_name(name)
    folders = _python_folders()
    places = Places(unit, folders)
    # Always of the same name, so that another model is a new file in the old one's place.
    if model:
        read_card(model)  # whether it is a model at all is better said now
    words = [places.copied(str(model), "model.tflite")] if model else []
    takes = places.takes()
    if config:
        takes["--config"] = lambda path: config(places, path, model is not None)
    if "--teach" in options:
        places.obstacles.append(NO_TEACHING)
    command = ["live", *words, *_rewritten(options, takes)]
    for file, target in places.copies:
        if target.name.startswith("model"):
            read_card(file)
    obstacles = [*places.obstacles, *_python_obstacles(folders)]
    warnings = [
        f"any user of this board can read the password in {_CREDENTIALS.sub('://...@', word)}; what live takes from "
        f"the environment can be in {SECRETS / unit}.env instead, readable by root alone"
        for word in options
        if _CREDENTIALS.search(word)
    ]
    text = _unit(unit, command, [folder for folder in folders if _inside(folder, HIDDEN)], places.credentials)
    return Plan(unit, text, tuple(places.copies), tuple(obstacles), tuple(warnings), tuple(places.texts))


def install(plan: Plan) -> None:
    """Copies the files, writes the unit, and starts it, now and at every boot; a running one is replaced.

    Raises:
        OutputError: Not run by root, no systemd here, or it says no; nothing is left of what was written.
        CheckFailedError: The service could not start, see `Plan.obstacles`.
    """
    if plan.obstacles:
        raise CheckFailedError("; ".join(plan.obstacles))
    _require_root()
    if not _booted():
        raise OutputError(
            "systemd does not run here, as in a container, so nothing was installed; install on a system that it has "
            "booted, or start edge-run live by what starts programs here"
        )
    with _taken_back(plan):
        for source, target in plan.copies:
            with written_whole(target) as beside:
                # Made by `written_whole` a moment ago.
                for folder in (target.parent, MODELS):
                    folder.chmod(0o755)  # whatever the umask is: another user reads it
                shutil.copyfile(source, beside)
                beside.chmod(0o644)
        # The unit last: what it refers to is there by then.
        for text, target in (*plan.texts, (plan.unit, plan.unit_path)):
            with written_whole(target) as beside:
                beside.write_text(text)
                beside.chmod(0o644)
        _systemctl("daemon-reload")
        _systemctl("enable", "--quiet", plan.name)
        # Not start: a service that runs already has to take up the new unit.
        _systemctl("restart", plan.name)


@contextmanager
def _taken_back(plan: Plan) -> Iterator[None]:
    """Where the block fails, files are again what they were before, and a service that was installed runs again."""
    targets = [target for _, target in (*plan.copies, *plan.texts)] + [plan.unit_path]
    before = {target: target.read_bytes() if target.is_file() else None for target in targets}
    installed = before[plan.unit_path] is not None
    try:
        yield
    except BaseException:
        if not installed:
            with suppress(OutputError):
                _systemctl("disable", "--quiet", "--now", plan.name)
        for target, content in before.items():
            if content is None:
                target.unlink(missing_ok=True)
                continue
            with written_whole(target) as beside:
                beside.write_bytes(content)
                beside.chmod(0o644)
        with suppress(OSError):  # not empty: other files were there before
            (MODELS / plan.name).rmdir()
        with suppress(OutputError):
            _systemctl("daemon-reload")
            if installed:
                _systemctl("restart", plan.name)
        raise


def uninstall(name: str = "", stopped: Callable[[], None] = lambda: None) -> Path:
    """Stops a service and removes its unit and its copies; returns the folder of what it wrote, which stays.

    Args:
        name: Name of one of several services.
        stopped: Called once the service has stopped; where it raises, nothing is removed, and this can be called again.

    Raises:
        SettingsError: There is no such service.
        OutputError: Not run by root, or systemd says no.
    """
    unit = unit_name(name)
    path = unit_path(unit)
    if not path.is_file():
        raise SettingsError(f"{path} is not there: no service of this name was installed")
    _require_root()
    # Without systemd nothing runs that could be stopped, and what was written is removed all the same.
    if _booted():
        _systemctl("disable", "--quiet", "--now", unit)
    # Before the unit is removed, which tells what the service's broker is.
    stopped()
    try:
        path.unlink()
        shutil.rmtree(MODELS / unit, ignore_errors=True)
    except OSError as error:
        raise OutputError(f"{path} cannot be removed: {error.strerror}") from error
    if _booted():
        _systemctl("daemon-reload")
    return Path("/var/lib") / unit


def status(name: str = "") -> ServiceStatus:
    """How a service fares.

    Raises:
        OutputError: No systemd here, or it does not answer.
    """
    unit = unit_name(name)
    wanted = ("LoadState", "ActiveState", "StatusText", "NRestarts", "StateChangeTimestamp", "MainPID", "MemoryCurrent")
    answer = _systemctl("show", f"{unit}.service", f"--property={','.join(wanted)}")
    fields = dict(line.split("=", 1) for line in answer.splitlines() if "=" in line)

    def number(key: str) -> int:
        return int(fields[key]) if fields.get(key, "").isdigit() else 0

    memory = number("MemoryCurrent")
    return ServiceStatus(
        name=unit,
        installed=fields.get("LoadState") == "loaded",
        state=fields.get("ActiveState", ""),
        text=fields.get("StatusText", ""),
        restarts=number("NRestarts"),
        since=fields.get("StateChangeTimestamp", ""),
        process=number("MainPID"),
        memory_mb=memory / 1e6 if 0 < memory < 1 << 60 else None,  # all ones: not counted
    )


def _unit(name: str, command: Sequence[str], folders: Sequence[Path], credentials: Mapping[str, Path]) -> str:
    """Text of a unit.

    Args:
        name: Name of the unit.
        command: Words of the `edge-run` command.
        folders: Folders in a home that the unit needs to see.
        credentials: Files that systemd reads as root and hands over, by name.
    """
    # -I: neither the environment nor the working folder, which the service can write to, decides what is imported.
    # faulthandler: what every thread was doing when the watchdog ended it goes to the journal.
    words = [sys.executable, "-I", "-X", "faulthandler", "-m", "edge_device", *command]
    groups = " ".join(_groups())
    lines = {
        "GROUPS": f"SupplementaryGroups={groups}" if groups else "",
        "FOLDERS": "\n".join(f'BindReadOnlyPaths="{_in_quotes(folder)}"' for folder in folders),
        "CREDENTIALS": "\n".join(f"LoadCredential={key}:{_specified(path)}" for key, path in credentials.items()),
        "COMMAND": " ".join(quoted(word, variables=number > 0) for number, word in enumerate(words)),
        "SECRETS": str(SECRETS / f"{name}.env"),
        "NAME": name,
    }
    text = re.sub(r"@([A-Z]+)@", lambda found: lines[found[1]], _TEMPLATE)
    return re.sub(r"\n{3,}", "\n\n", text)


_TEMPLATE: Final = """\
# Written by "edge-run service install", which writes it anew. Own settings: systemctl edit @NAME@

[Unit]
Description=Image classification on a camera (edge-run live)
After=network.target
# Never gives up: a camera may be plugged in next week.
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart=@COMMAND@
ExecReload=/bin/kill -HUP $MAINPID
Restart=always
# Soon, since a model on trial that crashes gives way to the one before it at the next start.
RestartSec=1
# Stopped before it was ready, it ends as any command does at SIGTERM.
SuccessExitStatus=143
# The loop says every ten seconds that it lives.
WatchdogSec=30
# A small board with a slow card imports, verifies and measures before it is ready.
TimeoutStartSec=180
# A second is enough, but from a source that ended by itself on sinks have twenty for its last results.
TimeoutStopSec=30
KillMode=mixed
# One line a frame is 300 MB a day at 30 frames a second; what a person should know comes on standard error.
StandardOutput=null
StandardError=journal
# Passwords and tokens, NAME=VALUE, readable by root alone.
EnvironmentFile=-@SECRETS@
@CREDENTIALS@

DynamicUser=yes
@GROUPS@
StateDirectory=@NAME@
WorkingDirectory=/var/lib/@NAME@
UMask=0027

ProtectSystem=strict
ProtectHome=tmpfs
@FOLDERS@
PrivateTmp=yes
DevicePolicy=closed
# Cameras of every kind, Coral on USB and on PCIe, and what vcgencmd asks.
DeviceAllow=char-video4linux rw
DeviceAllow=char-media rw
DeviceAllow=char-dma_heap rw
DeviceAllow=char-usb_device rw
DeviceAllow=char-apex rw
DeviceAllow=/dev/vcio rw

NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
# Not ProcSubset=pid: on Arm, XNNPACK reads /proc/cpuinfo to choose its kernels.
ProtectProc=invisible
LockPersonality=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
# Netlink: libusb and libcamera hear through it what is plugged in.
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM

# A leak ends this service, not the board.
MemoryMax=50%
LimitCORE=0

[Install]
WantedBy=multi-user.target
"""


def _rewritten(words: Sequence[str], takes: dict[str, Callable[[str], str]]) -> list[str]:
    """Options with the values of some rewritten, `--option VALUE` and `--option=VALUE`."""
    result: list[str] = []
    rewrite: Callable[[str], str] | None = None
    for word in words:
        option, equals, value = word.partition("=")
        if rewrite:
            result.append(rewrite(word))
            rewrite = None
        elif equals and option in takes:
            result.append(f"{option}={takes[option](value)}")
        else:
            rewrite = takes.get(word)
            result.append(word)
    return result


def _python_folders() -> list[Path]:
    """The folders that this Python needs to be seen: its environment, what that was made from, and this package."""
    found = {Path(sys.prefix), Path(sys.base_prefix), Path(sys.executable).parent, Path(__file__).parents[2]}
    # Without those within another one, which is mounted back as a whole.
    return sorted(folder for folder in found if not any(other in folder.parents for other in found))


def _python_obstacles(folders: Sequence[Path]) -> list[str]:
    found = [
        f"a service has a {folder.parts[1]} of its own and does not see {folder}; install into another folder"
        for folder in folders
        if _inside(folder, PRIVATE)
    ]
    found += [
        f"{folder} is closed to other users; open it: chmod go+rX {shlex.quote(str(folder))}"
        for folder in folders
        if _inside(folder, HIDDEN) and folder.stat().st_mode & 0o005 != 0o005
    ]
    # As the unit starts it.
    alone = subprocess.run([sys.executable, "-I", "-c", "import edge_device"], capture_output=True, check=False)
    if alone.returncode:
        found.append(
            f"{sys.executable} finds this package only with your settings (a --user install, PYTHONPATH); make a venv: "
            "python3 -m venv /opt/edge-mobilenet, and install into it"
        )
    return found


def _inside(path: Path, folders: Sequence[str]) -> bool:
    return any(path.is_relative_to(folder) for folder in folders)


def _in_quotes(path: Path) -> str:
    """A path between quotation marks, where systemd knows specifiers, but neither variables nor \\x41."""
    return re.sub(r'(["\\])', r"\\\1", str(path)).replace("%", "%%")


def _specified(path: Path) -> str:
    """A path as the rest of a line, where systemd knows specifiers alone."""
    return str(path).replace("%", "%%")


def _groups() -> list[str]:
    there = {group.gr_name for group in grp.getgrall()}
    return [group for group in GROUPS if group in there]


def _require_root() -> None:
    if os.geteuid() != 0:
        program = [str(Path(sys.argv[0]).absolute()), *sys.argv[1:]]
        raise OutputError(f"this takes root; run: sudo {shlex.join(program)}")


def _booted() -> bool:
    return BOOTED.is_dir() and shutil.which("systemctl") is not None


def _systemctl(*arguments: str) -> str:
    """What a command of systemctl prints.

    Raises:
        OutputError: There is no systemctl, or it fails.
    """
    try:
        done = subprocess.run(["systemctl", *arguments], capture_output=True, text=True, errors="replace", check=False)
    except OSError as error:
        raise OutputError(f"no systemd here: systemctl: {error.strerror}") from error
    if done.returncode:
        reason = " ".join(done.stderr.split()) or f"exit status {done.returncode}"
        raise OutputError(f"systemctl {shlex.join(arguments)}: {reason}")
    return done.stdout

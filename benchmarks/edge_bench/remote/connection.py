"""An SSH connection with one process at its other end: requests go in, lines come out."""

import asyncio
import json
import re
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from edge_core.codec import JsonObject
from edge_core.errors import HostError, RuntimeMissingError

if TYPE_CHECKING:
    import asyncssh

T = TypeVar("T")

CONNECT_S: Final = 15
LOGIN_S: Final = 30
KEEPALIVE_S: Final = 10
"""Three questions without an answer, and the connection is lost."""

BEAT_S: Final = 15
"""See `edge_bench.remote.remote_agent.PATIENCE_S`."""

CLEAN_UP_S: Final = 20
NO_KEYS: Final = b"\n"
"""A known_hosts file without entries; asyncssh takes an empty value for none given."""

DEFAULT_KNOWN_HOSTS: Final = ("~/.ssh/known_hosts", "~/.ssh/known_hosts2", "/etc/ssh/ssh_known_hosts")
CHUNK: Final = 1 << 18


@dataclass(frozen=True)
class SshAddress:
    """Where a board is: `[user@]name[:port]`; what is None, ~/.ssh/config says."""

    name: str
    user: str | None = None
    port: int | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads `pi@raspberrypi.local`, `board:2222`, `me@[fe80::1]:22`.

        Raises:
            HostError: It is none of these.
        """
        match = re.fullmatch(
            r"(?:([^@\s:-][^@\s:]*)@)?"  # neither user nor name begins with a hyphen, as an option would
            r"(?:\[([\w:.%]+)\]|([^@\s:\[\]-][^@\s:\[\]]*))"
            r"(?::([0-9]{1,5}))?",
            text,
        )
        if not match or (match[4] and not 0 < int(match[4]) < 65536):
            raise HostError(f"{text!r} is no board; give one as user@board or user@board:port")
        return cls(match[2] or match[3], match[1], int(match[4]) if match[4] else None)

    def options(self) -> dict[str, Any]:
        """What takes precedence over ~/.ssh/config, as asyncssh names it."""
        given = {"username": self.user, "port": self.port}
        return {name: value for name, value in given.items() if value is not None}

    def __str__(self) -> str:
        name = f"[{self.name}]" if ":" in self.name else self.name
        return (f"{self.user}@" if self.user else "") + name + (f":{self.port}" if self.port else "")


class SshConnection:
    """Runs a command on a board while its `with` block does.

    Host keys are always checked against the user's known_hosts files; an unknown key ends the attempt. Keys come from
    the user's agent and the files that ~/.ssh/config names.

    Args:
        address: User, host name and port of the board.
        command: Command line for the user's shell on the board.
        received: Called with each line that the command writes, from another thread.
        ended: Called from another thread, with the reason why no more lines will come.
        password: Password that is tried besides the user's keys.

    Raises:
        HostError: On entering, one line that says why there is no connection.
        RuntimeMissingError: Asyncssh is not installed.
    """

    def __init__(
        self,
        address: SshAddress,
        command: str,
        received: Callable[[bytes], None],
        ended: Callable[[str], None],
        password: str | None = None,
    ) -> None:
        self._address, self._command, self._password = address, command, password
        self._received, self._ended = received, ended

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        try:
            self._wait_for(self._open())
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._wait_for(self._close())
        finally:
            self._stop()

    def send(self, request: JsonObject, data: bytes = b"") -> None:
        """Sends a request, and bytes after it; waits while the board does not take them."""
        self._wait_for(self._send(request, data))

    def _wait_for(self, work: Coroutine[object, object, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _stop(self) -> None:
        # Not by the loop's own end: its tasks have to close what they hold.
        async def cancel_all() -> None:
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        self._wait_for(cancel_all())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _open(self) -> None:
        self._sending = asyncio.Lock()
        self._connection = await connect(self._address, self._password)
        import asyncssh  # it is there, or there would be no connection

        try:
            self._process = await self._connection.create_process(self._command, encoding=None)
        except (OSError, asyncssh.Error) as error:
            self._connection.abort()
            raise HostError(f"{self._address} runs no commands over SSH: {error}") from None
        self._tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._beat())]

    async def _close(self) -> None:
        """Ends the board's input and waits until it has cleaned up, then for the connection to be closed."""
        with suppress(OSError, TimeoutError):
            self._process.stdin.write_eof()
            await asyncio.wait_for(self._process.wait_closed(), CLEAN_UP_S)
        self._connection.close()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._connection.wait_closed(), 5)

    async def _send(self, request: JsonObject, data: bytes = b"") -> None:
        # A write to a channel that is gone is no error here: `ended` has told, or will tell, why.
        with suppress(OSError):
            async with self._sending:  # or a beat would get between a request and its bytes
                self._process.stdin.write(json.dumps(request).encode() + b"\n")
                for start in range(0, len(data), CHUNK):
                    self._process.stdin.write(data[start : start + CHUNK])
                    await self._process.stdin.drain()
                await self._process.stdin.drain()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT_S)
            await self._send({"do": "beat"})

    async def _read(self) -> None:
        import asyncssh

        try:
            # The last part of a read may be half a line: kept for the next one.
            kept = b""
            while data := await self._process.stdout.read(1 << 16):
                *lines, kept = (kept + data).split(b"\n")
                for line in lines:
                    self._received(line)
            said = (await self._process.stderr.read(1 << 16)).decode("utf-8", "replace").strip()
            await asyncio.wait_for(self._process.wait_closed(), CLEAN_UP_S)
            status = self._process.returncode
            reason = said.splitlines()[-1].strip() if said else ""
            if status is None:
                reason = "the connection broke off"
            elif status == 127:
                reason = f"it has no python3 ({reason})"
            self._ended(reason or f"the measuring end there stopped with status {status}")
        except (OSError, TimeoutError, asyncssh.Error) as error:
            self._ended(f"the connection broke off ({str(error) or type(error).__name__})")


async def connect(address: SshAddress, password: str | None) -> "asyncssh.SSHClientConnection":
    """Connects with the user's keys, agent, configuration and known_hosts; errors as `SshConnection`."""
    try:
        import asyncssh
    except ModuleNotFoundError as error:
        if error.name != "asyncssh":
            raise
        raise RuntimeMissingError("SSH needs the ssh extra: pip install 'edge-mobilenet[ssh]'") from None

    refused: list[str] = []
    try:
        known = known_hosts(address)
        return await asyncssh.connect(
            address.name,
            client_factory=_client_class(address, known, refused),
            known_hosts=known or NO_KEYS,
            password=password,
            connect_timeout=CONNECT_S,
            login_timeout=LOGIN_S,
            keepalive_interval=KEEPALIVE_S,
            **address.options(),
        )
    except asyncssh.HostKeyNotVerifiable as error:
        raise HostError(f"{address} {refused[0]}" if refused else f"{address}: {error.reason}") from None
    except asyncssh.PermissionDenied as error:
        how = "neither your keys nor the password" if password is not None else "none of your keys"
        more = "" if password is not None else "; ssh-copy-id installs one, ssh-add unlocks one, --ask-password asks"
        raise HostError(f"{address} takes {how} ({error.reason}){more}") from None
    # Of a key or a configuration that it cannot read, asyncssh raises what is no `asyncssh.Error`.
    except (
        OSError,
        asyncssh.Error,
        asyncssh.KeyImportError,
        asyncssh.KeyEncryptionError,
        asyncssh.ConfigParseError,
    ) as error:
        raise HostError(_why_not_connected(address, error)) from None


def _client_class(address: SshAddress, known: list[str], refused: list[str]) -> "type[asyncssh.SSHClient]":
    """A client that refuses every key that known_hosts does not have, and says why in `refused`."""
    import asyncssh

    class Client(asyncssh.SSHClient):
        def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
            """Asked only about a key that known_hosts does not have."""
            there = port if port != asyncssh.DEFAULT_PORT else None
            others = known and asyncssh.match_known_hosts(known, host, addr, there)[0]
            offers = f"offers the key {key.get_algorithm()} {key.get_fingerprint()}, and your known_hosts has"
            port_option = f"-p {address.port} " if address.port else ""
            refused.append(
                f"{offers} another key for it: it was set up anew, or this is another machine"
                if others
                else f"{offers} none for it; compare it, and connect once with `ssh {port_option}{address.name}`"
            )
            return False

    return Client


def _why_not_connected(address: SshAddress, error: Exception) -> str:
    """What it means that no connection came about, and what to do, as one line."""
    import asyncssh

    if isinstance(error, asyncssh.KeyImportError | asyncssh.KeyEncryptionError):
        return f"{address}: {error}; an encrypted key is used once `ssh-add` has given it to the agent"
    if isinstance(error, asyncssh.ConfigParseError):
        return f"{address}: your SSH configuration cannot be read: {error}"
    if isinstance(error, asyncssh.KeyExchangeFailed):
        return f"{address} has no key of the kind that your known_hosts has for it: {error.reason}"
    if isinstance(error, TimeoutError):
        return f"{address} does not answer within {CONNECT_S} s; is it on, and in this network?"
    return f"{address} cannot be reached: {getattr(error, 'strerror', None) or error}"


def known_hosts(address: SshAddress) -> list[str]:
    """The files that host keys are checked against, of those that the user's configuration names and that there are.

    Raises:
        HostError: The configuration would take any key of this board, or of one on the way to it: asyncssh reads
            `UserKnownHostsFile none` as such, OpenSSH as "no key is known".
    """
    import asyncssh

    options = asyncssh.SSHClientConnectionOptions(host=address.name, config=(), **address.options())
    if options.known_hosts is None:
        raise HostError(f"{address}: your SSH configuration sets UserKnownHostsFile to none, so no key can be checked")
    for hop in options.tunnel.split(",") if isinstance(options.tunnel, str) else ():
        known_hosts(SshAddress.parse(hop.strip()))
    named = options.known_hosts or DEFAULT_KNOWN_HOSTS
    assert isinstance(named, list | tuple)  # as it is made of the configuration
    files = (Path(str(name)).expanduser() for name in named)
    return [str(file) for file in files if file.exists()]

"""Where the live page listens, and the token that it asks for."""

import os
import re
import secrets
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import Final

from edge_core.errors import OutputError, SettingsError
from edge_core.files import sync

TOKEN_VARIABLE: Final = "EDGE_RUN_TOKEN"
"""Environment variable that gives the token."""

_SEND_BUFFER: Final = 128 * 1024
"""Bytes of a connection that the kernel holds. Left to itself it takes megabytes: half a minute of old pictures."""

_TOKEN: Final = re.compile(r"[!-~]{16,256}")
_NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")


@dataclass(frozen=True)
class Address:
    """Where to listen: a name or an IP address, and a port; 0 is any free one."""

    host: str = "127.0.0.1"
    port: int = 8080

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str) -> Address:
    """Reads `PORT`, `HOST:PORT` or `[IPV6]:PORT`; without a host it is this machine alone, 127.0.0.1.

    Raises:
        SettingsError: It is none of these.
    """
    host, colon, port = text.rpartition(":")
    host = host if colon else Address.host
    known = bool(_NAME.fullmatch(host))
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        known = _is_ipv6(host)
    if not known or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        raise SettingsError(f"{text!r} is no [HOST:]PORT; write 8080, 0.0.0.0:8080 or [::]:8080, say")
    return Address(host, int(port))


def listen(address: Address, page: str = "the live page", option: str = "--web [HOST:]PORT") -> socket.socket:
    """A socket that listens there.

    Args:
        address: Where to listen.
        page: What is served, as an error names it.
        option: Option of the command that names another address.

    Raises:
        OutputError: There is no such address here, it is taken, or not permitted.
    """
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        # "localhost" is both; people and programs try 127.0.0.1 first.
        family, kind, protocol, _, place = min(found, key=lambda one: one[0] != socket.AF_INET)
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise OutputError(f"{page} cannot listen on {address}: {error.strerror or error}") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)  # accepted sockets inherit it
        listener.bind(place)
        listener.listen(128)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        reason = error.strerror or str(error)
        raise OutputError(f"{page} cannot listen on {address}: {reason}; choose another with {option}") from error
    return listener


def is_loopback(listener: socket.socket) -> bool:
    """Whether only this machine can connect."""
    return ip_address(listener.getsockname()[0].split("%")[0]).is_loopback


def reachable_host(listener: socket.socket) -> str:
    """What another machine may call this one: the bound address or, where that is all of them, one that is likely."""
    host = str(listener.getsockname()[0])
    if not ip_address(host.split("%")[0]).is_unspecified:
        return f"[{host}]" if ":" in host else host
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # TEST-NET-1 of RFC 5737: chooses a route, sends nothing
            return str(probe.getsockname()[0])
        except OSError:
            return socket.gethostname()


def new_token() -> str:
    """A token that nobody guesses: 256 bits."""
    return secrets.token_urlsafe(32)


def read_token(file: Path | None, environment: Mapping[str, str] = os.environ) -> str | None:
    """The token from a file or, without one, from the environment; None if neither gives one.

    A file that does not exist yet is made, readable by its owner alone, with a new token that then stays.

    Raises:
        SettingsError: What is there is no token. The message does not repeat it.
        OutputError: The file can be neither read nor made.
    """
    try:
        if file is not None and not file.exists():
            _make_token(file)
    except OSError as error:
        raise OutputError(f"{file}: {error.strerror or error}") from error
    return known_token(file, environment)


def known_token(file: Path | None, environment: Mapping[str, str] = os.environ) -> str | None:
    """The token that a client shows, from where `read_token` has it; no file is made: no server would know its token.

    Raises:
        SettingsError: The file is not there, or what is there is no token. The message does not repeat it.
        OutputError: The file cannot be read.
    """
    if file is None:
        token = environment.get(TOKEN_VARIABLE)
        return None if token is None else check_token(token.strip(), TOKEN_VARIABLE)
    try:
        with file.open("rb") as opened:
            token = opened.read(1024).decode("utf-8", "replace").strip()
    except FileNotFoundError as error:
        raise SettingsError(
            f"{file} is not there; copy the token file of the live page from its board, or set {TOKEN_VARIABLE}"
        ) from error
    except OSError as error:
        raise OutputError(f"{file}: {error.strerror or error}") from error
    return check_token(token, str(file))


def _make_token(file: Path) -> None:
    """Puts a new token at a path, whole and on the disk, unless another process has put one there meanwhile.

    Raises:
        OSError: It cannot be written.
    """
    beside = file.with_name(f".{file.name}-{secrets.token_hex(4)}.tmp")
    try:
        # At no moment readable by others.
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(descriptor, "w", encoding="ascii") as made:
            made.write(new_token() + "\n")
            made.flush()
            os.fsync(made.fileno())
        try:
            os.link(beside, file)  # which does not replace what is there, as a rename would
        except FileExistsError:
            return
        except OSError:  # FAT has no links, nor have many file systems of the network
            os.rename(beside, file)
        sync(file.parent)
    finally:
        with suppress(OSError):
            beside.unlink()


def check_token(token: str, origin: str) -> str:
    """Returns a token that is worth the name.

    Raises:
        SettingsError: It is too short, too long, or cannot stand in a header. The message does not repeat it.
    """
    if not _TOKEN.fullmatch(token):
        raise SettingsError(
            f"{origin} was given no token: that is 16 to 256 printable ASCII characters without spaces, such as "
            "`openssl rand -hex 32` prints"
        )
    return token


def _is_ipv6(host: str) -> bool:
    try:
        IPv6Address(host)
    except ValueError:
        return False
    return True

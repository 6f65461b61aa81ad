"""How browsers reach `edge-run web`: where it listens, and what it asks for there."""

import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from edge_device.command_line.console import extra_needed
from edge_device.sinks.web.address import is_loopback, listen, new_token, parse_address, reachable_host, read_token
from edge_device.sinks.web.server import CertificateFiles
from edge_device.system.user_folders import cache_folder


@dataclass(frozen=True)
class Reach:
    """A place to serve at.

    Attributes:
        listener: Socket that listens there.
        address: What to open, with the token where there is one.
        token: Token that is asked for; None on this machine alone.
        certificate: Certificate to serve HTTPS with; None on this machine alone.
    """

    listener: socket.socket
    address: str
    token: str | None
    certificate: CertificateFiles | None

    def hints(self) -> Iterator[str]:
        """Lines for the person at the terminal; there is a QR code if it is one."""
        if self.certificate is None:
            yield "the camera works at this address, on this machine alone; for a phone give --listen 0.0.0.0:8443"
            return
        if sys.stderr.isatty():
            with extra_needed("phone", "segno"):
                from edge_convert.web.qr_code import qr_terminal
            print(qr_terminal(self.address), file=sys.stderr)
        yield "the phone will warn of this machine's own certificate; go on to the page, its camera needs HTTPS"


def reach(address: str, token_file: Path | None = None, folder: Path | None = None) -> Reach:
    """Listens, with a token and a certificate if other machines can connect.

    Args:
        address: `PORT`, `HOST:PORT` or `[IPV6]:PORT`.
        token_file: File with the token; by default the environment gives one, or a new one is made.
        folder: Where the certificate is kept; by default the user's cache.

    Raises:
        SettingsError: The address or the token is not a valid one.
        OutputError: It cannot be listened there.
        RuntimeMissingError: The extra `phone` is not installed, which HTTPS needs.
    """
    listener = listen(parse_address(address))
    port = listener.getsockname()[1]
    if is_loopback(listener):
        return Reach(listener, f"http://127.0.0.1:{port}/", None, None)
    try:
        with extra_needed("phone", "cryptography"):
            from edge_convert.web.certificate import certificate_for
        host = reachable_host(listener)
        names = tuple(dict.fromkeys((host.strip("[]"), socket.gethostname(), f"{socket.gethostname()}.local")))
        certificate = certificate_for(names, folder or cache_folder() / "certificate")
        token = read_token(token_file) or new_token()
    except BaseException:
        listener.close()
        raise
    return Reach(listener, f"https://{host}:{port}/login?token={quote(token)}", token, certificate)

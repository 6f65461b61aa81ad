"""Events sent to a web server."""

import base64
import email.utils
import json
import socket
import time
import urllib.error
import urllib.request
from http.client import HTTPException, HTTPMessage
from typing import IO, ClassVar, Final, Literal
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from edge_core.artifact.card import ModelCard
from edge_core.codec import JsonObject
from edge_core.errors import SettingsError
from edge_device.notices import UPDATE, Notice
from edge_device.results import Event
from edge_device.sinks.sink import Later, Refused, Sink

RETRIED: Final = frozenset({408, 425, 429})
"""Statuses below 500 that ask for another attempt: Request Timeout, Too Early, Too Many Requests (RFC 9110, 8470,
6585)."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """An event, and the secret in its address, go to the server that was named and to no other."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        return None


class Webhook(Sink):
    """Posts each event, and what became of a model update, as JSON: what `--json` prints for it, and `host`.

    Statuses 2xx are an acceptance. 5xx, 408, 425, 429 (its Retry-After is kept to) and a server that does not answer
    are tried again. Any other status, redirections among them, loses the event, and the next one is tried.
    """

    name = "webhook"
    frames: ClassVar[Literal["all", "newest", "none"]] = "none"

    def __init__(self, url: str, token: str | None = None, timeout_s: float = 5.0) -> None:
        """Names the server.

        Args:
            url: Http or https; USER:PASSWORD@ in it are sent as basic authentication.
            token: Sent as `Authorization: Bearer`.
            timeout_s: Seconds for the connection and for each answer.

        Raises:
            SettingsError: It is no such address; the message does not repeat it.
        """
        parts, place = _parsed(url)
        self._url = urlunsplit((parts.scheme, place, parts.path or "/", parts.query, ""))
        self._shown = f"{parts.scheme}://{place}/..."  # the path of a webhook is its secret
        self._headers = {"Content-Type": "application/json", "User-Agent": "edge-mobilenet"}
        if parts.username:
            login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self._headers["Authorization"] = "Basic " + base64.b64encode(login.encode()).decode()
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._timeout_s = timeout_s
        # Its own opener: the module's follows redirections, with all headers.
        self._opener = urllib.request.build_opener(_NoRedirects)

    def open(self, card: ModelCard) -> None:
        """Nothing is asked of the server before there is an event."""

    def event(self, event: Event) -> None:
        self._post({"type": "event", **event.to_json()})

    def notice(self, notice: Notice) -> None:
        """Posts what became of a model update, once: the vendor wants to hear of a refusal."""
        if notice.about == UPDATE:
            self._post({"type": "notice", **notice.to_json()})

    def _post(self, told: JsonObject) -> None:
        data = json.dumps({**told, "host": socket.gethostname()}).encode()
        request = urllib.request.Request(self._url, data, self._headers, method="POST")
        try:
            with self._opener.open(request, timeout=self._timeout_s) as answer:
                # To its end, within reason: a connection that is closed before may count as an error at the server.
                answer.read(1 << 16)
        except urllib.error.HTTPError as error:
            with error:
                self._answered(error)
        except urllib.error.URLError as error:
            raise ConnectionError(f"{self._shown} does not answer: {error.reason}") from None
        except (OSError, HTTPException) as error:
            raise ConnectionError(f"{self._shown} does not answer: {error or type(error).__name__}") from None

    def _answered(self, error: urllib.error.HTTPError) -> None:
        said = f"{self._shown} answers {error.code}"
        if 300 <= error.code < 400:
            raise Refused(f"{said}, a redirection, which is not followed; give the final address") from None
        if error.code < 500 and error.code not in RETRIED:
            raise Refused(said) from None
        raise Later(said, _retry_after_s(error.headers.get("Retry-After", ""))) from None


def _retry_after_s(text: str) -> float:
    """Seconds or a date, as RFC 9110, 10.2.3 has it; 0 for neither."""
    if text.isascii() and text.isdigit() and len(text) < 10:
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, OverflowError):
        return 0.0


def _parsed(url: str) -> tuple[SplitResult, str]:
    """The parts of a webhook's address, and its host with the port, without user name and password."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        raise SettingsError("--webhook takes http://HOST/PATH or https://HOST/PATH; this has no such port") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or not url.isprintable() or " " in url:
        raise SettingsError("--webhook takes http://HOST/PATH or https://HOST/PATH")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname  # IPv6, which has colons of its own
    return parts, host + port

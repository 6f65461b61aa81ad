"""The live page of another board, asked over HTTP."""

import json
import re
from typing import Final
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import HTTPRedirectHandler, OpenerDirector, Request, build_opener

from edge_core.codec import JsonObject
from edge_core.errors import HostError

TIMEOUT_S: Final = 30.0
"""Seconds without an answer after which a board counts as unreachable."""

LARGEST: Final = 64 << 20
"""Bytes of a picture or a list that are taken from a board, at most."""

SNAPSHOT_KEY: Final = re.compile(r"(?!\.)[^/\0]{1,255}/\d{8}T\d{6}\.\d{6}Z(-[A-Za-z0-9_-]{1,65})?")
"""What names a snapshot: its label's folder, which never begins with a dot, so that no path leads elsewhere; and when
it was taken, with the names of its camera and its zone, of 32 characters each, where it has them."""


class _NoRedirect(HTTPRedirectHandler):
    """Follows nothing: the token is for the address that was given."""

    def redirect_request(self, *_: object) -> None:
        return None


class LivePage:
    """The routes of a board's live page, as another machine asks for them."""

    def __init__(self, root: str, token: str | None, timeout_s: float = TIMEOUT_S) -> None:
        """Names the page.

        Args:
            root: Address of the page, without a slash at its end.
            token: Token of the page; None if it asks for none.
            timeout_s: Seconds without an answer after which the board counts as unreachable.
        """
        self._root, self._opener, self._timeout_s = root, build_opener(_NoRedirect), timeout_s
        # The page's guard wants this header of requests that write, as another site's page cannot send it.
        self._headers = {"X-Requested-By": "edge-run"} | ({"Authorization": f"Bearer {token}"} if token else {})

    def latest(self) -> JsonObject:
        """What the page shows: health, results, status, events and notices.

        Raises:
            HostError: The board cannot be reached, refuses, or is none of ours.
        """
        answer = self.ask("/api/latest")
        try:
            found = json.loads(answer or b"")
            if isinstance(found, dict) and isinstance(found["health"], dict):
                return found
        except (ValueError, KeyError):
            pass
        raise HostError(f"{self._root} does not answer as a live page of edge-run does")

    def snapshots(self) -> list[JsonObject]:
        """The snapshots that the board keeps.

        Raises:
            HostError: The board cannot be reached, refuses, or keeps none.
        """
        answer = self.ask("/api/snapshots")
        try:
            found = json.loads(answer or b"")["snapshots"]
            return [one for one in found if SNAPSHOT_KEY.fullmatch(one["id"])]
        except (ValueError, KeyError, TypeError) as error:
            raise HostError(f"{self._root} does not answer as a live page with snapshots does") from error

    def ask(self, path: str, method: str = "GET") -> bytes | None:
        """What is answered; None if it is not there.

        Raises:
            HostError: The board cannot be reached, or refuses.
        """
        request = Request(self._root + quote(path), method=method, headers=self._headers)
        try:
            return _read(self._opener, request, self._timeout_s)
        except HTTPError as error:
            with error:
                if error.code == 404 and path != "/api/snapshots":
                    return None
                raise HostError(f"{self._root}: {_refusal(error.code)}") from error
        except (URLError, OSError, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            raise HostError(f"{self._root} cannot be reached: {reason}") from error


def _read(opener: OpenerDirector, request: Request, timeout_s: float) -> bytes:
    with opener.open(request, timeout=timeout_s) as answer:
        # Not as much as the board likes to send; one byte more tells that there was more.
        data: bytes = answer.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise ValueError(f"it sends more than {LARGEST >> 20} MB for one file")
    return data


def _refusal(status: int) -> str:
    return {
        401: "it asks for a token: give --token-file, or set EDGE_RUN_TOKEN",
        404: "it keeps no snapshots; start edge-run live with --snapshots FOLDER and --web",
        429: "too many wrong tokens; try again in a minute",
    }.get(status, f"it answers with status {status}")

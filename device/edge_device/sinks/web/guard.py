"""Who may ask what: stands before every route of the live page, static files and health included."""

import base64
import hashlib
import hmac
import re
import time
from collections import OrderedDict
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from ipaddress import IPv6Address, ip_address
from string import Template
from typing import Final
from urllib.parse import parse_qs, urlsplit

from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edge_core.errors import SettingsError

LOGIN: Final = "/login"

HEAD_BYTES: Final = 16 * 1024
"""Of a request: its first line and headers."""

_COOKIE_S: Final = 30 * 24 * 3600

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_HEADERS: Final = {
    "cache-control": "no-store",
    "content-security-policy": _POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}

_LOGIN_STYLE: Final = "body{font:1rem/1.5 system-ui,sans-serif;max-width:30rem;margin:3rem auto;padding:0 1rem}"
_LOGIN_HASH: Final = base64.b64encode(hashlib.sha256(_LOGIN_STYLE.encode()).digest()).decode()
_LOGIN_POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_LOGIN_HASH}'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)

# A cookie that is SameSite=Strict does not come along where another site's link led to; the link here is our own.
_LOGIN_PAGE: Final = Template(f"""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Token needed</title>
<style>{_LOGIN_STYLE}</style>
</head>
<body>
<h1>Token needed</h1>
<p>This page belongs to a running $product, which has printed its address with a token or was given one.</p>
<form action="login"><label>Token <input name="token" type="password" autocomplete="off" required></label>
<button>Open</button></form>
<p>Just logged in? <a href="./">Open the page</a>.</p>
</body>
</html>
""")


@dataclass(frozen=True)
class GuardRules:
    """What differs between the pages that a guard may stand before.

    Attributes:
        product: Command that serves the page, as its login page names it.
        cookie: First part of the cookie's name; the port is the second.
        policy: Content-Security-Policy of every answer that has none of its own.
        permissions: Permissions-Policy of every answer.
        writes: Methods that are let in to `/api/`, beside GET and HEAD, with the header `X-Requested-By`.
        bodies: Whether a request that writes may have a body, whose size is then for the routes to limit, and has to
            come from an origin of the same host where a browser names one.
        one_request: Whether a connection ends with its first answer, so that none is kept that could be left half used.
    """

    product: str = "edge-run"
    cookie: str = "edge_run"
    policy: str = _POLICY
    permissions: str = "camera=(), geolocation=(), microphone=()"
    writes: frozenset[str] = frozenset({"POST"})
    bodies: bool = False
    one_request: bool = True

    def headers(self, frame: str) -> dict[str, str]:
        """The security headers, for pages that `frame` may show in a frame; empty: none may."""
        policy = self.policy.replace("frame-ancestors 'none'", f"frame-ancestors {frame}") if frame else self.policy
        headers = _HEADERS | {"content-security-policy": policy, "permissions-policy": self.permissions}
        if frame:
            del headers["x-frame-options"]  # it knows no origins, and browsers that know the policy ignore it
        return headers | ({"connection": "close"} if self.one_request else {})


LIVE_PAGE: Final = GuardRules()


@dataclass(frozen=True)
class Place:
    """Where browsers see the page.

    Attributes:
        root: Path under which a proxy shows it, `/cam/`; the proxy may take it off or leave it on.
        frame: Origin whose pages may show it in a frame, `https://home.example`; empty: none may.
    """

    root: str = "/"
    frame: str = ""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"/([A-Za-z0-9_~-][A-Za-z0-9._~-]*/)*", self.root):
            raise SettingsError(f"--web-root {self.root!r} is not a path such as /cam/")
        if self.frame and not re.fullmatch(
            r"https?://[A-Za-z0-9.-]+(:\d{1,5})?|https?://\[[0-9a-f:]+\](:\d{1,5})?", self.frame
        ):
            raise SettingsError(f"--web-frame {self.frame!r} is not an origin such as https://home.example:8123")

    def inner(self, path: str) -> str:
        """A path as the routes know it."""
        return path.removeprefix(self.root[:-1]) if path.startswith(self.root) else path


AT_THE_ROOT: Final = Place()


class Guesses:
    """Wrong tokens by address: who has shown `ALLOWED` different ones within `WINDOW_S` has to wait for its end.

    The same wrong one again, an old cookie on a page left open, say, is no further guess.
    """

    ALLOWED: Final = 10
    WINDOW_S: Final = 60.0
    _ADDRESSES: Final = 1000

    def __init__(self) -> None:
        self._by_address: OrderedDict[str, tuple[float, set[bytes]]] = OrderedDict()

    def wait_s(self, address: str, now_s: float) -> float:
        """How long an address has to wait; 0 if it may ask."""
        began_s, wrong = self._by_address.get(_network(address), (now_s, set()))
        return max(0.0, began_s + self.WINDOW_S - now_s) if len(wrong) >= self.ALLOWED else 0.0

    def add(self, address: str, secret: str, now_s: float) -> None:
        began_s, wrong = self._by_address.pop(_network(address), (now_s, set()))
        if now_s - began_s >= self.WINDOW_S:
            began_s, wrong = now_s, set()
        if len(wrong) < self.ALLOWED:
            wrong.add(_digest(secret))
        # Put in again at the end, so that the address that was seen longest ago is the first to be forgotten.
        self._by_address[_network(address)] = (began_s, wrong)
        if len(self._by_address) > self._ADDRESSES:
            self._by_address.popitem(last=False)


class Guard:
    """An ASGI application around another that lets in only what may come in.

    Refused are, in this order: too large a head, a `Host` that is not ours (DNS rebinding), a request that another site
    has caused, too many wrong tokens, no token, another method than GET and HEAD, a body. POST comes in to `/api/` with
    the header `X-Requested-By`, which the page of another site could only send with a permission that is never given.
    Every answer gets the security headers.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        token: str | None,
        hosts: frozenset[str] | None,
        port: int,
        place: Place = AT_THE_ROOT,
        rules: GuardRules = LIVE_PAGE,
    ) -> None:
        """Stands before `app`.

        Args:
            app: Application that serves the routes.
            token: What is asked for; None: nothing is.
            hosts: Names that this machine may be called by, lower case; None: all. Loopback addresses always may.
            place: Where a proxy shows the page, and in whose frames it may be.
            port: Port of the server. Cookies are shared by all ports of a machine, so its name tells.
            rules: What this page lets in.
        """
        self._app = app
        self._place = place
        self._rules = rules
        self._headers = rules.headers(place.frame)
        self._hosts = hosts
        self._token = token
        # Derived, not drawn: a cookie stays good over a restart with the same token, and does not give the token away.
        self._cookie = (
            None
            if token is None
            else hmac.digest(token.encode(), f"{rules.product} live page".encode(), "sha256").hex()
        )
        self._right = [_digest(secret) for secret in (self._token, self._cookie) if secret]
        self._cookie_name = f"{rules.cookie}_{port}"
        self._guesses = Guesses()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                names = {name for name, _ in message["headers"]}
                guards = ((name.encode(), value.encode()) for name, value in self._headers.items())
                message["headers"] = [*message["headers"], *(one for one in guards if one[0] not in names)]
            await send(message)

        if (path := self._place.inner(scope["path"])) != scope["path"]:
            scope = {**scope, "path": path, "raw_path": path.encode()}
        answer = self._answer(scope, time.monotonic()) or self._app
        await answer(scope, receive, send_guarded)

    def _answer(self, scope: Scope, now_s: float) -> Response | None:
        """What is answered here; None if it is for the routes to answer."""
        size = (
            len(scope["raw_path"])
            + len(scope["query_string"])
            + sum(len(name + value) for name, value in scope["headers"])
        )
        if size > HEAD_BYTES:  # h11 counts only what has not come whole
            return _error(431, f"a request may have {HEAD_BYTES} bytes")
        headers: dict[str, str] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.decode("latin-1"), value.decode("latin-1"))
        if self._hosts is not None and not self._is_ours(headers.get("host", "")):
            return _error(421, "this machine is not called that; ask for 127.0.0.1 or localhost")
        # Browsers tell whose page asks. Another site may link here, but not embed, load or read.
        followed = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") in (
            ("document", "iframe") if self._place.frame else ("document",)
        )
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin") and not followed:
            return _error(403, "another site may not ask")
        if self._token is not None and (refused := self._stranger(scope, headers, now_s)):
            return refused
        return self._refused(scope, headers) or (self._logged_in() if scope["path"] == LOGIN else None)

    def _refused(self, scope: Scope, headers: dict[str, str]) -> Response | None:
        """The answer to a method, an origin or a body that may not be."""
        writes = (
            scope["method"] in self._rules.writes
            and scope["path"].startswith("/api/")
            and headers.get("x-requested-by")
        )
        if scope["method"] not in ("GET", "HEAD") and not writes:
            return _error(405, "only GET and HEAD are answered", {"allow": "GET, HEAD"})
        if self._rules.bodies and writes:
            origin = headers.get("origin")
            same = origin is None or urlsplit(origin).netloc == headers.get("host", "").strip()
            return None if same else _error(403, "another site may not ask")
        # Not parsed as a number, so that no spelling of a length is read in two ways.
        if headers.get("content-length", "0").strip("0") or "transfer-encoding" in headers:
            return _error(413, "a request must not have a body")
        return None

    def _stranger(self, scope: Scope, headers: dict[str, str], now_s: float) -> Response | None:
        """The answer to who does not show the token; None to who does."""
        client = str((scope.get("client") or ("",))[0])
        wait_s = self._guesses.wait_s(client, now_s)
        if wait_s:
            return _error(429, "too many wrong tokens", {"retry-after": str(int(wait_s) + 1)})
        secrets = [_token_of(scope)] if scope["path"] == LOGIN else self._secrets(headers)
        if any(self._is_right(secret) for secret in secrets):
            return None
        for secret in filter(None, secrets):
            self._guesses.add(client, secret, now_s)
        return self._token_needed(headers)

    def _token_needed(self, headers: dict[str, str]) -> Response:
        challenge = {"www-authenticate": "Bearer"}
        if "text/html" not in headers.get("accept", ""):
            return _error(401, "a token is needed: Authorization: Bearer TOKEN", challenge)
        page = _LOGIN_PAGE.substitute(product=self._rules.product)
        return HTMLResponse(page, 401, challenge | {"content-security-policy": _LOGIN_POLICY})

    def _is_ours(self, host: str) -> bool:
        name = _host_name(host)
        try:
            return ip_address(name).is_loopback
        except ValueError:
            return self._hosts is not None and name in self._hosts

    def _secrets(self, headers: dict[str, str]) -> list[str]:
        """What a request shows to be let in."""
        scheme, _, token = headers.get("authorization", "").partition(" ")
        bearer = token.strip() if scheme.lower() == "bearer" else ""
        return [bearer, _read_cookie(headers.get("cookie", ""), self._cookie_name)]

    def _is_right(self, secret: str) -> bool:
        """Whether it is the token or the cookie that stands for it, in a time that tells nothing of them."""
        digest = _digest(secret)
        return sum(hmac.compare_digest(digest, right) for right in self._right) > 0

    def _logged_in(self) -> Response:
        """Takes the token out of the address: a cookie in its place, and on to the page."""
        answer = RedirectResponse(self._place.root, 303)
        if self._cookie:
            answer.set_cookie(
                self._cookie_name,
                self._cookie,
                max_age=_COOKIE_S,
                path=self._place.root,
                httponly=True,
                samesite="strict",
            )
        return answer


def _token_of(scope: Scope) -> str:
    """`token` of a query."""
    query: bytes = scope["query_string"]
    try:
        return parse_qs(query.decode("latin-1"), max_num_fields=8).get("token", [""])[0]
    except ValueError:
        return ""


def _error(status: int, text: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"error": text}, status, headers)


def _host_name(host: str) -> str:
    """The name in a `Host` header, lower case, without port and brackets."""
    name = host.strip().lower()
    if name.startswith("["):
        return name[1:].partition("]")[0]
    return name.partition(":")[0].rstrip(".")


def _read_cookie(header: str, name: str) -> str:
    try:
        found = SimpleCookie(header).get(name)
    except CookieError:
        return ""
    return found.value if found else ""


def _network(address: str) -> str:
    """Who has one address of IPv6 has 2^64 of them."""
    try:
        one = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    # Four groups of four digits; a socket for both families names a client of IPv4 as ::ffff:1.2.3.4.
    return one.exploded[:19] if isinstance(one, IPv6Address) and not one.ipv4_mapped else address


def _digest(secret: str) -> bytes:
    """Of one length, whatever was shown, so that comparing two tells nothing of it."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()

"""The studio's application, its guard, and uvicorn around them."""

import hmac
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace
from typing import Final

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from edge_core.errors import EdgeError
from edge_device.command_line.console import say
from edge_device.sinks.web.address import Address, is_loopback, listen, new_token, reachable_host
from edge_device.sinks.web.guard import LOGIN, Guard, GuardRules
from edge_device.sinks.web.server import quiet_config
from edge_studio.api.device_routes import device_part
from edge_studio.api.inbox_routes import inbox_part
from edge_studio.api.inspection_routes import inspection_part
from edge_studio.api.job_routes import job_part
from edge_studio.api.json_routes import error_response
from edge_studio.api.photo_routes import photo_part
from edge_studio.api.project_routes import project_part
from edge_studio.api.review_routes import review_part
from edge_studio.api.try_routes import try_part
from edge_studio.devices.update_site import PREFIX as UPDATES
from edge_studio.pages.device_pages import device_page_part
from edge_studio.pages.page_templates import error_page, wants_page
from edge_studio.pages.photo_pages import photo_page_part
from edge_studio.pages.project_pages import home_part
from edge_studio.pages.review_pages import review_page_part
from edge_studio.pages.work_pages import work_part
from edge_studio.studio import Studio, StudioPart

PARTS: Final[tuple[Callable[[Studio], StudioPart], ...]] = (
    home_part,
    project_part,
    photo_page_part,
    photo_part,
    inspection_part,
    job_part,
    work_part,
    review_page_part,
    review_part,
    try_part,
    device_part,
    inbox_part,
    device_page_part,
)
"""What the studio is made of; each is called once with the studio."""

TABS: Final = ("photos", "train", "runs", "export", "try", "devices", "inbox")
"""Paths of a project's tabs, in the order in which a project goes through them."""

RULES: Final = GuardRules(
    product="edge-train studio",
    cookie="edge_studio",
    # blob: pictures and camera frames that the page itself has; forms are sent by its scripts alone.
    policy=(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src 'self' blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    permissions="camera=(self), geolocation=(), microphone=()",
    writes=frozenset({"POST", "PUT", "DELETE"}),
    bodies=True,
    one_request=False,
)

CONNECTIONS: Final = 128
"""Connections at once: a browser opens six for each of its pages' hosts."""

_KEEP_ALIVE_S: Final = 30
_STOP_S: Final = 2


def build_app(studio: Studio) -> Starlette:
    """The routes of all parts, without a guard."""
    parts = [part(studio) for part in PARTS]
    studio.tabs[:] = sorted((tab for part in parts for tab in part.tabs), key=lambda tab: TABS.index(tab.path))

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        # The last one stops first; what one raises does not keep the others from it.
        with ExitStack() as running:
            for part in parts:
                part.start()
                running.callback(part.stop)
            yield

    async def refused(request: Request, error: Exception) -> Response:
        return refusal(studio, request, error)

    routes = [route for part in parts for route in part.routes]
    return Starlette(
        routes=[*routes, Mount("/static", StaticFiles(packages=[("edge_studio", "static")]))],
        exception_handlers={HTTPException: refused, EdgeError: refused, Exception: refused},
        lifespan=lifespan,
    )


def refusal(studio: Studio, request: Request, error: Exception) -> Response:
    """What a person, or a page's script, is told of an error; never what only the terminal should know."""
    status = error.status_code if isinstance(error, HTTPException) else 400 if isinstance(error, EdgeError) else 500
    text = {404: "there is nothing here", 500: "something went wrong here; the terminal of edge-train says what"}
    if status == 500:
        say(f"error: {request.method} {request.url.path}: unexpected {type(error).__name__}: {error}")
    told = error if isinstance(error, EdgeError) else EdgeError(text.get(status, str(error)))
    return error_page(studio, told, status) if wants_page(request) else error_response(told, status)


class FirstVisit:
    """An address that logs in once.

    A browser is started with its address as an argument, which every account of this machine can list: the token has no
    place there, and this is spent when it is read.

    Attributes:
        path: Path of the address.
    """

    def __init__(self, token: str) -> None:
        self.path = f"/first/{new_token()}"
        self._token = token
        self._spent = False

    def log_in(self, scope: Scope) -> Scope:
        """The request as the login page gets it, where it is the first for this address; else the request as it is."""
        if self._spent or not hmac.compare_digest(scope["path"].encode(), self.path.encode()):
            return scope
        self._spent = True
        return {**scope, "path": LOGIN, "raw_path": LOGIN.encode(), "query_string": f"token={self._token}".encode()}


def guarded(
    app: ASGIApp,
    token: str,
    hosts: frozenset[str] | None,
    port: int,
    *,
    site: ASGIApp | None = None,
    visit: FirstVisit | None = None,
) -> ASGIApp:
    """The application behind its guard.

    Args:
        app: What `build_app` makes.
        token: Token that every request has to show.
        hosts: Names that this machine may be called by; None: all.
        port: Port of the server.
        site: What boards fetch, who know its secret and no token; None: nothing.
        visit: Address that logs in without the token, once; None: there is none.
    """
    guard = Guard(app, token=token, hosts=hosts, port=port, rules=RULES)
    # Boards have no token; all else that the guard asks, they are asked, too.
    for_boards = Guard(site, token=None, hosts=hosts, port=port, rules=RULES) if site else guard

    async def entry(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await app(scope, receive, send)
        elif scope["path"].startswith(UPDATES):
            await for_boards(scope, receive, send)
        else:
            await guard(visit.log_in(scope) if visit else scope, receive, send)

    return entry


def serve(studio: Studio, ready: Callable[[str, str], None]) -> None:
    """Serves until the process is told to end.

    Args:
        studio: What is served.
        ready: Called once it can be opened, with the address that logs in, and with one that does so a single time, for
            a browser on this machine.

    Raises:
        OutputError: Nothing can listen there.
    """
    settings = studio.settings
    listener = listen(Address(settings.host, settings.port), "the studio", "--port PORT")
    token = settings.token or new_token()
    port = listener.getsockname()[1]
    # Beyond loopback the token keeps other sites out, and nobody knows all names of this machine.
    hosts = frozenset({"localhost", settings.host.lower()}) if is_loopback(listener) else None
    visit = FirstVisit(token)
    app = guarded(build_app(studio), token, hosts, port, site=studio.fleet.site, visit=visit)
    config = quiet_config(app, CONNECTIONS, lifespan="on")
    config.timeout_keep_alive, config.timeout_graceful_shutdown = _KEEP_ALIVE_S, _STOP_S
    address = f"http://{replace(Address(settings.host), port=port)}"
    studio.address = f"http://127.0.0.1:{port}" if settings.host in ("0.0.0.0", "::") else address
    studio.reachable = f"http://{reachable_host(listener)}:{port}"
    ready(f"{address}/login?token={token}", f"{studio.address}{visit.path}")
    uvicorn.Server(config).run(sockets=[listener])

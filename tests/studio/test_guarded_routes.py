"""Who may ask the studio what: every route, without the token and from a page of another site."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from httpx2 import Response
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

from edge_studio import Project, Studio, StudioSettings, studio_server
from edge_studio.cli.serve_command import has_screen
from edge_studio.studio import StudioPart
from edge_studio.studio_server import FirstVisit, build_app, guarded

from .conftest import ADDRESS, OWN, TOKEN


def all_routes() -> Iterator[tuple[str, str]]:
    """Method and address of everything that the studio answers."""
    app = build_app(Studio(StudioSettings(Path("nowhere"))))
    for route in app.routes:
        if isinstance(route, Mount):
            yield "GET", "/static/studio.css"
            continue
        assert isinstance(route, Route)
        path = route.path.replace("{project}", "flowers")
        for method in sorted((route.methods or {"GET"}) - {"HEAD"}):
            yield method, "/".join("x" if part.startswith("{") else part for part in path.split("/"))


ROUTES = sorted(set(all_routes()))


def everything_below(folder: Path) -> list[tuple[str, bytes]]:
    return sorted((str(path), path.read_bytes() if path.is_file() else b"") for path in folder.rglob("*"))


def answers(client: TestClient, headers: dict[str, str], methods: str = "GET POST PUT DELETE") -> dict[str, Response]:
    """What every route answers to a request with these headers."""
    asked = [(method, path) for method, path in ROUTES if method in methods]
    return {f"{method} {path}": client.request(method, path, headers=headers) for method, path in asked}


def test_without_the_token_nothing_is_told_and_nothing_changes(stranger: TestClient, project: Project) -> None:
    before = everything_below(project.root)
    found = answers(stranger, {"x-requested-by": "studio"})
    assert len(found) > 20
    assert {route: answer.status_code for route, answer in found.items() if answer.status_code != 401} == {}
    assert not [route for route, answer in found.items() if "flowers" in answer.text]
    assert everything_below(project.root) == before


@pytest.mark.parametrize(
    "told", [{"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}, {"host": "evil.example"}]
)
def test_a_page_of_another_site_is_refused_though_the_browser_sends_the_cookie(
    client: TestClient, project: Project, told: dict[str, str]
) -> None:
    before = everything_below(project.root)
    found = answers(client, told)
    assert {route: answer.status_code for route, answer in found.items() if answer.status_code not in (403, 421)} == {}
    assert everything_below(project.root) == before


@pytest.mark.parametrize("lacking", ["origin", "x-requested-by"])
def test_what_changes_something_needs_the_own_origin_and_a_header_that_no_form_sends(
    client: TestClient, project: Project, lacking: str
) -> None:
    before = everything_below(project.root)
    headers = {"origin": "http://127.0.0.1:9999"}
    if lacking == "x-requested-by":
        headers = {"origin": str(client.base_url)}
        del client.headers["x-requested-by"]
    found = answers(client, headers, "POST PUT DELETE")
    assert len(found) > 10
    assert {route: answer.status_code for route, answer in found.items() if answer.status_code not in (403, 405)} == {}
    assert everything_below(project.root) == before


def test_the_address_with_the_token_gives_a_cookie_that_lets_in_and_is_not_the_token(stranger: TestClient) -> None:
    assert stranger.get("/").status_code == 401
    answer = stranger.get("/login", params={"token": TOKEN}, follow_redirects=False)
    assert answer.status_code == 303
    assert "HttpOnly" in answer.headers["set-cookie"] and "SameSite=strict" in answer.headers["set-cookie"]
    assert TOKEN not in answer.headers["set-cookie"]
    assert stranger.get("/").status_code == 200


def test_the_address_for_a_browser_here_logs_in_once_and_does_not_show_the_token(studio: Studio) -> None:
    visit = FirstVisit(TOKEN)
    app = guarded(build_app(studio), TOKEN, frozenset({"localhost"}), 8090, visit=visit)
    other = TestClient(app, base_url=ADDRESS)
    with TestClient(app, base_url=ADDRESS) as browser:
        assert TOKEN not in visit.path
        assert other.get(f"{visit.path}x").status_code == 401
        assert browser.get(visit.path).url.path == "/" and browser.get("/").status_code == 200
        # Who lists the processes of this machine reads the address too late.
        assert other.get(visit.path).status_code == 401 and other.get("/").status_code == 401


@pytest.mark.parametrize(
    ("told", "status"),
    [
        ({}, 200),
        ({"host": "evil.example"}, 421),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"content-length": "1"}, 413),
    ],
)
def test_what_boards_fetch_needs_no_token_but_all_else_that_the_guard_asks(
    studio: Studio, project: Project, told: dict[str, str], status: int
) -> None:
    (project.updates / "metadata").mkdir(parents=True)
    (project.updates / "metadata" / "timestamp.json").write_text("{}")
    app = guarded(build_app(studio), TOKEN, frozenset({"localhost"}), 8090, site=studio.fleet.site)
    path = f"{studio.fleet.site.path_of(project)}/metadata/timestamp.json"
    with TestClient(app, base_url=ADDRESS) as board:
        answer = board.get(path, headers=told)
        assert answer.status_code == status and answer.headers["x-content-type-options"] == "nosniff"
        assert board.post(path, headers={"x-requested-by": "studio"}).status_code == 405


@pytest.mark.parametrize(
    ("environment", "opened"),
    [({"DISPLAY": ":0"}, True), ({}, False), ({"DISPLAY": ":10", "SSH_CONNECTION": "1"}, False)],
)
def test_a_browser_is_opened_where_it_would_be_seen(
    environment: dict[str, str], opened: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SSH_CONNECTION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert has_screen() is opened


def test_every_page_forbids_scripts_of_its_own_text(client: TestClient) -> None:
    answer = client.get("/", headers=OWN)
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    assert answer.headers["x-frame-options"] == "DENY"


def test_a_part_that_fails_to_stop_keeps_no_other_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    did = []

    def part(name: str) -> Callable[[Studio], StudioPart]:
        def stop() -> None:
            did.append(name)
            raise OSError(name)

        return lambda studio: StudioPart([], stop=stop)

    monkeypatch.setattr(studio_server, "PARTS", (part("first"), part("second")))
    with pytest.raises(OSError, match="first"), TestClient(build_app(Studio(StudioSettings(Path("nowhere"))))):
        pass
    assert did == ["second", "first"]

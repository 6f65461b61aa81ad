"""`edge-run web`: what a site is served with, to whom, and the two commands from end to end."""

import http.client
import json
import re
import ssl
import stat
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from unittest.mock import Mock
from urllib.parse import urlsplit

import pytest
from typer.testing import CliRunner

from edge_convert.cli import app
from edge_convert.web.litert_js import LiteRtJs
from edge_convert.web.phone_site import export_site, site_files
from edge_core.errors import OutputError

pytest.importorskip("starlette", reason="the extra [web] is not installed")
pytest.importorskip("uvicorn", reason="the extra [web] is not installed")

from edge_convert.web.site_server import SiteServer, read_site
from edge_device.sinks.web.address import Address, listen

SealedModel = Callable[..., Path]
Answer = tuple[int, dict[str, str], bytes]

TOKEN = "correct-horse-battery-staple"
WEB = Path(__file__).parents[3] / "convert" / "edge_convert" / "web"
TSC = Path(__file__).parents[3] / ".venv" / "node" / "node_modules" / ".bin" / "tsc"


@pytest.fixture(scope="module")
def site(sealed_model: SealedModel, no_runtime: LiteRtJs) -> dict[str, bytes]:
    return dict(site_files(sealed_model(), no_runtime).content)


@pytest.fixture
def server(site: dict[str, bytes]) -> Iterator[SiteServer]:
    server = SiteServer(listen(Address(port=0)), site)
    yield server
    server.stop()


def get(port: int, path: str, headers: Mapping[str, str] = MappingProxyType({})) -> Answer:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        connection.request("GET", path, headers={"Host": "127.0.0.1", **headers})
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()


def test_files_come_with_their_types_and_a_policy_that_lets_webassembly_run_and_nothing_else(
    server: SiteServer, site: dict[str, bytes]
) -> None:
    types = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".png": "image/png",
             ".bin": "application/octet-stream", ".webmanifest": "application/manifest+json",
             ".txt": "text/plain"}  # fmt: skip
    for name, content in site.items():
        status, headers, body = get(server.port, f"/{name}")
        assert (status, body) == (200, content)
        assert headers["content-type"].split(";")[0] == types[Path(name).suffix]
        assert headers["x-content-type-options"] == "nosniff"
        assert "camera=(self)" in headers["permissions-policy"]
        policy = headers["content-security-policy"]
        assert "script-src 'self' 'wasm-unsafe-eval';" in policy and "frame-ancestors 'none'" in policy
        assert "'unsafe-" not in policy
        assert headers["cache-control"] == ("private, max-age=31536000, immutable" if name[:2] == "b-" else "no-cache")
    assert get(server.port, "/")[2] == site["index.html"]


def test_text_is_compressed_for_who_takes_it(server: SiteServer, site: dict[str, bytes]) -> None:
    import gzip

    name = next(name for name in site if name.endswith("app.js"))
    _, headers, body = get(server.port, f"/{name}", {"Accept-Encoding": "gzip, br"})
    assert headers["content-encoding"] == "gzip"
    assert gzip.decompress(body) == site[name]


@pytest.mark.parametrize("path", ["/../pyproject.toml", "/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd", "/b-", "/sw.js/"])
def test_there_is_nothing_but_the_site(server: SiteServer, path: str) -> None:
    status, _, body = get(server.port, path)
    assert status == 404
    assert b"root:" not in body


def test_another_name_or_another_site_is_turned_away(server: SiteServer) -> None:
    assert get(server.port, "/", {"Host": "evil.example"})[0] == 421
    assert get(server.port, "/", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"})[0] == 403


def test_beyond_this_machine_it_is_https_with_a_token_and_a_certificate_that_stays(
    site: dict[str, bytes], tmp_path: Path
) -> None:
    pytest.importorskip("cryptography", reason="the extra [phone] is not installed")
    from edge_convert.web.reach import reach

    (tmp_path / "token").write_text(TOKEN)
    found = reach("0.0.0.0:0", tmp_path / "token", tmp_path / "certificate")
    certificate = tmp_path / "certificate" / "certificate.pem"
    before = certificate.read_bytes()
    again = reach("0.0.0.0:0", tmp_path / "token", tmp_path / "certificate")
    again.listener.close()
    assert certificate.read_bytes() == before
    assert stat.S_IMODE((tmp_path / "certificate" / "key.pem").stat().st_mode) == 0o600
    address = urlsplit(found.address)
    assert (address.scheme, address.path, address.query) == ("https", "/login", f"token={TOKEN}")
    assert address.hostname is not None
    server = SiteServer(found.listener, site, token=found.token, certificate=found.certificate)
    trusted = ssl.create_default_context(cafile=certificate)
    trusted.verify_flags &= ~ssl.VerifyFlags.VERIFY_X509_STRICT
    try:
        answers = []
        for path, headers in (("/", {}), ("/sw.js", {"Authorization": f"Bearer {TOKEN}"})):
            with closing(http.client.HTTPSConnection(address.hostname, server.port, context=trusted)) as connection:
                connection.request("GET", path, headers=headers)
                answers.append(connection.getresponse().status)
        assert answers == [401, 200]
    finally:
        server.stop()


def test_a_certificate_beside_another_key_is_made_anew(tmp_path: Path) -> None:
    pytest.importorskip("cryptography", reason="the extra [phone] is not installed")
    from edge_convert.web.certificate import certificate_for

    broken_off, other = (certificate_for(("board",), tmp_path / name) for name in "ab")
    broken_off.key.write_bytes(other.key.read_bytes())
    found = certificate_for(("board",), tmp_path / "a")
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(found.certificate, found.key)


def test_a_certificate_made_by_a_clock_that_was_ahead_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("cryptography", reason="the extra [phone] is not installed")
    from edge_convert.web import certificate

    with monkeypatch.context() as ahead:
        ahead.setattr(certificate, "datetime", Mock(now=lambda zone: datetime.now(zone) + timedelta(days=5000)))
        made = certificate.certificate_for(("board",), tmp_path).certificate.read_bytes()
    again = certificate.certificate_for(("board",), tmp_path).certificate.read_bytes()
    assert made != again == certificate.certificate_for(("board",), tmp_path).certificate.read_bytes()


def test_a_folder_that_is_no_site_is_not_served(
    tmp_path: Path, sealed_model: SealedModel, no_runtime: LiteRtJs
) -> None:
    (tmp_path / "index.html").write_text("mine")
    with pytest.raises(OutputError, match="is not a site"):
        read_site(tmp_path)
    done = export_site(sealed_model(), tmp_path / "site", no_runtime)
    assert set(read_site(done.out)) == {
        str(path.relative_to(done.out)) for path in done.out.rglob("*") if path.is_file()
    }


def test_the_commands_write_a_site_and_serve_it(
    start: Callable[..., subprocess.Popen[str]],
    sealed_model: SealedModel,
    litert_js: LiteRtJs,
    tmp_path: Path,
) -> None:
    file, out = sealed_model(), tmp_path / "site"
    done = CliRunner().invoke(app, ["web", str(file), "--out", str(out), "--json"])
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["out"] == str(out)
    with start("edge_convert.cli.web_command", "web", out, "--listen", "0") as served:
        assert served.stdout
        address = urlsplit(served.stdout.readline().strip())
        assert (address.scheme, address.hostname) == ("http", "127.0.0.1")
        assert get(int(address.port or 0), "/")[2] == (out / "index.html").read_bytes()
        served.terminate()
        assert served.wait(180) == 143


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--on-failure", "ignore"], "--on-failure is refuse or warn, not 'ignore'"),
        (["--url", "example.org"], "--url is an address such as https://example.org/flowers/, not 'example.org'"),
        (["--runtime-from", "none.tgz"], "none.tgz: No such file or directory"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_leaves_nothing(
    sealed_model: SealedModel,
    tmp_path: Path,
    options: list[str],
    told: str,
) -> None:
    done = CliRunner().invoke(app, ["web", str(sealed_model()), "--out", str(tmp_path / "site"), *options])
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == f"error: {told}\n"
    assert not (tmp_path / "site").exists()


def test_edge_run_finds_the_command_by_its_entry_point() -> None:
    import tomllib

    from edge_convert.cli.web_command import app as registered
    from edge_device.cli.registered_commands import COMMANDS

    project = tomllib.loads((WEB.parents[2] / "pyproject.toml").read_text())["project"]
    assert project["entry-points"][COMMANDS]["web"] == "edge_convert.cli.web_command:app"
    assert [found.name for found in registered.registered_commands] == ["web"]


def test_the_version_of_the_runtime_is_said_the_same_everywhere() -> None:
    from edge_convert.web.litert_js import VERSION

    assert re.search(r'"@litertjs/core": "~(.*)"', (WEB / "js" / "package.json").read_text())[1] == VERSION  # type: ignore[index]

"""What `edge-convert web` writes, and where its runtime comes from; the page itself is tried in test_phone_page.py."""

import base64
import hashlib
import http.server
import io
import json
import re
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path

import pytest

from edge_convert.web import litert_js
from edge_convert.web.esm_bundle import bundle
from edge_convert.web.litert_js import LiteRtJs, find_litert_js, registry_address
from edge_convert.web.phone_site import SiteOptions, export_single, export_site, site_files
from edge_core.errors import CheckFailedError, EdgeError, ModelFormatError, OutputError, SettingsError, WeightsError

SealedModel = Callable[..., Path]

HOSTILE = ("</script><img src=x onerror=alert(1)>", "<b>bold</b>", "عربي ${title}", "\"'&amp;--><!--")


class Parsed(HTMLParser):
    """The elements of a page, and the text of its scripts and style in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, dict[str, str | None], str]] = []
        self._open = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._open = tag

    def handle_endtag(self, tag: str) -> None:
        self._open = ""

    def handle_data(self, data: str) -> None:
        if self._open in ("script", "style"):
            self.texts.append((*self.tags[-1], data))

    @property
    def policy(self) -> str:
        return next(str(found["content"]) for tag, found in self.tags if "http-equiv" in found)

    @property
    def told(self) -> dict[str, object]:
        """The JSON that the page is told."""
        told: dict[str, object] = next(json.loads(text) for tag, found, text in self.texts if found.get("id") == "site")
        return told


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_a_site_names_every_file_by_its_digest_and_has_the_model_as_it_is(
    sealed_model: SealedModel, no_runtime: LiteRtJs, tmp_path: Path
) -> None:
    import gzip

    file = sealed_model()
    done = export_site(file, tmp_path / "site", no_runtime)
    found = {str(path.relative_to(done.out)): path.read_bytes() for path in done.out.rglob("*") if path.is_file()}
    base = f"b-{done.build}/"
    assert gzip.decompress(found[f"{base}model.bin"]) == file.read_bytes()
    worker = json.loads(re.search(r"FILES = (\{.*?\});", found["sw.js"].decode(), re.DOTALL)[1])  # type: ignore[index]
    assert {name.replace("./", "index.html"): digest for name, digest in worker.items()} == {
        name: sha256(content) for name, content in found.items() if name != "sw.js"
    }
    told = Parsed(found["index.html"].decode()).told
    assert told["files"] == {name.removeprefix(base): digest for name, digest in worker.items() if base in name}
    assert done.size_bytes == sum(map(len, found.values()))
    manifest = json.loads(found["manifest.webmanifest"])
    assert {"any", "maskable"} == {icon["purpose"] for icon in manifest["icons"]}
    assert all(found[icon["src"]].startswith(b"\x89PNG") for icon in manifest["icons"])


def test_the_license_of_the_runtime_is_in_the_site(sealed_model: SealedModel, no_runtime: LiteRtJs) -> None:
    text = site_files(sealed_model(), no_runtime).content["licenses.txt"].decode()
    assert "@litertjs/core 2.5.3" in text
    assert "was changed in one place" in text
    assert "TERMS AND CONDITIONS FOR USE, REPRODUCTION, AND DISTRIBUTION" in text


def test_the_same_file_gives_the_same_build_and_another_one_another(
    sealed_model: SealedModel, no_runtime: LiteRtJs
) -> None:
    file = sealed_model()
    first, again = (site_files(file, no_runtime) for _ in range(2))
    assert dict(first.content) == dict(again.content)
    others = [site_files(sealed_model(labels=HOSTILE), no_runtime), site_files(file, no_runtime, SiteOptions("warn"))]
    assert len({first.build, *(other.build for other in others)}) == 3


def test_an_export_replaces_a_site_and_nothing_else(
    sealed_model: SealedModel, no_runtime: LiteRtJs, tmp_path: Path
) -> None:
    out = tmp_path / "site"
    first = export_site(sealed_model(), out, no_runtime)
    second = export_site(sealed_model(labels=HOSTILE), out, no_runtime)
    assert first.build != second.build
    assert [path.name for path in out.glob("b-*")] == [f"b-{second.build}"]
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "1.jpg").write_bytes(b"mine")
    with pytest.raises(OutputError, match="is there already"):
        export_site(sealed_model(), tmp_path / "photos", no_runtime)
    assert (tmp_path / "photos" / "1.jpg").read_bytes() == b"mine"


def test_an_export_that_fails_leaves_the_site_that_was_there(
    sealed_model: SealedModel, no_runtime: LiteRtJs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "site"
    export_site(sealed_model(), out, no_runtime)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    write, count = Path.write_bytes, iter(range(100))

    def full_disk(path: Path, data: bytes) -> int:
        if next(count) == 5:
            raise OSError(28, "No space left on device")
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(OutputError, match="No space left"):
        export_site(sealed_model(labels=HOSTILE), out, no_runtime)
    monkeypatch.undo()
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["site"]


def test_hostile_labels_and_names_are_text(sealed_model: SealedModel, no_runtime: LiteRtJs, tmp_path: Path) -> None:
    model = sealed_model(labels=HOSTILE)
    file = tmp_path / "<svg onload=alert(1)>&.tflite"
    file.write_bytes(model.read_bytes())
    out = tmp_path / "one.html"
    export_single(file, out, no_runtime)
    site = Parsed(site_files(file, no_runtime).content["index.html"].decode())
    single = Parsed(out.read_text())
    for page, scripts in ((site, 2), (single, 5)):
        assert not [found for tag, found in page.tags if {"onerror", "onload"} & found.keys() or tag in ("svg", "b")]
        assert sum(tag == "script" for tag, _ in page.tags) == scripts
        assert dict(page.told["card"])["labels"].endswith(", ".join(HOSTILE))  # type: ignore[call-overload]
        assert page.told["name"] == file.stem


def test_a_single_file_names_its_scripts_and_style_in_its_policy(
    sealed_model: SealedModel, no_runtime: LiteRtJs, tmp_path: Path
) -> None:
    out = tmp_path / "one.html"
    export_single(sealed_model(), out, no_runtime)
    page = Parsed(out.read_text())
    run = [text for tag, found, text in page.texts if tag == "style" or found.get("type") in (None, "module")]
    assert len(run) == 3
    for text in run:
        assert f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" in page.policy
    assert "unsafe-inline" not in page.policy
    assert "unsafe-eval" not in page.policy.replace("wasm-unsafe-eval", "")
    assert not [found for _, found in page.tags if found.get("src")]


def test_what_diverges_is_not_exported(sealed_model: SealedModel, no_runtime: LiteRtJs, tmp_path: Path) -> None:
    whole = sealed_model().read_bytes()
    damaged, unsealed = tmp_path / "damaged.tflite", tmp_path / "unsealed.tflite"
    damaged.write_bytes(whole[:900] + bytes([whole[900] ^ 1]) + whole[901:])
    unsealed.write_bytes(whole[: whole.rindex(b"PK\x05\x06")])
    for file, error in (
        (damaged, CheckFailedError),
        (unsealed, EdgeError),
        (tmp_path / "none.tflite", ModelFormatError),
    ):
        with pytest.raises(error):
            export_site(file, tmp_path / "site", no_runtime)
    assert not (tmp_path / "site").exists()


def test_a_model_of_deep_pictures_is_not_exported(
    sealed_model: SealedModel, no_runtime: LiteRtJs, tmp_path: Path
) -> None:
    thermal = sealed_model(levels=(7300.0, 8300.0))
    for export in (export_site, export_single):
        with pytest.raises(ModelFormatError, match=r"levels 7300\.\.8300\), which browsers decode to 8 bits"):
            export(thermal, tmp_path / "out", no_runtime)
    assert not (tmp_path / "out").exists()


def test_a_pinned_key_must_have_signed_the_file(
    sealed_model: SealedModel, no_runtime: LiteRtJs, tmp_path: Path
) -> None:
    pytest.importorskip("cryptography", reason="the extra [sign] is not installed")
    from edge_convert.keys import read_private_key, write_key_pair

    key, other = (write_key_pair(tmp_path / name) for name in ("vendor", "other"))
    file = sealed_model(signer=read_private_key(tmp_path / "vendor"))
    assert (
        Parsed(site_files(file, no_runtime, SiteOptions(key=key)).content["index.html"].decode()).told["key"]
        == key.hex()
    )
    for refused in (file, sealed_model()):
        with pytest.raises(CheckFailedError, match="diverges at signature"):
            site_files(refused, no_runtime, SiteOptions(key=other))


# ---- where LiteRT.js comes from


def tarball(members: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return packed.getvalue()


IMPORT = b'import { createWasmLib } from "@litertjs/wasm-utils";\n'
MEMBERS = {
    "package/dist/index.js": IMPORT + b"export { createWasmLib as loadLiteRt };\n//# sourceMappingURL=index.js.map\n",
    "package/wasm/litert_wasm_compat_internal.js": b"var ModuleFactory;\n",
    "package/wasm/litert_wasm_compat_internal.wasm": b"\0asm",
}


@contextmanager
def registry(answer: bytes, status: int = 200) -> Iterator[tuple[str, list[str]]]:
    """A registry on this machine that has one tarball; its address, and the paths that were asked for."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> bytes:
    """A tarball whose digest is the known one."""
    data = tarball(MEMBERS)
    monkeypatch.setattr(litert_js, "INTEGRITY", f"sha512-{base64.b64encode(hashlib.sha512(data).digest()).decode()}")
    return data


def test_the_runtime_is_fetched_once_from_the_registry_that_npm_would_ask(
    known: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with registry(known) as (address, asked):
        monkeypatch.setenv("npm_config_registry", address)
        found = find_litert_js(cache=tmp_path)
        assert find_litert_js(cache=tmp_path) == found
        kept = next(tmp_path.rglob("*.tgz"))
        kept.write_bytes(b"damaged")
        assert find_litert_js(cache=tmp_path) == found
    assert asked == ["/@litertjs/core/-/core-2.5.3.tgz"] * 2
    assert (
        found.module == b'import { createWasmLib } from "./wasm_loader.js";\nexport { createWasmLib as loadLiteRt };\n'
    )
    assert kept.read_bytes() == known


def test_the_registry_is_npms_unless_told_otherwise() -> None:
    assert registry_address({}) == "https://registry.npmjs.org/"
    assert registry_address({"NPM_CONFIG_REGISTRY": "https://npm.example/x"}) == "https://npm.example/x/"


@pytest.mark.parametrize("status", [200, 404])
def test_another_tarball_is_refused_and_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    with registry(tarball(MEMBERS), status) as (address, _):
        monkeypatch.setenv("npm_config_registry", address)
        with pytest.raises(
            WeightsError, match="has the digest" if status == 200 else "cannot be fetched.*answered 404"
        ):
            find_litert_js(cache=tmp_path)
    assert not list(tmp_path.rglob("*.tgz"))


def test_a_machine_without_a_network_takes_a_file(
    known: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "core.tgz"
    file.write_bytes(known)
    assert find_litert_js(file, cache=tmp_path).wasm
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9")
    with pytest.raises(WeightsError, match="--runtime-from"):
        find_litert_js(cache=tmp_path)
    file.write_bytes(known + b"\0")
    with pytest.raises(WeightsError, match=r"npm pack @litertjs/core@2\.5\.3"):
        find_litert_js(file)


# ---- modules as one script


def test_modules_become_one_script_in_the_order_in_which_they_need_each_other() -> None:
    app = 'import { $, two as zwei } from "./lib/view.js";\nimport * as all from "../b.js";\nall.run($, zwei);\n'
    view = "export const $ = 1;\n/** {import('./x.js').X} */\nfunction second() {}\nexport { second as two };\n"
    code = bundle("app.js", {"app.js": app, "view.js": view, "b.js": "export async function run() {}\n"})
    assert code.index("module_view =") < code.index("module_b =") < code.index("module_app =")
    assert "const { $, two: zwei } = module_view;" in code.replace("{$", "{ $").replace("zwei}", "zwei }")
    assert "return { $: $, two: second };" in code


@pytest.mark.parametrize(
    "code",
    [
        "export default 1;",
        'import x from "./b.js";',
        'const x = await import("./b.js");',
        "export const { a } = b;",
        'import { a } from "./gone.js";',
        "const here = import.meta.url;",
    ],
)
def test_what_a_single_file_cannot_have_is_refused(code: str) -> None:
    with pytest.raises(SettingsError):
        bundle("app.js", {"app.js": code, "b.js": ""})

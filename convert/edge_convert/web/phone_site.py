"""A site, or one HTML file, that classifies a phone's camera with a .tflite as it is.

    site/
        index.html  sw.js  manifest.webmanifest  licenses.txt
        b-BUILD/    model.bin  runtime.bin  litert_loader.js  app.css  js/  page/  icons

All but the four files on top lie in a folder that is named after the digest of what is in it. So a host may keep them
for ever, and a page never mixes two builds: what it asks for is there as it was, or not at all.
"""

import base64
import gzip
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from importlib import metadata
from pathlib import Path
from string import Template
from types import MappingProxyType
from typing import Final, Literal

from edge_convert.web.app_icons import app_icon
from edge_convert.web.esm_bundle import bundle
from edge_convert.web.litert_js import PACKAGE, VERSION, LiteRtJs
from edge_core.artifact.card import ModelCard
from edge_core.artifact.container import read_card
from edge_core.codec import JsonObject
from edge_core.errors import CheckFailedError, ModelFormatError
from edge_core.files import folder_written_whole, require_free, written_whole
from edge_device.command_line.console import extra_needed
from edge_device.inference.card_rows import card_rows
from edge_device.inference.verify import verify

OnFailure = Literal["refuse", "warn"]

_HERE: Final = Path(__file__).parent
_ENTRY: Final = "app.js"
_ICONS: Final = {"icon-192.png": (192, False), "icon-512.png": (512, False), "icon-maskable.png": (512, True)}

_NOTHING_ELSE: Final = "base-uri 'none'; form-action 'none'"

POLICY: Final = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' blob: data:; "
    f"media-src blob:; connect-src 'self'; manifest-src 'self'; worker-src 'self'; {_NOTHING_ELSE}"
)
"""Content security policy of a site. WebAssembly may be compiled, which is the least that a runtime needs; no text
becomes code. Pictures and videos that a person opens are `blob:` addresses."""


@dataclass(frozen=True)
class SiteOptions:
    """What a site is to do.

    Attributes:
        on_failure: What the page does when its self-test fails: it refuses to classify, or warns and goes on.
        key: Public key, 32 bytes, that must have signed the model; None asks for no signature.
        address: Address at which the site will be, for its QR code; empty for none.
    """

    on_failure: OnFailure = "refuse"
    key: bytes | None = None
    address: str = ""


@dataclass(frozen=True)
class SiteExport:
    """A site that was written.

    Attributes:
        out: The folder, or the HTML file.
        build: Digest that names the build, 12 hexadecimal digits.
        digest: SHA-256 of the model as its seal has it, hexadecimal.
        size_bytes: Size of everything on the disk.
        first_visit_bytes: What a browser loads at its first visit from a host that compresses text.
    """

    out: Path
    build: str
    digest: str
    size_bytes: int
    first_visit_bytes: int

    def to_json(self) -> JsonObject:
        """The object that `edge-convert web --json` prints."""
        return {
            "out": str(self.out),
            "build": self.build,
            "digest": self.digest,
            "size_bytes": self.size_bytes,
            "first_visit_bytes": self.first_visit_bytes,
        }


@dataclass(frozen=True, eq=False)
class _Model:
    """What a site shows: the file's bytes, the digest of its seal, its card, and its name."""

    data: bytes
    digest: str
    card: ModelCard
    name: str


def export_site(file: Path, out: Path, runtime: LiteRtJs, options: SiteOptions = SiteOptions()) -> SiteExport:
    """Writes a folder that any static host can serve over HTTPS.

    Args:
        file: A .tflite that `edge-convert export` sealed.
        out: Folder to write; it is there whole or not at all, and a site that is there already gives way.
        runtime: LiteRT.js, from `find_litert_js`.
        options: What the site is to do.

    Raises:
        CheckFailedError: The model does not do here what it did where it was made, or is not signed as asked.
        ModelFormatError: The file is not sealed, has no model for a CPU, or takes pictures of more than 8 bits.
        OutputError: The folder cannot be written.
    """
    is_site = (out / "sw.js").is_file()
    if not is_site:
        require_free(out)
    files = site_files(file, runtime, options)
    with folder_written_whole(out, replace=is_site) as beside:
        for name, content in files.content.items():
            path = beside / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    return files.described(out)


@dataclass(frozen=True, eq=False)
class SiteFiles:
    """A site in memory.

    Attributes:
        content: Content of each file by its path in the site.
        build: Digest that names the build.
        digest: Digest of the model's seal.
    """

    content: Mapping[str, bytes]
    build: str
    digest: str

    def described(self, out: Path) -> SiteExport:
        sizes = {name: len(content) for name, content in self.content.items()}
        first = sum(
            len(gzip.compress(content, 6)) if Path(name).suffix in (".js", ".html", ".css") else sizes[name]
            for name, content in self.content.items()
            if Path(name).name not in ("licenses.txt", "icon-512.png", "icon-maskable.png")
        )
        return SiteExport(out, self.build, self.digest, sum(sizes.values()), first)


def site_files(file: Path, runtime: LiteRtJs, options: SiteOptions = SiteOptions()) -> SiteFiles:
    """The files of a site; raises what `export_site` does, but for the writing."""
    model = _checked(file, options)
    built: dict[str, bytes] = {
        "model.bin": gzip.compress(model.data, 6, mtime=0),
        "runtime.bin": runtime.wasm,
        "litert_loader.js": runtime.loader,
        "page/litertjs_core.js": runtime.module,
        "app.css": (_HERE / "page" / "app.css").read_bytes(),
        **{name: code.encode() for name, code in _modules().items()},
        **_qr(options.address),
        **{name: app_icon(side, maskable=maskable) for name, (side, maskable) in _ICONS.items()},
    }
    digests = {name: _sha256(content) for name, content in sorted(built.items())}
    told = _told(model, options) | {"files": digests, "loader": "litert_loader.js"}
    # Over all that the page is made of: with any change the folder has another name, and no cache mixes two builds.
    build = _sha256(json.dumps(told).encode() + (_HERE / "page" / "index.html").read_bytes())[:12]
    base = f"b-{build}/"
    head = (
        # Without this browsers fetch a manifest without cookies, which a server that asks for a token refuses.
        '<link rel="manifest" href="manifest.webmanifest" crossorigin="use-credentials">\n'
        f'<link rel="icon" href="{base}icon-192.png">\n<link rel="apple-touch-icon" href="{base}icon-192.png">\n'
        f'<link rel="stylesheet" href="{base}app.css">'
    )
    scripts = _site_json(told | {"build": build, "base": base, "loader": f"{base}litert_loader.js"})
    scripts += f'\n<script type="module" src="{base}page/{_ENTRY}"></script>'
    top = {
        "./": _page(model.name, POLICY, head, scripts).encode(),
        "manifest.webmanifest": _manifest(model, base),
        "licenses.txt": licenses_text().encode(),
    }
    listed = {name: _sha256(content) for name, content in top.items()}
    listed |= {base + name: digest for name, digest in digests.items()}
    worker = Template((_HERE / "page" / "sw.js").read_text("utf-8")).safe_substitute(
        build=build, files=json.dumps(listed, indent=2)
    )
    content = {base + name: data for name, data in built.items()}
    content |= {name.replace("./", "index.html"): data for name, data in top.items()} | {"sw.js": worker.encode()}
    return SiteFiles(MappingProxyType(content), build, model.digest)


def export_single(file: Path, out: Path, runtime: LiteRtJs, options: SiteOptions = SiteOptions()) -> SiteExport:
    """Writes one HTML file that holds everything; raises what `export_site` does."""
    model = _checked(file, options)
    data = {"model.bin": gzip.compress(model.data, 6, mtime=0), "runtime.bin": runtime.wasm, **_qr(options.address)}
    told = _told(model, options) | {"files": {name: _sha256(content) for name, content in data.items()}}
    build = _sha256(json.dumps(told).encode())[:12]
    style = (_HERE / "page" / "app.css").read_text("utf-8")
    by_name = {Path(path).name: code for path, code in _modules().items()}
    by_name["litertjs_core.js"] = runtime.module.decode("utf-8")
    loader, code = (_in_script(text) for text in (runtime.loader.decode(), bundle(_ENTRY, by_name)))
    icon = base64.b64encode(app_icon(192)).decode()
    head = f'<link rel="icon" href="data:image/png;base64,{icon}">\n<style>{style}</style>'
    blocks = [
        _site_json(told | {"build": build, "base": "", "loader": ""}),
        *(
            f'<script type="application/octet-stream" id="file-{name}">{base64.b64encode(content).decode()}</script>'
            for name, content in data.items()
        ),
        f"<script>{loader}</script>",
        f'<script type="module">{code}</script>',
        # Two hyphens in a row may not stand within a comment of HTML.
        f"<!--\n{licenses_text().replace('--', '- -')}-->",
    ]
    policy = (
        f"default-src 'none'; script-src {_source(loader)} {_source(code)} 'wasm-unsafe-eval'; "
        f"style-src {_source(style)}; img-src blob: data:; media-src blob:; {_NOTHING_ELSE}"
    )
    page = _page(model.name, policy, head, "\n".join(blocks)).encode()
    with written_whole(out) as beside:
        beside.write_bytes(page)
    return SiteExport(out, build, model.digest, len(page), len(page))


def _checked(file: Path, options: SiteOptions) -> _Model:
    """The model, once its seal, its signature and its golden vectors were found right here."""
    found = verify(file, key=options.key)
    if found.divergence:
        raise CheckFailedError(f"{file} diverges at {found.divergence.stage}: {found.divergence.reason}")
    card = read_card(file)
    if card.input.levels is not None:
        low, high = card.input.levels
        raise ModelFormatError(
            f"{file} was trained on pictures of more than 8 bits (levels {low:g}..{high:g}), which browsers decode to "
            "8 bits; run it with edge-run"
        )
    assert found.seal  # without one, verify raises
    return _Model(file.read_bytes(), found.seal.digest, card, file.stem)


def _modules() -> dict[str, str]:
    """Code of the engine's modules and of the page's own, by their paths."""
    return {
        f"{folder}/{path.name}": path.read_text("utf-8")
        for folder in ("js", "page")
        for path in sorted((_HERE / folder).glob("*.js"))
        if path.name not in ("sw.js", "index.js")  # the latter is the way in for other people's pages
    }


def _told(model: _Model, options: SiteOptions) -> JsonObject:
    """What the page is told beside its files."""
    return {
        "name": model.name,
        "onFailure": options.on_failure,
        "runtime": VERSION,
        "key": options.key.hex() if options.key else "",
        "card": [[name, text] for name, text in card_rows(model.card).items()],
        "qr": bool(options.address),
    }


def _site_json(told: JsonObject) -> str:
    """JSON that is never run: a label `</script>` in it would end it, so no character of it can be markup."""
    data = json.dumps(told)
    for character in "<>&":
        data = data.replace(character, f"\\u{ord(character):04x}")
    return f'<script type="application/json" id="site">{data}</script>'


def _page(title: str, policy: str, head: str, scripts: str) -> str:
    licenses = (
        f"The model runs with LiteRT.js {VERSION} ({PACKAGE}), Apache License 2.0, © Google LLC and the LiteRT authors."
    )
    return Template((_HERE / "page" / "index.html").read_text("utf-8")).substitute(
        policy=policy, title=escape(title), head=head, scripts=scripts, licenses=licenses
    )


def _manifest(model: _Model, base: str) -> bytes:
    icons = [
        {
            "src": base + name,
            "sizes": f"{side}x{side}",
            "type": "image/png",
            "purpose": "maskable" if maskable else "any",
        }
        for name, (side, maskable) in _ICONS.items()
    ]
    manifest = {
        "name": model.name,
        "short_name": model.name[:12],
        "description": "Tells what the camera sees, on this device.",
        "id": "./",
        "start_url": "./",
        "scope": "./",
        "display": "standalone",
        "background_color": "#ffffff",
        "theme_color": "#1b6ac9",
        "icons": icons,
    }
    return json.dumps(manifest, ensure_ascii=False, indent=2).encode()


def licenses_text() -> str:
    """Whose work is in a site, and the license of it."""
    try:
        own = metadata.distribution("edge-mobilenet")
        text = own.read_text("licenses/LICENSE") or own.read_text("LICENSE") or ""
    except metadata.PackageNotFoundError:
        text = ""
    return (
        f"This site contains {PACKAGE} {VERSION} (LiteRT.js), Copyright Google LLC and the LiteRT authors,\n"
        "https://github.com/google-ai-edge/LiteRT, under the Apache License, Version 2.0.\n"
        "Its module litertjs_core.js was changed in one place: it imports wasm_loader.js, not @litertjs/wasm-utils.\n"
        "Its WebAssembly is compressed with gzip. The page around it is edge-mobilenet's, under the same license.\n\n"
        + (text or "The license is at https://www.apache.org/licenses/LICENSE-2.0\n")
    )


def _qr(address: str) -> dict[str, bytes]:
    """The QR code of an address as a file, or none without an address; only then the extra `phone` is needed."""
    if not address:
        return {}
    with extra_needed("phone", "segno"):
        from edge_convert.web.qr_code import qr_svg
    return {"qr.svg": qr_svg(address)}


def _in_script(code: str) -> str:
    """Code as it may stand between script tags: what would end them, or begin a comment, is escaped in its strings."""
    return code.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _source(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()

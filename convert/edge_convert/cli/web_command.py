"""`edge-convert web`, and its sibling `edge-run web` that serves what it writes."""

import json
import time
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from edge_core.errors import SettingsError
from edge_device.command_line.console import Debug, Json, command_group, extra_needed, one_line_errors, say, track
from edge_device.command_line.next_step import say_next

if TYPE_CHECKING:
    from edge_convert.web.phone_site import SiteOptions

RuntimeFrom = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.tgz",
        help="LiteRT.js as `npm pack @litertjs/core@2.5.3` wrote it. Default: fetched from npm once, then kept.",
    ),
]
OnFailure = Annotated[
    str,
    typer.Option(metavar="refuse|warn", help="What the page does on a phone where the model's self-test fails."),
]
Key = Annotated[
    Path | None,
    typer.Option(help="File of the public key that must have signed the model, a .pub. Default: none."),
]


def web(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .tflite that edge-convert exported.")],
    out: Annotated[Path, typer.Option(help="Folder to write, or the HTML file with --single-file.")],
    single_file: Annotated[
        bool, typer.Option("--single-file", help="Write one HTML file that holds everything.")
    ] = False,
    url: Annotated[
        str, typer.Option(help="Address at which the site will be; the page shows its QR code. Default: none.")
    ] = "",
    runtime_from: RuntimeFrom = None,
    on_failure: OnFailure = "refuse",
    key: Key = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Write a site that classifies a phone's camera with FILE, in the browser, offline once it was opened.

    Put the folder on any host that serves HTTPS. The page replays the model's golden vectors before the first frame,
    and names the stage that diverges if one does. A site that is at OUT already is replaced as a whole. LiteRT.js is
    fetched from npm's registry (npm_config_registry names another one) and checked against its known digest.

    Example: edge-convert web flowers-int8.tflite --out site/
    """
    with one_line_errors(debug):
        from edge_convert.web.litert_js import find_litert_js
        from edge_convert.web.phone_site import export_single, export_site

        options = site_options(on_failure, key, url)
        runtime = find_litert_js(runtime_from, track=track)
        export = export_single if single_file else export_site
        done = export(file, out, runtime, options)
        if as_json:
            print(json.dumps(done.to_json()), flush=True)
            return
        print(f"{done.out}  build {done.build}, {done.size_bytes / 1e6:.1f} MB, "
              f"{done.first_visit_bytes / 1e6:.1f} MB at the first visit", flush=True)  # fmt: skip
        say_next(f"edge-run web {quote(str(out))}")


def site_options(on_failure: str, key: Path | None, url: str) -> "SiteOptions":
    """Options of a site from those of a command.

    Raises:
        SettingsError: One of them is not a valid one.
        KeyFileError: The key cannot be read.
    """
    from edge_convert.web.phone_site import SiteOptions

    if on_failure not in ("refuse", "warn"):
        raise SettingsError(f"--on-failure is refuse or warn, not {on_failure!r}")
    if url and not url.startswith(("https://", "http://")):
        raise SettingsError(f"--url is an address such as https://example.org/flowers/, not {url!r}")
    public_key = None
    if key is not None:
        with extra_needed("sign", "cryptography"):
            from edge_device.inference.signature import read_public_key
        public_key = read_public_key(key)
    return SiteOptions("warn" if on_failure == "warn" else "refuse", public_key, url)


app = command_group("Serve a site that edge-convert web wrote.")


@app.callback()
def _group() -> None:
    """Makes `web` a word of its own, as the entry point of `edge-run` calls it."""


@app.command("web")
def serve(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A .tflite, or a site or HTML file that edge-convert web wrote.")
    ],
    listen: Annotated[
        str, typer.Option(metavar="[HOST:]PORT", help="Where to listen; 0.0.0.0:8443 reaches the local network.")
    ] = "127.0.0.1:8080",
    token_file: Annotated[
        Path | None, typer.Option(help="File with the token that is asked for beyond this machine. Default: a new one.")
    ] = None,
    runtime_from: RuntimeFrom = None,
    on_failure: OnFailure = "refuse",
    key: Key = None,
    debug: Debug = False,
) -> None:
    """Serve a page that classifies a phone's camera with FILE, in the browser.

    On this machine alone it is http://127.0.0.1:8080. Beyond it the page comes over HTTPS with a certificate that this
    machine signs for itself, and asks for a token; the QR code on the terminal holds both. A phone warns of such a
    certificate once, then gives the page its camera. The page does not work offline then: that takes a host with a
    certificate that the phone trusts.

    Example: edge-run web flowers-int8.tflite --listen 0.0.0.0:8443
    """
    with one_line_errors(debug):
        with extra_needed("phone", "starlette", "uvicorn"):
            from edge_convert.web.site_server import SiteServer, read_site
        from edge_convert.web.reach import Reach, reach

        if file.suffix == ".tflite":
            from edge_convert.web.litert_js import find_litert_js
            from edge_convert.web.phone_site import site_files

            files = site_files(
                file, find_litert_js(runtime_from, track=track), site_options(on_failure, key, "")
            ).content
        else:
            files = read_site(file)
        found: Reach = reach(listen, token_file)
        server = SiteServer(found.listener, files, token=found.token, certificate=found.certificate)
        try:
            print(found.address, flush=True)
            for line in found.hints():
                say(line)
            while server.alive:
                time.sleep(0.5)
        finally:
            server.stop()

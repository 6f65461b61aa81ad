"""`edge-convert publish`."""

from pathlib import Path
from typing import Annotated

import typer

from edge_core.errors import SettingsError
from edge_device.command_line.console import Debug, extra_needed, one_line_errors, say

Percent = Annotated[
    str, typer.Option(help="Part of the boards that FILE reaches: 10% now, 100% once it has proven good.")
]


def publish(
    to: Annotated[Path, typer.Option(help="Folder to publish in, which any web server can serve.")],
    key: Annotated[Path, typer.Option(help="Private key that signed FILE, as `edge-convert keygen` makes it.")],
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="A .tflite that was exported with --sign KEY.")
    ] = None,
    rollout: Percent = "100%",
    group: Annotated[str, typer.Option(help="Group of boards that FILE is for. Default: all boards.")] = "",
    expires: Annotated[
        int, typer.Option(metavar="DAYS", min=1, help="Days until boards want to see the folder signed anew.")
    ] = 30,
    new_key: Annotated[
        Path | None, typer.Option(help="Private key that takes over; afterwards publish files that it has signed.")
    ] = None,
    debug: Debug = False,
) -> None:
    """Publish a model file for boards that run `edge-run live --update-from`.

    The folder holds signed metadata by The Update Framework: serve it as it is. Publish the same FILE again to change
    whom it reaches. Without FILE the metadata is signed anew, which must be done before it expires.

    Example: edge-convert publish flowers-int8.tflite --to site/ --key vendor --rollout 10%
    """
    with one_line_errors(debug):
        with extra_needed("update", "tuf", "securesystemslib", "cryptography"):
            from edge_convert.keys import read_private_key
            from edge_convert.publish.publication import publish as publish_file
            from edge_convert.publish.publication import refresh, rotate_key
        private = read_private_key(key)
        if new_key is not None:
            if file is not None:
                raise SettingsError("--new-key hands the folder over; publish FILE with the new key afterwards")
            until = rotate_key(to, private, read_private_key(new_key), days=expires)
            say(f"{to} is {new_key}'s from now on, until {until:%Y-%m-%d}; publish files that it has signed")
        elif file is None:
            say(f"{to} is signed anew, until {refresh(to, private, days=expires):%Y-%m-%d}")
        else:
            done = publish_file(file, to, private, rollout=percent(rollout), group=group, days=expires)
            whom = f"{done.offer.rollout:g} % of {f'group {group}' if group else 'all boards'}"
            print(f"{done.offer.target}  {whom}, until {done.expires:%Y-%m-%d}", flush=True)


def percent(text: str) -> float:
    """A percentage, `10%` or `10`.

    Raises:
        SettingsError: It is something else.
    """
    try:
        return float(text.strip().removesuffix("%"))
    except ValueError:
        raise SettingsError(f"--rollout is a percentage such as 10%, not {text!r}") from None

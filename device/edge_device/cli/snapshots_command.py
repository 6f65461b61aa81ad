"""`edge-run snapshots`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from edge_core.errors import CheckFailedError
from edge_device.command_line.arguments import Commands
from edge_device.command_line.console import Debug, Json, one_line_errors, say, track
from edge_device.command_line.narrow_help import CommandApp

app = CommandApp(
    cls=Commands, help="Bring home the pictures that boards have kept with --snapshots.", no_args_is_help=True
)


@app.callback()
def _group() -> None:
    """Bring home the pictures that boards have kept with --snapshots.

    Example: edge-run snapshots pull http://porch:8080 --to unsure/
    """


@app.command()
def pull(
    host: Annotated[
        str, typer.Argument(metavar="BOARD", help="http://HOST:PORT of a live page, or ssh://USER@HOST/FOLDER.")
    ],
    to: Annotated[Path, typer.Option(help="Folder that the pictures are put in, by label.")],
    token_file: Annotated[
        Path | None, typer.Option(help="File with the token of the live page. Default: EDGE_RUN_TOKEN has it.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the pictures on the board, too.")] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Fetch the snapshots of a board, and remove there what has arrived here.

    A picture is removed from the board once it is on this disk and found to be the same. Sort the pictures into the
    folders of their classes, and train on them. The exit status is 1 if some did not arrive whole.

    Example: edge-run snapshots pull http://porch:8080 --token-file porch.token --to unsure/

    Example: edge-run snapshots pull ssh://pi@porch/var/lib/edge-run/unsure --to unsure/
    """
    with one_line_errors(debug):
        # Late: tarfile and urllib.request, which listing the commands does without.
        from edge_device.sinks.inbox.pull import pull_snapshots
        from edge_device.sinks.web.address import known_token

        done = pull_snapshots(host, to, token=known_token(token_file), keep=keep, track=track)
        if as_json:
            print(json.dumps({"pictures": done.pictures, "left": done.left}), flush=True)
        say(f"{done.pictures} pictures are in {to}")
        if done.left:
            raise CheckFailedError(f"{done.left} pictures did not arrive whole; run the same command again")

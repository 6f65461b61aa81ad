"""Arguments and options that several commands have, and what reads them."""

from pathlib import Path
from typing import Annotated, Final

import typer

NEEDS: Final = ("tensorflow", "tf_keras", "matplotlib")


Sign = Annotated[
    Path | None,
    typer.Option(
        help="File of the private key to sign with, as `edge-convert keygen` makes it. Default: no signature."
    ),
]


Calibration = Annotated[
    Path | None, typer.Option(help="Photo folder to calibrate on. Default: a sample of the run's training photos.")
]


TfliteFile = Annotated[Path, typer.Argument(metavar="FILE", help="Any .tflite file.", show_default=False)]


def known_names(names: list[str] | None, more: tuple[str, ...]) -> list[str] | None:
    from edge_convert.targets import target_names

    able = (*more, *target_names())
    for name in names or ():
        if name not in able:
            raise typer.BadParameter(f"no target is called {name!r}; there are {', '.join(able)}")
    return names

"""Arguments and options that several commands have."""

from pathlib import Path
from typing import Annotated, Final

import typer

NEEDS: Final = ("tensorflow", "tf_keras", "h5py", "matplotlib", "scipy")


TRAIN_COMMANDS: Final = "edge_mobilenet.train_commands"
"""Group of entry points: commands of `edge-train` that packages above this one have, each a Typer application."""


RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="Run folder that `edge-train fit` wrote.")]


Data = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="Folder with one subfolder per class (or train/, val/ and test/ of that form), a .zip or .tar of one, a "
        "CSV of path,label, or a set by its name: signs, flowers, cats_dogs, oxford_pets, tfds:NAME.",
    ),
]


DataDir = Annotated[
    Path | None,
    typer.Option(envvar="EDGE_DATA_DIR", help="Folder in which the named sets lie already, as NAME/CLASS/photo.jpg."),
]

"""Arguments and options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

from edge_device.inference.interpreter import RuntimeName

Model = Annotated[Path, typer.Argument(metavar="MODEL", help="A .tflite that edge-convert wrote.", show_default=False)]
Runtime = Annotated[RuntimeName, typer.Option(help="Which interpreter runs the model.")]
Device = Annotated[
    str,
    typer.Option(
        help="Device that runs the model: cpu, coral, coral:usb or coral:pci; coral:usb:1 is the second of several."
    ),
]
Threads = Annotated[int | None, typer.Option(min=1, help="Number of threads for one inference. Default: all cores.")]

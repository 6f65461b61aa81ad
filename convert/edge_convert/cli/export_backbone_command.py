"""`edge-convert export-backbone`."""

from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from edge_convert.cli.convert_parameters import NEEDS, Sign
from edge_core.errors import SettingsError
from edge_core.files import require_tflite
from edge_core.preprocess import InputSpec
from edge_device.command_line.console import Debug, extra_needed, one_line_errors, say, track, working
from edge_device.command_line.next_step import say_next
from edge_device.inference.signing_key import read_signer
from edge_device.system.user_folders import cache_folder


def export_backbone(
    out: Annotated[Path, typer.Option(help="The .tflite to write.")] = Path("backbone.tflite"),
    backbone: Annotated[str, typer.Option(help="Network, as for edge-train fit.")] = "mobilenet_v2",
    alpha: Annotated[float, typer.Option(help="Width multiplier of the network.")] = 1.0,
    image_size: Annotated[
        int | None, typer.Option(min=32, help="Side of the input in pixels. Default: that of the network.")
    ] = None,
    weights: Annotated[
        str, typer.Option(help="Pretrained weights: imagenet, or the path of a weights file.")
    ] = "imagenet",
    recipe: Annotated[str, typer.Option(help="Recipe: int8, float16 or float32.")] = "int8",
    calibration: Annotated[
        Path | None, typer.Option(help="Folder of any photos to calibrate on. Default: drawn pictures.")
    ] = None,
    sign: Sign = None,
    debug: Debug = False,
) -> None:
    """Write a pretrained network that knows no label yet, to be taught on a board.

    Example: edge-convert export-backbone --out backbone.tflite
    """
    with one_line_errors(debug):
        require_tflite(out)
        signer = read_signer(sign)
        with extra_needed("convert", *NEEDS), working("Loading TensorFlow"):
            from edge_convert.export.untaught import PretrainedNetwork
            from edge_convert.export.untaught import export_backbone as export
            from edge_convert.quantize.recipes import RECIPES
            from edge_keras.models.architectures import ARCHITECTURES
            from edge_keras.models.pretrained import find_weights
        if backbone not in ARCHITECTURES:
            raise SettingsError(f"no network is called {backbone!r}; there are {', '.join(ARCHITECTURES)}")
        if recipe not in RECIPES or recipe == "int8-qat":
            raise SettingsError(f"no recipe is called {recipe!r} here; there are int8, float16 and float32")
        architecture = ARCHITECTURES[backbone]
        side = image_size or architecture.size
        found = find_weights(weights, alpha=alpha, size=side, cache=cache_folder(), architecture=architecture)
        say(f"weights: {found.source}")
        export(
            out,
            PretrainedNetwork(architecture, found, alpha),
            InputSpec(side, side),
            recipe=recipe,
            calibration=calibration,
            signer=signer,
            track=track,
        )
        print(f"{out}  {out.stat().st_size / 1e6:.2f} MB, knows no label yet")
        say_next(f"edge-run teach {quote(str(out))} --source 0 --label NAME")

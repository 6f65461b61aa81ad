"""`edge-train signs`."""

from pathlib import Path
from typing import Annotated

import typer

from edge_core.files import require_writable
from edge_device.command_line.console import (
    Debug,
    extra_needed,
    one_line_errors,
    track,
)
from edge_device.command_line.next_step import say_next


def signs(
    sheet: Annotated[
        Path | None, typer.Option(help="File to write with the signs on A4 pages for printing, ending in .pdf.")
    ] = None,
    video: Annotated[
        Path | None,
        typer.Option(
            help="File to write with a video of a drive past the signs, ending in .mp4; a .csv beside it says what it "
            "shows."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Random seed of the video.", min=0)] = 1,
    debug: Debug = False,
) -> None:
    """Write the signs of the built-in dataset as pages to print, or a video that drives past them.

    Example: edge-train signs --sheet signs.pdf --video drive.mp4
    """
    with one_line_errors(debug):
        with extra_needed("train", "matplotlib"):
            from edge_train.data.signs import write_sheet, write_video
        if sheet is None and video is None:
            raise typer.BadParameter("say what to write: --sheet FILE.pdf, --video FILE.mp4 or both")
        for place in (sheet, video, video and video.with_suffix(".csv")):
            if place is not None:
                require_writable(place)
        if sheet is not None:
            write_sheet(sheet)
            print(sheet)
        if video is not None:
            write_video(video, seed, track=track)
            print(video)
        say_next("edge-train fit signs")

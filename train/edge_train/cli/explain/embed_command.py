"""`edge-train explain embed`."""

import json
from enum import StrEnum
from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from edge_core.files import require_free
from edge_core.run_folder import read_run
from edge_device.command_line.console import (
    Debug,
    Json,
    extra_needed,
    one_line_errors,
    say,
    say_unusable,
    track,
    working,
)
from edge_device.command_line.next_step import say_next
from edge_train.cli.train_parameters import NEEDS, RunFolder


class MethodName(StrEnum):
    """How an embedding is flattened."""

    pca = "pca"
    umap = "umap"


class WhichName(StrEnum):
    """Photos of a run."""

    all = "all"
    train = "train"
    val = "val"
    test = "test"


def embed(
    run: RunFolder,
    data: Annotated[
        Path | None,
        typer.Argument(
            metavar="DATA",
            help="Photo folder, with one subfolder per class or without labels, or CSV of path,label. Default: all "
            "photos of the run.",
        ),
    ] = None,
    which: Annotated[WhichName, typer.Option("--split", help="Split of the run's own photos to use.")] = WhichName.all,
    labels: Annotated[
        bool, typer.Option("--labels/--no-labels", help="Whether the subfolders of DATA are classes.")
    ] = True,
    method: Annotated[
        MethodName,
        typer.Option(
            help="How the map is made: pca by principal components, umap so that neighbors stay together (needs "
            "umap-learn)."
        ),
    ] = MethodName.pca,
    nearest: Annotated[
        list[Path] | None,
        typer.Option(metavar="PHOTO", help="Print what lies nearest to a picture, and write nothing. May be repeated."),
    ] = None,
    count: Annotated[int, typer.Option(help="Number of nearest photos to print.", min=1)] = 10,
    out: Annotated[Path, typer.Option(help="Folder to write, with embedding.html and photos.csv.")] = Path("embedding"),
    seed: Annotated[int, typer.Option(help="Random seed of UMAP and of the clusters.", min=0, max=2**32 - 1)] = 1,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Map photos by what the last layer sees: what the network takes to be alike, and what is probably mislabeled.

    Example: edge-train explain embed runs/flowers

    Example: edge-train explain embed runs/flowers photos/ --nearest rose.jpg
    """
    if data is not None and which is not WhichName.all:
        raise typer.BadParameter("photos of a folder are of no split", param_hint="--split")
    with one_line_errors(debug):
        if not nearest:
            require_free(out)
        with extra_needed("train", *NEEDS), working("Loading TensorFlow"):
            from edge_train.explain.embedding.embed import Embedder, lay_out, nearest_photos
            from edge_train.explain.embedding.embed import embed as embed_photos
            from edge_train.explain.embedding.map_page import PAGE_FILE, make_map, map_lines, nearest_lines, write_map
        if method is MethodName.umap and not nearest:
            with extra_needed("explain", "umap"):
                import umap  # noqa: F401
        embedder = Embedder(read_run(run))
        asked = [embedder.picture(picture) for picture in nearest or ()]  # before thousands of others
        embedding = embed_photos(embedder, data, which=which.value, labeled=labels, track=track)
        say_unusable(embedding.unusable)
        if embedding.left_out:
            photos = "photo" if embedding.left_out == 1 else "photos"
            say(
                f"{embedding.left_out} {photos} left out, at even distances: a map has room for {len(embedding.photos)}"
            )
        if nearest:
            for picture, vector in zip(nearest, asked, strict=True):
                near = nearest_photos(embedding, picture, vector, count)
                print(
                    json.dumps({"source": str(picture), "nearest": [one.to_json() for one in near]})
                    if as_json
                    else nearest_lines(picture, near)
                )
            if not as_json:
                say_next(f"edge-train explain embed {quote(str(run))}")
            return
        if method is MethodName.umap:
            say(f"UMAP of {len(embedding.photos)} photos ...")  # does not tell how far it is
        found = make_map(embedding, lay_out(embedding.vectors, method.value, seed), seed, track=track)
        size = write_map(found, f"{run.resolve().name}: what is alike", out)
        say(f"written: {out / PAGE_FILE}, {size / 1e6:.1f} MB")
        print(json.dumps(found.to_json()) if as_json else map_lines(found), flush=True)
        if not as_json:
            say_next(f"edge-train explain heatmap {quote(str(run))} --photos 20")

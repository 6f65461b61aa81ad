"""The commands of `edge-train explain`."""

import json
from enum import StrEnum
from pathlib import Path
from shlex import quote
from typing import Annotated, Final

import typer

from edge_core.files import folder_written_whole, require_free, written_whole
from edge_core.run_folder import read_run
from edge_device.command_line.console import (
    Debug,
    Json,
    command_line,
    extra_needed,
    one_line_errors,
    say,
    say_unusable,
    track,
    working,
)
from edge_device.command_line.next_step import say_next

app = command_line("Show what a trained network looks at.")
NEEDS: Final = ("tensorflow", "tf_keras", "h5py", "matplotlib", "scipy")

RunFolder = Annotated[Path, typer.Argument(help="Run folder that `edge-train fit` wrote.")]


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


class AttackName(StrEnum):
    """How an adversarial picture is searched; `edge_train.training.attacks` has them."""

    fgsm = "fgsm"
    pgd = "pgd"


class NormName(StrEnum):
    """What bounds the change of an adversarial picture."""

    linf = "linf"
    l2 = "l2"


@app.command()
def adversarial(
    run: RunFolder,
    pictures: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[IMAGE]...", help="Picture files and folders. Default: photos that the run has never seen."
        ),
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(help="Class that the pictures show. Default: the label that the model gives each picture."),
    ] = None,
    target: Annotated[
        str | None, typer.Option(help="Label that the pictures shall be mistaken for. Default: any wrong label.")
    ] = None,
    attack: Annotated[
        AttackName, typer.Option(help="Attack to search with: fgsm takes one step, pgd many small ones.")
    ] = AttackName.pgd,
    epsilon: Annotated[
        float | None, typer.Option(help="Largest change in gray levels of 255. Default: 8 for linf, 512 for l2.", min=1)
    ] = None,
    norm: Annotated[
        NormName,
        typer.Option(
            help="What --epsilon bounds: the change of any channel of any pixel (linf), or the length of the whole change (l2)."
        ),
    ] = NormName.linf,
    steps: Annotated[int | None, typer.Option(help="Number of PGD steps. Default: 20.", min=1, max=10_000)] = None,
    restarts: Annotated[
        int, typer.Option(help="Number of random starts of pgd, of which the best result counts.", min=1, max=100)
    ] = 1,
    with_: Annotated[
        list[Path] | None,
        typer.Option(
            "--with", metavar="FILE.tflite", help="A .tflite that is shown the same pictures. May be repeated."
        ),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Photo folder to take instead of the run's own test photos.")
    ] = None,
    photos: Annotated[int | None, typer.Option(help="Largest number of pictures to attack.", min=1)] = None,
    seed: Annotated[int, typer.Option(help="Random seed of the starting points.", min=0, max=2**31 - 1)] = 0,
    out: Annotated[Path, typer.Option(help="Folder to write, with the pictures and adversarial.html.")] = Path(
        "adversarial"
    ),
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Make pictures that the network takes for something else, by changes that are hard to see.

    Each is saved as PNG and judged by what is read from that file. In the folder: the pictures, side by side with their
    originals and the change, amplified, and adversarial.html.

    Example: [bold]edge-train explain adversarial runs/cats_dogs dog.jpg --target cat --epsilon 8[/bold]

    Example: [bold]edge-train explain adversarial runs/cats_dogs --label dog --target cat --with cats_dogs-int8.tflite[/bold]
    """
    with one_line_errors(debug):
        if attack is AttackName.fgsm and (steps or restarts > 1):
            raise typer.BadParameter("fgsm has one step from one start", param_hint="--steps, --restarts")
        if pictures and data:
            raise typer.BadParameter(
                "photos are those that are named, or those of --data, not both", param_hint="--data"
            )
        require_free(out)
        with extra_needed("train", *NEEDS), working("Loading TensorFlow"):
            from edge_train.explain.adversarial.adversarial_page import outcome_lines, write_outcome
            from edge_train.explain.adversarial.find import make_adversarial
            from edge_train.training.attacks import STEPS, fgsm, pgd
        levels = epsilon or (8 if norm is NormName.linf else 512)
        chosen = (
            fgsm(levels, norm.value)
            if attack is AttackName.fgsm
            else pgd(levels, norm.value, steps=steps or STEPS, restarts=restarts)
        )
        opened = read_run(run)
        with folder_written_whole(out) as folder:
            outcome = make_adversarial(
                opened,
                chosen,
                folder,
                pictures=pictures or (),
                label=label,
                target=target,
                data=data,
                most=photos,
                files=with_ or (),
                seed=seed,
                track=track,
            )
            write_outcome(outcome, opened, folder, track=track)
        say_unusable(outcome.unusable)
        if outcome.passed_over:
            say(
                f"{outcome.passed_over} pictures passed over: the model has them wrong, or takes them for the target as they are"
            )
        say(f"written: {out / 'adversarial.html'}")
        print(json.dumps(outcome.to_json()) if as_json else outcome_lines(outcome), flush=True)
        if not as_json:
            say_next(f"edge-bench robustness {quote(str(run))} FILE.tflite")


@app.command()
def features(
    run: RunFolder,
    image: Annotated[Path | None, typer.Argument(help="Picture file to look at.")] = None,
    layer: Annotated[
        list[str] | None,
        typer.Option(help="Layer to show. May be repeated. Default: the last layer of each resolution."),
    ] = None,
    channels: Annotated[
        int,
        typer.Option(help="Number of maps to show for each layer; those with most contrast are shown.", min=1, max=64),
    ] = 8,
    out: Annotated[
        Path | None, typer.Option(help="PNG file to write. Default: IMAGE-features.png in this folder.")
    ] = None,
    list_layers: Annotated[
        bool, typer.Option("--list", help="List the layers instead, with a star at those that are shown by default.")
    ] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Draw what the channels of some layers respond to in a picture: activation maps.

    Example: [bold]edge-train explain features runs/flowers rose.jpg[/bold]
    """
    if image is None and not list_layers:
        raise typer.BadParameter("name a picture, or ask for --list")
    with one_line_errors(debug):
        with extra_needed("train", *NEEDS), working("Loading TensorFlow"):
            from edge_train.explain.activation_maps import explain_features
            from edge_train.explain.activation_maps import list_layers as layers_of_run
            from edge_train.explain.explain_plots import feature_grid
        opened = read_run(run)
        if image is None or list_layers:
            layers = layers_of_run(opened)
            if as_json:
                print(json.dumps([{**vars(one), "default": shown} for one, shown in layers]))
                return
            width = max(len(one.name) for one, _ in layers)
            for one, shown in layers:
                print(f"{'*' if shown else ' '} {one.name:{width}}  {one.shape:>16}  {one.kind}")
            say_next(f"edge-train explain features {quote(str(run))} PICTURE --layer {layers[-1][0].name}")
            return
        out = out or Path(f"{image.stem}-features.png")
        require_free(out, folder=False)
        found = explain_features(opened, image, layer or (), channels)
        with written_whole(out) as beside:
            beside.write_bytes(feature_grid(found))
        if as_json:
            print(json.dumps({"run": str(run), **found.to_json(), "out": str(out)}))
        else:
            print(out, flush=True)
            say_next(f"edge-train explain heatmap {quote(str(run))} {quote(str(image))}")


@app.command()
def embed(
    run: RunFolder,
    data: Annotated[
        Path | None,
        typer.Argument(
            help="Photo folder, with one subfolder per class or without labels, or CSV of path,label. Default: all photos of the run."
        ),
    ] = None,
    which: Annotated[WhichName, typer.Option("--split", help="Split of the run's own photos to use.")] = WhichName.all,
    labels: Annotated[
        bool, typer.Option("--labels/--no-labels", help="Whether the subfolders of DATA are classes.")
    ] = True,
    method: Annotated[
        MethodName,
        typer.Option(
            help="How the map is made: pca by principal components, umap so that neighbors stay together (needs umap-learn)."
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
    """Map photos by what the last layer sees: what the network takes to be alike, and what is probably mislabelled.

    Example: [bold]edge-train explain embed runs/flowers[/bold]

    Example: [bold]edge-train explain embed runs/flowers photos/ --nearest rose.jpg[/bold]
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
        embedding = embed_photos(embedder, data, which=which.value, labelled=labels, track=track)
        say_unusable(embedding.unusable)
        if embedding.left_out:
            say(f"{embedding.left_out} photos left out, at even distances: a map has room for {len(embedding.photos)}")
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


@app.command()
def heatmap(
    run: RunFolder,
    images: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[IMAGE]...", help="Picture files to look at. Without any, --photos takes some of the run's own."
        ),
    ] = None,
    photos: Annotated[
        int | None, typer.Option(help="Number of photos to look at, of those that the run has never seen.", min=1)
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Photo folder from which --photos takes them. Default: the run's own test photos."),
    ] = None,
    with_: Annotated[
        list[Path] | None,
        typer.Option(
            "--with",
            metavar="FILE.tflite",
            help="A .tflite of the run, whose maps are drawn beside it. May be repeated.",
        ),
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="Label to explain. Default: the label that the full-size model gives.")
    ] = None,
    layer: Annotated[
        str | None, typer.Option(help="Layer whose maps Grad-CAM uses. Default: the last convolution.")
    ] = None,
    cells: Annotated[
        int, typer.Option(help="Number of occlusion map cells across the picture's shorter side.", min=2)
    ] = 10,
    patch: Annotated[int, typer.Option(help="Side of the part that is hidden at a time, in cells.", min=1)] = 4,
    out: Annotated[
        Path | None,
        typer.Option(help="PNG file to write. Default: IMAGE-heatmap.png or RUN-heatmap.png in this folder."),
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Draw where the network looks: Grad-CAM, and what it is less sure of when a part of the picture is hidden.

    The second map needs no gradients, so it is drawn for a .tflite, too. The command prints how far the maps agree, and with
    --photos also how far maps of different pictures agree, which should be less.

    Example: [bold]edge-train explain heatmap runs/flowers rose.jpg --with flowers-int8.tflite[/bold]

    Example: [bold]edge-train explain heatmap runs/flowers --photos 200 --with flowers-int8.tflite[/bold]
    """
    if bool(images) == bool(photos):
        raise typer.BadParameter("name pictures, or how many of the run's own with --photos")
    if images and data:
        raise typer.BadParameter("photos are those that are named, or those of --data, not both", param_hint="--data")
    with one_line_errors(debug):
        with extra_needed("train", *NEEDS), working("Loading TensorFlow"):
            from edge_train.explain.explain_plots import heat_rows
            from edge_train.explain.heatmap.grad_cam import explain_held_out, explain_pictures
            from edge_train.explain.heatmap.occlusion import Patches
        out = out or Path(f"{images[0].stem if images else run.resolve().name}-heatmap.png")
        require_free(out, folder=False)
        opened, patches = read_run(run), Patches(cells, patch)
        if images:
            found = explain_pictures(
                opened, images, with_ or (), label=label, layer=layer, patches=patches, track=track
            )
        else:
            found = explain_held_out(
                opened, photos or 0, with_ or (), data=data, label=label, layer=layer, patches=patches, track=track
            )
        say_unusable(found.unusable)
        with written_whole(out) as beside:
            beside.write_bytes(heat_rows(found))
        say(f"written: {out}")
        print(json.dumps({"run": str(run), **found.to_json(), "out": str(out)}) if as_json else found.to_text())
        if not as_json:
            say_next(f"edge-train explain embed {quote(str(run))}")


@app.command()
def ideal(
    run: RunFolder,
    label: Annotated[str, typer.Option(help="Label of the run to draw an ideal picture of.")],
    seeds: Annotated[
        int, typer.Option(help="Number of pictures to draw, each from its own random start.", min=1, max=16)
    ] = 4,
    seed: Annotated[
        int,
        typer.Option(help="Random seed of the first picture; the next ones count up from it.", min=0, max=2**31 - 1),
    ] = 0,
    steps: Annotated[int, typer.Option(help="Number of gradient ascent steps.", min=1, max=100_000)] = 200,
    with_: Annotated[
        list[Path] | None,
        typer.Option(
            "--with", metavar="FILE.tflite", help="A .tflite that is shown the pictures, too. May be repeated."
        ),
    ] = None,
    gif: Annotated[
        Path | None,
        typer.Option(help="File to write with an animation of how the best picture came about, ending in .gif."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write, with the pictures. Default: LABEL-ideal.")] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Draw the picture that the network is surest of: what it wants to see of a label.

    Each is saved as PNG at the size of the model's input and judged by what is read from that file; in the folder, too: all
    side by side as ideal.png, and ideal.json.

    Example: [bold]edge-train explain ideal runs/cats_dogs --label cat --with cats_dogs-int8.tflite[/bold]
    """
    with one_line_errors(debug):
        with extra_needed("train", *NEEDS), working("Loading TensorFlow"):
            from edge_train.explain.explain_plots import ideal_gif, ideal_sheet
            from edge_train.explain.feature_visualization import GOOD, AscentSettings, explain_ideal
        out = out or Path(f"{label.replace('/', '_')}-ideal")
        require_free(out)
        if gif:
            require_free(gif, folder=False)
        with folder_written_whole(out) as folder:
            found = explain_ideal(
                read_run(run),
                label,
                folder,
                with_ or (),
                seeds=range(seed, seed + seeds),
                search=AscentSettings(steps=steps),
                track=track,
            )
            (folder / "ideal.png").write_bytes(ideal_sheet(found, run.resolve().name))
            (folder / "ideal.json").write_text(json.dumps(found.to_json()))
        if gif is not None:
            with written_whole(gif) as beside:
                beside.write_bytes(ideal_gif(found))
        if (best := max(one.score for one in found.pictures)) < GOOD:
            say(f"the network is sure of none, its best score is {100 * best:.1f} %: try more --steps or --seeds")
        if as_json:
            print(json.dumps({"run": str(run), **found.to_json(), "out": str(out)}))
            return
        for one in found.pictures:
            print(
                f"{out / one.file.name}: {label} {100 * one.score:.1f} %, "
                f"{100 * one.moved[0]:.1f} % or more when shifted by up to 8 pixels",
                *(f"{name} {100 * score:.1f} %" for name, score in one.others.items()),
                sep=", ",
            )
        say_next(f"edge-train explain heatmap {quote(str(run))} --photos 20")

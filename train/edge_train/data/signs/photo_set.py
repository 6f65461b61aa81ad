"""The default dataset: a folder of rendered photos, one subfolder per label."""

import json
from contextlib import closing
from pathlib import Path
from typing import Final

from edge_core.errors import DatasetError
from edge_core.files import folder_written_whole
from edge_core.progress import Track, silently
from edge_train.data.signs.artwork import LABELS, NOTHING
from edge_train.data.signs.photo_workers import PhotoTask, render_all
from edge_train.data.signs.render import RENDERER_VERSION, stable_key

MANIFEST: Final = "signs.json"
WIDTH: Final = 320
HEIGHT: Final = 240


def write_photos(folder: Path, per_label: int, seed: int, *, more_nothing: int = 0, track: Track = silently) -> None:
    """Writes `folder/LABEL/LABEL-0001.jpg` and so on, `per_label` photos of each label, 320 x 240 pixels.

    The folder appears whole or not at all. One that was written with the same settings is left as it is.

    Args:
        folder: Folder to write.
        per_label: Photos of each label.
        seed: Random seed of the photos.
        more_nothing: Photos of "nothing" beyond those: it has no one look that a few photos would show.
        track: Receives the progress of rendering.

    Raises:
        DatasetError: `per_label` is below 1, or the folder holds photos written with other settings.
        OutputError: The folder is there and not from here, or cannot be written.
    """
    if per_label < 1:
        raise DatasetError(f"{per_label} photos per label make no dataset; ask for 1 or more")
    settings = {
        "renderer": RENDERER_VERSION,
        "per_label": per_label,
        "seed": seed,
        "width": WIDTH,
        "height": HEIGHT,
        "labels": list(LABELS),
        **({"more_nothing": more_nothing} if more_nothing else {}),
    }
    if (folder / MANIFEST).exists():
        _check_same(folder, settings)
        return
    counts = {label: per_label + (more_nothing if label == NOTHING else 0) for label in LABELS}
    places = [(label, number) for label in LABELS for number in range(1, counts[label] + 1)]
    with folder_written_whole(folder) as beside:
        for label in LABELS:
            (beside / label).mkdir()
        jpegs = render_all(
            [PhotoTask(label, stable_key("dataset", seed, number), WIDTH, HEIGHT) for label, number in places]
        )
        with closing(jpegs):
            for (label, number), jpeg in zip(places, track(jpegs, "rendering road signs", len(places)), strict=True):
                (beside / label / f"{label}-{number:04}.jpg").write_bytes(jpeg)
        (beside / MANIFEST).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def _check_same(folder: Path, settings: dict[str, object]) -> None:
    try:
        found = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DatasetError(f"{folder / MANIFEST} cannot be read; remove {folder} to have it rendered anew") from error
    if found != settings:
        differing = [name for name in settings if not isinstance(found, dict) or found.get(name) != settings[name]]
        raise DatasetError(
            f"{folder} was rendered with another {', '.join(differing) or 'set of settings'}; "
            "remove it or choose another folder"
        )

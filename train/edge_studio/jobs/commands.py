"""The commands that jobs run, made from what a page's form holds; a person can repeat each of them in a terminal."""

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from edge_convert.cli.export_command import export
from edge_convert.targets import target_names
from edge_convert.targets.runtimes import releases
from edge_core.errors import SettingsError
from edge_studio.jobs.command_form import offer
from edge_train.cli.fit_command import BackboneName, fit
from edge_train.settings import EPOCHS

JobKind = Literal["train", "curve", "export", "publish", "deploy"]

MODULES: Final = {
    "edge-train": "edge_train",
    "edge-convert": "edge_convert",
    "edge-run": "edge_device",
    "edge-bench": "edge_bench",
}
"""The module that each command is, run by the Python that runs this: it need not be on the PATH."""

LEARNING_CURVE: Final = "learning_curve.png"
"""Plot in a run folder, as `edge-train fit` draws it."""

TRAIN: Final = offer(
    fit,
    ("backbone", "image_size", "alpha", "weights", "epochs", "augment", "mirror", "class_weights", "qat"),
    unset={"image_size": 0, "epochs": EPOCHS, "mirror": True},
    # No path: a page must not name files of this machine.
    choices={"backbone": BackboneName, "weights": ("imagenet", "none")},
)
"""What the training page offers of `edge-train fit`."""

EXPORT: Final = offer(
    export,
    ("recipe", "max_drop", "max_unknown", "target", "sign"),
    unset={"max_unknown": 100.0, "target": (), "sign": ""},
    # Single releases of an interpreter are for who types commands; the page has their families.
    choices={"target": ("pi", *(name for name in target_names() if name not in releases()), "any")},
)
"""What the export page offers of `edge-convert export`."""


@dataclass(frozen=True)
class JobCommand:
    """A command with all its arguments.

    Attributes:
        kind: What it does.
        title: What it does, for people: "Train run-3 on photos".
        words: The command and its arguments, as a terminal takes them.
        output: What it writes, if all goes well.
    """

    kind: JobKind
    title: str
    words: tuple[str, ...]
    output: Path

    def shell(self) -> str:
        """The command as a line for a terminal."""
        return shlex.join(self.words)

    def program(self) -> list[str]:
        """The same as a process is started with."""
        return program(self.words)


def program(words: Sequence[str]) -> list[str]:
    """A command line as a process of this Python: `edge-train fit` is `python -m edge_train fit`."""
    module = MODULES.get(words[0])
    return [sys.executable, "-m", module, *words[1:]] if module else list(words)


def train_command(form: Mapping[str, object], photos: Path, run: Path) -> JobCommand:
    """`edge-train fit` with what a form chooses.

    Args:
        form: Values of `TRAIN` as JSON has them; what it leaves out has its default.
        photos: Photo folder to train on.
        run: Run folder to write.

    Raises:
        SettingsError: The form holds what the page does not offer.
    """
    words = ["edge-train", "fit", str(photos), "--out", str(run), *TRAIN.words(TRAIN.read(form))]
    return JobCommand("train", f"Train {run.name}", tuple(words), run)


def export_command(form: Mapping[str, object], run: Path, folder: Path, unknown: Path | None) -> JobCommand:
    """`edge-convert export` with what a form chooses.

    Args:
        form: Values of `EXPORT` as JSON has them; what it leaves out has its default.
        run: Run folder that is exported.
        folder: Folder to write the file in.
        unknown: Folder of pictures of none of the labels; None if there is none.

    Raises:
        SettingsError: The form holds what the page does not offer, or has a limit for unknown pictures, and there are
            none to judge it by.
    """
    values = EXPORT.read(form)
    if unknown is None and values["max_unknown"] != EXPORT.fields["max_unknown"].default:
        raise SettingsError("there are no unknown pictures to judge a limit by: put some into _nothing")
    out = folder / f"{run.name}-{values['recipe']}.tflite"
    words = ["edge-convert", "export", str(run), "--out", str(out), *EXPORT.words(values)]
    words += ["--unknown", str(unknown)] if unknown is not None else []
    return JobCommand("export", f"Export {run.name} as {values['recipe']}", tuple(words), out)


def publish_command(file: Path, site: Path, key: Path) -> JobCommand:
    """`edge-convert publish`: a signed file for all boards that look for updates."""
    words = ("edge-convert", "publish", str(file), "--to", str(site), "--key", str(key))
    return JobCommand("publish", f"Publish {file.name}", words, site)


def curve_command(run: Path) -> JobCommand:
    """`edge-train curve`: whether more photos would help a run, and of which class."""
    out = run / LEARNING_CURVE
    words = ("edge-train", "curve", str(run), "--out", str(out))
    return JobCommand("curve", f"Learning curve of {run.name}", words, out)


def hardware() -> str:
    """What this machine computes with, in words; nothing heavy is imported for it."""
    from edge_train.doctor.nvidia import find_driver

    cores = len(os.sched_getaffinity(0))
    driver = find_driver()
    processor = f"{cores} processor core{'s' if cores > 1 else ''}"
    return f"an NVIDIA GPU (driver {driver.version or 'unknown'}) and {processor}" if driver else f"{processor}, no GPU"

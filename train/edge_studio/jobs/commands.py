"""The commands that jobs run, made from what a page's form holds; a person can repeat each of them in a terminal."""

import math
import os
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final, Literal, TypeVar

from edge_core.errors import SettingsError

T = TypeVar("T")

JobKind = Literal["train", "export", "publish", "evaluate", "deploy"]

MODULES: Final = {
    "edge-train": "edge_train",
    "edge-convert": "edge_convert",
    "edge-run": "edge_device",
    "edge-bench": "edge_bench",
}
"""The module that each command is, run by the Python that runs this: it need not be on the PATH."""

BACKBONES: Final = (
    "mobilenet_v2",
    "mobilenet_v1",
    "mobilenet_v3_small",
    "mobilenet_v3_large",
    "efficientnet_lite0",
    "efficientnet_lite1",
    "efficientnet_lite2",
    "resnet50",
)
RECIPES: Final = ("int8", "auto", "float16", "float32", "int8-selective", "int8-equalised", "dynamic")
TARGETS: Final = ("pi", "coral", "any")


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


@dataclass(frozen=True)
class TrainOptions:
    """What the training page offers; each default is that of `edge-train fit`.

    Attributes:
        backbone: Network architecture.
        image_size: Side of the model's input in pixels; 0 for the network's usual one.
        alpha: Width multiplier of a MobileNet.
        weights: Weights to start from, `imagenet` or `none`.
        epochs: Largest number of fine-tuning epochs.
        augment: How training photos are varied.
        mirror: Whether mirrored photos are trained on, too.
        class_weights: Whether photos of small classes count more.
        qat: Whether the network is trained for 8-bit arithmetic, too.
    """

    backbone: str = "mobilenet_v2"
    image_size: int = 0
    alpha: float = 1.0
    weights: str = "imagenet"
    epochs: int = 8
    augment: str = "camera"
    mirror: bool = True
    class_weights: bool = False
    qat: bool = False

    def __post_init__(self) -> None:
        _one_of("backbone", self.backbone, BACKBONES)
        _one_of("weights", self.weights, ("imagenet", "none"))
        _one_of("augmentation", self.augment, ("camera", "randaugment"))
        _between("input size", self.image_size, 32, 1024, or_zero=True)
        _between("width", self.alpha, 0.1, 4)
        _between("number of epochs", self.epochs, 0, 1000)

    def command(self, photos: Path, run: Path) -> JobCommand:
        """`edge-train fit` with what differs from its defaults."""
        words = ["edge-train", "fit", str(photos), "--out", str(run)]
        default = TrainOptions()
        for name in ("backbone", "image_size", "alpha", "weights", "epochs", "augment"):
            if getattr(self, name) != getattr(default, name):
                words += [f"--{name.replace('_', '-')}", f"{getattr(self, name)}"]
        words += [] if self.mirror else ["--no-mirror"]
        words += ["--class-weights"] if self.class_weights else []
        words += ["--qat"] if self.qat else []
        return JobCommand("train", f"Train {run.name}", tuple(words), run)


@dataclass(frozen=True)
class ExportOptions:
    """What the export page offers; each default is that of `edge-convert export`.

    Attributes:
        recipe: Quantization recipe.
        max_drop: Largest loss of accuracy that is accepted, in percentage points.
        max_unknown: Largest share of foreign pictures that may count as known, in percent; 100 for any.
        targets: Targets that must accept the file.
        sign: Private key to sign with; empty for no signature.
    """

    recipe: str = "int8"
    max_drop: float = 1.0
    max_unknown: float = 100.0
    targets: tuple[str, ...] = ()
    sign: str = ""

    def __post_init__(self) -> None:
        _one_of("recipe", self.recipe, RECIPES)
        _between("loss of accuracy", self.max_drop, 0, 100)
        _between("share of unknown pictures", self.max_unknown, 0, 100)
        for target in self.targets:
            _one_of("target", target, TARGETS)

    def command(self, run: Path, out: Path, unknown: Path | None) -> JobCommand:
        """`edge-convert export` with what differs from its defaults.

        Args:
            run: Run folder that is exported.
            out: File to write.
            unknown: Folder of pictures of none of the labels; None if there is none.

        Raises:
            SettingsError: There is a limit for unknown pictures, and there are none to judge it by.
        """
        words = ["edge-convert", "export", str(run), "--recipe", self.recipe, "--out", str(out)]
        if self.max_drop != ExportOptions.max_drop:
            words += ["--max-drop", f"{self.max_drop:g}"]
        if unknown is not None:
            words += ["--unknown", str(unknown)]
        if self.max_unknown < ExportOptions.max_unknown:
            if unknown is None:
                raise SettingsError("there are no unknown pictures to judge a limit by: put some into _nothing")
            words += ["--max-unknown", f"{self.max_unknown:g}"]
        for target in self.targets:
            words += ["--target", target]
        words += ["--sign", self.sign] if self.sign else []
        return JobCommand("export", f"Export {run.name} as {self.recipe}", tuple(words), out)


@dataclass(frozen=True)
class PublishOptions:
    """What the publication form offers.

    Attributes:
        rollout: Percentage of the boards that the file reaches.
        group: Group of boards that it is for; empty for all.
    """

    rollout: float = 100.0
    group: str = ""

    def __post_init__(self) -> None:
        _between("share of the boards", self.rollout, 0, 100)

    def command(self, file: Path, site: Path, key: Path) -> JobCommand:
        """`edge-convert publish`."""
        words = ["edge-convert", "publish", str(file), "--to", str(site), "--key", str(key)]
        words += ["--rollout", f"{self.rollout:g}%"] if self.rollout != PublishOptions.rollout else []
        words += ["--group", self.group] if self.group else []
        return JobCommand("publish", f"Publish {file.name}", tuple(words), site)


def evaluate_command(run: Path, photos: Path | None) -> JobCommand:
    """`edge-train evaluate`: how a run does on photos that it has not seen."""
    words = ["edge-train", "evaluate", str(run), *(["--data", str(photos)] if photos else [])]
    return JobCommand("evaluate", f"Evaluate {run.name}", tuple(words), run)


def options_from(kind: type[T], form: Mapping[str, object]) -> T:
    """The options that a form holds; what it leaves out has its default, what it should not hold is refused.

    Args:
        kind: One of the classes of options here.
        form: Values as JSON has them.

    Raises:
        SettingsError: A value is of the wrong type or out of range, or there is no such option.
    """
    known = {one.name: one for one in fields(kind)}  # type: ignore[arg-type]
    values: dict[str, object] = {}
    for name, value in form.items():
        if name not in known:
            raise SettingsError(f"there is no option {name!r}; there are {', '.join(known)}")
        values[name] = _typed(name, type(known[name].default), value)
    return kind(**values)


def _typed(name: str, kind: type, value: object) -> object:
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    if kind is tuple and isinstance(value, list) and all(isinstance(one, str) for one in value):
        return tuple(value)
    if type(value) is not kind:
        raise SettingsError(f"{name} is {value!r}; it should be of the type {kind.__name__}")
    return value


def _one_of(what: str, value: str, known: Iterable[str]) -> None:
    if value not in known:
        raise SettingsError(f"the {what} {value!r} is not one of {', '.join(known)}")


def _between(what: str, value: float, least: float, most: float, or_zero: bool = False) -> None:
    if not (least <= value <= most or (or_zero and value == 0)):
        raise SettingsError(f"the {what} is {value:g}; it should be from {least:g} to {most:g}")


def hardware() -> str:
    """What this machine computes with, in words; nothing heavy is imported for it."""
    from edge_train.doctor.nvidia import find_driver

    cores = len(os.sched_getaffinity(0))
    driver = find_driver()
    processor = f"{cores} processor core{'s' if cores > 1 else ''}"
    return f"an NVIDIA GPU (driver {driver.version or 'unknown'}) and {processor}" if driver else f"{processor}, no GPU"

"""Whether an installation does what it must: the same list of checks on a workstation, a board, and an emulated
board."""

import hashlib
import json
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from itertools import islice
from pathlib import Path
from typing import Final, get_args

import numpy as np

from edge_core.codec import JsonObject
from edge_core.errors import EdgeError
from edge_core.preprocess import Crop, Frame, InputSpec, preprocess
from edge_device.doctor.command import rendered
from edge_device.doctor.examine import examine
from edge_device.inference.classifier import Classifier
from edge_device.inference.streaming import classify_stream
from edge_device.inference.verify import verify
from edge_device.sources import open_source

SCHEMA: Final = 1

FRAMES: Final = 10
"""That the camera must give."""

SIZES: Final = ((1280, 720), (640, 480), (500, 333), (1920, 1080), (321, 240), (160, 160), (97, 61), (333, 501))
"""Width and height of the frames whose preprocessing is compared."""

EXPECTED: Final = "31a81e67d1fde7418a67f2ad355e6a244be4e894b3483c9ed9a8986ed93b4248"
"""SHA-256 of what preprocessing makes of them: on x86-64, on Cortex-A72 and on Cortex-A76 (tests/emulated)."""


@dataclass(frozen=True)
class Check:
    """One check and what it found.

    Attributes:
        name: What was checked; stays the same from version to version.
        passed: Whether it is as it must be.
        text: What was found, for a person; of several lines.
        seconds: That it took.
    """

    name: str
    passed: bool
    text: str
    seconds: float


@dataclass(frozen=True)
class InstallReport:
    """All checks, and of what.

    Attributes:
        about: Machine, Python and version of the product.
        checks: All checks in the order in which they were made.
    """

    about: dict[str, str]
    checks: tuple[Check, ...]

    @property
    def failed(self) -> tuple[str, ...]:
        return tuple(check.name for check in self.checks if not check.passed)

    def to_json(self) -> JsonObject:
        """The object that `edge-run install-check --json` prints."""
        return {
            "schema": SCHEMA,
            "passed": not self.failed,
            "about": self.about,
            "checks": [asdict(check) for check in self.checks],
        }

    @classmethod
    def from_json(cls, fields: JsonObject) -> "InstallReport":
        """Reads what `to_json` made.

        Raises:
            KeyError, TypeError: It is something else.
        """
        return cls(fields["about"], tuple(Check(**check) for check in fields["checks"]))


def check_installation(
    models: Sequence[Path], source: str | None = None, tell: Callable[[str], None] = lambda name: None
) -> InstallReport:
    """Makes all checks; one that fails keeps none of the others from being made.

    Args:
        models: Complete .tflite files; each is verified, and the first looks through the camera.
        source: The camera, as `--source` of `edge-run live`; none is looked through if None.
        tell: Gets the name of what is checked next.
    """
    checks: dict[str, Callable[[], tuple[bool, str]]] = {"doctor": _doctor, "preprocess": _preprocess}
    checks |= {f"verify {model.name}": lambda model=model: _verify(model) for model in models}  # type: ignore[misc]
    if source is not None and models:
        checks[f"live {source}"] = lambda: _live(models[0], source)
    made = []
    for name, check in checks.items():
        tell(name)
        began = time.monotonic()
        try:
            passed, text = check()
        except EdgeError as error:
            passed, text = False, str(error)
        except Exception as error:  # noqa: BLE001 - it is what is to be found out
            passed, text = False, f"{type(error).__name__}: {error}"
        made.append(Check(name, passed, text, round(time.monotonic() - began, 1)))
    about = {
        "edge-mobilenet": metadata.version("edge-mobilenet"),
        "machine": f"{platform.machine()}, {platform.release()}",
        "python": platform.python_version(),
    }
    return InstallReport(about, tuple(made))


def report_text(report: InstallReport) -> str:
    """A report for a person."""
    lines = [f"{name:<16}{value}" for name, value in report.about.items()]
    for check in report.checks:
        lines.append(f"{'passed' if check.passed else 'FAILED':<8}{check.name}, {check.seconds:.1f} s")
        lines += [f"        {line}" for line in check.text.splitlines()]
    lines.append(f"failed: {', '.join(report.failed)}" if report.failed else "all passed")
    return "\n".join(lines) + "\n"


def frames_to_compare() -> Iterator[Frame]:
    """Frames of `SIZES`, of whole-number arithmetic alone, so that they are the same everywhere."""
    for width, height in SIZES:
        y, x, channel = np.ogrid[:height, :width, :3]
        # A hash of the position, cut to 32 bits after each step: noise that is the same on every machine.
        mixed = (x * 374761393 + y * 668265263 + channel * 144269504) & 0xFFFFFFFF
        mixed = ((mixed ^ (mixed >> 13)) * 1274126177) & 0xFFFFFFFF
        smooth = x * 255 // width if width > height else y * 255 // height
        yield (((mixed >> 24) + smooth + 40 * channel) // 2).clip(0, 255).astype(np.uint8)


def preprocessed_digest() -> str:
    """SHA-256 over what `preprocess` makes of the test frames with every crop."""
    digest = hashlib.sha256()
    for frame in frames_to_compare():
        for crop in get_args(Crop):
            digest.update(preprocess(frame, InputSpec(160, 160, crop)).tobytes())
    return digest.hexdigest()


def _doctor() -> tuple[bool, str]:
    report = examine()
    return report.verdict != "problem", rendered(report)


def _preprocess() -> tuple[bool, str]:
    found = preprocessed_digest()
    what = f"{len(SIZES)} sizes, {len(get_args(Crop))} crops, sha256:{found}"
    return found == EXPECTED, what if found == EXPECTED else f"{what} instead of {EXPECTED}"


def _verify(model: Path) -> tuple[bool, str]:
    found = verify(model)
    if found.divergence:
        return False, f"diverges at {found.divergence.stage}: {found.divergence.reason}"
    assert found.replay  # no divergence, so it came to the replay
    return (
        True,
        f"{found.replay.frames} frames on {found.runtime}, largest difference {found.replay.largest_difference:.2g}",
    )


def _live(model: Path, source: str) -> tuple[bool, str]:
    classifier = Classifier(model)
    with open_source(source) as camera:
        results = list(islice(classify_stream(classifier, camera, 1), FRAMES))
    best = results[-1].top[0] if results else None
    said = f", the last one {best.label} {100 * best.score:.1f} %" if best else ""
    return len(results) == FRAMES, f"{len(results)} of {FRAMES} frames{said}"


def main(arguments: Sequence[str]) -> None:
    """`python -m edge_device.doctor.install_check SOURCE MODEL...`, as boards are asked over SSH; SOURCE may be
    empty."""
    source, *models = arguments
    report = check_installation(
        [Path(model) for model in models],
        source or None,
        lambda name: print(json.dumps({"checking": name}), flush=True),
    )
    print(json.dumps(report.to_json()), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])

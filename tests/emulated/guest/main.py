"""What the emulated board does: `python3 -m tests.emulated.guest.main` in the folder that it shares with the
workstation.

plan.json   a `Plan`
models/     .tflite files
photos/     pictures
out/        what came out, for the workstation to compare; of every stage an `Outcome`
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Final

import numpy as np
from tests.emulated.guest import controls, faults, vivid
from tests.emulated.guest.commands import Forked, Tell, edge_run, told
from tests.emulated.guest.live import WatchedLive
from tests.emulated.guest.measured import SHOWN, measured
from tests.emulated.guest.pictures import CAMERA, framed, read

OUT: Final = Path("out")
UNTIL_SEEN: Final = 5
"""Frames after which a new picture has been classified for sure: of the one before, a frame is being classified, one is
ready, and one is being read."""


@dataclass(frozen=True)
class Plan:
    """What there is to do.

    Attributes:
        lanes: names of `STAGES`, one after the other; lanes run side by side, and what the first leaves of the
            processor goes to the others. The camera's stages mostly wait, so what computes is in another lane.
        camera_model: name of the model that looks through the camera.
        tests: files of them, as pytest takes them.
        left_out: of these.
        examples: of hypothesis, for each property.
    """

    lanes: list[list[str]]
    camera_model: str
    tests: list[str]
    left_out: list[str]
    examples: int


@dataclass(frozen=True)
class Outcome:
    """What became of a stage.

    Attributes:
        failed: what was wrong; empty if nothing was.
        seconds: that it took.
        processor_s: that it had the processor; the rest of the time it waited, or another lane had it.
    """

    failed: str
    seconds: float
    processor_s: float


class StageFailedError(Exception):
    """A stage found what must not be."""


def models() -> list[Path]:
    return sorted(Path("models").glob("*.tflite"))


def doctor(plan: Plan, tell: Tell) -> None:
    tell("$ edge-run doctor")
    command = [sys.executable, "-m", "edge_device", "doctor"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout
        for line in process.stdout:
            tell(line.rstrip())
    if process.returncode:
        raise StageFailedError(f"it ended with {process.returncode}")


def verify(plan: Plan, tell: Tell) -> None:
    failed = []
    for model in models():
        tell(f"$ edge-run verify {model}")
        if told(Forked(edge_run, ["verify", str(model)]), tell):
            failed.append(model.name)
    if failed:
        raise StageFailedError(", ".join(failed))


def same_bytes(plan: Plan, tell: Tell) -> None:
    np.savez(OUT / "measured.npz", **measured(Path("photos"), models()))  # type: ignore[arg-type]


def live(plan: Plan, tell: Tell) -> None:
    """Pictures before the camera, one after the other; what `edge-run live` says of each once it must see it."""
    seen = []
    pictures = read(Path("photos"), SHOWN)
    options = ("--source", "/dev/video0", "--format", "BGR3", "--smoothing", "none", "--threads", "1", "--top", "1")
    with vivid.Screen(*CAMERA) as screen:
        screen.show(framed(pictures[0][1]))
        with WatchedLive(Path("models", plan.camera_model), *options, tell=tell) as watched:
            for name, picture in pictures:
                screen.show(framed(picture))
                frames = watched.next_frames(UNTIL_SEEN)
                if len(frames) < UNTIL_SEEN:
                    raise StageFailedError(f"{len(frames)} frames of {UNTIL_SEEN} in time of {name}")
                best = frames[-1]["top"][0]
                seen.append({"photo": name, **best})
                tell(f"{name}  {best['label']} {100 * best['score']:.1f} %")
    (OUT / "live.json").write_text(json.dumps(seen))


def camera_controls(plan: Plan, tell: Tell) -> None:
    """Last of the camera's: they stay set."""
    if wrong := controls.wrong_controls(Path("models", plan.camera_model), tell):
        raise StageFailedError("; ".join(wrong))


def camera_faults(plan: Plan, tell: Tell) -> None:
    (OUT / "faults.json").write_text(json.dumps(faults.all_faults(Path("models", plan.camera_model), tell)))


def device_tests(plan: Plan, tell: Tell) -> None:
    tell(f"$ pytest {' '.join(plan.tests)}; {plan.examples} examples a property; without {', '.join(plan.left_out)}")
    if status := told(Forked(_pytest, plan), tell):
        raise StageFailedError(f"pytest ended with {status}")


def _pytest(plan: Plan) -> None:
    import pytest

    options = ["-p", "no:cacheprovider", "--import-mode=importlib", "-rfEs"]
    left_out = [f"--deselect={name}" for name in plan.left_out]
    sys.exit(int(pytest.main([*options, *left_out, *plan.tests], plugins=[_Examples(plan.examples)])))


@dataclass(frozen=True)
class _Examples:
    """A plugin of pytest: how many hypothesis tries, whatever tests/conftest.py says."""

    count: int

    def pytest_configure(self) -> None:
        from hypothesis import settings

        settings.register_profile("guest", deadline=None, max_examples=self.count)
        settings.load_profile("guest")


STAGES: Final[dict[str, Callable[[Plan, Tell], None]]] = {
    "doctor": doctor,
    "verify": verify,
    "bytes": same_bytes,
    "live": live,
    "faults": camera_faults,
    "controls": camera_controls,
    "tests": device_tests,
}


def say(stage: str, text: str) -> None:
    sys.stdout.write(f"{stage:<6} | {text}\n")
    sys.stdout.flush()


def do(stage: str, plan: Plan) -> None:
    """Does a stage, and writes its outcome; one that fails keeps none of the others from being done."""
    began, worked = time.monotonic(), _processor_s()
    failed = ""
    try:
        STAGES[stage](plan, partial(say, stage))
    except Exception as error:  # noqa: BLE001 - it is what is to be found out
        failed = str(error) if isinstance(error, StageFailedError) else f"{type(error).__name__}: {error}"
        say(stage, f"FAILED: {failed}")
    outcome = Outcome(failed, time.monotonic() - began, _processor_s() - worked)
    say(stage, f"{outcome.seconds:.1f} s, of these {outcome.processor_s:.1f} s of the processor")
    (OUT / f"{stage}.outcome.json").write_text(json.dumps(asdict(outcome)))


def _processor_s() -> float:
    """Of this process and of those that it has seen end."""
    used = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def main() -> None:
    OUT.mkdir(exist_ok=True)
    plan = Plan(**json.loads(Path("plan.json").read_text()))
    began = time.monotonic()
    for name in ("edge_device.cli", "ai_edge_litert.interpreter"):  # what the copies of this process will want
        import_module(name)
    say("boot", f"imports took {time.monotonic() - began:.1f} s")
    lanes = []
    for number, stages in enumerate(plan.lanes):
        lane = os.fork()
        if lane == 0:
            os.nice(19 if number else 0)
            for stage in stages:
                do(stage, plan)
            os._exit(0)
        lanes.append(lane)
    for lane in lanes:
        os.waitpid(lane, 0)


if __name__ == "__main__":
    main()

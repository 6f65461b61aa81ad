"""What a model costs on Arm, without a board: instructions of an emulated core, which are the same every time.

They are no time: a core executes several at once, and waits for memory. But they compare recipes, networks and input
sizes on a core, and tell when a change makes one of them dearer.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal, get_args

from edge_bench.arm import counted as program
from edge_bench.arm.guest import files
from edge_bench.arm.machine import Cpu
from edge_bench.arm.user_mode import counted
from edge_core.errors import ReportError, SettingsError
from edge_core.progress import Track, silently
from edge_core.tflite_file import read_card

PYTHON: Final = "3.11"
"""Of the emulated core; in a count of inference it has less than a hundredth."""

CPUS: Final[tuple[Cpu, ...]] = get_args(Cpu)

Stage = Literal["preprocessing", "inference"]

_MARKS: Final[dict[int, Stage]] = {program.PREPROCESSING: "preprocessing", program.INFERENCE: "inference"}


@dataclass(frozen=True)
class Cost:
    """Instructions for one frame.

    Attributes:
        model: name of the file, without its extension.
        cpu: of which core.
        stage: what was counted.
        size: in pixels, of the frame and of the model's input, "1280x720 to 160x160".
        instructions, dot, fmla, mull, memory: see `edge_bench.arm.user_mode.Counts`.
    """

    model: str
    cpu: str
    stage: str
    size: str
    instructions: int
    dot: int
    fmla: int
    mull: int
    memory: int

    @property
    def key(self) -> tuple[str, str, str, str]:
        return self.model, self.cpu, self.stage, self.size


@dataclass(frozen=True)
class Change:
    """A cost that was known before, and what it is now."""

    before: Cost
    now: Cost

    @property
    def share(self) -> float:
        """Of the instructions before that are more now; negative if they are fewer."""
        return self.now.instructions / self.before.instructions - 1


def count_instructions(
    models: Sequence[Path],
    cpus: Sequence[Cpu] = CPUS,
    frame_size: tuple[int, int] = (1280, 720),
    track: Track = silently,
) -> list[Cost]:
    """Counts what preprocessing and inference of one frame execute, with one thread.

    What is emulated is downloaded once, 0.2 GB.

    Args:
        models: complete .tflite files.
        cpus: kinds of cores.
        frame_size: width and height of the camera's frame.
        track: shows progress.

    Raises:
        ModelFormatError: not a complete .tflite.
        RuntimeMissingError: QEMU, gcc or apt is not installed.
        HostError: it cannot be downloaded, or does not run there.
    """
    specs = {model: read_card(model).input for model in models}
    guest = files(PYTHON)
    jobs = [(model, cpu) for model in models for cpu in cpus]
    costs = []
    for model, cpu in track(jobs, "Counting instructions", len(jobs)):
        arguments = ["-P", str(program.__file__), str(model.resolve()), *map(str, frame_size)]
        size = f"{frame_size[0]}x{frame_size[1]} to {specs[model].width}x{specs[model].height}"
        for mark, counts in counted(cpu, guest, arguments, _own_packages()):
            if stage := _MARKS.get(mark):
                costs.append(Cost(model.stem, cpu, stage, size, *(n // program.RUNS for n in astuple(counts))))
    return costs


def parse_cpus(names: Sequence[str] | None) -> tuple[Cpu, ...]:
    """Kinds of cores by their names; all if None.

    Raises:
        SettingsError: there is no such core.
    """
    for name in names or ():
        if name not in CPUS:
            raise SettingsError(f"cpu {name!r} is not one of {', '.join(CPUS)}")
    return tuple(cpu for cpu in CPUS if not names or cpu in names)


def changes(before: Iterable[Cost], now: Iterable[Cost]) -> list[Change]:
    """What is in both, in the order of `now`."""
    known = {cost.key: cost for cost in before}
    return [Change(known[cost.key], cost) for cost in now if cost.key in known]


def risen(before: Iterable[Cost], now: Iterable[Cost], limit: float) -> list[Change]:
    """Costs that are higher than before by more than a share.

    Raises:
        ReportError: there is something to compare with, but nothing of the same model, core and size.
    """
    before = list(before)
    both = changes(before, now)
    if before and not both:
        raise ReportError("nothing in the table of before is of these models, cores and sizes")
    return [change for change in both if change.share > limit]


def to_csv(costs: Iterable[Cost]) -> str:
    """One row each, under the names of the fields."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(field.name for field in fields(Cost))
    writer.writerows(astuple(cost) for cost in costs)
    return text.getvalue()


def from_csv(text: str) -> list[Cost]:
    """Reads what `to_csv` wrote.

    Raises:
        ReportError: it is something else.
    """
    header = ",".join(field.name for field in fields(Cost)) + "\n"
    if not text.startswith(header):
        raise ReportError(f"a table of instructions begins with {header.strip()}")
    try:
        rows = csv.reader(io.StringIO(text.removeprefix(header), newline=""))
        costs = [Cost(*row[:4], *map(int, row[4:])) for row in rows]  # type: ignore[arg-type]
    except (TypeError, ValueError, csv.Error):
        raise ReportError("a table of instructions has 4 columns of words and 5 of whole numbers") from None
    if any(cost.instructions < 1 for cost in costs):
        raise ReportError("a table of instructions has counts of at least 1")
    return costs


def _own_packages() -> list[Path]:
    """Where this machine finds edge_core and edge_device, which are Python alone."""
    specs = (find_spec(name) for name in ("edge_core", "edge_device"))
    folders = [Path(place).parent for spec in specs if spec for place in spec.submodule_search_locations or ()]
    return list(dict.fromkeys(folders))

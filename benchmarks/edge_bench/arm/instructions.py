"""What a model costs on Arm, without a board: instructions of an emulated core, which are the same every time.

They are no time: a core executes several at once, and waits for memory. But they compare recipes, networks and input
sizes on a core, and tell when a change makes one of them dearer.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import asdict, astuple, dataclass, fields
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal, get_args

from edge_bench.arm import counted as program
from edge_bench.arm.guest import files
from edge_bench.arm.machine import Cpu
from edge_bench.arm.user_mode import counted
from edge_core.artifact.container import read_card
from edge_core.codec import JsonObject
from edge_core.errors import ReportError, SettingsError
from edge_core.progress import Track, silently

PYTHON: Final = "3.11"
"""Of the emulated core; in a count of inference it has less than a hundredth."""

CPUS: Final[tuple[Cpu, ...]] = get_args(Cpu)

EXECUTED: Final = ("ai-edge-litert", "numpy", "opencv-python")
"""What is counted is theirs; another version of one of them costs something else."""

Stage = Literal["preprocessing", "inference"]

_MARKS: Final[dict[int, Stage]] = {program.PREPROCESSING: "preprocessing", program.INFERENCE: "inference"}


@dataclass(frozen=True)
class InstructionCost:
    """Instructions for one frame.

    Attributes:
        model: Name of the file, without its extension.
        cpu: Name of the emulated core.
        stage: What was counted.
        size: Sizes of the frame and of the model's input in pixels, such as "1280x720 to 160x160".
        instructions, dot_product, float_multiply, integer_multiply, memory: Numbers of instructions, as in
            `edge_bench.arm.user_mode.Counts`.
        versions: Versions of the packages that executed them, such as "ai-edge-litert 2.3.0, ...".
    """

    model: str
    cpu: str
    stage: str
    size: str
    instructions: int
    dot_product: int
    float_multiply: int
    integer_multiply: int
    memory: int
    versions: str

    @property
    def key(self) -> tuple[str, str, str, str]:
        return self.model, self.cpu, self.stage, self.size


@dataclass(frozen=True)
class InstructionChange:
    """A cost that was known before, and what it is now."""

    before: InstructionCost
    now: InstructionCost

    @property
    def share(self) -> float:
        """Of the instructions before that are more now; negative if they are fewer."""
        return self.now.instructions / self.before.instructions - 1

    def __str__(self) -> str:
        return f"{self.now.model} {self.now.stage} on {self.now.cpu}: {self.share:+.3%}"


def count_instructions(
    models: Sequence[Path],
    cpus: Sequence[Cpu] = CPUS,
    frame_size: tuple[int, int] = (1280, 720),
    track: Track = silently,
) -> list[InstructionCost]:
    """Counts what preprocessing and inference of one frame execute, with one thread.

    What is emulated is downloaded once, 0.2 GB.

    Args:
        models: Complete .tflite files, no two of the same name.
        cpus: Kinds of cores.
        frame_size: Width and height of the camera's frame.
        track: Receives the progress of each step.

    Raises:
        ModelFormatError: Not a complete .tflite.
        SettingsError: Two files have the same name.
        RuntimeMissingError: QEMU, gcc or apt is not installed.
        HostError: It cannot be downloaded, or does not run there.
    """
    by_name: dict[str, Path] = {}
    for model in models:
        if model.stem in by_name:
            raise SettingsError(f"{by_name[model.stem]} and {model} have the same name; rename one to tell them apart")
        by_name[model.stem] = model
    specs = {name: read_card(model).input for name, model in by_name.items()}
    guest = files(PYTHON)
    versions = _versions(guest.site)
    jobs = [(cpu, name) for cpu in cpus for name in by_name]
    costs = []
    for cpu, name in track(jobs, "Counting instructions", len(jobs)):
        # -P keeps the folder of this program, which is edge_bench's, off the path.
        arguments = ["-P", str(program.__file__), str(by_name[name].resolve()), *map(str, frame_size)]
        size = f"{frame_size[0]}x{frame_size[1]} to {specs[name].width}x{specs[name].height}"
        for mark, counts in counted(cpu, guest, arguments, own_packages()):
            if stage := _MARKS.get(mark):
                per_frame = [count // program.RUNS for count in astuple(counts)]
                costs.append(InstructionCost(name, cpu, stage, size, *per_frame, versions))  # type: ignore[call-arg]
    return costs


def parse_cpus(names: Sequence[str] | None) -> tuple[Cpu, ...]:
    """Kinds of cores by their names; all if None.

    Raises:
        SettingsError: There is no such core.
    """
    for name in names or ():
        if name not in CPUS:
            raise SettingsError(f"cpu {name!r} is not one of {', '.join(CPUS)}")
    return tuple(cpu for cpu in CPUS if not names or cpu in names)


def changes(before: Iterable[InstructionCost], now: Iterable[InstructionCost]) -> list[InstructionChange]:
    """What is in both, in the order of `now`.

    Raises:
        ReportError: There is something to compare with, but nothing of the same model, core and size.
    """
    known = {cost.key: cost for cost in before}
    both = [InstructionChange(known[cost.key], cost) for cost in now if cost.key in known]
    if known and not both:
        raise ReportError("nothing in the table of before is of these models, cores and sizes")
    return both


def risen(changed: Iterable[InstructionChange], limit: float) -> list[InstructionChange]:
    """Those of a cost that is higher than before by more than a share."""
    return [change for change in changed if change.share > limit]


def to_json(costs: Sequence[InstructionCost], changed: Sequence[InstructionChange] = ()) -> JsonObject:
    """The object that `edge-bench instructions --json` prints."""
    shares = {change.now.key: change.share for change in changed}
    rows = [asdict(cost) | ({"change": shares[cost.key]} if cost.key in shares else {}) for cost in costs]
    return {"unit": "instructions a frame, not time", "costs": rows}


def to_csv(costs: Iterable[InstructionCost]) -> str:
    """One row each, under the names of the fields."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(field.name for field in fields(InstructionCost))
    writer.writerows(astuple(cost) for cost in costs)
    return text.getvalue()


def from_csv(text: str) -> list[InstructionCost]:
    """Reads what `to_csv` wrote.

    Raises:
        ReportError: It is something else.
    """
    header = ",".join(field.name for field in fields(InstructionCost)) + "\n"
    if not text.startswith(header):
        raise ReportError(f"a table of instructions begins with {header.strip()}")
    try:
        rows = list(csv.reader(io.StringIO(text.removeprefix(header), newline="")))
        costs = [InstructionCost(*row[:4], *map(int, row[4:9]), *row[9:]) for row in rows]  # type: ignore[arg-type]
    except (TypeError, ValueError, csv.Error):
        raise ReportError("a table of instructions has 5 columns of whole numbers between 4 of words and 1") from None
    if any(cost.instructions < 1 for cost in costs):
        raise ReportError("a table of instructions has counts of at least 1")
    return costs


def _versions(site: Path) -> str:
    """Of `EXECUTED`, as they are installed in a folder."""
    installed = {one.name.replace("_", "-"): one.version for one in metadata.distributions(path=[str(site)])}
    return ", ".join(f"{name} {installed[name]}" for name in EXECUTED)


def own_packages() -> list[Path]:
    """Where this machine finds edge_core and edge_device, which are Python alone."""
    specs = (find_spec(name) for name in ("edge_core", "edge_device"))
    folders = [Path(place).parent for spec in specs if spec for place in spec.submodule_search_locations or ()]
    return list(dict.fromkeys(folders))

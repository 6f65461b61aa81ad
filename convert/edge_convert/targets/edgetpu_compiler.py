"""Google's `edgetpu_compiler`, run where it is installed, and its log held against the forecast.

Its options and its log are those of https://coral.ai/docs/edgetpu/compiler.
"""

import re
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge_convert.targets.coral import check_coral
from edge_convert.targets.verdict import Placement, Verdict
from edge_convert.tflite.graph import naming, read_graph
from edge_core.artifact.container import CARD_FILE, complete, has_entry, read_card, without_archive
from edge_core.artifact.familiarity import read_detector
from edge_core.artifact.golden import read_golden
from edge_core.artifact.model_outputs import with_outputs
from edge_core.artifact.seal import check_seal, seal
from edge_core.codec import JsonObject
from edge_core.errors import CheckFailedError, OutputError, RuntimeMissingError
from edge_core.files import require_writable, written_whole

COMMAND: Final = "edgetpu_compiler"
MAPPED: Final = "Mapped to Edge TPU"

_TIMEOUT_S: Final = 600
_ROW: Final = re.compile(r"^(\S+) {2,}(\d+) {2,}(\S.*?)\s*$", re.MULTILINE)
"""`CONV_2D                        35         Mapped to Edge TPU`"""


@dataclass(frozen=True)
class LogRow:
    """A line of the compiler's table: so many operators of a name, and what became of them."""

    name: str
    count: int
    status: str


@dataclass(frozen=True)
class Compiled:
    """What the compiler made.

    Attributes:
        file: Written, for the Edge TPU.
        size_bytes: Size of the compiled file in bytes.
        log: The compiler's table.
        forecast: What `check` says of the file that was compiled.
        differences: Where the log is not what was forecast, a line each.
    """

    file: Path
    size_bytes: int
    log: tuple[LogRow, ...]
    forecast: Verdict
    differences: tuple[str, ...]

    def to_json(self) -> JsonObject:
        return {
            "file": str(self.file),
            "size_bytes": self.size_bytes,
            "log": [vars(row) for row in self.log],
            "targets": {"coral": self.forecast.to_json()},
            "differences": list(self.differences),
        }


def compile_for_edgetpu(file: Path, out: Path) -> Compiled:
    """Compiles a .tflite for the Edge TPU; of a complete file card and labels come along.

    So does the detector of what is foreign, whose features become outputs of what is compiled; so does what was
    compiled, for when there is no Edge TPU; and of a sealed file the golden vectors, under a new seal that is not
    signed: `edge-convert adopt --sign` signs it.

    Args:
        file: 8-bit, see `edge_convert.targets`.
        out: The .tflite to write.

    Raises:
        CheckFailedError: The compiler made nothing of it.
        ModelFormatError: `file` is no .tflite, or not as it was sealed.
        OutputError: `out` cannot be written.
        RuntimeMissingError: The compiler is not installed.
    """
    was_sealed = check_seal(file) is not None  # first, so that damage is told as damage whatever it hit
    with naming(file):
        model = without_archive(file.read_bytes())
        forecast = check_coral(read_graph(model))
    detector = read_detector(file)
    if out.is_dir() or out.suffix != ".tflite":
        raise OutputError(f"{out}: the file to write ends in .tflite")
    require_writable(out)
    command = _compiler()
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "model.tflite"  # its name goes into a command line
        source.write_bytes(with_outputs(model, detector.tensors) if detector else model)
        said = _run(command, source)
        made, log = source.with_name("model_edgetpu.tflite"), source.with_name("model_edgetpu.log")
        if not made.exists():
            reasons = "; ".join(forecast.reasons) or "the forecast was that it would"
            raise CheckFailedError(f"{COMMAND} compiled nothing of {file}: {_last_line(said)}. Forecast: {reasons}")
        compiled = without_archive(made.read_bytes())
        rows = read_log(log.read_text("utf-8", "replace") if log.exists() else said)
    if has_entry(file, CARD_FILE):  # somebody else's file has no card to take along
        compiled = complete(compiled, read_card(file), file.stem, model, detector.to_bytes() if detector else None)
    if was_sealed:
        compiled = seal(compiled, read_golden(file))
    with written_whole(out) as beside:
        beside.write_bytes(compiled)
    return Compiled(out, len(compiled), rows, forecast, differences(forecast.placements or (), rows))


def _compiler() -> str:
    """Path of the compiler."""
    command = shutil.which(COMMAND)
    if command is None:
        raise RuntimeMissingError(
            f"{COMMAND} is not installed; it is made for Debian and Ubuntu on x86-64 only: add Coral's apt repository "
            "as https://coral.ai/docs/edgetpu/compiler says, then: sudo apt install edgetpu-compiler"
        )
    return command


def read_log(log: str) -> tuple[LogRow, ...]:
    """The rows of the compiler's table, `Operator`, `Count`, `Status`."""
    return tuple(LogRow(name, int(count), status) for name, count, status in _ROW.findall(log))


def differences(forecast: Sequence[Placement], log: Sequence[LogRow]) -> tuple[str, ...]:
    """Where the compiler did something else than was forecast, a line for each kind of operator."""
    expected = Counter((one.operator.name, one.mapped) for one in forecast)
    found: Counter[tuple[str, bool]] = Counter()
    for row in log:
        found[row.name, row.status == MAPPED] += row.count
    lines = []
    for name in sorted({name for name, _ in (*expected, *found)}):
        if all(expected[name, mapped] == found[name, mapped] for mapped in (True, False)):
            continue
        said = {row.status for row in log if row.name == name and row.status != MAPPED}
        lines.append(
            f"{name}: forecast {expected[name, True]} mapped and {expected[name, False]} on the CPU, the compiler has "
            f"{found[name, True]} and {found[name, False]}" + (f" ({'; '.join(sorted(said))})" if said else "")
        )
    return tuple(lines)


def _run(command: str, source: Path) -> str:
    arguments = [command, "--show_operations", "--out_dir", str(source.parent), str(source)]
    try:
        done = subprocess.run(
            arguments, capture_output=True, text=True, errors="replace", timeout=_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise CheckFailedError(f"{COMMAND} did not end within {_TIMEOUT_S} s") from error
    except OSError as error:
        raise RuntimeMissingError(f"{command} cannot be run: {error.strerror or error}") from error
    return done.stdout + done.stderr


def _last_line(said: str) -> str:
    return next((line.strip() for line in reversed(said.splitlines()) if line.strip()), "it said nothing")

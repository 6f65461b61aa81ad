"""What has been exported: the files of a project, each with what the report beside it proves."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from edge_core.artifact.seal import check_seal
from edge_core.codec import JsonObject
from edge_core.data.photo_folder import NEGATIVES_FOLDER, pictures_below
from edge_core.errors import EdgeError, SettingsError
from edge_core.run_folder import CARD_FILE, read_run
from edge_studio.jobs.supervised import read_json
from edge_studio.project import Project


@dataclass(frozen=True)
class ExportSummary:
    """A file of `edge-convert export`, as its report tells.

    Attributes:
        name: File name.
        run: Name of the run that it is of.
        recipe: Quantization recipe.
        size_bytes: Size of the file.
        latency_ms: Median of one inference on the machine that exported it, in milliseconds.
        digest: SHA-256 as the seal has it, hexadecimal; empty if the file is damaged.
        signed: Whether it carries a signature.
        facts: What was proven, name and value for people.
        targets: Whether each target takes it, with the first reason if not.
        missed: Limits that it does not keep to, each in words.
    """

    name: str
    run: str
    recipe: str
    size_bytes: int
    latency_ms: float
    digest: str
    signed: bool
    facts: tuple[tuple[str, str], ...]
    targets: tuple[tuple[str, bool, str], ...]
    missed: tuple[str, ...]

    def to_json(self) -> JsonObject:
        return asdict(self)


def exported_files(project: Project) -> list[ExportSummary]:
    """The files of a project that have a report, the newest first."""
    files = sorted(project.exports.glob("*.tflite"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    return [found for path in files if (found := _summary(path))]


def exported_file(project: Project, name: str) -> Path:
    """The path of an exported file by its name.

    Raises:
        SettingsError: There is none.
    """
    path = project.exports / name
    if Path(name).name != name or path.suffix != ".tflite" or not path.is_file():
        raise SettingsError(f"there is no exported file {name!r}")
    return path


def finished_runs(project: Project) -> list[str]:
    """Names of the runs of a project, the newest first."""
    cards = project.runs.glob(f"*/{CARD_FILE}")
    found = sorted(
        (path for path in cards if not path.parent.name.startswith(".")), key=lambda one: -one.stat().st_mtime
    )
    return [path.parent.name for path in found]


def finished_run(project: Project, name: str) -> Path:
    """The folder of a run by its name.

    Raises:
        SettingsError: There is none.
    """
    if name not in finished_runs(project):
        raise SettingsError(f"there is no run {name!r}; train one first")
    return project.runs / name


def next_run(project: Project) -> Path:
    """A folder for the next run: run-1, run-2 ..., past all that were ever begun."""
    # `.run-3.training` is the hidden folder of a training that is under way.
    names = [path.name.strip(".").removesuffix(".training") for path in project.runs.glob("*")]
    numbers = [int(name.removeprefix("run-")) for name in names if name.removeprefix("run-").isdecimal()]
    return project.runs / f"run-{max(numbers, default=0) + 1}"


def unknown_pictures(project: Project, run: Path) -> Path | None:
    """The folder of pictures of none of the classes, if it has any that the run has not learned from."""
    folder = project.photos / NEGATIVES_FOLDER
    if not folder.is_dir():
        return None
    learned = {photo.path for photo in read_run(run).negatives}
    return folder if any(path not in learned for path in pictures_below(folder)) else None


def _summary(path: Path) -> ExportSummary | None:
    report = read_json(path.with_suffix(".report.json"))
    digest, signed = "", False
    with suppress(EdgeError):
        seal = check_seal(path)
        digest, signed = (seal.digest, seal.signature is not None) if seal else ("", False)
    try:
        return ExportSummary(
            path.name,
            Path(report["run"]).name,
            report["recipe"],
            report["size_bytes"],
            report["latency_ms"],
            digest,
            signed,
            tuple(_facts(report)),
            tuple(
                (name, bool(one["ok"]), "" if one["ok"] else str(next(iter(one["reasons"]), "")))
                for name, one in report["targets"].items()
            ),
            tuple(report["missed"].values()),
        )
    except (KeyError, TypeError, ValueError, AttributeError):  # no report of ours beside it
        return None


def _facts(report: Mapping[str, JsonObject]) -> list[tuple[str, str]]:
    """The gate's table."""
    found = report["comparison"]
    difference = found["difference"]
    facts = [
        ("Full-size model right", _share(found["full_size"])),
        ("This file right", _share(found["converted"])),
        ("Held-out photos", str(found["photos"])),
        (
            "Difference, points",
            f"{100 * difference['value']:+.1f} ({100 * difference['low']:+.1f} to {100 * difference['high']:+.1f})",
        ),
        (f"Limit of {report['max_drop_points']:g} points", str(report["verdict"])),
        ("Same label", _share(found["agreement"])),
    ]
    foreign = report["foreign"]
    if foreign:
        facts.append(("Held-out photos that count as known", _share(foreign["kept"])))
        if foreign["let_in"]:
            facts.append((f"Of {foreign['foreign']} unknown pictures count as known", _share(foreign["let_in"])))
    return facts


def _share(estimate: Mapping[str, float]) -> str:
    return f"{100 * estimate['value']:.1f} % ({100 * estimate['low']:.1f} to {100 * estimate['high']:.1f})"

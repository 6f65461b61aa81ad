"""What one `edge-run live` runs: command line over file over defaults, and the file that says the same."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edge_core.errors import SettingsError
from edge_device.live.configuration.checks import conflicts, problems
from edge_device.live.configuration.config_file import CAMERA, VARIABLES, ConfigFile, options
from edge_device.live.configuration.typed_values import to_toml
from edge_device.live.options import MODEL, ConsoleOptions, LiveOptions, described, make_options, values_of
from edge_device.sources.network.addresses import has_password


@dataclass(frozen=True)
class LiveRun:
    """What one process runs.

    Attributes:
        cameras: Options of each camera by its name; the name of an only one may be empty.
        console: What is said, and how.
    """

    cameras: Mapping[str, LiveOptions]
    console: ConsoleOptions = field(default_factory=ConsoleOptions)


def live_run(given: Mapping[str, object], config: ConfigFile | None = None) -> LiveRun:
    """The run that a command line and a file ask for.

    Args:
        given: Values that the command line gives, by the name of the field; they go before those of the file.
        config: The file, if there is one.

    Raises:
        SettingsError: A camera has no model, or options contradict each other.
    """
    common = {**(config.common if config else {}), **given}
    tables = (config.cameras if config else {}) or {"": {}}
    if len(tables) > 1 and "source" in given:
        raise SettingsError(f"--source is for one camera, and {config and config.path} has {', '.join(tables)}")
    cameras = {}
    for name, table in tables.items():
        values = {**common, **table, **given}
        if values.get(MODEL.name) is None:
            where = f"nor has {config.path} the key {MODEL.key}" if config else "a .tflite that edge-convert wrote"
            raise SettingsError(f"MODEL is not given, {where}")
        cameras[name] = make_options(values)
    names = {one.name for one in described(ConsoleOptions)}
    run = LiveRun(cameras, ConsoleOptions(**{name: bool(common[name]) for name in names if name in common}))
    _check(run, given, config)
    return run


def _check(run: LiveRun, given: Mapping[str, object], config: ConfigFile | None) -> None:
    found = [(camera, problem) for camera, one in run.cameras.items() for problem in problems(one)]
    for camera, problem in [*found, *conflicts(run.cameras)]:
        where = config.place(problem.name, camera) if config and problem.name not in given else None
        raise SettingsError(f"{where}: {problem.text}" if where else problem.text)


def config_text(run: LiveRun) -> str:
    """The configuration file that asks for a run: what differs from the defaults, each under its help text.

    Paths in it are absolute, so that it may be put anywhere.

    Raises:
        SettingsError: An address has a password in it, or a file name bytes that are not text.
    """
    by_camera = {name: _set(values_of(one)) for name, one in run.cameras.items()}
    console = _set({one.name: getattr(run.console, one.name) for one in described(ConsoleOptions)})
    first, *others = by_camera.values()
    # What all cameras have alike is written once; what only some have, or have differently, below each.
    common = {name: value for name, value in first.items() if all(other.get(name) == value for other in others)}
    own = {name: {key: values[key] for key in values if key not in common} for name, values in by_camera.items()}
    return document({**common, **console}, {name: values for name, values in own.items() if name})


def document(common: Mapping[str, object], cameras: Mapping[str, Mapping[str, object]]) -> str:
    """A configuration file with these values, each under its help text.

    Args:
        common: Values of all cameras, by the name of the field.
        cameras: Values of single cameras, by name.

    Raises:
        SettingsError: See `config_text`.
    """
    tables = [[f"[{CAMERA}.{name}]", *_lines(values)] for name, values in cameras.items()]
    return "\n".join("\n".join(lines) + "\n" for lines in ([*_lines(common)], *tables))


def _set(values: Mapping[str, object]) -> dict[str, object]:
    """The values that differ from the defaults."""
    return {name: value for name, value in values.items() if value != options()[name].default}


def _lines(values: Mapping[str, object]) -> Iterator[str]:
    for name, one in options().items():
        value = values.get(name)
        if value is None:
            continue
        if name in VARIABLES and has_password(str(value)):
            raise SettingsError(
                f"--{one.key} has a password in it, and no secret stands in such a file; leave it out there, and "
                f"put it into {VARIABLES[name]}"
            )
        yield f"# {one.option.help}"
        yield f"{one.key} = {to_toml(one, value, Path.cwd())}"

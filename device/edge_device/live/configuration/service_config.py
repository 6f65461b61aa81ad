"""A configuration file for a service, with the places in it as the service reaches them."""

from collections.abc import Callable, Mapping
from pathlib import Path

from edge_device.live.configuration.config_file import options, read_config
from edge_device.live.configuration.live_run import document
from edge_device.live.configuration.typed_values import is_file
from edge_device.system.unit_file import MODELS, NO_TEACHING, WRITTEN, Places


def service_config(places: Places, text: str, model: bool) -> str:
    """Plans the copy of a configuration file, and returns where it will be.

    Args:
        places: Places that the service reaches; what is copied and written is added to them.
        text: Path of the file.
        model: Whether the command line names the model, and goes before the file.

    Raises:
        SettingsError: The file is wrong, or names a file that is not there.
    """
    path = Path(text)
    # Paths as the file has them: where they start from is decided below, option by option.
    asked = read_config(path, base=Path())

    def placed(values: Mapping[str, object], camera: str = "") -> dict[str, object]:
        suffix = f"-{camera}" if camera else ""
        takes = places.takes(suffix) | {"--model": lambda file: places.copied(file, f"model{suffix}.tflite")}
        known = {name: values[name] for name in values if not (model and name == "file")}
        return {name: _placed(places, takes, name, value, path.parent) for name, value in known.items()}

    common = placed(asked.common)
    cameras = {name: placed(values, name) for name, values in asked.cameras.items()}
    target = MODELS / places.unit / "live.toml"
    places.texts.append((document(common, cameras), target))
    return str(target)


def _placed(
    places: Places, takes: Mapping[str, Callable[[str], str]], name: str, value: object, folder: Path
) -> object:
    """A value of the file as the service reaches it; paths of what is read start from the folder of the file."""
    one = options()[name]
    flag, text = "--" + one.key, str(value)
    if flag == "--teach" and value:
        places.obstacles.append(NO_TEACHING)
    if flag in WRITTEN or (flag == "--token-file" and not (folder / text).exists()):
        return str(Path("/var/lib") / places.unit / places.written(text))
    read = isinstance(value, Path) or is_file(one, text)
    take = takes.get(flag, places.source if read else None)
    return take(str(folder / text) if read else text) if take else value

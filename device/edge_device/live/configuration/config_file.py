"""A configuration file of `edge-run live`: read, and refused in one line that names file, line and key."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Final, cast

from edge_core.errors import SettingsError
from edge_device.live.configuration.toml_text import line_of
from edge_device.live.configuration.typed_values import from_toml
from edge_device.live.options import (
    MODEL,
    MQTT_PASSWORD,
    SOURCE_PASSWORD,
    WEBHOOK_TOKEN,
    ConsoleOptions,
    Described,
    described,
    groups,
)
from edge_device.sinks.web.address import TOKEN_VARIABLE
from edge_device.sources.network.addresses import has_password

CAMERA: Final = "camera"
"""Table of the cameras, each of which is a table of options."""

LARGEST: Final = 256 * 1024
"""Bytes of a file: a hundred times what every option of ten cameras takes."""

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,32}")
_SECRET: Final = re.compile(r"(^|.*[-_])(passwords?|passwd|tokens?|secrets?|credentials?)$", re.IGNORECASE)
VARIABLES: Final = {"source": SOURCE_PASSWORD, "mqtt": MQTT_PASSWORD, "webhook": WEBHOOK_TOKEN}
"""Environment variables for the passwords of addresses, by the field that has the address."""

_NO_SECRETS: Final = "a configuration file is copied, shown and kept in archives, so no secret stands in it"


@dataclass(frozen=True)
class ConfigFile:
    """What a configuration file says, by the names of fields.

    Attributes:
        path: The file.
        text: What is in it.
        common: Values of the options that stand before the first table.
        cameras: Values of the options of each `[camera.NAME]`, by NAME; empty without such a table.
    """

    path: Path
    text: str
    common: Mapping[str, object]
    cameras: Mapping[str, Mapping[str, object]] = field(default_factory=dict)

    def place(self, name: str, camera: str = "") -> str | None:
        """Where the option of a field is set for a camera: `porch.toml:7: web`; None where the file does not set it."""
        key = options()[name].key
        if name in self.cameras.get(camera, {}):
            return place(self.path, self.text, CAMERA, camera, key)
        return place(self.path, self.text, key) if name in self.common else None


@cache
def options() -> Mapping[str, Described]:
    """Every option that a file may set, by the name of its field."""
    kinds = [kind for _, _, kind in groups()] + [ConsoleOptions]
    return {MODEL.name: MODEL} | {one.name: one for kind in kinds for one in described(kind)}


def place(path: Path, text: str, *keys: str) -> str:
    """Where a key is set, as messages begin: `porch.toml:7: camera.porch.fps`."""
    shown = ".".join("".join(one if one.isprintable() else " " for one in key) for key in keys)
    return f"{path}:{line_of(text, keys)}: {shown}"


def read_config(path: Path, base: Path | None = None) -> ConfigFile:
    """Reads a configuration file.

    Args:
        path: A TOML file, UTF-8.
        base: Folder that relative paths in it start from; that of the file by default.

    Raises:
        SettingsError: The file cannot be read, is not TOML, has a key that there is not, a secret, or a value that an
            option does not take. The message is one line with the file, the line and the key.
    """
    text = _text(path)
    found = _parsed(path, text)
    base = path.parent if base is None else base
    cameras = found.pop(CAMERA, None)
    common = _values(path, text, (), found, base)
    tables = _tables(path, text, cameras) if cameras is not None else {}
    return ConfigFile(
        path, text, common, {name: _values(path, text, (CAMERA, name), table, base) for name, table in tables.items()}
    )


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            # One byte more than is allowed tells that there are too many.
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror or error}") from error
    if len(data) > LARGEST:
        raise SettingsError(f"{path} has more than {LARGEST // 1024} KiB; it is no configuration file")
    try:
        return data.decode().replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise SettingsError(f"{path}:{line}: a byte is not UTF-8: 0x{data[error.start]:02x}") from None


def _parsed(path: Path, text: str) -> dict[str, object]:
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise SettingsError(f"{path} has brackets within brackets too deep to be read") from None
    except ValueError as error:
        reason = " ".join(str(error).split())
        # tomllib puts the place into its message, but for errors at the end of the file.
        found = re.search(r" \(at line (\d+), column \d+\)$", reason)
        line = found[1] if found else text.rstrip().count("\n") + 1
        reason = re.sub(r" \(at (line \d+, column \d+|end of document)\)$", "", reason)
        raise SettingsError(
            f'{path}:{line}: not valid TOML: {reason}; a line is KEY = VALUE, with text in "quotes"'
        ) from None


def _tables(path: Path, text: str, cameras: object) -> dict[str, dict[str, object]]:
    if not isinstance(cameras, dict) or not cameras:
        raise SettingsError(f"{place(path, text, CAMERA)}: cameras are tables with a name each: [camera.porch]")
    seen: dict[str, str] = {}
    for name, table in cameras.items():
        where = place(path, text, CAMERA, name)
        if not isinstance(table, dict):
            raise SettingsError(f"{where}: a camera is a table, [camera.porch]; options of all cameras stand before it")
        if not _NAME.fullmatch(name):
            raise SettingsError(f"{where}: the name of a camera has 1 to 32 letters, digits, hyphens and underscores")
        if name.lower() in seen:
            raise SettingsError(f"{where}: it differs from {seen[name.lower()]} in capital letters alone")
        seen[name.lower()] = name
    return cast(dict[str, dict[str, object]], cameras)


def _values(
    path: Path, text: str, tables: tuple[str, ...], found: Mapping[str, object], base: Path
) -> dict[str, object]:
    """The values of a table, by the name of the field."""
    known = {one.key: one for one in options().values()}
    values = {}
    for key, value in found.items():
        try:
            if key not in known:
                raise SettingsError(_why_unknown(key, list(known)))
            one = known[key]
            # A port or a window is there once, so that two cameras cannot have different ones.
            if tables and one.option.shared:
                raise SettingsError("it is one for all cameras; it stands before the first [table]")
            values[one.name] = from_toml(one, value, base)
            if one.name in VARIABLES and has_password(str(value)):
                raise SettingsError(
                    f"it has a password in it; {_NO_SECRETS}: write USER@ without the password, and put that into "
                    f"{VARIABLES[one.name]}"
                )
        except SettingsError as error:
            # Every error of a value gets its place here, whichever check has raised it.
            raise SettingsError(f"{place(path, text, *tables, key)}: {error}") from None
    return values


def _why_unknown(key: str, known: Sequence[str]) -> str:
    if _SECRET.fullmatch(key):
        return (
            f"{_NO_SECRETS}; the environment has it ({TOKEN_VARIABLE}, {MQTT_PASSWORD}, {WEBHOOK_TOKEN}, "
            f"{SOURCE_PASSWORD}), or the file that token-file names"
        )
    fields = {one.name.replace("_", "-"): one.key for one in options().values()}
    asked = key.lower().replace("_", "-").strip("-")
    near = get_close_matches(asked, [*known, *fields, "cameras"], 1)
    if not near:
        return "there is no such option; edge-run live --help lists them"
    nearest = {"cameras": "[camera.NAME]"}.get(near[0]) or fields.get(near[0], near[0])
    return f"there is no such option; do you mean {nearest}?"

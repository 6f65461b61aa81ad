"""Values of options: from TOML as the type of the option asks for, and back."""

import math
from collections.abc import Sequence
from pathlib import Path
from types import UnionType
from typing import Final, Literal, Union, cast, get_args, get_origin

from edge_core.errors import SettingsError
from edge_device.live.configuration.toml_text import Value, toml_value
from edge_device.live.options import Described
from edge_device.sources import names_file

MANY: Final = tuple[str, ...]
"""The type of an option that may be given more than once."""

_KINDS: Final[tuple[tuple[type, str], ...]] = (
    (bool, "true or false"),
    (int, "a whole number"),
    (float, "a number"),
    (str, "text"),
    (list, "a list"),
    (dict, "a table"),
)


def from_toml(one: Described, value: object, base: Path) -> object:
    """The value of a field, as the option's type has it.

    Args:
        one: The option.
        value: What `tomllib` made of the file.
        base: Folder that relative paths start from.

    Raises:
        SettingsError: The value is of another type, out of range or not one of those that there are.
    """
    kind = plain_type(one)
    # Python reads integers of any length, and `float` or a format would fail on one later, without a place.
    if type(value) is int and value.bit_length() > 63:
        raise SettingsError("it is a number of more than 64 bits, which TOML does not have")
    if kind == MANY:
        return _texts(one, value)
    if get_origin(kind) is Literal:
        return _choice(value, get_args(kind))
    if kind is bool:
        return _of_type(one, value, bool)
    if kind is int or kind is float:
        return _number(one, value, kind)
    text = cast(str, _of_type(one, value, str))
    if kind is Path:
        return _path(text, base)
    return str(_path(text, base)) if is_file(one, text) else text


def to_toml(one: Described, value: object, base: Path) -> str:
    """The value of a field as TOML.

    Args:
        one: The option.
        value: A value that is not None.
        base: Folder that relative paths start from.

    Raises:
        SettingsError: A file name has bytes that are not text.
    """
    if isinstance(value, Path) or is_file(one, str(value)):
        value = str(base / str(value))
    try:
        return toml_value(cast(Value, value))
    except ValueError:
        raise SettingsError(
            f"{one.key} has bytes that are not UTF-8; a configuration file has no way to write them"
        ) from None


def is_file(one: Described, text: str) -> bool:
    """Whether the text of an option is a path: a video in place of a camera, an object detector in place of a focus."""
    return (one.name == "source" and names_file(text)) or (one.name == "focus" and text.endswith(".tflite"))


def plain_type(one: Described) -> object:
    """The type of an option where it is set: `Path` of `Path | None`."""
    if get_origin(one.type) in (Union, UnionType):
        return next(kind for kind in get_args(one.type) if kind is not type(None))
    return one.type


def type_name(one: Described) -> str:
    """What an option takes, for people: "a whole number"."""
    kind = plain_type(one)
    if kind == MANY:
        return "a list of texts"
    if get_origin(kind) is Literal:
        return f"one of {', '.join(get_args(kind))}"
    return "the path of a file or folder" if kind is Path else dict(_KINDS)[cast(type, kind)]


def _of_type(one: Described, value: object, kind: type) -> object:
    # Not isinstance: true is no number in TOML, though a bool is an int in Python.
    if type(value) is not kind:
        wanted = dict(_KINDS)[kind]
        hint = f"; write {one.key} = {toml_value(str(value))}" if kind is str and type(value) in (int, float) else ""
        raise SettingsError(f"it takes {wanted}, not {_described(value)}{hint}")
    return value


def _number(one: Described, value: object, kind: type[int] | type[float]) -> int | float:
    if kind is float and type(value) is int:
        try:
            value = float(value)
        except OverflowError:
            value = math.inf
    number = cast(int | float, _of_type(one, value, kind))
    if isinstance(number, float) and not math.isfinite(number):
        raise SettingsError(f"it takes a finite number, not {number}")
    smallest, largest = one.option.minimum, one.option.maximum
    if smallest is not None and number < smallest:
        raise SettingsError(f"it is at least {smallest:g}, not {number}")
    if largest is not None and number > largest:
        raise SettingsError(f"it is at most {largest:g}, not {number}")
    return number


def _choice(value: object, known: Sequence[str]) -> object:
    if value not in known:
        raise SettingsError(f"it is one of {', '.join(known)}, not {_described(value)}")
    return value


def _texts(one: Described, value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise SettingsError(
            f"it takes a list of texts, not {_described(value)}; write {one.key} = [{toml_value(str(value))}]"
            if isinstance(value, str | int | float)
            else f"it takes a list of texts, not {_described(value)}"
        )
    for item in value:
        if not isinstance(item, str):
            raise SettingsError(f"it takes a list of texts, and {_described(item)} is in it; put it into quotes")
    return tuple(value)


def _path(text: str, base: Path) -> Path:
    if not text or "\0" in text:
        raise SettingsError(f"it takes the path of a file or folder, not {_described(text)}")
    if text.startswith("~"):
        raise SettingsError(f"a shell replaces ~, a file does not; write the whole path in place of {text}")
    return base / text


def _described(value: object) -> str:
    """A value in an error message: what it is, and the beginning of it."""
    if isinstance(value, list | dict):
        return dict(_KINDS)[type(value)]
    if isinstance(value, str):
        return f'the text "{_short(value)}"'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return f"the number {value}" if isinstance(value, float) or value.bit_length() < 64 else "a huge number"
    return f"the date or time {value}"


def _short(text: str) -> str:
    shown = "".join(one if one.isprintable() else " " for one in text)
    return shown if len(shown) <= 40 else f"{shown[:40]}…"

"""JSON to frozen dataclasses, checked field by field."""

import math
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")

JsonObject = dict[str, Any]
"""An object of JSON, with values of any type: what comes from outside is checked by `from_fields` before it is
believed."""


def from_fields(cls: type[T], value: object) -> T:
    """Makes a dataclass of what `dataclasses.asdict` and JSON made of it; fields that it does not know are passed over.

    Knows dataclasses, `X | None`, tuples, mappings from text, text, numbers and truth values.

    Raises:
        ValueError: Names the field that is missing, or not of its type.
    """
    made: T = _read(cls, value, "it")
    return made


def _read(kind: Any, value: Any, where: str) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):  # `X | None` alone: no field of a file's is of two types
        return None if value is None else _read(arguments[0], value, where)
    if is_dataclass(kind):
        return _read_dataclass(kind, value, where)
    if origin is tuple:
        return _read_tuple(arguments, value, where)
    if origin is Mapping:
        return {
            name: _read(arguments[1], item, _below(where, name)) for name, item in _typed(dict, value, where).items()
        }
    # JSON writes 1.0 as 1 where another program made it, and Python's reads Infinity and NaN, which are no JSON.
    if kind is float and type(value) in (int, float) and math.isfinite(value):
        return float(value)
    return _typed(kind, value, where)


def _read_dataclass(kind: Any, value: Any, where: str) -> Any:
    hints = get_type_hints(kind)
    given = _typed(dict, value, where)
    for field in fields(kind):
        if field.name not in given:
            raise ValueError(f"{where} lacks the field {field.name}")
    return kind(**{one.name: _read(hints[one.name], given[one.name], _below(where, one.name)) for one in fields(kind)})


def _read_tuple(kinds: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    items = _typed(list, value, where)
    if kinds == (float, ...) and all(type(item) is float and math.isfinite(item) for item in items):
        # At once: a detector has a thousand numbers, and a Raspberry Pi would take 10 ms to name the place of each.
        return tuple(items)
    each = [kinds[0]] * len(items) if kinds[-1] is Ellipsis else kinds
    if len(each) != len(items):
        raise ValueError(f"{where} should have {len(each)} items, not {len(items)}")
    return tuple(
        _read(kind, item, f"{where}[{place}]") for place, (kind, item) in enumerate(zip(each, items, strict=True))
    )


def _below(where: str, name: str) -> str:
    return name if where == "it" else f"{where}.{name}"


def _typed(kind: type[T], value: object, where: str) -> T:
    # Not isinstance: True is an int in Python.
    if type(value) is not kind:
        names = {
            dict: "an object",
            list: "a list",
            str: "text",
            int: "a whole number",
            float: "a number",
            bool: "true or false",
        }
        raise ValueError(f"{where} should be {names.get(kind, kind.__name__)}, not {value!r:.40}")
    return value

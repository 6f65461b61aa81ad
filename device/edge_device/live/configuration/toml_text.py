"""TOML as text: values written as TOML, and the line that a key stands on, which `tomllib` does not tell."""

import tomllib
from collections.abc import Mapping, Sequence
from typing import Final

Value = str | int | float | bool | Sequence[str]
"""What an option of `live` may be in a file."""

_SHORT: Final = {"\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r", '"': '\\"', "\\": "\\\\"}


def toml_value(value: Value) -> str:
    """A value as TOML 1.0 has it on one line.

    Args:
        value: A text without lone surrogates, a finite number, a truth value, or texts.

    Raises:
        ValueError: A text has a lone surrogate: bytes of a file name that are not UTF-8.
    """
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        # The shortest text that reads back as the same number; TOML writes floats as Python does.
        return repr(value)
    return "[" + ", ".join(_quoted(text) for text in value) + "]"


def _quoted(text: str) -> str:
    """A basic string: quotes, backslashes and what is no printable character are escaped."""
    text.encode()  # a lone surrogate is a ValueError
    return '"' + "".join(_SHORT.get(one) or (one if one.isprintable() else _escaped(one)) for one in text) + '"'


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def line_of(text: str, keys: Sequence[str]) -> int:
    """The line, from 1 on, on which a key is set, or a table begins.

    The first lines of a valid file are a valid file, too, unless they end within a value of several lines. So the line
    is found by halving: the one after the longest valid beginning that has no such key.

    Args:
        text: A whole, valid file.
        keys: The key, after the tables that it is in: `("camera", "porch", "fps")`.
    """
    lines = text.split("\n")
    without, with_it = 0, len(lines)
    while (middle := (without + with_it) // 2) > without:
        tried = middle
        # A beginning that ends within a value of several lines is not valid; one line further on it may be.
        while tried < with_it and (found := _parsed(lines[:tried])) is None:
            tried += 1
        if tried == with_it:
            with_it = middle  # no beginning between these two is valid
        elif _has(found, keys):
            with_it = tried
        else:
            without = tried
    return without + 1


def _parsed(lines: Sequence[str]) -> Mapping[str, object] | None:
    try:
        return tomllib.loads("\n".join(lines) + "\n")
    except ValueError:
        return None


def _has(found: object, keys: Sequence[str]) -> bool:
    for key in keys:
        if not isinstance(found, Mapping) or key not in found:
            return False
        found = found[key]
    return True

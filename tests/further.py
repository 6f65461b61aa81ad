"""What the ordinary suite shows on some of a kind, `make test-slow` shows on all."""

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def slow_but(values: Iterable[Any], quick: Collection[Any]) -> list[Any]:
    """Values of a parametrized test, of which all but those with these names are marked slow.

    Raises:
        ValueError: One of the names is of no value, so that less would be tested than it seems.
    """
    given = list(values)
    names = [getattr(value, "name", value) for value in given]
    if unknown := set(quick) - set(names):
        raise ValueError(f"no such value: {sorted(unknown)}")
    return [
        value if name in quick else pytest.param(value, marks=pytest.mark.slow)
        for name, value in zip(names, given, strict=True)
    ]

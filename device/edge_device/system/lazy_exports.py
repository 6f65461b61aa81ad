"""Names of a package that are imported when they are asked for: on a Raspberry Pi, each hundred modules that a command
imports and does not need cost 50 ms of its start.

Standard library alone: `edge_device.doctor` runs where NumPy and OpenCV do not.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # as in command_line/entry.py
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def lazy_exports(package: str, places: Mapping[str, str]) -> Callable[[str], object]:
    """The `__getattr__` of a package, see PEP 562.

    Args:
        package: The package's own `__name__`.
        places: Full name of the module that has a name, by the name.
    """

    def find(name: str) -> object:
        if name not in places:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(places[name]), name)

    return find

"""The known name that somebody may have meant."""

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(name: str, known: Iterable[str]) -> str:
    """A question behind a refusal, `; do you mean brightness?`; empty where nothing known is like the name.

    Args:
        name: Name that there is not; capital letters do not count.
        known: Names that there are.
    """
    by_lower = {one.lower(): one for one in known}
    found = get_close_matches(name.lower(), by_lower, 1)
    return f"; do you mean {by_lower[found[0]]}?" if found else ""

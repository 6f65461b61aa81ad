"""The known name that somebody may have meant."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Final

MOST_CONTROLS: Final = 3
"""Controls that a refusal names: the kernel's virtual camera has 60, whose ranges take 4 kB."""


def nearest(name: str, known: Iterable[str]) -> str:
    """A question behind a refusal, `; do you mean brightness?`; empty where nothing known is like the name.

    Args:
        name: Name that there is not; capital letters do not count.
        known: Names that there are.
    """
    by_lower = {one.lower(): one for one in known}
    found = get_close_matches(name.lower(), by_lower, 1)
    return f"; do you mean {by_lower[found[0]]}?" if found else ""


def no_control(camera: str, name: str, known: Mapping[str, str]) -> str:
    """Says that a camera has no such control, which of its own are like it, and what lists them all.

    Args:
        camera: What the camera is called.
        name: Name that no control has; capital letters do not count.
        known: The camera's controls, each with its values, by their names.
    """
    refusal = f"{camera} has no control {name!r}"
    if not known:
        return f"{refusal}, nor any other that can be set"
    by_lower, wanted = {one.lower(): one for one in known}, name.lower()
    # Parts of names, too: "focus" is little like "focus_automatic_continuous" by its letters.
    found = [*get_close_matches(wanted, by_lower, MOST_CONTROLS), *(one for one in by_lower if wanted in one)]
    meant = [known[by_lower[one]] for one in dict.fromkeys(found)][:MOST_CONTROLS]
    question = f"do you mean {' or '.join(meant)}? " if meant else ""
    return f"{refusal}; {question}edge-run doctor lists the {len(known)} that it has"

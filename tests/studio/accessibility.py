"""axe-core on a page: which of its serious and critical rules are broken. `make deps` brings it, for tests alone."""

from functools import cache
from pathlib import Path

import pytest

from ..browser import Browser
from ..programs import BY_DEPS

AXE = Path(__file__).parents[2] / ".venv" / "node" / "node_modules" / "axe-core" / "axe.min.js"

RUN = """
axe.run(document, { resultTypes: ["violations"] }).then((found) => found.violations
  .filter((one) => ["serious", "critical"].includes(one.impact))
  .map((one) => `${one.id}: ${one.help}: ${one.nodes.map((node) => node.html).slice(0, 3).join(" ")}`))
"""


@cache
def axe() -> str:
    if not AXE.is_file():
        pytest.skip(f"axe-core is not installed; {BY_DEPS}")
    return AXE.read_text("utf-8")


def faults(browser: Browser) -> list[str]:
    """The serious and critical faults of the page that is open, a line each."""
    browser.ask(f"{axe()}; true")
    found: list[str] = browser.ask(RUN)
    return found

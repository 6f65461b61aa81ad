"""What the doctor finds: values; `command` renders them."""

from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

Level = Literal["ok", "warning", "problem"]
"""A problem keeps something from working; a warning makes it slow, or will be a problem."""

SCHEMA: Final = 1


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        id: of what was looked at; stays the same from version to version.
        level: how it is.
        text: a sentence for a person.
        fix: what mends it, a command where there is one; empty if nothing needs to be.
        details: for programs; depends on `id`.
    """

    id: str
    level: Level
    text: str
    fix: str = ""
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Report:
    """All findings, in the order in which one would mend them."""

    findings: tuple[Finding, ...]

    @property
    def verdict(self) -> Level:
        """The worst level."""
        levels = {finding.level for finding in self.findings}
        return "problem" if "problem" in levels else "warning" if "warning" in levels else "ok"

    def to_json(self) -> dict[str, Any]:
        """The object that `edge-run doctor --json` prints."""
        return {
            "schema": SCHEMA,
            "verdict": self.verdict,
            "findings": [asdict(finding) for finding in self.findings],
        }

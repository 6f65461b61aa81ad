"""What the doctor finds: values; `command` renders them."""

from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

JsonObject = dict[str, Any]
"""An object of JSON. That of `edge_core.codec` takes NumPy and OpenCV along, which the doctor does without."""

Level = Literal["ok", "warning", "problem"]
"""A problem keeps something from working; a warning makes it slow, or will be a problem."""

SCHEMA: Final = 1


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        id: Identifier of what was looked at; it stays the same from version to version.
        level: How it is.
        text: A sentence for a person.
        fix: What mends it, a command where there is one; empty if nothing needs to be.
        details: Values for programs; which there are depends on `id`.
    """

    id: str
    level: Level
    text: str
    fix: str = ""
    details: JsonObject = field(default_factory=dict)


@dataclass(frozen=True)
class Report:
    """All findings, in the order in which one would mend them."""

    findings: tuple[Finding, ...]

    @property
    def verdict(self) -> Level:
        """The worst level."""
        levels = {finding.level for finding in self.findings}
        return "problem" if "problem" in levels else "warning" if "warning" in levels else "ok"

    def to_json(self) -> JsonObject:
        """The object that `edge-run doctor --json` prints."""
        return {
            "schema": SCHEMA,
            "verdict": self.verdict,
            "findings": [asdict(finding) for finding in self.findings],
        }

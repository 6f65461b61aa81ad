"""What is published with a model file, and which boards it is for: what `edge-convert publish` writes and boards
read."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from edge_core.codec import JsonObject
from edge_core.errors import SettingsError

GROUP: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Offer:
    """A published model file, as its target's `custom` field has it.

    Attributes:
        target: Path of the file in the repository.
        digest: SHA-256 of the file as its seal has it, hexadecimal.
        sequence: Number that grows with every file that is published; the largest that reaches a board is its model.
        rollout: Percentage of the boards that it reaches, 0..100.
        group: Group of boards that it is for; empty for all.
    """

    target: str
    digest: str
    sequence: int
    rollout: float = 100.0
    group: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.rollout <= 100:
            raise SettingsError(f"a rollout is 0% to 100% of the boards, not {self.rollout:g}%")
        if self.group and not GROUP.fullmatch(self.group):
            raise SettingsError(f"group {self.group!r} is not 1 to 32 of the letters a to z, digits and -")

    def to_custom(self) -> JsonObject:
        """What the metadata says of the file beside its length and hashes; canonical JSON has no fractions."""
        hundredths = round(100 * self.rollout)
        return {"digest": self.digest, "sequence": self.sequence, "rollout_hundredths": hundredths, "group": self.group}

    def reaches(self, device: str, group: str = "") -> bool:
        """Whether a board is among those that the file is for.

        Args:
            device: Identifies the board.
            group: Group that the board is in; empty for none.
        """
        return self.group in ("", group) and bucket(device, self.digest) < self.rollout


def read_offer(target: str, custom: Mapping[str, object] | None) -> Offer | None:
    """An offer from a target's metadata; None if it is not one that `edge-convert publish` has written."""
    fields = custom or {}
    digest, sequence, rollout = fields.get("digest"), fields.get("sequence"), fields.get("rollout_hundredths")
    group = fields.get("group", "")
    if not (isinstance(digest, str) and _DIGEST.fullmatch(digest) and isinstance(group, str)):
        return None
    # Python's bool is an int, JSON's true is no number.
    if isinstance(sequence, bool) or isinstance(rollout, bool):
        return None
    if not isinstance(sequence, int) or not isinstance(rollout, int):
        return None
    try:
        return Offer(target, digest, sequence, rollout / 100, group)
    except SettingsError:
        return None


def bucket(device: str, digest: str) -> float:
    """Where a board stands in the rollout of a file, 0 to 100: always the same, evenly spread over boards.

    It depends on the file, too, so that it is not always the same boards that a new file reaches first.
    """
    number = int.from_bytes(hashlib.sha256(f"{digest}:{device}".encode()).digest()[:8], "big")
    return 100.0 * number / 2**64


def newest_for(offers: Iterable[Offer], device: str, group: str = "") -> Offer | None:
    """The file that a board should run; None if none is for it."""
    return max((one for one in offers if one.reaches(device, group)), key=lambda one: one.sequence, default=None)

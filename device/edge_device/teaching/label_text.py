"""What a person may call a new label."""

import unicodedata
from typing import Final

from edge_core.data.photo_folder import nfc
from edge_core.errors import SettingsError

LONGEST: Final = 60
"""Characters of a label that is named on the board: more do not fit on a button."""

_RESERVED: Final = ("none", "unknown", "unavailable", "nothing", "none of these")
"""What the live page, MQTT and Home Assistant say where no label is believed, case folded."""

_FORMAT: Final = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
"""Categories of characters that show nothing, break a line or turn the direction of a text around."""


def new_label(text: str) -> str:
    """A new label, in NFC and without spaces around it.

    Raises:
        SettingsError: It is empty, too long, or a word that means that there is no label; or it holds characters that
            nobody sees, or begins as hidden files and folders of no class do.
    """
    label = nfc(text).strip()
    if not label or len(label) > LONGEST:
        raise SettingsError(f"a new label has 1 to {LONGEST} characters, not {len(label)}")
    if any(unicodedata.category(one) in _FORMAT for one in label):
        raise SettingsError(f"a new label has no control characters, unlike {label!r}")
    if label.casefold() in _RESERVED or label.startswith(("_", ".")):
        raise SettingsError(f"{label!r} cannot be a new label: it means that there is none; choose another word")
    return label

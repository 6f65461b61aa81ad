"""What an installed service was told: its words, read back from the unit that `unit_file` wrote, and its secrets."""

import os
import re
import shlex
from typing import Final

from edge_core.errors import SettingsError
from edge_device.system import unit_file

_WORD: Final = re.compile(rb'"((?:\\.|[^"\\])*)"|(\S+)')
_ESCAPED: Final = re.compile(rb"\\x([0-9a-f]{2})|\\(.)|%(%)|\$(\$)")


def unquoted(line: str) -> list[str]:
    """The words of a line that `unit_file.quoted` made."""
    return [
        os.fsdecode(plain or _ESCAPED.sub(_character, inside)) for inside, plain in _WORD.findall(os.fsencode(line))
    ]


def _character(found: re.Match[bytes]) -> bytes:
    code, *literal = found.groups()
    return bytes([int(code, 16)]) if code else b"".join(one or b"" for one in literal)


def command_of(name: str) -> list[str]:
    """The words after `edge-run live` of an installed service.

    Args:
        name: Name of one of several services.

    Raises:
        SettingsError: No service of this name was installed, or its unit was changed by hand.
    """
    path = unit_file.unit_path(unit_file.unit_name(name))
    try:
        text = path.read_text()
    except OSError:
        raise SettingsError(f"{path} is not there: no service of this name was installed") from None
    found = re.search(r"^ExecStart=(.*)$", text, re.MULTILINE)
    words = unquoted(found[1]) if found else []
    if "live" not in words:
        raise SettingsError(f"{path} does not start edge-run live; it was changed by hand")
    return words[words.index("live") + 1 :]


def secrets_of(name: str) -> dict[str, str]:
    """What an installed service has in its environment: NAME=VALUE in a file that root alone can read, if it is there.

    Args:
        name: Name of one of several services.
    """
    path = unit_file.SECRETS / f"{unit_file.unit_name(name)}.env"
    try:
        # An EnvironmentFile of systemd has quotation marks and comments much as a shell has them.
        words = shlex.split(path.read_text(), comments=True)
    except (OSError, ValueError):
        return {}
    return dict(word.split("=", 1) for word in words if "=" in word)

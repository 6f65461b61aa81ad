"""Addresses of network cameras, and how to name them without giving away what opens them."""

import re
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from edge_core.errors import SourceError

SCHEMES: Final = ("rtsp", "rtsps", "http", "https")

_SECRET_FIELD: Final = re.compile(
    r"[?&](\w*(password|passwd|token|secret)|pwd|pass|psw|key|api_?key|auth)=[^&]", re.IGNORECASE
)


def is_address(text: str) -> bool:
    """Whether `--source` names something on the network, of whatever kind."""
    return "://" in text


def redact(text: str) -> str:
    """An address without user name, password, query and fragment; any other text as it is.

    Cameras take passwords in the query, too; and passwords have been seen with every character in them, unescaped. So
    all up to the last @ goes; and where an @ comes after a ? or a #, which may belong to either, nothing is left.
    """
    scheme, separator, rest = text.partition("://")
    if not separator:
        return text
    before, _, query = rest.replace("#", "?").partition("?")
    return f"{scheme}://" + ("…" if "@" in query else before.rpartition("@")[2])


def with_password(address: str, password: str | None) -> str:
    """An address with a password, where it names a user without one; any other text as it is.

    Args:
        address: What `--source` names.
        password: From the environment, where no other user of the machine reads it; None if there is none.
    """
    scheme, separator, rest = address.partition("://")
    user, at, host = rest.rpartition("@")
    # An address with a password of its own keeps it.
    if not password or not separator or not at or ":" in user:
        return address
    return f"{scheme}://{user}:{quote(password, safe='')}@{host}"


def has_password(address: str) -> bool:
    """Whether an address has a password in it: behind the user name, or as a field of the query."""
    _, separator, rest = address.partition("://")
    user, at, _ = rest.rpartition("@")
    return bool(separator) and bool((at and ":" in user) or _SECRET_FIELD.search(rest))


def split_address(address: str) -> tuple[str, str | None, str | None]:
    """The address without user name and password, and these two.

    Raises:
        SourceError: It is not one of `SCHEMES`, or makes no sense.
    """
    shown = "".join(character for character in redact(address) if character.isprintable())
    try:
        parts = urlsplit(address)
        user, password = parts.username, parts.password
        # A property that raises for a port that is no number, or out of range.
        _ = parts.port
        if (
            "@" in parts.path + parts.query + parts.fragment
        ):  # or of a password that begins with digits, as if it were a port
            raise ValueError
    except ValueError:
        raise SourceError(
            f"{shown} is no address of a camera; in it, @ is written %40, and in user "
            "name and password / ? # : are %2F %3F %23 %3A"
        ) from None
    if parts.scheme not in SCHEMES or not parts.hostname:
        raise SourceError(f"{shown} is no address of a camera; they begin with {'://, '.join(SCHEMES)}://")
    if any(character.isspace() or not character.isprintable() for character in address):
        raise SourceError(f"{shown} has a space or a control character in it; a space is written %20")
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    return bare, user and unquote(user), password and unquote(password)

"""The QR code of an address; needs the extra `phone`."""

import io

import segno

QUIET_ZONE = 4
"""Modules of white around a code, as ISO/IEC 18004 has it."""


def qr_svg(address: str) -> bytes:
    """A QR code as an SVG, dark on white."""
    drawn = io.BytesIO()
    segno.make(address, micro=False).save(drawn, kind="svg", border=QUIET_ZONE, light="#fff", scale=4)
    return drawn.getvalue()


def qr_terminal(address: str) -> str:
    """A QR code as lines of text for a terminal, two modules a character."""
    drawn = io.StringIO()
    segno.make(address, micro=False).terminal(drawn, border=2, compact=True)
    return drawn.getvalue()

"""Text in plots: any label and any file name can be drawn, whatever the fonts of this machine have."""

import unicodedata
from functools import lru_cache
from typing import Final

import matplotlib
from matplotlib import font_manager
from matplotlib.ft2font import FT2Font

FONT: Final = "DejaVu Sans"
"""Comes with matplotlib: Latin, Greek, Cyrillic, Arabic letters."""

MORE_FONTS: Final = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "WenQuanYi Micro Hei",
    "Noto Sans Devanagari",
    "Noto Sans Thai",
    "Noto Emoji",
    "Symbola",
    "Unifont",
)
"""Asked, where they are installed, for what `FONT` lacks. None is of color emoji, which matplotlib cannot draw."""

LABEL: Final = 24
"""Characters of a label beside a plot of `WIDTH` inches: a longer one would take the plot's place."""


def plain(text: str, longest: int | None = None) -> str:
    """Text as matplotlib can draw it: no formulas, no character without a glyph, and at most `longest` characters.

    What no font has is described: an emoji by its name in brackets, another character by its number.
    """
    drawn = text.encode("utf-8", "backslashreplace").decode()
    if longest is not None and len(drawn) > longest:
        drawn = f"{drawn[: longest // 2]}…{drawn[len(drawn) - (longest - 1) // 2 :]}"
    known = _drawable()
    return "".join(one if one == "\n" or one in known else _described(one) for one in drawn).replace("$", r"\$")


def _described(character: str) -> str:
    category = unicodedata.category(character)
    if category in ("Cc", "Zs"):
        return " "
    if category == "Cf" or category[0] == "M":  # what joins others to one emoji, or colors it
        return ""
    name = unicodedata.name(character, "").lower()
    return f"[{name}]" if name and category[0] == "S" else f"U+{ord(character):04X}"


@lru_cache(maxsize=1)
def _drawable() -> frozenset[str]:
    """The characters that some font has; from now on matplotlib looks into the same fonts."""
    installed = {entry.name for entry in font_manager.fontManager.ttflist}
    families = [FONT, *(name for name in MORE_FONTS if name in installed)]
    matplotlib.rcParams["font.family"] = families
    files = (font_manager.findfont(font_manager.FontProperties(family=[name])) for name in families)
    return frozenset(chr(code) for file in files for code in FT2Font(file).get_charmap() if code >= 32)

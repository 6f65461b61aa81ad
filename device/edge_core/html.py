"""A report that one can look at: a single HTML file without requests, for a phone and for a desk.

A page is made of sections, a section of parts; `table`, `figure`, `gallery`, `facts` and `paragraph` make the parts.
Whatever comes in as `str` is text and is escaped; markup is only what these functions return, an `Html`. Pictures lie
inside the file as data URIs. The page's own policy forbids everything else, so even a mistake here could load nothing.

A page has no script unless it is given one, a `Script`. Its policy then names that script by its SHA-256, so that
nothing else in the page can ever run, and what the script is to know lies beside it as JSON, which is never run.
"""

import base64
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from string import Template
from typing import Any, Final

from edge_core.files import written_whole


@dataclass(frozen=True)
class Html:
    """Markup that is safe to put into a page."""

    markup: str


Text = str | Html
"""What a reader sees: plain text, or markup made here."""


@dataclass(frozen=True)
class GalleryPicture:
    """A picture in a gallery.

    Attributes:
        data: Content of a PNG or JPEG file.
        caption: Caption beneath the picture.
        alt: What it shows, for those who cannot see it.
    """

    data: bytes
    caption: Text
    alt: str


@dataclass(frozen=True)
class Script:
    """What makes a page answer to those who look at it.

    Attributes:
        code: JavaScript, of this product; it must make text of what it shows of the data (`textContent`), never markup.
        data: JSON that it finds in the element with the id `data`; may hold anything.
        style: CSS for what it draws.
    """

    code: str
    data: Any
    style: str = ""


def lines(*texts: Text) -> Html:
    """Texts beneath each other, the first one strong, the others small."""
    first, *others = (_markup(text) for text in texts)
    return Html("<br>".join([f"<b>{first}</b>", *(f"<small>{other}</small>" for other in others)]))


def paragraph(text: Text) -> Html:
    return Html(f"<p>{_markup(text)}</p>")


def facts(pairs: Iterable[tuple[str, Text]]) -> Html:
    """Names with their values, side by side where there is room."""
    items = "".join(f"<div><dt>{_markup(name)}</dt><dd>{_markup(value)}</dd></div>" for name, value in pairs)
    return Html(f"<dl>{items}</dl>")


def table(columns: Sequence[str], rows: Iterable[Sequence[Text]]) -> Html:
    """A table whose first column names the rows and whose other columns are figures, set flush right."""
    head = "".join(f'<th scope="col">{_markup(column)}</th>' for column in columns)
    body = "".join(
        f'<tr><th scope="row">{_markup(first)}</th>{"".join(f"<td>{_markup(cell)}</td>" for cell in cells)}</tr>'
        for first, *cells in rows
    )
    scrolled = f'<div class="scroll" tabindex="0"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    return Html(f"{scrolled}</div>")


def listing(texts: Iterable[Text]) -> Html:
    """A list with a point before each text."""
    return Html(f"<ul>{''.join(f'<li>{_markup(text)}</li>' for text in texts)}</ul>")


def figure(data: bytes, alt: str, caption: Text = "", min_width: int = 0) -> Html:
    """A picture, as wide as its place; what would be too small to read then is scrolled instead.

    Args:
        data: Content of a PNG or JPEG file.
        alt: What it shows, for those who cannot see it.
        caption: Caption beneath the picture.
        min_width: Smallest width in CSS pixels.
    """
    note = f"<figcaption>{_markup(caption)}</figcaption>" if caption else ""
    kind = "png" if data.startswith(b"\x89PNG") else "jpeg"
    source = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    style = f' style="min-width: {min_width}px"' if min_width else ""
    image = f'<div class="scroll"><img src="{source}" alt="{escape(alt)}"{style}></div>'
    return Html(f"<figure>{image}{note}</figure>")


def gallery(pictures: Iterable[GalleryPicture]) -> Html:
    """Pictures of one size with captions, as many beside each other as there is room for."""
    return Html(
        f'<div class="gallery">{"".join(figure(one.data, one.alt, one.caption).markup for one in pictures)}</div>'
    )


def stack(*parts: Html) -> Html:
    """Parts beneath each other, as one."""
    return Html("".join(part.markup for part in parts))


def beside(*parts: Html) -> Html:
    """Parts beside each other where there is room, else beneath each other."""
    return Html(f'<div class="beside">{"".join(f"<div>{part.markup}</div>" for part in parts)}</div>')


def section(title: str, *parts: Html) -> Html:
    return Html(f"<section><h2>{_markup(title)}</h2>{stack(*parts).markup}</section>")


def page(title: str, subtitle: str, *sections: Html, script: Script | None = None) -> str:
    """The whole page as the text of an HTML file."""
    return _PAGE.substitute(
        title=escape(title),
        subtitle=escape(subtitle),
        policy=_POLICY + (f"; script-src 'sha256-{_sha256(script.code)}'" if script else ""),
        style="\n".join([_STYLE, script.style.strip()] if script else [_STYLE]),
        sections="\n".join([*(part.markup for part in sections), *([_scripted(script)] if script else [])]),
    )


def write_page(path: Path, text: str) -> None:
    """Writes a page as UTF-8; what UTF-8 cannot hold, as a file's name may, is written as `\\udc80`.

    Raises:
        OutputError: The file cannot be written.
    """
    with written_whole(path) as beside_it:
        beside_it.write_bytes(text.encode("utf-8", "backslashreplace"))


def _markup(text: Text) -> str:
    return text.markup if isinstance(text, Html) else escape(text)


def _scripted(script: Script) -> str:
    # Within a script element nothing ends it but its end tag, and only "<!--" begins a part in which that differs.
    if any(text in script.code.lower() for text in ("</script", "<!--", "\r")):
        raise ValueError("a script that holds </script, <!-- or a carriage return would not be the one that was hashed")
    data = json.dumps(script.data, separators=(",", ":"), allow_nan=False)
    for character in "<>&":  # of the ASCII that dumps writes
        data = data.replace(character, f"\\u{ord(character):04x}")
    return f'<script type="application/json" id="data">{data}</script>\n<script>{script.code}</script>'


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


# 'unsafe-inline' is for the page's own style element and the width of its figures, which load and run nothing.
_POLICY: Final = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"

# Figures are drawn on white and keep it as a card in the dark, where inverting them would change the photos' colors.
_STYLE: Final = """
:root { color-scheme: light dark; --ink: #262626; --quiet: #5f5f5f; --line: #e2e2e2; --ground: #fff; --card: #f6f7f8; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8e8e8; --quiet: #a5a5a5; --line: #3a3d40; --ground: #17191b; --card: #212427; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 68rem; background: var(--ground); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { margin: 0; font-size: 1.7rem; line-height: 1.2; }
h2 { margin: 2.75rem 0 .75rem; padding-top: .75rem; border-top: 1px solid var(--line); font-size: 1.2rem; }
p { max-width: 44rem; margin: .6rem 0; }
header p, figcaption, dt { color: var(--quiet); }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(46%, 15rem), 1fr)); gap: .6rem;
  margin: 1rem 0; }
dl div { padding: .6rem .8rem; background: var(--card); border-radius: .5rem; }
dt { font-size: .85rem; }
dd { margin: 0; font-weight: 600; }
ul { padding-left: 1.2rem; }
figure { margin: 1rem 0; }
figure img { display: block; max-width: 100%; height: auto; background: #fff; border-radius: .5rem; }
figcaption { margin-top: .3rem; max-width: 44rem; font-size: .85rem; line-height: 1.4; }
b { color: var(--ink); font-weight: 600; }
small { color: var(--quiet); font-size: .78rem; line-height: 1.3; }
.beside { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); gap: 1rem 1.5rem; }
.beside > div { min-width: 0; }
.gallery { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(46%, 9rem), 1fr)); gap: 1rem .8rem; }
.gallery figure { margin: 0; }
figure img { padding: .4rem; }
.gallery img { width: 100%; padding: 0; }
.scroll { overflow-x: auto; background: /* a shadow at the right edge while there is more to scroll to */
  linear-gradient(to left, var(--ground) 30%, transparent) right / 3rem 100% no-repeat local,
  linear-gradient(to left, #0005, transparent) right / .8rem 100% no-repeat scroll; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; overflow-wrap: normal; }
td { white-space: nowrap; }
th, td { padding: .35rem .7rem .35rem 0; border-bottom: 1px solid var(--line); text-align: right; font-weight: 400; }
th:first-child { text-align: left; }
tbody th { min-width: 6rem; overflow-wrap: anywhere; }
@media (max-width: 30rem) {
  table { font-size: .85rem; }
  th, td { padding-right: .4rem; }
  tbody th { min-width: 4rem; }
}
thead th { color: var(--quiet); font-size: .85rem; }
""".strip()

_PAGE: Final = Template("""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="$policy">
<title>$title</title>
<style>
$style
</style>
</head>
<body>
<header><h1>$title</h1><p>$subtitle</p></header>
<main>
$sections
</main>
</body>
</html>
""")

"""A page is one file, asks for nothing, runs nothing, and shows text as text."""

import base64
import hashlib
import json
from html.parser import HTMLParser
from pathlib import Path

import pytest

from edge_core import html as page

PNG = b"\x89PNG\r\n\x1a\n not really"
HOSTILE = """</td><script>alert("1")</script>&amp;'"""


class Reader(HTMLParser):
    """Collects tags, attributes and text, and complains of what is not closed."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert not reader.open
    return reader


@pytest.fixture
def hostile_page() -> str:
    return page.page(
        HOSTILE,
        HOSTILE,
        page.section(
            HOSTILE,
            page.paragraph(HOSTILE),
            page.facts([(HOSTILE, HOSTILE)]),
            page.table([HOSTILE, HOSTILE], [[HOSTILE, page.lines(HOSTILE, HOSTILE)]]),
            page.listing([HOSTILE]),
            page.beside(page.figure(PNG, HOSTILE, HOSTILE, min_width=400), page.figure(PNG, HOSTILE)),
            page.gallery([page.GalleryPicture(PNG, HOSTILE, HOSTILE)]),
        ),
    )


def test_text_is_never_markup(hostile_page: str) -> None:
    reader = read(hostile_page)
    assert "script" not in reader.tags
    assert reader.text.count(HOSTILE) == 15
    assert [value for name, value in reader.attributes if name == "alt"] == [HOSTILE] * 3


def test_nothing_is_loaded_and_nothing_is_run(hostile_page: str) -> None:
    reader = read(hostile_page)
    sources = [str(value) for name, value in reader.attributes if name == "src"]
    assert len(sources) == 3
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert not {name for name, _ in reader.attributes} & {"href", "srcset", "action", "onload", "onerror"}
    assert ("content", "default-src 'none'; img-src data:; style-src 'unsafe-inline'") in reader.attributes


def test_a_name_that_utf_8_cannot_hold_is_written_legibly(tmp_path: Path) -> None:
    page.write_page(tmp_path / "page.html", page.page("a\udc80b", "", page.paragraph("$x $title")))
    text = (tmp_path / "page.html").read_text("utf-8")
    assert "<title>a\\udc80b</title>" in text
    assert "$x $title" in text


def test_a_script_is_named_by_its_hash_and_its_data_cannot_end_it() -> None:
    code, data = "let a = 1 < 2 && '$x';\n", {HOSTILE: [HOSTILE, "<!-- <script>", "\u2028\udc80"]}
    text = page.page("t", "", page.paragraph("p"), script=page.Script(code, data, "b { color: red; }"))
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    reader = read(text)
    assert ("content", policy) in reader.attributes
    assert reader.tags.count("script") == 2
    assert f"<script>{code}</script>" in text
    inert = text.split('<script type="application/json" id="data">')[1].split("</script>")[0]
    assert json.loads(inert) == data


@pytest.mark.parametrize("code", ["'</SCRIPT>'", "a <!-- b", "a\r\nb"])
def test_a_script_that_would_not_be_the_one_that_was_hashed_is_refused(code: str) -> None:
    with pytest.raises(ValueError, match="would not be the one"):
        page.page("t", "", script=page.Script(code, None))

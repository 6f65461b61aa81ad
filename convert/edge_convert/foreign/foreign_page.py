"""What a file makes of foreign pictures, as a section of a page."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from edge_convert.foreign.measure import ForeignTest, LetIn
from edge_core import html as page
from edge_core.errors import PictureError
from edge_core.html import Html
from edge_core.images import encode_jpeg, read_picture
from edge_core.preprocess import InputSpec, preprocess

SHOWN: Final = 24
"""Pictures of a kind on the page; the JSON of an export names all."""

Shown = tuple[Path, tuple[str, ...], str]
"""A picture's file, the lines below it, and what is said of it to who cannot see it."""


def foreign_summary(test: ForeignTest) -> list[tuple[str, page.Text]]:
    """Names and values for `html.facts`."""
    found: list[tuple[str, page.Text]] = [("Held-out photos that count as known", test.kept.percent())]
    if test.let_in and test.fpr95 and test.auroc:
        found += [
            (f"Of {test.foreign} foreign pictures, taken for something known", test.let_in.percent()),
            ("The same if just 95 % of the held-out photos were known (FPR at 95 %)", test.fpr95.percent()),
            ("AUROC", f"{test.auroc.value:.3f} ({test.auroc.low:.3f} to {test.auroc.high:.3f})"),
        ]
    return found


def worst_pictures(test: ForeignTest, spec: InputSpec) -> Html:
    """Foreign pictures that count as known, the most familiar first, with what they are taken for."""
    if not test.worst:
        return page.paragraph("None of the foreign pictures counts as known.")
    return first_as_seen([_shown(one) for one in test.worst], spec)


def _shown(one: LetIn) -> Shown:
    lines = (
        f"taken for {one.label}",
        f"score {one.score:.2f}",
        f"familiarity {one.familiarity:.2f}",
        one.path.name,
    )
    return one.path, lines, f"A foreign picture that is taken for {one.label}"


def first_as_seen(shown: Sequence[Shown], spec: InputSpec, elsewhere: str = "") -> Html:
    """The first pictures as the model sees them, and how many more there are.

    Args:
        shown: Pictures, those first that matter most.
        spec: Input of the model.
        elsewhere: Where the others are named, in words after "And 7 more".
    """
    gallery = page.gallery(_as_seen(shown[:SHOWN], spec))
    more = len(shown) - SHOWN
    return page.stack(gallery, page.paragraph(f"And {more} more{elsewhere}.")) if more > 0 else gallery


def _as_seen(shown: Iterable[Shown], spec: InputSpec) -> Iterator[page.GalleryPicture]:
    """Pictures as the model sees them; one that is gone since it was judged is left out."""
    for path, lines, alternative in shown:
        try:
            pixels = preprocess(read_picture(path, levels=spec.levels), replace(spec, color_order="BGR"))
        except PictureError:
            continue
        yield page.GalleryPicture(encode_jpeg(pixels, 88), page.lines(*lines), alternative)

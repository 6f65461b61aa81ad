"""What a file makes of foreign pictures, as a section of a page."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from edge_convert.foreign.measure import ForeignTest, LetIn
from edge_core import html as page
from edge_core.errors import PictureError
from edge_core.html import Html
from edge_core.images import encode_jpeg, read_picture
from edge_core.preprocess import InputSpec, preprocess

SHOWN: Final = 24
"""Foreign pictures on the page; the JSON of an export names all that count as known."""


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
    gallery = page.gallery(_pictures(test.worst[:SHOWN], spec))
    more = len(test.worst) - SHOWN
    return page.stack(gallery, page.paragraph(f"And {more} more.")) if more > 0 else gallery


def _pictures(worst: Sequence[LetIn], spec: InputSpec) -> Iterator[page.GalleryPicture]:
    for one in worst:
        try:
            pixels = preprocess(read_picture(one.path, levels=spec.levels), replace(spec, color_order="BGR"))
        except PictureError:  # gone since it was judged
            continue
        yield page.GalleryPicture(
            encode_jpeg(pixels, 85),
            page.lines(
                f"taken for {one.label}", f"score {one.score:.2f}", f"familiarity {one.familiarity:.2f}", one.path.name
            ),
            f"A foreign picture that is taken for {one.label}",
        )

"""What files make of foreign pictures: rows for the report, and what the page shows beside them."""

from dataclasses import dataclass

from edge_convert.foreign.measure import ForeignTest
from edge_core.preprocess import InputSpec
from edge_core.statistics import Estimate


@dataclass(frozen=True)
class ForeignRow:
    """What the detector inside a file makes of foreign pictures; see `edge_convert.foreign.measure.ForeignTest`.

    Attributes:
        file: Name of the .tflite.
        kept: Share of the held-out photos that count as known.
        foreign: Number of foreign pictures.
        let_in: Share of them that counts as known.
        fpr95: Share of them that would count as known if just 95 % of the held-out photos did.
        auroc: Probability that a held-out photo is more familiar than a foreign picture.
    """

    file: str
    kept: Estimate
    foreign: int
    let_in: Estimate
    fpr95: Estimate
    auroc: Estimate


@dataclass(frozen=True)
class ForeignTold:
    """All of it for one file, with the paths of pictures, which do not go into the report.

    Attributes:
        file: Name of the .tflite.
        spec: Input of the file's model.
        test: What its detector makes of the pictures.
    """

    file: str
    spec: InputSpec
    test: ForeignTest

    def row(self) -> ForeignRow:
        """What goes into the report."""
        test = self.test
        assert test.let_in and test.fpr95 and test.auroc  # there were foreign pictures
        return ForeignRow(self.file, test.kept, test.foreign, test.let_in, test.fpr95, test.auroc)

"""What tests of training share."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cv2
import numpy as np
import pytest
from matplotlib.figure import Figure

BLANK = cv2.imencode(".png", np.full((2, 2, 3), 255, np.uint8))[1].tobytes()


@contextmanager
def blank_charts() -> Iterator[None]:
    """Charts of the runs that are trained meanwhile are blank: to make them takes half of a short training.

    `color_run`'s are drawn, and its tests look at them.
    """

    def savefig(figure: Any, file: Any, **options: Any) -> None:
        file.write(BLANK)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("matplotlib.figure.Figure.savefig", savefig)
        patch.setattr("edge_train.evaluation.training_plots.pictures", lambda *given, **options: Figure())
        yield


@pytest.fixture
def charts_are_blank() -> Iterator[None]:
    """`blank_charts` for a test; what fixtures of a module train is not meant."""
    with blank_charts():
        yield

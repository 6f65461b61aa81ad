"""The detector of what is foreign: its format withstands any bytes, its figure is a p-value."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_core.artifact.familiarity import (
    Detector,
    Header,
    Layer,
    Term,
    TermShape,
    parse_detector,
)
from edge_core.errors import ModelFormatError

WIDTH = 6


def detector() -> Detector:
    """Knows features along the first axis, and near the class center (1, 0, 0, 0, 0, 0) of the second layer."""
    axis = np.zeros((1, WIDTH), np.int8)
    axis[0, 0] = 100
    residual = Term(TermShape("residual", 0, True, 1, 1, 0.01, 0.1, 0.05), axis, np.zeros((1, WIDTH), np.float32))
    nearest = Term(
        TermShape("mahalanobis", 1, False, WIDTH, 2, 0.01, 0.1, 0.05),
        (100 * np.eye(WIDTH)).astype(np.int8),
        np.eye(WIDTH, dtype=np.float32)[:2],
    )
    header = Header(
        (Layer(5, WIDTH), Layer(3, WIDTH)),
        (residual.shape, nearest.shape),
        (-4.0, 0.0, 2.0),
        (1.0, 0.5, 0.1),
        0.5,
        (40, 20),
    )
    return Detector(header, (residual, nearest))


def features(*values: float) -> np.ndarray:
    return np.array([*values, *[0.0] * (WIDTH - len(values))])


def test_what_it_has_seen_is_familiar_and_what_it_has_not_is_not() -> None:
    known = detector().familiarity([features(3), features(7)])
    assert known == pytest.approx(1.0)
    assert detector().familiarity([features(0, 3), features(7)]) < 0.01
    assert detector().familiarity([features(3), features(0, 0, 7)]) < 0.01


def test_the_scale_of_the_features_does_not_count() -> None:
    odd = [features(5, 1), features(4, 0.3)]
    assert detector().familiarity(odd) == pytest.approx(detector().familiarity([40 * odd[0], 0.1 * odd[1]]), abs=1e-12)


@pytest.mark.parametrize("value", [0.0, math.nan, math.inf, 1e200])
def test_features_that_say_nothing_are_not_known(value: float) -> None:
    assert detector().familiarity([np.full(WIDTH, value), features(7)]) < 1e-9


@given(st.lists(st.floats(0, 255), min_size=WIDTH, max_size=WIDTH))
def test_familiarity_is_a_probability_that_survives_the_file(values: list[float]) -> None:
    found = detector().familiarity([np.array(values), features(7)])
    assert 0 <= found <= 1
    assert parse_detector(detector().to_bytes()).familiarity([np.array(values), features(7)]) == found


def test_familiarity_falls_on_beyond_the_rarest_photo() -> None:
    apart = [detector().familiarity([features(3), features(7, second)]) for second in (1.8, 2.2, 2.6, 3.0)]
    assert 0.1 > apart[0] > apart[1] > apart[2] > apart[3] > 0


@settings(max_examples=300)
@given(st.data())
def test_damaged_bytes_are_refused_or_harmless(data: st.DataObject) -> None:
    good = bytearray(detector().to_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    damaged = bytes(good[: data.draw(st.integers(0, len(good)))])
    try:
        found = parse_detector(damaged)
    except ModelFormatError:
        return
    widths = [layer.width for layer in found.header.layers]
    assert 0 <= found.familiarity([np.ones(width) for width in widths]) <= 1


@given(st.binary(max_size=400))
def test_any_bytes_behind_the_first_line_are_refused(data: bytes) -> None:
    with pytest.raises(ModelFormatError):
        parse_detector(b"edge-mobilenet familiarity 1\n" + data)


@pytest.mark.parametrize(
    "change",
    [
        {"layers": (Layer(-1, WIDTH), Layer(3, WIDTH))},
        {"layers": (Layer(5, 10**9), Layer(3, WIDTH))},
        {"layers": ()},
        {"anomalies": (0.0, -1.0, 2.0)},
        {"anomalies": (0.0,), "familiarities": (0.5,)},
        {"familiarities": (0.1, 0.5, 1.0)},
        {"familiarities": (2.0, 0.5, 0.1)},
        {"tail": 0.0},
        {"terms": ()},
    ],
)
def test_a_header_that_makes_no_sense_is_refused(change: dict[str, object]) -> None:
    good = detector()
    with pytest.raises(ModelFormatError, match=r"familiarity\.bin is damaged"):
        parse_detector(Detector(replace(good.header, **change), good.terms).to_bytes())  # type: ignore[arg-type]


def test_a_newer_format_is_told_as_such() -> None:
    newer = detector().to_bytes().replace(b"familiarity 1", b"familiarity 2", 1)
    with pytest.raises(ModelFormatError, match="newer edge-mobilenet"):
        parse_detector(newer)

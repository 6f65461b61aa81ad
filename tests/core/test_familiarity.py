"""The detector of what is foreign: its format withstands any bytes, its figure is a p-value."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_core.artifact.familiarity import (
    MAX_BYTES,
    Detector,
    DetectorHeader,
    Layer,
    Term,
    TermShape,
    _between,
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
    header = DetectorHeader(
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


def test_what_a_taught_label_is_like_is_familiar_and_all_else_stays_as_it_was() -> None:
    axis = np.zeros((1, WIDTH), np.int8)
    axis[0, 1] = 100
    residual = replace(detector().terms[0], matrix=axis)
    header = replace(detector().header, terms=(residual.shape,))
    taught = replace(detector(), taught=(Detector(header, (residual,)),))
    assert taught.familiarity([features(3), features(7)]) == 1.0
    assert taught.familiarity([features(0, 0, 3), features(0, 0, 7)]) < 1e-9
    as_taught = [features(0, 3), features(0, 7)]
    assert taught.familiarity(as_taught) > 0.5
    assert detector().familiarity(as_taught) < 0.01


def test_the_scale_of_the_features_does_not_count() -> None:
    odd = [features(5, 1), features(4, 0.3)]
    assert detector().familiarity(odd) == pytest.approx(detector().familiarity([40 * odd[0], 0.1 * odd[1]]), abs=1e-12)


def test_a_vector_of_no_length_is_infinitely_far() -> None:
    for one in detector().terms:
        near, far = (one.distance(features(length**2 if one.shape.root else length)) for length in (1e-12, 2e-12))
        assert math.isinf(near) and far < 1


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
        {"layers": (Layer(5, WIDTH), Layer(2**31, WIDTH))},
        {"layers": (Layer(5, 10**9), Layer(3, WIDTH))},
        {"layers": ()},
        {"anomalies": (0.0, -1.0, 2.0)},
        {"anomalies": (0.0,), "familiarities": (0.5,)},
        {"familiarities": (0.1, 0.5, 1.0)},
        {"familiarities": (2.0, 0.5, 0.1)},
        {"familiarities": (1.0, 0.5, 0.0)},
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


def test_the_distance_from_a_class_center_is_that_of_unit_vectors() -> None:
    nearest = detector().terms[1]
    assert nearest.distance(features(30, 40)) == pytest.approx(math.sqrt(0.4))  # (0.6, 0.8) from (0, 1)
    assert nearest.distance(features(40, 30)) == pytest.approx(math.sqrt(0.4))
    assert nearest.distance(features(-1)) == pytest.approx(math.sqrt(2))


def test_a_residual_is_what_the_directions_leave_of_the_way_from_the_mean() -> None:
    residual = detector().terms[0]
    assert residual.distance(features(9, 16)) == pytest.approx(0.8)  # of the roots: 3, 4
    mean = np.array([[0.2, 0.3, -0.1, 0.05, 0, 0]], np.float32)
    moved = Term(replace(residual.shape, root=False), residual.matrix, mean)
    for values in ([3, -4, 0, 0, 0, 0], [1, 2, 3, -4, 5, 6]):
        apart = np.array(values) / np.linalg.norm(values) - mean[0]
        assert moved.distance(np.array(values, float)) == pytest.approx(np.linalg.norm(apart[1:]), abs=1e-7)
    rooted = Term(residual.shape, residual.matrix, mean)
    assert rooted.distance(features(9, -16)) == pytest.approx(moved.distance(features(3, -4)))


def test_a_label_that_was_taught_is_as_near_as_its_nearest_example() -> None:
    examples = np.zeros((2, WIDTH), np.int8)
    examples[0, 0] = examples[1, 1] = 100
    shape = TermShape("nearest", 0, False, 2, 1, 0.01, 0.1, 0.05)
    header = replace(detector().header, layers=(Layer(0, WIDTH),), terms=(shape,))
    taught = Detector(header, (Term(shape, examples, np.zeros((1, 0), np.float32)),))
    (read,) = parse_detector(taught.to_bytes()).terms
    assert np.array_equal(read.matrix, examples) and np.array_equal(read.centers, taught.terms[0].centers)
    for one in (taught.terms[0], read):
        assert one.distance(features(3, 4)) == pytest.approx(1 - 0.8)
        assert one.distance(features(40, 30)) == pytest.approx(1 - 0.8)
        assert one.distance(features(0, 0, 1)) == 1.0
        assert one._products(features(3, 4))[1] == []
    longer = Term(replace(shape, scale=0.0101), examples, taught.terms[0].centers)
    assert longer.distance(features(5)) == 0.0  # rounding brings no cosine above 1


@pytest.mark.parametrize(("total", "single"), [(65_793, True), (65_794, False)])
def test_single_precision_is_taken_up_to_where_it_is_exact(total: int, single: bool) -> None:
    """255 times 65,793 is 2^24 - 1, up to which all whole numbers have a float32."""
    matrix = np.zeros((2, 519), np.int8)
    matrix[0] = 1
    matrix[1] = -127
    matrix[1, 0] = 127 * 518 - total
    shape = replace(detector().terms[0].shape, root=False, directions=2)
    assert (Term(shape, matrix, np.zeros((1, 519), np.float32))._single is not None) == single


@pytest.mark.parametrize(("width", "single"), [(100, True), (1280, False)])
def test_products_are_those_of_whole_numbers_whatever_they_are_held_in(width: int, single: bool) -> None:
    """Of 8-bit features, at their largest: in single precision, sums from 2^24 on would be rounded."""
    matrix = np.full((2, width), 127, np.int8)
    matrix[1, ::2] = -126
    term = Term(replace(detector().terms[0].shape, root=False, directions=2), matrix, np.zeros((1, width), np.float32))
    values = np.arange(width) % 2 + 254
    assert (term._single is not None) == single
    assert term._products(values.astype(np.float64))[0].tolist() == (matrix.astype(int) @ values).tolist()


def test_an_anomaly_counts_three_times_from_two_spreads_on() -> None:
    one = detector().terms[0]
    for spreads, anomaly in ((-1, -1), (1, 1), (2, 2), (3, 5), (10, 26)):
        distance = one.shape.median + spreads * one.shape.spread
        other = math.sqrt(1 - distance**2)
        assert one.anomaly(features(other**2, distance**2)) == pytest.approx(anomaly, abs=1e-6)


@pytest.mark.parametrize(
    ("anomaly", "familiarity"),
    [(-9, 1), (-4, 1), (-2, 0.75), (1, 0.3), (2, 0.1), (2.5, 0.1 / math.e), (3, 0.1 / math.e**2)],
)
def test_a_familiarity_lies_between_those_of_photos_and_falls_beyond_them(anomaly: float, familiarity: float) -> None:
    good = detector()
    flat = [replace(term.shape, median=-anomaly / 2 * 1e9, spread=1e9) for term in good.terms]
    terms = tuple(Term(shape, term.matrix, term.centers) for shape, term in zip(flat, good.terms, strict=True))
    found = Detector(replace(good.header, terms=tuple(flat)), terms).familiarity([features(3), features(7)])
    assert found == pytest.approx(familiarity, abs=1e-6)


def with_terms(**change: object) -> Detector:
    """The detector of above, of whose first distance something else is told."""
    good = detector()
    first = replace(good.header.terms[0], **change)  # type: ignore[arg-type]
    return Detector(replace(good.header, terms=(first, good.header.terms[1])), good.terms)


@pytest.mark.parametrize(
    "change",
    [
        *({"kind": "other"}, {"layer": 2}, {"layer": -1}, {"spread": 0.0}, {"directions": -1}, {"centers": 0}),
        *({"directions": 0}, {"directions": 2}, {"directions": MAX_BYTES + 1}, {"centers": MAX_BYTES + 1}),
    ],
)
def test_a_distance_that_makes_no_sense_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ModelFormatError, match=r"familiarity\.bin is damaged"):
        parse_detector(with_terms(**change).to_bytes())


def repeated(layers: int, terms: int) -> Detector:
    good = detector()
    own = (good.terms[0],) * terms
    header = replace(good.header, layers=good.header.layers[:1] * layers, terms=tuple(one.shape for one in own))
    return Detector(header, own)


def test_the_number_of_layers_and_of_distances_is_bounded() -> None:
    for layers, terms in ((8, 16), (1, 1)):
        assert len(parse_detector(repeated(layers, terms).to_bytes()).terms) == terms
    for layers, terms in ((9, 16), (8, 17)):
        with pytest.raises(ModelFormatError, match="layers and"):
            parse_detector(repeated(layers, terms).to_bytes())


def test_too_few_bytes_and_too_many_are_told() -> None:
    good = detector().to_bytes()
    for data, told in (
        (good[:-1], "cut off"),
        (good + b"\0", "1 bytes are left over"),
        (good + bytes(2 * MAX_BYTES - len(good)), "bytes are left over"),
        (good + bytes(400_000), "newer"),
    ):
        with pytest.raises(ModelFormatError, match=told):
            parse_detector(data)


def test_a_center_that_is_no_number_is_refused() -> None:
    data = detector().to_bytes()
    with pytest.raises(ModelFormatError, match="not finite"):
        parse_detector(data[:-4] + np.float32(math.nan).tobytes())


def test_the_smallest_detector_is_read() -> None:
    shape = TermShape("residual", 0, False, 0, 1, 0.01, 0.1, 0.05)
    term = Term(shape, np.zeros((0, 1), np.int8), np.zeros((1, 1), np.float32))
    header = DetectorHeader((Layer(1000, 1),), (shape,), (0.0, 0.0), (0.5, 0.5), 0.5, (40, 20))
    assert parse_detector(Detector(header, (term,)).to_bytes()).header == header


def test_between_points_the_familiarity_is_numpys_interpolation() -> None:
    places, values = [0.0, 1.0, 1.0, 3.0], [1.0, 0.6, 0.5, 0.1]
    for place in (-1.0, 0.0, 0.25, 1.0, 2.0, 3.0, 4.0):
        assert _between(place, places, values) == pytest.approx(np.interp(place, places, values))

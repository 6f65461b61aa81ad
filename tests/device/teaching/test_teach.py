"""A model is taught a new label: what it then says, what it keeps, what it refuses."""

import contextlib
import errno
import json
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_core import Frame, ModelCard, complete
from edge_core.artifact.container import EXEMPLARS_FILE, read_card, without_archive
from edge_core.artifact.exemplars import keep_exemplars, parse_exemplars, read_exemplars
from edge_core.artifact.golden import read_golden
from edge_core.artifact.last_layer import read_last_layer, with_last_layer
from edge_core.artifact.seal import seal
from edge_core.errors import CheckFailedError, EdgeError, ModelFormatError, OutputError, SettingsError
from edge_device import Classifier
from edge_device.inference.interpreter import Interpreter
from edge_device.inference.verify import record, sealed, verify
from edge_device.teaching.lesson import Lesson, TeachSettings
from edge_device.teaching.solver import solve
from edge_device.teaching.teach import teach
from edge_device.teaching.views import views
from edge_device.teaching.write import undo, write_taught

from ...conftest import INPUT, LABELS, MODELS
from .teachable import YELLOW, exemplars, frame, frames, write_teachable

EASY = TeachSettings(min_right=90, max_loss=5)


@pytest.fixture(params=["float32", "uint8"])
def model(request: pytest.FixtureRequest, tmp_path: Path, color_frames: Mapping[str, Frame]) -> Path:
    """A sealed model of four colors that can be taught a fifth."""
    return write_teachable(tmp_path / f"colors-{request.param}.tflite", request.param, color_frames.values())


def said(model: Path, shown: Frame) -> str:
    return Classifier(model).classify(shown, 1)[0].label


def test_a_taught_label_is_said_and_the_others_still_are(model: Path, color_frames: Mapping[str, Frame]) -> None:
    taught = teach(model, Lesson({"yellow": frames(YELLOW)}), EASY)
    assert write_taught(taught, model) == model.with_name(f"{model.stem}.previous.tflite")
    assert said(model, frame(YELLOW, 99)) == "yellow"
    assert {label: said(model, shown) for label, shown in color_frames.items()} == {one: one for one in LABELS}
    assert read_card(model).labels == (*LABELS, "yellow")
    assert verify(model).passed
    assert taught.judgement is not None and taught.judgement.taught["yellow"].value == 1.0


def test_lessons_follow_one_another_and_the_card_tells_each(model: Path) -> None:
    write_taught(teach(model, Lesson({"yellow": frames(YELLOW)}), EASY), model)
    first = verify(model).seal
    write_taught(teach(model, Lesson({"violet": frames((240, 20, 230))}), EASY), model)
    assert [said(model, frame(color, 50)) for color in (YELLOW, (240, 20, 230), (10, 20, 250))] == [
        "yellow",
        "violet",
        "red",
    ]
    classifier = Classifier(model)
    best = classifier.classify(frame(YELLOW, 9))
    assert len(best) == 5 and best == classifier.look(frame(YELLOW, 9)).predictions  # of six labels
    lineage = read_card(model).conversion["taught"]
    assert [entry["examples"] for entry in lineage] == [{"yellow": 6}, {"violet": 6}]
    assert first is not None and lineage[1]["parent"] == first.digest


def test_a_label_that_is_taught_again_and_again_leaves_the_golden_frames_of_others(model: Path) -> None:
    for seed in range(4):
        shown = [frame(YELLOW, 10 * seed + number) for number in range(6)]
        write_taught(teach(model, Lesson({"yellow": shown}), EASY), model)
    best = [int(np.argmax(one.scores)) for one in read_golden(model).frames]
    assert best.count(LABELS.index("red")) == 1 and best.count(len(LABELS)) == 1


def test_a_label_is_forgotten_and_one_is_renamed(model: Path) -> None:
    write_taught(teach(model, Lesson({"yellow": frames(YELLOW)}), EASY), model)
    write_taught(teach(model, Lesson(forget=("green",), rename={"yellow": "lemon"}), EASY), model)
    assert read_card(model).labels == ("red", "blue", "dark", "lemon")
    assert said(model, frame(YELLOW, 77)) == "lemon"
    assert verify(model).passed


def test_undo_brings_back_what_was_there_byte_for_byte(model: Path) -> None:
    before = model.read_bytes()
    write_taught(teach(model, Lesson({"yellow": frames(YELLOW)}), EASY), model)
    taught = model.read_bytes()
    undo(model)
    assert model.read_bytes() == before
    undo(model)
    assert model.read_bytes() == taught
    with pytest.raises(OutputError, match="nothing was taught"):
        undo(model.with_name("other.tflite"))


def test_an_undo_that_fails_half_way_loses_neither_file(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = model.with_name(f"{model.stem}.previous.tflite")
    shutil.copy(model, kept)
    model.write_bytes(b"taught")
    before, write, written = kept.read_bytes(), Path.write_bytes, list[Path]()

    def full(path: Path, data: bytes) -> int:
        written.append(path)
        if len(written) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match="No space left"):
        undo(model)
    assert (model.read_bytes(), kept.read_bytes()) == (b"taught", before)


def test_what_was_taught_is_familiar_and_what_was_not_is_not(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taught = teach(model, Lesson({"yellow": frames(YELLOW, 12)}), EASY)
    assert Classifier(model).softmax_only is Classifier(model).tells_foreign is False  # nothing was converted
    write_taught(taught, model)
    classifier = Classifier(model)
    assert classifier.look(frame(YELLOW, 99)).known
    assert (classifier.tells_foreign, classifier.softmax_only) == (True, False)
    assert classifier.knows(classifier.familiar) is True
    look = classifier.look(frame((240, 30, 30), 1))
    assert look.known is False
    assert classifier.familiarity() == look.familiarity
    # A file that an accelerator runs may give no features.
    monkeypatch.setattr(Interpreter, "read_features", lambda self: ())
    blind = Classifier(model)
    assert (blind.tells_foreign, blind.softmax_only, blind.familiarity()) == (False, True, None)
    assert (blind.look(frame(YELLOW, 99)).known, blind.look(frame(YELLOW, 99)).familiarity) == (None, None)


def test_frames_that_look_like_another_label_are_refused_and_nothing_is_written(model: Path) -> None:
    before = model.read_bytes()
    with pytest.raises(CheckFailedError, match="stays as it is"):
        teach(model, Lesson({"scarlet": frames((10, 20, 250))}), TeachSettings(min_right=100, max_loss=0))
    assert model.read_bytes() == before


@pytest.mark.parametrize(
    ("lesson", "words"),
    [
        (Lesson({"yellow": frames(YELLOW, 2)}), "2 frames of 'yellow' are too few"),
        (Lesson(forget=("mauve",)), "no label 'mauve'"),
        (Lesson(rename={"mauve": "pink"}), "no label 'mauve'"),
        (Lesson(rename={"red": "blue"}), "more than once"),
        (Lesson(forget=("red", "green", "blue")), "two labels or more"),
        (Lesson({"a\nb": frames(YELLOW)}), "one line of text"),
    ],
)
def test_a_lesson_that_makes_no_sense_is_refused(model: Path, lesson: Lesson, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        teach(model, lesson, EASY)


def test_a_file_without_exemplars_or_without_a_seal_is_not_taught(
    tiny_model: Callable[..., Path], color_frames: Mapping[str, Frame]
) -> None:
    path = tiny_model("float32")
    with pytest.raises(ModelFormatError, match="it has no seal"):
        teach(path, Lesson({"yellow": frames(YELLOW)}), EASY)
    path.write_bytes(sealed(path.read_bytes(), color_frames.values()))
    with pytest.raises(ModelFormatError, match="no exemplars of what it knows"):
        teach(path, Lesson({"yellow": frames(YELLOW)}), EASY)


@pytest.mark.parametrize("scores", [(), (0.0,) * 9 + (1.0,)])
def test_a_file_whose_golden_vectors_are_of_other_labels_is_not_taught(
    tiny_model: Callable[..., Path], color_frames: Mapping[str, Frame], scores: tuple[float, ...]
) -> None:
    path = tiny_model("float32")
    bare, files = (MODELS / "tiny-float32.tflite").read_bytes(), {EXEMPLARS_FILE: exemplars().to_bytes()}
    whole = complete(bare, ModelCard(labels=LABELS, input=INPUT), "colors", files=files)
    golden = record(Classifier(path), color_frames.values())
    path.write_bytes(seal(whole, replace(golden, frames=tuple(replace(one, scores=scores) for one in golden.frames))))
    with pytest.raises(ModelFormatError, match="of other labels"):
        teach(path, Lesson({"yellow": frames(YELLOW)}), EASY)


def test_the_command_teaches_from_a_folder_and_says_what_came_of_it(
    model: Path, tmp_path: Path, command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for number, shown in enumerate(frames(YELLOW)):
        cv2.imwrite(str(photos / f"{number}.png"), shown)
    (photos / "notes.txt").write_text("no picture")
    out = tmp_path / "taught.tflite"
    done = command("edge_device.cli", "teach", model, "--photos", photos, "--label", "yellow", "--out", out, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["labels"] == [*LABELS, "yellow"]
    assert said(out, frame(YELLOW, 3)) == "yellow"


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_are_exemplars_or_refused(data: bytes, begun: bool) -> None:
    whole = exemplars().to_bytes()
    with contextlib.suppress(ModelFormatError):
        parse_exemplars(whole[: len(data)] + data if begun else data)


@settings(max_examples=200)
@given(st.sampled_from(["tiny-float32", "tiny-uint8"]), st.data())
def test_a_damaged_last_layer_is_refused_or_read(name: str, data: st.DataObject) -> None:
    damaged = bytearray((MODELS / f"{name}.tflite").read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        damaged[data.draw(st.integers(8, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        layer = read_last_layer(bytes(damaged))
        with_last_layer(bytes(damaged), layer.weights, layer.bias, (-1.0, 1.0))
    except EdgeError:
        pass


def test_the_solver_finds_the_minimum_that_scipy_finds() -> None:
    from scipy.optimize import minimize

    rng = np.random.default_rng(0)
    features = rng.normal(size=(60, 7)).astype(np.float32)
    targets = rng.integers(0, 3, 60)
    shares = np.full(60, 1 / 60)
    start = (rng.normal(size=(3, 7)).astype(np.float32), np.zeros(3, np.float32))
    spread = float(np.sqrt(features.var(axis=0).mean()))

    def loss(flat: np.ndarray) -> float:
        weights, bias = flat[:21].reshape(3, 7), flat[21:]
        logits = features @ weights.T + bias
        picked = logits[np.arange(60), targets] - np.log(np.exp(logits).sum(axis=1))
        return float(-(shares * picked).sum() + 0.1 / 2 * spread**2 * ((weights - start[0]) ** 2).sum())

    weights, bias = solve(features, targets, shares, start, l2=0.1 / 7)
    found = loss(np.concatenate([weights.ravel(), bias]).astype(np.float64))
    at = np.concatenate([start[0].ravel(), start[1]]).astype(np.float64)
    best = minimize(loss, at, method="BFGS").fun
    assert found == pytest.approx(best, abs=1e-4)
    assert found < loss(at) - 0.05


def test_a_layer_put_back_gives_the_scores_that_it_gave(
    model: Path, color_frames: Mapping[str, Frame], tmp_path: Path
) -> None:
    bare = without_archive(model.read_bytes())
    layer = read_last_layer(bare)
    again = with_last_layer(bare, layer.weights, layer.bias, layer.logits or (0, 1))
    other = tmp_path / "again.tflite"
    other.write_bytes(complete(again, read_card(model), "again"))
    for shown in color_frames.values():
        assert np.abs(Classifier(other).scores(shown)[0] - Classifier(model).scores(shown)[0]).max() < 0.02


def test_a_layer_put_twice_leaves_nothing_of_the_first_behind(model: Path) -> None:
    bare = without_archive(model.read_bytes())
    layer = read_last_layer(bare)
    five = np.concatenate([layer.weights, layer.weights[:1] / 2]), np.append(layer.bias, np.float32(1))
    six = np.concatenate([five[0], layer.weights[1:2] / 3]), np.append(five[1], np.float32(2))
    once = with_last_layer(bare, *six, (-9.0, 30.0))
    assert with_last_layer(with_last_layer(bare, *five, (-5.0, 20.0)), *six, (-9.0, 30.0)) == once
    read = read_last_layer(once)
    assert np.abs(read.weights - six[0]).max() < 1e-3 and np.abs(read.bias - six[1]).max() < 0.1
    assert len(once) < len(bare) + 1000


def test_taught_labels_take_no_more_than_a_share_of_what_others_are_shown(
    tmp_path: Path, color_frames: Mapping[str, Frame]
) -> None:
    """A label that lies across two others: without a bar it takes a tenth of their exemplars."""
    rng = np.random.default_rng(2)
    colors = {"red": (250, 90, 60), "green": (90, 250, 60), "blue": (20, 10, 250), "dark": (9, 9, 9)}
    rows = [np.clip(np.array(colors[label]) + rng.normal(0, 40, 3), 0, 255) for label in LABELS for _ in range(100)]
    kept = keep_exemplars(np.array(rows, np.float32), np.repeat(np.arange(4), 100), 4)
    path = tmp_path / "colors.tflite"
    files = {EXEMPLARS_FILE: kept.to_bytes()}
    whole = complete(
        (MODELS / "tiny-float32.tflite").read_bytes(), ModelCard(labels=LABELS, input=INPUT), "c", files=files
    )
    path.write_bytes(sealed(whole, color_frames.values()))
    shown = [frame(tuple(np.clip(rng.normal((60, 190, 200), 30), 0, 255).astype(int)), n) for n in range(20)]
    taught = teach(path, Lesson({"yellow": shown}), TeachSettings(force=True))
    assert taught.judgement is not None and taught.judgement.before is not None
    assert taught.judgement.loss < 0.6
    layer = read_last_layer(without_archive(taught.artifact))
    said_new = (kept.features @ layer.weights.T + layer.bias).argmax(axis=1) == 4
    assert said_new.sum() <= 4
    before = read_last_layer(without_archive(path.read_bytes()))
    assert (layer.weights[:4] == before.weights).all()


@pytest.mark.parametrize(
    ("trained", "asked", "expected"), [(False, None, 3), (True, None, 6), (False, True, 6), (True, False, 3)]
)
def test_views_are_mirrored_as_the_model_was_trained(
    model: Path, monkeypatch: pytest.MonkeyPatch, trained: bool, asked: bool | None, expected: int
) -> None:
    """A sign that is known by its left and right must not be learned mirrored."""
    whole = complete(
        without_archive(model.read_bytes()),
        replace(read_card(model), training={"mirror": trained}),
        "colors",
        files={EXEMPLARS_FILE: exemplars().to_bytes()},
    )
    model.write_bytes(sealed(whole, frames(YELLOW)))
    made: list[int] = []

    def spied(*arguments: Any) -> list[Frame]:
        shown = list(views(*arguments))
        made.append(len(shown))
        return shown

    monkeypatch.setattr("edge_device.teaching.teach.views", spied)
    teach(model, Lesson({"yellow": frames(YELLOW)}), TeachSettings(mirrored=asked, force=True))
    assert set(made) == {expected}


def test_the_bar_is_set_by_what_training_had_not_seen(tmp_path: Path, color_frames: Mapping[str, Frame]) -> None:
    """Every other exemplar is far from all other labels, as one that the network was trained on: none is ever taken."""
    rng = np.random.default_rng(2)
    colors = {"red": (250, 90, 60), "green": (90, 250, 60), "blue": (20, 10, 250), "dark": (9, 9, 9)}
    rows = [
        np.clip(np.array(colors[label]) + rng.normal(0, 40 * (place % 2) + 1, 3), 0, 255)
        for label in LABELS
        for place in range(100)
    ]
    unseen = np.arange(400) % 2 == 1
    shown = [frame(tuple(np.clip(rng.normal((60, 190, 200), 30), 0, 255).astype(int)), n) for n in range(20)]
    taken = []
    for told in (unseen, None):
        kept = keep_exemplars(np.array(rows, np.float32), np.repeat(np.arange(4), 100), 4, told)
        path = tmp_path / "colors.tflite"
        whole = complete(
            (MODELS / "tiny-float32.tflite").read_bytes(),
            ModelCard(labels=LABELS, input=INPUT),
            "c",
            files={EXEMPLARS_FILE: kept.to_bytes()},
        )
        path.write_bytes(sealed(whole, color_frames.values()))
        taught = teach(path, Lesson({"yellow": shown}), TeachSettings(force=True))
        assert taught.judgement is not None and taught.judgement.before is not None
        layer = read_last_layer(without_archive(taught.artifact))
        taken.append(int(((kept.features @ layer.weights.T + layer.bias).argmax(axis=1) == 4)[unseen].sum()))
    assert taken[0] <= 0.0065 * unseen.sum() + 1 < taken[1]


def test_what_training_had_not_seen_is_kept_with_the_exemplars(model: Path) -> None:
    rows = np.random.default_rng(1).uniform(0, 9, (11, 3)).astype(np.float32)
    targets = np.array([0, 1, 2] * 3 + [0, 1])
    unseen = np.array([True, False, False] * 3 + [False, True])
    kept = parse_exemplars(keep_exemplars(rows, targets, 3, unseen).to_bytes())
    # Of the third label training had seen all, so that all of it must do.
    assert kept.judged.tolist() == [True] * 3 + [False] + [False] * 3 + [True] + [True] * 3
    older = keep_exemplars(rows, targets, 3).to_bytes().replace(b', "unseen": ""', b"")
    assert parse_exemplars(older).judged.all()
    wrong = replace(kept, header=replace(kept.header, unseen="ff"))
    with pytest.raises(ModelFormatError, match="another number of exemplars"):
        parse_exemplars(wrong.to_bytes())
    write_taught(teach(model, Lesson({"yellow": frames(YELLOW)}), TeachSettings()), model)
    taught = read_exemplars(model, (*LABELS, "yellow"))
    assert taught and taught.header.unseen and taught.judged.all(), "the network was not trained on what is taught"


def test_a_lesson_does_not_pass_off_as_new_what_training_had_seen(model: Path) -> None:
    """All of a label's, which are judged as long as there are no others of it."""
    before = exemplars()
    unseen = before.targets != 0
    told = keep_exemplars(before.features, before.targets, len(LABELS), unseen)
    assert told.judged.all()
    whole = complete(
        without_archive(model.read_bytes()), read_card(model), "colors", files={EXEMPLARS_FILE: told.to_bytes()}
    )
    model.write_bytes(sealed(whole, frames(YELLOW)))
    write_taught(teach(model, Lesson({"yellow": frames(YELLOW)}), EASY), model)
    after = read_exemplars(model, (*LABELS, "yellow"))
    assert after and (after.unseen == (after.targets != 0)).all()


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 7), st.floats(-5, 5), st.floats(0.01, 9), st.integers(0, 2**32 - 1))
def test_exemplars_come_back_in_the_order_of_their_size(width: int, low: float, spread: float, seed: int) -> None:
    """In four bits, whose steps grow: zero stays zero, signs stay, and nothing is off by more than a step."""
    rows = np.random.default_rng(seed).uniform(low, low + spread, (6, width)).astype(np.float32)
    rows[0, 0] = 0
    kept = keep_exemplars(rows, np.zeros(6, np.int64), 1)
    read = parse_exemplars(kept.to_bytes())
    assert read.features.shape == rows.shape and read.features[0, 0] == 0
    assert (read.features * rows >= 0).all()
    root, found = (np.sign(one) * np.sqrt(np.abs(one)) for one in (rows, read.features))
    assert np.abs(found - root).max() <= 1.01 * read.header.scale**0.5


def test_exemplars_of_older_files_in_eight_bits_are_read() -> None:
    header = {"width": 2, "scale": 0.5, "zero_point": -128, "counts": [1, 1]}
    data = b"edge-mobilenet exemplars 1\n" + json.dumps(header).encode() + b"\n"
    found = parse_exemplars(data + np.array([[-128, -126], [127, 0]], np.int8).tobytes())
    assert found.features.tolist() == [[0.0, 1.0], [127.5, 64.0]]

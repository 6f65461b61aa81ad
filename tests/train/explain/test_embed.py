"""Embeddings: neighbors, layouts and clusters against brute force, what is mislabeled is found, the page in a
browser."""

import base64
import csv
import hashlib
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_core.data.photo_folder import Photo
from edge_core.errors import DatasetError, OutputError, PictureError, RunFolderError
from edge_core.run_folder import Run
from edge_train.explain.embedding.embed import (
    MOST_PHOTOS,
    SPRITE_SIDE,
    Embedder,
    Embedding,
    clusters,
    embed,
    lay_out,
    nearest_photos,
    principal_components,
    thumbnail_side,
)
from edge_train.explain.embedding.map_page import CSV_FILE, PAGE_FILE, Map, make_map, render, sprite_of, write_map
from edge_train.explain.embedding.neighbors import nearest, suspects

from ...browser import Browser

Command = Callable[..., subprocess.CompletedProcess[str]]
HOSTILE = "</script><img src=x onerror=window.hacked=1>"


def unit(vectors: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    scaled: np.ndarray[Any, Any] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return scaled.astype(np.float32)


@given(st.integers(2, 600), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_neighbors_are_those_of_brute_force(photos: int, count: int, seed: int) -> None:
    vectors = unit(np.random.default_rng(seed).normal(size=(photos, 3)))
    positions, distances = nearest(vectors, vectors, count, same=True)
    apart = 1 - vectors @ vectors.T
    np.fill_diagonal(apart, np.inf)
    wanted = np.sort(apart, axis=1)[:, : min(count, photos - 1)]
    np.testing.assert_allclose(distances, wanted.clip(0), atol=1e-6)
    np.testing.assert_allclose(np.take_along_axis(apart, positions, axis=1).clip(0), distances, atol=1e-6)
    assert (positions != np.arange(photos)[:, None]).all()


def test_a_photo_among_those_of_another_label_is_a_suspect() -> None:
    rng = np.random.default_rng(1)
    vectors = unit(np.concatenate([rng.normal((5, 0), 1, (40, 2)), rng.normal((0, 5), 1, (40, 2))]))
    labels = [0] * 40 + [1] * 40
    labels[3], labels[70] = 1, -1
    neighbors, _ = nearest(vectors, vectors, 10, same=True)
    found = suspects(labels, neighbors)
    assert (found[0].photo, found[0].label) == (3, 0)
    assert found[0].share >= 0.9
    assert 70 not in {one.photo for one in found}
    assert suspects([-1] * 80, neighbors) == []


def test_principal_components_are_those_of_the_singular_value_decomposition() -> None:
    vectors = unit(np.random.default_rng(0).normal(size=(50, 20)) * np.linspace(5, 1, 20))
    layout = principal_components(vectors, 4)
    centered = vectors - vectors.mean(axis=0)
    left, values, _ = np.linalg.svd(centered, full_matrices=False)
    np.testing.assert_allclose(np.abs(layout.places), np.abs(left[:, :4] * values[:4]), atol=1e-4)
    np.testing.assert_allclose(layout.shares, (values**2 / (values**2).sum())[:4], atol=1e-5)


def test_photos_that_are_all_the_same_lie_in_one_place() -> None:
    vectors = unit(np.ones((5, 8)))
    layout = lay_out(vectors)
    assert np.abs(layout.places).max() < 1e-5
    assert clusters(vectors, 4).tolist() == [0] * 5


def test_clusters_are_found_and_the_largest_is_the_first() -> None:
    rng = np.random.default_rng(2)
    middles = np.eye(6)[[0] * 30 + [1] * 50 + [2] * 20]
    vectors = unit(middles + rng.normal(scale=0.02, size=(100, 6)))
    assert clusters(vectors, 3, seed=5).tolist() == [1] * 30 + [0] * 50 + [2] * 20


@pytest.mark.parametrize("photos", [1, 1399, 2930, MOST_PHOTOS])
def test_all_thumbnails_fit_into_a_picture_of_bounded_size(photos: int) -> None:
    side = thumbnail_side(photos)
    assert side * int(np.ceil(np.sqrt(photos))) <= SPRITE_SIDE
    assert side % 16 == 0


@pytest.fixture(scope="module")
def embedder(color_run: Run) -> Embedder:
    return Embedder(color_run)


@pytest.fixture(scope="module")
def embedding(embedder: Embedder) -> Embedding:
    return embed(embedder)


@pytest.fixture(scope="module")
def found(embedding: Embedding) -> Map:
    return make_map(embedding, lay_out(embedding.vectors))


def test_all_photos_of_a_run_are_embedded_as_the_device_sees_them(embedding: Embedding, color_run: Run) -> None:
    splits = [split for split, members in color_run.splits.items() for _ in members]
    assert embedding.splits == tuple(splits)
    np.testing.assert_allclose(np.linalg.norm(embedding.vectors, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(embedding.scores.sum(axis=1), 1, atol=1e-5)
    colors = {"red": 0, "green": 1, "blue": 2}  # thumbnails are R, G, B
    for photo, picture in zip(embedding.photos, embedding.thumbnails, strict=True):
        assert picture.mean(axis=(0, 1)).argmax() == colors[photo.label]


def test_only_the_photos_of_a_split_if_asked_for(embedder: Embedder, color_run: Run) -> None:
    assert embed(embedder, which="test").photos == tuple(color_run.splits["test"])


def test_a_folder_may_have_labels_that_the_run_does_not_know_or_none(
    embedder: Embedder, color_photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "violet").mkdir()
    for number in range(3):
        shutil.copy(color_photos / "red" / f"{number}.png", tmp_path / "violet")
    (tmp_path / "violet" / "broken.png").write_bytes(b"no picture")
    labeled = embed(embedder, tmp_path)
    assert [photo.label for photo in labeled.photos] == ["violet"] * 3
    assert len(labeled.splits) == 3 and all(labeled.splits)  # by what they show, not by where they lie
    assert [item.path.name for item in labeled.unusable] == ["broken.png"]
    assert make_map(labeled, lay_out(labeled.vectors)).labels == ("blue", "green", "red", "violet")
    for unlabeled in (embed(embedder, tmp_path, labeled=False), embed(embedder, tmp_path / "violet")):
        assert [photo.label for photo in unlabeled.photos] == [""] * 3
        assert make_map(unlabeled, lay_out(unlabeled.vectors)).suspects == []


def test_what_cannot_be_mapped_is_refused(embedder: Embedder, color_run: Run, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no such folder"):
        embed(embedder, tmp_path / "nowhere")
    with pytest.raises(DatasetError, match="holds no pictures"):
        embed(embedder, tmp_path)
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n no more")
    with pytest.raises(DatasetError, match=r"two photos that can be decoded, not 0; .*a\.png"):
        embed(embedder, tmp_path)
    gone = Embedder(color_run)
    gone.run = replace(
        color_run, splits={"train": [Photo(tmp_path / "gone.png", "red", "0" * 64)], "val": [], "test": []}
    )
    with pytest.raises(RunFolderError, match="no longer where they were"):
        embed(gone)
    with pytest.raises(PictureError):
        embedder.picture(tmp_path / "a.png")


def test_a_mirrored_photo_of_the_set_lies_nearest_to_it(
    embedder: Embedder, embedding: Embedding, tmp_path: Path
) -> None:
    photo = embedding.photos[0]
    near = nearest_photos(embedding, photo.path, embedder.picture(photo.path), 3)
    assert len(near) == 3
    assert photo not in [one.photo for one in near]
    copy = tmp_path / "copy.png"
    shutil.copy(photo.path, copy)
    same = nearest_photos(embedding, copy, embedder.picture(copy), 3)
    assert same[0].photo == photo
    assert same[0].distance < 1e-5
    assert [one.photo for one in same[1:]] == [one.photo for one in near[:2]]


def test_the_figures_are_in_a_table(found: Map, tmp_path: Path) -> None:
    size = write_map(found, "colors", tmp_path / "map")
    assert size == (tmp_path / "map" / PAGE_FILE).stat().st_size
    with (tmp_path / "map" / CSV_FILE).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == [str(photo.path) for photo in found.embedding.photos]
    assert float(rows[0]["axis_1"]) == pytest.approx(float(found.layout.places[0, 0]), rel=1e-4)
    assert {row["split"] for row in rows} == {"train", "val", "test"}
    with pytest.raises(OutputError, match="is there already"):
        write_map(found, "colors", tmp_path / "map")


def test_thumbnails_are_found_again_in_the_sprite() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (7, 4, 4, 3)).astype(np.uint8)
    sprite = sprite_of(pictures)
    assert sprite.shape == (12, 12, 3)
    for number, picture in enumerate(pictures):
        top, left = number // 3 * 4, number % 3 * 4
        np.testing.assert_array_equal(sprite[top : top + 4, left : left + 4], picture)


@pytest.fixture(scope="module")
def hostile(embedding: Embedding) -> Map:
    """A map in which all that may come from outside is hostile, and a photo is mislabeled."""
    photos = [
        replace(photo, path=photo.path.parent / f"{number}{HOSTILE}\udc80\u2028.png", label=photo.label + HOSTILE)
        for number, photo in enumerate(embedding.photos)
    ]
    photos[4] = replace(photos[4], label=photos[-1].label)
    labels = tuple(label + HOSTILE for label in embedding.labels)
    # One axis for each color: what the tiny network makes of them is its own affair.
    kinds = np.array([labels.index(embedding.photos[number].label + HOSTILE) for number in range(len(photos))])
    vectors = unit(np.eye(4)[kinds] + 0.1 * np.random.default_rng(0).normal(size=(len(photos), 4)))
    changed = replace(embedding, photos=tuple(photos), labels=labels, vectors=vectors)
    return make_map(changed, lay_out(vectors))


def test_the_page_allows_its_own_script_alone(hostile: Map) -> None:
    text = render(hostile, HOSTILE)
    policy = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    code = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    assert len(policy) == len(code) == 1
    digest = base64.b64encode(hashlib.sha256(code[0].encode()).digest()).decode()
    assert f"; script-src 'sha256-{digest}'" in policy[0]
    assert policy[0].startswith("default-src 'none'; img-src data:; ")
    assert text.count("<img") == 1
    assert len(re.findall("<script", text)) == 2


def opened(browser: Browser, page: Path, width: int = 1280) -> None:
    browser.complaints.clear()
    browser.resize(width, 844)
    browser.open(page.as_uri())
    browser.wait("document.body.dataset.ready === 'yes'")


@pytest.mark.parametrize("width", [1280, 390])
def test_the_map_answers_to_pointer_keys_and_lists(browser: Browser, hostile: Map, tmp_path: Path, width: int) -> None:
    write_map(hostile, HOSTILE, tmp_path / "map")
    opened(browser, tmp_path / "map" / PAGE_FILE, width)
    photo = "document.getElementById('photo').innerText"
    assert "Point at a photo" in browser.ask(photo)
    assert browser.ask("document.querySelectorAll('#suspects button').length") == len(hostile.suspects) >= 1
    assert hostile.suspects[0].photo == 4
    browser.ask("document.querySelector('#suspects button').click()")
    said = browser.ask(photo)
    assert f"labeled {hostile.embedding.photos[4].label}" in said
    assert f"4{HOSTILE}" in said
    assert "training photo" in said

    browser.ask("document.getElementById('map').scrollIntoView({ block: 'center' })")
    left, top, wide, high = browser.ask(
        "(() => { const at = canvas.getBoundingClientRect(); return [at.left, at.top, at.width, at.height]; })()"
    )
    browser.ask("select(-1)")
    for kind in ("mousePressed", "mouseReleased"):
        mouse = {"x": left + wide / 2, "y": top + high / 2, "button": "left", "clickCount": 1}
        browser.send("Input.dispatchMouseEvent", type=kind, **mouse)
    assert browser.ask("selected") == 4  # it was brought to the middle
    before = browser.ask("view.scale")
    browser.send("Input.dispatchMouseEvent", type="mouseWheel", x=left + 9, y=top + 9, deltaX=0, deltaY=-400)
    browser.wait(f"view.scale > {before}")
    browser.ask("canvas.focus()")
    for key, code in (("0", 48), ("ArrowRight", 39)):
        browser.send(
            "Input.dispatchKeyEvent",
            type="keyDown",
            key=key,
            windowsVirtualKeyCode=code,
            text=key[:1] if key == "0" else "",
        )
    browser.wait("selected >= 0 && selected !== 4")
    assert browser.ask("[view.scale, whole]")[0] == browser.ask("whole")

    browser.ask("document.querySelector('#legend button').click()")
    assert browser.ask("hidden.size") == 1
    browser.ask("(() => { $('search').value = '12' + 'x'; search(); })()")
    assert "0 of" in browser.ask("document.getElementById('chosen').innerText")
    browser.ask("document.querySelector('#clusters button').click()")
    assert "cluster 1" in browser.ask("document.getElementById('chosen').innerText")
    browser.ask("document.querySelector('#chosen button').click()")
    for kind in ("predicted", "split", "cluster"):
        browser.ask(f"setKind('{kind}'); paint()")

    assert browser.ask("window.hacked") is None
    scrolled, client = browser.ask("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert scrolled <= client <= width
    assert browser.complaints == []


def test_pictures_are_on_the_map(browser: Browser, found: Map, tmp_path: Path) -> None:
    write_map(found, "colors", tmp_path / "map")
    opened(browser, tmp_path / "map" / PAGE_FILE)
    number = next(i for i, photo in enumerate(found.embedding.photos) if photo.label == "red")
    browser.ask(f"select({number}, true); paint()")
    middle = "context.getImageData(Math.round(canvas.width / 2), Math.round(canvas.height / 2), 1, 1).data"
    red, green, blue, _ = browser.ask(f"[...{middle}]")
    assert red > 150 and green < 100 and blue < 100


def test_a_script_that_is_not_the_pages_own_is_not_run(browser: Browser, found: Map, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(render(found, "colors").replace("</main>", "<script>window.hacked = 1</script></main>"))
    opened(browser, page)
    assert browser.ask("window.hacked") is None
    browser.wait_for_complaints("Content Security Policy")


def test_the_command_writes_a_map_and_prints_neighbors(command: Command, color_run: Run, tmp_path: Path) -> None:
    out = tmp_path / "map"
    done = command("edge_train.cli", "explain", "embed", color_run.folder, "--out", out, "--json")
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["photos"] == sum(map(len, color_run.splits.values()))
    assert sum(one["photos"] for one in figures["clusters"]) == figures["photos"]
    again = command("edge_train.cli", "explain", "embed", color_run.folder, "--out", out)
    assert again.returncode == 2
    assert "is there already" in again.stderr
    photo = color_run.splits["test"][0].path
    frame = cv2.imread(str(photo))
    assert frame is not None
    cv2.imwrite(str(tmp_path / "mirrored.png"), frame[:, ::-1])
    near = command(
        "edge_train.cli", "explain", "embed", color_run.folder, photo.parent, "--nearest", tmp_path / "mirrored.png",
        "--count", 4, "--json",
    )  # fmt: skip
    assert near.returncode == 0, near.stderr
    rows = json.loads(near.stdout)["nearest"]
    assert len(rows) == 4
    assert [row["distance"] for row in rows] == sorted(row["distance"] for row in rows)

"""Folders as phones, network storage and thermal cameras make them."""

import io
import unicodedata
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from edge_core.artifact.card import ModelCard
from edge_core.data.photo_list import find_all_photos
from edge_core.errors import InputSpecError
from edge_core.images import decode_picture
from edge_core.preprocess import InputSpec, parse_levels, preprocess
from edge_core.run_folder import CARD_FILE, MODEL_FILE, read_run, write_photos
from edge_device.sources.pictures import Pictures
from edge_train.data.audit import Inspection, inspect
from edge_train.data.dataset import find_dataset, open_photos
from edge_train.data.deep import find_deep_photos


def picture(seed: int) -> Image.Image:
    small = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return Image.fromarray(small).resize((64, 48), Image.Resampling.BICUBIC)


def saved(seed: int, kind: str) -> bytes:
    file = io.BytesIO()
    picture(seed).save(file, kind)
    return file.getvalue()


def inspected(folder: Path) -> Inspection:
    return inspect(find_dataset(str(folder), cache=folder))


NAMES = {
    **dict.fromkeys(
        ("p.jpg", "s.jfif", "t.jpe", "u.jif", "noextension", "w.jpg.tmp", "af.jpg_large", "ai.jpg~"), "JPEG"
    ),
    "x.bmp": "BMP",
    "ac.dib": "BMP",
    "y.tif": "TIFF",
    "z.gif": "GIF",
    "aa.png": "PNG",
    "ad.apng": "PNG",
    "ab.webp": "WEBP",
    "ae.jp2": "JPEG2000",
    "ag.mpo": "MPO",
    "ak.avif": "AVIF",
    "am.ppm": "PPM",
    "h.heic": "HEIF",
}


def test_a_photo_counts_whatever_its_name_is_and_what_does_not_is_named(tmp_path: Path) -> None:
    pytest.importorskip("pillow_heif").register_heif_opener()
    for number, label in enumerate(("a", "b")):
        (tmp_path / label / "@eaDir" / "p.jpg").mkdir(parents=True)
        (tmp_path / label / "@eaDir" / "p.jpg" / "SYNOPHOTO_THUMB_M.jpg").write_bytes(saved(0, "JPEG"))
        for seed, (name, kind) in enumerate(NAMES.items()):
            (tmp_path / label / name).write_bytes(saved(100 * number + seed, kind))
        (tmp_path / label / "cut.jpg").write_bytes(saved(900 + number, "JPEG")[:-2])
        (tmp_path / label / "IMG_1.MOV").write_bytes(b"\0\0\0\x14ftypqt  \0\0\0\0qt  " + bytes(99))
        (tmp_path / label / "notes.txt").write_text("no picture")
    found = inspected(tmp_path)
    assert found.counts == {"a": len(NAMES) + 1, "b": len(NAMES) + 1}
    assert found.unusable == ()
    assert sorted((item.path.name, item.reason) for item in found.passed_over)[::2] == [
        ("@eaDir", "litter of an operating system or of network storage"),
        ("IMG_1.MOV", "a video"),
        ("notes.txt", "not a picture"),
    ]
    warnings = " ".join(found.warnings())
    assert "2 files are JPEGs that lack their end" in warnings
    assert "4 files are not pictures" in warnings


DAMAGED = {f"truncated.{kind.lower()}": saved(8, kind)[:500] for kind in ("JPEG", "PNG", "WEBP", "TIFF", "AVIF")}
NO_PHOTOS = {
    "empty.jpg": b"",
    "notes.txt": b"words",
    "clip.mov": b"\0\0\0\x14ftypqt  \0\0\0\0qt  ",
    "Thumbs.db": b"\xd0\xcf\x11\xe0",
    "._1.jpg": b"\0\5\x16\7",
    "@eaDir/thumb.jpg": saved(0, "JPEG"),
}


@pytest.fixture
def from_phone_and_nas(tmp_path: Path) -> Path:
    """A folder with photos in many formats, one of them without its end, and with all that is no photo."""
    pytest.importorskip("pillow_heif").register_heif_opener()
    folder = tmp_path / "photos"
    for number, label in enumerate(("cat", "cafe\u0301")):
        files = {f"2024/{name}": saved(100 * number + seed, kind) for seed, (name, kind) in enumerate(NAMES.items())}
        files |= DAMAGED | NO_PHOTOS | {"no end": saved(100 * number + 99, "JPEG")[:-2]}
        for name, data in files.items():
            (folder / label / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / label / name).write_bytes(data)
        (folder / label / "broken.jpg").symlink_to("gone.jpg")
        (folder / label / "circle").symlink_to(".")
    (folder / "#recycle").mkdir()
    (folder / "stray.jpg").write_bytes(saved(99, "JPEG"))
    return folder


def test_every_command_uses_the_same_photos_and_names_the_others(from_phone_and_nas: Path) -> None:
    each = len(NAMES) + 1
    found = inspected(from_phone_and_nas)
    trained_on = open_photos(str(from_phone_and_nas), cache=from_phone_and_nas)
    assert found.counts == {"caf\u00e9": each, "cat": each}
    assert found.split_counts == trained_on.counts
    assert found.cut == trained_on.cut == 2
    assert any("lack their end" in warning for warning in trained_on.warnings())
    assert {item.path.name for item in found.unusable} == set(DAMAGED)
    assert sorted(found.unusable, key=str) == sorted(trained_on.unusable, key=str)
    assert found.passed_over == trained_on.passed_over == find_all_photos(from_phone_and_nas).dropped
    used = {photo.path for members in trained_on.splits.values() for photo in members}
    left = {item.path for item in (*found.unusable, *found.passed_over)}
    whole_folders = {path for path in left if path.is_dir()}
    everything = {path for path in from_phone_and_nas.rglob("*") if path.is_symlink() or path.is_file()}
    assert {path for path in everything - used - left if not whole_folders & set(path.parents)} == set()
    shown: list[Path] = []
    pictures = Pictures([from_phone_and_nas], lambda path, error: shown.append(path))
    assert {Path(frame.source) for frame in pictures} == used | {from_phone_and_nas / "stray.jpg"}
    assert set(shown) >= {item.path for item in found.unusable}


def test_a_name_with_control_characters_is_printed_on_one_line_and_moves_no_cursor(tmp_path: Path) -> None:
    for number, name in enumerate(("a\x1b[31m\nb.jpg", "copy.jpg", "👩\u200d🌾.jpg")):
        (tmp_path / "ab"[number // 2]).mkdir(exist_ok=True)
        (tmp_path / "ab"[number // 2] / name).write_bytes(saved(number // 2, "JPEG"))
    text = inspected(tmp_path).to_text()
    assert "a\\x1b[31m\\nb.jpg, " in text and "\x1b" not in text


def test_classes_that_differ_in_normalization_alone_are_one(tmp_path: Path) -> None:
    names = (unicodedata.normalize("NFC", "café"), unicodedata.normalize("NFD", "café"), "tea")
    for number, label in enumerate(names):
        (tmp_path / label).mkdir()
        for seed in range(4):
            (tmp_path / label / f"{seed}").write_bytes(saved(10 * number + seed, "PNG"))
    found = inspected(tmp_path)
    assert found.counts == {names[0]: 8, "tea": 4}
    assert "one class" in found.to_text()


@pytest.fixture
def thermal(tmp_path: Path) -> list[Path]:
    """Ramps from 7300 to 8300 in 16 bits."""
    ramp = np.tile(np.linspace(7300, 8300, 256).round().astype(np.uint16), (64, 1))
    paths = []
    for label in ("cold", "warm"):
        (tmp_path / label).mkdir()
        for suffix in (".png", ".tif"):
            paths.append(tmp_path / label / f"1{suffix}")
            assert cv2.imwrite(str(paths[-1]), ramp if label == "cold" else ramp[:, ::-1])
    return paths


def test_thermal_photos_are_warned_of_and_a_stated_range_uses_all_levels(thermal: list[Path]) -> None:
    deep = find_deep_photos(thermal)
    assert deep is not None
    assert (deep.count, deep.low, deep.high, deep.used) == (4, 7300, 8300, 5)
    (warning,) = [line for line in inspected(thermal[0].parents[1]).warnings() if "8 bits" in line]
    assert "use 5 of the 256" in warning
    assert "--levels 7300..8300" in warning
    data = thermal[0].read_bytes()
    assert len(np.unique(decode_picture(data))) == 5
    stretched = decode_picture(data, levels=deep.levels)
    assert np.array_equal(stretched[0, :, 0], np.arange(256))
    assert (decode_picture(data, levels=(7800, 8300))[:, :128] == 0).all()


def test_a_hot_and_a_dead_pixel_do_not_widen_the_range(thermal: list[Path]) -> None:
    before = find_deep_photos(thermal)
    picture = cv2.imread(str(thermal[0]), cv2.IMREAD_UNCHANGED)
    assert picture is not None
    large = cv2.resize(picture, (160, 120))
    large[60:64, 80:84] = 8250  # a small warm object is no hot pixel
    large[0, 0], large[100, 9] = 65535, 0
    cv2.imwrite(str(thermal[0]), large)
    after = find_deep_photos([thermal[0]])
    assert before is not None
    assert after is not None
    assert before.low <= after.low < after.high <= max(before.high, 8250)
    assert after.high >= 8250


def test_thermal_photos_in_floating_point_are_looked_at_and_take_a_range(tmp_path: Path) -> None:
    ramp = np.tile(np.linspace(18, 41, 256, dtype=np.float32), (64, 1))
    for number, label in enumerate(("cold", "warm")):
        (tmp_path / label).mkdir()
        cv2.imwrite(str(tmp_path / label / "1.tiff"), ramp + number)
    found = inspected(tmp_path)
    assert (found.photos, found.unusable) == (2, ())
    assert any("fit takes 18..42, or" in warning for warning in found.warnings())


def test_photos_of_8_bits_and_of_all_16_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "8.jpg").write_bytes(saved(1, "JPEG"))
    assert find_deep_photos([tmp_path / "8.jpg"]) is None
    assert np.array_equal(decode_picture(saved(1, "JPEG"), levels=(7300, 8300)), decode_picture(saved(1, "JPEG")))
    cv2.imwrite(str(tmp_path / "16.png"), np.tile((np.arange(256) * 257).astype(np.uint16), (64, 1)))
    full = find_deep_photos([tmp_path / "16.png"])
    assert full is not None
    assert full.warning() == ""


def test_the_range_is_in_the_card_and_cards_without_one_are_read_and_written_as_before() -> None:
    old = {"width": 32, "height": 32, "crop": "center", "color_order": "RGB", "resampling": "halve-linear-exact"}
    assert InputSpec.from_json(old).levels is None
    assert InputSpec.from_json(old).to_json() == old
    spec = InputSpec(32, 32, levels=parse_levels("7300..8300"))
    card = ModelCard(labels=("cold", "warm"), input=spec)
    assert ModelCard.from_text(card.to_text()).input == spec
    assert preprocess(np.zeros((9, 9, 3), np.uint8), spec).shape == (32, 32, 3)


@pytest.mark.parametrize("text", ["", "7300", "8300..7300", "a..b", "1..1", "nan..3", "0..inf"])
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(InputSpecError, match="level"):
        parse_levels(text)


def test_a_folder_of_nothing_is_no_class_but_stays_with_the_run(tmp_path: Path) -> None:
    photos, folder = tmp_path / "photos", tmp_path / "run"
    for number, place in enumerate((*("cup", "jar") * 4, *["_nothing"] * 3)):
        (photos / place).mkdir(parents=True, exist_ok=True)
        (photos / place / f"{number}.png").write_bytes(saved(number, "PNG"))
    (photos / "_nothing" / "cup.png").write_bytes(saved(0, "PNG"))  # shows a class after all
    (photos / "_nothing" / "again.png").write_bytes(saved(8, "PNG"))
    found = open_photos(str(photos), cache=tmp_path)
    assert found.labels == ("cup", "jar")
    assert len(found.negatives) == 3
    assert any("show none of the classes" in note for note in found.notes)
    folder.mkdir()
    (folder / MODEL_FILE).write_bytes(b"")
    (folder / CARD_FILE).write_text(ModelCard(found.labels, InputSpec(8, 8)).to_text(), "utf-8")
    write_photos(folder, found.splits, found.negatives)
    run = read_run(folder)
    assert run.negatives == found.negatives
    assert run.splits == found.splits

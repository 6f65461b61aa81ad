import os
import re
import sys
import tempfile
import time
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps, TiffImagePlugin

from edge_core.errors import PictureError
from edge_core.images import decode_picture, deep_levels, is_cut, read_picture
from edge_core.images.image_header import read_header
from edge_core.native_stderr import without_lines
from edge_core.preprocess import Frame

CORNERS = {(0, 0): (200, 30, 30), (0, 1): (30, 200, 30), (1, 0): (30, 30, 200), (1, 1): (180, 180, 180)}


def corners() -> Image.Image:
    """Four quarters of different color, 48 wide and 32 high, so that every turn and mirroring shows."""
    levels = np.zeros((32, 48, 3), np.uint8)
    for (row, column), color in CORNERS.items():
        levels[16 * row : 16 * row + 16, 24 * column : 24 * column + 24] = color
    return Image.fromarray(levels)


def saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    file = BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def with_orientation(value: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = value
    return saved(corners(), "JPEG", quality=95, exif=exif)


def with_thumbnail() -> bytes:
    """A JPEG whose EXIF holds another whole JPEG, end marker and all, as a camera's has."""
    thumbnail = saved(corners().resize((12, 8)), "JPEG")
    payload = b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0" + thumbnail
    main = saved(corners(), "JPEG")
    return main[:2] + b"\xff\xe1" + (len(payload) + 2).to_bytes(2) + payload + main[2:]


def looks_like(frame: Frame, picture: Image.Image, tolerance: int = 12) -> bool:
    wanted = np.asarray(picture.convert("RGB"), int)[:, :, ::-1]
    return frame.dtype == np.uint8 and frame.shape == wanted.shape and bool((abs(frame - wanted) <= tolerance).all())


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_upright(orientation: int) -> None:
    data = with_orientation(orientation)
    upright = ImageOps.exif_transpose(Image.open(BytesIO(data)))
    assert upright.size == ((48, 32) if orientation <= 4 else (32, 48))
    assert looks_like(decode_picture(data), upright)


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        ("JPEG", "RGB"),
        ("JPEG", "L"),
        ("JPEG", "CMYK"),
        ("PNG", "RGB"),
        ("PNG", "L"),
        ("PNG", "1"),
        ("PNG", "P"),
        ("PNG", "RGBA"),
        ("BMP", "RGB"),
        ("TIFF", "RGB"),
        ("TIFF", "L"),
        ("WEBP", "RGB"),
        ("WEBP", "RGBA"),
        ("GIF", "P"),
        ("PPM", "RGB"),
    ],
)
def test_pictures_of_every_kind_become_8_bit_color(kind: str, mode: str) -> None:
    picture = corners().convert(mode)
    options = {"lossless": True} if kind == "WEBP" else {"quality": 95, "subsampling": 0} if kind == "JPEG" else {}
    assert looks_like(decode_picture(saved(picture, kind, **options)), picture)


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
@pytest.mark.parametrize("channels", [1, 3])
def test_16_bit_levels_are_brought_to_8(suffix: str, channels: int) -> None:
    levels = np.linspace(0, 65535, 64 * channels).astype(np.uint16).reshape(8, 8, channels)
    ok, data = cv2.imencode(suffix, levels)
    assert ok
    frame = decode_picture(data.tobytes())
    assert frame.dtype == np.uint8
    assert (abs(frame - np.broadcast_to(levels / 257, (8, 8, 3))) <= 1).all()


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_transparency_is_dropped(kind: str) -> None:
    seen_through = corners().convert("RGBA")
    seen_through.putalpha(0)
    assert looks_like(decode_picture(saved(seen_through, kind)), corners())


def test_opacity_is_no_level() -> None:
    levels = np.full((8, 8, 4), (100, 200, 300, 65535), np.uint16)
    assert deep_levels(cv2.imencode(".png", levels)[1].tobytes()) == (100, 300)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_of_an_animation_the_first_picture_counts(kind: str) -> None:
    others = [Image.new("RGB", (48, 32), color) for color in ("white", "black")]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = saved(corners(), kind, save_all=True, append_images=others, duration=100, **options)
    assert looks_like(decode_picture(data), corners())


@pytest.mark.parametrize(
    "data",
    [
        saved(corners(), "JPEG"),
        saved(corners(), "JPEG", progressive=True),
        saved(corners(), "JPEG", restart_marker_blocks=1),
        with_orientation(6),
        with_thumbnail(),
    ],
    ids=["baseline", "progressive", "restarts", "exif", "thumbnail"],
)
def test_a_jpeg_that_lacks_a_part_is_refused_and_one_that_lacks_its_end_is_not(data: bytes) -> None:
    whole = decode_picture(data)
    assert looks_like(whole, ImageOps.exif_transpose(Image.open(BytesIO(data))))
    assert not is_cut(data)
    for length in range(len(data) // 2):
        with pytest.raises(PictureError):
            decode_picture(data[:length])
    for missing in (1, 2):
        assert is_cut(data[:-missing])
        assert np.array_equal(decode_picture(data[:-missing]), whole)


@pytest.mark.parametrize("progressive", [0, 1])
def test_a_jpeg_without_its_last_rows_is_decoded_as_far_as_it_goes(progressive: int) -> None:
    noise = cv2.resize(np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8), (640, 480))
    data = cv2.imencode(".jpg", noise, [cv2.IMWRITE_JPEG_PROGRESSIVE, progressive])[1].tobytes()
    rows = (decode_picture(data[: int(0.985 * len(data))]) == decode_picture(data)).all(axis=(1, 2))
    assert not rows.all()
    if not progressive:
        assert rows[:430].all()
    for share in (0.2, 0.5, 0.7, *(() if progressive else (0.9,))):
        with pytest.raises(PictureError, match="truncated"):
            decode_picture(data[: int(share * len(data))])


def test_what_is_decoded_as_far_as_it_goes_costs_no_line_on_standard_error(capfd: pytest.CaptureFixture[str]) -> None:
    noise = cv2.resize(np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8), (640, 480))
    data = cv2.imencode(".jpg", noise)[1].tobytes()
    cv2.imdecode(np.frombuffer(data[: int(0.985 * len(data))] + b"\xff\xd9", np.uint8), cv2.IMREAD_COLOR)
    assert "Corrupt JPEG data" in capfd.readouterr().err  # or the test would say nothing
    decode_picture(data[: int(0.985 * len(data))])
    with pytest.raises(PictureError, match="truncated"):
        decode_picture(data[: len(data) // 2])
    with without_lines(re.compile(b"noise")):
        os.write(2, b"noise: 1\nanother thread's line\n")
    assert capfd.readouterr().err == "another thread's line\n"


def test_a_cut_jpeg_needs_no_temporary_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    data = saved(corners(), "JPEG")
    assert decode_picture(data[:-2]).shape == (32, 48, 3)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM"])
def test_other_pictures_cut_in_their_pixels_are_refused(kind: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    data = saved(Image.fromarray(noise), kind)
    for share in (0.3, 0.5, 0.7, 0.9):
        with pytest.raises(PictureError):
            decode_picture(data[: int(share * len(data))])


def test_a_jpeg_with_bytes_behind_its_end_is_whole() -> None:
    """Phones append a second picture or a short film."""
    data = saved(corners(), "JPEG")
    assert np.array_equal(decode_picture(data + bytes(999)), decode_picture(data))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["AVIF", "HEIF"])
def test_the_turns_of_avif_and_heic_are_made(kind: str, orientation: int) -> None:
    pytest.importorskip("pillow_heif").register_heif_opener()
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(corners(), kind, quality=95, exif=exif.tobytes())
    upright = ImageOps.exif_transpose(Image.open(BytesIO(data)))
    assert upright.size == ((48, 32) if orientation <= 4 else (32, 48))
    assert looks_like(decode_picture(data), upright, 25)


@pytest.mark.parametrize("brand", [b"heic", b"heix", b"mif1"])
def test_what_takes_a_package_that_is_not_there_is_named(brand: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.setitem(sys.modules, "pillow_jxl", None)
    with pytest.raises(PictureError, match="HEIC takes another package: pip install pillow-heif"):
        decode_picture(b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0mif1heic" + bytes(200))
    with pytest.raises(PictureError, match="JPEG XL takes another package: pip install pillow-jxl-plugin"):
        decode_picture(b"\xff\x0a" + bytes(200))


@pytest.mark.parametrize("kind", ["JPEG", "MPO", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM", "JPEG2000", "AVIF"])
def test_the_header_says_how_large_a_picture_is(kind: str) -> None:
    header = read_header(saved(corners(), kind))
    assert header is not None
    assert (header.width, header.height, header.deep) == (48, 32, False)


def test_a_picture_too_large_for_memory_is_refused_before_it_is_decoded() -> None:
    data = cv2.imencode(".png", np.zeros((30, 40, 3), np.uint8))[1].tobytes()
    huge = data[:16] + (20000).to_bytes(4) * 2 + data[24:]
    with pytest.raises(PictureError, match="20000x20000 pixels are more than"):
        decode_picture(huge)


def test_a_jpeg_too_large_for_memory_is_decoded_at_a_part_of_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_core.images.MAX_PIXELS", 400)
    assert decode_picture(saved(corners(), "JPEG")).shape == (16, 24, 3)


@pytest.mark.parametrize("data", [b"", b"\n", b"a shopping list\n" * 99, b"%PDF-1.7\n", b"<svg/>", b"\xff\xd8\xff"])
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    with pytest.raises(PictureError):
        decode_picture(data)


@given(st.binary())
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    with pytest.raises(PictureError):
        decode_picture(data)


@given(st.sampled_from(["JPEG", "PNG", "GIF", "BMP"]), st.integers(0), st.binary(min_size=1, max_size=8))
def test_a_damaged_picture_is_decoded_or_refused(kind: str, place: int, damage: bytes) -> None:
    data = saved(corners(), kind)
    place %= len(data)
    try:
        frame = decode_picture(data[:place] + damage + data[place + len(damage) :])
    except PictureError:
        return
    assert frame.dtype == np.uint8
    assert frame.ndim == 3
    assert frame.shape[2] == 3


def test_more_pixels_than_opencv_takes_are_refused() -> None:
    header = b"P6 100000 100000 255\n"
    with pytest.raises(PictureError):
        decode_picture(header + bytes(99))


def test_an_error_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "list.jpg").write_text("milk\neggs\n")
    for name in ("empty.jpg", "list.jpg", "missing.jpg", "."):
        with pytest.raises(PictureError) as caught:
            read_picture(tmp_path / name)
        assert str(caught.value).startswith(f"{tmp_path / name}: ")


def test_a_name_need_not_be_ascii(tmp_path: Path) -> None:
    path = tmp_path / "Ökötörvény 写真.png"
    path.write_bytes(saved(corners(), "PNG"))
    assert looks_like(read_picture(path), corners())


@pytest.mark.parametrize(
    ("covering", "shape"),
    [(None, (480, 640)), (481, (480, 640)), (241, (480, 640)), (240, (240, 320)), (61, (120, 160)), (1, (60, 80))],
)
def test_a_jpeg_is_decoded_no_smaller_than_it_has_to_cover(covering: int | None, shape: tuple[int, int]) -> None:
    picture = cv2.resize(np.random.default_rng(0).integers(0, 256, (6, 8, 3)).astype(np.uint8), (640, 480))
    for progressive in (0, 1):
        data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_PROGRESSIVE, progressive])[1].tobytes()
        assert decode_picture(data, covering).shape == (*shape, 3)
    assert decode_picture(cv2.imencode(".png", picture)[1].tobytes(), covering).shape == (480, 640, 3)


def test_a_length_within_a_deep_picture_asks_for_no_memory_beyond_the_file() -> None:
    whole = cv2.imencode(".png", np.arange(300, dtype=np.uint16).reshape(10, 10, 3))[1].tobytes()
    assert deep_levels(whole) == (0, 299)
    length = whole.index(b"IDAT") - 4
    for look in (decode_picture, deep_levels):
        with pytest.raises(PictureError, match="truncated or damaged"):
            look(whole[:length] + b"\x7f\xff\xff\xf0" + whole[length + 4 :])


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
@pytest.mark.parametrize("orientation", [1, 6])
def test_levels_of_32_bits_take_a_range_and_nothing_is_guessed_without(dtype: type, orientation: int) -> None:
    ramp: cv2.typing.MatLike = np.tile(np.arange(100), (40, 1)).astype(dtype)
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(Image.fromarray(ramp), "TIFF", exif=exif)
    with pytest.raises(PictureError, match="more than 16 bits"):
        decode_picture(data)
    frame, own = decode_picture(data, levels=(0, 51)), decode_picture(data, levels="own")
    assert frame.shape == own.shape == ((40, 100, 3) if orientation == 1 else (100, 40, 3))
    line, whole = (picture[0] if orientation == 1 else picture[:, 0] for picture in (frame, own))
    assert line[:, 0].tolist() == [min(255, 5 * level) for level in range(100)]
    assert (whole[0, 0], whole[99, 0]) == (0, 255)


@pytest.mark.parametrize(
    "data",
    [
        b"\0\0\0\x18ftypcrx \0\0\0\1crx isom" + bytes(99),
        b"II*\0\x10\0\0\0CR\2\0" + bytes(99),
        b"FUJIFILMCCD-RAW 0201" + bytes(99),
        "thumbnail",
        "DNG",
    ],
)
def test_a_raw_photo_is_told_as_one_and_its_thumbnail_not_taken_for_it(data: bytes | str) -> None:
    if isinstance(data, str):
        tags = TiffImagePlugin.ImageFileDirectory_v2()
        tags[254 if data == "thumbnail" else 50706] = 1 if data == "thumbnail" else b"\1\4\0\0"
        data = saved(corners(), "TIFF", tiffinfo=tags)
    with pytest.raises(PictureError, match="raw photo; save it as JPEG"):
        decode_picture(data)


def test_a_jpeg_of_which_a_disk_has_zeros_instead_of_its_end_is_cut() -> None:
    noise = np.random.default_rng(1).integers(0, 255, (60, 80, 3), np.uint8)
    data = saved(Image.fromarray(cv2.resize(noise, (800, 600))), "JPEG")
    with pytest.raises(PictureError, match="truncated"):
        decode_picture(data[: len(data) // 2] + bytes(len(data) // 2))
    almost = decode_picture(data[:-40] + bytes(4096))
    assert np.abs(almost[:500].astype(int) - decode_picture(data)[:500]).max() == 0


def test_zeros_in_the_middle_of_a_cut_jpeg_are_passed_in_one_go() -> None:
    data = saved(Image.effect_noise((640, 480), 99), "JPEG")
    damaged = data[: len(data) // 2] + bytes(150_000) + data[len(data) // 2 : -9]
    start = time.monotonic()
    assert is_cut(damaged)
    assert decode_picture(damaged).shape == (480, 640, 3)
    assert time.monotonic() - start < 10  # it took a minute, and four times that for twice as many


def test_a_cut_heic_is_told_without_an_address_of_an_object() -> None:
    pytest.importorskip("pillow_heif").register_heif_opener()
    data = saved(corners(), "HEIF")
    with pytest.raises(PictureError, match=r"truncated or damaged$"):
        decode_picture(data[: len(data) * 2 // 3])

import hashlib
import json
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_core.errors import InputSpecError
from edge_core.preprocess import MAX_SIDE, PAD_LEVEL, ColorOrder, Crop, Frame, InputSpec, parse_levels, preprocess

crops = st.sampled_from(get_args(Crop))
specs = st.builds(
    InputSpec, st.integers(1, 300), st.integers(1, 300), crops, st.sampled_from(get_args(ColorOrder))
)  # fmt: skip
square_specs = st.integers(1, 300).flatmap(lambda side: st.builds(InputSpec, st.just(side), st.just(side), crops))
sides = st.integers(1, 700)


def noise(height: int, width: int, seed: int = 0) -> Frame:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


frames = st.builds(noise, sides, sides, st.integers(0, 9))


def scene(height: int, width: int) -> Frame:
    """Half smooth, half hash noise, made of whole numbers alone so that it is the same everywhere."""
    y, x, channel = np.ogrid[:height, :width, :3]
    mixed = (x * 374761393 + y * 668265263 + channel * 144269504) & 0xFFFFFFFF
    mixed = ((mixed ^ (mixed >> 13)) * 1274126177) & 0xFFFFFFFF
    smooth = x * 255 // width if width > height else y * 255 // height
    levels: Frame = (((mixed >> 24) + smooth + 40 * channel) // 2).clip(0, 255).astype(np.uint8)
    return levels


@given(frames, specs)
def test_any_frame_and_any_specification_give_uint8_of_the_specified_shape(frame: Frame, spec: InputSpec) -> None:
    before = frame.copy()
    pixels = preprocess(frame, spec)
    assert pixels.dtype == np.uint8
    assert pixels.shape == spec.shape == (spec.height, spec.width, 3)
    assert np.array_equal(frame, before)


@given(frames, specs)
def test_out_is_written_in_place_with_the_same_bytes(frame: Frame, spec: InputSpec) -> None:
    tensor = np.full((1, *spec.shape), 99, np.uint8)
    out = tensor[0]
    assert preprocess(frame, spec, out=out) is out
    assert np.array_equal(tensor[0], preprocess(frame, spec))


@given(frames, specs)
def test_the_memory_layout_of_a_frame_does_not_matter(frame: Frame, spec: InputSpec) -> None:
    view = frame[::-1, ::-1]
    assert np.array_equal(preprocess(view, spec), preprocess(np.ascontiguousarray(view), spec))


@given(sides, sides, specs, st.tuples(*[st.integers(0, 255)] * 3))
def test_a_frame_of_one_color_stays_of_one_color(
    height: int, width: int, spec: InputSpec, color: tuple[int, int, int]
) -> None:
    pixels = preprocess(np.full((height, width, 3), color, np.uint8), spec).reshape(-1, 3)
    wanted = np.array(color if spec.color_order == "BGR" else color[::-1])
    is_color = (pixels == wanted).all(axis=1)
    assert is_color.any()
    assert (is_color | ((pixels == PAD_LEVEL).all(axis=1) & (spec.crop == "pad"))).all()


@given(frames, specs)
def test_the_color_order_only_reverses_the_channels(frame: Frame, spec: InputSpec) -> None:
    other = InputSpec(spec.width, spec.height, spec.crop, "BGR" if spec.color_order == "RGB" else "RGB")
    assert np.array_equal(preprocess(frame, spec), preprocess(frame, other)[:, :, ::-1])


@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 3), crops)
def test_mirroring_before_is_mirroring_after_where_only_halving_is_needed(
    height: int, width: int, halvings: int, crop: Crop
) -> None:
    frame, spec = noise(height << halvings, width << halvings), InputSpec(width, height, crop)
    for mirrored in (np.s_[::-1], np.s_[:, ::-1]):
        assert np.array_equal(preprocess(frame[mirrored], spec), preprocess(frame, spec)[mirrored])


@given(st.integers(1, 40), st.integers(1, 40))
def test_halving_is_the_rounded_mean_of_four_pixels(height: int, width: int) -> None:
    frame = noise(2 * height, 2 * width)
    mean = frame.reshape(height, 2, width, 2, 3).astype(int).sum(axis=(1, 3))
    assert np.array_equal(preprocess(frame, InputSpec(width, height, "stretch", "BGR")), (mean + 2) // 4)


@given(frames)
def test_a_frame_of_the_right_size_is_only_reordered(frame: Frame) -> None:
    for crop in get_args(Crop):
        spec = InputSpec(frame.shape[1], frame.shape[0], crop)
        assert np.array_equal(preprocess(frame, spec), frame[:, :, ::-1])


@given(frames, st.integers(1, 300))
def test_center_sees_the_centered_square_and_nothing_else(frame: Frame, side: int) -> None:
    length = min(frame.shape[:2])
    top, left = (frame.shape[0] - length) // 2, (frame.shape[1] - length) // 2
    window = frame[top : top + length, left : left + length]
    spec = InputSpec(side, side)
    assert np.array_equal(preprocess(frame, spec), preprocess(window, spec))
    assert np.array_equal(preprocess(frame, spec), preprocess(window, InputSpec(side, side, "stretch")))


@given(frames, square_specs)
def test_a_square_frame_looks_the_same_under_every_crop(frame: Frame, spec: InputSpec) -> None:
    length = min(frame.shape[:2])
    square = frame[:length, :length]
    stretched = preprocess(square, InputSpec(spec.width, spec.height, "stretch"))
    assert np.array_equal(preprocess(square, spec), stretched)


@pytest.mark.parametrize(("height", "width", "inner"), [(100, 200, np.s_[8:24]), (200, 100, np.s_[:, 8:24])])
def test_pad_puts_the_whole_frame_in_the_middle_of_gray(height: int, width: int, inner: slice) -> None:
    pixels = preprocess(np.full((height, width, 3), 255, np.uint8), InputSpec(32, 32, "pad"))
    gray = np.ones((32, 32, 3), bool)
    gray[inner] = False
    assert (pixels[gray] == PAD_LEVEL).all()
    assert (pixels[~gray] == 255).all()


GOLDEN = {
    (1280, 720): {
        "center": "b73a3f8227ca251a5ade07c176d8f49c6c72fb8d037573cc8e38326812f59451",
        "stretch": "a2d19f63b9f64859118baaccfb5b54f6c9b0f19145dd5d72a600fa0e90c4bbc3",
        "pad": "cbb569492849027863fb5dd5bf4eb4314000f047f47e1d89f174505fef1faa27",
    },
    (640, 480): {
        "center": "98ff91b3b8b4459fca416be6308f4932453367a001191f513779315bec9fb8f4",
        "stretch": "3c5cd973c06f91d34a19e9676d3b2c5624b791faf349466e7360fa02d0376c2a",
        "pad": "81056c954de53d26c68f5d9540d461faef1fcc52f1835cd1cb2d7418d76f86f8",
    },
    (500, 333): {
        "center": "5f16d24feacc16099e3ea19e00267b1076e4afea5d7f373f2d5f6bdca9c34280",
        "stretch": "bc3d2f33df9528ac68f5ed14e2245c0745661a6b32478c96befa87530ee55369",
        "pad": "a1d9644f544df62fff2700774d218a14a85cbcc1989037af63aea559ec2fc84a",
    },
    (1920, 1080): {
        "center": "3c48338ef8f89e98a993d1990e18453ec4d5b56795df9520fffe8bddceb75d8a",
        "stretch": "ff85c4c956805891795495d9e87a65a4e4a9c6cf0ba67b7256f13897e2149773",
        "pad": "0eaf319067973f546a38e361895aa97e684c167a1504105e77d4449893a6a4d6",
    },
    (321, 240): {
        "center": "6a0d3b657185f95a1925b8e8f5e4e4a13b537b7cb645e8070af71642ef0262e8",
        "stretch": "61c99c2e6af69402015f4ea37e04d1dce4f6742ef56306a4ab7bb28cbe487d1f",
        "pad": "638b77756e7674557a7d9da64487577408cf87ed926ec9cd7d3bb9b5da300e5a",
    },
    (4056, 3040): {
        "center": "1c92194a96a3923d1a05fe7f5bbcd9f40d2aeb799a1f2b6b8ce7efaa3d68a5e9",
        "stretch": "f0ac2d6eef3247087d1a3020c23ba014b2f1d2c5dc0a64257d3fecb2c3d89342",
        "pad": "e3dbf383f9be595c5b7fbc90c8fec6dd8fe041b6144af9d846f57de60f8cc535",
    },
}


@pytest.mark.parametrize(("width", "height"), GOLDEN)
def test_the_bytes_are_the_same_on_every_machine_and_in_every_version(width: int, height: int) -> None:
    """A changed byte makes a model see other pixels than it was trained on: `resampling` needs a new name then."""
    frame = scene(height, width)
    digests = {}
    for crop in get_args(Crop):
        pixels = [preprocess(frame, InputSpec(side, side, crop)).tobytes() for side in (160, 224, 96)]
        digests[crop] = hashlib.sha256(b"".join(pixels)).hexdigest()
    assert digests == GOLDEN[width, height]


@pytest.mark.parametrize(
    "frame",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
        [[[0, 0, 0]]],
        None,
    ],
)
def test_what_is_no_frame_is_refused(frame: object) -> None:
    with pytest.raises(ValueError, match="frame"):
        preprocess(frame, InputSpec())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "out", [np.empty((8, 9, 3), np.uint8), np.empty((8, 8, 3), np.float32), np.empty((8, 16, 3), np.uint8)[:, ::2]]
)
def test_an_unfit_out_is_refused(out: Frame) -> None:
    with pytest.raises(ValueError, match="out must be"):
        preprocess(noise(9, 9), InputSpec(8, 8), out=out)


def test_by_default_a_model_sees_the_centered_square_in_160_by_160_pixels() -> None:
    frame = scene(240, 320)
    assert np.array_equal(preprocess(frame, InputSpec()), preprocess(frame, InputSpec(160, 160, "center", "RGB")))


@given(specs)
def test_a_specification_survives_json(spec: InputSpec) -> None:
    assert InputSpec.from_json(spec.to_json()) == spec


@pytest.mark.parametrize(
    "change",
    [
        {"width": 0},
        {"width": MAX_SIDE + 1},
        {"height": 160.0},
        {"height": True},
        {"crop": "middle"},
        {"crop": ["center"]},
        {"color_order": "rgb"},
        {"resampling": "area"},
        {"resampling": None},
        {"levels": 7300},
        {"levels": [7300]},
        {"levels": [7300, 8000, 8300]},
        {"levels": ["7300", "8300"]},
        {"levels": [False, 8300]},
        {"levels": [8300, 7300]},
        {"levels": [7300, 7300]},
        {"levels": [-1e9, 0]},
        {"levels": [0, 1e9]},
        {"newer": 1},
    ],
)
def test_a_specification_that_is_not_understood_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(InputSpecError):
        InputSpec.from_json(InputSpec().to_json() | change)


def test_levels_come_back_from_json_as_they_were_given() -> None:
    spec = InputSpec(levels=(7300, 8300))
    read = InputSpec.from_json(json.loads(json.dumps(spec.to_json())))
    assert read.levels == (7300.0, 8300.0)
    assert {read: "usable as a key"}[spec]
    assert parse_levels("-40..8300.5") == (-40.0, 8300.5)


@pytest.mark.parametrize("text", ["", "7300", "7300.8300", "8300..7300", "low..high"])
def test_a_range_of_levels_that_is_not_understood_is_refused(text: str) -> None:
    with pytest.raises(InputSpecError, match="levels"):
        parse_levels(text)


@pytest.mark.parametrize("turned", [False, True])
def test_a_side_that_is_not_halved_keeps_its_pixels_beside_one_that_is(turned: bool) -> None:
    line = np.arange(120, dtype=np.uint8).reshape(40, 3)
    stripes = np.broadcast_to(line, (128, 40, 3))
    spec = InputSpec(40, 32, crop="stretch")
    if turned:
        stripes, spec = stripes.transpose(1, 0, 2), InputSpec(32, 40, crop="stretch")
    made = preprocess(np.ascontiguousarray(stripes), spec)
    assert (made == (line[:, None, ::-1] if turned else line[None, :, ::-1])).all()

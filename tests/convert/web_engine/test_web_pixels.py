"""The JavaScript port of preprocessing gives the bytes of Python; each of its rounding rules, broken, is noticed."""

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import pytest

from edge_core.images import in_8_bits
from edge_core.preprocess import InputSpec, preprocess

from .node_engine import ENGINE, NodeEngine, Refused
from .pixel_cases import PixelCase, edge_cases, random_cases, write_frames


@dataclass(frozen=True)
class Broken:
    """A rule of the port, broken.

    Attributes:
        rule: Name of the rule as its module gives it.
        code: Code that keeps it, there once.
        instead: Code that does not.
    """

    rule: str
    code: str
    instead: str


BROKEN: Final = (
    Broken("R1 down", "top = (window.height - height) >> 1", "top = (window.height - height + 1) >> 1"),
    Broken("R1 across", "left = (window.width - width) >> 1", "left = (window.width - width + 1) >> 1"),
    Broken("R2 width", "Math.floor((height * shape.width)", "Math.ceil((height * shape.width)"),
    Broken("R2 height", "Math.floor((width * shape.height)", "Math.round((width * shape.height)"),
    Broken("R2 one pixel wide", "[Math.max(1, Math.floor((height", "[Math.max(2, Math.floor((height"),
    Broken("R2 one pixel high", "[width, Math.max(1,", "[width, Math.max(2,"),
    Broken("R3 as often as", "(count + 1) >= goal", "(count + 1) > goal"),
    Broken("R3 cut across", "(source.width >> across) << across", "source.width"),
    Broken("R3 cut down", "(source.height >> down) << down", "source.height"),
    Broken("R4 cut off", "+ step] + 2) >> 2", "+ step] + 1) >> 2"),
    Broken("R4 too high", "+ step] + 2) >> 2", "+ step] + 3) >> 2"),
    Broken("R5 up", "(sum + ((sum >> 1) & 1)) >> 1", "(sum + 1) >> 1"),
    Broken("R5 down", "(sum + ((sum >> 1) & 1)) >> 1", "sum >> 1"),
    Broken("R6 scale", "1 / (goal / length)", "length / goal"),
    Broken("R6 middle", "scale * (index + 0.5) - 0.5", "scale * index"),
    Broken("R6 ties up", "rest === 0.5 && floor % 2 === 1", "rest === 0.5"),
    Broken("R6 ties down", " || (rest === 0.5 && floor % 2 === 1)", ""),
    Broken("R6 the other weight", "data[left] * (256 - weight)", "data[left] * (255 - weight)"),
    Broken("R7 first", "if (floor < 0) continue;", "if (floor < 0) { weights[index] = 128; continue; }"),
    Broken("R7 last across", "places[column] < width - 1 ? left + step : left", "left + step"),
    Broken("R7 last down", "Math.min(first + 1, source.height - 1)", "first + 1"),
    Broken("R8 row", "out[to++] = data[left + 1] * (256 - weight) + data[right + 1] * weight;",
           "out[to++] = (data[left + 1] * (256 - weight) + data[right + 1] * weight + 128) & 0xff00;"),
    Broken("R8 cut off", "+ 32768) >> 16", ") >> 16"),
    Broken("R8 ties down", "+ 32768) >> 16", "+ 32767) >> 16"),
    Broken("gray", "PAD_LEVEL = 127", "PAD_LEVEL = 128"),
    Broken("order", 'order === "RGB" ? [0, 2]', 'order === "RGB" ? [2, 0]'),
)  # fmt: skip
"""Of `preprocess.js`."""


@pytest.fixture(scope="module")
def cases() -> list[PixelCase]:
    return [*edge_cases(), *random_cases(100, seed=1, longest=120)]


@pytest.fixture(scope="module")
def told(cases: Sequence[PixelCase], tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """What the engine is told of the cases."""
    path = tmp_path_factory.mktemp("frames") / "frames"
    return {"path": path, "cases": write_frames(cases, path)}


@pytest.fixture(scope="module")
def digests(cases: Sequence[PixelCase]) -> list[str]:
    """What Python makes of them."""
    return [case.digest for case in cases]


def test_javascript_gives_the_pixels_of_python(
    engine: NodeEngine, told: dict[str, object], cases: Sequence[PixelCase], digests: Sequence[str]
) -> None:
    found = engine.ask("pixels", **told)
    assert len(found) == len(digests)
    assert [case.to_json() for case, one, other in zip(cases, found, digests, strict=True) if one != other] == []


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.rule)
def test_a_broken_rule_is_noticed(
    engine: NodeEngine, told: dict[str, object], digests: Sequence[str], broken: Broken, tmp_path: Path
) -> None:
    copy = _with_broken("preprocess.js", broken, tmp_path)
    assert engine.ask("pixels", **told, engine=copy) != digests
    assert engine.ask("hasPixelsOfPython", engine=copy) is False, "the self-test of a page"


def test_the_self_test_knows_the_pixels_that_python_makes_of_what_it_makes_up(engine: NodeEngine) -> None:
    told = engine.ask("madeUpFrames")
    pixels = b""
    for one in told["frames"]:
        rgba = np.array(one["data"], np.uint8).reshape(one["height"], one["width"], 4)
        pixels += preprocess(np.ascontiguousarray(rgba[:, :, 2::-1]), InputSpec.from_json(one["spec"])).tobytes()
    assert told["pixels"] == hashlib.sha256(pixels).hexdigest()
    assert engine.ask("hasPixelsOfPython") is True


def _with_broken(module: str, broken: Broken, folder: Path) -> Path:
    """A copy of the engine with a rule broken."""
    copy = folder / "engine"
    shutil.copytree(ENGINE, copy)
    code = (copy / module).read_text()
    assert code.count(broken.code) == 1, f"{broken.code!r} is {code.count(broken.code)} times in {module}"
    (copy / module).write_text(code.replace(broken.code, broken.instead))
    return copy


LEVELS: Final = ("nan", "inf", "-inf", 0, 1, 7299, 7300, 7301, 7300.5, 7305.882, 8300, 8301, 65535, 7301.9607843137255)


@pytest.mark.parametrize("levels", [(7300, 8300), (0, 510), (0.1, 0.7), (-20.0, 65535.0)])
def test_deep_levels_are_brought_to_eight_bits_as_in_python(engine: NodeEngine, levels: tuple[float, float]) -> None:
    values = [float(one) for one in LEVELS] + np.linspace(*levels, 511).tolist()  # ties among them
    wanted = in_8_bits(np.array(values, np.float32), levels)
    assert (
        engine.ask(
            "levels", kind="float32", values=[repr(one).replace("inf", "Infinity") for one in values], levels=levels
        )
        == wanted.tolist()
    )


@pytest.mark.parametrize(("width", "height"), [(64, 48), (33, 17), (2, 2)])
@pytest.mark.parametrize("planes", [3, 2])
def test_a_video_frame_gets_the_colors_of_opencv(
    engine: NodeEngine, width: int, height: int, planes: int, tmp_path: Path
) -> None:
    """OpenCV takes even sides alone, so an odd frame is cut out of an even one."""
    rng = np.random.default_rng(width * planes)
    wide, high = width + width % 2, height + height % 2
    planar = rng.integers(0, 256, (high * 3 // 2, wide), np.uint8)
    conversion = cv2.COLOR_YUV2RGBA_I420 if planes == 3 else cv2.COLOR_YUV2RGBA_NV12
    wanted = cv2.cvtColor(planar, conversion)[:height, :width]
    path = tmp_path / "planes"
    path.write_bytes(planar.tobytes())
    size, half = wide * high, wide // 2
    chroma = [(size, half), (size + size // 4, half)] if planes == 3 else [(size, wide)]
    places = [{"offset": offset, "stride": stride} for offset, stride in [(0, wide), *chroma]]
    picture = {"planes": places, "width": width, "height": height, "full": False}
    assert engine.ask("yuv", path=path, picture=picture) == hashlib.sha256(wanted.tobytes()).hexdigest()


def test_a_frame_with_black_at_zero_gets_the_colors_of_jfif(engine: NodeEngine, tmp_path: Path) -> None:
    """Against the standard's own factors in double precision; of fixed point, a tie may fall on the other side."""
    side = 256
    planar = np.random.default_rng(6).integers(0, 256, (side * 3 // 2, side), np.uint8)
    path = tmp_path / "planes"
    path.write_bytes(planar.tobytes())
    y = planar[:side].astype(float)
    u, v = (
        plane.reshape(side // 2, side // 2).repeat(2, 0).repeat(2, 1) - 128.0
        for plane in np.split(planar[side:].ravel(), 2)
    )
    rgb = np.dstack([y + 1.402 * v, y - 0.344136 * u - 0.714136 * v, y + 1.772 * u])
    wanted = np.floor(np.clip(rgb, 0, 255) + 0.5).astype(np.uint8)
    size = side * side
    places = [{"offset": at, "stride": wide} for at, wide in ((0, side), (size, side // 2), (size * 5 // 4, side // 2))]
    picture = {"planes": places, "width": side, "height": side, "full": True}
    found = np.array(engine.ask("yuvLevels", path=path, picture=picture), np.uint8).reshape(side, side, 4)
    apart = np.abs(found[..., :3].astype(int) - wanted)
    assert apart.max() <= 1
    assert np.count_nonzero(apart) < 0.005 * apart.size


YUV_BROKEN: Final = (
    Broken("luma", "luma: 1220542", "luma: 1220541"),
    Broken("red", "redV: 1673527", "redV: 1673526"),
    Broken("green of U", "greenU: -409993", "greenU: -409994"),
    Broken("green of V", "greenV: -852492", "greenV: -852491"),
    Broken("blue", "blueU: 2116026", "blueU: 2116027"),
    Broken("black", "black: 16", "black: 15"),
    Broken("below black", "Math.max(0, bytes[at] - black)", "(bytes[at] - black)"),
    Broken("half", "HALF = 1 << 19", "HALF = (1 << 19) - 1"),
    Broken("chroma", "(row >> 1) * u.stride", "((row + 1) >> 1) * u.stride"),
)
"""Of `frames.js`."""


@pytest.fixture(scope="module")
def every_color(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, object], str]:
    """A frame of 512 x 512 random samples, and what OpenCV makes of it."""
    side = 512
    planar = np.random.default_rng(5).integers(0, 256, (side * 3 // 2, side), np.uint8)
    path = tmp_path_factory.mktemp("planes") / "planes"
    path.write_bytes(planar.tobytes())
    size = side * side
    places = [{"offset": at, "stride": wide} for at, wide in ((0, side), (size, side // 2), (size * 5 // 4, side // 2))]
    picture = {"planes": places, "width": side, "height": side, "full": False}
    wanted = cv2.cvtColor(planar, cv2.COLOR_YUV2RGBA_I420)
    return {"path": path, "picture": picture}, hashlib.sha256(wanted.tobytes()).hexdigest()


def test_a_camera_is_of_full_range_once_its_luma_has_shown_it(engine: NodeEngine) -> None:
    rng = np.random.default_rng(2)
    gray, video, full = (rng.integers(low, high, (70, 140)) for low, high in ((90, 120), (16, 236), (0, 256)))
    overshooting = np.where(rng.random(video.shape) < 0.004, 250, video)
    frames = [gray, video, overshooting, full, gray]
    assert engine.ask("range", frames=[one.tolist() for one in frames]) == [False, False, False, True, True]


@pytest.mark.parametrize("broken", YUV_BROKEN, ids=lambda broken: broken.rule)
def test_a_broken_color_is_noticed(
    engine: NodeEngine, every_color: tuple[dict[str, object], str], broken: Broken, tmp_path: Path
) -> None:
    asked, wanted = every_color
    assert engine.ask("yuv", **asked) == wanted
    copy = _with_broken("frames.js", broken, tmp_path)
    assert engine.ask("yuv", **asked, engine=copy) != wanted
    assert engine.ask("hasColorsOfVideo") is True
    assert engine.ask("hasColorsOfVideo", engine=copy) is False


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("quarters", range(4))
def test_a_frame_is_turned_clockwise_and_then_mirrored(engine: NodeEngine, quarters: int, flip: bool) -> None:
    frame = np.random.default_rng(1).integers(0, 256, (3, 5, 4), np.uint8)
    wanted = np.rot90(frame, -quarters)[:, :: -1 if flip else 1]
    told = {"width": 5, "height": 3, "data": frame.ravel().tolist()}
    found = engine.ask("turned", frame=told, quarters=quarters, flip=flip)
    assert (found["height"], found["width"]) == wanted.shape[:2]
    assert found["data"] == wanted.ravel().tolist()


def test_what_the_engine_refuses_it_says_in_a_line(engine: NodeEngine, tmp_path: Path) -> None:
    path = tmp_path / "frame"
    path.write_bytes(bytes(10))
    spec = json.loads(json.dumps({"width": 2, "height": 2, "crop": "center", "color_order": "RGB"}))
    with pytest.raises(Refused, match=r"^a frame has width x height x 3 or 4 bytes, not 10 for 2 x 2$"):
        engine.ask("pixels", path=path, cases=[{"width": 2, "height": 2, "step": 3, "spec": spec}])

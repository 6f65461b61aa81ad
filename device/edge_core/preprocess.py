"""From a camera frame to what the model sees: the one function that training, conversion and device all call.

The shrink is repeated halving by area, then `INTER_LINEAR_EXACT`: of OpenCV's resamplings the ones that gave the same
bytes on x86-64 and on arm64 at every size tried, without aliasing, and 0.3 ms for 1280x720 to 160x160 on one thread
(`INTER_AREA` in one step takes 2 ms and differs by a level between the two). The window is cut so that every halving
comes out even.
"""

from dataclasses import asdict, dataclass
from typing import Final, Literal, Self, get_args

import cv2
import numpy as np
import numpy.typing as npt

from edge_core.codec import JsonObject
from edge_core.errors import InputSpecError

Frame = npt.NDArray[np.uint8]
"""A decoded picture, shape (height, width, 3), dtype uint8, in OpenCV's B, G, R order."""

Crop = Literal["center", "stretch", "pad"]
ColorOrder = Literal["RGB", "BGR"]
Resampling = Literal["halve-linear-exact"]

PAD_LEVEL: Final = 127
"""Gray level beside a padded picture: the zero of a model that takes -1..1, so the border adds nothing."""

MAX_SIDE: Final = 4096


@dataclass(frozen=True)
class InputSpec:
    """What a model expects of its input; recorded in the model card and read back on the device.

    Attributes:
        width, height: Size of the model's input in pixels.
        crop: `center` cuts the largest centered window of the input's shape, `stretch` uses the whole frame at the
            price of its proportions, `pad` uses the whole frame and fills the rest with gray.
        color_order: Order of the channels that the model takes.
        resampling: Name of the method by which this module shrinks frames. Another method would get another name.
        levels: Linear range of pictures with more than 8 bits a level, such as thermal ones: the level that becomes
            0 and the one that becomes 255; `images.decode_picture` applies it. None: all 16 bits are brought to 8.
    """

    width: int = 160
    height: int = 160
    crop: Crop = "center"
    color_order: ColorOrder = "RGB"
    resampling: Resampling = "halve-linear-exact"
    levels: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        for name, side in (("width", self.width), ("height", self.height)):
            if type(side) is not int or not 1 <= side <= MAX_SIDE:
                raise InputSpecError(f"input {name} must be a whole number from 1 to {MAX_SIDE}, not {side!r}")
        for name, value, known in (
            ("crop", self.crop, get_args(Crop)),
            ("color_order", self.color_order, get_args(ColorOrder)),
            ("resampling", self.resampling, get_args(Resampling)),
        ):
            if value not in known:
                raise InputSpecError(f"input {name} must be one of {', '.join(known)}, not {value!r}")
        if self.levels is not None:
            object.__setattr__(self, "levels", _checked_levels(self.levels))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of what `preprocess` returns: (height, width, 3)."""
        return (self.height, self.width, 3)

    def to_json(self) -> JsonObject:
        """The fields; without `levels` where there are none, as before there were any."""
        fields = asdict(self)
        if self.levels is None:
            del fields["levels"]
        return fields

    @classmethod
    def from_json(cls, fields: object) -> Self:
        """Reads what `to_json` wrote.

        Raises:
            InputSpecError: A field is missing, unknown or out of range.
        """
        # Cards that are older than `levels` lack it.
        if not isinstance(fields, dict) or {"levels": None, **fields}.keys() != cls.__dataclass_fields__.keys():
            raise InputSpecError(f"an input specification has the fields {', '.join(cls.__dataclass_fields__)}")
        return cls(**fields)


def parse_levels(text: str) -> tuple[float, float]:
    """Reads `7300..8300`.

    Raises:
        InputSpecError: It is not two numbers, the lower one first.
    """
    low, _, high = text.partition("..")
    try:
        return _checked_levels((float(low), float(high)))
    except ValueError:
        raise InputSpecError(f"levels are two numbers, the lower one first: 7300..8300, not {text!r}") from None


def _checked_levels(levels: object) -> tuple[float, float]:
    if not isinstance(levels, tuple | list) or len(levels) != 2 or not all(type(one) in (int, float) for one in levels):
        raise InputSpecError(f"input levels must be two numbers, not {levels!r}")
    low, high = map(float, levels)
    if not -1e9 < low < high < 1e9:
        raise InputSpecError(f"input levels must be two numbers, the lower one first, not {levels!r}")
    return low, high


def preprocess(frame: Frame, spec: InputSpec, out: Frame | None = None) -> Frame:
    """Makes of a decoded frame the pixels that the model takes.

    Args:
        frame: uint8, shape (height, width, 3), channels in B, G, R order as OpenCV decodes them; not changed.
        spec: What the model expects.
        out: Where to write, uint8, C-contiguous, shape `spec.shape`: the interpreter's input tensor, say.

    Returns:
        uint8, shape `spec.shape`, levels 0..255, in `spec.color_order`; `out` where it was given.

    Raises:
        ValueError: `frame` or `out` is not of the dtype and shape above.
    """
    _check_frame(frame)
    if out is None:
        out = np.empty(spec.shape, np.uint8)
    elif out.dtype != np.uint8 or out.shape != spec.shape or not out.flags.c_contiguous:
        raise ValueError(f"out must be a contiguous uint8 array of shape {spec.shape}, not {out.dtype} {out.shape}")

    target = (spec.height, spec.width)
    if spec.crop == "center":
        frame = _centered(frame, *_largest_inside(target, *frame.shape[:2]))
    window = out
    if spec.crop == "pad":
        inner = _largest_inside(frame.shape, *target)
        out[:] = PAD_LEVEL
        window = _centered(out, *inner)
        target = inner
    frame = _shrink(frame, target)
    # 3 us into a view of `out`; NumPy's reversed copy takes 70 us.
    conversion = _CONVERSIONS.get((spec.color_order, frame.shape[2]))
    if conversion is None:
        window[:] = frame
    else:
        cv2.cvtColor(frame, conversion, dst=window)
    return out


def _check_frame(frame: Frame) -> None:
    if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
        kind = f"{frame.dtype} {frame.shape}" if isinstance(frame, np.ndarray) else type(frame).__name__
        raise ValueError(f"a frame is a uint8 array of shape (height, width, 3), not {kind}")
    if 0 in frame.shape:
        raise ValueError(f"a frame has at least one pixel, not shape {frame.shape}")


_CONVERSIONS: Final = {
    ("RGB", 3): cv2.COLOR_BGR2RGB,
    ("RGB", 4): cv2.COLOR_BGRA2RGB,
    ("BGR", 4): cv2.COLOR_BGRA2BGR,
}
"""From what `_shrink` gives (channels) to the color order of a model, where they differ."""


def _largest_inside(shape: tuple[int, ...], height: int, width: int) -> tuple[int, int]:
    """The largest (height, width) with the proportions of `shape` that fits, in whole pixels, at least one each."""
    high, wide = max(1, width * shape[0] // shape[1]), max(1, height * shape[1] // shape[0])
    return min(height, high), min(width, wide)


def _centered(frame: Frame, height: int, width: int) -> Frame:
    top, left = (frame.shape[0] - height) // 2, (frame.shape[1] - width) // 2
    return frame[top : top + height, left : left + width]


def _shrink(frame: Frame, target: tuple[int, int]) -> Frame:
    """Resizes to `target` (height, width): each side is halved while it stays at least as long, the rest is linear.

    Channels B, G, R, and a fourth to be dropped where that was faster.
    """
    # INTER_LINEAR_EXACT looks at two pixels a side: where it shrinks to under half it skips pixels, and patterns arise.
    down, across = _halvings(frame.shape[0], target[0]), _halvings(frame.shape[1], target[1])
    # Of a side that is no multiple of 2^n the rest at both ends goes first: then each mean is of whole pixels, which is
    # integer arithmetic, the same on every processor.
    height, width = frame.shape[0] >> down << down, frame.shape[1] >> across << across
    frame = _centered(frame, height, width)
    for step in range(max(down, across)):
        # A side that has had all its halvings keeps its length: the comparison is 0 then.
        height, width = height >> (step < down), width >> (step < across)
        frame = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    if (height, width) == target:
        return frame
    # Four channels are vectorized, three are not: 0.075 ms against 0.094 from 180x180 to 160x160, the same bytes.
    frame = cv2.cvtColor(frame, cv2.COLOR_BGR2BGRA)  # type: ignore[assignment]
    return cv2.resize(frame, target[::-1], interpolation=cv2.INTER_LINEAR_EXACT)  # type: ignore[return-value]


def _halvings(length: int, goal: int) -> int:
    """How often `length` can be halved and stay at least `goal`."""
    # The bit length less one is the logarithm to base 2, rounded down.
    return max(0, (length // goal).bit_length() - 1)

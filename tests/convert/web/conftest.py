"""What the tests of the page for phones share: sealed files, the runtime, and sites of both."""

from collections.abc import Callable
from pathlib import Path

import pytest

from edge_convert.web.litert_js import LiteRtJs, find_litert_js
from edge_core import Frame, InputSpec, ModelCard, complete
from edge_core.errors import WeightsError
from edge_device.inference.verify import sealed

from ...conftest import LABELS, MODELS

SealedModel = Callable[..., Path]


@pytest.fixture(scope="session")
def sealed_model(color_frames: dict[str, Frame], tmp_path_factory: pytest.TempPathFactory) -> SealedModel:
    """Writes a sealed file that names the color of a picture: `sealed_model("colors")`, with other labels or signed, or
    one that takes levels of deep pictures."""

    def write(
        name: str = "colors",
        labels: tuple[str, ...] = LABELS,
        signer: object = None,
        levels: tuple[float, float] | None = None,
    ) -> Path:
        path = tmp_path_factory.mktemp("sealed") / f"{name}.tflite"
        model = (MODELS / "tiny-uint8.tflite").read_bytes()
        card = ModelCard(labels=labels, input=InputSpec(width=32, height=32, levels=levels))
        path.write_bytes(sealed(complete(model, card, name), color_frames.values(), signer))  # type: ignore[arg-type]
        return path

    return write


@pytest.fixture(scope="session")
def litert_js() -> LiteRtJs:
    """LiteRT.js from the cache or from npm; tests are skipped where neither has it."""
    try:
        return find_litert_js()
    except WeightsError as error:
        pytest.skip(f"LiteRT.js cannot be had ({str(error).partition(';')[0]}); `edge-convert web` fetches it once")


@pytest.fixture(scope="session")
def no_runtime() -> LiteRtJs:
    """In the place of LiteRT.js, for what is only written."""
    return LiteRtJs(b"export async function loadLiteRt() { return null; }\n", b"var ModuleFactory;\n", b"wasm")

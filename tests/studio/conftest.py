"""A studio in this process, behind its guard, and clients that are let in or not."""

import faulthandler
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("jinja2", reason="the extra [studio] is not installed")

from starlette.testclient import TestClient

from edge_studio import Project, Studio, StudioSettings
from edge_studio.studio_server import build_app, guarded

TOKEN = "a-token-of-the-tests"
ADDRESS = "http://127.0.0.1:8090"
OWN = {"authorization": f"Bearer {TOKEN}", "x-requested-by": "studio"}
"""What a page of the studio sends, with the token in place of its cookie."""


@pytest.fixture
def studio(tmp_path: Path) -> Studio:
    return Studio(StudioSettings(tmp_path / "projects", token=TOKEN, cache=tmp_path / "cache"))


@pytest.fixture
def stranger(studio: Studio) -> Iterator[TestClient]:
    """A client that knows no token, in front of everything that a request passes."""
    app = guarded(build_app(studio), TOKEN, frozenset({"localhost"}), 8090)
    with TestClient(app, base_url=ADDRESS) as client:
        yield client


@pytest.fixture
def client(stranger: TestClient) -> TestClient:
    """A client that is let in."""
    stranger.headers.update(OWN)
    return stranger


@pytest.fixture
def project(studio: Studio) -> Project:
    return studio.create("flowers")


@pytest.fixture
def patient() -> None:
    """For a test of many minutes: its own mark limits it, not the limit that all tests have together."""
    faulthandler.cancel_dump_traceback_later()


@pytest.fixture(scope="session")
def jpeg() -> Callable[..., bytes]:
    """The bytes of a JPEG of noise that no other seed gives: `jpeg(seed)`."""

    def make(seed: int = 0, width: int = 64, height: int = 48) -> bytes:
        pixels = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), np.uint8)
        return cv2.imencode(".jpg", cv2.resize(pixels, (width, height)))[1].tobytes()

    return make

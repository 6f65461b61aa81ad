"""The page for phones in Firefox: it proves the model, and sees with a camera and in pictures what the device sees."""

from collections.abc import Callable
from pathlib import Path

import cv2
import pytest

from edge_convert.web.litert_js import LiteRtJs
from edge_convert.web.phone_site import site_files
from edge_core import Frame
from edge_device.inference.classifier import Classifier

from ...firefox import Firefox

pytest.importorskip("starlette", reason="the extra [web] is not installed")
pytest.importorskip("uvicorn", reason="the extra [web] is not installed")

from .phone import opened, serving, watched

SealedModel = Callable[..., Path]

OPEN = """(async () => {
  const files = new DataTransfer(), input = document.querySelector("input[type=file]");
  files.items.add(new File([await (await fetch("green.png")).blob()], "green.png", { type: "image/png" }));
  window.seen = new Promise((resolve) =>
    document.addEventListener("classified", ({ detail }) => resolve([...detail.scores])));
  input.files = files.files;
  input.dispatchEvent(new Event("change"));
  return seen;
})()"""
"""Opens a picture as a person does who chooses one; gives the scores."""


@pytest.mark.slow
def test_firefox_proves_the_model_and_gives_the_scores_of_the_device(
    firefox: Firefox, sealed_model: SealedModel, litert_js: LiteRtJs, color_frames: dict[str, Frame]
) -> None:
    file = sealed_model()
    picture = cv2.imencode(".png", color_frames["green"])[1].tobytes()
    with serving({**site_files(file, litert_js).content, "green.png": picture}) as site:
        opened(firefox, site)
        assert firefox.ask(OPEN) == Classifier(file).scores(color_frames["green"])[0].tolist()
        assert len(watched(firefox, 2)) >= 2  # the colors of Firefox's fake camera change

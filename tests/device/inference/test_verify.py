"""`edge-run verify`: what it lets through, what it rejects, and at which stage."""

import json
import random
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from edge_core import Frame, InputSpec, ModelCard, complete
from edge_core.artifact.golden import (
    ACCELERATED,
    FLOAT,
    QUANTIZED,
    STEPS,
    GoldenVectors,
    Tolerance,
    read_golden,
    to_jpeg,
    tolerance_of,
)
from edge_core.artifact.seal import read_seal, seal
from edge_core.errors import CheckFailedError, EdgeError, KeyFileError, ModelFormatError, SealError
from edge_device.inference.classifier import Classifier
from edge_device.inference.interpreter import Interpreter, Scores
from edge_device.inference.verify import OTHER_KERNELS, record, replay, sealed, verify

if TYPE_CHECKING:
    from edge_convert.keys import PrivateKey

Command = Callable[..., subprocess.CompletedProcess[str]]
MODELS = Path(__file__).parents[2] / "models"
CLI = "edge_device.cli"
LABELS = ("red", "green", "blue", "dark")
CARD = ModelCard(labels=LABELS, input=InputSpec(32, 32))
kinds = pytest.mark.parametrize("kind", ["uint8", "float32"])


def artifact(kind: str = "uint8", card: ModelCard = CARD) -> bytes:
    return complete((MODELS / f"tiny-{kind}.tflite").read_bytes(), card, "tiny")


@pytest.fixture(scope="session")
def frames(color_frames: dict[str, Frame]) -> list[Frame]:
    """The four colors, of a size that has to be halved, cropped and resized; one side is darker, so that crops
    differ."""
    ramp = np.linspace(1, 0.3, 120)[None, :, None]
    return [(np.resize(frame, (90, 120, 3)) * ramp).astype(np.uint8) + np.uint8(2) for frame in color_frames.values()]


@pytest.fixture(scope="module")
def good(frames: list[Frame], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("good")
    for kind in ("uint8", "float32"):
        (folder / f"{kind}.tflite").write_bytes(sealed(artifact(kind), frames))
    return {kind: folder / f"{kind}.tflite" for kind in ("uint8", "float32")}


@pytest.fixture(scope="module")
def key() -> "PrivateKey":
    pytest.importorskip("cryptography")
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from edge_convert.keys import PrivateKey

    return PrivateKey(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))


@kinds
def test_what_was_sealed_here_passes_here(good: dict[str, Path], kind: str) -> None:
    found = verify(good[kind])
    assert found.passed
    assert found.replay is not None
    assert (found.replay.frames, found.replay.largest_difference) == (4, 0.0)
    assert found.replay.tolerance == (STEPS if kind == "uint8" else FLOAT.same_runtime)
    assert (found.signed_by, found.signature_checked) == (None, False)


def test_golden_vectors_are_what_the_classifier_says_of_the_frames(good: dict[str, Path]) -> None:
    golden = read_golden(good["uint8"])
    assert [LABELS[int(np.argmax(frame.scores))] for frame in golden.frames] == list(LABELS)
    assert golden.made_with["runtime"] == Classifier(good["uint8"]).runtime


def test_sealing_the_same_gives_the_same_bytes(good: dict[str, Path], frames: list[Frame]) -> None:
    assert sealed(artifact(), frames) == good["uint8"].read_bytes()


@kinds
def test_none_of_a_thousand_changed_bits_passes_or_reaches_the_interpreter(
    good: dict[str, Path], tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reached(*arguments: Any, **options: Any) -> None:
        raise AssertionError("a damaged model was handed to the interpreter")

    monkeypatch.setattr("edge_device.inference.verify.Classifier", reached)
    content, path = good[kind].read_bytes(), tmp_path / "flipped.tflite"
    for bit in random.Random(0).sample(range(8 * len(content)), 1000):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        try:
            assert verify(path).divergence is not None
        except EdgeError as error:
            assert str(path) in str(error)


def test_a_damaged_file_is_not_classified_with(good: dict[str, Path], tmp_path: Path) -> None:
    content = bytearray(good["uint8"].read_bytes())
    content[len(content) // 3] ^= 4
    (tmp_path / "damaged.tflite").write_bytes(content)
    with pytest.raises(SealError, match=r"damaged.tflite: damaged or changed.*copy the file again"):
        Classifier(tmp_path / "damaged.tflite")


def resealed(good: Path, to: Path, change: Callable[[GoldenVectors], GoldenVectors], card: ModelCard = CARD) -> Path:
    """The same model with other golden vectors or another card, under a seal that fits."""
    to.write_bytes(seal(artifact(card=card), change(read_golden(good))))
    return to


def other_scores(golden: GoldenVectors) -> GoldenVectors:
    first, *rest = golden.frames
    return replace(golden, frames=(replace(first, scores=(first.scores[0] - 0.1, *first.scores[1:])), *rest))


def other_picture(golden: GoldenVectors) -> GoldenVectors:
    """As if another JPEG decoder had recorded the last frame."""
    first, *rest = golden.frames
    return replace(golden, frames=(*rest, replace(first, decoded_sha256="0" * 64)))


def broken_picture(golden: GoldenVectors) -> GoldenVectors:
    return replace(golden, frames=tuple(replace(frame, jpeg=frame.jpeg[:100]) for frame in golden.frames))


def one_score_less(golden: GoldenVectors) -> GoldenVectors:
    return replace(golden, frames=tuple(replace(frame, scores=frame.scores[:3]) for frame in golden.frames))


def not_a_number(golden: GoldenVectors) -> GoldenVectors:
    return replace(golden, frames=tuple(replace(frame, scores=(float("nan"),) * 4) for frame in golden.frames))


STRETCHED = replace(CARD, input=InputSpec(32, 32, crop="stretch"))
SWAPPED = replace(CARD, input=InputSpec(32, 32, color_order="BGR"))


@pytest.mark.parametrize(
    ("change", "card", "stage", "reason"),
    [
        (other_scores, CARD, "invoke", r"'red' of golden/0.jpg scores 0\.984.*, 0\.884.* 0\.0078 may lie between them"),
        (one_score_less, CARD, "invoke", "4 scores of golden/0.jpg, 3 were recorded"),
        (not_a_number, CARD, "invoke", "nan"),
        (lambda golden: golden, STRETCHED, "preprocess", "pixels of golden/0.jpg have SHA-256"),
        (other_scores, SWAPPED, "preprocess", "pixels of golden/0.jpg"),
        (other_picture, CARD, "decode", r"golden/3\.jpg, 96x72, decodes to SHA-256 .* to 0000000000000000"),
        (lambda golden: other_picture(other_scores(golden)), STRETCHED, "decode", "golden/3.jpg"),
        (broken_picture, CARD, "decode", "truncated"),
    ],
    ids=["scores", "count", "NaN", "crop", "channels and scores", "picture", "everything", "broken picture"],
)
def test_the_first_stage_that_diverges_is_named(
    good: dict[str, Path], tmp_path: Path, change: Any, card: ModelCard, stage: str, reason: str
) -> None:
    divergence = verify(resealed(good["uint8"], tmp_path / "a.tflite", change, card)).divergence
    assert divergence is not None
    assert divergence.stage == stage
    assert re.search(reason, divergence.reason), divergence.reason


def test_the_code_that_preprocesses_here_is_what_is_tried(
    good: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    import edge_device.inference.verify
    from edge_core.preprocess import preprocess

    def one_level_off(frame: Frame, spec: InputSpec) -> Frame:
        pixels = preprocess(frame, spec)
        pixels[0, 0, 0] ^= 1
        return pixels

    monkeypatch.setattr(edge_device.inference.verify, "preprocess", one_level_off)
    divergence = verify(good["uint8"]).divergence
    assert divergence is not None
    assert divergence.stage == "preprocess"


def test_another_runtime_may_round_elsewhere(good: dict[str, Path]) -> None:
    classifier = Classifier(good["uint8"])
    golden = replace(other_scores(read_golden(good["uint8"])), tolerance=QUANTIZED)
    here = replay(classifier, golden)
    assert here.divergence is not None
    elsewhere = replay(classifier, replace(golden, made_with={**golden.made_with, "runtime": "tflite-runtime 2.14.0"}))
    assert elsewhere.divergence is None
    assert elsewhere.tolerance == QUANTIZED.other_runtime
    assert elsewhere.largest_difference == here.largest_difference == pytest.approx(0.1, abs=1e-6)
    assert golden.tolerance_on(f"ai-edge-litert 2.3.0 {ACCELERATED}") == QUANTIZED.other_runtime


@pytest.mark.parametrize(
    ("labels", "parent", "kernels"),
    [(4, None, OTHER_KERNELS), (3, None, OTHER_KERNELS[:1]), (4, Tolerance(1e-9, 0.3), OTHER_KERNELS[:1])],
    ids=["usual", "more labels than the reference kernels take", "taught"],
)
def test_reference_kernels_are_run_where_they_can_and_nothing_is_known_yet(
    frames: list[Frame],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    labels: int,
    parent: Tolerance | None,
    kernels: tuple[str, ...],
) -> None:
    ran: list[str] = []

    class Noted(Interpreter):
        def __init__(self, path: Path, **options: Any) -> None:
            ran.append(options["kernels"])
            super().__init__(path, **options)

    monkeypatch.setattr("edge_device.inference.verify.Interpreter", Noted)
    monkeypatch.setattr("edge_device.inference.verify.REFERENCE_LABELS", labels)
    (tmp_path / "a.tflite").write_bytes(sealed(artifact(), frames[:1], parent=parent))
    assert tuple(ran) == kernels
    found = read_golden(tmp_path / "a.tflite").tolerance
    assert found == (Tolerance(STEPS, 0.3) if parent else tolerance_of(0.0, signed=True))


class FurtherApart(Interpreter):
    """Kernels whose last score is 3/256 higher."""

    def scores(self, pixels: Frame) -> Scores:
        return super().scores(pixels) + np.array([0, 0, 0, 3 / 256], np.float32)


def test_by_how_much_is_measured_with_other_kernels_when_a_file_is_sealed(
    good: dict[str, Path], frames: list[Frame]
) -> None:
    golden = read_golden(good["uint8"])
    elsewhere = replace(golden, made_with={**golden.made_with, "runtime": "tflite-runtime 2.14.0"})
    others = [Interpreter(good["uint8"], kernels=kernels) for kernels in OTHER_KERNELS]
    for other in others:
        found = replay(Classifier(good["uint8"], runner=partial(lambda one, _: one, other)), elsewhere)
        assert (found.divergence, found.largest_difference) == (None, 0.0)
    assert golden.tolerance == tolerance_of(0.0, signed=True)
    others.append(FurtherApart(good["uint8"]))
    assert record(Classifier(good["uint8"]), frames, others).tolerance == tolerance_of(3 / 256, signed=True)


@pytest.mark.parametrize("runtime", ["ai-edge-litert 99.0", "tflite-runtime 2.14.0"])
def test_another_runtime_that_loses_the_last_bits_of_pixels_is_noticed(
    good: dict[str, Path], runtime: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = Classifier.pixel_scores
    monkeypatch.setattr(Classifier, "pixel_scores", lambda self, pixels: right(self, pixels & 0xE0))
    monkeypatch.setattr(Classifier, "runtime", runtime)
    found = verify(good["uint8"])
    assert found.divergence is not None and found.divergence.stage == "invoke"
    assert found.replay is not None and found.replay.largest_difference is not None
    assert found.replay.tolerance < found.replay.largest_difference < QUANTIZED.other_runtime


def test_a_file_gets_no_more_room_than_it_needs() -> None:
    assert tolerance_of(0.0, signed=True) == Tolerance(2 / 255, 2 / 255)
    assert tolerance_of(1.0, signed=True) == Tolerance(2 / 255, 40 / 255)
    assert tolerance_of(0.0, signed=False) == Tolerance(2 / 255, 2 / 255)
    assert tolerance_of(5 / 255, signed=False) == Tolerance(10 / 255, 10 / 255 + 2 / 255)


def test_a_verification_reads_as_json(good: dict[str, Path], tmp_path: Path) -> None:
    passed = verify(good["uint8"])
    assert passed.seal is not None and passed.golden is not None
    assert passed.to_json() == {
        "file": str(good["uint8"]),
        "passed": True,
        "stage": None,
        "reason": None,
        "digest": passed.seal.digest,
        "signed_by": None,
        "signature_checked": False,
        "runtime": Classifier(good["uint8"]).runtime,
        "made_with": dict(passed.golden.made_with),
        "frames": 4,
        "largest_difference": 0.0,
        "tolerance": STEPS,
    }
    other = verify(resealed(good["uint8"], tmp_path / "other.tflite", other_scores)).to_json()
    assert (other["passed"], other["stage"], other["frames"]) == (False, "invoke", 4)
    assert other["largest_difference"] == pytest.approx(0.1, abs=1e-6)
    (tmp_path / "cut.tflite").write_bytes(good["uint8"].read_bytes()[:-1])
    cut = verify(tmp_path / "cut.tflite").to_json()
    assert (cut["passed"], cut["stage"]) == (False, "digest")
    assert not cut["reason"].startswith(str(tmp_path))
    assert {name for name, value in cut.items() if value is None} == {
        *("digest", "signed_by", "runtime", "made_with", "frames", "largest_difference", "tolerance")
    }
    assert cut["signature_checked"] is False


def test_tolerances_are_those_that_were_measured() -> None:
    assert (QUANTIZED.same_runtime, QUANTIZED.other_runtime) == (10 / 255, 40 / 255)
    assert (FLOAT.same_runtime, FLOAT.other_runtime) == (1e-4, 1e-4)


def test_a_difference_up_to_the_tolerance_is_right_and_the_largest_of_all_frames_is_told(good: dict[str, Path]) -> None:
    classifier, golden = Classifier(good["uint8"]), replace(read_golden(good["uint8"]), tolerance=QUANTIZED)

    def off_by(*differences: float) -> GoldenVectors:
        frames = [
            replace(frame, scores=(*frame.scores[:3], frame.scores[3] + difference))
            for frame, difference in zip(golden.frames, differences, strict=True)
        ]
        return replace(golden, frames=tuple(frames))

    within = replay(classifier, off_by(0.0, 0.03, 0.01, -0.02))
    assert within.divergence is None and within.frames == 4
    assert within.largest_difference == pytest.approx(0.03, abs=1e-6)
    beyond = replay(classifier, off_by(0.0, 0.05, 0.2, 0.0))
    assert beyond.divergence is not None and "golden/1.jpg" in beyond.divergence.reason  # the first of them
    assert beyond.largest_difference is not None and beyond.largest_difference == pytest.approx(0.2, abs=1e-6)
    room = Tolerance(beyond.largest_difference, 0.0)
    assert replay(classifier, replace(off_by(0.0, 0.05, 0.2, 0.0), tolerance=room)).divergence is None
    below = replay(classifier, off_by(0.0, 0.0, -0.05, 0.0))
    assert below.divergence is not None and "golden/2.jpg" in below.divergence.reason


def test_a_picture_that_does_not_decode_leaves_the_others_to_be_looked_at(good: dict[str, Path]) -> None:
    golden = read_golden(good["uint8"])
    first, *rest = other_scores(golden).frames
    broken = replace(golden, frames=(replace(golden.frames[3], jpeg=b"no picture"), first, *rest))
    found = replay(Classifier(good["uint8"]), broken)
    assert found.divergence is not None and found.divergence.stage == "decode"
    assert found.largest_difference == pytest.approx(0.1, abs=1e-6)
    assert replay(Classifier(good["uint8"]), one_score_less(golden)).largest_difference is None


def test_a_model_that_gives_no_numbers_is_not_sealed(frames: list[Frame], monkeypatch: pytest.MonkeyPatch) -> None:
    scores = np.array([0.1, np.nan, 0.2, 0.3], np.float32)
    monkeypatch.setattr(Classifier, "pixel_scores", lambda self, pixels: scores)
    with pytest.raises(CheckFailedError, match="no numbers"):
        sealed(artifact(), frames)


def test_a_model_that_does_not_load_is_told_without_a_path_that_is_gone(frames: list[Frame]) -> None:
    with pytest.raises(ModelFormatError, match=r"^the model contradicts itself"):
        sealed(artifact(card=ModelCard(LABELS[:3], CARD.input)), frames)


@pytest.mark.parametrize("keep", [0.0, 0.05, 0.5, 0.95])
def test_a_half_copied_file_diverges_and_is_not_run(good: dict[str, Path], tmp_path: Path, keep: float) -> None:
    whole, half = good["uint8"].read_bytes(), tmp_path / "half.tflite"
    half.write_bytes(whole[: int(keep * len(whole))])
    found = verify(half)
    assert found.divergence is not None and "incomplete" in found.divergence.reason
    with pytest.raises(SealError, match=r"incomplete.*copy the file again"):
        Classifier(half)


def test_a_file_that_was_never_sealed_cannot_be_verified(tmp_path: Path) -> None:
    path = tmp_path / "older.tflite"
    for content in (artifact(), (MODELS / "tiny-uint8.tflite").read_bytes(), b"a shopping list"):
        path.write_bytes(content)
        with pytest.raises(ModelFormatError, match="cannot be verified: it has no seal"):
            verify(path)


def test_a_signature_is_checked_and_its_key_told(
    good: dict[str, Path], tmp_path: Path, key: "PrivateKey", frames: list[Frame]
) -> None:
    path = tmp_path / "signed.tflite"
    path.write_bytes(sealed(artifact(), frames, key))
    for asked in (None, key.public_key):
        found = verify(path, key=asked)
        assert (found.passed, found.signature_checked) == (True, True)
        assert found.signed_by == key.public_key.hex()
    for file, other, reason in (
        (path, bytes(32), "not with 0000"),
        (good["uint8"], key.public_key, "not signed"),
    ):
        found = verify(file, key=other)
        assert found.divergence is not None
        assert found.divergence.stage == "signature"
        assert reason in found.divergence.reason
        assert not found.signature_checked


@pytest.mark.parametrize("what", ["signature", "key", "content"])
def test_a_signature_of_something_else_is_rejected(
    tmp_path: Path, key: "PrivateKey", frames: list[Frame], what: str
) -> None:
    """The digest is made to fit again, as whoever changes a file on purpose would."""
    import hashlib

    content = sealed(artifact(), frames, key)
    found = read_seal(content)
    assert found is not None
    assert found.signature is not None
    body, line = content.split(b"edge-mobilenet seal 1 ed25519:")
    public, signature, _ = line.split(b" ")
    if what == "signature":
        signature = bytes(64).hex().encode()
    elif what == "key":
        public = bytes([1] * 32).hex().encode()
    else:
        body = body.replace(b'"color_order": "RGB"', b'"color_order": "BGR"')
    forged = body + b"edge-mobilenet seal 1 ed25519:" + public + b" " + signature + b" sha256:"
    path = tmp_path / "forged.tflite"
    path.write_bytes(forged + hashlib.sha256(forged).hexdigest().encode())
    for asked in (None, bytes.fromhex(public.decode())):
        forgery = verify(path, key=asked)
        assert forgery.divergence is not None
        assert forgery.divergence.stage == "signature"
        assert not forgery.signature_checked


def test_a_signed_file_is_verified_where_signatures_cannot_be(
    tmp_path: Path, key: "PrivateKey", frames: list[Frame], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "signed.tflite"
    path.write_bytes(sealed(artifact(), frames, key))
    monkeypatch.delitem(sys.modules, "edge_device.inference.signature", raising=False)
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    found = verify(path)
    assert (found.passed, found.signature_checked) == (True, False)
    assert found.signed_by == key.public_key.hex()
    with pytest.raises(ModuleNotFoundError):
        verify(path, key=key.public_key)


def test_a_file_that_is_no_public_key_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    from edge_convert.keys import write_key_pair
    from edge_device.inference.signature import read_public_key

    public = write_key_pair(tmp_path / "vendor")
    assert read_public_key(tmp_path / "vendor.pub") == public
    (tmp_path / "text").write_text("a shopping list")
    for name, reason in (
        ("vendor", "private key"),
        ("text", "no public key"),
        ("missing", "No such file"),
        (".", "directory"),
    ):
        with pytest.raises(KeyFileError, match=reason):
            read_public_key(tmp_path / name)


def test_the_command_prints_a_verdict_and_ends_with_its_status(
    command: Command, good: dict[str, Path], tmp_path: Path
) -> None:
    passed = command(CLI, "verify", good["uint8"])
    assert passed.returncode == 0
    assert passed.stdout.splitlines()[-1] == "verdict     passed"
    resealed(good["uint8"], tmp_path / "diverging.tflite", other_scores)
    (tmp_path / "unsealed.tflite").write_bytes(artifact())
    damaged = bytearray(good["uint8"].read_bytes())
    damaged[5000] ^= 1
    (tmp_path / "damaged.tflite").write_bytes(damaged)
    for name, status, stage in (("diverging", 1, "invoke"), ("damaged", 1, "digest"), ("unsealed", 2, None)):
        done = command(CLI, "verify", tmp_path / f"{name}.tflite", "--json")
        assert done.returncode == status
        (line,) = done.stderr.splitlines()
        assert line.startswith("error: ")
        assert str(tmp_path / name) in line
        if stage:
            fields = json.loads(done.stdout)
            assert (fields["passed"], fields["stage"]) == (False, stage)
            assert fields["reason"] in line


def test_the_golden_frames_are_few_and_small(good: dict[str, Path]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1080, 1920, 3), np.uint8)
    frames = record(Classifier(good["uint8"]), [noise] * 4).frames
    assert sum(len(frame.jpeg) for frame in frames) <= 64 << 10
    assert frames[0].jpeg == to_jpeg(noise, CARD.input)

"""Whether an artifact does here what it did where it was made: seal, then every stage from a picture file to scores."""

import platform
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final, Literal

import cv2
import numpy as np

from edge_core.artifact.golden import (
    FLOAT,
    QUANTIZED,
    GoldenFrame,
    GoldenVectors,
    Tolerance,
    read_golden,
    sha256_of,
    to_jpeg,
    tolerance_of,
)
from edge_core.artifact.seal import Seal, Signer, check_seal, seal
from edge_core.codec import JsonObject
from edge_core.errors import CheckFailedError, ModelFormatError, PictureError, SealError
from edge_core.images import decode_picture
from edge_core.preprocess import Frame, preprocess
from edge_device.inference.accelerator import Coral, on_accelerator
from edge_device.inference.classifier import Classifier
from edge_device.inference.interpreter import Interpreter, Kernels, RuntimeName

Stage = Literal["digest", "signature", "decode", "preprocess", "invoke"]
"""In the order in which they are checked."""


OTHER_KERNELS: Final[tuple[Kernels, ...]] = ("built-in", "reference")

REFERENCE_LABELS: Final = 4096
"""Labels that the reference kernel of SOFTMAX adds up, which has 12 bits before the point for the sum of their
exponentials: more of them that are alike overflow it, and a check in it then aborts the process."""


def record(classifier: Classifier, frames: Iterable[Frame], others: Sequence[Interpreter] = ()) -> GoldenVectors:
    """Golden vectors of a model, made by the code that the device runs.

    Args:
        classifier: The model, opened from a complete file.
        frames: uint8, shape (height, width, 3), B, G, R, of any size.
        others: The same model on other kernels: how far they are apart is what another runtime may differ by.

    Raises:
        CheckFailedError: The model gives something else than finite scores.
    """
    golden = []
    apart = 0.0
    for frame in frames:
        jpeg = to_jpeg(frame, classifier.card.input)
        # From the JPEG, not from the frame: what is recorded is what a board decodes.
        decoded = decode_picture(jpeg)
        pixels = preprocess(decoded, classifier.card.input)
        scores = classifier.pixel_scores(pixels)
        if not np.isfinite(scores).all():
            raise CheckFailedError("the model gives scores that are no numbers (NaN or infinity); it is of no use")
        apart = max([apart, *(float(np.abs(other.scores(pixels) - scores).max()) for other in others)])
        golden.append(GoldenFrame(jpeg, sha256_of(decoded[..., ::-1]), sha256_of(pixels), tuple(scores.tolist())))
    made_with = {"runtime": classifier.runtime, "opencv": cv2.__version__, "machine": platform.machine()}
    tolerance = QUANTIZED if classifier.quantized else FLOAT
    if classifier.quantized and others:
        tolerance = tolerance_of(apart, others[0].signed)
    return GoldenVectors(tuple(golden), tolerance, made_with)


def sealed(
    artifact: bytes, frames: Iterable[Frame], signer: Signer | None = None, parent: Tolerance | None = None
) -> bytes:
    """A complete .tflite with its golden vectors on `frames` and its seal: what is ready to leave.

    Args:
        artifact: What `edge_core.complete` returned.
        frames: Frames that `record` takes.
        signer: Signer of the seal; none by default.
        parent: What the file may differ by that this one was taught from, and this one, too, at least. All layers but
            the last are that file's, so the reference kernels, which take 20 times as long as a frame of `live`, are
            not run again. None: there is no such file.

    Raises:
        CheckFailedError, ModelFormatError: The model does not run, or gives no scores.
    """
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "unsealed.tflite"
        path.write_bytes(artifact)
        try:
            classifier = Classifier(path)
            kernels = OTHER_KERNELS[:1] if parent or len(classifier.card.labels) > REFERENCE_LABELS else OTHER_KERNELS
            golden = record(classifier, frames, _on_other_kernels(classifier, path, kernels))
            if parent:
                golden = replace(golden, tolerance=golden.tolerance.widened(parent))
        except ModelFormatError as error:
            # The scratch file is gone by the time anybody reads this.
            raise ModelFormatError(str(error).replace(str(path), "the model")) from error
    return seal(artifact, golden, signer)


def _on_other_kernels(classifier: Classifier, path: Path, which: Sequence[Kernels]) -> list[Interpreter]:
    """What a model in integers is run with besides: tflite-runtime has no XNNPACK for it to differ from."""
    if not classifier.quantized or not classifier.runtime.startswith("ai-edge-litert "):
        return []
    return [Interpreter(path, kernels=kernels) for kernels in which]


@dataclass(frozen=True)
class Divergence:
    """The first stage that does not give what it must, and what it gives instead."""

    stage: Stage
    reason: str


@dataclass(frozen=True)
class Replay:
    """Golden vectors against what came out here.

    Attributes:
        frames: Number of frames that were replayed.
        largest_difference: Largest difference of a score, 0..1; None if no score could be compared.
        tolerance: Up to which it is right.
        divergence: First stage that diverged on any frame; None if all is as recorded.
    """

    frames: int
    largest_difference: float | None
    tolerance: float
    divergence: Divergence | None


@dataclass(frozen=True)
class Verification:
    """What `verify` found; passed if there is no `divergence`.

    Attributes:
        file: What was verified.
        divergence: The first stage that diverged.
        seal: None if it does not fit the file.
        signature_checked: Whether the signature was found to be by the key that the file names.
        runtime: That it was replayed on; None if it did not come to that, as `golden` and `replay`.
    """

    file: Path
    divergence: Divergence | None
    seal: Seal | None = None
    signature_checked: bool = False
    runtime: str | None = None
    golden: GoldenVectors | None = None
    replay: Replay | None = None

    @property
    def passed(self) -> bool:
        return self.divergence is None

    @property
    def signed_by(self) -> str | None:
        """The public key, hexadecimal, that the file names as its signer's."""
        return self.seal.signature.public_key.hex() if self.seal and self.seal.signature else None

    def to_json(self) -> JsonObject:
        """The object that `edge-run verify --json` prints."""
        return {
            "file": str(self.file),
            "passed": self.passed,
            "stage": self.divergence and self.divergence.stage,
            "reason": self.divergence and self.divergence.reason,
            "digest": self.seal and self.seal.digest,
            "signed_by": self.signed_by,
            "signature_checked": self.signature_checked,
            "runtime": self.runtime,
            "made_with": self.golden and dict(self.golden.made_with),
            "frames": self.replay and self.replay.frames,
            "largest_difference": self.replay and self.replay.largest_difference,
            "tolerance": self.replay and self.replay.tolerance,
        }


def verify(
    path: Path,
    *,
    key: bytes | None = None,
    runtime: RuntimeName = "auto",
    threads: int | None = None,
    coral: Coral | None = None,
) -> Verification:
    """Holds a file against its seal, then replays its golden vectors; the interpreter sees only what the seal fits.

    Args:
        path: Path of a sealed .tflite.
        key: The public key, 32 bytes, that must have signed it; by default a signature need only be consistent.
        runtime, threads: Arguments of `Classifier`, passed on.
        coral: Replay on this Edge TPU; by default on the CPU, as golden vectors were made, of a compiled file, too.

    Raises:
        AcceleratorError: `coral` cannot be used.
        ModelFormatError: Not a file that can be verified: unreadable, never sealed, or not loadable by this runtime.
        RuntimeMissingError: No interpreter is installed.
        ModuleNotFoundError: `key` is given, and cryptography is not installed.
    """
    try:
        found = check_seal(path)
    except SealError as error:
        return Verification(path, Divergence("digest", str(error).removeprefix(f"{path}: ")))
    if found is None:
        raise ModelFormatError(
            f"{path} cannot be verified: it has no seal; export it again, or seal it with edge-convert adopt"
        )
    checked, wrong = _check_signature(found, key)
    if wrong:
        return Verification(path, Divergence("signature", wrong), found, checked)
    golden = read_golden(path)
    runner = partial(on_accelerator, coral=coral, runtime=runtime) if coral else None
    with closing(Classifier(path, runtime=runtime, threads=threads, runner=runner)) as classifier:
        replayed = replay(classifier, golden)
        return Verification(path, replayed.divergence, found, checked, classifier.runtime, golden, replayed)


def replay(classifier: Classifier, golden: GoldenVectors) -> Replay:
    """Runs golden vectors through decode, preprocess and invoke, and compares each stage with what was recorded."""
    here = f"OpenCV {cv2.__version__} on {platform.machine()}"
    there = f"OpenCV {golden.made_with.get('opencv')} on {golden.made_with.get('machine')}"
    as_there = "; install the versions of opencv-python and edge-mobilenet that it was made with"
    found: dict[Stage, str] = {}
    largest: float | None = None
    tolerance = golden.tolerance_on(classifier.runtime)
    for index, frame in enumerate(golden.frames):
        name = f"golden/{index}.jpg"
        try:
            decoded = decode_picture(frame.jpeg)
        except PictureError as error:
            # The first frame that diverges is told of, for each stage.
            found.setdefault("decode", f"{name}: {error}")
            continue
        sha256 = sha256_of(decoded[..., ::-1])
        if sha256 != frame.decoded_sha256:
            size = f"{decoded.shape[1]}x{decoded.shape[0]}"
            what = f"{name}, {size}, decodes to SHA-256 {sha256[:16]}... with {here}"
            found.setdefault("decode", f"{what}, to {frame.decoded_sha256[:16]}... with {there}{as_there}")
        pixels = preprocess(decoded, classifier.card.input)
        sha256 = sha256_of(pixels)
        if sha256 != frame.pixels_sha256:
            what = f"the model's pixels of {name} have SHA-256 {sha256[:16]}... with {here}"
            found.setdefault("preprocess", f"{what}, {frame.pixels_sha256[:16]}... with {there}{as_there}")
        scores = classifier.pixel_scores(pixels)
        if len(scores) != len(frame.scores):
            found.setdefault("invoke", f"{len(scores)} scores of {name}, {len(frame.scores)} were recorded")
            continue
        differences = np.abs(scores - np.array(frame.scores, np.float32))
        worst = int(differences.argmax())  # a NaN counts as the largest
        largest = max(largest or 0.0, float(differences[worst]))
        if not differences[worst] <= tolerance:
            what = f"{classifier.card.labels[worst]!r} of {name} scores {scores[worst]:.6g} with {classifier.runtime}"
            made = f"{frame.scores[worst]:.6g} with {golden.made_with.get('runtime')}"
            found.setdefault("invoke", f"{what}, {made}; {tolerance:.2g} may lie between them; try another --runtime")
    return Replay(len(golden.frames), largest, tolerance, _first(found, ("decode", "preprocess", "invoke")))


def _first(found: dict[Stage, str], stages: Sequence[Stage]) -> Divergence | None:
    return next((Divergence(stage, found[stage]) for stage in stages if stage in found), None)


def _check_signature(found: Seal, key: bytes | None) -> tuple[bool, str]:
    """Whether the signature was checked and is right, and what is wrong with it."""
    signature = found.signature
    if signature is None:
        return (
            False,
            "" if key is None else "it is not signed, and --key asks for a signature; get a signed one from its maker",
        )
    if key is not None and signature.public_key != key:
        return (
            False,
            (
                f"it is signed with the key {signature.public_key.hex()}, not with {key.hex()} as --key asks; "
                "get it from its maker"
            ),
        )
    try:
        from edge_device.inference.signature import is_by
    except ModuleNotFoundError as error:
        if key is not None or (error.name or "").split(".")[0] != "cryptography":
            raise
        return False, ""  # the digest covers the signature, so it is at least undamaged
    right = is_by(signature, signature.public_key)
    return (
        right,
        ""
        if right
        else f"its signature is not by the key {signature.public_key.hex()} that it names; get it from its maker",
    )

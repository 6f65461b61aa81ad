"""Files that the engine opens as Python does, and refuses as it does: damaged, hostile, not signed as asked for."""

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_core import Frame, InputSpec, ModelCard, complete
from edge_core.artifact.container import EDGETPU_OPERATOR, INCOMPLETE, read_card
from edge_core.artifact.seal import check_seal
from edge_core.errors import EdgeError, ModelFormatError
from edge_device.inference.signature import PrivateKey

from ...conftest import LABELS, MODELS
from .known_models import LAYERS, SPEC, known_model, taught_detector
from .node_engine import NodeEngine, Refused

MODEL = (MODELS / "tiny-uint8.tflite").read_bytes()


def signer() -> PrivateKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return PrivateKey(Ed25519PrivateKey.generate())


@pytest.fixture(scope="module")
def sealed_file(color_frames: dict[str, Frame], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return known_model(tmp_path_factory.mktemp("known") / "known.tflite", color_frames)


def refusal(engine: NodeEngine, path: Path, **asked: object) -> Refused:
    with pytest.raises(Refused) as caught:
        engine.ask("open", path=path, **asked)
    assert "\n" not in str(caught.value)
    return caught.value


def test_a_file_is_opened_as_python_opens_it(
    engine: NodeEngine, color_frames: dict[str, Frame], tmp_path: Path
) -> None:
    labels = ("cafe\u0301", '<img src=x onerror="alert(1)">', "a\u200fb = c", "日本")
    path = known_model(tmp_path / "known.tflite", color_frames, labels=labels)
    found, seal = engine.ask("open", path=path), check_seal(path)
    assert seal
    assert tuple(found["labels"]) == read_card(path).labels == ("café", *labels[1:])
    assert InputSpec.from_json({**found["input"]}) == SPEC
    assert found["seal"] == {"digest": seal.digest, "checked": True, "signedBy": None, "signatureChecked": False}
    assert found["tensors"] == [layer.tensor for layer in LAYERS["uint8"]]


def test_any_changed_byte_of_a_sealed_file_is_noticed(engine: NodeEngine, sealed_file: Path, tmp_path: Path) -> None:
    whole = sealed_file.read_bytes()
    path = tmp_path / "damaged.tflite"
    for place in [*range(0, len(whole), len(whole) // 50), *range(len(whole) - 100, len(whole), 9)]:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        assert refusal(engine, path).stage in ("digest", None)
    for length in (0, 7, 8, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        refusal(engine, path)


def test_a_half_copied_file_is_told_of_as_python_tells_of_it(
    engine: NodeEngine, sealed_file: Path, tmp_path: Path
) -> None:
    whole, path = sealed_file.read_bytes(), tmp_path / "half.tflite"
    files = whole.index(b"PK\x03\x04")
    for length in (files + 100, (files + len(whole)) // 2, len(whole) - 200):
        path.write_bytes(whole[:length])
        with pytest.raises(ModelFormatError) as told:
            read_card(path)
        assert str(told.value) == f"{path} {INCOMPLETE}"
        assert str(refusal(engine, path)) == f"it {INCOMPLETE}"
    path.write_bytes(whole[:files])  # nothing tells of a model without its end that it had files
    assert INCOMPLETE not in str(refusal(engine, path))


def test_a_file_that_is_called_otherwise_where_it_lies_is_refused(engine: NodeEngine, tmp_path: Path) -> None:
    whole = complete(MODEL, ModelCard(LABELS, SPEC), "colors")
    path = tmp_path / "renamed.tflite"
    path.write_bytes(whole.replace(b"card.json", b"bard.json", 1))
    with pytest.raises(Refused, match="called otherwise"):
        engine.ask("open", path=path)


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_file_without_a_seal_is_refused_or_read_as_python_reads_it(
    engine: NodeEngine, tmp_path: Path, data: st.DataObject
) -> None:
    whole = complete(MODEL, ModelCard(LABELS, SPEC), "colors", detector=taught_detector("uint8").to_bytes())
    damaged = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(whole) - 1) | st.integers(len(MODEL), len(whole) - 1))] ^= data.draw(
            st.integers(1, 255)
        )
    path = tmp_path / "damaged.tflite"
    path.write_bytes(damaged[: data.draw(st.just(len(whole)) | st.integers(0, len(whole)))])
    try:
        found = engine.ask("open", path=path)
    except Refused as error:
        assert "\n" not in str(error)
    else:
        assert tuple(found["labels"]) == read_card(path).labels


def test_a_signature_is_held_against_the_key_that_is_asked_for(
    engine: NodeEngine, color_frames: dict[str, Frame], sealed_file: Path, tmp_path: Path
) -> None:
    own, other = signer(), signer()
    key = own.public_key.hex()
    path = known_model(tmp_path / "signed.tflite", color_frames, signer=own)
    for asked in ({}, {"key": key}, {"key": key.upper()}):
        seal = engine.ask("open", path=path, **asked)["seal"]
        assert (seal["signedBy"], seal["signatureChecked"]) == (key, True)
    assert refusal(engine, path, key=other.public_key.hex()).stage == "signature"
    assert refusal(engine, sealed_file, key=key).stage == "signature"


def test_a_signature_by_another_is_noticed_where_the_digest_fits(
    engine: NodeEngine, color_frames: dict[str, Frame], tmp_path: Path
) -> None:
    own, other = signer(), signer()
    forged = PrivateKey(other.key)
    forged.public_key = own.public_key
    path = known_model(tmp_path / "forged.tflite", color_frames, signer=forged)
    check_seal(path)  # the digest is right
    assert refusal(engine, path).stage == "signature"


def test_a_file_whose_seal_was_cut_off_is_damaged(engine: NodeEngine, sealed_file: Path, tmp_path: Path) -> None:
    stripped = io.BytesIO(sealed_file.read_bytes())
    with zipfile.ZipFile(stripped, "a") as archive:
        archive.comment = b""
    path = tmp_path / "stripped.tflite"
    path.write_bytes(stripped.getvalue())
    with pytest.raises(EdgeError):
        check_seal(path)
    assert refusal(engine, path).stage == "digest"


def test_a_seal_of_another_form_is_refused(engine: NodeEngine, sealed_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "newer.tflite"
    content = sealed_file.read_bytes().replace(b"edge-mobilenet seal 1", b"edge-mobilenet seal 2")[:-64]
    path.write_bytes(content + hashlib.sha256(content).hexdigest().encode())
    assert refusal(engine, path).stage == "digest"


def with_files(files: Mapping[str, bytes | str], model: bytes = MODEL, method: int = zipfile.ZIP_STORED) -> bytes:
    """A model with an archive of these files behind it."""
    whole = io.BytesIO(model)
    with zipfile.ZipFile(whole, "a", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return whole.getvalue()


CARD = json.loads(ModelCard(LABELS, SPEC).to_text())
LABELS_TEXT = "".join(f"{label}\n" for label in LABELS)


def card(**change: object) -> dict[str, bytes | str]:
    return {"card.json": json.dumps({**CARD, **change}), "labels.txt": LABELS_TEXT}


def spec(**change: object) -> dict[str, bytes | str]:
    return card(input={**SPEC.to_json(), **change})


HOSTILE: dict[str, Callable[[], bytes]] = {
    "no model": lambda: with_files(card(), b"not a model at all"),
    "no archive": lambda: MODEL,
    "no labels": lambda: with_files({"card.json": json.dumps(CARD)}),
    "other labels": lambda: with_files({**card(), "labels.txt": "a\nb\nc\nd\n"}),
    "labels that are no text": lambda: with_files({**card(), "labels.txt": b"\xff\xfe\n" * 4}),
    "two labels the same": lambda: with_files({**card(labels=["a", "a"]), "labels.txt": "a\na\n"}),
    "the same label composed otherwise": lambda: with_files(
        {**card(labels=["\u00e9", "e\u0301"]), "labels.txt": "\u00e9\ne\u0301\n"}
    ),
    "a label of two lines": lambda: with_files({**card(labels=["a\u2028b", "c"]), "labels.txt": "a\u2028b\nc\n"}),
    "a label that is a number": lambda: with_files(card(labels=[1, 2, 3, 4])),
    "a label of half a character": lambda: with_files(card(labels=["\ud800", "a", "b", "c"])),
    "fewer labels than outputs": lambda: with_files({**card(labels=["a", "b"]), "labels.txt": "a\nb\n"}),
    "a newer card": lambda: with_files(card(schema="2.0")),
    "a card that is a list": lambda: with_files({**card(), "card.json": "[]"}),
    "a card that is no JSON": lambda: with_files({**card(), "card.json": "{"}),
    "a card that nests": lambda: with_files({**card(), "card.json": "[" * 100_000}),
    "no input": lambda: with_files(card(input=None)),
    "an input of another size": lambda: with_files(spec(width=31)),
    "a huge input": lambda: with_files(spec(width=5000)),
    "an unknown crop": lambda: with_files(spec(crop="circle")),
    "an unknown resampling": lambda: with_files(spec(resampling="cubic")),
    "an unknown field of the input": lambda: with_files(spec(mean=[1, 2, 3])),
    "levels in the wrong order": lambda: with_files(spec(levels=[2, 1])),
    "compressed files": lambda: with_files(card(), method=zipfile.ZIP_DEFLATED),
    "a card of five megabytes": lambda: with_files({**card(training={"a": "b" * (5 << 20)})}),
    "a detector that is none": lambda: with_files({**card(), "familiarity.bin": b"edge-mobilenet familiarity 1\n{}\n"}),
    "an Edge TPU's without a CPU's": lambda: with_files(card(), MODEL + EDGETPU_OPERATOR),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_cannot_be_used_is_refused_in_a_line(engine: NodeEngine, name: str, tmp_path: Path) -> None:
    path = tmp_path / "hostile.tflite"
    path.write_bytes(HOSTILE[name]())
    assert refusal(engine, path).stage is None


GOOD: dict[str, Callable[[], bytes]] = {
    "plain": lambda: with_files(card()),
    "a newer minor version": lambda: with_files(card(schema="1.9", more={"a": 1})),
    "numbers that JSON has not": lambda: with_files(
        card(conversion={"sqnr": float("inf"), 'a "NaN" \\"': [float("nan"), -float("inf"), "Infinity, NaN"]})
    ),
    "an archive that something was put in front of": lambda: MODEL + with_files(card(), b""),
    "an Edge TPU's with a CPU's": lambda: with_files(
        {**card(), "cpu.tflite": MODEL}, MODEL.replace(b"model/scores", EDGETPU_OPERATOR[:12]) + EDGETPU_OPERATOR
    ),
}


@pytest.mark.parametrize("name", GOOD)
def test_what_python_reads_the_engine_reads(engine: NodeEngine, name: str, tmp_path: Path) -> None:
    path = tmp_path / "good.tflite"
    path.write_bytes(GOOD[name]())
    found = engine.ask("open", path=path)
    assert tuple(found["labels"]) == read_card(path).labels == LABELS
    assert found["seal"] is None


def test_a_model_of_deep_pictures_opens_only_for_frames_that_the_page_brings_to_8_bits(
    engine: NodeEngine, tmp_path: Path
) -> None:
    path = tmp_path / "thermal.tflite"
    path.write_bytes(with_files(spec(levels=[7300, 8300.5])))
    told = str(refusal(engine, path))
    assert "levels 7300..8300.5" in told
    assert "8 bits" in told
    assert tuple(engine.ask("open", path=path, deep=True)["input"]["levels"]) == read_card(path).input.levels


def test_ten_thousand_labels_open(engine: NodeEngine, tmp_path: Path) -> None:
    """Refused only for their number, which the model has not."""
    labels = [f"label {number}" for number in range(10_000)]
    path = tmp_path / "many.tflite"
    path.write_bytes(with_files({**card(labels=labels), "labels.txt": "".join(f"{label}\n" for label in labels)}))
    assert str(refusal(engine, path)) == "it contradicts itself: 10000 labels, 4 outputs"

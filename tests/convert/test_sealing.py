"""Keys, and the seal of what `export` writes."""

import os
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_convert.export import export
from edge_core.artifact.golden import FRAMES, read_golden
from edge_core.artifact.seal import check_seal
from edge_core.errors import KeyFileError, OutputError
from edge_core.run_folder import Run
from edge_device.inference.verify import verify

Command = Callable[..., subprocess.CompletedProcess[str]]


def test_an_export_is_sealed_passes_and_comes_out_the_same_again(small_run: Run, tmp_path: Path) -> None:
    first, second = (export(small_run, "float32", tmp_path / f"{name}.tflite").file for name in "ab")
    assert verify(first).passed
    assert len(read_golden(first).frames) == FRAMES
    assert check_seal(first) == check_seal(second)
    assert first.read_bytes() == second.read_bytes()


def test_an_export_is_signed_with_the_key_of_its_maker(command: Command, small_run: Run, tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    private, out = tmp_path / "vendor", tmp_path / "a.tflite"
    made = command("edge_convert.cli", "keygen", private)
    assert made.returncode == 0, made.stderr
    options = ("--recipe", "float32", "--max-drop", 100, "--out", out, "--sign", private)
    assert command("edge_convert.cli", "export", small_run.folder, *options).returncode == 0
    done = command("edge_device.cli", "verify", out, "--key", f"{private}.pub")
    assert done.returncode == 0, done.stderr
    public_key = made.stdout.split()[-1]
    assert public_key.startswith("ed25519:")
    assert public_key in done.stdout
    assert command("edge_convert.cli", "keygen", tmp_path / "other").returncode == 0
    refused = command("edge_device.cli", "verify", out, "--key", tmp_path / "other.pub")
    assert refused.returncode == 1
    assert "diverges at signature" in refused.stderr


def test_a_private_key_is_for_its_owner_alone_and_never_overwritten(tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    from edge_convert.keys import read_private_key, write_key_pair

    path = tmp_path / "keys" / "vendor"
    path.parent.mkdir()
    public = write_key_pair(path)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    key = read_private_key(path)
    assert key.public_key == public
    assert key.sign(b"message") == read_private_key(path).sign(b"message")
    content = path.read_bytes()
    with pytest.raises(OutputError, match="never overwritten"):
        write_key_pair(path)
    assert path.read_bytes() == content
    path.unlink()
    with pytest.raises(OutputError, match=r"vendor\.pub is there already"):
        write_key_pair(path)
    assert [file.name for file in path.parent.iterdir()] == ["vendor.pub"]


def test_a_key_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    from edge_convert.keys import write_key_pair

    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        write_key_pair(tmp_path / "file" / "vendor")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_what_is_no_private_key_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    from edge_convert.keys import read_private_key, write_key_pair

    write_key_pair(tmp_path / "vendor")
    rsa = generate_private_key(65537, 2048)
    (tmp_path / "rsa").write_bytes(rsa.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    locked = rsa.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    (tmp_path / "locked").write_bytes(locked)
    (tmp_path / "text").write_text("a shopping list")
    for name, reason in (
        ("vendor.pub", "no private key"),
        ("rsa", "another kind"),
        ("locked", "without a password"),
        ("text", "no private key"),
        ("missing", "No such file"),
    ):
        with pytest.raises(KeyFileError, match=reason):
            read_private_key(tmp_path / name)

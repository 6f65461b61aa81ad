"""`edge-run verify`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from edge_core.errors import CheckFailedError
from edge_device.cli.parameters import Device, Model, Runtime, Threads
from edge_device.command_line.console import Debug, Json, extra_needed, one_line_errors
from edge_device.command_line.next_step import say_next_live
from edge_device.inference.accelerator import parse_device
from edge_device.inference.verify import Verification
from edge_device.inference.verify import verify as verify_file


def verify(
    model: Model,
    key: Annotated[
        Path | None,
        typer.Option(
            help="File of the public key that must have signed the model, a .pub that `edge-convert keygen` made. "
            "Default: none."
        ),
    ] = None,
    as_json: Json = False,
    runtime: Runtime = "auto",
    threads: Threads = None,
    device: Device = "cpu",
    debug: Debug = False,
) -> None:
    """Check that a model is the file that was exported, and does here what it did there.

    Its seal is held against every byte, then the frames inside are decoded, preprocessed and run. The first stage that
    diverges is named: digest, signature, decode, preprocess or invoke. The exit status is 1 then, and 2 for a file that
    was never sealed.

    Example: edge-run verify flowers-int8.tflite --key vendor.pub
    """
    with one_line_errors(debug):
        public_key = None
        if key is not None:
            with extra_needed("sign", "cryptography"):
                from edge_device.inference.signature import read_public_key
            public_key = read_public_key(key)
        found = verify_file(model, key=public_key, runtime=runtime, threads=threads, coral=parse_device(device))
        print(json.dumps(found.to_json()) if as_json else _verification_lines(found), flush=True)
        if found.divergence:
            raise CheckFailedError(f"{model} diverges at {found.divergence.stage}: {found.divergence.reason}")
        if not as_json:
            say_next_live(model)


def _verification_lines(found: Verification) -> str:
    rows = {"model": str(found.file), "digest": "sha256:" + found.seal.digest if found.seal else "does not fit"}
    if found.seal:
        rows["signature"] = _signature(found)
    if found.golden and found.replay:
        difference = found.replay.largest_difference
        rows["replayed"] = f"{found.replay.frames} frames on {found.runtime}"
        rows["recorded"] = "on " + ", ".join(f"{name} {value}" for name, value in found.golden.made_with.items())
        if difference is not None:
            rows["scores"] = f"differ by {difference:.2g} at most, {found.replay.tolerance:.2g} is allowed"
    rows["verdict"] = f"diverges at {found.divergence.stage}" if found.divergence else "passed"
    return "\n".join(f"{name:<10}  {value}" for name, value in rows.items())


def _signature(found: Verification) -> str:
    if not found.signed_by:
        return "none"
    unchecked = found.replay and not found.signature_checked
    hint = ", not checked: that takes pip install 'edge-mobilenet[sign]'" if unchecked else ""
    return f"by ed25519:{found.signed_by}{hint}"

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from edge_bench import worker_process
from edge_bench.worker import serve
from edge_bench.worker_process import WorkerProcess
from edge_core.errors import ModelFormatError, RuntimeMissingError

from .conftest import SPEC, Tiny


def request(file: Path, **changes: object) -> dict[str, object]:
    asked = {"kind": "tflite", "file": str(file), "input": SPEC.to_json(), "labels": 3, "runtime": "auto", "threads": 1}
    return asked | changes


def run_instead(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    monkeypatch.setattr(worker_process, "COMMAND", (sys.executable, "-c", code))


def test_a_worker_answers_until_it_is_left(tiny: Tiny, tmp_path: Path) -> None:
    frame, pixels = tmp_path / "frame.npy", tmp_path / "pixels.npy"
    np.save(frame, np.zeros((90, 160, 3), np.uint8))
    np.save(pixels, np.eye(3, dtype=np.uint8)[:, None, None, :].repeat(32, 1).repeat(32, 2) * 200)
    with WorkerProcess(tiny.same) as worker:
        assert worker.ask("open", **request(tiny.same))["runtime"].startswith("ai-edge-litert ")
        assert worker.ask("classify", pixels=str(pixels)) == {"top1": [0, 1, 2]}
        timed = worker.ask("burst", frames=[str(frame)], seconds=0.01)
        assert len(timed["preprocess_ms"]) == len(timed["invoke_ms"]) >= 1
        assert len(worker.ask("burst", frames=[str(frame)], seconds=0)["invoke_ms"]) == 1
        process = worker._process
    assert process.returncode is not None


def test_a_tflite_worker_loads_no_tensorflow(tiny: Tiny) -> None:
    with WorkerProcess(tiny.same) as worker:
        worker.ask("open", **request(tiny.same))
        maps = Path(f"/proc/{worker._process.pid}/maps").read_text()
    assert "ai_edge_litert" in maps and "/tensorflow/" not in maps


def test_the_peak_memory_is_not_that_of_the_process_that_started_the_worker(tiny: Tiny) -> None:
    ballast = np.ones(300_000_000, np.uint8)
    with WorkerProcess(tiny.same) as worker:
        worker.ask("open", **request(tiny.same))
        assert 20 < worker.ask("memory")["peak_mb"] < 150
    assert ballast.all()


def test_what_a_library_prints_is_no_reply(monkeypatch: pytest.MonkeyPatch, tiny: Tiny) -> None:
    run_instead(
        monkeypatch,
        """
import os
from edge_bench import worker
class Chatty:
    def __init__(self, request):
        print("loading…", flush=True)
        os.write(1, b"{}\\n")
        self.runtime = "chatty 1.0"
worker.open_model = Chatty
worker.main()
""",
    )
    with WorkerProcess(tiny.same) as worker:
        assert worker.ask("open", **request(tiny.same)) == {"runtime": "chatty 1.0"}


@pytest.mark.parametrize(
    ("code", "how"),
    [
        (
            "import os; os.write(2, b'a\\nfatal: b\\n'); os.kill(os.getpid(), 11)",
            "crashed with SIGSEGV; it said: fatal: b",
        ),
        ("import os; input(); os.abort()", "crashed with SIGABRT"),
        ("import os; input(); os.kill(os.getpid(), 9)", "was killed, most likely because memory ran out"),
        ("raise SystemExit(3)", "ended with status 3"),
        ("print('half a li', end='')", "ended with status 0"),
    ],
)
def test_the_death_of_a_worker_is_one_error_that_names_the_model(
    monkeypatch: pytest.MonkeyPatch, tiny: Tiny, code: str, how: str
) -> None:
    run_instead(monkeypatch, code)
    with WorkerProcess(tiny.same) as worker, pytest.raises(ModelFormatError) as caught:
        worker.ask("open", **request(tiny.same, padding="x" * 1_000_000))  # more than a pipe holds
    assert str(caught.value) == f"{tiny.same}: the process that ran it {how}"


def test_a_file_that_the_runtime_cannot_load_is_named(tiny: Tiny, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.tflite"
    data = bytearray(tiny.same.read_bytes())
    middle = data.index(b"TFL3", 8) if b"TFL3" in data[8:] else 400
    data[middle + 8 : middle + 300] = b"\xff" * 292
    damaged.write_bytes(data)
    with WorkerProcess(damaged) as worker, pytest.raises(ModelFormatError, match=r"damaged\.tflite"):
        worker.ask("open", **request(damaged))


def test_what_is_missing_is_told_as_such(tiny: Tiny) -> None:
    with WorkerProcess(tiny.same) as worker, pytest.raises(RuntimeMissingError, match="no runtime is called 'x'"):
        worker.ask("open", **request(tiny.same, runtime="x"))


def test_a_missing_tensorflow_names_the_extra(monkeypatch: pytest.MonkeyPatch, tiny: Tiny) -> None:
    code = "import sys; sys.modules['tensorflow'] = None; from edge_bench import worker; worker.main()"
    run_instead(monkeypatch, code)
    with WorkerProcess(tiny.run) as worker, pytest.raises(RuntimeMissingError, match=r"edge-mobilenet\[bench\]"):
        worker.ask("open", **request(tiny.run / "model.keras", kind="keras"))


@pytest.mark.parametrize("kind", ["keras", "tflite"])
def test_an_error_that_nobody_foresaw_names_the_model(tiny: Tiny, tmp_path: Path, kind: str) -> None:
    broken = tmp_path / "broken.keras"
    broken.write_bytes(b"PK\x03\x04")
    with WorkerProcess(broken) as worker, pytest.raises(ModelFormatError, match=r"broken\.keras"):
        worker.ask("open", **request(broken, kind=kind))


def test_the_protocol_is_json_lines() -> None:
    replies = io.StringIO()
    serve([json.dumps({"do": "memory"}) + "\n", '{"do": "dance"}\n', '{"do": "burst"}\n'], replies)
    memory, *errors = [json.loads(line) for line in replies.getvalue().splitlines()]
    assert memory["peak_mb"] > 0
    assert all("no such request, or no model open" in error["error"] for error in errors) and len(errors) == 2

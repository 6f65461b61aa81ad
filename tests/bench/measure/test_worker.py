import base64
import importlib.util
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edge_bench.backends.contenders import RowSpec
from edge_bench.measure import worker_process
from edge_bench.measure.bench_worker import serve
from edge_bench.measure.worker_process import WorkerProcess, link_packages
from edge_core.errors import ModelFormatError, RuntimeMissingError

from ...further import slow_but
from ..conftest import LABELS, SPEC, Tiny


@pytest.fixture
def frame(tmp_path: Path) -> str:
    """Name of a file with a black camera frame."""
    np.save(tmp_path / "frame.npy", np.zeros((90, 160, 3), np.uint8))
    return str(tmp_path / "frame.npy")


def request(file: Path, frame: str, **changes: object) -> dict[str, object]:
    candidate = RowSpec(file.stem, file, "auto", SPEC, LABELS, 1, "xnnpack")
    return {**candidate.to_json(), "frame": frame, **changes}


def run_instead(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    monkeypatch.setattr(worker_process, "COMMAND", ("-c", code))


def test_a_worker_answers_until_it_is_left(tiny: Tiny, tmp_path: Path, frame: str) -> None:
    pixels = [tmp_path / f"{number}.npy" for number in range(3)]
    for number, path in enumerate(pixels):
        np.save(path, np.eye(3, dtype=np.uint8)[number] * np.full((32, 32, 1), 200, np.uint8))
    with WorkerProcess(tiny.same) as worker:
        opened = worker.ask("open", **request(tiny.same, frame))
        assert opened["runtime"].startswith("ai-edge-litert ") and 0 < opened["first_ms"] < opened["cold_start_ms"]
        scores = base64.b64decode(worker.ask("classify", pixels=[str(path) for path in pixels])["scores"])
        assert list(np.frombuffer(scores, "<f4").reshape(3, 3).argmax(1)) == [0, 1, 2]
        timed = worker.ask("burst", frames=[frame], seconds=0.01)
        assert len(timed["preprocess_ms"]) == len(timed["invoke_ms"]) >= 1
        assert timed["readings"]["memory_mb"] > 10 and "watts" in timed
        assert len(worker.ask("burst", frames=[frame], seconds=0)["invoke_ms"]) == 1
        assert worker.ask("environment")["environment"]["cores"] >= 1
        process = worker._process
    assert process.returncode is not None


def test_a_tflite_worker_loads_no_tensorflow(tiny: Tiny, frame: str) -> None:
    with WorkerProcess(tiny.same) as worker:
        worker.ask("open", **request(tiny.same, frame))
        maps = Path(f"/proc/{worker._process.pid}/maps").read_text()
    assert "ai_edge_litert" in maps and "/tensorflow/" not in maps


def test_the_peak_memory_is_not_that_of_the_process_that_started_the_worker(tiny: Tiny, frame: str) -> None:
    ballast = np.ones(300_000_000, np.uint8)
    with WorkerProcess(tiny.same) as worker:
        worker.ask("open", **request(tiny.same, frame))
        assert 20 < worker.ask("memory")["peak_mb"] < 150
    assert ballast.all()


def test_what_a_library_prints_is_no_reply(monkeypatch: pytest.MonkeyPatch, tiny: Tiny, frame: str) -> None:
    run_instead(
        monkeypatch,
        """
import os
from edge_bench.measure import bench_worker as worker
class Chatty:
    def __init__(self, request):
        print("loading…", flush=True)
        os.write(1, b"{}\\n")
        self.runtime = "chatty 1.0"
    def scores(self, frame):
        return None, worker.Timing(1.0, 2.0)
worker.open_model = Chatty
worker.main()
""",
    )
    with WorkerProcess(tiny.same) as worker:
        assert worker.ask("open", **request(tiny.same, frame))["runtime"] == "chatty 1.0"


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
        worker.ask("open", **request(tiny.same, "", padding="x" * 1_000_000))  # more than a pipe holds
    assert str(caught.value) == f"{tiny.same}: the process that ran it {how}"


def test_a_file_that_the_runtime_cannot_load_is_named(tiny: Tiny, tmp_path: Path, frame: str) -> None:
    damaged = tmp_path / "damaged.tflite"
    data = bytearray(tiny.same.read_bytes())
    middle = data.index(b"TFL3", 8) if b"TFL3" in data[8:] else 400
    data[middle + 8 : middle + 300] = b"\xff" * 292
    damaged.write_bytes(data)
    with WorkerProcess(damaged) as worker, pytest.raises(ModelFormatError, match=r"damaged\.tflite"):
        worker.ask("open", **request(damaged, frame))


def test_another_python_finds_our_packages_and_no_others(tiny: Tiny, tmp_path: Path, frame: str) -> None:
    link_packages(tmp_path / "packages")
    linked = {path.name for path in (tmp_path / "packages").iterdir()}
    assert linked == {"edge_bench", "edge_core", "edge_device", "edge_keras"}
    other = tmp_path / "python"  # the same one under another name, without what is installed beside it
    other.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S -c "import sys; print(sys.path)" "$@"\n')
    other.chmod(0o755)
    with WorkerProcess(tiny.same, str(other), tmp_path / "packages") as worker:
        assert worker._environment["PYTHONPATH"] == str(tmp_path / "packages")


def test_a_worker_and_its_backends_need_no_other_package_of_ours() -> None:
    code = """
import sys
from importlib import import_module
sys.modules.update(dict.fromkeys(("edge_train", "edge_convert", "edge_keras", "edge_studio")))
from edge_bench import backends
import edge_bench.measure.bench_worker
for name in set(backends._OPENERS.values()):
    import_module(f"edge_bench.backends.{name}")
"""
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("runtime", ["onnxruntime", "mediapipe", "tflite-runtime"])
def test_what_is_not_installed_is_told_as_such(tiny: Tiny, frame: str, runtime: str) -> None:
    module = {"tflite-runtime": "tflite_runtime"}.get(runtime, runtime)
    if importlib.util.find_spec(module):
        pytest.skip(f"{runtime} is installed")
    with WorkerProcess(tiny.same) as worker, pytest.raises(RuntimeMissingError, match="not installed"):
        worker.ask("open", **request(tiny.same, frame, runtime=runtime))


def test_a_missing_tensorflow_names_the_extra(monkeypatch: pytest.MonkeyPatch, tiny: Tiny, frame: str) -> None:
    code = (
        "import sys; sys.modules['tensorflow'] = None; "
        "from edge_bench.measure import bench_worker as worker; worker.main()"
    )
    run_instead(monkeypatch, code)
    with WorkerProcess(tiny.run) as worker, pytest.raises(RuntimeMissingError, match=r"edge-mobilenet\[bench\]"):
        worker.ask("open", **request(tiny.run / "model.keras", frame, runtime="keras"))


@pytest.mark.parametrize("runtime", slow_but(("keras", "auto", "tensorflow", "opencv"), {"auto", "opencv"}))
def test_an_error_that_nobody_foresaw_names_the_model(tiny: Tiny, tmp_path: Path, frame: str, runtime: str) -> None:
    broken = tmp_path / "broken.keras"
    broken.write_bytes(b"PK\x03\x04")
    with WorkerProcess(broken) as worker, pytest.raises(ModelFormatError, match=r"broken\.keras"):
        worker.ask("open", **request(broken, frame, runtime=runtime))


def test_the_protocol_is_json_lines() -> None:
    replies = io.StringIO()
    serve([json.dumps({"do": "memory"}) + "\n", '{"do": "dance"}\n', '{"do": "burst"}\n'], replies)
    memory, *errors = [json.loads(line) for line in replies.getvalue().splitlines()]
    assert memory["peak_mb"] > 0
    assert all("no such request, or no model open" in error["error"] for error in errors) and len(errors) == 2

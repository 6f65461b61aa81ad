"""The Edge TPU's process and what stands in for it, on a double of libedgetpu: a real delegate, built here with gcc."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from hypothesis import given
from hypothesis import strategies as st

from edge_core import Frame, InputSpec, ModelCard, complete
from edge_core.artifact.seal import seal
from edge_core.errors import AcceleratorError, ModelFormatError, SettingsError
from edge_device.inference.accelerator import (
    AcceleratorProcess,
    Coral,
    Supervision,
    WithFallback,
    on_accelerator,
    open_classifier,
    parse_device,
)
from edge_device.inference.accelerator.edgetpu import attached
from edge_device.inference.accelerator.fallback import disagreement
from edge_device.inference.classifier import Classifier
from edge_device.inference.interpreter import Interpreter
from edge_device.inference.verify import record, verify
from edge_device.live.cameras.together import run_cameras
from edge_device.live.options import LiveOptions, ModelOptions, SourceOptions
from edge_device.notices import Notice
from edge_device.results import FrameResult, Status
from edge_device.sinks.sink import Sink

from ...programs import Started, missing, program

HERE = Path(__file__).parent
PLAIN = (HERE.parents[1] / "models" / "tiny-uint8.tflite").read_bytes()
CARD = ModelCard(("red", "green", "blue", "dark"), InputSpec(32, 32))
CORAL = Coral("usb:0")
RED, BLUE = (np.full((32, 32, 3), color, np.uint8) for color in ((250, 20, 10), (10, 20, 250)))

PATIENT_S = 60.0
"""A watchdog where nothing hangs: a busy machine takes a while for an inference, and for what a crash leaves behind."""

Happens = Callable[[str], None]
Left = tuple[int, int, list[str]]


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not (gcc := program("gcc", "cc")):
        pytest.skip(missing("gcc"))
    path = tmp_path_factory.mktemp("double") / "libedgetpu-double.so"
    subprocess.run([gcc, "-shared", "-fPIC", HERE / "edgetpu_double.c", "-o", path, "-lm"], check=True)
    return path


@pytest.fixture
def happens(library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Happens:
    """Attaches an accelerator that works, until `happens("invoke-hang")` says otherwise."""
    told = tmp_path / "told"
    told.write_text("works")
    monkeypatch.setenv("EDGETPU_LIBRARY", str(library))
    monkeypatch.setenv("EDGETPU_DOUBLE", str(told))

    def happens(word: str) -> None:
        # A file of each thread's own: a run asks whether it is to stop from each camera's thread.
        beside = tmp_path / f"next-{threading.get_ident()}"
        beside.write_text(word)
        beside.replace(told)

    return happens


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Every test here ends with the processes, descriptors and threads that it began with."""
    before = left()
    yield
    until_s = time.monotonic() + 60
    while not _at_most(now := left(), before) and time.monotonic() < until_s:
        time.sleep(0.01)
    assert _at_most(now, before), (now, before)


def _at_most(now: Left, before: Left) -> bool:
    """What another test has left may end meanwhile."""
    return now[0] <= before[0] and now[1] <= before[1] and set(now[2]) <= set(before[2])


def left() -> Left:
    """Descriptors, threads, and children, dead ones that nobody waited for among them."""
    own = Path("/proc/self")
    return len(os.listdir(own / "fd")), threading.active_count(), children(os.getpid())


def children(process: int) -> list[str]:
    found: list[str] = []
    for task in Path(f"/proc/{process}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # a thread may end after it was listed
            found += task.read_text().split()
    return sorted(found)


def compiled_model() -> bytes:
    """The tiny model as Google's compiler would leave it: one operator that a delegate has to know."""
    model = schema.ModelT.InitFromPackedBuf(PLAIN)
    (graph,) = model.subgraphs
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
    code.customCode, code.version = "edgetpu-custom-op", 1
    operator = schema.OperatorT()
    operator.opcodeIndex, operator.inputs, operator.outputs = 0, list(graph.inputs), list(graph.outputs)
    model.operatorCodes, graph.operators = [code], [operator]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


@pytest.fixture
def compiled(tmp_path: Path) -> Path:
    """A compiled file that carries its model for the CPU, its golden vectors and its seal."""
    plain, path = tmp_path / "plain.tflite", tmp_path / "model_edgetpu.tflite"
    plain.write_bytes(complete(PLAIN, CARD, "tiny"))
    frames = [np.full((64, 64, 3), color, np.uint8) for color in ((10, 20, 250), (250, 20, 10), (9, 9, 9))]
    golden = record(Classifier(plain), frames)
    path.write_bytes(seal(complete(compiled_model(), CARD, "tiny", PLAIN), golden))
    return path


@pytest.fixture
def alone(tmp_path: Path) -> Path:
    """A compiled file with nothing to stand in."""
    path = tmp_path / "alone_edgetpu.tflite"
    path.write_bytes(complete(compiled_model(), CARD, "tiny"))
    return path


def opened(path: Path, watchdog_s: float | None = None, start_s: float = 30) -> AcceleratorProcess:
    with path.open("rb") as file:
        return AcceleratorProcess(file, CORAL, watchdog_s=watchdog_s, start_s=start_s)


def with_fallback(path: Path, notices: list[Notice], **options: Any) -> WithFallback:
    return WithFallback(
        path, CORAL, Interpreter(path, threads=1), (RED,), supervision=Supervision(notices.append, **options)
    )


def until_back(runner: WithFallback) -> None:
    until = time.monotonic() + 60
    while runner.device == "cpu" and time.monotonic() < until:
        runner.scores(RED)
        time.sleep(0.01)
    assert runner.device == "coral usb:0"


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("coral", {}),
        ("coral:usb", {"device": "usb"}),
        ("coral:pci", {"device": "pci"}),
        ("coral:usb:0", {"device": "usb:0"}),
        ("coral:pci:12", {"device": "pci:12"}),
        ("coral:usb:01", {"device": "usb:1"}),
    ],
)
def test_a_device_is_what_libedgetpu_calls_it(text: str, options: dict[str, str]) -> None:
    coral = parse_device(text)
    assert coral is not None and coral.options == options
    assert str(coral) == f"coral {options.get('device', '')}".strip()


USB, PCI = "18d1:9302", "/dev/apex_0"


@pytest.mark.parametrize(
    ("one", "other", "found", "may_be_one"),
    [
        ("coral", "coral:usb:0", (USB,), True),
        ("coral", "coral:usb", (USB, USB), True),
        ("coral", "coral:usb:1", (USB, USB), False),
        ("coral", "coral:pci", (USB,), False),
        ("coral", "coral:pci:0", (USB, PCI), True),
        ("coral", "coral:pci", (), True),  # plugged in later
        ("coral:usb", "coral:usb:00", (), True),
        ("coral:usb", "coral:usb:1", (USB,), False),
        ("coral:usb:1", "coral:usb:10", (), False),
        ("coral:usb:0", "coral:pci:0", (USB, PCI), False),
    ],
)
def test_names_of_an_accelerator_are_told_apart_by_where_it_is(
    one: str, other: str, found: tuple[str, ...], may_be_one: bool
) -> None:
    corals = [parse_device(text) for text in (one, other)]
    first, second = (coral.places(found) for coral in corals if coral)
    assert bool(first & second) == may_be_one


def test_the_cpu_is_no_coral() -> None:
    assert parse_device("cpu") is None


@given(
    st.text() | st.sampled_from(["", "CPU", "coral:", "coral:0", "coral:usb:", "coral:usb:-1", "coral:usb:٣", "cpu\n"])
)
def test_what_is_no_device_is_refused_with_what_there_is(text: str) -> None:
    if text in ("cpu", "coral"):
        return
    with pytest.raises(SettingsError, match="coral:usb"):
        parse_device(text)


def test_an_accelerator_is_seen_on_both_buses(tmp_path: Path) -> None:
    assert attached(tmp_path) == ()
    for port, vendor, product in (("1-1", "1d6b", "0002"), ("1-2", "18d1", "9302"), ("2-1", "1a6e", "089a")):
        folder = tmp_path / "sys/bus/usb/devices" / port
        folder.mkdir(parents=True)
        (folder / "idVendor").write_text(f"{vendor}\n")
        (folder / "idProduct").write_text(f"{product}\n")
    (tmp_path / "sys/bus/usb/devices/1-1:1.0").mkdir()
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/apex_0").touch()
    assert attached(tmp_path) == ("/dev/apex_0", "18d1:9302", "1a6e:089a")


@pytest.mark.parametrize(
    ("cpu", "accelerator", "says"),
    [
        ([0.7, 0.2, 0.1], [0.7, 0.2, 0.1], ""),
        ([0.7, 0.2, 0.1], [0.8, 0.1, 0.1], ""),
        ([0.48, 0.46, 0.06], [0.46, 0.48, 0.06], ""),
        ([0.6, 0.3, 0.1], [0.45, 0.46, 0.09], "best label"),
        ([0.7, 0.2, 0.1], [0.1, 0.2, 0.7], "differs"),
        ([0.7, 0.2, 0.1], [np.nan, 0.2, 0.1], "differs"),
    ],
)
def test_an_accelerator_may_differ_a_little_but_not_in_what_it_sees(
    cpu: list[float], accelerator: list[float], says: str
) -> None:
    found = disagreement(np.array(cpu, np.float32), np.array(accelerator, np.float32), 0.16)
    assert says in found if says else not found


def test_it_gives_the_scores_of_the_cpu(happens: Happens, compiled: Path, color_frames: dict[str, Frame]) -> None:
    notices: list[Notice] = []
    with (
        closing(open_classifier(compiled, CORAL, supervision=Supervision(notices.append))) as coral,
        closing(Classifier(compiled)) as cpu,
    ):
        assert (coral.device, coral.fallback_reason, cpu.device) == ("coral usb:0", "", "cpu")
        assert coral.runtime == f"{cpu.runtime} with libedgetpu"
        for label, frame in color_frames.items():
            assert coral.classify(frame)[0].label == label
            assert coral.scores(frame)[0] == pytest.approx(cpu.scores(frame)[0], abs=0.03)
        kept = coral.pixel_scores(RED)
        as_it_was = kept.copy()
        coral.classify(color_frames["blue"])
        assert np.array_equal(kept, as_it_was)
    assert not notices


def test_without_an_accelerator_it_says_what_to_look_for(happens: Happens, alone: Path) -> None:
    happens("missing")
    with pytest.raises(AcceleratorError, match=r"usb:0 cannot be opened.*1a6e:089a.*18d1:9302.*/dev/apex_0"):
        open_classifier(alone, CORAL)


def test_without_the_library_it_says_how_to_get_it(alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGETPU_LIBRARY", "libnowhere.so.1")
    with pytest.raises(AcceleratorError, match=r"libnowhere\.so\.1.*apt install ./libedgetpu1-std.*EDGETPU_LIBRARY"):
        open_classifier(alone, CORAL)


def test_a_library_of_another_kind_is_an_error(alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGETPU_LIBRARY", "libm.so.6")
    with pytest.raises(AcceleratorError, match="tflite_plugin_create_delegate"):
        open_classifier(alone, CORAL)


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("create-segfault", "died by SIGSEGV while it was opened"),
        ("create-fail", "cannot be opened"),
        ("prepare-illegal", "died by SIGILL"),
        ("prepare-fail", "failed to prepare"),
        ("invoke-abort", "died by SIGABRT .*USB transfer error 2"),
        ("invoke-fail", "gave no scores.*told to fail"),
    ],
)
def test_what_goes_wrong_while_it_is_opened_is_an_error(happens: Happens, alone: Path, word: str, says: str) -> None:
    happens(word)
    with pytest.raises(AcceleratorError, match=says) as raised:
        on_accelerator(alone, CORAL)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("step", ["create", "invoke"])
def test_what_hangs_while_it_is_opened_is_killed(happens: Happens, alone: Path, step: str) -> None:
    """Over `create` the runtime holds Python's lock."""
    happens(f"{step}-hang")
    with pytest.raises(AcceleratorError, match="was not ready within 2 s"):
        opened(alone, start_s=2)


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("segfault", "died by SIGSEGV over an inference"),
        ("illegal", "died by SIGILL"),
        ("abort", "died by SIGABRT .*USB transfer error 2"),
        ("fail", "gave no scores.*told to fail"),
        ("hang", r"has not answered for 3\.0 s"),
    ],
)
def test_what_happens_over_an_inference_is_an_error(happens: Happens, alone: Path, what: str, says: str) -> None:
    with closing(opened(alone, watchdog_s=3 if what == "hang" else PATIENT_S)) as process:
        assert process.scores(RED).argmax() == 0
        happens(f"invoke-{what}")
        with pytest.raises(AcceleratorError, match=says):
            process.scores(RED)
        assert np.array_equal(process.pixels, RED)


@pytest.mark.parametrize("step", ["create", "invoke"])
def test_what_hangs_is_not_waited_for_when_the_run_is_to_end(happens: Happens, compiled: Path, step: str) -> None:
    asked = threading.Event()
    notices: list[Notice] = []
    late = threading.Timer(1.0, asked.set)
    if step == "create":
        happens("create-hang")
        late.start()
    with closing(with_fallback(compiled, notices, stopped=asked.is_set, watchdog_s=3600)) as runner:
        if step == "invoke":
            happens("invoke-hang")
            late.start()
        assert runner.scores(RED).argmax() == 0
        assert runner.device == "cpu"
    late.join()
    assert len(notices) == 1


def test_a_process_that_somebody_kills_is_an_error(happens: Happens, alone: Path) -> None:
    others = children(os.getpid())
    with closing(opened(alone)) as process:
        (child,) = set(children(os.getpid())) - set(others)
        os.kill(int(child), signal.SIGKILL)
        with pytest.raises(AcceleratorError, match="died by SIGKILL over an inference"):
            process.scores(RED)


def test_signals_for_everybody_are_left_to_the_parent(happens: Happens, alone: Path) -> None:
    others = children(os.getpid())
    with closing(opened(alone)) as process:
        (child,) = map(int, set(children(os.getpid())) - set(others))
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(child, number)
        assert process.scores(RED).argmax() == 0
        assert os.getpgid(child) != os.getpgid(0)


def test_messages_that_nobody_reads_stop_nothing(happens: Happens, alone: Path) -> None:
    """200 KB of them for an inference: more than a pipe holds."""
    with closing(opened(alone, watchdog_s=PATIENT_S)) as process:
        happens("chatter")
        for _ in range(3):
            assert process.scores(RED).argmax() == 0
        happens("invoke-abort")
        with pytest.raises(AcceleratorError, match="USB transfer error 2"):
            process.scores(RED)


def test_the_watchdog_waits_a_multiple_of_the_usual_time_and_two_seconds_at_least(
    happens: Happens, alone: Path
) -> None:
    with closing(opened(alone)) as process:
        assert process.watchdog_s == 2.0


@pytest.mark.parametrize("word", ["works", "invoke-hang", "create-hang"])
def test_it_ends_with_its_parent_even_if_that_is_killed_and_it_hangs(happens: Happens, alone: Path, word: str) -> None:
    program = f"""
import sys, time
from pathlib import Path
from edge_device.inference.accelerator import Coral, on_accelerator
process = on_accelerator(Path({str(alone)!r}), Coral())
print("ready", flush=True)
sys.stdin.read(1)
process.scores(process.pixels)
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    pipe = subprocess.PIPE
    if word == "create-hang":
        happens(word)
    with Started[bytes]([sys.executable, "-c", program], stdin=pipe, stdout=pipe, env=environment) as parent:
        assert parent.stdin and parent.stdout
        if word != "create-hang":
            parent.stdout.readline()
            happens(word)
            parent.stdin.write(b"\n")
            parent.stdin.flush()
        until = time.monotonic() + 60
        while not (found := children(parent.pid)) and time.monotonic() < until:
            time.sleep(0.01)
        (child,) = found
        time.sleep(1.0 if word == "create-hang" else 0.1)  # until it hangs; too soon is not wrong, only easier
        parent.kill()
        parent.wait()
        until = time.monotonic() + 60
        while alive(child) and time.monotonic() < until:
            time.sleep(0.01)
        assert not alive(child)


def alive(process: str) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("what", ["segfault", "hang", "fail"])
def test_the_cpu_answers_the_very_frame_and_the_accelerator_comes_back(
    happens: Happens, compiled: Path, what: str
) -> None:
    notices: list[Notice] = []
    watchdog_s = 3 if what == "hang" else PATIENT_S
    with closing(with_fallback(compiled, notices, retry_s=0.05, watchdog_s=watchdog_s)) as runner:
        assert runner.device == "coral usb:0" and not notices
        happens(f"invoke-{what}")
        for pixels, label in ((BLUE, 2), (RED, 0)):  # the first is the one that was lost
            assert runner.scores(pixels).argmax() == label
        assert runner.device == "cpu" and "coral usb:0" in runner.fallback_reason
        assert runner.runtime == Interpreter(compiled).runtime
        happens("works")
        until_back(runner)
        assert runner.fallback_reason == ""
        assert runner.scores(RED).argmax() == 0
    assert [(notice.level, notice.about) for notice in notices] == [("warning", "accelerator"), ("info", "accelerator")]
    assert "the CPU stands in" in notices[0].text and "in use" in notices[1].text


def test_one_that_is_not_there_at_the_start_is_taken_when_it_comes(happens: Happens, compiled: Path) -> None:
    notices: list[Notice] = []
    happens("missing")
    with closing(with_fallback(compiled, notices, retry_s=0.05)) as runner:
        assert runner.device == "cpu" and "lsusb" in runner.fallback_reason
        assert runner.scores(RED).argmax() == 0
        happens("works")
        until_back(runner)
    assert [notice.level for notice in notices] == ["warning", "info"]


def test_one_that_sees_something_else_is_not_used(happens: Happens, compiled: Path) -> None:
    notices: list[Notice] = []
    happens("wrong")
    with closing(with_fallback(compiled, notices)) as runner:
        assert runner.device == "cpu"
        assert "golden frame" in runner.fallback_reason
        assert runner.scores(RED).argmax() == 0


def test_a_model_that_replaces_another_waits_for_the_accelerator(happens: Happens, compiled: Path) -> None:
    """Its first attempt comes after `retry_s`: by then the other was closed."""
    with closing(
        WithFallback(compiled, CORAL, Interpreter(compiled), supervision=Supervision(at_once=False, retry_s=0.05))
    ) as runner:
        assert runner.device == "cpu" and "opened soon" in runner.fallback_reason
        until_back(runner)


def test_a_file_that_takes_its_place_is_not_opened_in_its_stead(happens: Happens, compiled: Path) -> None:
    with closing(with_fallback(compiled, [], retry_s=0.05)) as runner:
        other = compiled.with_name("other")
        other.write_text("something else")
        other.replace(compiled)
        happens("invoke-segfault")
        runner.scores(RED)
        happens("works")
        until_back(runner)


def test_closing_ends_the_search(happens: Happens, compiled: Path) -> None:
    happens("missing")
    with_fallback(compiled, [], retry_s=0.05).close()
    with_fallback(compiled, [], retry_s=300).close()


def test_a_compiled_file_runs_on_the_cpu_with_what_it_carries(compiled: Path, color_frames: dict[str, Frame]) -> None:
    classifier = Classifier(compiled)
    assert [classifier.classify(frame)[0].label for frame in color_frames.values()] == list(color_frames)
    assert verify(compiled).passed


def test_a_compiled_file_that_carries_nothing_is_refused_with_how_to_complete_it(alone: Path) -> None:
    with pytest.raises(ModelFormatError, match=r"edge-convert adopt .* --cpu MODEL\.tflite"):
        Classifier(alone)


def test_a_file_for_the_cpu_beside_it_stands_in(
    happens: Happens, alone: Path, tiny_model: Callable[..., Path], color_frames: dict[str, Frame]
) -> None:
    happens("missing")
    plain = tiny_model()
    for coral in (CORAL, None):
        with closing(open_classifier(alone, coral, fallback=plain)) as classifier:
            assert classifier.device == "cpu"
            assert classifier.classify(color_frames["green"])[0].label == "green"


def test_a_file_of_other_labels_cannot_stand_in(happens: Happens, alone: Path, tiny_model: Callable[..., Path]) -> None:
    with pytest.raises(ModelFormatError, match="the labels differ"):
        open_classifier(alone, CORAL, fallback=tiny_model(labels=("a", "b", "c", "d")))


def test_a_file_that_is_not_compiled_is_refused(tiny_model: Callable[..., Path]) -> None:
    with pytest.raises(ModelFormatError, match="edge-convert compile"):
        open_classifier(tiny_model(), CORAL)


@pytest.mark.parametrize("inside", [b"", b"no model", compiled_model()])
def test_nonsense_for_the_cpu_inside_is_refused(tmp_path: Path, inside: bytes) -> None:
    path = tmp_path / "bad.tflite"
    path.write_bytes(complete(compiled_model(), CARD, "tiny", inside))
    with pytest.raises(ModelFormatError, match=r"bad\.tflite"):
        Classifier(path)


def test_a_card_that_contradicts_the_model_leaves_no_process(happens: Happens, tmp_path: Path) -> None:
    path = tmp_path / "bad.tflite"
    path.write_bytes(complete(compiled_model(), ModelCard(("a", "b"), InputSpec(32, 32)), "tiny"))
    with pytest.raises(ModelFormatError, match="2 labels, 4 outputs"):
        open_classifier(path, CORAL)


def test_verify_replays_on_the_accelerator(happens: Happens, compiled: Path) -> None:
    found = verify(compiled, coral=CORAL)
    assert found.passed and found.runtime is not None and found.runtime.endswith("with libedgetpu")
    happens("wrong")
    diverged = verify(compiled, coral=CORAL).divergence
    assert diverged is not None and diverged.stage == "invoke"


def test_two_cameras_share_one_accelerator_by_whatever_names_and_take_turns(
    compiled: Path, happens: Happens, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGETPU_DOUBLE_LOCK", str(tmp_path / "lock"))  # it can be opened once
    told: dict[str, list[FrameResult]] = {"porch": [], "gate": []}
    notices: list[Notice] = []

    class Seen(Sink):
        name = "seen"

        def frame(self, result: FrameResult) -> None:
            told[result.camera].append(result)

        def notice(self, notice: Notice) -> None:
            notices.append(notice)

    cameras = {
        name: LiveOptions(compiled, SourceOptions("fake:64x64@40"), ModelOptions(device=device, threads="1"))
        for name, device in (("porch", "coral:usb"), ("gate", "coral"))
    }
    children_before, workers = set(children(os.getpid())), set[str]()

    def enough() -> bool:
        workers.update(set(children(os.getpid())) - children_before)
        if len(told["porch"]) > 20 and len(told["gate"]) > 20:
            happens("invoke-segfault")
        return {one.camera for one in notices if "the CPU stands in" in one.text} == {"porch", "gate"}

    deadline_s, statuses = time.monotonic() + 240, dict[str, Status]()

    def run() -> None:
        statuses.update(
            run_cameras(
                cameras,
                sinks=lambda name: [Seen()],
                stopped=lambda: enough() or time.monotonic() > deadline_s,
                notify=lambda one: None,
            )
        )

    thread = threading.Thread(target=run)  # a main thread would keep what watches for signals
    thread.start()
    thread.join()
    assert len(workers) == 1
    assert {one.camera for one in notices} == {"porch", "gate"}  # both hear that it is gone, whoever's turn it was
    assert {one.device for one in statuses.values()} == {"cpu"}
    assert all(len(one) > 20 for one in told.values())

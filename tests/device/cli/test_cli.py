"""The `edge-run` command in a process of its own, as a person or a script meets it."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import pytest

from edge_core import Frame, ModelCard, read_card

from ...programs import Started

Command = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., subprocess.Popen[str]]
TinyModel = Callable[..., Path]

CLI = "edge_device.cli"
MODELS = Path(__file__).parents[2] / "models"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory, color_frames: dict[str, Frame]) -> Path:
    """A folder with red9.png, green10.png, blue11.png and dark12.png."""
    folder = tmp_path_factory.mktemp("pictures")
    for number, (label, frame) in enumerate(color_frames.items(), 9):
        assert cv2.imwrite(str(folder / f"{label}{number}.png"), frame)
    return folder


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory, color_frames: dict[str, Frame]) -> Path:
    """1200 frames, 20 a second: red, green, blue, dark, over and over. Their JSON does not fit into a pipe."""
    path = tmp_path_factory.mktemp("video") / "film.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 20, (64, 48))
    for _ in range(300):
        for frame in color_frames.values():
            writer.write(frame)
    writer.release()
    return path


def check_object(fields: Any) -> None:
    """What `--json` promises of every frame."""
    decision = ["decision"] if "decision" in fields else []  # of a picture by itself there is none
    assert list(fields) == ["source", "frame", "time_s", "top", *decision, "latency_ms"]
    assert isinstance(fields["source"], str)
    assert isinstance(fields["frame"], int)
    assert isinstance(fields["time_s"], float)
    scores = [best["score"] for best in fields["top"]]
    assert scores == sorted(scores, reverse=True)
    assert all(list(best) == ["label", "score"] and 0 <= best["score"] <= 1 for best in fields["top"])
    assert list(fields["latency_ms"]) == ["capture", "preprocess", "invoke", "total"]
    *parts, total = fields["latency_ms"].values()
    assert 0 < sum(parts) <= total + 0.002  # each is rounded


def our_lines(errors: str) -> list[str]:
    """Standard error without the chatter of the runtime, which starts with its level: `INFO: …`, `WARNING: …`."""
    return [line for line in errors.splitlines() if not line.startswith(("INFO:", "WARNING:", "W0000", "I0000"))]


def test_images_prints_a_line_for_every_picture(command: Command, tiny_model: TinyModel, pictures: Path) -> None:
    done = command(CLI, "images", tiny_model(), pictures / "red9.png", pictures, "--top", 2)
    assert done.returncode == 0
    lines = [line.split("  ") for line in done.stdout.splitlines()]
    named = [f"{label}.png" for label in ("red9", "blue11", "dark12", "green10", "red9")]
    assert [line[0] for line in lines] == [str(pictures / name) for name in named]
    assert [line[1].split()[0] for line in lines] == ["red", "blue", "dark", "green", "red"]
    assert lines[0][1] == "red 99.6 %"
    assert all(len(line) == 3 for line in lines)
    assert our_lines(done.stderr) == []


@pytest.mark.parametrize("kind", ["uint8", "float32"])
def test_images_prints_json(command: Command, tiny_model: TinyModel, pictures: Path, kind: str) -> None:
    done = command(CLI, "images", tiny_model(kind), pictures, "--json", "--threads", 1, "--runtime", "ai-edge-litert")
    assert done.returncode == 0
    objects = [json.loads(line) for line in done.stdout.splitlines()]
    for fields in objects:
        check_object(fields)
    assert [fields["frame"] for fields in objects] == [0, 1, 2, 3]
    assert [fields["top"][0]["label"] for fields in objects] == ["blue", "dark", "green", "red"]
    assert [Path(fields["source"]).name for fields in objects] == sorted(path.name for path in pictures.iterdir())
    assert all(len(fields["top"]) == 3 for fields in objects)


def test_images_goes_on_after_a_picture_that_cannot_be_read(
    command: Command, tiny_model: TinyModel, pictures: Path, tmp_path: Path
) -> None:
    broken, missing = tmp_path / "broken.jpg", tmp_path / "missing.jpg"
    broken.write_bytes(b"\xff\xd8\xff\xe0\0\x10JFIF" + bytes(200))
    done = command(CLI, "images", tiny_model(), broken, missing, pictures / "blue11.png")
    assert done.returncode == 2
    assert done.stdout.splitlines()[0].startswith(f"{pictures / 'blue11.png'}  blue 99.6 %")
    assert our_lines(done.stderr) == [
        f"error: {broken}: the file is truncated",
        f"error: {missing}: No such file or directory",
    ]


def test_images_only_warns_of_a_broken_picture_that_it_found_itself(
    command: Command, tiny_model: TinyModel, color_frames: dict[str, Frame], tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "1.jpg").write_text("no picture")
    alone = command(CLI, "images", tiny_model(), folder)
    assert (alone.returncode, alone.stdout) == (2, "")
    assert cv2.imwrite(str(folder / "2.png"), color_frames["red"])
    done = command(CLI, "images", tiny_model(), folder)
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 1
    (line,) = our_lines(done.stderr)
    assert line.startswith(f"warning: {folder / '1.jpg'}: ")


def test_any_file_name_can_be_printed(
    command: Command, tiny_model: TinyModel, color_frames: dict[str, Frame], tmp_path: Path
) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    ok, data = cv2.imencode(".png", color_frames["red"])
    assert ok
    Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.png")).write_bytes(data.tobytes())
    (folder / "näme 写真.png").write_bytes(data.tobytes())
    text = command(CLI, "images", tiny_model(), folder)
    assert text.returncode == 0
    assert "näme 写真.png  red" in text.stdout
    assert "caf\\udce9.png  red" in text.stdout
    objects = command(CLI, "images", tiny_model(), folder, "--json")
    assert objects.returncode == 0
    assert {json.loads(line)["top"][0]["label"] for line in objects.stdout.splitlines()} == {"red"}


def test_live_gives_every_frame_of_a_video_as_json(command: Command, tiny_model: TinyModel, video: Path) -> None:
    done = command(CLI, "live", tiny_model(), "--source", video, "--json", "--top", 1, "--frames", 40)
    assert done.returncode == 0
    objects, others = results_of(done.stdout)
    for fields in objects:
        check_object(fields)
    assert others[-1]["type"] == "status"
    assert others[-1]["frames"] == 40
    assert [fields["frame"] for fields in objects] == list(range(40))
    assert [fields["time_s"] for fields in objects] == pytest.approx([index / 20 for index in range(40)])
    assert [fields["top"][0]["label"] for fields in objects] == ["red", "green", "blue", "dark"] * 10
    (summary,) = our_lines(done.stderr)
    assert summary.startswith("40 frames, ")


def test_live_ends_with_the_video(command: Command, tiny_model: TinyModel, video: Path) -> None:
    done = command(CLI, "live", tiny_model(), "--source", video, "--top", 1)
    assert done.returncode == 0
    lines = [line for line in done.stdout.splitlines() if line.startswith(str(video))]
    assert len(lines) == 1200
    assert lines[2].startswith(f"{video}  0.10 s  blue 99.6 %  ")
    assert our_lines(done.stderr)[-1].startswith("1200 frames, ")


def results_of(output: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The frames in what `--json` printed, and all else."""
    objects = [json.loads(line) for line in output.splitlines()]
    return [one for one in objects if "type" not in one], [one for one in objects if "type" in one]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_live_ends_cleanly_when_it_is_asked_to(
    start: Start, tiny_model: TinyModel, video: Path, number: signal.Signals
) -> None:
    with start(CLI, "live", tiny_model(), "--source", video, "--json") as process:
        assert process.stdout
        assert process.stderr
        first = process.stdout.readline()
        process.send_signal(number)
        rest, errors = process.stdout.read(), process.stderr.read()
    objects, others = results_of(first + rest)
    assert 0 < len(objects) < 1200
    assert our_lines(errors)[-1].startswith(f"{len(objects)} frames, ")
    assert others[-1]["frames"] == len(objects)
    assert process.returncode == 0


def test_live_draws_a_dashboard_on_a_terminal(tiny_model: TinyModel, video: Path) -> None:
    ours, theirs = os.openpty()
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(sys.path),
        "COLUMNS": "80",
        "LINES": "30",
        "TERM": "xterm",
    }
    program = [sys.executable, "-c", f"from {CLI} import app; app()", "live", str(tiny_model()), "--source", str(video)]
    command = [*program, "--frames", "5"]
    with Started(command, stdout=theirs, stderr=subprocess.DEVNULL, env=environment) as process:
        assert process.wait(timeout=180) == 0
    os.close(theirs)
    shown = os.read(ours, 1 << 20).decode()
    os.close(ours)
    assert "red" in shown
    assert "fps" in shown


def test_live_tells_which_source_is_not_there(command: Command, tiny_model: TinyModel, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no video\n" * 99)
    (tmp_path / "bad.jpg").write_text("no picture")
    for source, reason in [
        ("99", "there is no camera /dev/video99"),
        (tmp_path / "missing.mp4", "is no file, folder or camera"),
        (tmp_path / "notes.txt", "neither a picture nor a video"),
        (tmp_path / "bad.jpg", "neither a picture nor a video"),
    ]:
        done = command(CLI, "live", tiny_model(), "--source", source)
        assert (done.returncode, done.stdout) == (2, "")
        assert our_lines(done.stderr)[-1].startswith("error: ")
        assert reason in our_lines(done.stderr)[-1]


@pytest.mark.parametrize("arguments", [("images",), ("images", "--json"), ("live",), ("live", "--json")])
def test_a_reader_may_go_at_any_time(
    start: Start, tiny_model: TinyModel, pictures: Path, video: Path, arguments: tuple[str, ...]
) -> None:
    """`edge-run … | head -1`"""
    source = [pictures] * 3 if arguments[0] == "images" else ["--source", video]
    with start(CLI, arguments[0], tiny_model(), *source, *arguments[1:]) as process:
        assert process.stdout
        assert process.stderr
        assert "red" in process.stdout.readline()
        process.stdout.close()
        errors = process.stderr.read()
    assert process.returncode == 0
    assert our_lines(errors) == []


def test_a_full_disk_is_one_line(tiny_model: TinyModel, pictures: Path) -> None:
    program = [sys.executable, "-c", f"from {CLI} import app; app()", "images", str(tiny_model()), str(pictures)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with open("/dev/full", "w") as full:
        done = subprocess.run(program, stdout=full, stderr=subprocess.PIPE, text=True, env=environment, check=False)
    assert done.returncode == 2
    assert our_lines(done.stderr) == ["error: [Errno 28] No space left on device"]


def test_ctrl_c_while_waiting_for_a_picture(start: Start, tiny_model: TinyModel, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.png"
    os.mkfifo(pipe)
    with start(CLI, "images", tiny_model(), pipe) as process:
        writing = os.open(pipe, os.O_WRONLY)  # returns when the command has opened it, too
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=180)
        os.close(writing)
    assert (process.returncode, output) == (130, "")
    assert our_lines(errors) == ["interrupted"]


def test_show_prints_the_card(command: Command, tiny_model: TinyModel) -> None:
    path = tiny_model()
    done = command(CLI, "show", path)
    assert done.returncode == 0
    assert done.stderr == ""
    for words in (str(path), "4: red, green, blue, dark", "32x32 RGB, crop center"):
        assert words in done.stdout
    assert ModelCard.from_text(command(CLI, "show", path, "--json").stdout) == read_card(path)


@pytest.mark.parametrize("name", ["images", "live", "show"])
def test_an_unfit_model_is_one_line(command: Command, tmp_path: Path, tiny_model: TinyModel, name: str) -> None:
    (tmp_path / "notes.tflite").write_text("a shopping list")
    unfit = [(tmp_path / "notes.tflite", "is not a TFLite model"), (MODELS / "tiny-uint8.tflite", "has no model card")]
    if name == "live":
        unfit += [(tiny_model(labels=("red", "blue")), "2 labels, 4 outputs")]
    for path, reason in unfit:
        done = command(CLI, name, path, *(["x.png"] if name == "images" else []))
        assert (done.returncode, done.stdout) == (2, "")
        (line,) = our_lines(done.stderr)
        assert line.startswith(f"error: {path}")
        assert reason in line


def test_debug_shows_where_an_error_comes_from(command: Command, tmp_path: Path) -> None:
    done = command(CLI, "show", tmp_path / "missing.tflite", "--debug")
    assert done.returncode == 2
    assert "Traceback" in done.stderr
    assert done.stderr.splitlines()[-1].startswith(
        f"error: {tmp_path / 'missing.tflite'}: No such file or directory; edge-convert export RUN --out "
    )


def test_a_runtime_that_is_not_installed_is_one_line(command: Command, tiny_model: TinyModel, pictures: Path) -> None:
    done = command(CLI, "images", tiny_model(), pictures, "--runtime", "tflite-runtime")
    assert done.returncode == 2
    assert our_lines(done.stderr) == ["error: tflite-runtime is not installed; pip install tflite-runtime"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("images",),
        ("images", "m.tflite"),
        ("images", "m.tflite", "a.png", "--top", "0"),
        ("images", "m.tflite", "a.png", "--runtime", "onnx"),
        ("live", "m.tflite", "--frames", "-1"),
        ("live", "m.tflite", "--max-fps", "many"),
        ("watch",),
    ],
)
def test_wrong_usage_has_status_2_and_nothing_on_standard_output(command: Command, arguments: tuple[str, ...]) -> None:
    done = command(CLI, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    # One line, as wide as it is: a box would wrap paths and options, and a journal keep each of its lines.
    assert re.fullmatch(r"error: .+ --help tells what it takes\n", done.stderr)


@pytest.mark.parametrize("name", [(), ("images",), ("live",), ("show",), ("verify",)])
def test_every_help_has_an_example(command: Command, name: tuple[str, ...]) -> None:
    done = command(CLI, *name, "--help")
    assert done.returncode == 0
    assert "Example: edge-run " in done.stdout
    assert done.stderr == ""


def test_the_command_starts_without_what_only_a_workstation_has() -> None:
    program = f"""
import sys, typer
from {CLI} import app
group = typer.main.get_command(app)
assert all(group.get_command(None, name) for name in group.list_commands(None))
print(*sys.modules)
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True)
    loaded = set(done.stdout.split())
    assert "edge_device.inference.streaming" in loaded
    assert not loaded & {"tensorflow", "tf_keras", "matplotlib", "rich.progress", "asyncio"}


def test_classifying_pictures_imports_nothing_that_only_cameras_and_accelerators_need() -> None:
    program = "import sys; import edge_device.cli.images_command; print(*sys.modules)"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True)
    loaded = set(done.stdout.split())
    assert "edge_device.sources.pictures" in loaded
    cameras = {f"edge_device.sources.{name}" for name in ("v4l2", "picamera", "fake", "reconnecting", "video", "stdin")}
    assert not loaded & {*cameras, "edge_device.inference.accelerator.process", "edge_device.live.loop", "logging"}

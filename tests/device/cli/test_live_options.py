"""`LiveOptions`: one description for the command line and for scripts, and a run of it from Python."""

import json
import signal
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import typer

from edge_core.errors import SettingsError, SourceError
from edge_device import (
    DecisionOptions,
    LiveOptions,
    ModelOptions,
    SinkOptions,
    SourceOptions,
    run_live,
)
from edge_device.cli.live_command import live
from edge_device.cli.live_parameters import options_of
from edge_device.live.options import described, groups
from edge_device.notices import Notice
from edge_device.results import Event, FrameResult
from edge_device.sinks.sink import Sink

pytestmark = pytest.mark.timeout(300)

TinyModel = Callable[..., Path]
FILE = Path("m.tflite")


def parsed(words: Sequence[str]) -> LiveOptions:
    parser = typer.Typer(add_completion=False)
    parser.command()(live)
    return options_of(typer.main.get_command(parser).make_context("live", [str(FILE), *words]).params)


class Results(Sink):
    name = "results"

    def __init__(self) -> None:
        self.frames_seen: list[FrameResult] = []
        self.events_seen: list[Event] = []
        self.closed = False

    def frame(self, result: FrameResult) -> None:
        self.frames_seen.append(result)

    def event(self, event: Event) -> None:
        self.events_seen.append(event)

    def close(self) -> None:
        self.closed = True


def test_a_command_line_without_options_gives_the_defaults_of_the_dataclasses() -> None:
    assert parsed([]) == LiveOptions(FILE)


def test_a_command_line_gives_the_options_that_a_script_would_write() -> None:
    words = [
        "--source",
        "picamera",
        "--control",
        "a=1",
        "--control",
        "b=2",
        "--zone",
        "door=0,0,0.5,1",
        "--format",
        "YUYV",
    ]
    words += ["--mirror", "--threads", "2", "--threshold", "0.7", "--top", "1", "--web", "8080", "--no-mqtt-picture"]
    assert parsed([*words, "--jsonl", "events.jsonl"]) == LiveOptions(
        FILE,
        SourceOptions("picamera", pixel_format="YUYV", controls=("a=1", "b=2"), zones=("door=0,0,0.5,1",), mirror=True),
        ModelOptions(threads="2"),
        DecisionOptions(top=1, thresholds=("0.7",)),
        SinkOptions(jsonl=Path("events.jsonl"), web="8080", mqtt_picture=False),
    )


def test_no_two_groups_have_an_option_of_one_name_and_each_explains_itself() -> None:
    options = [one for _, _, kind in groups() for one in described(kind)]
    assert len({one.name for one in options}) == len(options)
    assert [one.name for one in options if not one.option.help.strip().endswith(".")] == []


def test_a_script_runs_live_and_gets_results_events_and_statistics(tiny_model: TinyModel, tmp_path: Path) -> None:
    results, model = Results(), tiny_model()
    events = tmp_path / "events.jsonl"
    before = signal.getsignal(signal.SIGHUP)
    status = run_live(
        LiveOptions(
            model,
            SourceOptions("fake:64x64@50", frames=70),
            ModelOptions(threads="1"),
            DecisionOptions(thresholds=("0.0",), smoothing="none"),
            SinkOptions(jsonl=events),
        ),
        sinks=[results],
    )
    assert status.frames == 70
    assert results.closed
    assert [event.kind for event in results.events_seen][:1] == ["entered"]
    assert set(status.sinks) == {"results", "jsonl"}
    assert {json.loads(line)["type"] for line in events.read_text().splitlines() if '"type"' in line} >= {"event"}
    assert signal.getsignal(signal.SIGHUP) is before


def test_a_run_in_another_thread_ends_when_it_is_asked_to(tiny_model: TinyModel) -> None:
    enough, results = threading.Event(), Results()
    model = tiny_model()
    frames: list[int] = []

    def run() -> None:
        options = LiveOptions(model, SourceOptions("fake:64x64@50"), ModelOptions(threads="1"))
        frames.append(run_live(options, sinks=[results], stopped=enough.is_set).frames)

    thread = threading.Thread(target=run)
    thread.start()
    while not results.frames_seen and thread.is_alive():
        enough.wait(0.01)
    enough.set()
    thread.join(60)
    assert frames and frames[0] >= 1
    assert results.closed


@pytest.mark.parametrize(
    ("source", "model", "error"),
    [
        (SourceOptions(roi="0,0,1,1", zones=("a=0,0,1,1",)), ModelOptions(), SettingsError),
        (SourceOptions(rotate=45), ModelOptions(), SettingsError),
        (SourceOptions("fake:64x64@50"), ModelOptions(threads="many"), SettingsError),
        (SourceOptions("fake:64x64@50"), ModelOptions(device="gpu"), SettingsError),
        (SourceOptions("no/such/film.mp4"), ModelOptions(threads="1"), SourceError),
    ],
)
def test_what_cannot_be_run_is_refused_in_one_line(
    tiny_model: TinyModel, source: SourceOptions, model: ModelOptions, error: type[Exception]
) -> None:
    with pytest.raises(error) as raised:
        run_live(LiveOptions(tiny_model(), source, model))
    assert len(str(raised.value).splitlines()) == 1


def test_what_went_wrong_at_the_end_is_handed_to_the_notifier(tiny_model: TinyModel) -> None:
    class Stubborn(Results):
        def event(self, event: Event) -> None:
            raise OSError("no room")

    notices: list[Notice] = []
    options = LiveOptions(
        tiny_model(),
        SourceOptions("fake:64x64@50", frames=70),  # the first second makes no event
        ModelOptions(threads="1"),
        DecisionOptions(thresholds=("0.0",), smoothing="none"),
    )
    run_live(options, sinks=[Stubborn()], notify=notices.append)
    assert [(one.level, one.about) for one in notices] == [("warning", "sink results")]
    assert "not delivered" in notices[0].text

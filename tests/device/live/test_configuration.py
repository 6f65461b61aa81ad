"""Configuration files of `edge-run live`: a command line said in a file; a wrong file is refused in one line."""

import os
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Literal, get_args, get_origin

import pytest
import typer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from edge_core.errors import SettingsError
from edge_device.cli import app
from edge_device.cli.live_command import live
from edge_device.cli.live_parameters import given_fields, options_of, run_of
from edge_device.live.configuration import ConfigFile, LiveRun, config_text, live_run, read_config
from edge_device.live.configuration.config_file import options
from edge_device.live.configuration.live_run import document
from edge_device.live.configuration.service_config import service_config
from edge_device.live.configuration.toml_text import line_of, toml_value
from edge_device.live.configuration.typed_values import MANY, is_file, plain_type
from edge_device.live.options import MODEL, ConsoleOptions, Described, make_options, values_of
from edge_device.system import unit_file as service

pytestmark = pytest.mark.timeout(300)

TinyModel = Callable[..., Path]
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20)
PATHS = TEXT.filter(lambda text: text.strip("./") and not text.startswith(("~", "-", "@"))).map(Path)


_PARSER = typer.Typer(add_completion=False)
_PARSER.command()(live)
LIVE = typer.main.get_command(_PARSER)


def parse(words: list[str]) -> tuple[dict[str, object], set[str]]:
    context = LIVE.make_context("live", words)
    return context.params, given_fields(context)  # type: ignore[arg-type]


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "porch.toml"
    path.write_text(text)
    return path


def values(one: Described) -> st.SearchStrategy[object]:
    """Any value that the command line takes for an option."""
    kind = plain_type(one)
    low, high = one.option.minimum, one.option.maximum
    if kind == MANY:
        return st.lists(TEXT, min_size=1, max_size=3).map(tuple)
    if get_origin(kind) is Literal:
        return st.sampled_from(get_args(kind))
    if kind is bool:
        return st.booleans()
    if kind is int:
        return st.integers(-1000 if low is None else int(low), 10**9 if high is None else int(high))
    if kind is float:
        return st.floats(low, 1e9 if high is None else high, allow_nan=False)
    if kind is Path:
        return PATHS
    return TEXT.filter(lambda text: "://" not in text)


def words_of(one: Described, value: object) -> list[str]:
    if plain_type(one) is bool:
        return [f"--{'' if value else 'no-'}{one.key}"] if one.option.flag is None or value else []
    return [f"--{one.key}={text}" for text in (value if isinstance(value, tuple) else [value])]


ANY = {name: values(one) for name, one in options().items() if name != MODEL.name}


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.fixed_dictionaries({}, optional=ANY), PATHS)
def test_every_option_goes_from_a_command_line_through_a_file_to_the_same_settings(
    tmp_path: Path, asked: dict[str, object], model: Path
) -> None:
    known = options()
    line = [f"./{model}", *(word for name, value in asked.items() for word in words_of(known[name], value))]
    parsed, _ = parse(line)
    console = ConsoleOptions(bool(parsed["as_json"]), bool(parsed["debug"]))
    run = LiveRun({"": options_of(parsed)}, console)
    path = written(tmp_path, config_text(run))
    read = read_config(path, base=Path("/"))
    again = make_options(read.common)
    assert values_of(again) == {name: _absolute(name, value) for name, value in values_of(run.cameras[""]).items()}
    assert [read.common.get(name, False) for name in ("as_json", "debug")] == [console.as_json, console.debug]
    assert config_text(LiveRun({"": again}, console)) == path.read_text()  # what is written, is written again


def _absolute(name: str, value: object) -> object:
    if value == options()[name].default:
        return value
    if isinstance(value, Path):
        return Path.cwd() / value
    return str(Path.cwd() / str(value)) if is_file(options()[name], str(value)) else value


@pytest.mark.parametrize("name", [name for name in options() if name != MODEL.name])
def test_no_option_is_lost_on_the_way(name: str, tmp_path: Path) -> None:
    one = options()[name]
    value = {"pixel_format": "YUYV", "runtime": "tflite-runtime", "source": "12"}.get(name)
    kind = plain_type(one)
    value = value or ({int: 7, float: 1.0, bool: not one.default, Path: Path("/a"), MANY: ("x",)}.get(kind, "0:9"))  # type: ignore[call-overload]
    read = read_config(written(tmp_path, document({MODEL.name: Path("/m.tflite"), name: value}, {})))
    assert read.common == {MODEL.name: Path("/m.tflite"), name: value}
    assert value != one.default


@settings(max_examples=150, deadline=None)
@given(
    st.one_of(
        st.text(st.characters(exclude_categories=["Cs"])),
        st.booleans(),
        st.integers(-(2**63), 2**63 - 1),
        st.floats(allow_nan=False, allow_infinity=False),
        st.lists(st.text(st.characters(exclude_categories=["Cs"]))),
    )
)
def test_what_is_written_as_toml_is_read_back(value: str | bool | float | list[str]) -> None:
    text = toml_value(value)
    assert "\n" not in text
    assert tomllib.loads(f"a = {text}") == {"a": value}


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(["# a comment", "", 'k{n} = """\nx\n"""', "k{n} = [\n 1,\n]", "k{n} = 1"]), max_size=12)
)
def test_the_line_of_a_key_is_the_one_that_it_begins_on(statements: list[str]) -> None:
    statements = [one.format(n=number) for number, one in enumerate(statements)]
    text = "\n".join([*statements, "[t]", "last = 1", "# end", ""])
    lines = text.split("\n")
    for key in tomllib.loads(text):
        assert lines[line_of(text, [key]) - 1].startswith("[t]" if key == "t" else key + " =")
    assert lines[line_of(text, ["t", "last"]) - 1] == "last = 1"


WRONG = [
    ("sorce = '0'", 1, "sorce", "source"),
    ("\n# hello\nmax_fps = 5", 3, "max_fps", "max-fps"),
    ("controls = ['a=1']", 1, "controls", "control"),
    ("xyzzy = 1", 1, "xyzzy", "--help"),
    ("camera-porch = 1", 1, "camera-porch", "camera"),
    ("source = 0", 1, "source", 'write source = "0"'),
    ("web = 8080", 1, "web", 'write web = "8080"'),
    ("top = '3'", 1, "top", "whole number"),
    ("top = 2.5", 1, "top", "whole number"),
    ("top = true", 1, "top", "whole number"),
    ("top = 0", 1, "top", "at least 1"),
    ("top = 0xffffffffffffffffffffffff", 1, "top", "64 bits"),
    ("familiar = 1.5", 1, "familiar", "at most 1"),
    ("fps = 'fast'", 1, "fps", "a number"),
    ("fps = nan", 1, "fps", "finite"),
    ("mirror = 'yes'", 1, "mirror", "true or false"),
    ("mirror = 1", 1, "mirror", "true or false"),
    ("threshold = 0.6", 1, "threshold", "list of texts"),
    ("threshold = '0.6'", 1, "threshold", "list of texts"),
    ("zone = ['a=0,0,1,1',\n 5]", 1, "zone", "list of texts"),
    ("jsonl = ''", 1, "jsonl", "path"),
    ("jsonl = '~/events'", 1, "jsonl", "whole path"),
    ("jsonl = 2026-01-01", 1, "jsonl", "takes text"),
    ("format = 'H264'", 1, "format", "MJPG"),
    ("runtime = 'tensorflow'", 1, "runtime", "litert"),
    ("rotate = 45", 1, "rotate", "90"),
    ("smoothing = 'much'", 1, "smoothing", "0.5s"),
    ("threshold = ['2']", 1, "threshold", "from 0 to 1"),
    ("web = 'here'", 1, "web", "PORT"),
    ("threads = 'many'", 1, "threads", "auto"),
    ("device = 'gpu'", 1, "device", "coral"),
    ("on-event = 'sh {label}'", 1, "on-event", "shell"),
    ("roi = '0,0,1,1'\nzone = ['a=0,0,1,1']", 2, "zone", "--roi"),
    ("top = 1\nmqtt-ca = 'a.pem'", 2, "mqtt-ca", "--mqtt"),
    ("\nsnapshots-foreign = true", 2, "snapshots-foreign", "--snapshots"),
    ("web-root = '/cam/'", 1, "web-root", "--web"),
    ("web = '80'\nprometheus = '80'", 2, "prometheus", "same port"),
    ("password = 'x'", 1, "password", "EDGE_RUN_MQTT_PASSWORD"),
    ("\ntoken = 'x'", 2, "token", "token-file"),
    ("mqtt = 'mqtt://me:hunter2@host'", 1, "mqtt", "EDGE_RUN_MQTT_PASSWORD"),
    ("source = 'rtsp://me:hunter2@host/1'", 1, "source", "EDGE_RUN_SOURCE_PASSWORD"),
    ("source = 'http://host/pic?user=a&pwd=hunter2'", 1, "source", "EDGE_RUN_SOURCE_PASSWORD"),
    ("webhook = 'https://me:hunter2@host/'", 1, "webhook", "EDGE_RUN_WEBHOOK_TOKEN"),
    ("top = 1\ntop = 2", 2, "", "TOML"),
    ("top = \n", 1, "", "TOML"),
    ("a\n", 1, "", "TOML"),
    ("source = '0\n", 1, "", "TOML"),
    ("x = " + "[" * 5000, None, "", ""),
    ("[web]\nport = 1", 1, "web", "takes text"),
    ("[camera]\nfps = 3", 2, "camera.fps", "[camera.porch]"),
    ("camera = 3", 1, "camera", "[camera.porch]"),
    ("[camera.'a b']", 1, "camera.a b", "letters"),
    ("[camera.a]\n[camera.A]", 2, "camera.A", "capital"),
    ("[camera.porch]\nfps = 3\nsorce = '0'", 3, "camera.porch.sorce", "source"),
    ("[camera.porch]\nweb = '80'", 2, "camera.porch.web", "one for all cameras"),
    ("[camera.porch]\nfps = 'x'", 2, "camera.porch.fps", "a number"),
]


@pytest.mark.parametrize(("text", "line", "key", "hint"), WRONG)
def test_a_wrong_file_is_one_line_with_file_line_and_key(
    tmp_path: Path, text: str, line: int | None, key: str, hint: str
) -> None:
    path = written(tmp_path, text)
    found = CliRunner().invoke(app, ["live", "m.tflite", "--config", str(path)])
    assert found.exit_code == 2
    (said,) = found.stderr.splitlines()
    assert said.startswith(f"error: {path}")
    assert hint in said
    if line:
        assert said.startswith(f"error: {path}:{line}: {key}{':' if key else ''}")
    assert "hunter2" not in said


@pytest.mark.parametrize("data", [b"a = '\xff'", b"\n\nx = '\xc3('"])
def test_bytes_that_are_no_text_are_told_of_with_their_line(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "porch.toml"
    path.write_bytes(data)
    with pytest.raises(SettingsError, match=rf":{data.count(bytes([10])) + 1}: a byte is not UTF-8"):
        read_config(path)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=80) | st.text(st.sampled_from('[]camer.a="\n #1t'), max_size=60).map(str.encode))
def test_any_bytes_are_a_file_or_one_line(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "porch.toml"
    path.write_bytes(data)
    try:
        assert isinstance(read_config(path), ConfigFile)
    except SettingsError as error:
        assert len(str(error).splitlines()) == 1


def test_a_file_that_is_not_there_and_one_that_is_huge_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read: No such file"):
        read_config(tmp_path / "absent.toml")
    with pytest.raises(SettingsError, match="256 KiB"):
        read_config(written(tmp_path, "#" * 300_000))


def test_the_command_line_goes_before_the_file_and_paths_start_from_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, 'model = "m.tflite"\nsource = "film.mp4"\njsonl = "e.jsonl"\ntop = 2\nmirror = true')
    asked = run_of(*parse(["--config", str(path), "--top", "5"])).cameras[""]
    assert (asked.file, asked.source.source, asked.sinks.jsonl) == (
        tmp_path / "m.tflite",
        str(tmp_path / "film.mp4"),
        tmp_path / "e.jsonl",
    )
    assert (asked.decisions.top, asked.source.mirror) == (5, True)
    assert run_of(*parse(["other.tflite", "--config", str(path)])).cameras[""].file == Path("other.tflite")
    for camera in ("picamera", "picamera:1", "-", "fake:64x64@5", "rtsp://host/1", "/dev/video0", "12"):
        assert read_config(written(tmp_path, f'source = "{camera}"')).common["source"] == camera


def test_an_option_given_at_its_default_still_goes_before_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, "top = 7\n[camera.porch]\nfps = 5")
    assert run_of(*parse(["m.tflite", "--config", str(path), "--top", "3"])).cameras["porch"].decisions.top == 3


def test_without_a_model_it_says_where_one_may_stand(tmp_path: Path) -> None:
    found = CliRunner().invoke(app, ["live", "--config", str(written(tmp_path, "top = 1"))])
    assert (found.exit_code, found.stderr.count("\n")) == (2, 1)
    assert "porch.toml the key model" in found.stderr
    found = CliRunner().invoke(app, ["live"])
    assert (found.exit_code, found.stderr.count("\n")) == (2, 1)
    assert "--config" in found.stderr


def test_cameras_are_printed_with_what_they_share_before_them(tmp_path: Path) -> None:
    text = 'model = "/m.tflite"\nfps = 5\n[camera.porch]\nsource = "0"\n[camera.feeder]\nsource = "1"\nfps = 2\n'
    run = live_run({}, read_config(written(tmp_path, text)))
    printed = config_text(run)
    assert live_run({}, read_config(written(tmp_path, printed))) == run
    assert printed.index("model =") < printed.index("[camera.porch]") < printed.index("[camera.feeder]")
    assert run.cameras["porch"].source.fps == 5
    assert run.cameras["feeder"].source.fps == 2


def test_no_password_is_printed(tmp_path: Path) -> None:
    found = CliRunner().invoke(app, ["live", "m.tflite", "--mqtt", "mqtt://me:hunter2@host", "--print-config"])
    assert found.exit_code == 2
    assert "hunter2" not in found.output
    assert "EDGE_RUN_MQTT_PASSWORD" in found.stderr


def test_a_file_name_that_is_no_text_is_not_printed_as_something_else() -> None:
    with pytest.raises(SettingsError, match="not UTF-8"):
        config_text(LiveRun({"": make_options({"file": Path(os.fsdecode(b"\xff.tflite"))})}))


def test_a_service_has_the_file_copied_with_the_places_that_it_reaches(tiny_model: TinyModel, tmp_path: Path) -> None:
    model, key = tiny_model(), tmp_path / "release.pub.pem"
    key.write_text("key")
    (tmp_path / "porch.toml").write_text(
        f'model = "{model}"\nkey = "release.pub.pem"\njsonl = "e.jsonl"\nsource = "picamera"\ntop = 2\n'
        'mqtt = "mqtt://host"\nmqtt-key = "release.pub.pem"\nmqtt-cert = "release.pub.pem"\n'
    )
    plan = service.plan(None, ["--config", str(tmp_path / "porch.toml")], name="porch", config=service_config)
    ((text, target),) = plan.texts
    assert f"live --config {target}" in plan.unit
    written = tomllib.loads(text)
    assert written["model"] == "/var/lib/edge-mobilenet/edge-run-porch/model.tflite"
    assert written["jsonl"] == "/var/lib/edge-run-porch/e.jsonl"
    assert written["mqtt-key"] == "/run/credentials/edge-run-porch.service/mqtt-key"
    assert f"LoadCredential=mqtt-key:{key}" in plan.unit
    assert (written["source"], written["top"]) == ("picamera", 2)
    assert {source: str(copy) for source, copy in plan.copies} == {
        model: written["model"],
        key: written["key"],
    }
    assert [one for one in plan.obstacles if "e.jsonl" in one] == []


def test_two_cameras_of_a_service_have_a_model_each(tiny_model: TinyModel, tmp_path: Path) -> None:
    model = tiny_model()
    path = written(
        tmp_path, f'[camera.a]\nsource = "0"\nmodel = "{model}"\n[camera.b]\nsource = "1"\nmodel = "{model}"'
    )
    plan = service.plan(None, ["--config", str(path)], config=service_config)
    assert [copy.name for _, copy in plan.copies] == ["model-a.tflite", "model-b.tflite"]
    path = written(tmp_path, 'model = "absent.tflite"')
    with pytest.raises(SettingsError, match=r"absent\.tflite is not a file"):
        service.plan(None, ["--config", str(path)], config=service_config)


READ = {
    name: one for name, one in options().items() if plain_type(one) is Path and f"--{one.key}" not in service.WRITTEN
}


@pytest.mark.parametrize("way", ["command line", "file"])
def test_a_service_reaches_each_file_that_live_reads(
    tiny_model: TinyModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.chdir(tmp_path)
    keys = [options()[name].key for name in (*READ, "focus") if name != MODEL.name]
    for key in keys:
        (tmp_path / f"{key}.tflite").touch()
    words = [word for key in keys for word in (f"--{key}", f"{key}.tflite")]
    if way == "file":
        written(tmp_path, "".join(f'{key} = "{key}.tflite"\n' for key in keys))
        words = ["--config", "porch.toml"]
    plan = service.plan(tiny_model(), words, config=service_config)
    said = plan.texts[0][0] if plan.texts else plan.unit
    copies = {str(target): source for source, target in plan.copies}
    for key in keys:
        (place,) = re.findall(rf'(?:--{key} |^{key} = )"?([^" \n]+)', said, re.MULTILINE)
        file = tmp_path / f"{key}.tflite"
        assert copies.get(place) == file or f"LoadCredential={place.rpartition('/')[2]}:{file}" in plan.unit, key


def test_show_prints_the_file_that_a_service_would_read(tiny_model: TinyModel, tmp_path: Path) -> None:
    path = written(tmp_path, f'model = "{tiny_model()}"\ntop = 2\n[camera.porch]\nsource = "picamera"\n')
    found = CliRunner().invoke(app, ["service", "show", "--config", str(path)])
    assert found.exit_code == 0
    unit, _, text = found.stdout.partition("\n# /var/lib/edge-mobilenet/edge-run/live.toml\n")
    assert "ExecStart=" in unit
    assert tomllib.loads(text)["camera"] == {"porch": {"source": "picamera"}}

"""Which network is recommended, for what reason, and what is said of those that there are no weights of."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from typer.testing import CliRunner

from edge_bench.arm.instructions import InstructionCost
from edge_bench.choose import twins
from edge_bench.choose.choice_output import choice_json, write_plot
from edge_bench.choose.choosing import Chosen, Tried, recommended, with_front
from edge_bench.choose.networks import BackboneVariant, planned
from edge_bench.cli import app
from edge_core.errors import SettingsError, WeightsError
from edge_core.statistics import Estimate, accuracy, paired_difference
from edge_keras.models import pretrained
from edge_keras.models.architectures import KerasFile
from edge_keras.tf import keras


def tried(milliseconds: dict[int, float], right: dict[int, npt.NDArray[np.bool_]]) -> list[Tried]:
    """Networks by input size."""
    best = max(right.values(), key=lambda one: one.mean())
    return with_front(
        [
            Tried(
                BackboneVariant("mobilenet_v2", 1.0, size),
                "",
                accuracy(right[size]),
                paired_difference(right[size], best),
                Estimate(time, time, time),
            )
            for size, time in milliseconds.items()
        ]
    )


def right(share: float) -> npt.NDArray[np.bool_]:
    return np.arange(1000) < round(1000 * share)


TIMES = {96: 2.0, 128: 4.0, 160: 8.0, 192: 12.0, 224: 16.0}
RIGHT = {96: right(0.80), 128: right(0.90), 160: right(0.85), 192: right(0.95), 224: right(0.951)}


def test_the_front_is_what_nothing_is_both_faster_and_more_accurate_than() -> None:
    rows = tried(dict(reversed(TIMES.items())), RIGHT)
    assert [row.network.size for row in rows] == sorted(TIMES)
    assert [row.network.size for row in rows if row.on_front] == [96, 128, 192, 224]


@pytest.mark.parametrize(
    ("max_ms", "size"),
    [
        (None, 192),  # 224 is more accurate by one photo of a thousand, which is none to be told apart
        (16.0, 192),
        (11.9, 128),
        (3.0, 96),
        (1.9, None),
    ],
)
def test_recommended_is_the_fastest_that_cannot_be_told_from_the_best_within_the_time(
    max_ms: float | None, size: int | None
) -> None:
    rows = tried(TIMES, RIGHT)
    best = recommended(
        rows, {BackboneVariant("mobilenet_v2", 1.0, size): share for size, share in RIGHT.items()}, max_ms
    )
    assert (best and best.network.size) == size
    sentence = Chosen(tuple(rows), best, (), 1000, "measured", max_ms).sentence()
    assert (f"mobilenet_v2-1-{size}" if size else "none of the networks takes 1.9 ms or less") in sentence


def test_networks_are_planned_by_backbone_width_and_size() -> None:
    assert len(planned()) == len(set(planned())) > 10
    assert planned(["resnet50"]) == (BackboneVariant("resnet50", 1.0, 224),)
    assert planned(["mobilenet_v2"], [0.35], [96, 100]) == tuple(
        BackboneVariant("mobilenet_v2", 0.35, size) for size in (96, 100)
    )
    assert {network.alpha for network in planned(["efficientnet_lite0", "mobilenet_v2"], [0.5])} == {0.5}
    with pytest.raises(SettingsError, match="do you mean resnet50"):
        planned(["resnet5"])
    with pytest.raises(SettingsError, match=r"--alpha 0.5: none"):
        planned(["vgg16"], [0.5])


def test_times_of_a_board_that_is_not_there_are_its_cycles(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def counted(files: object, cpus: list[str], *_: object) -> list[InstructionCost]:
        assert cpus == ["cortex-a72"]
        return [
            InstructionCost("one", "cortex-a72", "preprocessing", "", 3_000_000, 0, 0, 0, 0, ""),
            InstructionCost("one", "cortex-a72", "inference", "", 57_000_000, 0, 0, 0, 0, ""),
        ]

    monkeypatch.setattr(twins, "count_instructions", counted)
    clocked = twins.clock_twins([tmp_path / "one.tflite"], "pi4", tmp_path)
    assert clocked.times["one"].value == pytest.approx(60e6 / 1.5e9 * 1e3)
    assert "estimated for a Raspberry Pi 4" in clocked.how


@pytest.mark.slow
def test_the_command_chooses_among_networks_that_there_are_weights_of(
    color_photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(file: KerasFile) -> Path:
        raise WeightsError("not reached")

    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(pretrained, "_download", unreachable)
    (tmp_path / "keras" / "models").mkdir(parents=True)
    trunk = keras.applications.MobileNetV2((96, 96, 3), alpha=0.35, include_top=False, weights=None)
    file = tmp_path / "keras" / "models" / "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_96_no_top.h5"
    trunk.save_weights(file)
    monkeypatch.setattr(twins, "SECONDS", 0.5)
    sizes = ["--image-size", "96", "--image-size", "128"]
    words = ["choose", str(color_photos), "--backbone", "mobilenet_v2", "--alpha", "0.35", *sizes, "--threads", "1"]
    done = CliRunner().invoke(app, [*words, "--out", str(tmp_path / "choice.png"), "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    (row,) = found["networks"]
    assert found["recommended"] == row["name"] == "mobilenet_v2-0.35-96"
    assert row["accuracy"]["value"] > 0.6 and row["milliseconds"]["value"] > 0
    assert "not reached" in found["left_out"]["mobilenet_v2-0.35-128"]
    assert 30 <= found["photos"] < 42, "the test photos stay out"
    assert cv2.imread(str(tmp_path / "choice.png")) is not None


def test_one_network_alone_is_drawn_whatever_its_time(tmp_path: Path) -> None:
    """Matplotlib's own limits of a single time on a log scale fail for one value in four, 2.2 and 6.0 among them."""
    first = tried(TIMES, RIGHT)[0]
    for milliseconds, limit in ((2.2, None), (6.0, None), (8.0, 8.0), (0.4, 50.0)):
        one = replace(first, milliseconds=Estimate(milliseconds, milliseconds, milliseconds))
        write_plot(Chosen((one,), one, (), 1000, "measured", limit), tmp_path / "choice.png")
        assert cv2.imread(str(tmp_path / "choice.png")) is not None


def test_json_has_the_options_of_the_command_that_trains_it() -> None:
    rows = tried(TIMES, RIGHT)
    found = choice_json(Chosen(tuple(rows), rows[0], (), 1000, "measured", 5.0))
    assert json.loads(json.dumps(found))["networks"][0]["options"] == "--backbone mobilenet_v2 --image-size 96"

"""What 8 bits ruin is refused, found in the layer report, and repaired."""

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from edge_convert.export import ExportSession, export
from edge_convert.export.debug import layer_report, write_layer_report
from edge_convert.export.search import search
from edge_convert.gate.gate_comparison import Changed, ClassDrop
from edge_convert.gate.limits import Limits
from edge_convert.quantize.calibration import BINS, least_error, percentile
from edge_convert.quantize.equalization import correct_biases, equalize, folded, groups, rescale
from edge_convert.quantize.recipes import float16, float32
from edge_convert.report.export_page import write_report
from edge_core.artifact.container import read_card
from edge_core.errors import CheckFailedError, OutputError
from edge_core.run_folder import MODEL_FILE, Run, read_run
from edge_core.statistics import Estimate
from edge_keras.tf import keras

SIDE = 48
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def hostile_run(small_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """As `small_run`, by way of six channels, three of which are a thousand times the others and count as little."""
    folder = tmp_path_factory.mktemp("runs") / "hostile"
    folder.mkdir()
    for file in small_run.folder.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    pixels = keras.Input((SIDE, SIDE, 3))
    spread = keras.layers.Conv2D(6, 1, name="spread")
    gather = keras.layers.Conv2D(3, 1, activation="relu6", name="gather")
    dense = keras.layers.Dense(3, activation="softmax", name="scores")
    levels = keras.layers.Rescaling(1 / 127.5, offset=-1)(pixels)
    model = keras.Model(pixels, dense(keras.layers.GlobalAveragePooling2D()(gather(spread(levels)))))
    spread.set_weights([np.hstack([np.eye(3), 1000 * np.eye(3)])[None, None], np.zeros(6)])
    gather.set_weights([np.vstack([np.eye(3), np.eye(3) / 10000])[None, None], np.ones(3)])
    dense.set_weights([10 * np.eye(3)[:, ::-1], np.zeros(3)])
    model.save(folder / MODEL_FILE)
    return read_run(folder)


def test_auto_finds_what_plain_int8_fails_at(hostile_run: Run, tmp_path: Path) -> None:
    with pytest.raises(CheckFailedError, match="try --recipe auto"):
        export(hostile_run, "int8", tmp_path / "a.tflite")
    searched = search(hostile_run, tmp_path / "a.tflite", Limits(max_drop=0.5, targets=("coral", "pi")))
    assert [one.recipe for one in searched.tried] == ["int8", "int8-equalised"]
    assert searched.exported is not None
    assert searched.exported.comparison.agreement.value == 1.0
    assert read_card(searched.exported.file).conversion["recipe"] == "int8-equalised"
    report = json.loads(searched.exported.report.read_text())
    assert [one["recipe"] for one in report["tried"]] == ["int8", "int8-equalised"]
    assert list(report["tried"][0]["missed"]) == ["max_drop"]
    assert "What was tried" in searched.exported.page.read_text()


def test_auto_writes_nothing_where_no_recipe_keeps_to_all_limits(
    small_run: Run, tmp_path: Path, command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    out = tmp_path / "a.tflite"
    done = command(
        "edge_convert.cli", "export", small_run.folder, "--recipe", "auto", "--max-size-kb", 1, "--target", "coral",
        "--out", out, "--json",
    )  # fmt: skip
    assert done.returncode == 1
    assert "--qat" in done.stderr
    found = json.loads(done.stdout)
    assert found["file"] is None
    assert [one["recipe"] for one in found["tried"]] == ["int8", "int8-equalised", "int8-mse", "int8-percentile"]
    assert all(list(one["missed"]) == ["max_size_kb"] for one in found["tried"])
    assert list(tmp_path.iterdir()) == []


def test_the_output_of_a_search_must_be_a_tflite(small_run: Run, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"ends in \.tflite"):
        search(small_run, tmp_path / "a.txt", Limits())


def test_the_layer_report_names_what_hurts(hostile_run: Run, tmp_path: Path) -> None:
    report = layer_report(hostile_run)
    assert report.layers[0].layer == "spread"
    assert report.layers[0].channel_sqnr_db < 6
    assert report.layers[0].sqnr_db > 30
    assert {"spread", "gather"} <= set(report.spared)
    write_layer_report(report, tmp_path / "layers")
    assert json.loads((tmp_path / "layers" / "layers.json").read_text())["layers"][0]["layer"] == "spread"
    assert (tmp_path / "layers" / "layers.png").read_bytes().startswith(b"\x89PNG")


def test_debug_prints_the_noisiest_layer_first(
    hostile_run: Run, command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    done = command("edge_convert.cli", "debug", hostile_run.folder)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert next(line for line in lines if line.startswith(("spread", "gather", "scores"))).startswith("spread")
    assert lines[-1].startswith("int8-selective would leave in floats: spread, gather")


def test_a_spared_layer_stays_in_floats(hostile_run: Run) -> None:
    bench = ExportSession(hostile_run)
    whole = bench.try_recipe("int8", Limits())
    spared = bench.try_recipe("int8-selective", Limits(), spared=1)
    assert "max_drop" in whole.missed
    assert spared.missed == {}
    assert spared.name == "int8-selective, 1 spared"


def test_nothing_in_a_report_is_markup_but_ours(small_run: Run, tmp_path: Path) -> None:
    candidate = ExportSession(small_run).try_recipe("int8", Limits())
    photo = small_run.splits["test"][0].path
    comparison = replace(
        candidate.comparison,
        worst_class=ClassDrop(HOSTILE, 3, Estimate(0, 0, 0)),
        changed=(
            Changed(photo, HOSTILE, HOSTILE, HOSTILE, 0.5, 0.5),
            Changed(tmp_path / f"gone{HOSTILE[:8]}.jpg", "a", "b", "c", 0.5, 0.5),
        ),
    )
    page = tmp_path / "a.html"
    write_report(page, HOSTILE, replace(candidate, comparison=comparison), Limits(), small_run.model_file)
    text = page.read_text()
    assert "<script" not in text
    assert text.count("&lt;script&gt;") >= 5
    assert text.count("data:image/jpeg") == 1, "the photo that is gone is passed over"


def bottleneck() -> "keras.Model":
    """An inverted residual block with an addition, as MobileNetV2 has it, random weights."""
    keras.utils.set_random_seed(0)
    layer = keras.layers
    pixels = keras.Input((16, 16, 3))
    stem = layer.BatchNormalization()(layer.Conv2D(8, 3, name="stem")(pixels))
    wide = layer.ReLU(6.0)(layer.BatchNormalization()(layer.Conv2D(24, 1, use_bias=False, name="expand")(stem)))
    deep = layer.DepthwiseConv2D(3, padding="same", use_bias=False, name="depthwise")(wide)
    deep = layer.ReLU(6.0)(layer.BatchNormalization(scale=False)(deep))
    narrow = layer.BatchNormalization(center=False)(layer.Conv2D(8, 1, name="project")(deep))
    last = layer.Conv2D(12, 1, activation="relu", name="last")(layer.Add()([stem, narrow]))
    model = keras.Model(pixels, layer.Dense(3, activation="softmax", name="scores")(layer.GlobalMaxPooling2D()(last)))
    rng = np.random.default_rng(0)
    model.set_weights([weight + 0.2 * rng.random(weight.shape) for weight in model.get_weights()])
    return model


PHOTOS = np.random.default_rng(1).integers(0, 256, (20, 16, 16, 3)).astype(np.uint8)


def test_folding_changes_nothing() -> None:
    model = bottleneck()
    copy, layers = folded(model)
    assert [one.layer.name for one in layers] == ["stem", "expand", "depthwise", "project", "last", "scores"]
    np.testing.assert_allclose(copy.predict_on_batch(PHOTOS * 1.0), model.predict_on_batch(PHOTOS * 1.0), atol=1e-5)


def test_groups_are_what_shares_its_channels() -> None:
    copy, layers = folded(bottleneck())
    found = {
        tuple(sorted(one.layer.name for one in group.makers)): (
            tuple(sorted(one.layer.name for one in group.readers)),
            group.bound,
        )
        for group in groups(copy, layers)
    }
    assert found == {
        ("project", "stem"): (("expand", "last"), None),
        ("expand",): (("depthwise",), 6.0),
        ("depthwise",): (("project",), 6.0),
        ("last",): (("scores",), None),
    }


def test_scaling_a_group_and_equalizing_change_nothing_in_floats() -> None:
    model = bottleneck()
    wanted = model.predict_on_batch(PHOTOS * 1.0)
    copy, layers = folded(model)
    for group in groups(copy, layers):
        if group.bound is None:
            rescale(group, np.geomspace(1, 50, group.tensor.shape[-1]).astype(np.float32))
    np.testing.assert_allclose(copy.predict_on_batch(PHOTOS * 1.0), wanted, atol=1e-4)
    level = equalize(copy, PHOTOS)
    np.testing.assert_allclose(level.predict_on_batch(PHOTOS * 1.0), wanted, atol=1e-4)
    probe = keras.Model(level.input, level.get_layer("last").input)
    reach = np.abs(probe.predict_on_batch(PHOTOS * 1.0)).max(axis=(0, 1, 2))
    before = keras.Model(copy.input, copy.get_layer("last").input).predict_on_batch(PHOTOS * 1.0)
    spread_before = np.abs(before).max(axis=(0, 1, 2))
    assert reach.max() / reach.min() < 0.3 * spread_before.max() / spread_before.min()


def test_corrected_biases_keep_each_channels_mean_though_kernels_are_rounded() -> None:
    model = bottleneck()

    def means(network: "keras.Model", layer: str) -> np.ndarray:
        probe = keras.Model(network.input, network.get_layer(layer).input)
        return np.asarray(probe.predict_on_batch(PHOTOS[:16] * 1.0).mean(axis=(0, 1, 2)))

    wanted = means(model, "expand")  # behind the stem and its batch normalization
    errors = []
    for network in (model, correct_biases(model, PHOTOS[:16])):
        copy, layers = folded(network)
        layers[0].kernel = layers[0].rounded()
        errors.append(np.abs(means(copy, "expand") - wanted).max())
    assert errors[1] < 0.01 * errors[0]


@pytest.mark.parametrize("recipe", [float32, float16])
def test_zeros_of_a_pruned_network_are_not_stored(recipe: Callable[..., bytes]) -> None:
    pixels = keras.Input((8, 8, 3))
    wide = keras.layers.Conv2D(128, 1)(keras.layers.Conv2D(128, 1)(pixels))
    model = keras.Model(pixels, keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(wide)))
    dense = recipe(model)
    rng = np.random.default_rng(0)
    model.set_weights([weight * (rng.random(weight.shape) < 0.3) for weight in model.get_weights()])
    sparse = recipe(model)
    assert len(sparse) < 0.9 * len(dense)
    interpreter = Interpreter(model_content=sparse)
    interpreter.allocate_tensors()
    photo = PHOTOS[:1, :8, :8].astype(np.float32)
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], photo)
    interpreter.invoke()
    given = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    np.testing.assert_allclose(given, model.predict_on_batch(photo), rtol=0.01, atol=0.1)


def test_ranges_leave_out_what_is_rare() -> None:
    counts = np.zeros(BINS, np.int64)
    counts[: BINS // 4] = 100_000
    counts[-1] = 1  # of 51 million values one is four times as far out
    low, high = percentile(counts, (0.0, 4.0))
    assert low == 0
    assert 0.99 < high < 1.01
    low, high = least_error(counts, (0.0, 4.0))
    assert low == 0
    assert 0.95 < high < 1.1
    whole = np.full(BINS, 1000)
    assert least_error(whole, (-1.0, 1.0))[1] > 0.97

"""The public names of each package: what a user's script may import, and what it gets."""

import sys
import warnings
from importlib import import_module, resources

import pytest

from edge_device.system.moved import MOVED

PUBLIC = {
    "edge_core": {
        "Backbone", "Dataset", "EdgeError", "Estimate", "Frame", "InputSpec", "ModelCard", "complete", "decode_picture",
        "preprocess", "read_card", "read_picture",
    },
    "edge_device": {
        "Classifier", "DecisionOptions", "FocusOptions", "LiveOptions", "ModelOptions", "Prediction", "SinkOptions",
        "SourceOptions", "classify_stream", "open_source", "run_live",
    },
    "edge_train": {"FitOptions", "Settings", "find_weights", "fit", "open_photos"},
    "edge_convert": {"adopt", "export", "keys"},
    "edge_bench": {"BenchReport", "run_benchmark"},
    "edge_studio": {"Project", "Studio", "StudioSettings"},
}  # fmt: skip


@pytest.mark.parametrize("package", PUBLIC)
def test_a_package_exports_the_names_that_are_promised_and_has_each(package: str) -> None:
    module = import_module(package)
    assert set(module.__all__) == PUBLIC[package]
    for name in module.__all__:
        if package == "edge_convert":
            import_module(f"edge_convert.{name}")
        assert getattr(module, name) is not None


@pytest.mark.parametrize("package", ["edge_device", "edge_train", "edge_bench"])
def test_a_name_that_a_package_does_not_have_is_an_attribute_error(package: str) -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        import_module(package).no_such_name  # noqa: B018


@pytest.mark.parametrize("package", [*PUBLIC, "edge_keras"])
def test_a_package_ships_its_types(package: str) -> None:
    assert resources.files(package).joinpath("py.typed").is_file()


@pytest.mark.parametrize("old", sorted(MOVED))
def test_an_import_path_of_version_0_1_gives_the_very_module_that_has_moved(
    old: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in MOVED:
        monkeypatch.delitem(sys.modules, name, raising=False)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        module = import_module(old)
    assert f"{old} has moved to {MOVED[old]}" in [str(one.message) for one in told]
    assert module is import_module(MOVED[old])

"""What users install: the wheel holds the packages and nothing else, and the Pi's part runs without TensorFlow."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = {
    "device": ["edge_core", "edge_device"],
    "train": ["edge_keras", "edge_studio", "edge_train"],
    "convert": ["edge_convert"],
    "benchmarks": ["edge_bench"],
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_the_packages_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if ".dist-info/" not in name}
    expected = {
        str(path.relative_to(ROOT / folder))
        for folder, packages in PACKAGES.items()
        for package in packages
        for path in (ROOT / folder / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert inside == expected


def test_the_wheel_without_extras_runs_pictures_without_tensorflow(wheel: Path, tmp_path: Path, tiny_model) -> None:  # type: ignore[no-untyped-def]
    """Installed into a folder of its own, beside nothing but the dependencies that a Pi has."""
    site = tmp_path / "site"
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--target",
        str(site),
        str(wheel),
    ]
    subprocess.run(pip, check=True, capture_output=True)
    picture = tmp_path / "red.png"
    cv2.imwrite(str(picture), np.full((40, 60, 3), (10, 10, 240), np.uint8))
    program = f"""
import sys
sys.path.insert(0, {str(site)!r})

class NoTensorFlow:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {{"tensorflow", "tf_keras", "keras", "matplotlib", "scipy", "h5py"}}:
            raise AssertionError(f"imported {{name}}")

sys.meta_path.insert(0, NoTensorFlow())
from edge_device.cli import app
import edge_core
assert edge_core.__file__.startswith({str(site)!r}), edge_core.__file__
app(["images", {str(tiny_model())!r}, {str(picture)!r}])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=os.environ, check=False)
    assert done.returncode == 0, done.stderr
    assert "red" in done.stdout

"""The JavaScript is what its comments say: `tsc --checkJs`, strictly, on every folder that is configured for it."""

import json
import subprocess
from importlib import resources
from pathlib import Path

import pytest

from edge_core.version import __version__ as VERSION

from ...further import slow_but
from ...programs import BY_DEPS, missing
from .node_engine import NODE

TSC = Path(__file__).parents[3] / ".venv" / "node" / "node_modules" / "typescript" / "bin" / "tsc"
"""TypeScript's compiler, for tests alone."""

FOLDERS = sorted(path.parent for path in Path(str(resources.files("edge_convert"))).glob("web/*/tsconfig.json"))


def check(folder: Path) -> str:
    """What the compiler finds fault with; empty if it is nothing."""
    if NODE is None:
        pytest.skip(missing("node"))
    if not TSC.is_file():
        pytest.skip(f"TypeScript is not installed; {BY_DEPS}")
    done = subprocess.run([NODE, str(TSC), "-p", str(folder)], capture_output=True, text=True, check=False)
    assert bool(done.returncode) == bool(done.stdout), done.stderr
    return done.stdout


# What the page's configuration names holds the engine's files, too.
@pytest.mark.parametrize("folder", slow_but(FOLDERS, {"page"}), ids=lambda folder: folder.name)
def test_types_are_as_the_comments_say(folder: Path) -> None:
    assert check(folder) == ""


def test_a_wrong_type_is_found(tmp_path: Path) -> None:
    engine = next(folder for folder in FOLDERS if folder.name == "js")
    for name in ("tsconfig.json", "package.json", "errors.js"):
        (tmp_path / name).write_text((engine / name).read_text())
    (tmp_path / "wrong.js").write_text('/** @returns {number} */\nexport function wrong() { return "one"; }\n')
    assert "wrong.js(2," in check(tmp_path)


def test_the_npm_package_has_the_version_of_the_product() -> None:
    engine = next(folder for folder in FOLDERS if folder.name == "js")
    assert json.loads((engine / "package.json").read_text())["version"] == VERSION

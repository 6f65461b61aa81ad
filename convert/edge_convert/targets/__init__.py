"""What a target will do with a .tflite, known before it is on the device.

from edge_convert.targets import check
verdicts = check(Path("flowers-int8.tflite").read_bytes(), ["coral", "tflite-runtime-2.14"])
verdicts["coral"].ok
"""

from collections.abc import Sequence
from pathlib import Path

from edge_convert.targets.coral import check_coral
from edge_convert.targets.runtimes import check_runtime, families, releases
from edge_convert.targets.tasks import check_task
from edge_convert.targets.verdict import Placement, Verdict
from edge_convert.tflite.graph import Graph, naming, read_graph

__all__ = ["Placement", "Verdict", "check", "check_file", "target_names"]


def target_names() -> tuple[str, ...]:
    """Every name that `check` knows, those of the interpreters last; `litert-2.x` is all measured releases of it."""
    return ("coral", "mediapipe", "android", *families(), *releases())


def check(model: bytes, targets: Sequence[str]) -> dict[str, Verdict]:
    """What each target will do with a file.

    Args:
        model: A .tflite; for `mediapipe` and `android` with its metadata and the files behind it.
        targets: Names out of `target_names()`.

    Raises:
        ModelFormatError: It is no TFLite model, or a damaged one.
        ValueError: No target is called so.
    """
    graph = read_graph(model)
    return {target: _check(model, graph, target) for target in targets}


def check_file(path: Path, targets: Sequence[str]) -> dict[str, Verdict]:
    """What each target will do with the file at `path`; as `check`, whose errors name it."""
    with naming(path):
        return check(path.read_bytes(), targets)


def _check(model: bytes, graph: Graph, target: str) -> Verdict:
    if target == "coral":
        return check_coral(graph)
    if target in ("mediapipe", "android"):
        return check_task(model, graph, target)
    if target in releases() or target in families():
        return check_runtime(graph, target)
    raise ValueError(f"no target is called {target!r}; there are {', '.join(target_names())}")

"""The process that analyzes: reads requests as lines of JSON, answers with progress and a result, ends with its input.

A process of its own keeps TensorFlow's memory out of the server, and can be killed without losing anything.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final, TextIO, TypeVar

from edge_core.codec import JsonObject
from edge_core.errors import EdgeError
from edge_core.progress import Track
from edge_studio.analysis.photo_audit import audit_flags, suspect_flags

T = TypeVar("T")

TOLD_S: Final = 0.3
"""Seconds between two lines of progress."""


def main() -> None:
    """Answers requests until the input ends, which it does when the server has gone."""
    # TensorFlow and libjpeg write to the first two; answers go where only this module writes.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    for line in sys.stdin:
        _answer(json.loads(line), answers)


def _answer(request: JsonObject, answers: TextIO) -> None:
    def tell(value: JsonObject) -> None:
        answers.write(json.dumps(value) + "\n")
        answers.flush()

    try:
        tell({"result": WORK[request["do"]](request, _telling(tell))})
    except (EdgeError, OSError) as error:
        tell({"error": " ".join(str(error).split())})
    except Exception as error:  # noqa: BLE001 - the page is told, and the next request answered
        tell({"error": f"unexpected {type(error).__name__}: {error}"})


def _telling(tell: Callable[[JsonObject], None]) -> Track:
    def track(items: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
        told_s = 0.0
        for number, item in enumerate(items, 1):
            yield item
            if time.monotonic() - told_s > TOLD_S:
                told_s = time.monotonic()
                tell({"label": label, "done": number, "total": total or 0})

    return track


def _audit(request: JsonObject, track: Track) -> JsonObject:
    return {"flags": audit_flags(Path(request["photos"]), Path(request["cache"]), track)}


def _suspects(request: JsonObject, track: Track) -> JsonObject:
    return {"flags": suspect_flags(Path(request["run"]), Path(request["photos"]), track)}


def _heatmap(request: JsonObject, track: Track) -> JsonObject:
    from edge_core.files import written_whole
    from edge_core.run_folder import read_run
    from edge_train.explain.explain_plots import heat_rows
    from edge_train.explain.heatmap.grad_cam import explain_pictures

    found = explain_pictures(read_run(Path(request["run"])), [Path(request["photo"])], track=track)
    with written_whole(Path(request["out"])) as beside:
        beside.write_bytes(heat_rows(found))
    return found.to_json()


WORK: Final[dict[str, Callable[[JsonObject, Track], JsonObject]]] = {
    "audit": _audit,
    "suspects": _suspects,
    "heatmap": _heatmap,
}


if __name__ == "__main__":
    main()

"""How near the runner comes to the chip, and how it compares with MediaPipe on the same file and frames.

    python benchmarks/experiments/runner_speed.py flowers-int8.tflite photos/ [--venv FOLDER]

One inference thread, frames of 1280x720, everything in one process and in turns. One at a time: bare `invoke`,
`Classifier.scores`, MediaPipe. Streaming: bare `invoke` in a loop, the JPEG decoder in a loop, the loop of `edge-run
live` on frames in memory and on JPEGs, MediaPipe's two ways. The process is that of a venv of its own, since MediaPipe
brings another OpenCV; --venv keeps it. A figure is the median of its turns; a ratio is the median of the turns' ratios.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any, Final

import cv2

ROOT: Final = Path(__file__).parents[2]
TURNS: Final = 15
TURN_S: Final = 1.0
SIZE: Final = (1280, 720)
INSTALLED: Final = ("mediapipe==1.2.2", "ai-edge-litert", "typer", "rich", "flatbuffers")
"""And not this project, whose OpenCV would overwrite MediaPipe's."""

Step = Callable[[int], object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--venv", type=Path)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        measure(options.file, options.photos)
        return
    with tempfile.TemporaryDirectory() as scratch:
        venv = options.venv or Path(scratch) / "venv"
        python = venv / "bin" / "python"
        if not python.exists():
            subprocess.run([sys.executable, "-m", "venv", venv], check=True)
            subprocess.run([python, "-m", "pip", "install", "--quiet", *INSTALLED], check=True)
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "device"), "GLOG_minloglevel": "3"}
        command = [python, __file__, options.file, options.photos, "--inside"]
        raise SystemExit(subprocess.run(command, env=environment, check=False).returncode)


def measure(file: Path, photos: Path) -> None:
    from edge_core.data.photo_folder import pictures_below
    from edge_core.images import decode_picture, read_picture
    from edge_device.inference.classifier import Classifier
    from edge_device.inference.interpreter import Interpreter
    from edge_device.live.capture import AHEAD
    from edge_device.live.loop import Live, LiveSettings
    from edge_device.sinks.sink_queue import SinkQueues
    from edge_device.sources import FakeCamera, Source, SourceFrame

    frames = [cv2.resize(read_picture(path), SIZE) for path in pictures_below(photos)[:8]]
    jpegs = [cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes() for frame in frames]
    classifier, bare = Classifier(file, threads=1), Interpreter(file, threads=1)
    covering = max(classifier.card.input.shape)
    theirs = MediaPipe(file)

    def frame(index: int) -> Any:
        return frames[index % len(frames)]

    def decoded(index: int) -> Any:
        return decode_picture(jpegs[index % len(jpegs)], covering)

    class Memory(Source):
        """Gives for a turn what `give` makes; `frame_ms` tells how often, start and end of the loop left out."""

        def __init__(self, give: Step) -> None:
            self._give = give

        def __iter__(self) -> Iterator[SourceFrame]:
            begin = time.perf_counter()
            for index in count():
                start = time.perf_counter()
                if index == AHEAD:  # the first ones do not wait for the model
                    begin = start
                if start > begin + TURN_S:
                    self.frame_ms = 1e3 * (start - begin) / (index - AHEAD)
                    return
                yield SourceFrame(self._give(index), "memory", index, 0.0, 1e3 * (time.perf_counter() - start))  # type: ignore[arg-type]

        def close(self) -> None:
            """There is nothing to release."""

    def live(source: Source, frames: int | None = None) -> Any:
        queues, settings = SinkQueues([], classifier.card), LiveSettings(frames=frames)
        return Live(classifier, source, queues, settings, name="memory", model=file).run(lambda: False)

    def streamed(give: Step) -> float:
        source = Memory(give)
        live(source)
        return source.frame_ms

    def looped(step: Step) -> float:
        start = time.perf_counter()
        for index in count(1):
            step(index)
            if time.perf_counter() > start + TURN_S:
                break
        return 1e3 * (time.perf_counter() - start) / index

    def single(step: Step) -> float:
        times = []
        for index in range(200):
            start = time.perf_counter()
            step(index)
            times.append(time.perf_counter() - start)
        return 1e3 * median(times)

    in_turns(
        "bare invoke",
        {
            "bare invoke": lambda: single(lambda index: bare.invoke()),
            "Classifier.scores": lambda: single(lambda index: classifier.scores(frame(index))),
            "MediaPipe, image": lambda: single(lambda index: theirs.classify(frame(index))),
        },
    )
    in_turns(
        "bare invoke",
        {
            "bare invoke": lambda: looped(lambda index: bare.invoke()),
            "live, frames": lambda: streamed(frame),
            "MediaPipe, video": lambda: looped(lambda index: theirs.classify_for_video(frame(index))),
            "MediaPipe, stream": lambda: looped(lambda index: theirs.stream(frame(index))),
        },
    )
    in_turns(
        "JPEG decoder",
        {"JPEG decoder": lambda: looped(decoded), "live, JPEGs": lambda: streamed(decoded)},
    )
    camera = live(FakeCamera([frame(index) for index in range(len(frames))] * 40, fps=30.0), 300)
    print(f"camera of 30 frames a second: 95 % of the results within {camera.age_p95_ms:.1f} ms of the frame")


class MediaPipe:
    """Its ImageClassifier in its three modes."""

    def __init__(self, file: Path) -> None:
        import mediapipe

        vision, self._mediapipe = mediapipe.tasks.vision, mediapipe
        self._stamps = count(1)
        self._room = threading.Semaphore(2)  # it drops what comes while it is busy

        def made(mode: Any, **more: Any) -> Any:
            base = mediapipe.tasks.BaseOptions(model_asset_path=str(file))
            options = vision.ImageClassifierOptions(base, running_mode=mode, max_results=3, **more)
            return vision.ImageClassifier.create_from_options(options)

        self._image = made(vision.RunningMode.IMAGE)
        self._video = made(vision.RunningMode.VIDEO)
        self._stream = made(vision.RunningMode.LIVE_STREAM, result_callback=lambda *_: self._room.release())

    def _made(self, frame: Any) -> Any:
        return self._mediapipe.Image(image_format=self._mediapipe.ImageFormat.SRGB, data=frame)

    def classify(self, frame: Any) -> object:
        return self._image.classify(self._made(frame))

    def classify_for_video(self, frame: Any) -> object:
        return self._video.classify_for_video(self._made(frame), next(self._stamps))

    def stream(self, frame: Any) -> None:
        if not self._room.acquire(timeout=1):
            self._room.release()  # it dropped one
        self._stream.classify_async(self._made(frame), next(self._stamps))


def in_turns(reference: str, rows: dict[str, Callable[[], float]]) -> None:
    """Prints milliseconds per frame of each row and its ratio to the reference."""
    for measured in rows.values():
        measured()
    turns = [{name: measured() for name, measured in rows.items()} for _ in range(TURNS)]
    for name in rows:
        milliseconds = median(turn[name] for turn in turns)
        ratio = median(turn[name] / turn[reference] for turn in turns)
        print(f"{name:<20} {milliseconds:7.3f} ms a frame   {ratio:5.2f} of {reference}", flush=True)
    print()


if __name__ == "__main__":
    main()

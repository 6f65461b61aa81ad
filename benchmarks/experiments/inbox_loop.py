"""What one round of the inbox is worth: `python benchmarks/experiments/inbox_loop.py PHOTOS WORK [--label sunflowers]`.

A model is trained on photos of every class. Then one class comes in another look: its hues are turned. A board's rule
for snapshots picks frames of it, a person labels 50 of them, and the model is trained again with those. Printed are the
shares right of changed photos that neither training has seen, and of unchanged test photos, before and after, with
their 95 % intervals.
"""

import argparse
import json
import shutil
import time
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from edge_core import Frame
from edge_core.artifact.card import ModelCard
from edge_core.data.photo_folder import pictures_below
from edge_core.images import read_picture
from edge_core.run_folder import evenly_spaced, read_run
from edge_core.statistics import accuracy
from edge_device.inference.classifier import Classifier
from edge_device.results import FrameResult, Latency
from edge_device.sinks.inbox.snapshots import Snapshots
from edge_device.sources import SourceFrame
from edge_studio import Studio, StudioSettings
from edge_studio.jobs.commands import JobCommand, export_command, train_command
from edge_studio.jobs.job import Job

CHANGED: Final = 150
"""Changed photos to judge by."""

APART_S: Final = 3.0
"""Seconds between two frames that are kept: within 2 s they are one burst, all of which are trained on or none."""

TURN: Final = 60
"""Steps of 2 degrees by which hues are turned: red becomes green, yellow becomes blue."""


def recolored(frame: Frame) -> Frame:
    hsv = cv2.cvtColor(frame, cv2.COLOR_BGR2HSV)
    hsv[..., 0] = (hsv[..., 0].astype(int) + TURN) % 180
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)  # type: ignore[return-value]


def run_job(studio: Studio, command: JobCommand) -> None:
    job: Job = studio.jobs.submit("loop", command)
    while (job := studio.jobs.job(job.id)).state in ("queued", "running"):
        time.sleep(0.2)
    if job.state != "done":
        raise SystemExit(studio.jobs.log(job.id))


def right(classifier: Classifier, photos: list[tuple[Path, str]], change: bool) -> str:
    told = [
        classifier.classify(recolored(read_picture(path)) if change else read_picture(path), 1)[0].label == label
        for path, label in photos
    ]
    return accuracy(np.array(told)).percent()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="photo folder, of which each subfolder is a class")
    parser.add_argument("work", type=Path, help="folder to work in, not there yet")
    parser.add_argument("--label", default="sunflowers", help="class whose look changes")
    parser.add_argument("--each", type=int, default=120, help="photos of each class to train on")
    parser.add_argument("--frames", type=int, default=50, help="frames that a person labels")
    asked = parser.parse_args()
    studio = Studio(StudioSettings(asked.work.resolve(), cache=asked.work.resolve() / ".cache"))
    project = studio.create("loop")
    rest: list[Path] = []
    for folder in sorted(path for path in asked.photos.iterdir() if path.is_dir()):
        files = pictures_below(folder)
        chosen = evenly_spaced(files, asked.each)
        (project.photos / folder.name).mkdir()
        for path in chosen:
            shutil.copy(path, project.photos / folder.name / path.name)
        if folder.name == asked.label:
            rest = [path for path in files if path not in set(chosen)]
    judged, stream = rest[-CHANGED:], rest[:-CHANGED]
    with studio.jobs:
        before = trained(studio, "run-1")
        print(report("before", before, judged, asked.label, project.runs / "run-1"), flush=True)
        kept = snapshots(before, stream, project.inbox / "board", asked.frames)
        keys = [one.key for one in studio.inbox(project).frames()]
        done = studio.inbox(project).label(keys, asked.label)
        print(f"of {kept[1]} frames the board kept {kept[0]}; {len(done.added)} were labeled {asked.label}", flush=True)
        after = trained(studio, "run-2")
        print(report("after", after, judged, asked.label, project.runs / "run-1"))


def trained(studio: Studio, name: str) -> Classifier:
    project = studio.project("loop")
    run = project.runs / name
    run_job(studio, train_command({}, project.photos, run))
    project.exports.mkdir(exist_ok=True)
    exported = export_command({"max_drop": 100.0}, run, project.exports, None)
    run_job(studio, exported)
    return Classifier(exported.output)


def report(when: str, classifier: Classifier, judged: list[Path], label: str, first: Path) -> str:
    tested = [(photo.path, photo.label) for photo in read_run(first).splits["test"]]
    changed = right(classifier, [(path, label) for path in judged], change=True)
    return json.dumps(
        {"when": when, f"changed {label}": changed, "unchanged test photos": right(classifier, tested, False)}
    )


def snapshots(classifier: Classifier, stream: list[Path], folder: Path, most: int) -> tuple[int, int]:
    """Runs a board's rule over changed frames until it has kept `most`; returns how many it kept, and of how many."""
    sink = Snapshots(folder, every_s=0.0)
    sink.open(ModelCard(labels=classifier.card.labels, input=classifier.card.input))
    for number, path in enumerate(stream, 1):
        frame = recolored(read_picture(path))
        look = classifier.look(frame)
        result = FrameResult(
            SourceFrame(frame, "stream", number, number / 5, 0.0),
            tuple(look.predictions),
            Latency(0, 0, 0, 0),
            familiarity=look.familiarity,
            known=look.known,
        )
        before = len(sink.store.snapshots())
        sink.frame(result)
        if len(sink.store.snapshots()) == most:
            return most, number
        if len(sink.store.snapshots()) > before:
            time.sleep(APART_S)
    return len(sink.store.snapshots()), len(stream)


if __name__ == "__main__":
    main()

"""What became of the cases that once went wrong: a table of what each must give and what it gives now.

    PYTHONPATH=. python benchmarks/experiments/cases_table.py ../shared/cases [--only 05,13]

The folder holds small inputs and the scripts that make more of them; they run as they are, with the commands of this
environment. Needs mosquitto with its clients, and for 17 Chromium. Exit status 1 if a case does not give what it must.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image, ImageOps
from pillow_heif import register_heif_opener
from rich.console import Console
from rich.table import Table
from tests.doubles import free_port

from edge_core.images import read_picture
from edge_device.inference.classifier import Classifier
from edge_device.system.packages import older_numpy

ROOT: Final = Path(__file__).parents[2]

Outcome = tuple[str, bool]
"""What was seen, in one line, and whether it is what the case must give."""

Json = dict[str, Any]


class Workplace:
    """The cases, a folder to work in, the tests' model of four colors, and commands."""

    def __init__(self, cases: Path, folder: Path) -> None:
        self.cases, self.folder, self.model = cases.resolve(), folder, folder / "tiny.tflite"
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"], "/usr/sbin"])
        settings = {"PATH": path, "PYTHONPATH": str(ROOT), "COLUMNS": "300", "PYTHONDONTWRITEBYTECODE": "1"}
        self.environment = os.environ | settings | {"PYTHONWARNINGS": "ignore::DeprecationWarning"}
        self.make("tiny.py", ROOT, self.model)

    def run(self, *words: object, **environment: str) -> subprocess.CompletedProcess[str]:
        """Runs a command to its end."""
        return subprocess.run(
            [str(word) for word in words],
            cwd=self.folder,
            env=self.environment | environment,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=1200,
            check=False,
        )

    def make(self, script: str, *arguments: object) -> str:
        """Runs a script of the cases; what it prints.

        Raises:
            RuntimeError: It failed.
        """
        interpreter = "sh" if script.endswith(".sh") else sys.executable
        done = self.run(interpreter, self.cases / script, *arguments)
        if done.returncode:
            raise RuntimeError(f"{script}: {done.stderr}")
        return done.stdout

    def inspect(self, folder: str) -> Json:
        """What `edge-train inspect` says of a folder."""
        found: Json = json.loads(self.run("edge-train", "inspect", folder, "--json").stdout)
        return found

    def live(self, *options: object, **environment: str) -> subprocess.CompletedProcess[str]:
        """Runs `edge-run live` with the tiny model."""
        return self.run("edge-run", "live", self.model, "--threads", 1, *options, **environment)

    @contextmanager
    def started(self, *words: object, out: str = os.devnull) -> Iterator["subprocess.Popen[bytes]"]:
        """A command that runs as long as the block, and writes what it prints into a file."""
        with (self.folder / out).open("wb") as file:
            process = subprocess.Popen(
                [str(word) for word in words], cwd=self.folder, env=self.environment, stdout=file, stderr=file
            )
            try:
                time.sleep(1)
                yield process
            finally:
                process.kill()
                process.wait()

    @contextmanager
    def broker(self) -> Iterator[int]:
        """The port of a mosquitto."""
        port = free_port()
        with self.started("mosquitto", "-p", port):
            yield port


def extensions(at: Workplace) -> Outcome:
    at.make("c01_extensions.py", "c01")
    files, found = len(list((at.folder / "c01").glob("*/*"))), at.inspect("c01")
    passed_over = len(found["passed_over"])
    warned = any(str(passed_over) in warning for warning in found["warnings"])
    got = f"{found['photos']} of {files} counted, {passed_over} named as passed over and in one warning"
    return got, warned and found["photos"] + passed_over == files and passed_over == 2


def extensions_live(at: Workplace) -> Outcome:
    sizes, scores = [], []
    for name in ("c01_turned.jfif", "c01_photo.jfif"):
        source = at.cases / name
        live = at.live("--source", source, "--json", "--smoothing", "none").stdout
        images = at.run("edge-run", "images", at.model, source, "--json").stdout
        sizes.append(read_picture(source).shape[:2])
        scores.append([_best(text) for text in (live, images)])
    return f"{sizes[0]}; live and images: {scores}", sizes[0] == (96, 64) and all(a == b for a, b in scores)


def _best(lines: str) -> tuple[str, float]:
    first = next(json.loads(line)["top"][0] for line in lines.splitlines() if '"top"' in line)
    return first["label"], first["score"]


def split_folders(at: Workplace) -> Outcome:
    at.make("c02_split_folders.py", "c02", "@eaDir")
    found = at.inspect("c02")
    counts = [sum(found["splits"][name].values()) for name in ("train", "val", "test")]
    return f"{sorted(found['counts'])}, {counts}", sorted(found["counts"]) == ["cat", "dog"] and counts == [12, 6, 6]


def thumbnails(at: Workplace) -> Outcome:
    at.make("c02_thumbnails.py", "c02t")
    photos = at.inspect("c02t")["photos"]
    return f"{photos} photos", photos == 20


def litter(at: Workplace) -> Outcome:
    at.make("c02_split_folders.py", "litter", "@eaDir")
    names = ["@Recycle", "@Recently-Snapshot", "#recycle", "#snapshot", "__MACOSX", "lost+found", "$RECYCLE.BIN"]
    for name in [*names, "System Volume Information"]:
        shutil.copytree(at.folder / "litter/train/cat", at.folder / "litter/train" / name)
    found = at.inspect("litter")
    told = len(found["passed_over"])
    return f"classes {sorted(found['counts'])}, {told} folders told", sorted(found["counts"]) == ["cat", "dog"]


def cafe(at: Workplace) -> Outcome:
    at.make("c03_cafe.py", "c03")
    found = at.inspect("c03")
    model = at.folder / "cafe.tflite"
    at.make("tiny.py", ROOT, model, "caf\u00e9", "tea", "c", "d")
    done = at.run("edge-run", "live", model, "--source", "fake:64x48", "--frames", 1, "--threshold", "cafe\u0301=0.8")
    got = f"{len(found['counts'])} classes; {' '.join(found['notes'])} The threshold: exit {done.returncode}"
    return got, len(found["counts"]) == 2 and bool(found["notes"]) and done.returncode == 0


def clips(at: Workplace) -> Outcome:
    at.make("c04_clips.py", "c04")
    fit = at.run("edge-train", "fit", "c04/set", "--epochs", 1, "--image-size", 96, "--weights", "none", "--out", "r4")
    said = [line for line in fit.stderr.splitlines() if line.startswith(("kept together", "warning"))]
    return f"exit {fit.returncode}; {'; '.join(said)}", fit.returncode == 0 and any(
        "in 6 groups" in line for line in said
    )


def without_end(at: Workplace) -> Outcome:
    whole, cut = (read_picture(at.cases / f"c05_{name}.jpg") for name in ("whole", "no-eoi"))
    at.make("c05_no_eoi.py", "c05")
    half = at.run("edge-run", "images", at.model, "c05/half.jpg")
    same = bool(np.array_equal(whole, cut))
    return f"same pixels: {same}; half: exit {half.returncode}, {_last(half.stderr)}", same and half.returncode != 0


def stream_without_end(at: Workplace) -> Outcome:
    port = free_port()
    with at.started(sys.executable, at.cases / "mjpeg_server.py", port, "no-eoi-length"):
        done = at.live("--source", f"http://127.0.0.1:{port}/", "--frames", 10, "--json")
    frames = done.stdout.count('"top"')
    return f"exit {done.returncode}, {frames} frames; {_last(done.stderr)}", frames == 10


def thermal(at: Workplace) -> Outcome:
    for label in "ab":
        (at.folder / "c06" / label).mkdir(parents=True)
        shutil.copy(at.cases / "c06_thermal16.png", at.folder / "c06" / label / f"{label}.png")
        with (at.folder / "c06" / label / f"{label}.png").open("ab") as file:
            file.write(label.encode())  # no copies of each other
    warnings = [warning for warning in at.inspect("c06")["warnings"] if "levels" in warning]
    scaled = read_picture(at.cases / "c06_thermal16.png", levels=(7300, 8300))
    got = f"{warnings[0] if warnings else 'no warning'}; scaled, {len(np.unique(scaled))} levels"
    return got, bool(warnings) and "5 of the 256" in warnings[0] and len(np.unique(scaled)) > 200


def orientation(at: Workplace) -> Outcome:
    register_heif_opener()
    at.make("c07_orientation.py", "c07")
    files = sorted((at.folder / "c07").iterdir())
    wrong = [path.name for path in files if not _upright(path)]
    shape = read_picture(at.cases / "c07_o6.avif").shape
    return f"c07_o6.avif {shape}; {len(files)} files, wrong: {wrong or 'none'}", shape == (96, 64, 3) and not wrong


def _upright(path: Path) -> bool:
    with Image.open(path) as image:
        asked = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))[:, :, ::-1].astype(int)
    got = read_picture(path).astype(int)
    return got.shape == asked.shape and np.abs(got - asked).mean() < 3


def picamera(at: Workplace) -> Outcome:
    shutil.copy(at.cases / "c08_picamera2.py", at.folder / "picamera2.py")
    path = os.pathsep.join([str(at.folder), str(ROOT)])
    more = {"PYTHONPATH": path, "FAKE_PICAMERA_LOG": str(at.folder / "c08.log")}
    done = at.live("--source", "picamera", "--frames", 3, "--json", "--control", "AwbMode=5", **more)
    calls = [json.loads(line) for line in (at.folder / "c08.log").read_text().splitlines()]
    controls: Json = {}
    for call in calls:
        controls |= call.get("controls") or {}
    got = f"exit {done.returncode}, AfMode {controls.get('AfMode')}, AwbMode {controls.get('AwbMode')}"
    return got, done.returncode == 0 and controls.get("AfMode") == 2 and controls.get("AwbMode") == 5


def frozen(at: Workplace) -> Outcome:
    port, web = free_port(), free_port()
    command = ["edge-run", "live", at.model, "--source", f"http://127.0.0.1:{port}/", "--web", web, "--json"]
    notice, health = None, ""
    with (
        at.started(sys.executable, at.cases / "mjpeg_server.py", port, "frozen"),
        at.started(*command, out="c10.jsonl"),
    ):
        began = time.monotonic()
        while notice is None and time.monotonic() < began + 90:
            time.sleep(1)
            lines = (at.folder / "c10.jsonl").read_text(errors="replace").splitlines()
            notice = next((line for line in lines if '"notice"' in line and "frozen" in line), None)
        waited = time.monotonic() - began
        health = _fetch(f"http://127.0.0.1:{web}/healthz")
    got = f"told after {waited:.0f} s: {notice}; /healthz: {health}"
    return got, notice is not None and waited < 75 and "frozen" in health


def _fetch(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return f"{answer.status} {answer.read().decode()}"
    except urllib.error.HTTPError as error:
        return f"{error.code} {error.read().decode()}"


def first_frame(at: Workplace) -> Outcome:
    script, run = at.cases / "c12_first_frame.py", f"edge-run live {at.model} --source - --json --threads 1"
    done = at.run("sh", "-c", f"{sys.executable} {script} | {run}")
    events = [json.loads(line)["event"] for line in done.stdout.splitlines() if '"event"' in line]
    red = [event for event in events if "red" in json.dumps(event)]
    frames = done.stdout.count('"top"')
    return f"{frames} frames, events of red: {red or 'none'}", frames > 10 and not red


def restart(at: Workplace) -> Outcome:
    with at.broker() as port:
        count = _last(at.run("sh", at.cases / "c13_mqtt_restart.sh", at.model, port).stdout)
        kept = _retained(at, port, "homeassistant/#")
    got = f"{count} retained topics name the zone that is gone, {kept.count('gate')} mentions of the one that is there"
    return got, count == "0" and "gate" in kept


def away(at: Workplace) -> Outcome:
    """As `c13_away_state.sh`, but the camera goes once something was seen: on a busy machine 9 s are over before."""
    port = free_port()
    with at.broker() as broker:
        command = (
            "--source",
            f"http://127.0.0.1:{port}/",
            "--json",
            "--wait-for-source",
            "--mqtt",
            f"mqtt://127.0.0.1:{broker}/away",
        )
        camera = at.started(sys.executable, at.cases / "mjpeg_server.py", port, "whole")
        with camera as process, at.started("edge-run", "live", at.model, *command):
            before = _retained(at, broker, "away/state")
            end = time.monotonic() + 60
            while '"label": "red"' not in before and time.monotonic() < end:
                before = _retained(at, broker, "away/state")
            process.kill()
            time.sleep(22)
            after, availability = (_retained(at, broker, f"away/{topic}") for topic in ("state", "availability"))
    last = json.loads(after or "{}")
    got = f"red was seen: {'red' in before}; then label {last.get('label')}, {last.get('state')}, {availability}"
    return got, '"label": "red"' in before and last.get("label", "red") is None


def _retained(at: Workplace, port: int, topic: str) -> str:
    return at.run("mosquitto_sub", "-p", port, "-t", topic, "--retained-only", "-W", 2).stdout.strip()


def unknown(at: Workplace) -> Outcome:
    said = at.run(sys.executable, at.cases / "c14_unknown.py", ROOT)
    return _last(said.stdout), said.returncode == 0


def odd_names(at: Workplace) -> Outcome:
    at.make("c14_names.py", "c14")
    fit = at.run("edge-train", "fit", "c14", "--epochs", 1, "--image-size", 96, "--weights", "none", "--out", "r14")
    warnings = (fit.stderr + fit.stdout).count("UserWarning")
    return f"exit {fit.returncode}, {warnings} UserWarnings; {_last(fit.stderr)}", not fit.returncode and not warnings


def recording(at: Workplace) -> Outcome:
    done = at.live("--source", "fake:64x48@10", "--frames", 30, "--json", "--record", "x.mp4")
    folder = at.folder / "c17"
    folder.mkdir()
    for path in at.folder.glob("x*.*"):
        shutil.move(path, folder / path.name)
    said = at.run(sys.executable, at.cases / "c17_record.py", folder)
    lines = said.stdout.strip().splitlines()
    return f"{_last(done.stderr)}; {lines}", bool(lines) and all(" plays 64" in line for line in lines)


def numpy_advice(at: Workplace) -> Outcome:
    advice = older_numpy().split(" -m ")[-1]
    return advice, "numpy<2" in advice and "opencv-python" in advice


def gasket(at: Workplace) -> Outcome:
    said = at.make("c19_coral_pci.py").splitlines()[0]
    return said, "feranick" in said and "apt install gasket-dkms" not in said


def two_lives(at: Workplace) -> Outcome:
    with at.broker() as port:
        done = at.run("sh", at.cases / "c24_two_lives.sh", at.model, port)
    notices = done.stdout.split()
    frames = [(at.folder / f"two{number}.jsonl").read_text().count('"top"') for number in (1, 2)]
    return f"notices: {notices}, frames: {frames}", notices == ["two1.jsonl:0", "two2.jsonl:0"] and min(frames) > 0


def logits(at: Workplace) -> Outcome:
    options = ("--labels", at.cases / "c25_labels.txt", "--input-range", "0..1", "--out", "c25.tflite")
    done = at.run("edge-convert", "adopt", at.cases / "c25_logits.tflite", *options)
    told = [line for line in (done.stdout + done.stderr).splitlines() if "softmax" in line.lower()]
    total = _sum_of_scores(at.folder / "c25.tflite") if done.returncode == 0 else 0.0
    return f"scores sum to {total:.3f}; {told[0] if told else 'not a word'}", bool(told) and abs(total - 1) < 0.02


def _sum_of_scores(file: Path) -> float:
    classifier = Classifier(file)
    return float(classifier.scores(np.full((48, 64, 3), 90, np.uint8))[0].sum())


REFUSED: Final = ("batch4", "size-dynamic")
"""What no classifier of single pictures can be made of, or not without asking."""


def foreign(at: Workplace) -> Outcome:
    at.make("c25_models.py", "c25")
    wrong, refused = [], []
    for file in sorted((at.folder / "c25").glob("*.tflite")):
        options = ("--labels", "c25/labels.txt", "--input-range", "-1..1", "--out", f"adopted-{file.name}")
        done = at.run("edge-convert", "adopt", file, *options)
        adopted = at.folder / f"adopted-{file.name}"
        if done.returncode:
            refused.append(f"{file.stem}: {_last(done.stderr)}")
        good = bool(done.returncode) if file.stem in REFUSED else _verifies(at, adopted)
        wrong += [] if good else [file.stem]
    return f"wrong: {wrong or 'none'}; refused: {refused}", not wrong


def _verifies(at: Workplace, file: Path) -> bool:
    return file.exists() and not at.run("edge-run", "verify", file).returncode and abs(_sum_of_scores(file) - 1) < 0.02


BUSY: Final = "while True: pass"


def ctrl_c(at: Workplace) -> Outcome:
    said = []
    with at.started(sys.executable, "-c", BUSY), at.started(sys.executable, "-c", BUSY):
        for count, delay in ((40, 0), (20, 0.05)):
            said.append(at.make("c29_sigint.py", count, delay, at.model).strip())
    right = [re.search(r"\{'exit 130': (\d+)\}$", line) for line in said]
    return "; ".join(said), all(right)


def ctrl_c_ignored(at: Workplace) -> Outcome:
    tests = f"{sys.executable} -m pytest -q -p no:cacheprovider tests/device/cli/test_cli.py -k ctrl_c_while"
    done = at.run("sh", "-c", f"cd {ROOT}; trap '' INT; exec {tests}")
    return _last(done.stdout), done.returncode == 0


def read_only_folder(at: Workplace) -> Outcome:
    there = at.folder / "there"
    there.mkdir()
    mounted = at.run("mount", "-t", "tmpfs", "-o", "ro", "none", there)
    if mounted.returncode:
        return f"could not mount: {_last(mounted.stderr)}", False
    try:
        run = at.folder / "r4" if (at.folder / "r4").exists() else _tiny_run(at)
        began = time.monotonic()
        done = at.run("edge-convert", "export", run, "--out", there / "x.tflite")
        begun = any(word in done.stdout + done.stderr for word in ("Converting", "calibrat", "%"))
    finally:
        at.run("umount", there)
    got = f"exit {done.returncode} after {time.monotonic() - began:.0f} s: {_last(done.stderr)}"
    return got, done.returncode == 2 and not begun


def _tiny_run(at: Workplace) -> Path:
    at.make("c03_cafe.py", "c31")
    at.run("edge-train", "fit", "c31", "--epochs", 1, "--image-size", 96, "--weights", "none", "--out", "r4")
    return at.folder / "r4"


def _last(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "(nothing)"


CASES: Final[Sequence[tuple[str, str, Callable[[Workplace], Outcome]]]] = (
    ("01 extensions", "all counted but two that are no pictures", extensions),
    ("01 live", "96x64, as images", extensions_live),
    ("02 split folders", "cat, dog; 12, 6, 6", split_folders),
    ("02 thumbnails", "20 photos", thumbnails),
    ("02 litter", "no class of a system's own folder", litter),
    ("03 café", "merged and said; either form matches", cafe),
    ("04 clips", "groups kept together, or a warning", clips),
    ("05 no end of image", "pixels of the whole; half refused", without_end),
    ("05 stream", "every part a picture", stream_without_end),
    ("06 thermal", "warned: 5 of 256 levels", thermal),
    ("07 AVIF", "(96, 64, 3), as Pillow turns it", orientation),
    ("08 picamera2", "AfMode 2, controls by option", picamera),
    ("10 frozen", "told in a minute, in /healthz", frozen),
    ("12 first frame", "no event", first_frame),
    ("13 restart", "0", restart),
    ("13 away", "not red", away),
    ("14 unknown", "null where nothing is believed", unknown),
    ("14 names", "no UserWarning", odd_names),
    ("17 recording", "plays in Chromium", recording),
    ("18 numpy<2", "names opencv-python, too", numpy_advice),
    ("19 gasket", "not Google's on kernel 6.12", gasket),
    ("24 two lives", "no notice", two_lives),
    ("25 logits", "softmax told or added", logits),
    ("25 fifteen more", "adopted, or refused with a reason", foreign),
    ("29 SIGINT", "all exit 130", ctrl_c),
    ("30 SIGINT ignored", "passes", ctrl_c_ignored),
    ("31 read-only folder", "refused before the work", read_only_folder),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("cases", type=Path, help="folder of the cases")
    parser.add_argument("--only", default="", help="numbers between commas, 05,13; all by default")
    options = parser.parse_args()
    there = {name[:2] for name, _, _ in CASES}
    chosen = set(options.only.split(",")) if options.only else there
    if missing := chosen - there:
        parser.error(f"no such case: {', '.join(sorted(missing))}")
    table = Table("case", "must give", "gives", "")
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        at = Workplace(options.cases, Path(folder))
        for name, asked, case in CASES:
            if name[:2] not in chosen:
                continue
            try:
                got, right = case(at)
            except (OSError, RuntimeError, TypeError, ValueError, LookupError, subprocess.SubprocessError) as error:
                got, right = f"{type(error).__name__}: {error}", False
            failed += not right
            print(f"{'passed' if right else 'FAILED'}  {name}: {got}", file=sys.stderr, flush=True)
            table.add_row(name, asked, got, "passed" if right else "FAILED")
    Console(width=160).print(table, markup=False)
    print(f"{table.row_count - failed} of {table.row_count} passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

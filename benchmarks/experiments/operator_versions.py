"""Measures which operator versions a runtime registers: the table that `edge-convert check` reads.

    python benchmarks/experiments/operator_versions.py tflite-runtime==2.14.0 ai-edge-litert==2.3.0
    python benchmarks/experiments/operator_versions.py tflite-runtime==2.11.0 --python python3.9

Each runtime gets a venv of its own, in which this script asks the interpreter to open one tiny file per operator and
version: it refuses what its resolver does not know. The column is put into
`convert/edge_convert/targets/operator_versions.csv`; a cell is the lowest and the highest version, and all between are
there. `--venvs` keeps the venvs. The part that runs in the venv needs nothing but the runtime and runs on Python 3.9.
"""

import argparse
import csv
import json
import os
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

HIGHEST_CODE = 255
HIGHEST_VERSION = 24
"""The highest seen is 14, of FULLY_CONNECTED."""
CUSTOM = ("NumericVerify", "Mfcc", "AudioSpectrogram", "TFLite_Detection_PostProcess")
"""What TensorFlow's register.cc adds beyond the builtin operators."""
CUSTOM_CODE = 32  # BuiltinOperator.CUSTOM
ROOT = Path(__file__).parents[2]
TABLE = ROOT / "convert" / "edge_convert" / "targets" / "operator_versions.csv"


def tiny_model(code: int, version: int, custom: bytes = b"") -> bytes:
    """A .tflite of one operator code; only a custom one is also used, so that nothing is ever prepared or run."""
    words = [0, 0x334C4654]  # root, TFL3
    pointers: list[tuple[int, str]] = []

    def put(*values: int) -> int:
        words.extend(values)
        return len(words) - len(values)

    def table(*fields: "int | tuple[str]") -> int:
        """Fields are numbers, or (place,) for what lies at a word further on; its vtable goes in front."""
        slots = [4 + 4 * index for index in range(len(fields))]
        entries = [4 + 2 * len(fields), 4 + 4 * len(fields), *slots] + [0] * (len(fields) % 2)
        vtable = put(*(low | high << 16 for low, high in zip(entries[::2], entries[1::2])))  # noqa: B905 - Python 3.9
        start = put(4 * (len(words) - vtable))
        for field in fields:
            if isinstance(field, tuple):
                pointers.append((put(0), field[0]))
            else:
                put(field)
        return start

    places = {}
    places["model"] = table(3, ("codes",), ("graphs",), ("text",), ("buffers",))
    places["codes"] = put(1)
    pointers.append((put(0), "code"))
    places["code"] = table(min(code, 127), ("custom",), version, code)
    padded = custom + bytes(4 - len(custom) % 4)
    places["custom"] = put(len(custom), *struct.unpack(f"<{len(padded) // 4}I", padded))
    places["graphs"] = put(1)
    pointers.append((put(0), "graph"))
    places["graph"] = table(("empty",), ("empty",), ("empty",), ("operators",), ("text",))
    places["operators"] = put(1 if custom else 0)
    if custom:
        pointers.append((put(0), "operator"))
    places["operator"] = table(0, ("empty",), ("empty",))
    places["empty"] = places["text"] = put(0, 0)
    places["buffers"] = put(1)
    pointers.append((put(0), "buffer"))
    places["buffer"] = table()
    pointers.append((0, "model"))
    for place, name in pointers:
        words[place] = 4 * (places[name] - place)
    return struct.pack(f"<{len(words)}I", *words)


def probe() -> None:
    """Prints a line of JSON for every operator, [code or name, lowest version, highest version]; runs in the venv."""
    try:
        from tflite_runtime.interpreter import Interpreter
    except ImportError:
        from ai_edge_litert.interpreter import Interpreter

    def opens(code: int, version: int, custom: bytes = b"") -> bool:
        try:
            Interpreter(model_content=tiny_model(code, version, custom)).allocate_tensors()
        except (ValueError, RuntimeError) as error:
            if any(reason in str(error) for reason in ("Didn't find op", "out of range", "unresolved custom op")):
                return False
            if not custom:
                raise
        return True

    def knows(custom: str) -> bool:
        """In a process that may die: what is known is prepared, and has no tensors to be prepared with."""
        child = os.fork()
        if not child:
            os._exit(0 if opens(CUSTOM_CODE, 1, custom.encode()) else 1)
        return os.waitpid(child, 0)[1] != 1 << 8

    for code in range(HIGHEST_CODE + 1):
        if code != CUSTOM_CODE:
            versions = [version for version in range(1, HIGHEST_VERSION + 1) if opens(code, version)]
            if versions and versions != list(range(versions[0], versions[-1] + 1)):
                raise SystemExit(f"operator {code} has gaps: {versions}")
            if versions:
                print(json.dumps([code, versions[0], versions[-1]]), flush=True)
    assert not knows("an operator that nobody has")
    for name in CUSTOM:
        if knows(name):
            print(json.dumps([name, 1, 1]), flush=True)


def measure(python: Path) -> dict[str, str]:
    """Lowest and highest version by operator name, of the runtime in a venv."""
    from ai_edge_litert.schema_py_generated import BuiltinOperator

    names = {code: name for name, code in vars(BuiltinOperator).items() if isinstance(code, int)}
    done = subprocess.run([python, __file__, "--probe"], capture_output=True, text=True, check=False)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    if done.returncode:  # killed by a signal, too
        sys.exit(f"error: {python} ended with status {done.returncode} after {rows[-1:]}: {done.stderr[-500:]}")
    return {str(names.get(code, code)): f"{low}-{high}" for code, low, high in rows}


def merge(columns: dict[str, dict[str, str]]) -> None:
    """Adds columns to the table, or replaces them."""
    table: dict[str, dict[str, str]] = {}
    if TABLE.exists():
        with TABLE.open(newline="") as file:
            for row in csv.DictReader(file):
                for runtime, version in row.items():
                    if runtime != "operator":
                        table.setdefault(runtime, {})[row["operator"]] = version
    for runtime, versions in columns.items():
        table[runtime] = versions

    def age(runtime: str) -> tuple[bool, list[int]]:
        package, version = runtime.split("==")
        return package != "tflite-runtime", [int(part) for part in version.split(".")]

    runtimes = sorted(table, key=age)
    operators = sorted({name for versions in table.values() for name, version in versions.items() if version})
    with TABLE.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["operator", *runtimes])
        for name in operators:
            writer.writerow([name, *(table[runtime].get(name, "") for runtime in runtimes)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runtimes", nargs="*", help="as pip takes them: tflite-runtime==2.14.0")
    parser.add_argument("--python", default=sys.executable, help="to make the venvs with")
    parser.add_argument("--venvs", type=Path, help="folder to keep the venvs in")
    parser.add_argument("--probe", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.probe:
        probe()
        return
    with tempfile.TemporaryDirectory() as scratch:
        for runtime in options.runtimes:
            venv = (options.venvs or Path(scratch)) / runtime.replace("==", "-")
            python = venv / "bin" / "python"
            if not python.exists():
                subprocess.run([options.python, "-m", "venv", venv], check=True)
                subprocess.run([python, "-m", "pip", "install", "--quiet", runtime, "numpy<2"], check=True)
            versions = measure(python)
            merge({runtime: versions})
            print(f"{runtime}: {len(versions)} operators")


if __name__ == "__main__":
    main()

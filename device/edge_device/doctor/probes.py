"""What a probe does, in the process that may die of it. Prints one JSON object, `main` says which."""

import ctypes
import json
import os
import sys
from collections.abc import Callable, Mapping
from importlib import import_module, metadata
from pathlib import Path

from edge_device.doctor.findings import JsonObject
from edge_device.system import v4l2_device as v4l2

TINY = Path(__file__).with_name("tiny.tflite")
"""Names the color of a 32x32 picture: red, green, blue, dark; made by tests/models/make_tiny_models.py."""


def imports(module: str) -> JsonObject:
    """Imports a module: its version and where it is."""
    found = import_module(module)
    return {"version": str(getattr(found, "__version__", "")), "file": getattr(found, "__file__", None)}


def runtime(distribution: str, module: str) -> JsonObject:
    """Runs the tiny model on a red, a green and a blue picture, and checks what it says."""
    import numpy as np

    factory = import_module(f"{module}.interpreter").Interpreter
    interpreter = factory(model_content=TINY.read_bytes(), num_threads=1)
    interpreter.allocate_tensors()
    given, wanted = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
    answers = []
    for channel in range(3):
        picture = np.zeros((1, 32, 32, 3), np.uint8)
        picture[..., channel] = 255
        interpreter.set_tensor(given, picture)
        interpreter.invoke()
        answers.append(int(interpreter.get_tensor(wanted)[0].argmax()))
    if answers != [0, 1, 2]:
        raise ArithmeticError(f"it names the colors wrongly: {answers} instead of [0, 1, 2]")
    return {"version": metadata.version(distribution)}


def model(path: str, runtime: str) -> JsonObject:
    """Verifies a file, or, if it has no seal, runs it on a black frame."""
    import numpy as np

    from edge_core.artifact.seal import check_seal
    from edge_device.inference.classifier import Classifier
    from edge_device.inference.verify import verify

    if check_seal(Path(path)):
        found = verify(Path(path), runtime=runtime)  # type: ignore[arg-type]
        return {"sealed": True, "diverges": found.divergence.reason if found.divergence else None}
    Classifier(path, runtime=runtime).classify(np.zeros((480, 640, 3), np.uint8))  # type: ignore[arg-type]
    return {"sealed": False, "diverges": None}


def edgetpu(library: str) -> JsonObject:
    """Loads libedgetpu, and asks for its version and, by that, whether it is one."""
    loaded = ctypes.CDLL(library)
    # Any other library raises an AttributeError here, which says what it lacks.
    loaded.edgetpu_version.restype = ctypes.c_char_p
    version = loaded.edgetpu_version() or b""
    return {"version": version.decode(errors="replace"), "delegate": hasattr(loaded, "tflite_plugin_create_delegate")}


def delegate(module: str, library: str) -> JsonObject:
    """Opens the first Edge TPU, as `--device coral` will."""
    import_module(f"{module}.interpreter").load_delegate(library, {})
    return {}


def camera(path: str) -> JsonObject:
    """Asks a V4L2 device what it is, and which formats it has."""
    return v4l2.describe(path)


def picamera2() -> JsonObject:
    """Lists the cameras that libcamera sees, and what can be set of each that no other program has open."""
    camera_class = import_module("picamera2").Picamera2
    cameras: list[JsonObject] = []
    for number, about in enumerate(camera_class.global_camera_info()):
        try:
            camera = camera_class(number)
            controls = sorted(camera.camera_controls)
            camera.close()
        except Exception:  # noqa: BLE001 - libcamera's own, where a service uses it
            controls = []
        cameras.append({"model": str(about.get("Model")), "controls": controls})
    return {"cameras": cameras}


PROBES = {probe.__name__: probe for probe in (imports, runtime, model, edgetpu, delegate, camera, picamera2)}


def main(probes: Mapping[str, Callable[..., JsonObject]] = PROBES) -> None:
    """Runs the probe that the command line names: {"value": ..., "error": ..., "kind": ...} on standard output."""
    # The answer keeps the pipe to itself; from here on standard output leads to standard error.
    answer_to = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries print what they like
    result: JsonObject = {"value": None, "error": "", "kind": ""}
    try:
        result["value"] = probes[sys.argv[1]](*sys.argv[2:])
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what was asked for
        result["error"] = " ".join(str(error).split()) or type(error).__name__
        result["kind"] = type(error).__name__
    answer_to.write(json.dumps(result))
    answer_to.flush()
    os._exit(0)  # a library that crashes while it is being unloaded has done its work

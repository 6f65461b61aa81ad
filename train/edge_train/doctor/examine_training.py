"""All examinations of a workstation, in the order in which one would mend what they find."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from edge_device.doctor import software as packages
from edge_device.doctor.examine import Examination, look
from edge_device.doctor.findings import Report
from edge_device.doctor.machine_facts import Host
from edge_device.doctor.probe import PACKAGES, Prober
from edge_train.doctor import gpu, tensorflow
from edge_train.doctor import weights_sources as weights
from edge_train.doctor import workstation as system

EXAMINATIONS: Final[dict[str, Examination]] = {
    "python": system.python,
    "processor": system.processor,
    "memory": system.memory,
    "cache": system.cache,
    "numpy": packages.numpy,
    "opencv": packages.opencv,
    "tensorflow": tensorflow.tensorflow,
    "gpu": gpu.gpu,
    "weights": weights.weights,
}

PROBE_S: Final = 120.0
"""TensorFlow is imported in 4 s, from a cold disk in 40; CUDA compiles for a card that is newer than the wheel for a
minute."""


def workstation() -> Host:
    """This computer; its probes are those of `edge_train.doctor.tensorflow_probes`."""
    folders = (PACKAGES, str(Path(__file__).parents[2]))
    return Host(probe=Prober(timeout_s=PROBE_S, module="edge_train.doctor.tensorflow_probes", folders=folders))


def examine(host: Host | None = None, tell: Callable[[str], None] = lambda name: None) -> Report:
    """Looks at everything that training needs; takes ten seconds, and a minute where nothing can be reached.

    Args:
        host: The system; this one by default.
        tell: Gets the name of what is looked at next.
    """
    return look(EXAMINATIONS, host or workstation(), tell)

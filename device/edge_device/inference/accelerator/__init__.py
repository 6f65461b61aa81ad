"""A Coral Edge TPU through libedgetpu, in a process of its own, with the CPU to stand in.

libedgetpu may end a process by SIGSEGV (made for another TFLite than the one installed), by SIGABRT (a USB transfer
that failed), or hang. So it lives in `worker`, which may die; `AcceleratorProcess` notices, `WithFallback` goes on.
"""

from typing import TYPE_CHECKING

from edge_device.inference.accelerator.edgetpu import Coral, attached, parse_device
from edge_device.inference.accelerator.fallback import Supervision, WithFallback, on_accelerator, open_classifier
from edge_device.system.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from edge_device.inference.accelerator.process import AcceleratorProcess

__all__ = [
    "AcceleratorProcess",
    "Coral",
    "Supervision",
    "WithFallback",
    "attached",
    "on_accelerator",
    "open_classifier",
    "parse_device",
]

# A classifier on the CPU is opened by this package, too, and needs no process.
__getattr__ = lazy_exports(__name__, {"AcceleratorProcess": "edge_device.inference.accelerator.process"})

"""A Coral Edge TPU through libedgetpu, in a process of its own, with the CPU to stand in.

libedgetpu may end a process by SIGSEGV (made for another TFLite than the one installed), by SIGABRT (a USB transfer
that failed), or hang. So it lives in `worker`, which may die; `AcceleratorProcess` notices, `WithFallback` goes on.
"""

from edge_device.inference.accelerator.edgetpu import Coral, parse_device
from edge_device.inference.accelerator.fallback import Supervision, WithFallback, on_accelerator, open_classifier
from edge_device.inference.accelerator.process import AcceleratorProcess

__all__ = [
    "AcceleratorProcess",
    "Coral",
    "Supervision",
    "WithFallback",
    "on_accelerator",
    "open_classifier",
    "parse_device",
]

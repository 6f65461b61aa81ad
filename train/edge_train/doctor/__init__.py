"""What keeps a workstation from training, or from training on its GPU, and the command that mends it.

As in `edge_device.doctor`, nothing here imports more than the standard library, and what may crash is run in a process
of its own. Findings, probes' processes and rendering are those of `edge_device.doctor`.
"""

from edge_train.doctor.examine_training import examine

__all__ = ["examine"]

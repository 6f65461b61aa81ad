"""From a trained run to a verified .tflite; the `edge-convert` command.

The public functions are in the modules that `__all__` names: `from edge_convert.export import export`.
"""

from edge_device.system.moved import keep_old_paths

__all__ = ["adopt", "export", "keys"]

keep_old_paths()

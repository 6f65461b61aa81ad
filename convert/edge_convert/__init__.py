"""From a trained run to a verified .tflite; the `edge-convert` command.

The public functions are in the modules that `__all__` names: `from edge_convert.export import export`.
"""

__all__ = ["adopt", "debug", "export", "keys", "search"]

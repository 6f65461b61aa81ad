"""From a trained run to a verified .tflite; the `edge-convert` command."""

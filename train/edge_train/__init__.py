"""From photos to a trained run; the `edge-train` command."""

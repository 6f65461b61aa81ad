"""The commands of `edge-train explain`."""

from edge_device.console import command_line

app = command_line("Show what a trained network looks at.")

"""`edge-train studio`, which `edge_train` finds by its entry point."""

from edge_device.command_line.console import command_group
from edge_studio.cli.serve_command import studio

app = command_group("Open the studio.")
app.command()(studio)

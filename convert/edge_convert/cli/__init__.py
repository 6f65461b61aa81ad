"""The `edge-convert` command, a file for each of its commands."""

from edge_convert.cli.adopt_command import adopt
from edge_convert.cli.check_command import check
from edge_convert.cli.compile_command import compile_
from edge_convert.cli.debug_command import debug_
from edge_convert.cli.export_backbone_command import export_backbone
from edge_convert.cli.export_command import export
from edge_convert.cli.inspect_file_command import inspect
from edge_convert.cli.keygen_command import keygen
from edge_convert.cli.publish_command import publish
from edge_convert.cli.web_command import web
from edge_device.command_line.console import command_line

app = command_line(
    "Convert a trained run to TFLite, and prove that it is as good.\n\n"
    "Example: edge-convert export runs/flowers --recipe int8 --out flowers-int8.tflite"
)
app.command()(export)
app.command("export-backbone")(export_backbone)
app.command("debug")(debug_)
app.command()(adopt)
app.command()(keygen)
app.command()(publish)
app.command()(web)
app.command()(check)
app.command("compile")(compile_)
app.command()(inspect)

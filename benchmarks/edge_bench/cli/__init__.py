"""The `edge-bench` command, a file for each of its commands."""

from edge_bench.cli.board_check_command import install_check
from edge_bench.cli.choose_network_command import choose
from edge_bench.cli.compare_command import compare
from edge_bench.cli.instructions_command import instructions
from edge_bench.cli.profile_command import profile
from edge_bench.cli.reference_command import reference
from edge_bench.cli.robustness_command import robustness
from edge_bench.cli.run_command import run
from edge_device.command_line.console import command_line

app = command_line(
    "Measure models against the full-size one that they were made of.\n\n"
    "Example: edge-bench run runs/flowers flowers-float32.tflite flowers-int8.tflite"
)
app.command()(run)
app.command()(robustness)
app.command()(compare)
app.command()(profile)
app.command()(reference)
app.command()(instructions)
app.command()(choose)
app.command()(install_check)

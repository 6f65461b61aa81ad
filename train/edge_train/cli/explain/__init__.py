"""The commands of `edge-train explain`, a file for each."""

from edge_device.command_line.console import command_group
from edge_train.cli.explain.adversarial_command import adversarial
from edge_train.cli.explain.embed_command import embed
from edge_train.cli.explain.features_command import features
from edge_train.cli.explain.heatmap_command import heatmap
from edge_train.cli.explain.ideal_command import ideal

app = command_group("Show what a trained network looks at.")
app.command()(adversarial)
app.command()(features)
app.command()(embed)
app.command()(heatmap)
app.command()(ideal)

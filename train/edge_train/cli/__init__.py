"""The `edge-train` command, a file for each of its commands."""

from typing import Final

from edge_device.command_line.console import command_line
from edge_train.cli.choose_command import choose
from edge_train.cli.curve_command import curve
from edge_train.cli.evaluate_command import evaluate
from edge_train.cli.explain import app as explain
from edge_train.cli.fit_command import fit
from edge_train.cli.inspect_photos_command import inspect
from edge_train.cli.predict_command import predict
from edge_train.cli.signs_command import signs
from edge_train.cli.studio_command import studio
from edge_train.cli.training_doctor_command import doctor

_OWN_HELP: Final = {"ignore_unknown_options": True, "help_option_names": list[str]()}
"""For commands that are only listed here and parse their words themselves."""

app = command_line("Train MobileNet on your photos.\n\nExample: edge-train fit photos/ --out runs/flowers")
app.add_typer(explain, name="explain")
app.command()(fit)
app.command()(inspect)
app.command(context_settings=_OWN_HELP)(choose)
app.command()(evaluate)
app.command()(curve)
app.command()(predict)
app.command()(signs)
app.command(context_settings=_OWN_HELP)(studio)
app.command(context_settings=_OWN_HELP)(doctor)

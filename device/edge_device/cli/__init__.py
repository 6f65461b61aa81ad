"""The `edge-run` command, a file for each of its commands."""

from typing import Final

from edge_device.cli import collect_command as collect
from edge_device.cli import doctor_command as doctor
from edge_device.cli import images_command as images
from edge_device.cli import live_command as live
from edge_device.cli import registered_commands as registered
from edge_device.cli import service_command as service
from edge_device.cli import show_command as show
from edge_device.cli import snapshots_command as snapshots
from edge_device.cli import teach_command as teach
from edge_device.cli import update_command as update
from edge_device.cli import verify_command as verify
from edge_device.command_line.console import command_line

_OWN_HELP: Final = {"ignore_unknown_options": True, "help_option_names": list[str]()}
"""For commands that are only listed here and parse their words themselves."""

app = command_line(
    "Run a model on pictures, videos and cameras.\n\nExample: edge-run live flowers-int8.tflite --source 0"
)
app.command()(images.images)
app.command("live")(live.live)
app.command()(collect.collect)
app.command()(show.show)
app.command()(teach.teach)
app.command()(verify.verify)
app.add_typer(service.app, name="service")
app.add_typer(update.app, name="update")
app.add_typer(snapshots.app, name="snapshots")
app.command(context_settings=_OWN_HELP)(doctor.doctor)
app.command(context_settings=_OWN_HELP)(registered.web)
app.command("install-check", context_settings=_OWN_HELP)(registered.install_check)

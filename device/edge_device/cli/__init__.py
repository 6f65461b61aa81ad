"""The `edge-run` command, a file for each of its commands, imported when it is the one that is asked for."""

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from edge_device.command_line.arguments import LazyCommands
from edge_device.command_line.console import command_line

_OWN_HELP: Final = {"ignore_unknown_options": True, "help_option_names": list[str]()}
"""For commands that are only listed here and parse their words themselves."""


class _RunCommands(LazyCommands):
    places: ClassVar[Mapping[str, str]] = {
        "images": "edge_device.cli.images_command:images",
        "live": "edge_device.cli.live_command:live",
        "collect": "edge_device.cli.collect_command:collect",
        "show": "edge_device.cli.show_command:show",
        "teach": "edge_device.cli.teach_command:teach",
        "verify": "edge_device.cli.verify_command:verify",
        "doctor": "edge_device.cli.doctor_command:doctor",
        "web": "edge_device.cli.registered_commands:web",
        "install-check": "edge_device.cli.registered_commands:install_check",
        "service": "edge_device.cli.service_command:app",
        "update": "edge_device.cli.update_command:app",
        "snapshots": "edge_device.cli.snapshots_command:app",
    }
    settings: ClassVar[Mapping[str, dict[str, Any]]] = {
        "doctor": _OWN_HELP,
        "web": _OWN_HELP,
        "install-check": _OWN_HELP,
    }


app = command_line(
    "Run a model on pictures, videos and cameras.\n\nExample: edge-run live flowers-int8.tflite --source 0",
    _RunCommands,
)

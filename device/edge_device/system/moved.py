"""Import paths of version 0.1 that have moved: they keep working, with a DeprecationWarning, until version 1.0.

Standard library alone: `edge_device.doctor` runs where NumPy and OpenCV do not.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.machinery import ModuleSpec

TYPE_CHECKING = False  # as in command_line/entry.py
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.abc import Loader
    from types import ModuleType
    from typing import Final

MOVED: Final = {
    "edge_convert.debug": "edge_convert.export.debug",
    "edge_convert.search": "edge_convert.export.search",
    "edge_core.card": "edge_core.artifact.card",
    "edge_core.golden": "edge_core.artifact.golden",
    "edge_core.intervals": "edge_core.statistics",
    "edge_core.page": "edge_core.html",
    "edge_core.photos": "edge_core.data.photo_folder",
    "edge_core.pictures": "edge_core.images",
    "edge_core.seal": "edge_core.artifact.seal",
    "edge_core.tflite_file": "edge_core.artifact.container",
    "edge_core.tflite_metadata": "edge_core.artifact.metadata",
    "edge_device.accelerator": "edge_device.inference.accelerator",
    "edge_device.accelerator.coral": "edge_device.inference.accelerator.edgetpu",
    "edge_device.accelerator.fallback": "edge_device.inference.accelerator.fallback",
    "edge_device.accelerator.process": "edge_device.inference.accelerator.process",
    "edge_device.accelerator.shared": "edge_device.inference.accelerator.shared_memory",
    "edge_device.accelerator.worker": "edge_device.inference.accelerator.edgetpu_worker",
    "edge_device.board": "edge_device.system.board",
    "edge_device.capture": "edge_device.live.capture",
    "edge_device.card_rows": "edge_device.inference.card_rows",
    "edge_device.classifier": "edge_device.inference.classifier",
    "edge_device.cli_service": "edge_device.cli.service_command",
    "edge_device.decisions": "edge_device.live.decisions",
    "edge_device.console": "edge_device.command_line.console",
    "edge_device.doctor.devices": "edge_device.doctor.hardware",
    "edge_device.doctor.host": "edge_device.doctor.machine_facts",
    "edge_device.doctor.v4l2": "edge_device.system.v4l2_device",
    "edge_device.install_check": "edge_device.doctor.install_check",
    "edge_device.interpreter": "edge_device.inference.interpreter",
    "edge_device.live_command": "edge_device.cli.live_command",
    "edge_device.motion": "edge_device.frames.motion",
    "edge_device.overlay": "edge_device.frames.overlay",
    "edge_device.quiet": "edge_core.native_stderr",
    "edge_device.regions": "edge_device.frames.regions",
    "edge_device.run": "edge_device.inference.streaming",
    "edge_device.service": "edge_device.system.unit_file",
    "edge_device.signature": "edge_device.inference.signature",
    "edge_device.sinks.command": "edge_device.sinks.exec",
    "edge_device.sinks.console": "edge_device.sinks.terminal",
    "edge_device.sinks.outlet": "edge_device.sinks.sink_queue",
    "edge_device.sinks.snapshots": "edge_device.sinks.inbox.snapshots",
    "edge_device.sinks.video": "edge_device.sinks.recording",
    "edge_device.sources.addresses": "edge_device.sources.network.addresses",
    "edge_device.swap": "edge_device.live.model_watcher",
    "edge_device.systemd": "edge_device.system.systemd",
    "edge_device.threads": "edge_device.inference.threads",
    "edge_device.verify": "edge_device.inference.verify",
    "edge_device.web": "edge_device.sinks.web",
    "edge_device.web.address": "edge_device.sinks.web.address",
    "edge_device.web.app": "edge_device.sinks.web.routes",
    "edge_device.web.feed": "edge_device.sinks.web.feed",
    "edge_device.web.guard": "edge_device.sinks.web.guard",
    "edge_device.web.page": "edge_device.sinks.web.page",
    "edge_device.web.picture": "edge_device.sinks.web.picture",
    "edge_device.web.server": "edge_device.sinks.web.server",
    "edge_device.web.site": "edge_device.sinks.web.site",
}
"""New module by old module."""


class MovedModules:
    """Finds a module under its old path.

    First in line: a package that has moved would find its modules by itself, and load each a second time.
    """

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(fullname, _loader()) if fullname in MOVED else None


def _loader() -> Loader:
    """Made when an old path is used: its base class takes twenty modules to import."""
    import warnings
    from importlib.abc import Loader

    class OldPath(Loader):
        def exec_module(self, module: ModuleType) -> None:
            """Puts the module itself, not a copy, under its old name: what is replaced in one is replaced in both."""
            old = module.__name__
            warnings.warn(f"{old} has moved to {MOVED[old]}", DeprecationWarning, stacklevel=2)
            sys.modules[old] = import_module(MOVED[old])

    return OldPath()


def keep_old_paths() -> None:
    """Lets old import paths work in this process; calling it again changes nothing."""
    # Once, though every package of the product calls it.
    if not any(isinstance(finder, MovedModules) for finder in sys.meta_path):
        sys.meta_path.insert(0, MovedModules())

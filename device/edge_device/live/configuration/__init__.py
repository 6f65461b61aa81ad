"""What `edge-run live` runs, from its command line and its configuration file.

command line ──▶ values by field ─┐
porch.toml ────▶ values by field ─┴▶ LiveRun: LiveOptions by camera ──▶ run, or written as a file again
"""

from edge_device.live.configuration.config_file import ConfigFile, read_config
from edge_device.live.configuration.live_run import LiveRun, config_text, live_run

__all__ = ["ConfigFile", "LiveRun", "config_text", "live_run", "read_config"]

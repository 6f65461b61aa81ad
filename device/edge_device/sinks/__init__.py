"""Where results go. A sink is a small class; the loop never waits for it (see `sink_queue`)."""

from edge_device.sinks.sink import Sink

__all__ = ["Sink"]

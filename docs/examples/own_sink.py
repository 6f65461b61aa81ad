"""Do something of your own when a label comes or goes: `python own_sink.py flowers-int8.tflite 0`.

A sink overrides the methods that it cares for. All of them are called from one thread of its own, so a sink may wait,
for a relay or a server, without holding up the camera.
"""

import sys
from pathlib import Path

from edge_device import Classifier, open_source
from edge_device.live.decisions import Rule
from edge_device.live.loop import Live, LiveSettings
from edge_device.results import Event
from edge_device.sinks import Sink
from edge_device.sinks.sink_queue import SinkQueues


class Lamp(Sink):
    """Prints what a lamp would do; replace the line by the call that switches yours."""

    name = "lamp"
    frames = "none"

    def event(self, event: Event) -> None:
        print(f"lamp {'on' if event.kind == 'entered' else 'off'} for {event.label}", flush=True)


def main(model: str, source: str) -> None:
    """Runs until the source ends or Ctrl-C."""
    classifier = Classifier(model)
    with open_source(source, realtime=True) as frames:
        queues = SinkQueues([Lamp()], classifier.card)
        loop = Live(classifier, frames, queues, LiveSettings(rule=Rule()), name=source, model=Path(model))
        loop.run(lambda: False)


if __name__ == "__main__":
    main(*sys.argv[1:])

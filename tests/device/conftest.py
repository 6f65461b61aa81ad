"""What the tests of edge_device share."""

import pytest

from edge_device.live import loop
from edge_device.live.cameras import together


@pytest.fixture(autouse=True)
def time_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has a run in this process wait for its sinks: half a second, as SIGTERM leaves it, is little under load."""
    monkeypatch.setattr(loop, "CLOSE_S", 30.0)
    monkeypatch.setattr(together, "CLOSE_S", 30.0)
    monkeypatch.setattr(together, "END_S", 30.0)

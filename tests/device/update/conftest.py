"""What the tests of updates share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from .vendor import Served


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Served]:
    """An empty folder that is served."""
    (tmp_path / "site").mkdir()
    served = Served(tmp_path / "site")
    yield served
    served.close()

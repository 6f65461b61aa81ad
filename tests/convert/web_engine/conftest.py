from collections.abc import Iterator

import pytest

from edge_core.errors import WeightsError

from ...programs import missing
from .node_engine import NODE, NodeEngine, unpack_litert


@pytest.fixture(scope="session")
def engine() -> Iterator[NodeEngine]:
    """The engine in node, without a runtime: files open, models do not run."""
    if NODE is None:
        pytest.skip(missing("node"))
    engine = NodeEngine(NODE)
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def running_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeEngine]:
    """The engine in node with LiteRT.js."""
    if NODE is None:
        pytest.skip(missing("node"))
    try:
        litert = unpack_litert(tmp_path_factory.mktemp("litert"))
    except WeightsError as error:
        pytest.skip(f"LiteRT.js cannot be had ({str(error).partition(';')[0]}); `edge-convert web` fetches it once")
    engine = NodeEngine(NODE, litert=litert)
    yield engine
    engine.close()

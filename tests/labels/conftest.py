"""A real Redis for those tests that ask for one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.labels.redis_worlds import Replica
from tests.redis_server import RedisServer


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as running:
        yield running


@pytest.fixture
def url(server: RedisServer) -> str:
    """Of an empty one."""
    server.ask("FLUSHALL")
    return server.url


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    """No test leaves a connection open."""
    yield
    while Replica.made:
        Replica.made.pop().close()

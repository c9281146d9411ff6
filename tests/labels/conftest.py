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


@pytest.fixture(scope="module", autouse=True)
def _patience() -> Iterator[None]:
    """On a busy machine a Redis that is well may take longer than the second an agent gives it."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("agent.labels.redis.link.TIMEOUT_SECONDS", 30.0)
        yield


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

"""How the gRPC transport connects: when it is asked to, and no sooner given up than the call's own timeout."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from agent.errors import RetryableError
from agent.export.destination import Destination
from agent.export.otlp_grpc import GrpcTransport
from agent.export.policy import Answer
from tests.export.backend import GrpcBackend


def transport(port: int) -> GrpcTransport:
    return GrpcTransport(Destination("traces", "grpc", f"127.0.0.1:{port}", ""))


@asynccontextmanager
async def late(port: int, seconds: float) -> AsyncIterator[int]:
    """The port of a way to `port` on which the other side's first bytes come late, as from afar."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, wait: float) -> None:
        while data := await reader.read(1 << 16):
            await asyncio.sleep(wait)
            wait = 0.0
            writer.write(data)
        writer.close()

    async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pump(reader, forth, 0.0), pump(back, writer, seconds), return_exceptions=True)

    server = await asyncio.start_server(join, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def test_a_backend_that_is_back_is_reached_by_the_next_call() -> None:
    """However many calls failed before: each one tries, none is answered out of the channel's memory."""
    backend = GrpcBackend()
    await backend.start()
    await backend.stop()
    way = transport(backend.port)
    for _ in range(12):
        with pytest.raises(RetryableError, match="UNAVAILABLE"):
            await way.send(b"")
        await asyncio.sleep(0.2)
    await backend.start()
    assert await way.send(b"") == Answer()
    await way.close()
    await backend.stop()


async def test_a_handshake_may_take_its_time() -> None:
    """A backend half a second away is reached by the first call: the timeout is the call's, ten seconds."""
    backend = GrpcBackend()
    await backend.start()
    async with late(backend.port, 0.5) as port:
        way = transport(port)
        assert await way.send(b"") == Answer()
        await way.close()
    await backend.stop()

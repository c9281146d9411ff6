"""A shared store behind TLS: predictions and labels meet there, and a certificate nobody vouches for is named."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress

import pytest

from tests.certificates import certificates, needed
from tests.labels.label_worlds import Said, batch, joined, labels
from tests.labels.redis_worlds import Replica
from tests.redis_server import RedisServer

pytestmark = needed


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while said := await reader.read(65_536):
            writer.write(said)
            await writer.drain()
    writer.close()


async def _serve(files: dict[str, str], port: int, told: Future[int], over: asyncio.Event) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files["own.pem"], files["own.key"])

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner, back = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(_pass_on(reader, back), _pass_on(inner, writer))

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=context)
    async with server:
        told.set_result(server.sockets[0].getsockname()[1])
        await over.wait()


@contextmanager
def _tls(server: RedisServer, files: dict[str, str]) -> Iterator[str]:
    """The address of a TLS end in front of this server, as stunnel or a cloud's proxy is one."""
    told, over = Future[int](), asyncio.Event()
    with asyncio.Runner() as runner, ThreadPoolExecutor(1) as pool:
        done = pool.submit(runner.run, _serve(files, server.port, told, over))
        yield f"rediss://127.0.0.1:{told.result(30)}/0"
        runner.get_loop().call_soon_threadsafe(over.set)
        done.result(30)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return certificates(tmp_path_factory.mktemp("tls"))


def test_replicas_meet_behind_tls(server: RedisServer, url: str, files: dict[str, str]) -> None:
    """With the authority named in the URL: a label that reaches another replica is joined, once."""
    with _tls(server, files) as address:
        one, other = (Replica(f"{address}?ssl_ca_certs={files['ca.pem']}", name) for name in "ab")
        one.predicted(batch([7]))
        one.round()
        other.labelled(labels([Said(id=7)]))
        assert sum(joined(other.settle()).values()) == 1
        assert one.settle() == []
        assert other.link.errors == {}
        one.close()
        other.close()


def test_a_certificate_nobody_vouches_for_is_named(server: RedisServer, url: str, files: dict[str, str]) -> None:
    """Nothing is sent there; what was told waits here; the reason is `certificate`, not a connection that fails."""
    with _tls(server, files) as address:
        replica = Replica(address)
        replica.predicted(batch([7]))
        replica.round()
        assert replica.link.reason == "certificate"
        assert server.ask("DBSIZE") == 0
        replica.close()

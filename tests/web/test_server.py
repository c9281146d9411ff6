"""The server over real sockets: what it answers, and that nothing a client does stops it."""

from __future__ import annotations

import asyncio
import json
import random
import socket
from collections.abc import AsyncIterator

import pytest

from agent.web.pages import routes
from agent.web.server import CONNECTIONS_MAX, HEADER_BYTES_MAX, REQUESTS_MAX, Response, WebServer, text
from tests.web.samples import busy

BIG = b"x" * (4 << 20)


def broken() -> Response:
    raise RuntimeError("secret detail")


@pytest.fixture
async def server() -> AsyncIterator[WebServer]:
    """Our pages, one that raises and one that is large, on a free port of the loopback."""
    further = {"/broken": broken, "/big": lambda: Response(200, "text/plain", BIG)}
    made = WebServer("127.0.0.1", 0, routes(busy, lambda: (True, ""), further), timeout_seconds=10.0)
    await made.start()
    yield made
    await made.stop()


async def send(server: WebServer, data: bytes) -> bytes:
    """What comes back until the server closes, or the client has sent all and half-closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        writer.write(data)
        await writer.drain()
        writer.write_eof()
        return await asyncio.wait_for(reader.read(), 30)
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def ask(server: WebServer, target: str = "/healthz", method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    """status, headers in lower case, body."""
    raw = await send(server, f"{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    pairs = (line.split(": ", 1) for line in lines)
    return int(first.split()[1]), {key.lower(): value for key, value in pairs}, body


async def test_pages_are_served(server: WebServer) -> None:
    """Health, readiness, status and the page, with type and length."""
    assert await ask(server) == (200, (await ask(server))[1], b"ok\n")
    assert (await ask(server, "/readyz"))[0] == 200
    status, headers, body = await ask(server, "/status?pretty")
    assert (status, headers["content-type"], headers["content-length"]) == (200, "application/json", str(len(body)))
    assert json.loads(body)["agent"]["version"] == "0.1.0"
    _, headers, body = await ask(server, "/")
    assert headers["content-type"].startswith("text/html")
    assert headers["cache-control"] == "no-store"
    assert body.startswith(b"<!doctype html>")


async def test_head_gives_the_headers_alone(server: WebServer) -> None:
    """The length of what GET would give, and no body."""
    status, headers, body = await ask(server, "/status", "HEAD")
    assert (status, body) == (200, b"")
    assert int(headers["content-length"]) > 1000


async def test_unknown_paths_are_404_and_name_the_known(server: WebServer) -> None:
    """A mistyped path finds its way."""
    status, _, body = await ask(server, "/helthz")
    assert status == 404
    assert b"/healthz" in body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"])
async def test_other_methods_are_405(server: WebServer, method: str) -> None:
    """And say which are allowed."""
    status, headers, _ = await ask(server, "/status", method)
    assert (status, headers["allow"]) == (405, "GET, HEAD")


async def test_a_page_that_raises_is_500_without_its_reason(server: WebServer) -> None:
    """The reason stays in the log; the server goes on."""
    status, _, body = await ask(server, "/broken")
    assert status == 500
    assert b"secret" not in body
    assert server.statistics.failed == 1
    assert (await ask(server))[0] == 200


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),  # no Host
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", b"400"),
        (b"GET http://[bad HTTP/1.1\r\nHost: x\r\n\r\n", b"400"),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 2 * HEADER_BYTES_MAX + b"\r\n\r\n", b"431"),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 999999\r\n\r\n" + b"b" * 200_000, b"413"),
    ],
)
async def test_a_bad_request_is_refused_and_the_next_is_served(server: WebServer, raw: bytes, status: bytes) -> None:
    """Malformed, oversized headers, oversized body: a status, never a fall."""
    assert (await send(server, raw)).split(b" ")[1] == status
    assert (await ask(server))[0] == 200


async def test_random_bytes_never_stop_it(server: WebServer) -> None:
    """Noise, TLS-like hellos and half requests; afterwards it answers as before."""
    chance = random.Random(7)
    for _ in range(60):
        start = chance.choice([b"", b"\x16\x03\x01", b"GET / HTTP/1.1\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"])
        await send(server, start + chance.randbytes(chance.randrange(3000)))
    assert (await ask(server))[0] == 200


async def test_one_connection_serves_many_requests_in_order(server: WebServer) -> None:
    """Pipelined requests are answered one after another; the connection ends at its limit."""
    raw = await send(server, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * (REQUESTS_MAX + 20))
    assert raw.count(b"HTTP/1.1 200 OK") == REQUESTS_MAX


async def test_a_large_answer_arrives_whole(server: WebServer) -> None:
    """Four MiB, far more than the socket's buffers."""
    _, _, body = await ask(server, "/big")
    assert body == BIG


async def test_a_slow_client_is_dropped_at_its_deadline() -> None:
    """A request that never ends is cut off, and counted."""
    server = WebServer("127.0.0.1", 0, {"/": lambda: text(200, "x")}, timeout_seconds=0.05)
    await server.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
    assert await asyncio.wait_for(reader.read(), 30) == b""
    assert server.statistics.timed_out == 1
    writer.close()
    await server.stop()


async def test_a_client_that_does_not_read_is_dropped_at_its_deadline() -> None:
    """An answer larger than the buffers waits for nobody."""
    server = WebServer("127.0.0.1", 0, {"/": lambda: Response(200, "text/plain", BIG * 4)}, timeout_seconds=0.05)
    await server.start()
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        for _ in range(3000):  # the bound only ends a broken run
            if server.statistics.timed_out:
                break
            await asyncio.sleep(0.01)
    assert server.statistics.timed_out == 1
    await server.stop()


async def test_a_crowd_of_slow_clients_does_not_keep_a_probe_out(server: WebServer) -> None:
    """More half requests than there are places: the oldest give way, and the probe is answered at once."""
    crowd = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(2 * CONNECTIONS_MAX)]
    for _, writer in crowd:
        writer.write(b"GET / HTTP/1.1\r\n")
    assert (await ask(server))[0] == 200
    assert server.statistics.evicted >= CONNECTIONS_MAX
    assert len(server._connections) <= CONNECTIONS_MAX
    for _, writer in crowd:
        writer.close()


async def test_stop_ends_open_connections_and_frees_the_port() -> None:
    """An idle client does not hold the stop up; the port can be had again; a second stop does nothing."""
    server = WebServer("127.0.0.1", 0, {"/": lambda: text(200, "x")})
    await server.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    await server.stop()
    await server.stop()
    again = WebServer("127.0.0.1", server.port, {"/": lambda: text(200, "y")})
    await again.start()
    assert (await ask(again, "/"))[2] == b"y\n"
    await again.stop()
    writer.close()


async def test_an_address_in_use_is_an_error_at_start(server: WebServer) -> None:
    """A second server on the port says so instead of sharing it."""
    with pytest.raises(OSError, match="in use"):
        await WebServer("127.0.0.1", server.port, {}).start()

"""A small HTTP/1.1 server: asyncio's streams, h11 for the grammar, pages that are plain functions. All of it bounded.

A probe's answer must not depend on what strangers send to the port: a request has a size, a deadline and one of few
places; where all are taken the oldest connection gives its own up, so that a new probe always gets in.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from types import MappingProxyType
from urllib.parse import urlsplit

import h11

log = logging.getLogger(__name__)

CONNECTIONS_MAX = 32
HEADER_BYTES_MAX = 16 << 10
REQUEST_BYTES_MAX = 64 << 10  # headers and whatever body a GET brings along
REQUESTS_MAX = 100  # on one connection
TIMEOUT_SECONDS = 5.0  # to bring a whole request; and again to take the answer
_READ_BYTES = 8 << 10

_ALWAYS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
}


@dataclass(frozen=True, slots=True)
class Response:
    """An answer. content_type: as the header has it; headers: further ones."""

    status: int
    content_type: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


Routes = Mapping[str, Callable[[], Response]]
SlowRoutes = Mapping[str, Callable[[], Awaitable[Response]]]


def text(status: int, body: str, headers: Mapping[str, str] | None = None) -> Response:
    """A short plain answer."""
    return Response(status, "text/plain; charset=utf-8", body.encode() + b"\n", headers or {})


@dataclass(slots=True)
class Statistics:
    """What the server has seen since it was made. `evicted`: connections that gave way to newer ones."""

    answered: int = 0
    refused: int = 0  # not HTTP, or too large
    timed_out: int = 0
    evicted: int = 0
    failed: int = 0  # pages that raised


class WebServer:
    """Serves GET and HEAD of `routes`: path -> function that gives the answer, called on the event loop, so quick.

    slow: pages that take more than a moment, and give the loop its turn meanwhile.
    port 0: a free one, found in `port` after `start`. What clients send and what pages raise never leaves this class.
    """

    def __init__(
        self, host: str, port: int, routes: Routes, timeout_seconds: float = TIMEOUT_SECONDS,
        slow: SlowRoutes = MappingProxyType({}),
    ) -> None:  # fmt: skip
        self.host, self.port = host, port
        self.statistics = Statistics()
        self._routes, self._slow, self._timeout = dict(routes), dict(slow), timeout_seconds
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[None], None] = {}  # oldest first

    async def start(self) -> None:
        """Listens. Raises OSError where the address cannot be had."""
        self._server = await asyncio.start_server(self._accept, self.host, self.port, limit=_READ_BYTES)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stops listening and drops every connection. Idempotent."""
        if self._server is None:
            return
        self._server.close()
        tasks = list(self._connections)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._server.wait_closed()
        self._server = None

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - asyncio runs this callback as a task
        if len(self._connections) >= CONNECTIONS_MAX:
            oldest = next(iter(self._connections))
            del self._connections[oldest]
            oldest.cancel()
            self.statistics.evicted += 1
        self._connections[task] = None
        try:
            await _Connection(self._answer, self.statistics, self._timeout, reader, writer).serve()
        except asyncio.CancelledError:
            pass  # evicted, or the server stops: the connection ends here, and asyncio would log a cancelled callback
        except OSError:
            pass  # the client went away
        finally:
            self._connections.pop(task, None)
            # `drain` waits for an empty buffer (see _Connection), so what is left is of a client that does not read.
            writer.transport.abort() if writer.transport.get_write_buffer_size() else writer.close()

    async def _answer(self, method: bytes, target: bytes) -> Response:
        """The page for this request, or why there is none."""
        try:
            path = urlsplit(target.decode("ascii")).path
        except ValueError:
            return text(400, "bad request target")
        page, slow = self._routes.get(path), self._slow.get(path)
        if page is None and slow is None:
            return text(404, "no such page; there are " + ", ".join(sorted({**self._routes, **self._slow})))
        if method not in (b"GET", b"HEAD"):
            return text(405, "only GET and HEAD", {"Allow": "GET, HEAD"})
        try:
            return await slow() if page is None and slow is not None else self._routes[path]()
        except Exception:  # a page that fails must not look like an agent that is dead
            self.statistics.failed += 1
            log.exception("page failed path=%s", path)
            return text(500, "this page failed; the agent's log says why")


class _Connection:
    """One client: requests one after another until it, or a limit, ends them."""

    def __init__(
        self,
        answer: Callable[[bytes, bytes], Awaitable[Response]],
        statistics: Statistics,
        timeout_seconds: float,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._answer, self._statistics, self._timeout = answer, statistics, timeout_seconds
        self._reader, self._writer = reader, writer
        writer.transport.set_write_buffer_limits(high=0)
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=HEADER_BYTES_MAX)

    async def serve(self) -> None:
        """Raises OSError where the client broke off; ends quietly otherwise."""
        for _ in range(REQUESTS_MAX):
            try:
                async with asyncio.timeout(self._timeout):
                    request = await self._request()
            except TimeoutError:
                self._statistics.timed_out += 1
                return
            except h11.RemoteProtocolError as error:
                self._statistics.refused += 1
                await self._send(text(error.error_status_hint, str(error)), b"GET")
                await self._linger()
                return
            if request is None:
                return
            await self._send(await self._answer(request.method, request.target), request.method)
            if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
                return
            self._http.start_next_cycle()

    async def _request(self) -> h11.Request | None:
        """The next request, its body read and thrown away; None where the client has no more."""
        request: h11.Request | None = None
        received = 0
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                data = await self._reader.read(_READ_BYTES)
                received += len(data)
                if received > REQUEST_BYTES_MAX:
                    raise h11.RemoteProtocolError("request too large", error_status_hint=413)
                self._http.receive_data(data)
            elif isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.EndOfMessage):
                return request
            elif isinstance(event, h11.ConnectionClosed) or event is h11.PAUSED:
                return None

    async def _linger(self) -> None:
        """Reads on for a moment: closing with bytes unread would reset the connection and lose the refusal."""
        if self._writer.can_write_eof():
            self._writer.write_eof()
        left = REQUEST_BYTES_MAX
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(1.0, self._timeout)):
                while left > 0 and (data := await self._reader.read(_READ_BYTES)):
                    left -= len(data)

    async def _send(self, response: Response, method: bytes) -> None:
        """Writes the answer; a client that will not take it within the deadline is dropped."""
        if self._http.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return
        headers = {**_ALWAYS, **response.headers}
        headers |= {"Content-Type": response.content_type, "Content-Length": str(len(response.body))}
        if self._http.their_state is h11.ERROR:
            headers["Connection"] = "close"
        phrase = HTTPStatus(response.status).phrase.encode()
        head = h11.Response(status_code=response.status, headers=list(headers.items()), reason=phrase)
        data = self._http.send(head) or b""
        if method != b"HEAD":
            data += self._http.send(h11.Data(data=response.body)) or b""
        data += self._http.send(h11.EndOfMessage()) or b""
        self._writer.write(data)
        self._statistics.answered += 1
        try:
            async with asyncio.timeout(self._timeout):
                await self._writer.drain()
        except TimeoutError as error:
            self._statistics.timed_out += 1
            raise ConnectionAbortedError("the client does not read") from error

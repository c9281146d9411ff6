"""One POST a connection over HTTP/1.1, the whole exchange under one deadline: for OTLP and for receivers of alerts."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

import h11

from agent.clock import Clock
from agent.errors import RetryableError
from agent.export.policy import SAID_MAX, asked_seconds
from agent.version import VERSION

BODY_BYTES_MAX = 1 << 20
PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))

Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Reply:
    """What was answered. retry_after_seconds: 0 where none was asked. body: at most a little over `BODY_BYTES_MAX`."""

    status: int
    retry_after_seconds: float
    protobuf: bool
    body: bytes

    @property
    def text(self) -> str:
        """The beginning of the body on one line, as far as it can be printed."""
        said = " ".join(self.body[:SAID_MAX].decode(errors="replace").split())
        return "".join(character for character in said if character.isprintable())


class Posting:
    """POSTs to one URL. No redirects, no proxies; nothing stays open between two requests."""

    def __init__(self, url: str, tls: ssl.SSLContext | None, timeout_seconds: float, clock: Clock) -> None:
        parts = urlsplit(url)
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if tls else 80)
        self._target = quote((parts.path or "/") + (f"?{parts.query}" if parts.query else ""), safe=PRINTABLE)
        self._netloc = parts.netloc.rpartition("@")[2]
        self._tls, self._timeout_seconds, self._clock = tls, timeout_seconds, clock

    async def post(self, payload: bytes, headers: Headers) -> Reply:
        """The answer, whatever it says. Raises RetryableError when none came."""
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await self._exchange(payload, headers)
        except (UnicodeError, h11.LocalProtocolError):  # they quote what they refuse, which may be a secret
            raise RetryableError("a header or an address with characters that HTTP does not allow") from None
        except (OSError, EOFError, h11.ProtocolError) as error:
            said = str(error) or ("no answer in time" if isinstance(error, TimeoutError) else type(error).__name__)
            raise RetryableError(said[:SAID_MAX]) from None

    async def _exchange(self, payload: bytes, headers: Headers) -> Reply:
        reader, writer = await asyncio.open_connection(self._host, self._port, ssl=self._tls)
        try:
            connection = h11.Connection(h11.CLIENT)
            own = [
                ("Host", self._netloc),
                ("Content-Length", str(len(payload))),
                ("Connection", "close"),
                ("User-Agent", f"sidelight-agent/{VERSION}"),
            ]
            request = h11.Request(method="POST", target=self._target, headers=[*own, *headers])
            for event in (request, h11.Data(payload), h11.EndOfMessage()):
                writer.write(connection.send(event) or b"")
            # A server may answer, and close, before it has read everything: its answer counts, not the broken pipe.
            sent = asyncio.ensure_future(writer.drain())
            try:
                return await self._reply(connection, reader)
            finally:
                sent.cancel()
                await asyncio.gather(sent, return_exceptions=True)
        finally:
            writer.transport.abort()

    async def _reply(self, connection: h11.Connection, reader: asyncio.StreamReader) -> Reply:
        status, headers, body = 0, {}, bytearray()
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                connection.receive_data(await reader.read(1 << 16))
            elif isinstance(event, h11.Response):
                status, headers = event.status_code, {key.lower(): value for key, value in event.headers}
            elif isinstance(event, h11.Data):
                body += event.data
            if isinstance(event, h11.EndOfMessage | h11.ConnectionClosed) or len(body) > BODY_BYTES_MAX:
                break
        if not status:
            raise EOFError("the connection was closed without an answer")
        protobuf = headers.get(b"content-type", b"").startswith(b"application/x-protobuf")
        retry_after, answered = (headers.get(name, b"").decode("latin-1") for name in (b"retry-after", b"date"))
        asked = asked_seconds(retry_after, answered, self._clock.now_ns())
        return Reply(status, asked, protobuf, bytes(body))

"""OTLP over HTTP/1.1, and the webhook: one request a connection, the whole exchange under one deadline."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

import h11
from google.protobuf.message import DecodeError
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped] # Google ships no types

from agent.errors import ConfigurationError, RetryableError
from agent.export import answers, spool
from agent.export.destination import Destination
from agent.export.policy import SAID_MAX, Answer, http_failure
from agent.version import VERSION

BODY_BYTES_MAX = 1 << 20
PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    retry_after: str
    protobuf: bool
    body: bytes


class HttpTransport:
    """POSTs to one URL. No redirects, no proxies."""

    def __init__(self, destination: Destination) -> None:
        self._destination = destination
        parts = urlsplit(destination.address)
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if destination.tls else 80)
        self._target = quote((parts.path or "/") + (f"?{parts.query}" if parts.query else ""), safe=PRINTABLE)
        self._netloc = parts.netloc.rpartition("@")[2]
        self._tls = tls_context(destination) if destination.tls else None
        self.packed = destination.gzip

    async def send(self, payload: bytes) -> Answer:
        to = self._destination
        try:
            async with asyncio.timeout(to.timeout_seconds):
                reply = await self._exchange(payload)
        except (OSError, EOFError, UnicodeError, h11.ProtocolError) as error:
            said = str(error) or ("no answer in time" if isinstance(error, TimeoutError) else type(error).__name__)
            raise RetryableError(said[:SAID_MAX]) from None
        if not 200 <= reply.status < 300:
            raise http_failure(reply.status, _message(reply), reply.retry_after)
        return Answer() if to.signal == spool.WEBHOOK else answers.read(to.signal, reply.body)

    async def close(self) -> None:
        """Nothing stays open between two requests."""

    async def _exchange(self, payload: bytes) -> Reply:
        reader, writer = await asyncio.open_connection(self._host, self._port, ssl=self._tls)
        try:
            connection = h11.Connection(h11.CLIENT)
            request = h11.Request(method="POST", target=self._target, headers=self._headers(len(payload)))
            for event in (request, h11.Data(payload), h11.EndOfMessage()):
                writer.write(connection.send(event) or b"")
            # A server may answer, and close, before it has read everything: its answer counts, not the broken pipe.
            sent = asyncio.ensure_future(writer.drain())
            try:
                return await _reply(connection, reader)
            finally:
                sent.cancel()
                await asyncio.gather(sent, return_exceptions=True)
        finally:
            writer.transport.abort()

    def _headers(self, length: int) -> list[tuple[str, str]]:
        to = self._destination
        json = to.signal == spool.WEBHOOK
        found = [
            ("Host", self._netloc), ("Content-Length", str(length)), ("Connection", "close"),
            ("Content-Type", "application/json" if json else "application/x-protobuf"),
            ("User-Agent", f"sidelight-agent/{VERSION}"),
        ]
        if self.packed:
            found.append(("Content-Encoding", "gzip"))
        return found + list(to.headers)


def tls_context(destination: Destination) -> ssl.SSLContext:
    """TLS, mutual where a certificate is given. Raises ConfigurationError when a file is not what it should be."""
    try:
        context = ssl.create_default_context(cafile=destination.ca_file or None)
        if destination.cert_file:
            context.load_cert_chain(destination.cert_file, destination.key_file or None)
    except (OSError, ValueError) as error:
        files = ", ".join(f for f in (destination.ca_file, destination.cert_file, destination.key_file) if f)
        expected = f"certificates and key as PEM ({error})"
        raise ConfigurationError("OTEL_EXPORTER_OTLP_CERTIFICATE", files, expected) from error
    return context


async def _reply(connection: h11.Connection, reader: asyncio.StreamReader) -> Reply:
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
    return Reply(status, headers.get(b"retry-after", b"").decode("latin-1"), protobuf, bytes(body))


def _message(reply: Reply) -> str:
    """What the backend said about its refusal: google.rpc.Status, else the beginning of the text."""
    if reply.protobuf:
        try:
            return str(Status.FromString(reply.body).message)
        except DecodeError:
            return ""
    return " ".join(reply.body[:SAID_MAX].decode(errors="replace").split())

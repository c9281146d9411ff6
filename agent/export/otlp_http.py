"""OTLP over HTTP/1.1."""

from __future__ import annotations

import ssl

from google.protobuf.message import DecodeError
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped] # Google ships no types

from agent.clock import Clock
from agent.errors import ConfigurationError
from agent.export import answers
from agent.export.destination import Destination
from agent.export.policy import Answer, http_failure
from agent.export.posting import Posting, Reply


class HttpTransport:
    """POSTs encoded requests to one URL."""

    def __init__(self, destination: Destination, clock: Clock) -> None:
        self._destination = destination
        tls = tls_context(destination) if destination.tls else None
        self._posting = Posting(destination.address, tls, destination.timeout_seconds, clock)
        self.packed = destination.gzip

    async def send(self, payload: bytes) -> Answer:
        headers = [("Content-Type", "application/x-protobuf"), *self._destination.headers]
        if self.packed:
            headers.append(("Content-Encoding", "gzip"))
        reply = await self._posting.post(payload, headers)
        if not 200 <= reply.status < 300:
            raise http_failure(reply.status, _message(reply), reply.retry_after_seconds)
        return answers.read(self._destination.signal, reply.body)

    async def close(self) -> None:
        """Nothing stays open between two requests."""


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


def _message(reply: Reply) -> str:
    """What the backend said about its refusal: google.rpc.Status, else the beginning of the text."""
    if reply.protobuf:
        try:
            return str(Status.FromString(reply.body).message)
        except DecodeError:
            return ""
    return reply.text

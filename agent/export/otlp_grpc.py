"""OTLP over gRPC: bytes in, bytes out, so that a retry encodes nothing again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped] # Google ships no types
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]

from agent.export import answers
from agent.export.destination import GRPC_METHODS, Destination
from agent.export.policy import Answer, grpc_failure

OPTIONS = [
    ("grpc.enable_retries", 0),  # policy.py decides
    ("grpc.use_local_subchannel_pool", 1),
]


class GrpcTransport:
    """One channel, made at the first call (it belongs to the running loop).

    One that could not connect is given up: it would answer the next calls out of its memory, by pauses of its own,
    and a backend that is back would wait for one more of the policy's.
    """

    packed = False

    def __init__(self, destination: Destination) -> None:
        self._destination = destination
        self._channel: grpc.aio.Channel | None = None
        self._credentials = credentials(destination) if destination.tls else None

    async def send(self, payload: bytes) -> Answer:
        to = self._destination
        channel = self._channel = self._channel or self._connect()
        call: Any = channel.unary_unary(GRPC_METHODS[to.signal])
        try:
            answer = await call(payload, timeout=to.timeout_seconds, metadata=to.headers)
        except grpc.aio.AioRpcError as error:
            if channel.get_state() is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
                await self.close()
            raise grpc_failure(error.code().name, error.details() or "", retry_delay(error)) from None
        return answers.read(to.signal, answer)

    async def close(self) -> None:
        if self._channel is not None:
            await self._channel.close()
            self._channel = None

    def _connect(self) -> grpc.aio.Channel:
        to = self._destination
        compression = grpc.Compression.Gzip if to.gzip else grpc.Compression.NoCompression
        if self._credentials is not None:
            return grpc.aio.secure_channel(to.address, self._credentials, OPTIONS, compression)
        return grpc.aio.insecure_channel(to.address, OPTIONS, compression)


def credentials(destination: Destination) -> grpc.ChannelCredentials:
    """TLS, mutual where a certificate is given. Reads files."""
    return grpc.ssl_channel_credentials(
        _read(destination.ca_file), _read(destination.key_file), _read(destination.cert_file)
    )


def retry_delay(error: Any) -> float | None:
    """Seconds of RetryInfo in the error's details; None without one."""
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            try:
                details = Status.FromString(value).details
                for detail in details:
                    info = RetryInfo()
                    if detail.Unpack(info):
                        return float(info.retry_delay.seconds + info.retry_delay.nanos / 1e9)
            except DecodeError:
                return None
    return None


def _read(path: str) -> bytes | None:
    return Path(path).read_bytes() if path else None

"""A grpc.aio server that takes any bytes and does nothing: the floor under every Python server, and a backend
that takes all metrics (no bytes are OTLP's whole success)."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from typing import Any

import grpc

METRICS = "opentelemetry.proto.collector.metrics.v1.MetricsService"


async def _record(raw: bytes, context: Any) -> bytes:
    return b""


async def _stream(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
    async for _ in requests:
        yield b""


async def serve(endpoint: str) -> None:
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", 64 << 20)])
    handlers: dict[str, Any] = {
        "Record": grpc.unary_unary_rpc_method_handler(_record),
        "RecordStream": grpc.stream_stream_rpc_method_handler(_stream),
    }
    exports: dict[str, Any] = {"Export": grpc.unary_unary_rpc_method_handler(_record)}
    server.add_generic_rpc_handlers((
        grpc.method_handlers_generic_handler("sidelight.v1.Recorder", handlers),
        grpc.method_handlers_generic_handler(METRICS, exports),
    ))  # fmt: skip
    server.add_insecure_port(endpoint)
    await server.start()
    print(json.dumps({"ready": True}), flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))

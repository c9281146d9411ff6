"""Scripted OTLP backends on real sockets: they answer what the script says next, and OK when it is empty."""

from __future__ import annotations

import asyncio
import gzip
import ssl
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import grpc
import h11
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped] # Google ships no types
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as traces

from agent.export.destination import GRPC_METHODS

REQUESTS: dict[str, Any] = {
    "metrics": metrics.ExportMetricsServiceRequest,
    "traces": traces.ExportTraceServiceRequest,
    "logs": logs.ExportLogsServiceRequest,
}
RESPONSES: dict[str, Any] = {
    "metrics": (metrics.ExportMetricsServiceResponse, "rejected_data_points"),
    "traces": (traces.ExportTraceServiceResponse, "rejected_spans"),
    "logs": (logs.ExportLogsServiceResponse, "rejected_log_records"),
}


@dataclass(frozen=True)
class Say:
    """One answer. code: a gRPC code's name or an HTTP status; rejected: a partial success. hang: none comes; took: the
    request is taken all the same. after: seconds until it comes. headers: over HTTP, beside the usual ones; status:
    over gRPC, the bytes of grpc-status-details-bin, whatever they are."""

    code: str | int = "OK"
    message: str = ""
    retry_delay: float | None = None
    rejected: int = 0
    hang: bool = False
    took: bool = False
    after: float = 0.0
    headers: tuple[tuple[str, bytes], ...] = ()
    status: bytes = b""


@dataclass(frozen=True)
class Got:
    """One request as it came, whatever was answered. rejected: how many of its items were not taken."""

    signal: str
    message: Any
    headers: dict[str, str]
    path: str = ""
    body: bytes = b""
    rejected: int = 0


@dataclass
class Backend:
    """What both have. script: the next answers, by signal; always: the answer after these. got: every request; taken:
    those answered with success."""

    port: int = 0
    script: dict[str, deque[Say]] = field(default_factory=dict)
    always: Say = field(default_factory=Say)
    got: list[Got] = field(default_factory=list)
    taken: list[Got] = field(default_factory=list)

    def says(self, signal: str, *answers: Say) -> None:
        self.script.setdefault(signal, deque()).extend(answers)

    def answer(self, got: Got) -> Say:
        self.got.append(got)
        waiting = self.script.get(got.signal)
        say = waiting.popleft() if waiting else self.always
        if say.took or (say.code in ("OK", 200) and not say.hang):
            self.taken.append(replace(got, rejected=say.rejected))
        return say

    def bodies(self) -> list[str]:
        """The bodies of all log records taken, in order."""
        return [
            record.body.string_value
            for got in self.taken
            if got.signal == "logs"
            for resource in got.message.resource_logs
            for scope in resource.scope_logs
            for record in scope.log_records
        ]


def success(signal: str, say: Say) -> bytes:
    """The encoded response to a request that was taken."""
    kind, count = RESPONSES[signal]
    response = kind()
    if say.rejected or say.message:
        setattr(response.partial_success, count, say.rejected)
        response.partial_success.error_message = say.message
    encoded: bytes = response.SerializeToString()
    return encoded


class GrpcBackend(Backend):
    """The collector's three services. `start` on the same port after `stop` is the backend that comes back."""

    server: grpc.aio.Server

    async def start(self, credentials: grpc.ServerCredentials | None = None) -> str:
        self.server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        for signal, path in GRPC_METHODS.items():
            _, service, method = path.split("/")
            handler: Any = grpc.unary_unary_rpc_method_handler(self._handler(signal))
            self.server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
        address = f"127.0.0.1:{self.port}"
        self.port = (
            self.server.add_secure_port(address, credentials) if credentials else self.server.add_insecure_port(address)
        )
        await self.server.start()
        return f"http://127.0.0.1:{self.port}"

    async def stop(self) -> None:
        await self.server.stop(None)

    def _handler(self, signal: str) -> Any:
        async def export(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
            headers = {str(k): str(v) for k, v in context.invocation_metadata() or ()}
            say = self.answer(Got(signal, REQUESTS[signal].FromString(request), headers, body=request))
            await asyncio.sleep(60 if say.hang else say.after)
            if say.code not in ("OK", 200):
                details = [say.status] if say.status else []
                details += [] if say.retry_delay is None else [retry_info(say.retry_delay)]
                trailing = tuple(("grpc-status-details-bin", each) for each in details)
                await context.abort(getattr(grpc.StatusCode, str(say.code)), say.message, trailing)
            return success(signal, say)

        return export


def retry_info(seconds: float) -> bytes:
    """The trailer of an error that may be retried after so long."""
    info, packed = RetryInfo(retry_delay=Duration(seconds=int(seconds), nanos=int(seconds % 1 * 1e9))), AnyMessage()
    packed.Pack(info)
    encoded: bytes = Status(details=[packed]).SerializeToString()
    return encoded


@dataclass
class HttpBackend(Backend):
    """/v1/metrics, /v1/traces, /v1/logs; any other path is the signal `webhook`, its body left as it is."""

    server: asyncio.Server = field(init=False)
    serving: set[asyncio.Task[None]] = field(default_factory=set)

    async def start(self, tls: ssl.SSLContext | None = None) -> str:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=tls)
        self.port = self.server.sockets[0].getsockname()[1]
        return f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"

    async def stop(self) -> None:
        self.server.close()
        for task in self.serving:
            task.cancel()
        await asyncio.gather(*self.serving, return_exceptions=True)
        await self.server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.serving.add(task)
        try:
            await self._exchange(reader, writer)
        finally:
            writer.close()
            self.serving.discard(task)

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection, body = h11.Connection(h11.SERVER), bytearray()
        request: h11.Request | None = None
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                connection.receive_data(await reader.read(65_536))
            elif isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.Data):
                body += event.data
            else:
                break
        if isinstance(request, h11.Request):
            for event in await self._answer(request, bytes(body)):
                writer.write(connection.send(event) or b"")

    async def _answer(self, request: h11.Request, body: bytes) -> Sequence[Any]:
        headers = {key.decode(): value.decode() for key, value in request.headers}
        path = request.target.decode()
        signal = path.rpartition("/")[2] if path.startswith("/v1/") else "webhook"
        bare = gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body
        message = REQUESTS[signal].FromString(bare) if signal in REQUESTS else None
        say = self.answer(Got(signal, message, headers, path, bare))
        await asyncio.sleep(60 if say.hang else say.after)
        if say.code in ("OK", 200):
            return _response(200, success(signal, say) if message is not None else b"", [])
        after = [(name.encode(), value) for name, value in say.headers]
        after += [] if say.retry_delay is None else [(b"Retry-After", b"%d" % say.retry_delay)]
        return _response(int(say.code), Status(message=say.message).SerializeToString(), after)


def _response(status: int, body: bytes, headers: Sequence[tuple[bytes, bytes]]) -> Sequence[Any]:
    found = [(b"Content-Type", b"application/x-protobuf"), (b"Content-Length", b"%d" % len(body)), *headers]
    return h11.Response(status_code=status, headers=found), h11.Data(data=body), h11.EndOfMessage()

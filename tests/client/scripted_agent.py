"""A real gRPC server on a real socket whose answers a test writes beforehand."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import grpc
from sidelight.wire import recorder_pb2

Answer = Callable[[recorder_pb2.RecordRequest, grpc.ServicerContext], recorder_pb2.RecordResponse]


def rows_in(request: recorder_pb2.RecordRequest) -> int:
    """How many records a message carries."""
    body = request.WhichOneof("body")
    if body in ("columns", "label_columns"):
        return int(getattr(request, body).rows)
    return len(request.lifecycle.events)


@dataclass
class ScriptedAgent:
    """Keeps every message. Each answer of the script is used once; when it is used up, all is accepted."""

    path: str
    script: list[Answer] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    metadata: list[dict[str, Any]] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)
    server: Any = None

    @property
    def endpoint(self) -> str:
        return f"unix:{self.path}"

    @property
    def requests(self) -> list[recorder_pb2.RecordRequest]:
        return [recorder_pb2.RecordRequest.FromString(one) for one in self.raw]

    def columns(self) -> list[Any]:
        return [one.columns for one in self.requests if one.WhichOneof("body") == "columns"]

    def start(self) -> ScriptedAgent:
        self.gate.set()
        self.server = grpc.server(ThreadPoolExecutor(2))
        self.server.add_generic_rpc_handlers((_Handler(self),))
        self.server.add_insecure_port(self.endpoint)
        self.server.start()
        return self

    def stop(self) -> None:
        self.gate.set()
        if self.server is not None:
            self.server.stop(None).wait()
            self.server = None

    def answer(self, data: bytes, context: grpc.ServicerContext) -> recorder_pb2.RecordResponse:
        self.metadata.append(dict(context.invocation_metadata()))
        self.raw.append(data)
        self.gate.wait(20)
        request = recorder_pb2.RecordRequest.FromString(data)
        if self.script:
            return self.script.pop(0)(request, context)
        return accept(request, context)

    def rows(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Every prediction that came: (id, typed cells by feature)."""
        for columns in self.columns():
            yield from decode(columns)


class _Handler(grpc.GenericRpcHandler):  # type: ignore[misc, unused-ignore]
    def __init__(self, agent: ScriptedAgent) -> None:
        self.agent = agent

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        if details.method != "/sidelight.v1.Recorder/Record":
            return None
        return grpc.unary_unary_rpc_method_handler(
            self.agent.answer, response_serializer=recorder_pb2.RecordResponse.SerializeToString
        )


def accept(request: recorder_pb2.RecordRequest, context: grpc.ServicerContext) -> recorder_pb2.RecordResponse:
    return recorder_pb2.RecordResponse(accepted=rows_in(request), durable=True)


def hint(**hints: Any) -> Answer:
    """Accepts, and asks for something."""
    return lambda request, context: recorder_pb2.RecordResponse(
        accepted=rows_in(request), durable=True, hints=recorder_pb2.Hints(**hints)
    )


def fail(code: grpc.StatusCode, details: str = "") -> Answer:
    """Answers with an error. UNAVAILABLE after the message was kept is an answer lost on its way."""

    def answer(request: recorder_pb2.RecordRequest, context: grpc.ServicerContext) -> recorder_pb2.RecordResponse:
        context.abort(code, details)
        raise AssertionError

    return answer


def is_set(bitmap: bytes, row: int) -> bool:
    return bool(bitmap) and bool(bitmap[row // 8] >> (row % 8) & 1)


def ids_of(columns: Any) -> list[str]:
    return list(columns.ids) or [f"{columns.id_prefix}{one}" for one in columns.id_numbers]


def decode(columns: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """The contract, read back: absent keys are left out, nulls are None, vectors tuples."""
    for row, identity in enumerate(ids_of(columns)):
        cells: dict[str, Any] = {}
        for kind in ("numbers", "texts", "flags", "vectors"):
            for column in getattr(columns, kind):
                if is_set(column.absents, row):
                    continue
                assert column.name not in cells, "one cell in two columns"
                cells[column.name] = None if is_set(column.nulls, row) else _value(kind, column, row)
        yield identity, cells


def _value(kind: str, column: Any, row: int) -> Any:
    if kind == "texts":
        return column.dictionary[column.codes[row]]
    if kind == "vectors":
        return tuple(column.values[row * column.size : (row + 1) * column.size])
    return column.values[row]

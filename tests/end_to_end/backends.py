"""The scripted OTLP backends, served from a thread of their own, beside tests that wait for an agent process."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.export.backend import Backend, GrpcBackend, HttpBackend

KINDS: dict[str, type[GrpcBackend] | type[HttpBackend]] = {"grpc": GrpcBackend, "http/protobuf": HttpBackend}


@contextmanager
def serving(kind: str) -> Iterator[tuple[Backend, str]]:
    """A backend of KINDS and its URL, until the block ends."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    backend = KINDS[kind]()
    url = asyncio.run_coroutine_threadsafe(backend.start(), loop).result(60)
    try:
        yield backend, url
    finally:
        asyncio.run_coroutine_threadsafe(backend.stop(), loop).result(60)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(60)
        loop.close()


def until(fulfilled: Callable[[], Any], seconds: float = 120.0) -> None:
    """Polls until it holds."""
    end = time.monotonic() + seconds
    while not fulfilled():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.02)


def plain(value: Any) -> Any:
    """An OTLP AnyValue as Python has it."""
    which = value.WhichOneof("value")
    if which == "array_value":
        return [plain(each) for each in value.array_value.values]
    if which == "kvlist_value":
        return attributes(value.kvlist_value.values)
    return None if which is None else getattr(value, which)


def attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: plain(pair.value) for pair in pairs}


def metrics(backend: Backend) -> list[tuple[dict[str, Any], Any]]:
    """Every metric taken, in order, each with its resource's attributes."""
    return [
        (attributes(resource.resource.attributes), metric)
        for got in list(backend.taken)
        if got.signal == "metrics"
        for resource in got.message.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    ]


def records(backend: Backend) -> list[Any]:
    """Every log record taken, in order."""
    return [
        record
        for got in list(backend.taken)
        if got.signal == "logs"
        for resource in got.message.resource_logs
        for scope in resource.scope_logs
        for record in scope.log_records
    ]


def alerts(backend: Backend) -> list[Any]:
    """The log records of alerts among them."""
    return [record for record in records(backend) if record.event_name.startswith("sidelight.alert.")]


def spans(backend: Backend) -> list[Any]:
    """Every span taken, in order."""
    return [
        span
        for got in list(backend.taken)
        if got.signal == "traces"
        for resource in got.message.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]

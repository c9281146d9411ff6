"""OTEL_*_EXPORTER=console: requests as JSON on stdout, one a line, in OTLP's JSON encoding (ids in hex)."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from typing import Any, TextIO

from agent.export.answers import REQUESTS
from agent.export.policy import Answer

IDS = frozenset({"traceId", "spanId", "parentSpanId"})


class ConsoleTransport:
    """Writes in a thread: a full pipe must not hold the loop."""

    packed = False

    def __init__(self, signal: str, out: TextIO | None = None) -> None:
        self._signal = signal
        self._out = out

    async def send(self, payload: bytes) -> Answer:
        line = as_json(self._signal, payload)
        await asyncio.to_thread(self._write, line)
        return Answer()

    async def close(self) -> None:
        """stdout stays open."""

    def _write(self, line: str) -> None:
        out = self._out or sys.stdout
        out.write(f"{line}\n")
        out.flush()


def as_json(signal: str, payload: bytes) -> str:
    """The request as one line of OTLP/JSON."""
    from google.protobuf.json_format import MessageToDict  # only the console needs it

    message = MessageToDict(REQUESTS[signal].FromString(payload), use_integers_for_enums=True)
    return json.dumps(_hex(message), ensure_ascii=False)


def _hex(value: Any) -> Any:
    if isinstance(value, list):
        return [_hex(each) for each in value]
    if isinstance(value, dict):
        return {
            key: base64.b64decode(each).hex() if key in IDS and isinstance(each, str) else _hex(each)
            for key, each in value.items()
        }
    return value

"""Predictions as spans in their callers' traces, their stages as children.

A prediction is an INTERNAL span: the caller's span around it, the one that took the request, is the SERVER.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import xxhash
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1 import trace_pb2 as otlp
from opentelemetry.trace import TraceFlags

from agent.export.attributes import UNLIMITED, Limits, key_values, text
from agent.export.metrics import SCOPE
from agent.records import ModelKey
from agent.traces.traced import Trace

HAS_IS_REMOTE = otlp.SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK
IS_REMOTE = otlp.SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK


def valid(trace: Trace) -> bool:
    """Whether the ids are such as W3C allows: 16 and 8 bytes, not all zero."""
    return len(trace.trace_id) == 16 and len(trace.parent_id) == 8 and any(trace.trace_id) and any(trace.parent_id)


def encode(
    traces: Sequence[Trace], model: ModelKey, resource: Resource, limits: Limits = UNLIMITED
) -> tuple[bytes, int]:
    """One encoded ExportTraceServiceRequest and its number of spans; (b"", 0) where no ids are such as W3C allows."""
    kept = [trace for trace in traces if valid(trace)]
    if not kept:
        return b"", 0
    request = ExportTraceServiceRequest()
    of_scope = request.resource_spans.add(resource=resource).scope_spans.add()
    of_scope.scope.name = SCOPE
    for trace in kept:
        of_scope.spans.extend(spans(trace, model, limits))
    return request.SerializeToString(), len(of_scope.spans)


def spans(trace: Trace, model: ModelKey, limits: Limits = UNLIMITED) -> list[otlp.Span]:
    """The prediction's span, then one per stage. Unknown latency: the span ends with its last stage."""
    start_ns = max(trace.start_ns, 0)
    attributes: dict[str, Any] = {
        **model.attributes(),
        "sidelight.prediction.id": trace.prediction_id or None,
        "sidelight.sampled.reason": trace.reason or None,
        "error.type": trace.error_type or None,
        **{f"sidelight.feature.{name}": value for name, value in trace.values},
    }
    pairs, dropped = key_values(attributes, limits)
    ends = max((_seconds(offset) + _seconds(duration) for _, offset, duration in trace.stages), default=0.0)
    root = otlp.Span(
        trace_id=trace.trace_id,
        span_id=span_id(trace, model, 0),
        parent_span_id=trace.parent_id,
        name=text(f"predict {model.name}"),
        kind=otlp.Span.SPAN_KIND_INTERNAL,
        trace_state=text(trace.state),
        flags=_flags(trace) | IS_REMOTE,
        start_time_unix_nano=start_ns,
        end_time_unix_nano=start_ns + _nanoseconds(ends if math.isnan(trace.latency) else trace.latency),
        attributes=pairs,
        dropped_attributes_count=dropped,
    )
    if trace.error_type:
        root.status.code = otlp.Status.STATUS_CODE_ERROR
    return [root, *(_stage(trace, model, root.span_id, number) for number in range(len(trace.stages)))]


def span_id(trace: Trace, model: ModelKey, number: int) -> bytes:
    """8 bytes that are the same whenever the same prediction is replayed. number: 0 the prediction, 1… its stages."""
    who = trace.prediction_id or f"{trace.start_ns}/{trace.row}"
    names = (who, model.name, model.version, model.role.name, model.deployment, model.tenant, str(number))
    digest = xxhash.xxh3_64_digest(trace.trace_id + trace.parent_id + "\0".join(names).encode(errors="replace"))
    return digest if any(digest) else b"\0" * 7 + b"\1"


def _stage(trace: Trace, model: ModelKey, parent: bytes, index: int) -> otlp.Span:
    name, offset, duration = trace.stages[index]
    start_ns = max(trace.start_ns, 0) + _nanoseconds(offset)
    return otlp.Span(
        trace_id=trace.trace_id,
        span_id=span_id(trace, model, index + 1),
        parent_span_id=parent,
        name=text(name),
        kind=otlp.Span.SPAN_KIND_INTERNAL,
        trace_state=text(trace.state),
        flags=_flags(trace),
        start_time_unix_nano=start_ns,
        end_time_unix_nano=start_ns + _nanoseconds(duration),
    )


def _flags(trace: Trace) -> int:
    """As the caller's, and sampled: what is exported was, whatever the caller asked."""
    return (trace.flags & 0xFF) | TraceFlags.SAMPLED | HAS_IS_REMOTE


def _seconds(value: float) -> float:
    """Never negative, never NaN, at most a year: times come from senders' clocks."""
    return min(max(value, 0.0), 31_536_000.0) if value == value else 0.0


def _nanoseconds(seconds: float) -> int:
    return round(_seconds(seconds) * 1e9)

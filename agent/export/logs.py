"""Events as OTLP log records with the top-level event name."""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1 import logs_pb2 as otlp
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from agent.export.attributes import UNLIMITED, Limits, key_values, text
from agent.export.metrics import SCOPE
from agent.records import Event

SEVERITIES = {
    "DEBUG": otlp.SEVERITY_NUMBER_DEBUG,
    "INFO": otlp.SEVERITY_NUMBER_INFO,
    "WARN": otlp.SEVERITY_NUMBER_WARN,
    "ERROR": otlp.SEVERITY_NUMBER_ERROR,
    "FATAL": otlp.SEVERITY_NUMBER_FATAL,
}


def encode(events: Sequence[Event], resource: Resource, now_ns: int, limits: Limits = UNLIMITED) -> tuple[bytes, int]:
    """One encoded ExportLogsServiceRequest and its number of records. now_ns: when the agent saw them."""
    request = ExportLogsServiceRequest()
    of_scope = request.resource_logs.add(resource=resource).scope_logs.add()
    of_scope.scope.name = SCOPE
    for event in events:
        pairs, dropped = key_values(event.attributes, limits)
        record = of_scope.log_records.add(
            time_unix_nano=event.time_ns,
            observed_time_unix_nano=now_ns,
            event_name=text(event.name),
            severity_number=SEVERITIES.get(event.severity, otlp.SEVERITY_NUMBER_INFO),
            severity_text=event.severity,
            attributes=pairs,
            dropped_attributes_count=dropped,
        )
        record.body.string_value = text(event.body)
    return request.SerializeToString(), len(events)

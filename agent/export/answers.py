"""What a backend says in a successful OTLP answer."""

from __future__ import annotations

from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as traces

from agent.export import spool
from agent.export.policy import SAID_MAX, Answer

REQUESTS: dict[str, type[Message]] = {
    spool.METRICS: metrics.ExportMetricsServiceRequest,
    spool.TRACES: traces.ExportTraceServiceRequest,
    spool.LOGS: logs.ExportLogsServiceRequest,
}


def read(signal: str, body: bytes) -> Answer:
    """The partial success, if any. An answer that cannot be read is still a success, and says so."""
    try:
        if signal == spool.METRICS:
            of_metrics = metrics.ExportMetricsServiceResponse.FromString(body).partial_success
            return Answer(of_metrics.rejected_data_points, of_metrics.error_message[:SAID_MAX])
        if signal == spool.TRACES:
            of_traces = traces.ExportTraceServiceResponse.FromString(body).partial_success
            return Answer(of_traces.rejected_spans, of_traces.error_message[:SAID_MAX])
        of_logs = logs.ExportLogsServiceResponse.FromString(body).partial_success
        return Answer(of_logs.rejected_log_records, of_logs.error_message[:SAID_MAX])
    except DecodeError:
        return Answer(0, "the backend's answer is no OTLP")

"""The OpenTelemetry Collector between agent and backends; what went through it also lands in files, to be counted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.integration.jaeger import Jaeger
from tests.integration.prometheus import Prometheus
from tests.integration.servers import Server
from tests.ports import free_port

REQUESTS: dict[str, Any] = {
    "metrics": ExportMetricsServiceRequest, "traces": ExportTraceServiceRequest, "logs": ExportLogsServiceRequest,
}  # fmt: skip


class Collector(Server):
    """grpc, http: its OTLP receivers. Without queues of its own: a request is answered when the backends have it."""

    def __init__(self, folder: Path, prometheus: Prometheus, jaeger: Jaeger) -> None:
        grpc_port, http_port = free_port(), free_port()
        self.grpc, self.http = f"http://127.0.0.1:{grpc_port}", f"http://127.0.0.1:{http_port}"
        self._files = {signal: folder / f"{signal}.otlp" for signal in REQUESTS}
        at_once = {"sending_queue": {"enabled": False}, "retry_on_failure": {"enabled": False}}
        files = {
            f"file/{signal}": {"path": str(path), "append": True, "format": "proto"}
            for signal, path in self._files.items()
        }
        further = {"metrics": ["otlp_http/prometheus"], "traces": ["otlp_grpc/jaeger"], "logs": []}
        config = {
            "receivers": {
                "otlp": {
                    "protocols": {
                        "grpc": {"endpoint": f"127.0.0.1:{grpc_port}"}, "http": {"endpoint": f"127.0.0.1:{http_port}"},
                    }
                }
            },
            "exporters": {
                "otlp_http/prometheus": {"endpoint": prometheus.endpoint, **at_once},
                "otlp_grpc/jaeger": {
                    "endpoint": jaeger.endpoint.removeprefix("http://"), "tls": {"insecure": True}, **at_once
                },
                **files,
            },
            "service": {
                "telemetry": {"metrics": {"level": "none"}},
                "pipelines": {
                    signal: {"receivers": ["otlp"], "exporters": [*others, f"file/{signal}"]}
                    for signal, others in further.items()
                },
            },
        }  # fmt: skip
        path = folder / "collector.yaml"
        path.write_text(json.dumps(config, indent=1))  # JSON is YAML
        super().__init__("otelcol", folder, [f"--config={path}"], self.http)

    def requests(self, signal: str) -> list[Any]:
        """Every request of the signal that went through, oldest first; complete once it is stopped."""
        path = self._files[signal]
        raw, found, at = path.read_bytes() if path.exists() else b"", [], 0
        while at < len(raw):
            size = int.from_bytes(raw[at : at + 4], "big")
            found.append(REQUESTS[signal].FromString(raw[at + 4 : at + 4 + size]))
            at += 4 + size
        return found

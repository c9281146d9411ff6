"""Jaeger 2 with its store on disk, and its query API."""

from __future__ import annotations

import json
import urllib.error
from pathlib import Path
from typing import Any

from tests.integration.servers import Server, get
from tests.ports import free_port


class Jaeger(Server):
    """Keeps its spans over restarts. endpoint: its OTLP/gRPC receiver."""

    def __init__(self, folder: Path) -> None:
        port, grpc_port, otlp_port = free_port(), free_port(), free_port()
        self.url, self.endpoint = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{otlp_port}"
        data = {"keys": str(folder / "jaeger-keys"), "values": str(folder / "jaeger-values")}
        config = {
            "service": {
                "extensions": ["jaeger_storage", "jaeger_query"],
                # No batch processor: what is acknowledged is stored.
                "pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["jaeger_storage_exporter"]}},
                "telemetry": {"metrics": {"level": "none"}},
            },
            "extensions": {
                "jaeger_query": {
                    "storage": {"traces": "disk"}, "enable_tracing": False,
                    "http": {"endpoint": f"127.0.0.1:{port}"}, "grpc": {"endpoint": f"127.0.0.1:{grpc_port}"},
                },
                "jaeger_storage": {
                    "backends": {"disk": {"badger": {"directories": data, "ephemeral": False, "consistency": True}}}
                },
            },
            "receivers": {"otlp": {"protocols": {"grpc": {"endpoint": f"127.0.0.1:{otlp_port}"}}}},
            "exporters": {
                "jaeger_storage_exporter": {"trace_storage": "disk", "queue": {"enabled": False}},
            },
        }  # fmt: skip
        path = folder / "jaeger.yaml"
        path.write_text(json.dumps(config, indent=1))  # JSON is YAML
        super().__init__("jaeger", folder, [f"--config={path}"], f"{self.url}/api/services")

    def trace(self, trace_id: str) -> list[dict[str, Any]]:
        """The spans of one trace, each with its process, as Jaeger's API has them; empty when it knows none."""
        try:
            traces = get(f"{self.url}/api/traces/{trace_id}")["data"]
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return []
            raise
        return [
            span | {"service": trace["processes"][span["processID"]]["serviceName"]}
            for trace in traces for span in trace["spans"]
        ]  # fmt: skip

"""OpenTelemetry's standard options."""

from __future__ import annotations

import os
import re
from typing import ClassVar, Literal
from urllib.parse import unquote, urlsplit

from agent.config.option import Names, Options, checked, names, option
from agent.config.values import Secret
from agent.errors import ConfigurationError

OTLP_SIGNALS = ("", "traces_", "metrics_", "logs_")


class Otel(Options):
    """OpenTelemetry's standard variables: OTEL_ and the field's name in capitals, with the specification's units.

    What a signal leaves unset it takes from the general variable. `export/destination.py` puts the two together.
    """

    prefix: ClassVar[str] = "OTEL_"

    # Who is speaking.
    sdk_disabled: bool = option(False, "Export nothing over OTLP.")
    service_name: str = option(
        "", "service.name of the resource. Unset: as in OTEL_RESOURCE_ATTRIBUTES, else sidelight-agent."
    )
    resource_attributes: str = option("", "Attributes of the resource: key=value[,key=value…], values percent-encoded.")
    experimental_resource_detectors: Names = option(
        (), "Detectors that add to the resource, comma separated: host, os, process, other installed ones; *: all."
    )

    # Which signals go where.
    traces_exporter: Literal["otlp", "console", "none"] = option(
        "otlp", "Where prediction spans go; console: JSON on stdout."
    )
    metrics_exporter: Literal["otlp", "console", "none", "prometheus"] = option(
        "otlp", "Where metrics go; prometheus means none here: the local page serves them at /metrics in any case."
    )
    logs_exporter: Literal["otlp", "console", "none"] = option("otlp", "Where events (alerts, closed windows) go.")
    metric_export_interval: int = option(
        60_000, "Time between two exports of all metrics.", "ms", ge=1_000, le=86_400_000
    )

    # OTLP, for all signals.
    exporter_otlp_endpoint: str = option(
        "",
        "The collector or backend: http://host:4317 (gRPC), http://host:4318 (HTTP; /v1/traces, /v1/metrics and "
        "/v1/logs are added), https:// for TLS, unix:///path (gRPC). Unset: nothing is exported, the status says so.",
    )
    exporter_otlp_protocol: Literal["", "grpc", "http/protobuf"] = option(
        "", "grpc or http/protobuf. Unset: grpc for port 4317, unix: and no scheme, else http/protobuf."
    )
    exporter_otlp_headers: Secret = option(
        Secret(""), "Sent with every request: key=value[,key=value…], percent-encoded."
    )
    exporter_otlp_timeout: float = option(
        10_000.0, "Longest wait for one answer; milliseconds, as the specification says.", "ms", gt=0
    )
    exporter_otlp_compression: Literal["gzip", "none"] = option("gzip", "How requests are compressed.")
    exporter_otlp_insecure: bool = option(False, "gRPC endpoints without a scheme: no TLS.")
    exporter_otlp_certificate: str = option(
        "", "Authorities trusted to sign the backend's certificate, PEM. Unset: the system's."
    )
    exporter_otlp_client_key: str = option("", "Private key of the agent's own certificate (mTLS), PEM.")
    exporter_otlp_client_certificate: str = option("", "The agent's own certificate chain (mTLS), PEM.")

    # OTLP, for one signal.
    exporter_otlp_traces_endpoint: str = option("", "For traces only; with HTTP used as it is, no path is added.")
    exporter_otlp_traces_protocol: Literal["", "grpc", "http/protobuf"] = option("", "For traces only.")
    exporter_otlp_traces_headers: Secret = option(Secret(""), "For traces only.")
    exporter_otlp_traces_timeout: float | None = option(None, "For traces only.", "ms", gt=0)
    exporter_otlp_traces_compression: Literal["gzip", "none"] | None = option(None, "For traces only.")
    exporter_otlp_traces_insecure: bool | None = option(None, "For traces only.")
    exporter_otlp_traces_certificate: str = option("", "For traces only.")
    exporter_otlp_traces_client_key: str = option("", "For traces only.")
    exporter_otlp_traces_client_certificate: str = option("", "For traces only.")

    exporter_otlp_metrics_endpoint: str = option("", "For metrics only; with HTTP used as it is, no path is added.")
    exporter_otlp_metrics_protocol: Literal["", "grpc", "http/protobuf"] = option("", "For metrics only.")
    exporter_otlp_metrics_headers: Secret = option(Secret(""), "For metrics only.")
    exporter_otlp_metrics_timeout: float | None = option(None, "For metrics only.", "ms", gt=0)
    exporter_otlp_metrics_compression: Literal["gzip", "none"] | None = option(None, "For metrics only.")
    exporter_otlp_metrics_insecure: bool | None = option(None, "For metrics only.")
    exporter_otlp_metrics_certificate: str = option("", "For metrics only.")
    exporter_otlp_metrics_client_key: str = option("", "For metrics only.")
    exporter_otlp_metrics_client_certificate: str = option("", "For metrics only.")

    exporter_otlp_logs_endpoint: str = option("", "For logs only; with HTTP used as it is, no path is added.")
    exporter_otlp_logs_protocol: Literal["", "grpc", "http/protobuf"] = option("", "For logs only.")
    exporter_otlp_logs_headers: Secret = option(Secret(""), "For logs only.")
    exporter_otlp_logs_timeout: float | None = option(None, "For logs only.", "ms", gt=0)
    exporter_otlp_logs_compression: Literal["gzip", "none"] | None = option(None, "For logs only.")
    exporter_otlp_logs_insecure: bool | None = option(None, "For logs only.")
    exporter_otlp_logs_certificate: str = option("", "For logs only.")
    exporter_otlp_logs_client_key: str = option("", "For logs only.")
    exporter_otlp_logs_client_certificate: str = option("", "For logs only.")

    # What is said, and how.
    traces_sampler: Literal[
        "always_on",
        "always_off",
        "traceidratio",
        "parentbased_always_on",
        "parentbased_always_off",
        "parentbased_traceidratio",
    ] = option(
        "parentbased_always_on",
        "Which predictions become spans. Each has its caller's span as parent, so parentbased_* follow the caller. "
        "Beside these SIDELIGHT_TRACE_ALWAYS_PER_MINUTE.",
    )
    traces_sampler_arg: float = option(1.0, "Share of traces kept by traceidratio.", "1", ge=0, le=1)
    exporter_otlp_metrics_temporality_preference: Literal["cumulative", "delta", "lowmemory"] = option(
        "cumulative",
        "Counters and histograms as totals since their start (Prometheus takes nothing else), or delta: what came "
        "since the last export (Datadog's own intake takes nothing else); lowmemory: delta, but what the kernel or a "
        "driver counts cumulative.",
    )
    metrics_exemplar_filter: Literal["always_on", "always_off", "trace_based"] = option(
        "trace_based",
        "Spans as examples of latencies, in their histogram: trace_based and always_on alike those that are exported, "
        "of each bucket the newest; always_off: none.",
    )
    attribute_count_limit: int = option(
        128, "Attributes of one span or log record; further ones are only counted.", "{attribute}", ge=1
    )
    attribute_value_length_limit: int = option(
        4_096, "Longest text in an attribute of a span or log record; cut above.", "{character}", ge=1
    )
    span_attribute_count_limit: int | None = option(None, "For spans only.", "{attribute}", ge=1)
    span_attribute_value_length_limit: int | None = option(None, "For spans only.", "{character}", ge=1)
    logrecord_attribute_count_limit: int | None = option(None, "For log records only.", "{attribute}", ge=1)
    logrecord_attribute_value_length_limit: int | None = option(None, "For log records only.", "{character}", ge=1)
    propagators: str = option(
        "tracecontext,baggage", "Accepted, without effect: senders put the trace context into the record."
    )
    log_level: str = option("info", "Accepted, without effect: SIDELIGHT_LOG_LEVEL is the agent's own.")

    @checked(
        "traces_exporter",
        "metrics_exporter",
        "logs_exporter",
        "traces_sampler",
        "metrics_exemplar_filter",
        "exporter_otlp_metrics_temporality_preference",
        *(f"exporter_otlp_{signal}{name}" for signal in OTLP_SIGNALS for name in ("protocol", "compression")),
        before=True,
    )
    @staticmethod
    def _lower(value: object) -> object:
        return value.strip().lower() if isinstance(value, str) else value

    @checked("experimental_resource_detectors", before=True)
    @staticmethod
    def _names(value: object) -> object:
        return names(value) if isinstance(value, str) else value

    @checked("resource_attributes")
    @staticmethod
    def _pairs(value: str) -> str:
        if any("=" not in pair for pair in value.split(",") if pair.strip()):
            raise ValueError("key=value[,key=value…]")
        return value

    @checked(*(f"exporter_otlp_{signal}headers" for signal in OTLP_SIGNALS))
    @staticmethod
    def _headers(value: Secret) -> Secret:
        for pair in value.get_secret_value().split(","):
            key, equals, text = pair.partition("=")
            good = equals and re.fullmatch(r"[0-9A-Za-z_.-]+", key.strip()) and not key.strip().lower().endswith("-bin")
            if pair.strip() and not (good and re.fullmatch(r"[\x20-\x7e]*", unquote(text))):
                raise ValueError("key=value[,key=value…], in characters that gRPC and HTTP allow")
        return value

    def check(self) -> None:
        for name in self.fields:
            value = getattr(self, name)
            if name.startswith("exporter_otlp") and name.endswith("endpoint") and value:
                _check_endpoint(f"OTEL_{name.upper()}", value)
            if name.endswith(("certificate", "client_key")) and value and not os.access(value, os.R_OK):
                raise ConfigurationError(f"OTEL_{name.upper()}", value, "a readable file")


def _check_endpoint(variable: str, value: str) -> None:
    """Raises ConfigurationError for what no transport could reach; a password in the URL is not shown."""
    shown = re.sub(r"^(\w+://)?[^/]*@", r"\1(hidden)@", value)
    if value.startswith("unix:"):
        return
    try:
        parts = urlsplit(value if "://" in value else f"//{value}")
        good = bool(parts.hostname) and parts.scheme in ("", "http", "https") and (parts.port or 1) > 0
    except ValueError:
        good = False
    if not good or "@" in parts.netloc:
        expected = "http://host:port, https://host:port, host:port or unix:///path (secrets go into the headers)"
        raise ConfigurationError(variable, shown, expected)

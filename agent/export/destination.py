"""Where each signal goes: the general and the signal's own OTEL_ variables, put together."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from agent.config import Otel, Secret
from agent.export import spool

GRPC_METHODS = {
    spool.METRICS: "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
    spool.TRACES: "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    spool.LOGS: "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
}
UNSET = "no endpoint: set OTEL_EXPORTER_OTLP_ENDPOINT"


@dataclass(frozen=True, slots=True)
class Destination:
    """One signal's way out. address: gRPC target or URL; shown: the address without anything secret."""

    signal: str
    kind: Literal["grpc", "http", "console"]
    address: str = field(repr=False)
    shown: str
    tls: bool = False
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    timeout_seconds: float = 10.0
    gzip: bool = True
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""


@dataclass(frozen=True, slots=True)
class Nowhere:
    """The signal is not exported, and why."""

    reason: str


def resolve(signal: str, otel: Otel) -> Destination | Nowhere:
    """The way of `signal`, one of spool.OTLP."""
    chosen = getattr(otel, f"{signal}_exporter")
    if otel.sdk_disabled:
        return Nowhere("OTEL_SDK_DISABLED")
    if chosen in ("none", "prometheus"):
        return Nowhere(f"OTEL_{signal.upper()}_EXPORTER={chosen}")
    if chosen == "console":
        return Destination(signal, "console", "", "stdout")
    endpoint = _variable(otel, signal, "endpoint")
    return _otlp(otel, signal, endpoint) if endpoint else Nowhere(UNSET)


def headers(given: str) -> tuple[tuple[str, str], ...]:
    """`key=value,key=value`, percent-encoded; keys in lower case as gRPC wants them.

    >>> headers("api-key=abc%20d, X-Scope=1")
    (('api-key', 'abc d'), ('x-scope', '1'))
    """
    pairs = (pair.partition("=") for pair in given.split(",") if pair.strip())
    return tuple((key.strip().lower(), unquote(value.strip())) for key, _, value in pairs)


def _otlp(otel: Otel, signal: str, endpoint: str) -> Destination:
    kind = _kind(_variable(otel, signal, "protocol"), endpoint)
    insecure = bool(_variable(otel, signal, "insecure"))
    own = bool(getattr(otel, f"exporter_otlp_{signal}_endpoint"))
    address, tls = _target(endpoint, insecure) if kind == "grpc" else _url(endpoint, signal, own, insecure)
    secret = _variable(otel, signal, "headers")
    return Destination(
        signal,
        kind,
        address,
        address,
        tls,
        headers=headers(secret.get_secret_value() if isinstance(secret, Secret) else ""),
        timeout_seconds=_variable(otel, signal, "timeout") / 1e3,  # milliseconds, as the specification says
        gzip=_variable(otel, signal, "compression") == "gzip",
        ca_file=_variable(otel, signal, "certificate"),
        cert_file=_variable(otel, signal, "client_certificate"),
        key_file=_variable(otel, signal, "client_key"),
    )


def _variable(otel: Otel, signal: str, name: str) -> Any:
    """The signal's own value where it is set, else the general one."""
    own = getattr(otel, f"exporter_otlp_{signal}_{name}")
    unset = own is None or own == "" or (isinstance(own, Secret) and not own.get_secret_value())
    return getattr(otel, f"exporter_otlp_{name}") if unset else own


def _kind(protocol: str, endpoint: str) -> Literal["grpc", "http"]:
    if protocol:
        return "grpc" if protocol == "grpc" else "http"
    if "://" not in endpoint or endpoint.startswith("unix:"):
        return "grpc"
    return "grpc" if urlsplit(endpoint).port == 4317 else "http"


def _target(endpoint: str, insecure: bool) -> tuple[str, bool]:
    """gRPC's name of the endpoint, and whether it speaks TLS: by the scheme, without one by INSECURE; unix: never."""
    if endpoint.startswith("unix:"):
        return endpoint, False
    if "://" not in endpoint:
        return (endpoint if urlsplit(f"//{endpoint}").port else f"{endpoint}:4317"), not insecure
    parts = urlsplit(endpoint)
    tls = parts.scheme == "https"
    return (parts.netloc if parts.port else f"{parts.netloc}:{443 if tls else 4317}"), tls


def _url(endpoint: str, signal: str, own: bool, insecure: bool) -> tuple[str, bool]:
    """A signal's own endpoint is used as it is; the general one gets the signal's path."""
    if "://" not in endpoint:
        endpoint = f"{'http' if insecure else 'https'}://{endpoint}"
    url = endpoint if own else f"{endpoint.rstrip('/')}/v1/{signal}"
    return url, url.startswith("https:")

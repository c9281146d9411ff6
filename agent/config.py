"""Every option the agent has: environment variables, read once at start. `docs/configuration.md` is made from this
file.

A wrong value stops the start with exit code 2 and names the variable; after the start nothing here can fail.
"""

from __future__ import annotations

import difflib
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import unquote, urlsplit

import xxhash
from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from agent.errors import ConfigurationError

Names = Annotated[tuple[str, ...], NoDecode]
# What a fixed threshold may be set on, and the most it can be: beyond, it would never alarm.
DISTANCES = {
    "psi": math.inf,
    "chi_square": math.inf,
    "jensen_shannon": 1.0,
    "ks": 1.0,
    "wasserstein": math.inf,
    "l_infinity": 1.0,
}


@dataclass(frozen=True, slots=True)
class Threshold:
    """A fixed limit on one distance of the newest window, as a user sets it.

    >>> str(Threshold("psi", 0.2))
    'psi>0.2'
    """

    distance: str
    limit: float

    def __str__(self) -> str:
        return f"{self.distance}>{self.limit:g}"


def _option(default: Any, about: str, unit: str = "", **limits: Any) -> Any:
    return Field(default=default, description=about, json_schema_extra={"unit": unit}, **limits)


class Settings(BaseSettings):
    """The agent's own options: SIDELIGHT_ and the field's name in capitals."""

    model_config = SettingsConfigDict(
        env_prefix="SIDELIGHT_", extra="ignore", frozen=True, env_ignore_empty=True, allow_inf_nan=False
    )

    # Where records come in.
    endpoint: str = _option(
        "",
        "Unix socket senders use, as unix:/path. Unset: /run/sidelight/agent.sock where that folder "
        "is writable, else under XDG_RUNTIME_DIR, else /tmp/sidelight-UID; the client looks in the same places.",
    )
    socket_mode: int = _option(0o660, "Permissions of the socket file, in octal.", "octal", ge=0, le=0o777)
    tcp: str = _option(
        "",
        "Also listen here (host:port). A host that is not loopback needs tls_cert_file, and "
        "client_ca_file or tokens_file.",
    )
    tls_cert_file: str = _option("", "Server certificate chain for tcp, PEM.")
    tls_key_file: str = _option("", "Its private key, PEM.")
    client_ca_file: str = _option("", "Clients must show a certificate signed by this authority, PEM.")
    tokens_file: str = _option(
        "", "Bearer tokens, one a line: TOKEN MODEL-PATTERN[,MODEL-PATTERN…]; patterns as in a shell."
    )
    http: str = _option("127.0.0.1:8686", "Health, readiness, status and the local page (host:port); off: none.")

    # What is kept, and where.
    state_dir: str = _option(
        "",
        "Folder of journal, checkpoint and spool. Unset: /var/lib/sidelight where writable, else under XDG_STATE_HOME.",
    )
    checkpoint_seconds: float = _option(
        2.0, "Time between checkpoints: what a crash makes the next start read again.", "s", ge=0.1, le=60
    )
    journal_bytes_max: int = _option(
        256 << 20, "Journal size at which records are taken without it (durable=false).", "By", ge=1 << 20
    )
    queue_bytes_max: int = _option(
        32 << 20, "Accepted records waiting to be counted; above: RESOURCE_EXHAUSTED.", "By", ge=1 << 20
    )
    spool_bytes_max: int = _option(
        256 << 20,
        "Encoded telemetry waiting for the backend; above, metrics go first, then traces, alerts last.",
        "By",
        ge=1 << 20,
    )
    spool_age_seconds: float = _option(86_400.0, "Telemetry older than this is dropped and counted.", "s", ge=60)

    # Limits of the door.
    message_bytes_max: int = _option(4 << 20, "Largest message.", "By", ge=1 << 10, le=64 << 20)
    rows_max: int = _option(10_000, "Records in one message.", "{record}", ge=1, le=1_000_000)
    row_messages_max: int = _option(
        1_000,
        "Records in one message that carries them one by one (rows, labels, events): each is read by itself, and "
        "nobody is served meanwhile. As columns, up to rows_max.",
        "{record}",
        ge=1,
        le=100_000,
    )
    features_max: int = _option(2_000, "Features of one record.", "{feature}", ge=1, le=10_000)
    text_bytes_max: int = _option(4_096, "Longest text, name or id.", "By", ge=16, le=1 << 20)
    vector_size_max: int = _option(8_192, "Longest vector.", "{value}", ge=1, le=1 << 20)
    models_max: int = _option(32, "Model versions watched at once.", "{model}", ge=1, le=10_000)
    clients_max: int = _option(
        1_024, "Senders whose resends are recognised; the longest silent is forgotten first.", "{client}", ge=1
    )

    # Time and windows.
    time: Literal["arrival", "event"] = _option(
        "arrival", "Windows by when records arrive, or by the records' own time (replaying history)."
    )
    window_seconds: float = _option(
        0.0, "Length of a window; 0: the reference's, or 3600 without one.", "s", ge=0, le=31 * 86_400
    )
    lateness_seconds: float = _option(
        0.0, "Event time only: how long a window waits for stragglers after its end.", "s", ge=0
    )
    future_seconds: float = _option(
        7 * 86_400.0, "Event time only: how far one record may push the watermark; beyond it is refused.", "s", ge=1
    )
    retire_seconds: float = _option(
        7 * 86_400.0, "A version silent for so long is retired, its counters kept.", "s", ge=60
    )

    # The reference and the rule.
    reference: str = _option(
        "", "Reference: a file, a folder (MODEL/VERSION.sidelight) or a URL. Unset: learned from traffic."
    )
    learn_rows: int = _option(10_000, "Rows from which a learned reference takes its bins.", "{row}", ge=100)
    learn_windows: int = _option(30, "Windows a learned reference is made of.", "{window}", ge=8)
    false_alarms_per_day: float = _option(
        0.05, "The dial: false alarms a day for one model, over everything.", "/d", gt=0, le=100
    )
    drift_rule: Annotated[tuple[Threshold, ...], NoDecode] = _option(
        (),
        "Fixed thresholds instead of the calibrated drift rule, as psi>0.2 or psi>0.2,ks>0.15 (one that is passed is "
        "enough): psi, chi_square, jensen_shannon, ks, wasserstein, l_infinity, of the newest window. The alarm and "
        "the status say how often that happens without any drift; the dial no longer covers drift. Unset: calibrated.",
    )
    replicas: int = _option(1, "Agents that watch the same model; the dial is divided among them.", "{agent}", ge=1)
    segments: Names = _option((), "Segment keys that are counted apart, comma separated.")
    cells_max: int = _option(
        4_000_000, "Counters held at once over all models, windows and segments.", "{cell}", ge=10_000
    )
    latency_objective_seconds: float = _option(0.0, "p99 of a window above this is an alert; 0: none.", "s", ge=0)

    # What goes out.
    bin_features: int = _option(
        50, "Features whose bins are exported as counters, prediction first.", "{feature}", ge=0
    )
    trace_limit_per_minute: int = _option(600, "Prediction spans exported a minute.", "{span}", ge=0)
    webhook_url: SecretStr = _option(SecretStr(""), "Alerts are also posted here as JSON.")

    # The machine.
    collectors: Names = _option(
        ("cpu", "memory", "process", "cgroup", "gpu"), "Collectors that run, comma separated; none: none."
    )
    collect_seconds: float = _option(15.0, "Time between two readings of the machine.", "s", ge=1)
    watch_processes: Names = _option((), "Process names of the model server to read, comma separated.")
    log_level: Literal["debug", "info", "warning", "error"] = _option("info", "What the agent writes to stderr.")

    @field_validator("socket_mode", mode="before")
    @classmethod
    def _octal(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        if not re.fullmatch("0?o?[0-7]{1,3}", value):
            raise ValueError("permissions in octal, 0000 to 0777")
        return int(value, 8)

    @field_validator("segments", "collectors", "watch_processes", mode="before")
    @classmethod
    def _list(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        found = tuple(part.strip() for part in value.split(",") if part.strip())
        return () if found == ("none",) else found

    @field_validator("drift_rule", mode="before")
    @classmethod
    def _thresholds(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        found = tuple(_threshold(part) for part in value.split(",") if part.strip())
        if len({each.distance for each in found}) < len(found):
            raise ValueError("each distance once")
        return found

    @field_validator("endpoint")
    @classmethod
    def _unix(cls, value: str) -> str:
        if value and not value.startswith("unix:/"):
            raise ValueError("unix:/absolute/path (tcp has an option of its own)")
        if len(value.removeprefix("unix:").encode()) > 107:
            raise ValueError("a path of at most 107 bytes, the kernel's limit for unix sockets")
        return value.replace("unix:///", "unix:/")

    @field_validator("tcp", "http")
    @classmethod
    def _address(cls, value: str) -> str:
        if value in ("", "none"):
            return ""
        host, _, port = value.rpartition(":")
        if not host or not port.isdigit() or int(port) > 65_535:
            raise ValueError("host:port")
        return value

    @model_validator(mode="after")
    def _guarded(self) -> Settings:
        host = self.tcp.rpartition(":")[0].strip("[]")
        if host and host not in ("127.0.0.1", "::1", "localhost"):
            if not (self.tls_cert_file and self.tls_key_file):
                raise ConfigurationError(
                    "SIDELIGHT_TCP",
                    self.tcp,
                    "a loopback host, or SIDELIGHT_TLS_CERT_FILE and SIDELIGHT_TLS_KEY_FILE as well",
                )
            if not (self.client_ca_file or self.tokens_file):
                raise ConfigurationError(
                    "SIDELIGHT_TCP",
                    self.tcp,
                    "a loopback host, or SIDELIGHT_CLIENT_CA_FILE or SIDELIGHT_TOKENS_FILE as well",
                )
        for name in ("tls_cert_file", "tls_key_file", "client_ca_file", "tokens_file"):
            path = getattr(self, name)
            if path and not os.access(path, os.R_OK):
                raise ConfigurationError(f"SIDELIGHT_{name.upper()}", path, "a readable file")
        pair = [bool(self.tls_cert_file), bool(self.tls_key_file)]
        if any(pair) != all(pair) or (self.client_ca_file and not all(pair)):
            given = self.tls_cert_file or self.tls_key_file or self.client_ca_file
            raise ConfigurationError(
                "SIDELIGHT_TLS_KEY_FILE" if pair[0] else "SIDELIGHT_TLS_CERT_FILE",
                "",
                f"a certificate and its key, both, as {given} is given",
            )
        return self

    @property
    def counting_hash(self) -> int:
        """xxh3-64 of the options that decide how records are counted: a journal written under others is still
        readable."""
        return xxhash.xxh3_64_intdigest(
            repr((self.time, self.window_seconds, self.lateness_seconds, self.segments)).encode()
        )


OTLP_SIGNALS = ("", "traces_", "metrics_", "logs_")


class Otel(BaseSettings):
    """OpenTelemetry's standard variables: OTEL_ and the field's name in capitals, with the specification's units.

    What a signal leaves unset it takes from the general variable. `export/destination.py` puts the two together.
    """

    model_config = SettingsConfigDict(env_prefix="OTEL_", extra="ignore", frozen=True, env_ignore_empty=True)

    # Who is speaking.
    sdk_disabled: bool = _option(False, "Export nothing over OTLP.")
    service_name: str = _option(
        "", "service.name of the resource. Unset: as in OTEL_RESOURCE_ATTRIBUTES, else sidelight-agent."
    )
    resource_attributes: str = _option(
        "", "Attributes of the resource: key=value[,key=value…], values percent-encoded."
    )
    experimental_resource_detectors: Names = _option(
        (), "Detectors that add to the resource, comma separated: host, os, process, other installed ones; *: all."
    )

    # Which signals go where.
    traces_exporter: Literal["otlp", "console", "none"] = _option(
        "otlp", "Where prediction spans go; console: JSON on stdout."
    )
    metrics_exporter: Literal["otlp", "console", "none", "prometheus"] = _option(
        "otlp", "Where metrics go; prometheus means none here: the local page serves them at /metrics in any case."
    )
    logs_exporter: Literal["otlp", "console", "none"] = _option("otlp", "Where events (alerts, closed windows) go.")
    metric_export_interval: int = _option(
        60_000, "Time between two exports of all metrics.", "ms", ge=1_000, le=86_400_000
    )

    # OTLP, for all signals.
    exporter_otlp_endpoint: str = _option(
        "",
        "The collector or backend: http://host:4317 (gRPC), http://host:4318 (HTTP; /v1/traces, /v1/metrics and "
        "/v1/logs are added), https:// for TLS, unix:///path (gRPC). Unset: nothing is exported, the status says so.",
    )
    exporter_otlp_protocol: Literal["", "grpc", "http/protobuf"] = _option(
        "", "grpc or http/protobuf. Unset: grpc for port 4317, unix: and no scheme, else http/protobuf."
    )
    exporter_otlp_headers: SecretStr = _option(
        SecretStr(""), "Sent with every request: key=value[,key=value…], percent-encoded."
    )
    exporter_otlp_timeout: float = _option(
        10_000.0, "Longest wait for one answer; milliseconds, as the specification says.", "ms", gt=0
    )
    exporter_otlp_compression: Literal["gzip", "none"] = _option("gzip", "How requests are compressed.")
    exporter_otlp_insecure: bool = _option(False, "gRPC endpoints without a scheme: no TLS.")
    exporter_otlp_certificate: str = _option(
        "", "Authorities trusted to sign the backend's certificate, PEM. Unset: the system's."
    )
    exporter_otlp_client_key: str = _option("", "Private key of the agent's own certificate (mTLS), PEM.")
    exporter_otlp_client_certificate: str = _option("", "The agent's own certificate chain (mTLS), PEM.")

    # OTLP, for one signal.
    exporter_otlp_traces_endpoint: str = _option("", "For traces only; with HTTP used as it is, no path is added.")
    exporter_otlp_traces_protocol: Literal["", "grpc", "http/protobuf"] = _option("", "For traces only.")
    exporter_otlp_traces_headers: SecretStr = _option(SecretStr(""), "For traces only.")
    exporter_otlp_traces_timeout: float | None = _option(None, "For traces only.", "ms", gt=0)
    exporter_otlp_traces_compression: Literal["gzip", "none"] | None = _option(None, "For traces only.")
    exporter_otlp_traces_insecure: bool | None = _option(None, "For traces only.")
    exporter_otlp_traces_certificate: str = _option("", "For traces only.")
    exporter_otlp_traces_client_key: str = _option("", "For traces only.")
    exporter_otlp_traces_client_certificate: str = _option("", "For traces only.")

    exporter_otlp_metrics_endpoint: str = _option("", "For metrics only; with HTTP used as it is, no path is added.")
    exporter_otlp_metrics_protocol: Literal["", "grpc", "http/protobuf"] = _option("", "For metrics only.")
    exporter_otlp_metrics_headers: SecretStr = _option(SecretStr(""), "For metrics only.")
    exporter_otlp_metrics_timeout: float | None = _option(None, "For metrics only.", "ms", gt=0)
    exporter_otlp_metrics_compression: Literal["gzip", "none"] | None = _option(None, "For metrics only.")
    exporter_otlp_metrics_insecure: bool | None = _option(None, "For metrics only.")
    exporter_otlp_metrics_certificate: str = _option("", "For metrics only.")
    exporter_otlp_metrics_client_key: str = _option("", "For metrics only.")
    exporter_otlp_metrics_client_certificate: str = _option("", "For metrics only.")

    exporter_otlp_logs_endpoint: str = _option("", "For logs only; with HTTP used as it is, no path is added.")
    exporter_otlp_logs_protocol: Literal["", "grpc", "http/protobuf"] = _option("", "For logs only.")
    exporter_otlp_logs_headers: SecretStr = _option(SecretStr(""), "For logs only.")
    exporter_otlp_logs_timeout: float | None = _option(None, "For logs only.", "ms", gt=0)
    exporter_otlp_logs_compression: Literal["gzip", "none"] | None = _option(None, "For logs only.")
    exporter_otlp_logs_insecure: bool | None = _option(None, "For logs only.")
    exporter_otlp_logs_certificate: str = _option("", "For logs only.")
    exporter_otlp_logs_client_key: str = _option("", "For logs only.")
    exporter_otlp_logs_client_certificate: str = _option("", "For logs only.")

    # What is said, and how.
    traces_sampler: Literal[
        "always_on",
        "always_off",
        "traceidratio",
        "parentbased_always_on",
        "parentbased_always_off",
        "parentbased_traceidratio",
    ] = _option(
        "parentbased_always_on",
        "Which predictions become spans. Each has its caller's span as parent, so parentbased_* follow the caller.",
    )
    traces_sampler_arg: float = _option(1.0, "Share of traces kept by traceidratio.", "1", ge=0, le=1)
    exporter_otlp_metrics_temporality_preference: Literal["cumulative", "delta", "lowmemory"] = _option(
        "cumulative", "Only cumulative; a collector's cumulativetodelta processor serves backends that want delta."
    )
    metrics_exemplar_filter: Literal["always_on", "always_off", "trace_based"] = _option(
        "trace_based", "Accepted, without effect: no exemplars are exported yet."
    )
    attribute_count_limit: int = _option(
        128, "Attributes of one span or log record; further ones are only counted.", "{attribute}", ge=1
    )
    attribute_value_length_limit: int = _option(
        4_096, "Longest text in an attribute of a span or log record; cut above.", "{character}", ge=1
    )
    propagators: str = _option(
        "tracecontext,baggage", "Accepted, without effect: senders put the trace context into the record."
    )
    log_level: str = _option("info", "Accepted, without effect: SIDELIGHT_LOG_LEVEL is the agent's own.")

    @field_validator(
        "traces_exporter",
        "metrics_exporter",
        "logs_exporter",
        "traces_sampler",
        "metrics_exemplar_filter",
        "exporter_otlp_metrics_temporality_preference",
        *(f"exporter_otlp_{signal}{name}" for signal in OTLP_SIGNALS for name in ("protocol", "compression")),
        mode="before",
    )
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.strip().lower() if isinstance(value, str) else value

    @field_validator("experimental_resource_detectors", mode="before")
    @classmethod
    def _names(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("resource_attributes")
    @classmethod
    def _pairs(cls, value: str) -> str:
        if any("=" not in pair for pair in value.split(",") if pair.strip()):
            raise ValueError("key=value[,key=value…]")
        return value

    @field_validator(*(f"exporter_otlp_{signal}headers" for signal in OTLP_SIGNALS))
    @classmethod
    def _headers(cls, value: SecretStr) -> SecretStr:
        for pair in value.get_secret_value().split(","):
            key, equals, text = pair.partition("=")
            good = equals and re.fullmatch(r"[0-9A-Za-z_.-]+", key.strip()) and not key.strip().lower().endswith("-bin")
            if pair.strip() and not (good and re.fullmatch(r"[\x20-\x7e]*", unquote(text))):
                raise ValueError("key=value[,key=value…], in characters that gRPC and HTTP allow")
        return value

    @model_validator(mode="after")
    def _usable(self) -> Otel:
        name = "exporter_otlp_metrics_temporality_preference"
        if getattr(self, name) != "cumulative":
            raise ConfigurationError(f"OTEL_{name.upper()}", getattr(self, name), "cumulative (delta is not built yet)")
        for name in type(self).model_fields:
            value = getattr(self, name)
            if name.startswith("exporter_otlp") and name.endswith("endpoint") and value:
                _check_endpoint(f"OTEL_{name.upper()}", value)
            if name.endswith(("certificate", "client_key")) and value and not os.access(value, os.R_OK):
                raise ConfigurationError(f"OTEL_{name.upper()}", value, "a readable file")
        return self


def _threshold(text: str) -> Threshold:
    """Raises ValueError with what was expected."""
    distance, _, limit = (part.strip() for part in text.partition(">"))
    try:
        found = float(limit)
    except ValueError:
        found = math.nan
    most = DISTANCES.get(distance, 0.0)
    if not 0.0 < found < most:
        ranges = f" under {most:g}" if 0.0 < most < math.inf else ""
        raise ValueError(
            f"DISTANCE>LIMIT[,DISTANCE>LIMIT…] with a finite limit above 0{ranges}; distances: {', '.join(DISTANCES)}"
        )
    return Threshold(distance, found)


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


@dataclass(frozen=True, slots=True)
class Option:
    """One option as `sidelight config` and the documentation show it. origin: "environment" or "default"."""

    variable: str
    value: str
    default: str
    unit: str
    origin: str
    about: str


def load() -> tuple[Settings, Otel]:
    """Reads both groups from the environment. Raises ConfigurationError for the first wrong value."""
    settings = _read(Settings)
    otel = _read(Otel)
    assert isinstance(settings, Settings)  # noqa: S101 - for the type checker
    assert isinstance(otel, Otel)  # noqa: S101
    return settings, otel


def _read(group: type[BaseSettings]) -> BaseSettings:
    try:
        return group()
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else ""
        variable = f"{group.model_config['env_prefix']}{name}".upper()
        field = group.model_fields.get(name)
        shown = "(hidden)" if field is not None and field.annotation is SecretStr else first["input"]
        message = first["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
        raise ConfigurationError(variable, shown, message) from None


def options(*groups: BaseSettings) -> list[Option]:
    """Every option of these groups, in the order they are written."""
    found = []
    for group in groups:
        prefix = group.model_config["env_prefix"]
        for name, field in type(group).model_fields.items():
            extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
            octal = extra.get("unit") == "octal"
            variable = f"{prefix}{name}".upper()
            found.append(
                Option(
                    variable=variable,
                    value=_show(getattr(group, name), octal),
                    default=_show(field.default, octal),
                    unit="" if octal else str(extra.get("unit", "")),
                    origin="environment" if os.environ.get(variable) else "default",
                    about=field.description or "",
                )
            )
    return found


def _show(value: object, octal: bool) -> str:
    if octal and isinstance(value, int):
        return f"{value:04o}"
    if isinstance(value, tuple):
        return ",".join(str(v) for v in value)
    return str(value).lower() if isinstance(value, bool) else str(value)


CLIENT_VARIABLES = {
    "SIDELIGHT_DISABLED",
    "SIDELIGHT_TOKEN",
    "SIDELIGHT_CA_FILE",
    "SIDELIGHT_CLIENT_CERT_FILE",
    "SIDELIGHT_CLIENT_KEY_FILE",
}


def unknown(environment: Mapping[str, str]) -> list[tuple[str, str]]:
    """SIDELIGHT_ variables that no option has, each with the option it resembles ("" if none).

    Said, not refused: Kubernetes puts variables of this prefix into pods beside a Service of this name.
    """
    known = {f"SIDELIGHT_{name}".upper() for name in Settings.model_fields} | CLIENT_VARIABLES
    strange = [v for v in environment if v.startswith("SIDELIGHT_") and v not in known]
    prefix = len("SIDELIGHT_")  # shared by all: it would make everything resemble everything
    ends = [name[prefix:] for name in known]
    close = {v: difflib.get_close_matches(v[prefix:], ends, n=1) for v in strange}
    return [(v, f"SIDELIGHT_{close[v][0]}" if close[v] else "") for v in strange]


def socket_path(settings: Settings) -> Path:
    """Where the socket lies: the same rule as in the client."""
    if settings.endpoint:
        return Path(settings.endpoint.removeprefix("unix:"))
    run = Path("/run/sidelight")
    if run.is_dir() and os.access(run, os.W_OK):
        return run / "agent.sock"
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    return (Path(runtime) / "sidelight" if runtime else Path(f"/tmp/sidelight-{os.getuid()}")) / "agent.sock"  # noqa: S108


def state_path(settings: Settings) -> Path:
    """The state folder; the caller makes it."""
    if settings.state_dir:
        return Path(settings.state_dir)
    system = Path("/var/lib/sidelight")
    if system.is_dir() and os.access(system, os.W_OK):
        return system
    home = os.environ.get("XDG_STATE_HOME")
    return (Path(home) if home else Path.home() / ".local" / "state") / "sidelight"

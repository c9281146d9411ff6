"""The agent's own options."""

from __future__ import annotations

import os
import re
from typing import ClassVar, Literal

import xxhash

from agent.config.disparity_limits import DisparityLimit, disparity_limits
from agent.config.label_store import label_store
from agent.config.option import Names, Options, checked, names, option
from agent.config.thresholds import Threshold, thresholds
from agent.config.values import Secret
from agent.errors import ConfigurationError

FILES = ("tls_cert_file", "tls_key_file", "client_ca_file", "tokens_file")
SECRETS = ("webhook_secret_file", "pagerduty_key_file", "retrain_token_file", "capture_key_file")
WINDOW_SECONDS_MIN = 0.1  # a shorter window has no row, or is over before it is judged


class Settings(Options):
    """The agent's own options: SIDELIGHT_ and the field's name in capitals."""

    prefix: ClassVar[str] = "SIDELIGHT_"

    # Where records come in.
    endpoint: str = option(
        "",
        "Unix socket senders use, as unix:/path. Unset: /run/sidelight/agent.sock where that folder "
        "is writable, else under XDG_RUNTIME_DIR, else /tmp/sidelight-UID; the client looks in the same places.",
    )
    socket_mode: int = option(0o660, "Permissions of the socket file, in octal.", "octal", ge=0, le=0o777)
    tcp: str = option(
        "",
        "Also listen here (host:port). A host that is not loopback needs tls_cert_file, and "
        "client_ca_file or tokens_file.",
    )
    tls_cert_file: str = option("", "Server certificate chain for tcp, PEM.")
    tls_key_file: str = option("", "Its private key, PEM.")
    client_ca_file: str = option("", "Clients must show a certificate signed by this authority, PEM.")
    tokens_file: str = option(
        "", "Bearer tokens, one a line: TOKEN MODEL-PATTERN[,MODEL-PATTERN…]; patterns as in a shell."
    )
    http: str = option("127.0.0.1:8686", "Health, readiness, status and the local page (host:port); off: none.")

    # What is kept, and where.
    state_dir: str = option(
        "",
        "Folder of journal, checkpoint and spool. Unset: /var/lib/sidelight where writable, else under XDG_STATE_HOME.",
    )
    checkpoint_seconds: float = option(
        2.0, "Time between checkpoints: what a crash makes the next start read again.", "s", ge=0.1, le=60
    )
    journal_bytes_max: int = option(
        256 << 20, "Journal size at which records are taken without it (durable=false).", "By", ge=1 << 20
    )
    queue_bytes_max: int = option(
        32 << 20, "Accepted records waiting to be counted; above: RESOURCE_EXHAUSTED.", "By", ge=1 << 20
    )
    spool_bytes_max: int = option(
        256 << 20,
        "Encoded telemetry waiting for the backend; above, metrics go first, then traces, alerts last.",
        "By",
        ge=1 << 20,
    )
    spool_age_seconds: float = option(86_400.0, "Telemetry older than this is dropped and counted.", "s", ge=60)

    # Limits of the door.
    message_bytes_max: int = option(4 << 20, "Largest message.", "By", ge=1 << 10, le=64 << 20)
    rows_max: int = option(10_000, "Records in one message.", "{record}", ge=1, le=1_000_000)
    row_messages_max: int = option(
        1_000,
        "Records in one message that carries them one by one (rows, labels, events): each is read by itself, and "
        "nobody is served meanwhile. As columns, up to rows_max.",
        "{record}",
        ge=1,
        le=100_000,
    )
    features_max: int = option(2_000, "Features of one record.", "{feature}", ge=1, le=10_000)
    text_bytes_max: int = option(4_096, "Longest text, name or id.", "By", ge=16, le=1 << 20)
    vector_size_max: int = option(8_192, "Longest vector.", "{value}", ge=1, le=1 << 20)
    models_max: int = option(32, "Model versions watched at once.", "{model}", ge=1, le=10_000)
    clients_max: int = option(
        1_024, "Senders whose resends are recognised; the longest silent is forgotten first.", "{client}", ge=1
    )

    # Time and windows.
    time: Literal["arrival", "event"] = option(
        "arrival",
        "Windows by when records arrive, or by the records' own time (replaying history). By event time silence is "
        "never told: a replay that ended looks the same, so a live service is watched by arrival.",
    )
    window_seconds: float = option(
        0.0, "Length of a window; 0: the reference's, or 3600 without one.", "s", ge=0, le=31 * 86_400
    )
    lateness_seconds: float = option(
        0.0, "Event time only: how long a window waits for stragglers after its end.", "s", ge=0
    )
    future_seconds: float = option(
        7 * 86_400.0, "Event time only: how far one record may push the watermark; beyond it is refused.", "s", ge=1
    )
    retire_seconds: float = option(
        7 * 86_400.0, "A version silent for so long is retired, its counters kept.", "s", ge=60
    )

    stale_seconds: float = option(
        90 * 86_400.0,
        "Age from which a version is stale and training it anew is suggested, by the trained_at of its start's event "
        "or of its reference; 0: none.",
        "s",
        ge=0,
    )

    # The reference and the rule.
    reference: str = option(
        "", "Reference: a file, a folder (MODEL/VERSION.sidelight) or a URL. Unset: learned from traffic."
    )
    schema: str = option(
        "",
        "Schema file of your own (TOML; or a folder with MODEL.schema.toml): types, demands, what is public. Learning "
        "begins with it; over a reference it is laid as far as the bins stay what they are.",
    )
    learn_rows: int = option(10_000, "Rows from which a learned reference takes its bins.", "{row}", ge=100)
    learn_windows: int = option(30, "Windows a learned reference is made of.", "{window}", ge=8)
    false_alarms_per_day: float = option(
        0.05, "The dial: false alarms a day for one model, over everything.", "/d", gt=0, le=100
    )
    drift_rule: tuple[Threshold, ...] = option(
        (),
        "Fixed thresholds instead of the calibrated drift rule, as psi>0.2 or psi>0.2,ks>0.15 (one that is passed is "
        "enough): psi, chi_square, jensen_shannon, ks, wasserstein, l_infinity, of the newest window. The alarm and "
        "the status say how often that happens without any drift; the dial no longer covers drift. Unset: calibrated.",
    )
    replicas: int = option(1, "Agents that watch the same model; the dial is divided among them.", "{agent}", ge=1)
    segments: Names = option((), "Segment keys that are counted apart, comma separated.")
    cells_max: int = option(
        4_000_000, "Counters held at once over all models, windows and segments.", "{cell}", ge=10_000
    )
    latency_objective_seconds: float = option(0.0, "p99 of a window above this is an alert; 0: none.", "s", ge=0)

    # The truth, when it comes.
    label_seconds: float = option(
        30 * 86_400.0, "How long a prediction with an id waits for its label; 0: no label is joined.", "s", ge=0
    )
    label_early_seconds: float = option(3_600.0, "How long a label waits for its prediction.", "s", ge=0)
    label_bytes_max: int = option(
        1 << 30,
        "What predictions that wait may occupy on disk, over all models; in Redis (label_store) each model's, of all "
        "replicas together. Where it is full, a sample by the hash of the id is kept, and weighted.",
        "By",
        ge=16 << 20,
    )
    label_store: Secret = option(
        Secret(""),
        "A Redis in which the replicas of a service keep the predictions that wait, so that a label joins whichever "
        "replica it reaches: redis://USER:PASSWORD@HOST:PORT/DB, rediss:// with TLS, unix:///PATH. Needs "
        "sidelight-agent[redis]. Unset: the state folder.",
    )

    # What goes out.
    series_max: int = option(
        50_000,
        "Series of one metric. Counters and histograms beyond are added up in one with otel.metric.overflow=true, "
        "gauges beyond are left out; sidelight.export.series.overflow says how many.",
        "{series}",
        ge=100,
    )
    bin_features: int = option(50, "Features whose bins are exported as counters, prediction first.", "{feature}", ge=0)
    trace_limit_per_minute: int = option(
        600, "Predictions exported as spans a minute, of those that OTEL_TRACES_SAMPLER asks for.", "{prediction}", ge=0
    )
    trace_always_per_minute: int = option(
        60,
        "Beside those, of predictions that stand in a trace: so many that failed, as many slow ones (over the latency "
        "objective, or else the usual p99), and as many examples that alerts point at; 0: none.",
        "{prediction}",
        ge=0,
    )
    trace_features: Names = option(
        (),
        "Features whose values spans carry, comma separated, as sidelight.feature.NAME; of others no value leaves. "
        "Protected ones are refused.",
    )

    # Groups of people (docs/decisions/0132).
    fairness: Names = option(
        (),
        "Protected attributes (or segment keys) whose groups are compared, comma separated, at most 8: selection, true "
        "and false positive rates, precision, calibration, errors; an alarm where a gap grew. Unset: none.",
    )
    fairness_limit: tuple[DisparityLimit, ...] = option(
        (),
        "Limits on disparities, as demographic_parity_difference>0.1,equal_opportunity_ratio<0.8: alarms where one is "
        "passed beyond chance, under the dial. docs/decisions/0132 lists the metrics.",
    )
    fairness_groups: Literal["numbers", "export"] = option(
        "numbers",
        "How groups are called in what leaves the agent: by numbers, whose values the local page tells, or by their "
        "values (export).",
    )

    # Versions beside each other.
    shadow_error: float = option(
        0.05,
        "How likely a better version may be kept out, or a worse one be promoted, at any of all the looks at a "
        "comparison; several challengers share it.",
        gt=0,
        le=0.5,
    )
    shadow_margin: float = option(
        0.0, "Promote only what is better by this share of the champion's loss; keep what is not.", ge=0, lt=1
    )
    shadow_loss: Literal["auto", "error", "brier", "absolute", "squared"] = option(
        "auto",
        "What versions are compared by: error (wrong class or not), brier (of the scores), absolute or squared (of "
        "numbers). auto: error for classes, absolute for numbers.",
    )

    # The feedback set (docs/capture.md).
    capture: str = option(
        "",
        "Writes a sample of predictions and their labels as Parquet into this folder or fsspec URL (s3://…, gs://…), "
        "for training anew; needs sidelight-agent[capture]. Unset: nothing is written.",
    )
    capture_rows_per_day: int = option(10_000, "Predictions a day of one version, at most.", "{record}", ge=1)
    capture_bytes_per_day: int = option(64 << 20, "Bytes a day of one version before compression.", "By", ge=1 << 10)
    capture_redact: Names = option((), "Features, segments, measures and outputs that are left out, comma separated.")
    capture_hash: Names = option((), "Those of which only a keyed hash is written, comma separated.")
    capture_key: Secret = option(Secret(""), "The key of these hashes; without it they could be guessed.")
    capture_key_file: str = option("", "The same from a file.")
    capture_protected: Names = option((), "Protected attributes that are written all the same, comma separated.")

    # Where alerts go besides (docs/alerts.md).
    alertmanager_urls: Names = option(
        (), "Alertmanager replicas, comma separated: each is told what fires (POST …/api/v2/alerts) and what has ended."
    )
    alertmanager_seconds: float = option(
        60.0, "Time between two such posts; an alert not told for four of them ends by itself.", "s", ge=1, le=3_600
    )
    alertmanager_authorization: Secret = option(
        Secret(""), "The Authorization header for Alertmanager, as Bearer TOKEN or Basic BASE64."
    )
    webhook_url: Secret = option(Secret(""), "Alerts are also posted here as JSON.")
    webhook_secret: Secret = option(Secret(""), "Signs those posts: X-Sidelight-Signature, HMAC-SHA256.")
    webhook_secret_file: str = option("", "The same from a file, which may change while the agent runs.")
    slack_url: Secret = option(Secret(""), "A Slack incoming webhook.")
    pagerduty_key: Secret = option(Secret(""), "PagerDuty's integration key (Events API v2).")
    pagerduty_key_file: str = option("", "The same from a file, which may change while the agent runs.")
    pagerduty_url: Secret = option(
        Secret("https://events.pagerduty.com/v2/enqueue"), "PagerDuty's endpoint, or what speaks like it."
    )
    runbook_url: str = option("", "Where your copy of docs/runbook.md can be read: alerts then link to its sections.")
    retrain_url: Secret = option(
        Secret(""), "Posted to when an alert begins that retraining may cure; the whole URL, for the template."
    )
    retrain_template: Literal["webhook", "airflow", "argo", "kubeflow", "github"] = option(
        "webhook", "What stands there: webhook, airflow, argo, kubeflow or github."
    )
    retrain_token: Secret = option(Secret(""), "Sent there as Authorization: Bearer.")
    retrain_token_file: str = option("", "The same from a file, which may change while the agent runs.")
    retrain_pipeline: str = option("", "kubeflow: the pipeline's id, or ID/VERSION-ID.")
    retrain_cooldown_seconds: float = option(
        86_400.0, "After a trigger, none for the same model for so long, restarts included.", "s", ge=0
    )

    # The machine.
    collectors: Names = option(
        ("cpu", "memory", "process", "cgroup", "gpu"), "Collectors that run, comma separated; none: none."
    )
    collect_seconds: float = option(15.0, "Time between two readings of the machine.", "s", ge=1)
    watch_processes: Names = option((), "Process names of the model server to read, comma separated.")
    log_level: Literal["debug", "info", "warning", "error"] = option("info", "What the agent writes to stderr.")

    @checked("socket_mode", before=True)
    @staticmethod
    def _octal(value: object) -> object:
        if not isinstance(value, str):
            return value
        if not re.fullmatch("0?o?[0-7]{1,3}", value):
            raise ValueError("permissions in octal, 0000 to 0777")
        return int(value, 8)

    @checked(
        "segments", "collectors", "watch_processes", "trace_features", "alertmanager_urls", "fairness",
        "capture_redact", "capture_hash", "capture_protected", before=True,
    )  # fmt: skip
    @staticmethod
    def _list(value: object) -> object:
        if not isinstance(value, str):
            return value
        found = names(value)
        return () if found == ("none",) else found

    @checked("alertmanager_authorization", "retrain_token")
    @staticmethod
    def _header(value: Secret) -> Secret:
        if not re.fullmatch(r"[\x20-\x7e]*", value.get_secret_value()):
            raise ValueError("characters that HTTP allows in a header: printable ASCII")
        return value

    @checked("fairness")
    @staticmethod
    def _attributes(value: tuple[str, ...]) -> tuple[str, ...]:
        if len(value) > 8:
            raise ValueError("at most 8 attributes: each divides the false alarms that all may cause")
        return value

    @checked("label_store")
    @staticmethod
    def _store(value: Secret) -> Secret:
        if value.get_secret_value():
            label_store(value.get_secret_value())
        return value

    @checked("fairness_limit", before=True)
    @staticmethod
    def _limits(value: object) -> object:
        return disparity_limits(value) if isinstance(value, str) else value

    @checked("drift_rule", before=True)
    @staticmethod
    def _thresholds(value: object) -> object:
        return thresholds(value) if isinstance(value, str) else value

    @checked("segments")
    @staticmethod
    def _keys(value: tuple[str, ...]) -> tuple[str, ...]:
        if any("=" in key for key in value):
            raise ValueError("keys without =, which stands between a key and its value")
        return value

    @checked("window_seconds")
    @staticmethod
    def _window(value: float) -> float:
        if 0.0 < value < WINDOW_SECONDS_MIN:
            raise ValueError(f"0, or at least {WINDOW_SECONDS_MIN:g} seconds")
        return value

    @checked("endpoint")
    @staticmethod
    def _unix(value: str) -> str:
        if value and not value.startswith("unix:/"):
            raise ValueError("unix:/absolute/path (tcp has an option of its own)")
        if len(value.removeprefix("unix:").encode()) > 107:
            raise ValueError("a path of at most 107 bytes, the kernel's limit for unix sockets")
        return value.replace("unix:///", "unix:/")

    @checked("tcp", "http")
    @staticmethod
    def _address(value: str) -> str:
        if value in ("", "none"):
            return ""
        host, _, port = value.rpartition(":")
        if not host or not port.isdigit() or int(port) > 65_535:
            raise ValueError("host:port")
        return value

    def check(self) -> None:
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
        for name in (*FILES, *SECRETS):
            path = getattr(self, name)
            if path and not os.access(path, os.R_OK):
                raise ConfigurationError(f"SIDELIGHT_{name.upper()}", path, "a readable file")
        if _has_secret(self.capture):
            expected = "a folder or URL without password or query: fsspec reads these from FSSPEC_PROTOCOL_NAME"
            raise ConfigurationError("SIDELIGHT_CAPTURE", "(hidden)", expected)
        if self.capture_hash and not (self.capture_key.get_secret_value() or self.capture_key_file):
            expected = "SIDELIGHT_CAPTURE_KEY or SIDELIGHT_CAPTURE_KEY_FILE as well"
            raise ConfigurationError("SIDELIGHT_CAPTURE_HASH", ",".join(self.capture_hash), expected)
        pair = [bool(self.tls_cert_file), bool(self.tls_key_file)]
        if any(pair) != all(pair) or (self.client_ca_file and not all(pair)):
            given = self.tls_cert_file or self.tls_key_file or self.client_ca_file
            raise ConfigurationError(
                "SIDELIGHT_TLS_KEY_FILE" if pair[0] else "SIDELIGHT_TLS_CERT_FILE",
                "",
                f"a certificate and its key, both, as {given} is given",
            )

    @property
    def counting_hash(self) -> int:
        """xxh3-64 of the options that decide how records are counted: a journal written under others is still
        readable."""
        return xxhash.xxh3_64_intdigest(
            repr((self.time, self.window_seconds, self.lateness_seconds, self.segments)).encode()
        )


def _has_secret(url: str) -> bool:
    """Whether it holds what must not stand in logs, or in what `sidelight config` prints.

    >>> _has_secret("sftp://me:hunter2@host/set"), _has_secret("s3://bucket/set?sig=x"), _has_secret("abfs://c@account/set")
    (True, True, False)
    """
    _, there, rest = url.partition("://")
    host = rest.partition("/")[0]
    return bool(there) and (":" in host.rpartition("@")[0] or "?" in rest)

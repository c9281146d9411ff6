"""Status dictionaries as the agent gives them: a busy agent, and one that nobody talks to."""

from __future__ import annotations

from typing import Any

from agent.bins import Feature, Layout
from agent.records import BinChange, Finding, Kind, Source, Verdict
from agent.report.findings import Showing

# ruff: noqa: E501 - dictionaries as wide as the page's own JSON

NAN = float("nan")


def drift(feature: str, verdict: str, effect: float, p: float = 0.4, **more: Any) -> dict[str, Any]:
    return {
        "feature": feature, "source": "feature", "verdict": verdict, "effect": effect, "p": p, "alpha": 1e-6, "horizon": 12,
        "n": 18_400, "phi": 1.7, "distances": {"psi": effect + 0.004, "jensen_shannon": effect / 8},
    } | more  # fmt: skip


def busy() -> dict[str, Any]:
    """Two models, one drifted; one shadow still learning; refusals, an alert, a backend that answers slowly."""
    noise = "within the noise"
    flights = {
        "name": "flight-delay", "version": "2026-11-02", "role": "primary", "state": "watching", "state_reason": "",
        "reference": {"hash": "9f31c2ab", "rows": 336_776, "blocks": 52, "origin": "training data"},
        "records": {
            "received": 1_284_310, "kept": 1_283_905, "refused": 391, "duplicate": 12, "late": 0, "dropped": 2,
        },
        "refusals": [
            {"reason": "too_large", "field": "features.note", "count": 388, "detail": "text of 9120 bytes, the limit is 4096",
             "last_at": "2026-11-23T01:31:07Z"},
            {"reason": "invalid", "field": "prediction_id", "count": 3, "detail": "empty", "last_at": "2026-11-22T22:10:44Z"},
        ],
        "window": {"index": 1402, "start": "2026-11-23T01:31:00Z", "end": "2026-11-23T01:32:00Z", "rows": 6_212},
        "windows_closed": 1402, "rate_per_second": 207.4, "latency": {"p50": 0.0042, "p95": 0.0117, "p99": 0.0312},
        "drift": [
            drift("dep_delay", "alarm", 0.317, 3e-19),
            drift("carrier", "alarm", 0.121, 2e-9),
            drift("prediction", "below the effect floor", 0.014, 1e-8, source="prediction"),
            drift("distance", noise, 0.003), drift("air_time", noise, 0.002), drift("origin", noise, 0.0),
            drift("dest", noise, 0.006), drift("hour", noise, 0.001), drift("month", "not enough rows", NAN, NAN, n=40),
            drift("tailnum", noise, 0.004), drift("wind_speed", "explained by another finding", 0.03, 1e-7),
        ],
        "quality": [
            {"check": "missing", "feature": "air_time", "verdict": "alarm", "current": 0.184, "expected": 0.0281},
            {"check": "out_of_range", "feature": "distance", "verdict": noise, "current": 0.0, "expected": 0.0},
        ],
        "labels": 40_112, "clients": 2,
        "label_join": {
            "received": 40_112, "joined": 39_001, "early": 214, "repeated": 12, "changed": 3, "unknown": 880,
            "waiting_labels": 2, "coverage": 0.934, "delay_seconds": {"p50": 11_200.0, "p90": 40_000.0, "p99": 90_000.0},
        },
        "followed": {
            "performance": {
                "title": "Performance, by labels", "note": "newest window, 1,212 labels",
                "lines": [
                    {"name": "accuracy", "value": 0.891, "low": 0.872, "high": 0.907, "expected": 0.902, "unit": "share"},
                    {"name": "log loss", "value": 0.312, "unit": "number"},
                ],
            },
            "staleness": {
                "title": "Age, and reasons to train anew", "note": "",
                "lines": [{"name": "age", "value": "34 days", "unit": "text"}],
            },
        },
    }  # fmt: skip
    shadow: dict[str, Any] = {
        "name": "flight-delay", "version": "2026-11-20", "role": "shadow", "state": "learning",
        "state_reason": "6 of 24 windows seen; about 18 minutes to go.", "reference": None,
        "records": {"received": 8_000, "kept": 8_000, "refused": 0, "duplicate": 0, "late": 0, "dropped": 0},
        "refusals": [], "window": {"index": 6, "start": "", "end": "", "rows": 900}, "windows_closed": 6,
        "rate_per_second": 20.1, "latency": None, "drift": [], "quality": [], "labels": 0, "clients": 1,
    }  # fmt: skip
    silent = shadow | {
        "name": "<img src=x onerror=alert(1)>", "version": "1", "role": "primary", "state": "no_data", "rate_per_second": 0.0,
        "state_reason": "The last record came 42 minutes ago.",
    }  # fmt: skip
    return {
        "agent": {
            "version": "0.1.0", "started_at": "2026-11-22T02:09:00Z", "uptime_seconds": 84_180.0,
            "endpoint": "unix:/run/sidelight/agent.sock", "durable": True, "state_folder": "/var/lib/sidelight",
        },
        "models": [flights, shadow, silent],
        "clients": [
            {"id": "serve-7d9f-1", "language": "python", "version": "0.1.0", "last_seen_seconds": 0.4, "recorded": 1_284_310,
             "dropped": 0},
            {"id": "edge-2", "language": "go", "version": "", "last_seen_seconds": 2520.0, "recorded": 8_000, "dropped": 17},
        ],
        "alerts": [
            {"name": "input_drift", "model": "flight-delay", "version": "2026-11-02", "severity": "warning", "state": "firing",
             "since": "2026-11-23T00:58:00Z", "subjects": ["dep_delay", "carrier"],
             "summary": "2 of 19 features no longer look like the training data; dep_delay most of all (effect 0.317)."},
        ],
        "export": {
            "endpoint": "http://otel-collector:4317",
            "signals": {
                "metrics": {"produced": 5_100, "delivered": 5_088, "rejected": 0, "dropped": 0, "queued": 12,
                            "last_error": "UNAVAILABLE: connection refused, trying again in 8 s"},
                "traces": {"produced": 210, "delivered": 210, "rejected": 0, "dropped": 0, "queued": 0, "last_error": ""},
                "logs": {"produced": 1_402, "delivered": 1_400, "rejected": 2, "dropped": 0, "queued": 0, "last_error": ""},
            },
        },
        "collectors": [
            {"name": "cpu", "state": "ok", "reason": "", "duration_seconds": 0.0004},
            {"name": "memory", "state": "ok", "reason": "", "duration_seconds": 0.0003},
            {"name": "cgroup", "state": "failed", "reason": "OSError: Input/output error", "duration_seconds": 0.001},
            {"name": "gpu", "state": "unavailable", "reason": "no NVML library (libnvidia-ml.so.1) in this container",
             "duration_seconds": 0.002},
        ],
        "messages": {"undecodable": 3, "too_large": 0},
        "hint": "",
    }  # fmt: skip


LAYOUT = Layout((
    Feature("dep_delay", Source.FEATURE, Kind.NUMBER, edges=(-20.0, 0.0, 15.0, 60.0, 120.0)),
    Feature("carrier", Source.FEATURE, Kind.TEXT, categories=("AA", "B6", "UA"), public=True),
    Feature("tailnum", Source.FEATURE, Kind.TEXT, categories=("N14228", "N24211")),
    Feature("late", Source.PREDICTION, Kind.FLAG),
))  # fmt: skip


def found(check: str, subject: str, reason: str, source: Source = Source.FEATURE, **more: Any) -> Finding:
    return Finding(
        check,
        subject,
        source,
        Verdict.ALARM,
        p_value=3e-12,
        alpha=1e-6,
        n=4_000,
        n_reference=336_776,
        first_window=494_000,
        effect=0.3,
        current=0.12,
        expected=0.02,
        reason=reason,
        **more,
    )


def kinds() -> list[Finding]:
    """One alarm of every kind there is, as the measures give them."""
    ks = {"psi": 0.33, "ks": 0.21}
    return [
        Finding(
            "drift", "dep_delay", Source.FEATURE, Verdict.ALARM, p_value=3e-19, alpha=1e-6, effect=0.31, horizon=4, n=16_000,
            n_reference=336_776, phi=1.7, first_window=494_000, current=0.68, expected=0.5, distances=ks,
            changes=(BinChange("60 to 120", 4, 0.05, 0.19), BinChange("-20 to 0", 1, 0.5, 0.31)),
            reason="compared with the same hour of the day; tested over 1, 2, 4 windows; not over 8, 16, 24: reference too "
                   "short, or too few rows",
        ),
        Finding(
            "drift", "tailnum", Source.FEATURE, Verdict.ALARM, p_value=3e-9, alpha=1e-6, effect=0.12, horizon=1, n=4_000,
            n_reference=336_776, phi=1.1, first_window=494_003, distances={"psi": 0.14},
            changes=(BinChange("N14228", 0, 0.05, 0.19), BinChange("never seen", 3, 0.0, 0.08)),
        ),
        Finding(
            "drift", "carrier", Source.FEATURE, Verdict.ALARM, p_value=3e-9, alpha=1e-7, effect=0.06, horizon=16, n=9_000,
            n_reference=80_000, phi=1.1, first_window=493_990, distances={"psi": 0.14}, segment="origin=JFK",
            changes=(BinChange("B6", 1, 0.41, 0.55),),
        ),
        Finding(
            "drift", "late", Source.PREDICTION, Verdict.ALARM, p_value=NAN, alpha=NAN, effect=0.04, n=98,
            n_reference=336_776, phi=1.1, first_window=494_003, distances={"psi": 0.24}, changes=(BinChange("true", 1, 0.2, 0.4),),
            reason="fixed threshold (psi 0.24 over 0.2), without drift passed by 3.6 % of windows of 98 rows, 0.87 times a day",
        ),
        found("missing", "air_time", "missing in 18.4 % of 4000 rows (reference 2.8 %), 4 windows together", horizon=4),
        found("absent", "wind_speed", "absent in all 4000 rows: the sender no longer sends it; new in its place: windspeed"),
        found("constant", "visib", "one value in all 4000 rows; the reference has 10 bins of it"),
        found("fractional", "hour", "not whole in 12 % of 4000 rows (reference 0 %)"),
        found("type_mismatch", "distance", "not a number in any of 4000 rows"),
        found("new_feature", "windspeed", "in 4000 rows; the reference has no such feature"),
        found("missing", "dest", "missing in 9 % of 800 rows (reference 0 %)", segment="origin=JFK"),
        found("volume", "volume", "2.1 times the usual traffic, by hour of the week of 30 days; one window shows 1.4 times or "
              "more, a doubling is seen within 1 window", Source.ROW),
        found("duplicates", "duplicates", "48 % of rows came before under another id"),
        Finding("segments", "", Source.ROW, Verdict.WITHIN_NOISE, n=4_000, n_reference=110_000, segment="origin=JFK"),
        Finding("segments", "", Source.ROW, Verdict.NOT_ENOUGH_ROWS, n=1, n_reference=12, segment="origin=SWF",
                reason="9 rows in 16 windows"),
        found("latency", "latency", "p95 3.1 times the usual", Source.LATENCY),
    ]  # fmt: skip


def alarming() -> dict[str, Any]:
    """A model with a finding of every kind, its ledger in short, and a fixed drift rule."""
    status = busy()
    status["models"] = [status["models"][0] | Showing(LAYOUT, 3_600_000_000_000, inside=True).groups(kinds()) | {
        "ledger": {
            "headline": "smallest shift seen within a day: 0.14 σ (median of 17 inputs; 2 not seen within a day)",
            "rows_per_window": 4_000.0,
            "fixed_rule": {"rule": "psi>0.2", "rows": 98, "features": 19, "false_alarms_per_day": 16.4},
        }
    }]  # fmt: skip
    return status | {"alerts": [], "clients": [], "collectors": [], "messages": {}}


def empty() -> dict[str, Any]:
    """An agent nobody has talked to yet."""
    return busy() | {
        "models": [], "clients": [], "alerts": [], "messages": {}, "collectors": [],
        "export": {"endpoint": "", "signals": {}},
        "hint": "No record has arrived. Senders look for unix:/run/sidelight/agent.sock: is the folder /run/sidelight "
                "mounted in the model's container, and may its user write to the socket?",
    }  # fmt: skip

"""A Datadog dashboard from the agent's catalogue: `make docs` writes dashboard.json; docs/backends/datadog.md has the
mapping it rests on, and what of it was checked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from agent.telemetry import CATALOGUE, Shape
from deploy.promql import MODEL

SCOPE = "$service,$env"
OF_MODEL = f"{SCOPE},$model,$version"


def query(name: str, by: Sequence[str] = (), scope: str = SCOPE, where: str = "", statistic: str = "") -> str:
    """A Datadog metric query. A counter is by the second; a histogram is a distribution, of which `statistic` is asked.

    Raises KeyError for what is not in the catalogue or not an attribute of it.
    """
    of = CATALOGUE[name]
    for each in by:
        if each not in (*of.attributes, *MODEL, "service", "host", "service.instance.id"):
            raise KeyError(f"{name} has no attribute {each}")
    space = {Shape.COUNTER: "sum", Shape.GAUGE: "max", Shape.HISTOGRAM: statistic or "p99"}[of.shape]
    grouped = f" by {{{','.join(by)}}}" if by else ""
    chosen = ",".join(each for each in (scope, where) if each)
    return f"{space}:{in_datadog(name)}{{{chosen}}}{grouped}" + (".as_rate()" if of.shape is Shape.COUNTER else "")


def in_datadog(name: str) -> str:
    """Its translator keeps names, but sets what would clash with its own host metrics apart."""
    return f"otel.{name}" if name.startswith(("system.", "process.")) else name


def made() -> dict[str, Any]:
    """The dashboard as Datadog's API and its import take it."""
    model, version = "sidelight.model.name", "sidelight.model.version"
    feature, outcome, signal = "sidelight.feature.name", "sidelight.outcome", "sidelight.signal"
    return {
        "title": "Sidelight",
        "description": "Models watched by Sidelight agents. Made from the agent's catalogue by deploy/datadog.",
        "layout_type": "ordered",
        "reflow_type": "auto",
        "template_variables": [
            _variable("service", "service"), _variable("env", "env"), _variable("model", model),
            _variable("version", version), _variable("feature", feature),
        ],
        "widgets": [
            _group("Traffic and latency", [
                _series("sidelight.predictions", (model, version)),
                _series("sidelight.records", (outcome, "sidelight.reason")),
                _series("sidelight.prediction.errors", (model, version)),
                _latency(),
            ]),
            _group("Drift", [
                _series("sidelight.drift.effect", (feature,), OF_MODEL, top=15),
                _series("sidelight.drift.significance", (feature,), OF_MODEL, top=15),
                _series("sidelight.volume.ratio", (model, version)),
            ]),
            _group("One feature", [
                _series("sidelight.feature.bin.values", ("sidelight.bin",), f"{OF_MODEL},$feature"),
                _series("sidelight.feature.bin.reference", ("sidelight.bin",), f"{OF_MODEL},$feature"),
                _series("sidelight.feature.quantile", ("sidelight.quantile",), f"{OF_MODEL},$feature"),
            ]),
            _group("Data quality, alerts, blind states", [
                _series("sidelight.quality.share", (feature, "sidelight.check"), OF_MODEL, top=15),
                _series("sidelight.alert", (model, "sidelight.alert.name", "sidelight.alert.severity")),
                _series("sidelight.model.state", (model, version, "sidelight.state")),
                _series("sidelight.labels", (model, outcome)),
            ]),
            _group("The agent", [
                _series("sidelight.queue.size", ("service",)),
                _series("sidelight.checkpoint.age", ("service",)),
                _series("sidelight.journal.size", ("service",)),
                _series("sidelight.export.items", (signal, outcome)),
                _series("sidelight.spool.items", (signal,)),
                _series("process.cpu.time", ("service",)),
                _series("process.memory.usage", ("service",)),
            ]),
        ],
    }  # fmt: skip


def _variable(name: str, tag: str) -> dict[str, Any]:
    return {"name": name, "prefix": tag, "available_values": [], "defaults": ["*"]}


def _group(title: str, widgets: list[dict[str, Any]]) -> dict[str, Any]:
    return {"definition": {"type": "group", "layout_type": "ordered", "title": title, "widgets": widgets}}


def _series(name: str, by: Sequence[str], scope: str = SCOPE, top: int = 0) -> dict[str, Any]:
    asked = query(name, by, scope)
    return _widget(name, [asked], f"top(query1, {top}, 'mean', 'desc')" if top else "query1")


def _latency() -> dict[str, Any]:
    name = "sidelight.prediction.duration"
    return _widget(name, [query(name, (), OF_MODEL, statistic=each) for each in ("p50", "p95", "p99")])


def _widget(name: str, asked: Sequence[str], formula: str = "") -> dict[str, Any]:
    """A timeseries of the metric's queries, its meaning under the title."""
    numbered = [f"query{i}" for i, _ in enumerate(asked, start=1)]
    return {
        "definition": {
            "type": "timeseries",
            "title": f"{name}: {CATALOGUE[name].description}",
            "show_legend": True,
            "legend_layout": "auto",
            "requests": [
                {
                    "response_format": "timeseries",
                    "display_type": "line",
                    "queries": [
                        {"data_source": "metrics", "name": number, "query": each}
                        for number, each in zip(numbered, asked, strict=True)
                    ],
                    "formulas": [{"formula": formula}] if formula else [{"formula": each} for each in numbered],
                }
            ],
        }
    }


def text() -> str:
    return json.dumps(made(), indent=1, ensure_ascii=False) + "\n"

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
    challenger = "sidelight.challenger.version"
    return {
        "title": "Sidelight",
        "description": "Models watched by Sidelight agents. Made from the agent's catalogue by deploy/datadog.",
        "layout_type": "ordered",
        "reflow_type": "auto",
        "template_variables": [
            _variable("service", "service"), _variable("env", "env"), _variable("model", model),
            _variable("version", version), _variable("feature", feature),
            _variable("metric", "sidelight.performance.metric"),
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
            ]),
            _group("Labels and performance", [
                _series("sidelight.label.settled", (model, outcome)),
                _latency("sidelight.label.delay", f"{SCOPE},$model"),
                _series("sidelight.label.coverage", (model,), f"{SCOPE},$model"),
                _performance("sidelight.performance", "sidelight.horizon:24"),
                _series("sidelight.performance.labels", (version, "sidelight.horizon"), OF_MODEL),
                _series("sidelight.performance.outcomes", tuple(
                    f"sidelight.performance.{each}" for each in ("actual", "predicted")), OF_MODEL),
                _performance("sidelight.performance.estimated"),
                _series("sidelight.performance.significance", (version, "sidelight.performance.metric"), OF_MODEL),
                _series("sidelight.concept.evidence", (version, "sidelight.segment"), OF_MODEL),
                _series("sidelight.retrain.reason", (model, version, "sidelight.reason")),
            ]),
            _group("Groups of people", [
                _series("sidelight.fairness.disparity", _of_fairness("attribute", "metric"),
                        f"{OF_MODEL},sidelight.statistic:value,sidelight.horizon:24"),
                _series("sidelight.fairness.group.rate", _of_fairness("attribute", "group", "measure"),
                        f"{OF_MODEL},sidelight.horizon:24"),
                _series("sidelight.fairness.significance", (*_of_fairness("attribute"), "sidelight.check"), OF_MODEL),
            ]),
            _group("Versions beside each other", [
                _series("sidelight.shadow.decision", (challenger, "sidelight.decision"), OF_MODEL),
                _series("sidelight.shadow.loss.difference", (challenger, "sidelight.statistic"), OF_MODEL),
                _series("sidelight.shadow.agreement", (challenger,), OF_MODEL),
                _series("sidelight.shadow.latency.difference", (challenger,), OF_MODEL),
                _series("sidelight.shadow.measure.difference", (challenger, "sidelight.measure"), OF_MODEL),
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


def _latency(name: str = "sidelight.prediction.duration", scope: str = OF_MODEL) -> dict[str, Any]:
    return _widget(name, [query(name, (), scope, statistic=each) for each in ("p50", "p95", "p99")])


def _performance(name: str, *where: str) -> dict[str, Any]:
    """One figure of the model, with its limits: replicas' largest."""
    return _series(name, ("sidelight.model.version", "sidelight.statistic"), ",".join((OF_MODEL, "$metric", *where)))


def _of_fairness(*attributes: str) -> tuple[str, ...]:
    return tuple(f"sidelight.fairness.{each}" for each in attributes)


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

"""The fleet's dashboard: every model over all agents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from deploy.grafana.panels import SCOPE, Panel, Query, Row, about, dashboard, rate, selector
from deploy.grafana.shared import (
    BY_MODEL,
    EFFECT,
    EFFECT_COLORS,
    FLEET_SCOPE,
    NAMED_MODEL,
    QUIET,
    SIGMAS,
    alert_marks,
    states,
)
from deploy.prometheus import rules

RED: dict[str, Any] = {
    "thresholds": {"mode": "absolute", "steps": [{"color": "green", "value": None}, {"color": "red", "value": 1}]}
}
ALERTS = f"max by (job, {BY_MODEL}, sidelight_alert_name) ({selector('sidelight.alert')})"


def made() -> dict[str, Any]:
    """The dashboard."""
    return dashboard(
        "Sidelight / Fleet", "sidelight-fleet", "Every model, over all agents.", rows(), (), [alert_marks(SCOPE)]
    )


def rows() -> Sequence[Row]:
    return [
        Row("Now", _now()), Row("Drift", _drift()), Row("Alerts and blind states", [_firing(), states(SCOPE)]),
        Row("Traffic", _traffic()), Row("Performance", _performance()),
    ]  # fmt: skip


def _stat(title: str, description: str, expression: str, unit: str = "short", **defaults: Any) -> Panel:
    return Panel(title, description, [Query(expression)], unit, "stat", 4, 4, defaults)


def _now() -> list[Panel]:
    blind = selector("sidelight.model.state", 'sidelight_state!="watching"')
    lost = rate("sidelight.records", 'sidelight_outcome=~"refused|dropped"')
    return [
        _stat("Agents", "Agents that report.", f"count({selector('sidelight.checkpoint.age')})"),
        _stat(
            "Models", "Models and versions that any of them watches.",
            f"count(count by ({BY_MODEL}) ({selector('sidelight.model.state')}))",
        ),
        _stat("Predictions a second", about("sidelight.predictions"), f"sum({rate('sidelight.predictions')})", "cps"),
        _stat("Alerts", "Different alerts of the agents that fire now.", f"count({ALERTS} == 1) or vector(0)", **RED),
        _stat(
            "Blind", "Replicas that cannot judge a model: learning, without reference, without data, not durable.",
            f"sum({blind}) or vector(0)", **RED,
        ),
        _stat("Lost records", "Records refused or dropped, a second.", f"sum({lost})", "cps", **RED),
    ]  # fmt: skip


def _drift() -> list[Panel]:
    legend = f"{NAMED_MODEL} {{{{sidelight_feature_name}}}}"
    return [
        Panel(
            "Drift of the fleet",
            "Corrected effect of the pooled counts of all replicas: PSI less what noise alone would give. 0.02 small, "
            f"0.1 clear, 0.25 large. By the rules of deploy/prometheus over {rules.RANGE}, not an average of replicas.",
            [Query(f"topk(30, {EFFECT}{{{FLEET_SCOPE}}})", legend)],
            "none", "status-history", 16, 12, EFFECT_COLORS, points=60,
        ),
        Panel(
            "How sure",
            "Standard deviations of noise by which the fleet's PSI is away from its expectation. "
            f"The rules alarm above {rules.SIGMAS:g}.",
            [Query(f"topk(10, {SIGMAS}{{{FLEET_SCOPE}}})", legend)], "none", height=12,
        ),
    ]  # fmt: skip


def _firing() -> Panel:
    hidden = {"id": "organize", "options": {"excludeByName": {"Time": True, "Value": True}}}
    return Panel(
        "Alerts that fire", "The agents' own calibrated alerts, each told once however many replicas say it.",
        [Query(f"{ALERTS} == 1", instant=True, sparse=QUIET)], "none", "table", 12, transformations=[hidden],
    )  # fmt: skip


def _performance() -> list[Panel]:
    def pooled(what: str) -> Query:
        return Query(
            f"fleet:sidelight_performance_{what}:{rules.RANGE}{{{FLEET_SCOPE}}}", f"{NAMED_MODEL} {what}",
            sparse="needs labels of classes",
        )

    beside = selector("sidelight.shadow.decision", 'sidelight_decision="promote"')
    return [
        Panel(
            "Right answers", "Share of all replicas' labels in the last hour whose prediction was of their class.",
            [pooled("accuracy")], "percentunit",
        ),
        Panel(
            "Precision and recall", "Of models of two classes, from the counts of all replicas in the last hour.",
            [pooled("precision"), pooled("recall")], "percentunit",
        ),
        Panel(
            "Challengers to promote", "Replicas that know a version that is better than the one in use.",
            [Query(f"sum by (sidelight_model_name, sidelight_challenger_version) ({beside})",
                   "{{sidelight_model_name}} {{sidelight_challenger_version}}", sparse="needs two versions")], "none",
        ),
    ]  # fmt: skip


def _traffic() -> list[Panel]:
    predictions = f"sum by ({BY_MODEL}) ({rate('sidelight.predictions')})"
    errors = f"sum by ({BY_MODEL}) ({rate('sidelight.prediction.errors')})"
    latency = f"sum by ({BY_MODEL}) ({rate('sidelight.prediction.duration')})"
    return [
        Panel("Predictions by model", about("sidelight.predictions"), [Query(predictions, NAMED_MODEL)], "cps"),
        Panel(
            "Latency, p99", about("sidelight.prediction.duration"),
            [Query(f"histogram_quantile(0.99, {latency})", NAMED_MODEL)], "s",
        ),
        Panel(
            "Errors", "Share of predictions whose sender reported an error.",
            [Query(f"{errors} / {predictions}", NAMED_MODEL)], "percentunit",
        ),
    ]  # fmt: skip

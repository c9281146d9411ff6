"""What several dashboards show, and how a model's series are chosen."""

from __future__ import annotations

from typing import Any

from deploy.grafana.panels import SCOPE, Panel, Query, about, selector
from deploy.prometheus.rules import CLEAR, LARGE, RANGE

NAME_SCOPE = f'{SCOPE}, sidelight_model_name=~"$model"'  # of all versions together: these series have none
MODEL_SCOPE = f'{NAME_SCOPE}, sidelight_model_version=~"$version"'
FLEET_SCOPE = 'job=~"$job"'  # recorded series have no instance: they are of all of them
BY_MODEL = "sidelight_model_name, sidelight_model_version"
NAMED_MODEL = "{{sidelight_model_name}} {{sidelight_model_version}}"
WHOLE = 'sidelight_segment=""'
EFFECT, SIGMAS = f"fleet:sidelight_drift_effect:{RANGE}", f"fleet:sidelight_drift_sigmas:{RANGE}"
SMALL = 0.02
EFFECT_COLORS: dict[str, Any] = {
    "color": {"mode": "thresholds"},
    "thresholds": {
        "mode": "absolute",
        "steps": [
            {"color": "green", "value": None}, {"color": "yellow", "value": SMALL}, {"color": "orange", "value": CLEAR},
            {"color": "red", "value": LARGE},
        ],
    },
}  # fmt: skip
"""agent.drift.effect.Severity's limits."""
QUIET = "nothing while all is well"


def states(scope: str) -> Panel:
    """Blind states are states of their own, never shown as healthy."""
    return Panel(
        "State of the watch", about("sidelight.model.state"),
        [Query(
            f"max by ({BY_MODEL}, sidelight_state) ({selector('sidelight.model.state', scope=scope)}) == 1",
            f"{NAMED_MODEL} {{{{sidelight_state}}}}",
        )],
        "none", "state-timeline", 12,
    )  # fmt: skip


def alert_marks(scope: str) -> dict[str, Any]:
    """Alerts as annotations: a region while one fires."""
    return {
        "name": "Alerts", "enable": True, "iconColor": "red", "hide": False,
        "datasource": {"type": "prometheus", "uid": "${datasource}"}, "useValueForTime": False, "step": "30s",
        "expr": f"max by ({BY_MODEL}, sidelight_alert_name, sidelight_alert_severity) "
                f"({selector('sidelight.alert', scope=scope)}) == 1",
        "titleFormat": "{{sidelight_alert_name}}", "tagKeys": "sidelight_alert_severity",
        "textFormat": NAMED_MODEL,
    }  # fmt: skip

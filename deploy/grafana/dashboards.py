"""The dashboards as files. `make docs` writes them; docs/backends/grafana.md says how to bring them into Grafana."""

from __future__ import annotations

import json
from typing import Any

from deploy.grafana import agent, fleet, model
from deploy.grafana.panels import Row


def files() -> dict[str, dict[str, Any]]:
    """File names, and the dashboards in them."""
    return {"fleet.json": fleet.made(), "model.json": model.made(), "agent.json": agent.made()}


def rows() -> list[Row]:
    """Every row of every dashboard."""
    return [*fleet.rows(), *model.rows(), *agent.rows()]


def text(made: dict[str, Any]) -> str:
    return json.dumps(made, indent=1, ensure_ascii=False) + "\n"


def exclusions() -> str:
    """dashboard-linter's `.lint`: what it cannot know."""
    lines = [
        "# Made by deploy/grafana/dashboards.py: `make docs`.",
        "exclusions:\n  target-instance-rule:",
        "    reason: Recorded series are of all instances together and have no such label.\n    entries:",
    ]
    lines += [
        f"      - {{dashboard: {made['title']}, panel: {panel['title']}}}"
        for made in files().values()
        for panel in made["panels"]
        if any("fleet:" in target["expr"] for target in panel.get("targets", ()))
    ]
    return "\n".join(lines) + "\n"

"""The agent's own dashboard: whatever of the catalogue is on no other, in rows by what it is about. So a metric that is
added to the catalogue is on a dashboard."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from agent.telemetry import CATALOGUE
from deploy.grafana import fleet, model
from deploy.grafana.panels import ANCHOR, Panel, Row, dashboard, plain
from deploy.promql import metric

ROWS = {
    "GPU": ("hw.", "sidelight.gpu."),
    "What leaves": ("sidelight.export.", "sidelight.spool.", "sidelight.span.", "sidelight.capture."),
    "The machine": (
        "container.", "sidelight.container.", "system.", "sidelight.watched.", "sidelight.collector.",
        "process.thread", "process.paging", "process.context", "process.unix", "process.memory.virtual",
        "process.uptime",
    ),
    "The agent": ("",),
}  # fmt: skip
"""By how a metric's name begins; the first that fits. The last row takes what is left, and is shown first."""
NEEDS = {"GPU": "with a GPU", "The machine": "with its collector"}
ALWAYS = frozenset({
    "process.cpu.time", "process.memory.usage", "sidelight.checkpoint.age", "sidelight.journal.size",
    "sidelight.queue.size", "sidelight.record.not_durable", "sidelight.export.produced", "sidelight.export.items",
    "sidelight.spool.items", "sidelight.spool.size", "sidelight.spool.limit",
})  # fmt: skip
"""What every agent that has a backend reports, whatever happens."""


def made() -> dict[str, Any]:
    """The dashboard."""
    about = "The agent's own health: queues, drops by reason, disk, CPU and memory, and the machine it runs on."
    return dashboard("Sidelight / Agent", "sidelight-agent", about, rows())


def rows() -> Sequence[Row]:
    expressions = [q.expression for row in (*fleet.rows(), *model.rows()) for p in row.panels for q in p.queries]
    elsewhere = set(re.findall(r"[a-z][a-z0-9_]+", " ".join(expressions))) - {metric(ANCHOR)}
    found: dict[str, list[Panel]] = {title: [] for title in ("The agent", "What leaves", "The machine", "GPU")}
    for each in CATALOGUE.values():
        if each.in_prometheus not in elsewhere:
            title = next(title for title, begins in ROWS.items() if each.name.startswith(begins))
            sparse = "" if each.name in ALWAYS else NEEDS.get(title, "where it applies")
            found[title].append(plain(each.name, sparse=sparse))
    return [Row(title, panels) for title, panels in found.items()]

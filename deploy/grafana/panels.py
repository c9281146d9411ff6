"""Panels of a Grafana dashboard: what dashboard-linter asks of each (title, description, unit, the templated data
source, `$job` and `$instance` in every selector) is given here once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent.telemetry import CATALOGUE, Metric, Shape
from deploy.promql import labels, metric

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
SCOPE = 'job=~"$job", instance=~"$instance"'
ANCHOR = "sidelight.checkpoint.age"  # every agent has one series of it: by it, jobs and instances are listed
UNITS = {
    "s": "s", "By": "bytes", "1": "percentunit", "Cel": "celsius", "W": "watt", "J": "joule", "Hz": "hertz",
    "{prediction}": "short", "{record}": "short",
}  # fmt: skip
"""Grafana's word for a unit; others are plain numbers."""
HEIGHT, COLUMNS = 8, 24


@dataclass(frozen=True)
class Query:
    """One target. instant: a table's rows now, not a series over time. sparse: has data in some states only, said in
    words; else a backend that holds a living fleet answers it. exemplar: with the spans that show its values."""

    expression: str
    legend: str = ""
    instant: bool = False
    sparse: str = ""
    exemplar: bool = False


@dataclass(frozen=True)
class Panel:
    """kind: Grafana's panel type. options, custom, transformations: as Grafana has them. unit: Grafana's word."""

    title: str
    description: str
    queries: Sequence[Query]
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 8
    height: int = HEIGHT
    defaults: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    transformations: Sequence[dict[str, Any]] = ()
    points: int = 0  # maxDataPoints; 0: Grafana's choice


@dataclass(frozen=True)
class Row:
    title: str
    panels: Sequence[Panel]


def selector(name: str, *matchers: str, scope: str = SCOPE) -> str:
    """The metric's series of the chosen jobs and instances. name: in the catalogue."""
    return f"{metric(name)}{{{', '.join((scope, *matchers))}}}"


def rate(name: str, *matchers: str, scope: str = SCOPE) -> str:
    return f"rate({selector(name, *matchers, scope=scope)}[$__rate_interval])"


def about(name: str) -> str:
    """The catalogue's words."""
    return CATALOGUE[name].description


def unit(of: Metric) -> str:
    """A counter is shown by the second: seconds a second are a share of one processor or of the time."""
    if of.shape is Shape.COUNTER:
        return {"By": "Bps", "s": "percentunit", "J": "watt"}.get(of.unit, "cps")
    return UNITS.get(of.unit, "short")


def plain(name: str, *by: str, title: str = "", width: int = 8, sparse: str = "") -> Panel:
    """One metric of the catalogue over time, by instance and its own attributes (or those of `by`)."""
    of = CATALOGUE[name]
    wanted = by or ("instance", *of.attributes)
    if of.shape is Shape.COUNTER:
        expression = f"sum by ({labels(wanted)}) ({rate(name)})"
    elif of.shape is Shape.GAUGE:
        expression = f"max by ({labels(wanted)}) ({selector(name)})"
    else:
        expression = f"histogram_quantile(0.99, sum by ({labels(wanted)}) ({rate(name)}))"
    legend = " ".join(f"{{{{{each.replace('.', '_')}}}}}" for each in wanted)
    return Panel(title or said(name), about(name), [Query(expression, legend, sparse=sparse)], unit(of), width=width)


def said(name: str) -> str:
    """The metric's name as a title.

    >>> said("sidelight.checkpoint.age"), said("hw.gpu.memory.usage")
    ('Checkpoint age', 'GPU memory usage')
    """
    words = name.removeprefix("sidelight.").removeprefix("hw.").replace(".", " ").replace("_", " ")
    words = words[0].upper() + words[1:]
    return " ".join({"Gpu": "GPU", "cpu": "CPU", "gpu": "GPU", "oom": "OOM"}.get(each, each) for each in words.split())


def variable(name: str, query: str, label: str = "", multi: bool = True, every: str = ".+") -> dict[str, Any]:
    """A choice among label values; all of them to begin with, where several can be chosen. every: what all is; `.*`
    where series need not have the label."""
    chosen = {"text": ["All"], "value": ["$__all"]}
    return {
        "name": name, "label": label or name.capitalize(), "type": "query", "datasource": DATASOURCE,
        "query": {"query": query, "refId": name}, "definition": query, "refresh": 2, "sort": 1, "multi": multi,
        "includeAll": multi, "allValue": every if multi else None, "current": chosen if multi else {}, "options": [],
        "hide": 0, "regex": "", "skipUrlSync": False,
    }  # fmt: skip


def dashboard(
    title: str, uid: str, about: str, rows: Sequence[Row], variables: Iterable[dict[str, Any]] = (),
    annotations: Iterable[dict[str, Any]] = (),
) -> dict[str, Any]:  # fmt: skip
    """The JSON that Grafana imports or provisions."""
    source = {
        "name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "refresh": 1,
        "hide": 0, "includeAll": False, "multi": False, "options": [], "regex": "", "skipUrlSync": False, "current": {},
    }  # fmt: skip
    anchor = metric(ANCHOR)
    templates = [
        source,
        variable("job", f"label_values({anchor}, job)"),
        variable("instance", f'label_values({anchor}{{job=~"$job"}}, instance)'),
        *variables,
    ]
    built = {
        "datasource": {"type": "grafana", "uid": "-- Grafana --"}, "name": "Annotations & Alerts", "type": "dashboard",
        "builtIn": 1, "enable": True, "hide": True, "iconColor": "rgba(0, 211, 255, 1)",
    }  # fmt: skip
    return {
        "title": title, "uid": uid, "description": about, "tags": ["sidelight"], "editable": False,
        "schemaVersion": 39, "version": 1, "time": {"from": "now-6h", "to": "now"}, "timezone": "browser",
        "refresh": "30s", "graphTooltip": 1, "templating": {"list": templates},
        "annotations": {"list": [built, *annotations]}, "panels": _placed(rows),
        "links": [{
            "type": "dashboards", "tags": ["sidelight"], "title": "Sidelight", "asDropdown": True, "keepTime": True,
            "includeVars": True,
        }],
    }  # fmt: skip


def _placed(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Left to right, top to bottom; a row's title has a line of its own."""
    found: list[dict[str, Any]] = []
    y = 0
    for row in rows:
        found.append({
            "id": len(found) + 1, "type": "row", "title": row.title, "collapsed": False, "panels": [],
            "gridPos": {"h": 1, "w": COLUMNS, "x": 0, "y": y},
        })  # fmt: skip
        x, y, tallest = 0, y + 1, 0
        for panel in row.panels:
            if x + panel.width > COLUMNS:
                x, y, tallest = 0, y + tallest, 0
            place = {"h": panel.height, "w": panel.width, "x": x, "y": y}
            found.append(_panel(panel, len(found) + 1) | {"gridPos": place})
            x, tallest = x + panel.width, max(tallest, panel.height)
        y += tallest
    return found


def _panel(panel: Panel, number: int) -> dict[str, Any]:
    made: dict[str, Any] = {
        "id": number, "type": panel.kind, "title": panel.title, "description": panel.description,
        "datasource": DATASOURCE, "targets": [_target(q, i) for i, q in enumerate(panel.queries)],
        "fieldConfig": {"defaults": {"unit": panel.unit} | panel.defaults, "overrides": []},
        "options": panel.options or _OPTIONS.get(panel.kind, {}), "transformations": list(panel.transformations),
    }  # fmt: skip
    return made | ({"maxDataPoints": panel.points} if panel.points else {})


def _target(query: Query, number: int) -> dict[str, Any]:
    return {
        "refId": "ABCDEFGH"[number], "datasource": DATASOURCE, "expr": query.expression, "editorMode": "code",
        "legendFormat": query.legend or "__auto", "instant": query.instant, "range": not query.instant,
        "format": "table" if query.instant else "time_series", **({"exemplar": True} if query.exemplar else {}),
    }  # fmt: skip


_REDUCE = {"calcs": ["lastNotNull"], "fields": "", "values": False}
_OPTIONS: dict[str, dict[str, Any]] = {
    "timeseries": {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    "stat": {"reduceOptions": _REDUCE, "colorMode": "value", "graphMode": "area", "textMode": "auto"},
    "status-history": {"showValue": "never", "rowHeight": 0.9, "legend": {"showLegend": False}},
    "state-timeline": {"showValue": "never", "mergeValues": True, "rowHeight": 0.9, "legend": {"showLegend": False}},
    "table": {"showHeader": True, "cellHeight": "sm"},
    "heatmap": {
        "calculate": False, "yAxis": {"unit": "s"}, "color": {"mode": "scheme", "scheme": "Spectral", "steps": 64},
        "cellGap": 0, "tooltip": {"mode": "single", "yHistogram": False}, "legend": {"show": True},
    },
}  # fmt: skip

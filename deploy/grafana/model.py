"""One model in depth: its traffic, latency, drift, data and state; truth.py has what its labels tell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from deploy.grafana import truth
from deploy.grafana.panels import SCOPE, Panel, Query, Row, about, dashboard, rate, selector, variable
from deploy.grafana.shared import (
    BY_MODEL,
    EFFECT,
    EFFECT_COLORS,
    FLEET_SCOPE,
    MODEL_SCOPE,
    QUIET,
    WHOLE,
    alert_marks,
    states,
)
from deploy.promql import VALUES, metric

FEATURE_SCOPE = f'{MODEL_SCOPE}, sidelight_feature_name=~"$feature"'
OF_VALUES, OF_NONE = f'sidelight_bin=~"{VALUES}"', f'sidelight_bin!~"{VALUES}"'
OF_SEGMENT = 'sidelight_segment!=""'
OUTPUTS = f'sidelight_feature_source=~"prediction|score", {WHOLE}'
BY_FEATURE = "sidelight_feature_name, sidelight_feature_source"
FEATURE_NAME = "{{sidelight_feature_name}}"


def made() -> dict[str, Any]:
    """The dashboard."""
    state = metric("sidelight.model.state")
    chosen = f'{SCOPE}, sidelight_model_name=~"$model"'
    variables = [
        variable("model", f"label_values({state}{{{SCOPE}}}, sidelight_model_name)", multi=False),
        variable("version", f"label_values({state}{{{chosen}}}, sidelight_model_version)", every=".*"),
        variable(
            "feature", f"label_values({metric('sidelight.feature.bin.reference')}{{{chosen}}}, sidelight_feature_name)",
            multi=False,
        ),
        variable(
            "metric",
            f"label_values({metric('sidelight.performance')}{{{chosen}}}, sidelight_performance_metric)", multi=False,
        ),
    ]  # fmt: skip
    return dashboard(
        "Sidelight / Model", "sidelight-model", "One model: its traffic, its data, its drift, its state.",
        rows(), variables, [alert_marks(MODEL_SCOPE)],
    )  # fmt: skip


def rows() -> Sequence[Row]:
    return [
        Row("Traffic", _traffic()), Row("Drift", _drift()), Row("One feature: $feature", _feature()),
        Row("Data quality", _quality()), *truth.rows(), Row("Alerts and blind states", _alerts()),
    ]  # fmt: skip


def of_model(name: str, *matchers: str) -> str:
    return selector(name, *matchers, scope=MODEL_SCOPE)


def rate_of_model(name: str, *matchers: str) -> str:
    return rate(name, *matchers, scope=MODEL_SCOPE)


def _traffic() -> list[Panel]:
    duration = rate_of_model("sidelight.prediction.duration")
    return [
        Panel(
            "Predictions", about("sidelight.predictions"),
            [Query(f"sum by (sidelight_model_version) ({rate_of_model('sidelight.predictions')})",
                   "{{sidelight_model_version}}")], "cps", width=6,
        ),
        Panel(
            "Records by outcome", about("sidelight.records"),
            [Query(f"sum by (sidelight_outcome, sidelight_reason) ({rate_of_model('sidelight.records')})",
                   "{{sidelight_outcome}} {{sidelight_reason}}")], "cps", width=6,
        ),
        Panel(
            "Latency", about("sidelight.prediction.duration"),
            [Query(f"histogram_quantile({share}, sum({duration}))", f"p{share * 100:g}", exemplar=share == 0.99)
             for share in (0.5, 0.95, 0.99)], "s", width=6,
        ),
        Panel(
            "Latency, all of it", about("sidelight.prediction.duration"),
            [Query(f"sum({duration})")], "s", "heatmap", 6,
        ),
        Panel(
            "Errors", "Share of predictions whose sender reported an error.",
            [Query(f"sum({rate_of_model('sidelight.prediction.errors')}) / "
                   f"sum({rate_of_model('sidelight.predictions')})", "errors")], "percentunit", width=6,
        ),
        Panel(
            "Traffic against the usual", about("sidelight.volume.ratio"),
            [Query(f"max by (instance) ({of_model('sidelight.volume.ratio')})", "{{instance}}",
                   sparse="needs some days of a service's own past")], "percentunit", width=6,
        ),
        Panel(
            "Lost before the agent", about("sidelight.client.dropped"),
            [Query(f"sum by (sidelight_reason) ({rate_of_model('sidelight.client.dropped')})", "{{sidelight_reason}}",
                   sparse="only senders that say so")], "cps", width=6,
        ),
        Panel(
            "Lifecycle", about("sidelight.lifecycle.events"),
            [Query("sum by (sidelight_lifecycle_event) "
                   f"(increase({of_model('sidelight.lifecycle.events')}[$__rate_interval]))",
                   "{{sidelight_lifecycle_event}}", sparse="only senders that say so")], "short", width=6,
        ),
    ]  # fmt: skip


def _drift() -> list[Panel]:
    return [
        Panel(
            "Drift by feature and time", about("sidelight.drift.effect"),
            [Query(f"max by ({BY_FEATURE}) ({of_model('sidelight.drift.effect', WHOLE)})", FEATURE_NAME)],
            "none", "status-history", 24, 12, EFFECT_COLORS, points=96,
        ),
        Panel(
            "Answers by time", "Of predictions and scores: what is known before labels come.",
            [Query(f"max by (sidelight_feature_name) ({of_model('sidelight.drift.effect', OUTPUTS)})", FEATURE_NAME)],
            "none",
        ),
        Panel(
            "Significance", about("sidelight.drift.significance"),
            [Query(f"topk(10, max by ({BY_FEATURE}) ({of_model('sidelight.drift.significance', WHOLE)}))",
                   FEATURE_NAME)], "none",
        ),
        Panel(
            "Fleet", "Corrected effect of all replicas' pooled counts, by the rules of deploy/prometheus.",
            [Query(f'topk(10, {EFFECT}{{{FLEET_SCOPE}, sidelight_model_name=~"$model", '
                   'sidelight_model_version=~"$version"})', FEATURE_NAME)], "none",
        ),
        Panel(
            "Segments", "Drift in one part of the traffic, the ten largest.",
            [Query(f"topk(10, max by ({BY_FEATURE}, sidelight_segment) "
                   f"({of_model('sidelight.drift.effect', OF_SEGMENT)}))",
                   "{{sidelight_segment}} {{sidelight_feature_name}}", sparse="needs SIDELIGHT_SEGMENTS")], "none",
        ),
        Panel(
            "Smallest shift that would be found", about("sidelight.drift.smallest_shift"),
            [Query(f"max by (instance, sidelight_model_version) ({of_model('sidelight.drift.smallest_shift')})",
                   "{{sidelight_model_version}} {{instance}}", sparse="no point where none is found within a day")],
            "none",
        ),
        Panel(
            "Overdispersion φ", about("sidelight.drift.overdispersion"),
            [Query(f"topk(10, max by ({BY_FEATURE}) ({of_model('sidelight.drift.overdispersion', WHOLE)}))",
                   FEATURE_NAME)], "none",
        ),
        Panel(
            "Price of a fixed rule", about("sidelight.drift.fixed_rule.false_alarms"),
            [Query(f"max by (sidelight_model_version) ({of_model('sidelight.drift.fixed_rule.false_alarms')})",
                   "{{sidelight_model_version}}", sparse="needs SIDELIGHT_DRIFT_RULE")], "none",
        ),
    ]  # fmt: skip


def _feature() -> list[Panel]:
    values = selector("sidelight.feature.bin.values", OF_VALUES, scope=FEATURE_SCOPE)
    known = selector("sidelight.feature.bin.reference", OF_VALUES, scope=FEATURE_SCOPE)
    counted = f"sum by (sidelight_bin) (increase({values}[$__range]))"
    side_by_side = [
        {"id": "joinByField", "options": {"byField": "sidelight_bin", "mode": "outer"}},
        {
            "id": "organize",
            "options": {
                "excludeByName": {"Time": True, "Time 1": True, "Time 2": True},
                "renameByName": {"sidelight_bin": "bin", "Value #A": "now", "Value #B": "reference"},
            },
        },
        {"id": "convertFieldType", "options": {"conversions": [{"targetField": "bin", "destinationType": "number"}]}},
        {"id": "sortBy", "options": {"sort": [{"field": "bin"}]}},
        {"id": "convertFieldType", "options": {"conversions": [{"targetField": "bin", "destinationType": "string"}]}},
    ]
    return [
        Panel(
            "Distribution now and in the reference",
            "Share of values per bin over the time range shown, beside the reference's. What a bin's number stands for "
            "is told by `sidelight status`, inside the pod: edges and names do not leave it.",
            [Query(f"{counted} / scalar(sum({counted}))", instant=True),
             Query(f"max by (sidelight_bin) ({known})", instant=True)],
            "percentunit", "barchart", 12, 10,
            options={
                "xField": "bin", "orientation": "vertical", "groupWidth": 0.8, "barWidth": 0.95, "showValue": "never",
                "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            },
            transformations=side_by_side,
        ),
        Panel(
            "Distances people know", about("sidelight.drift.distance"),
            [Query("max by (sidelight_distance) "
                   f"({selector('sidelight.drift.distance', WHOLE, scope=FEATURE_SCOPE)})", "{{sidelight_distance}}")],
            "none", width=6, height=10,
        ),
        Panel(
            "Quantiles", about("sidelight.feature.quantile"),
            [Query(f"avg by (sidelight_quantile) ({selector('sidelight.feature.quantile', scope=FEATURE_SCOPE)})",
                   "{{sidelight_quantile}}", sparse="only numbers")], "none", width=6, height=10,
        ),
    ]  # fmt: skip


def _quality() -> list[Panel]:
    return [
        Panel(
            "Faults by feature and time", about("sidelight.quality.share"),
            [Query("max by (sidelight_feature_name, sidelight_check) "
                   f"({of_model('sidelight.quality.share', WHOLE)}) > 0",
                   "{{sidelight_feature_name}} {{sidelight_check}}", sparse=QUIET)],
            "percentunit", "status-history", 16, 10,
            {"color": {"mode": "continuous-GrYlRd"}, "min": 0, "max": 0.25}, points=96,
        ),
        Panel(
            "Worst ten", about("sidelight.quality.share"),
            [Query("topk(10, max by (sidelight_feature_name, sidelight_check) "
                   f"({of_model('sidelight.quality.share', WHOLE)}))",
                   "{{sidelight_feature_name}} {{sidelight_check}}")],
            "percentunit", height=10,
        ),
        Panel(
            "Different texts", about("sidelight.feature.distinct"),
            [Query(f"topk(10, max by (sidelight_feature_name) ({of_model('sidelight.feature.distinct')}))",
                   FEATURE_NAME)], "short",
        ),
        Panel(
            "No value", "Values that are null, absent, NaN, infinite or of the wrong type, a second.",
            [Query("sum by (sidelight_feature_name, sidelight_bin) "
                   f"({rate_of_model('sidelight.feature.bin.values', OF_NONE)}) > 0",
                   "{{sidelight_feature_name}} {{sidelight_bin}}", sparse=QUIET)], "cps",
        ),
        Panel(
            "Records in no segment", about("sidelight.segment.record.refused"),
            [Query(f"sum by (instance) ({rate_of_model('sidelight.segment.record.refused')})", "{{instance}}")], "cps",
        ),
    ]  # fmt: skip


def _alerts() -> list[Panel]:
    firing = f"max by ({BY_MODEL}, sidelight_alert_name, sidelight_alert_severity) ({of_model('sidelight.alert')}) == 1"
    return [
        states(MODEL_SCOPE),
        Panel(
            "Alerts", about("sidelight.alert"),
            [Query(firing, "{{sidelight_alert_name}} {{sidelight_alert_severity}}", sparse=QUIET)],
            "none", "state-timeline", 12,
        ),
        Panel(
            "Windows closed", about("sidelight.windows"),
            [Query("sum by (instance, sidelight_model_version) "
                   f"(increase({of_model('sidelight.windows')}[$__rate_interval]))",
                   "{{instance}} {{sidelight_model_version}}")], "short", width=12,
        ),
        Panel(
            "Reference", about("sidelight.reference.rows"),
            [Query("max by (sidelight_model_version, sidelight_reference_hash) "
                   f"({of_model('sidelight.reference.rows')})",
                   "{{sidelight_model_version}} {{sidelight_reference_hash}}")], "short", width=12,
        ),
    ]  # fmt: skip

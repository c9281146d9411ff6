"""The catalogue of what the agent says: every metric and event, by name, unit and meaning. `docs/metrics.md` is made from it.

Stations yield `Point`s; `export/` turns them into OTLP. Nothing is said that does not stand here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Shape(StrEnum):
    COUNTER = "counter"  # monotonic sum
    GAUGE = "gauge"
    HISTOGRAM = "exponential histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric's definition. unit: UCUM. attributes: those a point of it may carry beside the model's."""

    name: str
    shape: Shape
    unit: str
    description: str
    attributes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Exponential:
    """An OTLP exponential histogram: positive buckets of base 2**(2**-scale), bucket i covers (base**(offset+i), base**(offset+i+1)]."""

    count: int
    sum: float
    scale: int
    zero_count: int
    offset: int
    buckets: Sequence[int]


@dataclass(frozen=True, slots=True)
class Point:
    """One value of one metric. start_ns: since when a counter or histogram counts (0: since the agent's start)."""

    metric: Metric
    value: float | int | Exponential
    attributes: Mapping[str, str | int | float | bool]
    start_ns: int = 0


CATALOGUE: dict[str, Metric] = {}


def _define(name: str, shape: Shape, unit: str, description: str, *attributes: str) -> Metric:
    CATALOGUE[name] = metric = Metric(name, shape, unit, description, attributes)
    return metric


# What arrives.
RECORDS = _define(
    "sidelight.records", Shape.COUNTER, "{record}",
    "Records received, by what became of them: kept, refused, duplicate, late, dropped.", "sidelight.outcome", "sidelight.reason",
)
PREDICTIONS = _define("sidelight.predictions", Shape.COUNTER, "{prediction}", "Predictions counted.")
PREDICTION_ERRORS = _define("sidelight.prediction.errors", Shape.COUNTER, "{prediction}", "Predictions whose sender reported an error.")
LATENCY = _define("sidelight.prediction.duration", Shape.HISTOGRAM, "s", "How long predictions took, as the sender measured it.")
LABELS = _define("sidelight.labels", Shape.COUNTER, "{label}", "Labels received.")
LIFECYCLE = _define("sidelight.lifecycle.events", Shape.COUNTER, "{event}", "Lifecycle events received.", "sidelight.lifecycle.event")
CLIENT_DROPPED = _define(
    "sidelight.client.dropped", Shape.COUNTER, "{record}", "Records that senders say they lost before the agent.", "sidelight.reason",
)
# What the windows hold.
WINDOWS = _define("sidelight.windows", Shape.COUNTER, "{window}", "Windows closed.")
BIN_COUNT = _define(
    "sidelight.feature.bin.values", Shape.COUNTER, "{value}",
    "Values per bin since the series began; replicas with the same reference add up.",
    "sidelight.feature.name", "sidelight.feature.source", "sidelight.bin", "sidelight.reference.hash",
)
BIN_REFERENCE = _define(
    "sidelight.feature.bin.reference", Shape.GAUGE, "1", "The bin's share in the reference.",
    "sidelight.feature.name", "sidelight.feature.source", "sidelight.bin", "sidelight.reference.hash",
)
# What is judged.
DRIFT = _define(
    "sidelight.drift.effect", Shape.GAUGE, "{score}",
    "Drift of the newest window: PSI less what noise alone would give. 0.02 small, 0.1 clear, 0.25 large.",
    "sidelight.feature.name", "sidelight.feature.source",
)
DRIFT_SIGNIFICANCE = _define(
    "sidelight.drift.significance", Shape.GAUGE, "{score}",
    "log10(alpha / p) of the most significant horizon: above 0 the check would alarm.",
    "sidelight.feature.name", "sidelight.feature.source",
)
DRIFT_DISTANCE = _define(
    "sidelight.drift.distance", Shape.GAUGE, "{score}", "Distances people know, of the newest window. Never the rule by themselves.",
    "sidelight.feature.name", "sidelight.feature.source", "sidelight.distance",
)
DRIFT_PHI = _define(
    "sidelight.drift.overdispersion", Shape.GAUGE, "{score}", "φ: how much more reference windows vary than independent rows would.",
    "sidelight.feature.name", "sidelight.feature.source",
)
REFERENCE_ROWS = _define("sidelight.reference.rows", Shape.GAUGE, "{row}", "N: rows of the reference.", "sidelight.reference.hash")
QUALITY = _define(
    "sidelight.quality.share", Shape.GAUGE, "1", "Share of the newest window's values with this fault.",
    "sidelight.feature.name", "sidelight.feature.source", "sidelight.check",
)
STATE = _define(
    "sidelight.model.state", Shape.GAUGE, "1",
    "1 for the state the model's watch is in: watching, learning, no_reference, reference_too_short, no_data, not_durable.", "sidelight.state",
)
ALERT = _define("sidelight.alert", Shape.GAUGE, "1", "1 while the alert fires.", "sidelight.alert.name", "sidelight.alert.severity")

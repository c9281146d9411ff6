"""The catalogue of what the agent says: every metric and event, by name, unit and meaning. `docs/metrics.md` is made
from it.

Stations yield `Point`s; `export/` turns them into OTLP. Nothing is said that does not stand here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

_UNITS = {"1": "", "By": "bytes", "Cel": "celsius", "Hz": "hertz", "J": "joules", "W": "watts", "s": "seconds"}
_PER = {"d": "day", "s": "second"}


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

    @property
    def in_prometheus(self) -> str:
        """What Prometheus' OTLP receiver calls it, with its default of suffixes (prometheus/otlptranslator 1.0.0).

        >>> CATALOGUE["sidelight.queue.size"].in_prometheus, CATALOGUE["sidelight.predictions"].in_prometheus
        ('sidelight_queue_size_bytes', 'sidelight_predictions_total')
        >>> CATALOGUE["sidelight.drift.fixed_rule.false_alarms"].in_prometheus
        'sidelight_drift_fixed_rule_false_alarms_per_day'
        """
        whole, _, per = self.unit.partition("/")
        suffixes = [_UNITS.get(whole, whole)] if "{" not in whole else []
        suffixes += [f"per_{_PER.get(per, per)}"] if per and "{" not in per else []
        last = {Shape.COUNTER: ["total"], Shape.GAUGE: ["ratio"] if self.unit == "1" else [], Shape.HISTOGRAM: []}
        words = re.findall(r"[a-zA-Z0-9]+", self.name)
        words += [each for each in suffixes if each and each not in words]
        return "_".join([each for each in words if each not in last[self.shape]] + last[self.shape])


@dataclass(frozen=True, slots=True)
class Exponential:
    """An OTLP exponential histogram: positive buckets of base 2**(2**-scale), bucket i covers (base**(offset+i),
    base**(offset+i+1)]; negative ones likewise, by the absolute value. zero_threshold: up to which, either way, a value
    counts as zero."""

    count: int
    sum: float
    scale: int
    zero_count: int
    offset: int
    buckets: Sequence[int]
    negative_offset: int = 0
    negative: Sequence[int] = ()
    zero_threshold: float = 0.0


@dataclass(frozen=True, slots=True)
class Exemplar:
    """One of the values that a histogram counted, and the span that shows it. trace_id, span_id: 16 and 8 bytes;
    value: in the metric's unit; time_ns: when it was measured."""

    trace_id: bytes
    span_id: bytes
    value: float
    time_ns: int


@dataclass(frozen=True, slots=True)
class Point:
    """One value of one metric. start_ns: since when a counter or histogram counts (0: since the agent's start).

    observed: a counter that others keep (the kernel, a driver): what it counted before it was first read is not ours.
    exemplars: a histogram's, those said before among them.
    """

    metric: Metric
    value: float | int | Exponential
    attributes: Mapping[str, str | int | float | bool]
    start_ns: int = 0
    observed: bool = False
    exemplars: Sequence[Exemplar] = ()


CATALOGUE: dict[str, Metric] = {}


def _define(name: str, shape: Shape, unit: str, description: str, *attributes: str) -> Metric:
    CATALOGUE[name] = metric = Metric(name, shape, unit, description, attributes)
    return metric


# What arrives.
RECORDS = _define(
    "sidelight.records",
    Shape.COUNTER,
    "{record}",
    "Records received, by what became of them: kept, refused, duplicate, late, dropped.",
    "sidelight.outcome",
    "sidelight.reason",
)
PREDICTIONS = _define("sidelight.predictions", Shape.COUNTER, "{prediction}", "Predictions counted.")
PREDICTION_ERRORS = _define(
    "sidelight.prediction.errors", Shape.COUNTER, "{prediction}", "Predictions whose sender reported an error."
)
LATENCY = _define(
    "sidelight.prediction.duration", Shape.HISTOGRAM, "s", "How long predictions took, as the sender measured it."
)
LABELS = _define(
    "sidelight.labels", Shape.COUNTER, "{label}", "Labels received, by what became of them.", "sidelight.outcome"
)
LABEL_DELAY = _define("sidelight.label.delay", Shape.HISTOGRAM, "s", "How long after its prediction a label came.")
LABEL_COVERAGE = _define(
    "sidelight.label.coverage", Shape.GAUGE, "1", "Share of the predictions with an id that got their label so far."
)
LABEL_SAMPLE = _define(
    "sidelight.label.sample", Shape.GAUGE, "1", "Share of the predictions that are kept for their label, by their id."
)
LABELS_SETTLED = _define(
    "sidelight.label.settled",
    Shape.COUNTER,
    "{label}",
    "Labels by what became of them: joined, early (joined when the prediction came), repeated, changed (the first "
    "stands), unknown, unsampled.",
    "sidelight.outcome",
)
LABELS_WAITING = _define(
    "sidelight.label.waiting", Shape.GAUGE, "{label}", "Labels whose prediction has not come, or is being looked up."
)
PREDICTIONS_WAITING = _define(
    "sidelight.prediction.waiting", Shape.GAUGE, "{prediction}", "Predictions kept whose label has not come."
)
PREDICTIONS_UNLABELLED = _define(
    "sidelight.prediction.unlabelled", Shape.COUNTER, "{prediction}", "Predictions that got no label in time."
)
LABEL_STORE_SIZE = _define(
    "sidelight.label.store.size", Shape.GAUGE, "By", "What the predictions that wait for their label occupy on disk."
)
LABEL_STORE_UP = _define(
    "sidelight.label.store.up",
    Shape.GAUGE,
    "1",
    "Whether the store that replicas share answers: 1 yes, 0 no. Only where there is one.",
)
LABEL_STORE_ERRORS = _define(
    "sidelight.label.store.errors",
    Shape.COUNTER,
    "{error}",
    "Answers that the shared store did not give, by what was wrong: connection, certificate, timeout, loading, "
    "read_only, out_of_memory, refused, other.",
    "error.type",
)
LABEL_STORE_DROPPED = _define(
    "sidelight.label.store.dropped",
    Shape.COUNTER,
    "{row}",
    "Predictions and labels that the agent could not hold while the shared store was away.",
    "sidelight.store.rows",
)
LIFECYCLE = _define(
    "sidelight.lifecycle.events", Shape.COUNTER, "{event}", "Lifecycle events received.", "sidelight.lifecycle.event"
)
CLIENT_DROPPED = _define(
    "sidelight.client.dropped",
    Shape.COUNTER,
    "{record}",
    "Records that senders say they lost before the agent.",
    "sidelight.reason",
)
# What the windows hold.
WINDOWS = _define("sidelight.windows", Shape.COUNTER, "{window}", "Windows closed.")
BIN_COUNT = _define(
    "sidelight.feature.bin.values",
    Shape.COUNTER,
    "{value}",
    "Values per bin since the series began; replicas with the same reference add up. Bins of values are numbered; "
    "null, absent, NaN, +inf, -inf and wrong type go by those names.",
    "sidelight.feature.name",
    "sidelight.feature.source",
    "sidelight.bin",
    "sidelight.reference.hash",
)
BIN_REFERENCE = _define(
    "sidelight.feature.bin.reference",
    Shape.GAUGE,
    "1",
    "The bin's share of the feature's values in the reference; null, absent and the like: of all its rows.",
    "sidelight.feature.name",
    "sidelight.feature.source",
    "sidelight.bin",
    "sidelight.reference.hash",
)
# What is judged.
DRIFT = _define(
    "sidelight.drift.effect",
    Shape.GAUGE,
    "{score}",
    "Drift of the newest window: PSI less what noise alone would give. 0.02 small, 0.1 clear, 0.25 large.",
    "sidelight.feature.name",
    "sidelight.feature.source",
    "sidelight.segment",
)
DRIFT_SIGNIFICANCE = _define(
    "sidelight.drift.significance",
    Shape.GAUGE,
    "{score}",
    "log10(alpha / p) of the most significant horizon: above 0 the check would alarm.",
    "sidelight.feature.name",
    "sidelight.feature.source",
    "sidelight.segment",
)
DRIFT_DISTANCE = _define(
    "sidelight.drift.distance",
    Shape.GAUGE,
    "{score}",
    "Distances people know, of the newest window. Never the rule by themselves.",
    "sidelight.feature.name",
    "sidelight.feature.source",
    "sidelight.segment",
    "sidelight.distance",
)
DRIFT_PHI = _define(
    "sidelight.drift.overdispersion",
    Shape.GAUGE,
    "{score}",
    "φ: how much more reference windows vary than independent rows would.",
    "sidelight.feature.name",
    "sidelight.feature.source",
    "sidelight.segment",
)
REFERENCE_ROWS = _define(
    "sidelight.reference.rows", Shape.GAUGE, "{row}", "N: rows of the reference.", "sidelight.reference.hash"
)
QUALITY = _define(
    "sidelight.quality.share",
    Shape.GAUGE,
    "1",
    "Share of the newest window's values with this fault.",
    "sidelight.feature.name",
    "sidelight.feature.source",
    "sidelight.segment",
    "sidelight.check",
)
VOLUME = _define(
    "sidelight.volume.ratio",
    Shape.GAUGE,
    "1",
    "Records a second of the newest window over what the service's own past leads one to expect.",
)
SMALLEST_SHIFT = _define(
    "sidelight.drift.smallest_shift",
    Shape.GAUGE,
    "1",
    "The median input's smallest shift of the mean that is found within a day, in standard deviations, in four of five "
    "cases; no point where none is.",
)
CONCEPT_LOSS = _define(
    "sidelight.concept.loss",
    Shape.GAUGE,
    "{loss}",
    "Of the newest window's labels: the share whose prediction was wrong, or of a regression the mean absolute error "
    "(single ones capped at three times the usual 95th percentile).",
    "sidelight.segment",
)
CONCEPT_USUAL = _define(
    "sidelight.concept.loss.usual",
    Shape.GAUGE,
    "{loss}",
    "The same in the labelled reference, or in the service's own first labelled windows.",
    "sidelight.segment",
)
CONCEPT_EVIDENCE = _define(
    "sidelight.concept.evidence",
    Shape.GAUGE,
    "{score}",
    "log10 of the evidence that errors rose, over what the ledger asks: above 0 it alarms.",
    "sidelight.segment",
)
MODEL_AGE = _define(
    "sidelight.model.age", Shape.GAUGE, "s", "Time since the version was trained, as its start or its reference says."
)
RETRAIN_REASON = _define(
    "sidelight.retrain.reason",
    Shape.GAUGE,
    "1",
    "1 for each reason that stands for training the model anew: staleness, drift, concept_drift, performance, "
    "new_categories.",
    "sidelight.reason",
)
FIXED_RULE_COST = _define(
    "sidelight.drift.fixed_rule.false_alarms",
    Shape.GAUGE,
    "{alarm}/d",
    "With SIDELIGHT_DRIFT_RULE: how often a day, over all features, noise alone passes it at this traffic.",
)
STATE = _define(
    "sidelight.model.state",
    Shape.GAUGE,
    "1",
    "1 for the state the model's watch is in: watching, learning, no_reference, reference_too_short, no_data, "
    "labels_only, not_durable.",
    "sidelight.state",
)
ALERT = _define(
    "sidelight.alert",
    Shape.GAUGE,
    "1",
    "1 while the alert fires; over OTLP 0 once, when it ends.",
    "sidelight.alert.name",
    "sidelight.alert.severity",
)

# Versions beside each other: a champion (sidelight.model.version) and a challenger on the same requests.
PERFORMANCE = _define(
    "sidelight.performance",
    Shape.GAUGE,
    "{score}",
    "How good the predictions were whose labels came in the newest 1, 2, 4, 8, 16, 24 windows with labels, or in all "
    "(total): value, and lower and upper limit of 95 % for another sample of as many. Of a binary task accuracy, "
    "precision, recall, f1, specificity, roc_auc, average_precision, log_loss, brier, calibration_error, …; of many "
    "classes those macro, micro and weighted; of a regression mae, rmse, bias, mape, r2, quantile_loss_0.1, 0.5, 0.9; "
    "of a ranking ctr, precision_1, 3, 5, 10, ndcg_1, 3, 5, 10. Of segments the value over 1 and 24.",
    "sidelight.performance.metric",
    "sidelight.statistic",
    "sidelight.horizon",
    "sidelight.segment",
)
PERFORMANCE_LABELS = _define(
    "sidelight.performance.labels",
    Shape.GAUGE,
    "{label}",
    "Labels that met their prediction in these windows.",
    "sidelight.horizon",
    "sidelight.segment",
)
PERFORMANCE_CLASS = _define(
    "sidelight.performance.class",
    Shape.GAUGE,
    "1",
    "Precision, recall and F1 of one class over the newest 24 windows with labels. Classes go by numbers, in the order "
    "they came, unless the prediction is marked public.",
    "sidelight.performance.metric",
    "sidelight.performance.class",
)
PERFORMANCE_OUTCOMES = _define(
    "sidelight.performance.outcomes",
    Shape.COUNTER,
    "{label}",
    "Predictions with their label, weighted, by true class and decision: the confusion matrix since the start.",
    "sidelight.performance.actual",
    "sidelight.performance.predicted",
)
PERFORMANCE_SIGNIFICANCE = _define(
    "sidelight.performance.significance",
    Shape.GAUGE,
    "{score}",
    "log10(alpha / p) of the most significant horizon's rise of the loss: above 0 the check would alarm.",
    "sidelight.performance.metric",
)
ESTIMATED = _define(
    "sidelight.performance.estimated",
    Shape.GAUGE,
    "{score}",
    "How good the newest window's predictions probably are, before labels come: value, and lower and upper limit of "
    "95 % for what labels would show. accuracy, precision, recall, f1, specificity, roc_auc; mae, rmse, mape. Of "
    "accuracy or mae also realised: what labels showed of predictions whose label came, and estimated_of_realised: "
    "what had been estimated of the same.",
    "sidelight.performance.metric",
    "sidelight.statistic",
)
ESTIMATE_BELIEVED = _define(
    "sidelight.performance.estimated.believed",
    Shape.GAUGE,
    "1",
    "Whether the estimate is to be believed: 1 yes, 0.5 in doubt, 0 no (values the reference never held, or labels "
    "that say otherwise).",
)
FAIRNESS_DISPARITY = _define(
    "sidelight.fairness.disparity",
    Shape.GAUGE,
    "{score}",
    "How far apart the groups of a protected attribute are over the newest windows: value, and lower and upper limit "
    "of 95 % for the groups chosen as the furthest apart. Differences: 0 is alike; ratios: 1 is.",
    "sidelight.fairness.attribute",
    "sidelight.fairness.metric",
    "sidelight.horizon",
    "sidelight.statistic",
)
FAIRNESS_RATE = _define(
    "sidelight.fairness.group.rate",
    Shape.GAUGE,
    "{score}",
    "A rate, or a mean error, of one group over the newest windows. Groups go by numbers, unless "
    "SIDELIGHT_FAIRNESS_GROUPS says otherwise.",
    "sidelight.fairness.attribute",
    "sidelight.fairness.group",
    "sidelight.fairness.measure",
    "sidelight.horizon",
)
FAIRNESS_ROWS = _define(
    "sidelight.fairness.group.records",
    Shape.COUNTER,
    "{record}",
    "Predictions, and labels that met their prediction, by group; unknown: null or absent, other: beyond 20 groups.",
    "sidelight.fairness.attribute",
    "sidelight.fairness.group",
    "sidelight.fairness.kind",
)
FAIRNESS_SIGNIFICANCE = _define(
    "sidelight.fairness.significance",
    Shape.GAUGE,
    "{score}",
    "log10(alpha / p) of the most significant gap, or of the limit nearest to being passed: above 0 it would alarm.",
    "sidelight.fairness.attribute",
    "sidelight.check",
)
SHADOW_PAIRS = _define(
    "sidelight.shadow.pairs",
    Shape.COUNTER,
    "{pair}",
    "Requests that both versions answered, of the sample that is compared; labelled: those whose truth is known.",
    "sidelight.challenger.version",
    "sidelight.labelled",
)
SHADOW_AGREEMENT = _define(
    "sidelight.shadow.agreement",
    Shape.GAUGE,
    "1",
    "Share of the requests on which both gave the same class or value, in the newest window with any.",
    "sidelight.challenger.version",
)
SHADOW_DIFFERENCE = _define(
    "sidelight.shadow.difference",
    Shape.GAUGE,
    "{value}",
    "Challenger's number less the champion's (of classes: their scores) in the newest window with any: mean, sd, p05, "
    "p50, p95.",
    "sidelight.challenger.version",
    "sidelight.statistic",
)
SHADOW_LATENCY = _define(
    "sidelight.shadow.latency.difference",
    Shape.GAUGE,
    "s",
    "Challenger's mean latency less the champion's on the same requests.",
    "sidelight.challenger.version",
)
SHADOW_MEASURE = _define(
    "sidelight.shadow.measure.difference",
    Shape.GAUGE,
    "{value}",
    "Challenger's mean cost or tokens a request less the champion's on the same requests.",
    "sidelight.challenger.version",
    "sidelight.measure",
)
SHADOW_LOSS = _define(
    "sidelight.shadow.loss.difference",
    Shape.GAUGE,
    "{loss}",
    "Champion's mean loss less the challenger's: above 0 the challenger is better. mean, lower, upper: its confidence "
    "sequence, valid at every look.",
    "sidelight.challenger.version",
    "sidelight.loss",
    "sidelight.statistic",
)
SHADOW_DECISION = _define(
    "sidelight.shadow.decision",
    Shape.GAUGE,
    "1",
    "1 for what is known of the challenger: promote, keep (the champion), not_yet.",
    "sidelight.challenger.version",
    "sidelight.decision",
)
SHADOW_NEEDED = _define(
    "sidelight.shadow.label.needed",
    Shape.GAUGE,
    "{label}",
    "Labels more until a decision is likely, if the difference stays as it is; no point where none is foreseen.",
    "sidelight.challenger.version",
)
# The feedback set.
CAPTURE_ROWS = _define(
    "sidelight.capture.rows",
    Shape.COUNTER,
    "{row}",
    "Rows handed over to be written to the feedback set: records, labels.",
    "sidelight.capture.kind",
)
CAPTURE_DROPPED = _define(
    "sidelight.capture.dropped",
    Shape.COUNTER,
    "{row}",
    "Rows of the feedback set that were dropped since too many waited for a place that could not be written.",
)
CAPTURE_WAITING = _define(
    "sidelight.capture.waiting.size", Shape.GAUGE, "By", "Rows of the feedback set that wait to be written."
)

# The machine. OpenTelemetry's names where it has one; what it calls an up-down counter is a gauge here.
COLLECTOR_DURATION = _define(
    "sidelight.collector.duration",
    Shape.GAUGE,
    "s",
    "How long the collector's last run took.",
    "sidelight.collector.name",
)
COLLECTOR_SUCCESS = _define(
    "sidelight.collector.success",
    Shape.GAUGE,
    "1",
    "1 where the last run gave readings, 0 where it failed or hung; no point where it rightly has nothing to read.",
    "sidelight.collector.name",
)
_GPU = ("hw.type", "hw.id", "hw.name")
_define("system.cpu.time", Shape.COUNTER, "s", "The node's processor time, all processors together.", "cpu.mode")
_define("system.cpu.logical.count", Shape.GAUGE, "{cpu}", "The node's logical processors.")
_define("system.memory.limit", Shape.GAUGE, "By", "The node's memory.")
_define(
    "system.memory.usage",
    Shape.GAUGE,
    "By",
    "The node's memory by state; the states add up to the limit.",
    "system.memory.state",
)
_define(
    "system.memory.linux.available",
    Shape.GAUGE,
    "By",
    "What the kernel thinks the node can still give without swapping.",
)
_define("container.cpu.time", Shape.COUNTER, "s", "Processor time of the agent's container.", "cpu.mode")
_define("container.memory.usage", Shape.GAUGE, "By", "Memory of the agent's container, file cache included.")
_define(
    "container.memory.working_set",
    Shape.GAUGE,
    "By",
    "Memory the container cannot give back; the kubelet evicts by it.",
)
_define("container.memory.rss", Shape.GAUGE, "By", "Anonymous memory of the agent's container.")
_define(
    "container.memory.available",
    Shape.GAUGE,
    "By",
    "The container's limit less its working set; absent without a limit.",
)
_define(
    "container.paging.faults",
    Shape.COUNTER,
    "{fault}",
    "Page faults of the agent's container.",
    "system.paging.fault.type",
)
_define(
    "sidelight.container.cpu.limit",
    Shape.GAUGE,
    "{cpu}",
    "Processors the container may use; absent without a limit.",
)
_define(
    "sidelight.container.cpu.throttled.time",
    Shape.COUNTER,
    "s",
    "Time the container was kept from running by its limit.",
)
_define("sidelight.container.memory.limit", Shape.GAUGE, "By", "Memory the container may use; absent without a limit.")
_define(
    "sidelight.container.memory.oom_kills",
    Shape.COUNTER,
    "{kill}",
    "Processes of the container killed for want of memory.",
)
_define(
    "sidelight.container.pressure.time",
    Shape.COUNTER,
    "s",
    "Time in which some, or all, of the container's tasks waited for cpu, memory or io.",
    "sidelight.resource",
    "sidelight.pressure",
)
_define("process.cpu.time", Shape.COUNTER, "s", "The agent's own processor time.", "cpu.mode")
_define("process.memory.usage", Shape.GAUGE, "By", "The agent's own resident memory.")
_define("process.memory.virtual", Shape.GAUGE, "By", "The agent's own address space.")
_define("process.thread.count", Shape.GAUGE, "{thread}", "The agent's own threads.")
_define("process.paging.faults", Shape.COUNTER, "{fault}", "The agent's own page faults.", "system.paging.fault.type")
_define(
    "process.context_switches",
    Shape.COUNTER,
    "{context_switch}",
    "Context switches of the agent's main thread.",
    "process.context_switch.type",
)
_define("process.unix.file_descriptor.count", Shape.GAUGE, "{file_descriptor}", "File descriptors the agent holds.")
_define("process.uptime", Shape.GAUGE, "s", "How long the agent has run.")
_define(
    "sidelight.watched.processes",
    Shape.GAUGE,
    "{process}",
    "Processes that bear a watched name.",
    "process.executable.name",
)
_define(
    "sidelight.watched.cpu.time",
    Shape.COUNTER,
    "s",
    "Their processor time, that of ended ones included.",
    "process.executable.name",
    "cpu.mode",
)
_define(
    "sidelight.watched.memory.usage",
    Shape.GAUGE,
    "By",
    "Their resident memory; a page they share counts once for each.",
    "process.executable.name",
)
_define("sidelight.watched.threads", Shape.GAUGE, "{thread}", "Their threads.", "process.executable.name")
_define("hw.gpu.utilization", Shape.GAUGE, "1", "Share of time in which the GPU ran a kernel.", *_GPU, "hw.gpu.task")
_define("hw.gpu.memory.usage", Shape.GAUGE, "By", "GPU memory in use.", *_GPU)
_define("hw.gpu.memory.limit", Shape.GAUGE, "By", "GPU memory there is.", *_GPU)
_define("hw.gpu.memory.utilization", Shape.GAUGE, "1", "Share of the GPU's memory in use.", *_GPU)
_define("hw.power", Shape.GAUGE, "W", "Power the GPU draws.", *_GPU)
_define("hw.energy", Shape.COUNTER, "J", "Energy the GPU used since its driver was loaded.", *_GPU)
_define("hw.temperature", Shape.GAUGE, "Cel", "The GPU's temperature.", *_GPU)
_define(
    "hw.errors",
    Shape.COUNTER,
    "{error}",
    "The GPU's memory (ECC) errors since its driver was loaded.",
    *_GPU,
    "error.type",
)
_define("sidelight.gpu.sm.clock", Shape.GAUGE, "Hz", "The clock of the streaming multiprocessors.", *_GPU)
_define(
    "sidelight.gpu.throttle",
    Shape.GAUGE,
    "1",
    "1 while the GPU's clocks are held down for this reason.",
    *_GPU,
    "sidelight.gpu.throttle.reason",
)
_define(
    "sidelight.gpu.process.memory.usage",
    Shape.GAUGE,
    "By",
    "GPU memory by process; the pid is the host's.",
    *_GPU,
    "process.pid",
)
FEATURE_QUANTILE = _define(
    "sidelight.feature.quantile",
    Shape.GAUGE,
    "{value}",
    "Quantiles of the newest window, from a KLL sketch (rank error 1.3 %).",
    "sidelight.feature.name",
    "sidelight.feature.source",
    "sidelight.quantile",
)
FEATURE_DISTINCT = _define(
    "sidelight.feature.distinct",
    Shape.GAUGE,
    "{text}",
    "Different texts in the newest window, from a HyperLogLog sketch (standard error 1.3 %; nearly exact up to 500).",
    "sidelight.feature.name",
    "sidelight.feature.source",
)
# The agent itself.
MESSAGES_REFUSED = _define(
    "sidelight.message.refused",
    Shape.COUNTER,
    "{message}",
    "Messages refused whole, before any model could be charged.",
    "sidelight.reason",
)
REFUSALS = _define(
    "sidelight.refusals",
    Shape.COUNTER,
    "{refusal}",
    "Records, labels and events of one model that were refused, by reason.",
    "sidelight.reason",
)
JOURNAL_LIMIT = _define(
    "sidelight.journal.limit", Shape.GAUGE, "By", "The journal's size at which records are taken without it."
)
JOURNAL_FAILURES = _define(
    "sidelight.journal.failures", Shape.COUNTER, "{frame}", "Frames that could not be written to the journal."
)
QUEUE_LIMIT = _define("sidelight.queue.limit", Shape.GAUGE, "By", "The queue's size at which senders are turned away.")
QUEUE_LAG = _define(
    "sidelight.queue.lag", Shape.GAUGE, "s", "How long the oldest of the records that wait to be counted has waited."
)
CHECKPOINT_DURATION = _define(
    "sidelight.checkpoint.duration", Shape.GAUGE, "s", "How long the newest checkpoint took, until it was stored."
)
FRAMES_FAILED = _define(
    "sidelight.frame.failed", Shape.COUNTER, "{frame}", "Journalled messages that could not be counted."
)
STATE_CORRUPT = _define(
    "sidelight.state.corrupt", Shape.COUNTER, "{file}", "Stored state that was broken and set aside at the start."
)
FOLLOWER_FAILURES = _define(
    "sidelight.follower.failures",
    Shape.GAUGE,
    "{failure}",
    "How often a part that follows a model's predictions and labels failed since the agent's start, by part; no point "
    "where none did.",
    "sidelight.follower",
)
STATION_TIME = _define(
    "sidelight.station.time",
    Shape.COUNTER,
    "s",
    "Time each station was at work: door (decode to answer), count, join (labels and predictions), judge, export "
    "(points and their encoding), and checkpoint, which waits for the disk.",
    "sidelight.station",
)
JOURNAL_SIZE = _define("sidelight.journal.size", Shape.GAUGE, "By", "The journal's size on disk.")
QUEUE_SIZE = _define("sidelight.queue.size", Shape.GAUGE, "By", "Accepted records waiting to be counted.")
CHECKPOINT_AGE = _define("sidelight.checkpoint.age", Shape.GAUGE, "s", "Time since the newest checkpoint.")

# What leaves.
EXPORT_PRODUCED = _define(
    "sidelight.export.produced",
    Shape.COUNTER,
    "{item}",
    "Points, spans, log records and alerts that were to leave: as many as settled and wait.",
    "sidelight.signal",
)
EXPORT_ITEMS = _define(
    "sidelight.export.items",
    Shape.COUNTER,
    "{item}",
    "Points, spans, log records and alerts, by what became of them: delivered, rejected by the backend, dropped.",
    "sidelight.signal",
    "sidelight.outcome",
    "sidelight.reason",
)
EXPORT_WITHHELD = _define(
    "sidelight.export.withheld",
    Shape.COUNTER,
    "{item}",
    "Items that were kept back on purpose, and count neither as produced nor as lost: retraining that was asked for "
    "within the cool-down.",
    "sidelight.signal",
    "sidelight.reason",
)
SPOOL_ITEMS = _define(
    "sidelight.spool.items",
    Shape.GAUGE,
    "{item}",
    "Items that wait for the backend.",
    "sidelight.signal",
)
SPOOL_SIZE = _define(
    "sidelight.spool.size",
    Shape.GAUGE,
    "By",
    "Compressed size of what waits for the backend.",
    "sidelight.signal",
)
SERIES_OVERFLOW = _define(
    "sidelight.export.series.overflow",
    Shape.GAUGE,
    "{series}",
    "Series beyond SIDELIGHT_SERIES_MAX: added up in one with otel.metric.overflow=true, or, of a gauge, left out.",
    "sidelight.metric.name",
)
SPOOL_AGE = _define(
    "sidelight.spool.age", Shape.GAUGE, "s", "How long the oldest of what waits for the backend has waited.",
    "sidelight.signal",
)  # fmt: skip
SPOOL_LIMIT = _define("sidelight.spool.limit", Shape.GAUGE, "By", "The spool's size at which telemetry is let go.")
NOT_DURABLE = _define(
    "sidelight.record.not_durable", Shape.COUNTER, "{record}", "Records kept while the journal could not be written."
)
SPANS_DROPPED = _define(
    "sidelight.span.dropped",
    Shape.COUNTER,
    "{prediction}",
    "Predictions that were to become spans: over a limit per minute, by why they were chosen, or over the outbox.",
    "sidelight.sampled.reason",
)
EVENTS_DROPPED = _define(
    "sidelight.window.event.dropped",
    Shape.COUNTER,
    "{event}",
    "Closed windows that no event told of: too many closed before a checkpoint.",
)
SEGMENTS_REFUSED = _define(
    "sidelight.segment.record.refused",
    Shape.COUNTER,
    "{record}",
    "Records whose segment value was not counted apart, for want of room; they are in the whole.",
)

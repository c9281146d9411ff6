"""Which predictions become spans, and why: asked for by the caller or a ratio; and always, bounded a minute, what went
wrong, what was slow, and what an alert points at.

Everything is decided by what the journal's frames say, their time included: a replay decides the same again.
"""

from __future__ import annotations

import contextlib
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from agent.config import Otel, Settings
from agent.counting import durations
from agent.errors import ConfigurationError, SidelightError
from agent.export.traces import span_id
from agent.records import PRESENT, Batch, Bools, ModelKey, Texts
from agent.reference import locate
from agent.reference.file import SUFFIX
from agent.telemetry import Exemplar
from agent.traces.traced import Trace, Traces, Value

MINUTE_NS = 60 * 10**9
ERROR, SLOW, EXAMPLE = ALWAYS = ("error", "slow", "example")
OUTBOX = "outbox"  # not a reason to be chosen, but one to be dropped: a store that cannot be written
REASONS = {"always_on": "always", "always_off": "never", "traceidratio": "ratio"}  # parentbased_*: "parent"


class Sampler:
    """OTEL_TRACES_SAMPLER over arrays. What parentbased_* would do with a root never happens: every prediction has its
    caller's span as remote parent.

    By ratio: the low 64 bits of the trace id lie below ratio x 2^64, as the SDK's TraceIdRatioBased has it.
    """

    def __init__(self, name: str, ratio: float) -> None:
        self.reason = REASONS.get(name, "parent")
        self._bound = round(ratio * 2.0**64)

    def keeps(self, traces: Traces) -> Bools:
        """bool (n,)."""
        if self.reason == "parent":
            return np.asarray(traces.flags & 1 == 1)
        if self.reason == "ratio":
            low = np.ascontiguousarray(traces.ids[:, 8:]).view(">u8")[:, 0]
            return np.asarray(low < np.uint64(self._bound)) if self._bound < 1 << 64 else np.ones(len(traces), bool)
        return np.full(len(traces), self.reason == "always")


@dataclass(slots=True)
class Allowance:
    """How many spans of each kind this minute (of arrival time) has had. Stored, so that a replay allows the same."""

    minute: int = 0
    used: Counter[str] = field(default_factory=Counter)

    def take(self, kind: str, now_ns: int, wanted: int, limit: int) -> int:
        """How many of those wanted the limit still lets through."""
        if now_ns // MINUTE_NS != self.minute:
            self.minute = now_ns // MINUTE_NS
            self.used.clear()
        allowed = max(0, min(wanted, limit - self.used[kind]))
        self.used[kind] += allowed
        return allowed

    def to_json(self) -> dict[str, int]:
        return {"minute": self.minute, **self.used}

    @classmethod
    def of(cls, stored: Mapping[str, int]) -> Allowance:
        return cls(stored.get("minute", 0), Counter({kind: n for kind, n in stored.items() if kind != "minute"}))


@dataclass(frozen=True, slots=True)
class Chosen:
    """What of one batch becomes spans, in the order of its rows. batch: with these marked; dropped: counters."""

    batch: Batch
    traces: tuple[Trace, ...] = ()
    dropped: Mapping[str, int] = field(default_factory=dict)


class Tracing:
    """Decides for every batch. One owner, the pipeline."""

    def __init__(self, settings: Settings, otel: Otel) -> None:
        self._settings = settings
        self._sampler = Sampler(otel.traces_sampler, otel.traces_sampler_arg)
        self._limits = dict.fromkeys(ALWAYS, settings.trace_always_per_minute)
        self._exemplary = otel.metrics_exemplar_filter != "always_off"
        self._exemplars: defaultdict[ModelKey, dict[int, Exemplar]] = defaultdict(dict)
        self.allowance = Allowance()

    def choose(self, batch: Batch, slow_seconds: float, protected: Sequence[str] = ()) -> Chosen:
        """slow_seconds: a longer latency is slow; infinity: none is. protected: features whose values never leave."""
        traces = batch.traces
        valid = np.ascontiguousarray(traces.parents).view("<u8")[:, 0] != 0
        wanted = {self._sampler.reason: valid & self._sampler.keeps(traces)}
        if batch.errors is not None:
            wanted[ERROR] = valid & batch.errors[traces.rows]
        if batch.latency is not None and slow_seconds < np.inf:
            wanted[SLOW] = valid & (batch.latency[traces.rows] > slow_seconds)
        taken, why, dropped = np.zeros(len(traces), bool), dict[int, str](), Counter[str]()
        for reason, asked in wanted.items():
            places = np.flatnonzero(asked & ~taken)
            limit = self._limits.get(reason, self._settings.trace_limit_per_minute)
            allowed = self.allowance.take(reason, batch.arrived_ns, len(places), limit) if len(places) else 0
            taken[places[:allowed]] = True
            why.update(dict.fromkeys(places[:allowed].tolist(), reason))
            dropped[f"spans_dropped:{reason}"] += len(places) - allowed
        if not (why or self._settings.trace_features or self._settings.segments):
            return Chosen(batch, (), +dropped)
        told = replace(traces, exported=taken, numbers=np.arange(len(traces)), make=self._made(batch, protected))
        spans = tuple(replace(told.whole(place), reason=why[place]) for place in sorted(why))
        return Chosen(replace(batch, traces=told), spans, +dropped)

    def allow_examples(self, now_ns: int, wanted: int) -> int:
        """How many examples may still become spans in this minute."""
        return self.allowance.take(EXAMPLE, now_ns, wanted, self._limits[EXAMPLE])

    def exported(self, model: ModelKey, traces: Sequence[Trace]) -> None:
        """These are on their way to the backend."""
        for trace in traces:
            if self._exemplary and 0 <= trace.latency < durations.MAX_SECONDS:
                bucket = int(durations.bucket(np.array([trace.latency]))[0])
                its = Exemplar(trace.trace_id, span_id(trace, model, 0), trace.latency, trace.start_ns)
                self._exemplars[model][bucket] = its

    def exemplars(self, model: ModelKey) -> dict[int, Exemplar]:
        """By latency bucket (agent/counting/durations.py) the newest exported span; since the agent's start. None
        where OTEL_METRICS_EXEMPLAR_FILTER wants none."""
        return dict(self._exemplars.get(model, {}))

    def reasons(self) -> tuple[str, ...]:
        """Why predictions may be dropped that were to become spans."""
        return self._sampler.reason, ERROR, SLOW, OUTBOX

    def forget(self, model: ModelKey) -> None:
        self._exemplars.pop(model, None)

    def _made(self, batch: Batch, protected: Sequence[str]) -> Callable[[int], Trace]:
        """One of the batch's traces by its place, with what the options let it carry."""
        traces, names, keys = batch.traces, self._settings.trace_features, self._settings.segments

        def make(place: int) -> Trace:
            trace, row = traces.whole(place), int(traces.rows[place])
            if names:
                trace = replace(trace, values=tuple(values(batch, row, names, protected)))
            if keys:
                trace = replace(trace, segments=tuple(segments(batch, row, keys)))
            return trace

        return make


def refuse_protected(settings: Settings) -> None:
    """Raises ConfigurationError where SIDELIGHT_TRACE_FEATURES names what a given reference protects. One that comes
    later, or protection that comes with the records, leaves the value out instead."""
    location = settings.reference
    if not settings.trace_features or not location:
        return
    folder = Path(location)
    places = sorted(folder.rglob(f"*{SUFFIX}")) if folder.is_dir() else [location]
    for place in places:
        protected: set[str] = set()
        with contextlib.suppress(SidelightError, OSError):  # what cannot be read is told of where it is needed
            protected.update(locate.read(place).protected)
        for name in settings.trace_features:
            if name in protected:
                named = ",".join(settings.trace_features)
                expected = f"features that are not protected; the reference protects {name}"
                raise ConfigurationError("SIDELIGHT_TRACE_FEATURES", named, expected)


def values(batch: Batch, row: int, names: Sequence[str], protected: Sequence[str]) -> list[tuple[str, Value]]:
    """One row's values of these features, where it has one; of protected attributes none, whoever names them."""
    found: list[tuple[str, Value]] = []
    for name in names:
        if name in protected or name in batch.protected:
            continue
        numbers, texts, flags = (kind.get(name) for kind in _kinds(batch))
        if numbers is not None and _there(numbers, row):
            found.append((name, float(numbers.values[row])))
        elif texts is not None and _there(texts, row) and texts.dictionary:
            found.append((name, texts.dictionary[texts.codes[row]]))
        elif flags is not None and _there(flags, row):
            found.append((name, bool(flags.values[row])))
    return found


def segments(batch: Batch, row: int, keys: Sequence[str]) -> list[str]:
    """One row's values of these segment keys: "key=value"."""
    there = ((key, batch.segments.get(key)) for key in keys)
    return [f"{key}={of.dictionary[of.codes[row]]}" for key, of in there if of is not None and _there(of, row)]


def _kinds(batch: Batch) -> tuple[Mapping[str, Any], ...]:
    return batch.features.numbers, batch.features.texts, batch.features.flags


def _there(column: Any, row: int) -> bool:
    filled = not isinstance(column, Texts) or bool(column.dictionary)
    return filled and (column.state is None or column.state[row] == PRESENT)

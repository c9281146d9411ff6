"""What leaves: alerts' steps, windows' events, spans. It waits here for the checkpoint that contains its cause, and
goes into the spool in the same transaction: emitted once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Protocol

from agent.alerting.book import AlertBook, Change, WindowContext
from agent.alerting.machine import advance, supersede
from agent.alerting.window_events import window_closed
from agent.alerting.wording import FIRING, UPDATED
from agent.checkpoint.meta import series_id
from agent.counting.windows import Series
from agent.export.spool import SpoolRow
from agent.ingest.queue import Accepted
from agent.records import Batch, Closed, Event, Finding, ModelKey
from agent.traces.linking import Linking, linked_event
from agent.traces.traced import NO_TRACES, Trace
from agent.traces.tracing import EXAMPLE, OUTBOX, Tracing
from agent.watching import Watch, Watching

EVENTS_KEPT = 200  # newest events shown in the status
ROWS_MAX = 1_000  # that wait for a checkpoint; spans beyond are dropped, alerts beyond twice as many


class Outlet(Protocol):
    """What turns events and spans into rows for the spool, and is told when they are stored."""

    def rows_for_events(self, events: Sequence[Event]) -> Sequence[SpoolRow]: ...

    def rows_for_traces(self, batch: Sequence[Trace], model: ModelKey, key: str) -> Sequence[SpoolRow]: ...

    def wake(self) -> None: ...


class Outbox:
    """rows: for the spool; alerts: as they stand; events: the newest, for the status; changed: since the checkpoint.

    tracing: without it no prediction becomes a span.
    """

    def __init__(self, outlet: Outlet, watches: Watching, tracing: Tracing | None = None) -> None:
        self._outlet, self._watches, self.tracing = outlet, watches, tracing
        self.rows: list[SpoolRow] = []
        self.alerts = AlertBook()
        self.events: deque[dict[str, Any]] = deque(maxlen=EVENTS_KEPT)
        self.changed = False

    @property
    def fills(self) -> bool:
        """A checkpoint should not be waited for much longer."""
        return len(self.rows) >= ROWS_MAX // 2

    def stored(self, rows: int) -> None:
        """The oldest of them are in the spool."""
        del self.rows[:rows]
        if rows:
            self._outlet.wake()

    # ── alerts ──

    def advance(
        self, watch: Watch, findings: Sequence[Finding], index: int, rows: int, item: Accepted,
        linking: Linking | None = None,
    ) -> bool:  # fmt: skip
        """Alerts take one step; True if they have something to say."""
        before = self.alerts
        self.alerts, changes = advance(before, findings, self._context(watch.series, index, rows, item))
        self.changed |= bool(changes) or self.alerts != before
        if linking is not None and self.tracing is not None:
            changes = [self._with_examples(change, linking, item, self.tracing) for change in changes]
        self._say(changes, watch.series, f"{item.offset}/{series_id(watch.series.key)}/{index}")
        return bool(changes)

    def end_alerts(self, watch: Watch, index: int, reason: str, item: Accepted) -> bool:
        """All of a version that is no longer watched; True if there were any."""
        self.alerts, changes = supersede(self.alerts, watch.key, self._context(watch.series, index, 0, item), reason)
        self.changed |= bool(changes)
        self._say(changes, watch.series, f"{item.offset}/{series_id(watch.key)}/{index}/ended")
        return bool(changes)

    def _with_examples(self, change: Change, linking: Linking, item: Accepted, tracing: Tracing) -> Change:
        """What an alert says, with predictions that show it; those that are no spans yet become such now."""
        alert = self.alerts.of(change.model).get(change.alert)
        if change.event is None or change.event.name not in (FIRING, UPDATED) or alert is None:
            return change
        found = linking.find(alert.subjects)
        new = [(its, replace(trace, reason=EXAMPLE)) for its, trace, exported in found if not exported]
        new = new[: tracing.allow_examples(item.arrived_ns, min(len(new), self._room))]
        if new:
            spans = [trace for _, trace in new]
            self.rows.extend(self._outlet.rows_for_traces(spans, change.model, f"{item.offset}/{change.event.key}"))
            tracing.exported(change.model, spans)
            linking.spans.update(its for its, _ in new)
        known = {its for its, _ in new}
        linked = [trace for its, trace, exported in found if exported or its in known]
        return replace(change, event=linked_event(change.event, linked, change.model)) if linked else change

    def _say(self, changes: Sequence[Change], series: Series, prefix: str) -> None:
        events = []
        for change in changes:
            for source, subject in change.forget:
                series.forget(source, subject)
            for segment, source, subject in change.forget_in:
                series.forget(source, subject, segment)
            if change.event is not None:
                events.append(change.event)
        self._add(events, prefix)

    # ── events and spans ──

    def closed(self, watch: Watch, closed: Closed, item: Accepted) -> None:
        """One event a window; beside those alerts have room for theirs."""
        if len(self.rows) >= ROWS_MAX:
            watch.series.counters["events_dropped"] += 1
            return
        key = f"{item.offset}/{series_id(watch.key)}/{closed.index}/closed"
        context = self._context(watch.series, closed.index, closed.rows, item)
        self.rows.extend(self._outlet.rows_for_events([window_closed(context, closed, watch.findings, key)]))

    def followed(self, watch: Watch, index: int) -> None:
        """What happened to the followers once: a decision, say. Keys are made of the window, so that a replay says it
        again."""
        events = (*watch.followers.events(), *watch.shared.events())
        self._add(events, f"{series_id(watch.key)}/{index}/followed")
        self.changed |= bool(events)

    def trace(self, watch: Watch, batch: Batch, slow_seconds: float, offset: int) -> Batch:
        """Spans of those that are asked for and of those that always become one; the batch with these marked."""
        series = watch.series
        if self.tracing is None:
            return replace(batch, traces=NO_TRACES)
        if len(self.rows) >= ROWS_MAX:
            series.counters[f"spans_dropped:{OUTBOX}"] += len(batch.traces)
            return replace(batch, traces=NO_TRACES)
        protected = series.reference.protected if series.reference else ()
        chosen = self.tracing.choose(batch, slow_seconds, protected)
        if chosen.traces:
            self.rows.extend(self._outlet.rows_for_traces(chosen.traces, series.key, f"{offset}"))
            self.tracing.exported(series.key, chosen.traces)
        series.counters.update(chosen.dropped)
        return chosen.batch

    def _add(self, events: Sequence[Event], prefix: str) -> None:
        keyed = [_keyed(event, f"{prefix}/{event.key}") for event in events]
        self.events.extend(_shown(event) for event in keyed)
        self.rows.extend(self._outlet.rows_for_events(keyed)[: self._room])

    @property
    def _room(self) -> int:
        """Rows that still fit; only a disk that stays full fills it."""
        return max(0, ROWS_MAX * 2 - len(self.rows))

    def _context(self, series: Series, index: int, rows: int, item: Accepted) -> WindowContext:
        key, reference = series.key, series.reference
        features = reference.layout.features if reference else ()
        return WindowContext(
            model=key,
            window=index,
            start_ns=index * series.window_ns,
            end_ns=(index + 1) * series.window_ns,
            rows=rows,
            share=self._share(series, rows),
            versions=tuple(sorted(w.key.version for w in self._watches if w.key.name == key.name)),
            reference_hash=reference.hash_text if reference else "",
            offset=item.offset,
            public=frozenset((feature.source, feature.name) for feature in features if feature.public),
        )

    def _share(self, series: Series, rows: int) -> float:
        """This version's share of the model's traffic in its newest window."""
        same = (w.series for w in self._watches if w.key.name == series.key.name)
        others = sum(other.last_rows for other in same if other is not series)
        return rows / (rows + others) if rows + others else 0.0


def _keyed(event: Event, key: str) -> Event:
    return replace(event, key=key, attributes={**event.attributes, "sidelight.event.key": key})


def _shown(event: Event) -> dict[str, Any]:
    """As the status shows it."""
    return {
        "name": event.name,
        "key": event.key,
        "time": datetime.fromtimestamp(event.time_ns / 1e9, UTC).isoformat(),
        "severity": event.severity,
        "body": event.body,
        "attributes": dict(event.attributes),
    }

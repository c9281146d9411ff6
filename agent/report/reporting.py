"""What the agent shows of its state: metric points for export, and the status people read. Reads, never writes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from agent import telemetry
from agent.alerting.rules import SEGMENT_STATE
from agent.bins import OTHER_SEEN_MAX, Layout
from agent.clock import Clock
from agent.config import Settings
from agent.counting import durations
from agent.counting.windows import Series
from agent.ingest.admission import Admission
from agent.ingest.clients import Clients
from agent.ingest.journal import Journal
from agent.ingest.limits import reason_name
from agent.ingest.queue import Queue
from agent.pipeline.pipeline import Pipeline
from agent.records import Finding, Source, TextsSeen, Verdict
from agent.report.findings import SHARE_CHECKS, Showing
from agent.report.outlooks import Outlooks
from agent.report.states import STATES, state_of
from agent.telemetry import Exponential, Point, Shape
from agent.watching import Watch
from agent.wire import recorder_pb2 as wire

OUTCOMES = ("kept", "refused", "late")
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
INPUTS = frozenset({Source.FEATURE, Source.ROW})  # counted per bin after the outputs, in their own order


class Reporting:
    """Reads the stations for export and for people."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        pipeline: Pipeline,
        admission: Admission,
        queue: Queue,
        journal: Journal,
        clients: Clients,
    ) -> None:
        self._settings, self._clock, self._pipeline, self._admission = settings, clock, pipeline, admission
        self._queue, self._journal, self._clients = queue, journal, clients
        self._rates: dict[str, tuple[float, int, float]] = {}
        self._outlooks = Outlooks()

    @property
    def durable(self) -> bool:
        """Whether both the journal and the checkpoint reach the disk."""
        return self._pipeline.saving.durable and self._admission.durable

    # ── metrics ──

    def points(self) -> Iterator[Point]:
        """Every metric of every series. Cumulative values restart only where they are not derived from the journal."""
        for watch in list(self._pipeline.watches):  # copied, here and below: who asks may pause between two points
            yield from self._series_points(watch)
        for shared in list(self._pipeline.watches.shared.values()):
            yield from shared.points()
        yield from self._health_points()
        for reason, count in list(self._admission.refused_messages.items()):
            yield Point(telemetry.MESSAGES_REFUSED, count, {"sidelight.reason": reason_name(reason)})

    def _health_points(self) -> Iterator[Point]:
        """The agent's own: what waits and for how long, what failed, where its time goes."""
        journal, pipeline = self._journal.statistics(), self._pipeline
        yield Point(telemetry.JOURNAL_SIZE, journal.bytes, {})
        yield Point(telemetry.JOURNAL_LIMIT, self._settings.journal_bytes_max, {})
        yield Point(telemetry.JOURNAL_FAILURES, journal.failures, {})
        yield Point(telemetry.QUEUE_SIZE, self._queue.bytes, {})
        yield Point(telemetry.QUEUE_LIMIT, self._queue.bytes_max, {})
        oldest = self._queue.items[0].arrived_ns if self._queue.items else self._clock.now_ns()
        yield Point(telemetry.QUEUE_LAG, max(0.0, (self._clock.now_ns() - oldest) / 1e9), {})
        yield Point(telemetry.CHECKPOINT_AGE, max(0.0, self._clock.monotonic() - pipeline.saving.at), {})
        yield Point(telemetry.CHECKPOINT_DURATION, pipeline.saving.seconds, {})
        yield Point(telemetry.FRAMES_FAILED, pipeline.poisoned, {})
        yield Point(telemetry.STATE_CORRUPT, pipeline.saving.corrupt + journal.corrupt_segments, {})
        for station, seconds in {"door": self._admission.busy_seconds, **pipeline.busy_seconds}.items():
            yield Point(telemetry.STATION_TIME, seconds, {"sidelight.station": station})

    def _series_points(self, watch: Watch) -> Iterator[Point]:
        series = watch.series
        own = series.key.attributes()
        count, since = series.counters.copy(), series.started_ns
        for outcome in OUTCOMES:
            yield Point(telemetry.RECORDS, count[outcome], own | {"sidelight.outcome": outcome}, since)
        yield Point(telemetry.RECORDS, self._admission.duplicates[series.key], own | {"sidelight.outcome": "duplicate"})
        dropped = own | {"sidelight.outcome": "dropped"}
        turned_away = self._admission.dropped[series.key]
        yield Point(telemetry.RECORDS, turned_away, dropped | {"sidelight.reason": "queue_full"})
        yield Point(telemetry.RECORDS, count["dropped"], dropped | {"sidelight.reason": "failed"}, since)
        yield Point(telemetry.NOT_DURABLE, count["not_durable"], own, since)
        for reason in self._pipeline.outbox.tracing.reasons() if self._pipeline.outbox.tracing else ():
            left = count[f"spans_dropped:{reason}"]
            yield Point(telemetry.SPANS_DROPPED, left, own | {"sidelight.sampled.reason": reason}, since)
        yield Point(telemetry.EVENTS_DROPPED, count["events_dropped"], own, since)
        yield Point(telemetry.SEGMENTS_REFUSED, count["segments_refused"], own, since)
        yield Point(telemetry.PREDICTIONS, count["kept"], own, since)
        yield Point(telemetry.PREDICTION_ERRORS, count["errors"], own, since)
        yield Point(telemetry.LABELS, count["labels"], own | {"sidelight.outcome": "kept"}, since)
        yield Point(telemetry.LABELS, count["labels_refused"], own | {"sidelight.outcome": "refused"}, since)
        yield Point(telemetry.WINDOWS, count["windows"], own, since)
        for name, value in count.items():
            kind, _, detail = name.partition(":")
            if kind == "client":
                yield Point(telemetry.CLIENT_DROPPED, value, own | {"sidelight.reason": detail}, since)
            elif kind == "refused" and detail:
                yield Point(telemetry.REFUSALS, value, own | {"sidelight.reason": detail}, since)
            elif kind == "lifecycle":
                yield Point(telemetry.LIFECYCLE, value, own | {"sidelight.lifecycle.event": detail}, since)
        if series.latency.any():
            shown = self._pipeline.outbox.tracing.exemplars(series.key) if self._pipeline.outbox.tracing else {}
            yield Point(telemetry.LATENCY, exponential(series), own, since, exemplars=tuple(shown.values()))
        state, _ = self._state(watch)
        for name in STATES:
            yield Point(telemetry.STATE, int(name == state), own | {"sidelight.state": name})
        if series.reference is not None:
            reference = {"sidelight.reference.hash": series.reference.hash_text}
            yield Point(telemetry.REFERENCE_ROWS, int(series.reference.rows.sum()), own | reference)
            yield from self._bin_points(series, own | reference)
        for finding in watch.findings:
            yield from _finding_points(finding, own)
        yield from self._outlook_points(watch, own)
        for point in watch.followers.points():
            # What a follower counts is stored with the series, and began with it.
            resumes = point.metric.shape is not Shape.GAUGE and not point.start_ns
            yield replace(point, start_ns=since) if resumes else point
        for (source, name), values in list(series.numbers.quantiles.items()):
            for share, quantile in zip(("0.05", "0.5", "0.95"), values, strict=True):
                yield Point(
                    telemetry.FEATURE_QUANTILE, quantile, own | _of(source, name) | {"sidelight.quantile": share}
                )

        for (source, name), seen in list(_newest_texts(series).items()):
            yield Point(telemetry.FEATURE_DISTINCT, seen.distinct, own | _of(source, name))

    def _outlook_points(self, watch: Watch, own: Mapping[str, Any]) -> Iterator[Point]:
        """What would be seen, and what a fixed rule costs."""
        told = self._outlooks.short(watch) or {}
        if told.get("smallest_shift") is not None:
            yield Point(telemetry.SMALLEST_SHIFT, told["smallest_shift"], own)
        if told.get("fixed_rule"):
            yield Point(telemetry.FIXED_RULE_COST, told["fixed_rule"]["false_alarms_per_day"], own)

    def _bin_points(self, series: Series, own: Mapping[str, Any]) -> Iterator[Point]:
        """Counters per bin, empty bins as zeros: a counter's first point has no predecessor. A bin of values is called
        by its number; null, absent and the like by their names, so that a sum over values can leave them out."""
        assert series.reference is not None  # noqa: S101 - the caller has looked
        layout, total, since = series.reference.layout, series.total, series.bins_since_ns
        share = series.reference.share
        order = sorted(range(len(layout.features)), key=lambda i: (layout.features[i].source in INPUTS, i))
        for i in order[: self._settings.bin_features]:
            feature, start = layout.features[i], int(layout.starts[i])
            if feature.ignored:
                continue
            attributes = {**own, **_of(feature.source, feature.name)}
            bins, specials = layout.slice(i), slice(start + feature.bins, start + feature.cells - 1)
            names = [*map(str, range(len(feature.whole))), *map(feature.label, range(feature.bins, feature.cells - 1))]
            counts = [*feature.wholes(total[bins]).tolist(), *total[specials].tolist()]
            shares = [*feature.wholes(share[bins]).tolist(), *share[specials].tolist()]
            for name, count, then in zip(names, counts, shares, strict=True):
                labelled = attributes | {"sidelight.bin": name}
                yield Point(telemetry.BIN_COUNT, count, labelled, since)
                yield Point(telemetry.BIN_REFERENCE, then, labelled)

    # ── status ──

    def models(self) -> list[dict[str, Any]]:
        """One entry a series, as `sidelight status` and the page show it."""
        return [self._model(watch) for watch in self._pipeline.watches]

    def _model(self, watch: Watch) -> dict[str, Any]:
        series = watch.series
        state, reason = self._state(watch)
        quantiles = durations.quantiles(series.recent[-1].latency) if series.recent else ()
        quantiles = quantiles or durations.quantiles(series.latency)
        newest = series.recent[-1] if series.recent else None
        count = series.counters
        duplicate, turned_away = self._admission.duplicates[series.key], self._admission.dropped[series.key]
        reference = series.reference
        return {
            "name": series.key.name,
            "version": series.key.version,
            "role": series.key.role.name.lower(),
            "state": state,
            "state_reason": reason,
            "reference": None
            if reference is None
            else {
                "hash": reference.hash_text,
                "rows": int(reference.rows.sum()),
                "blocks": len(reference.blocks),
                "origin": reference.origin,
                "note": series.reference_note,
            },
            "records": {
                "received": count["received"] + duplicate + turned_away,
                "kept": count["kept"],
                "refused": count["refused"],
                "duplicate": duplicate,
                "late": count["late"],
                "dropped": turned_away + count["dropped"],
            },
            "refusals": [
                {
                    "reason": reason_text,
                    "field": field,
                    "count": note.count,
                    "detail": note.detail,
                    "last_at": _iso(note.last_ns),
                }
                for (reason_text, field), note in series.refusals.items()
            ],
            "window": None
            if newest is None
            else {
                "index": newest.index,
                "start": _iso(newest.index * series.window_ns),
                "end": _iso((newest.index + 1) * series.window_ns),
                "rows": newest.rows,
            },
            "open_rows": sum(w.rows for w in series.open.values()),
            "windows_closed": count["windows"],
            "window_seconds": series.window_ns / 1e9,
            "rate_per_second": self._rate(series),
            "last_seen": _iso(series.last_seen_ns),
            "latency": None if not quantiles else dict(zip(("p50", "p95", "p99"), quantiles, strict=True)),
            **self._showing(series).groups([*watch.findings, *self._keys_without_records(watch)]),
            "texts": _texts(series),
            "texts_not_sketched": count["texts_not_sketched"],  # rows of windows begun while too many were open
            "ledger": self._outlooks.short(watch),  # `/ledger` has the whole
            "labels": count["labels"],
            "followed": self._showing(series).followed(watch.followers.show() | watch.shared.show()),
            "label_join": self._pipeline.desks.show(watch.key) or _unjoined(count["labels"]),  # of all versions
            "clients": sum(c.model == series.key.name for c in self._clients),
            "client_dropped": sum(v for k, v in count.items() if k.startswith("client:dropped")),
            "trained_at": _iso(series.trained_at_ns),
        }

    def _keys_without_records(self, watch: Watch) -> list[Finding]:
        """Segment keys of the settings that nothing recent was counted by: a misspelt one would be silent."""
        recent = watch.series.recent
        seen = {name.partition("=")[0] for closed in recent for name in closed.segments}
        why = "SIDELIGHT_SEGMENTS names it, and no record of the recent windows was counted by it"
        return [
            Finding(SEGMENT_STATE, "", Source.ROW, Verdict.NO_DATA, reason=why, segment=key)
            for key in self._settings.segments if recent and key not in seen
        ]  # fmt: skip

    def _state(self, watch: Watch) -> tuple[str, str]:
        now_ns = 0 if self._settings.time == "event" else self._clock.now_ns()
        return state_of(watch, self.durable, now_ns, self._settings.retire_seconds)

    def _showing(self, series: Series) -> Showing:
        host = self._settings.http.rpartition(":")[0].strip("[]")
        layout = series.reference.layout if series.reference else Layout(())
        return Showing(layout, series.window_ns, host in LOOPBACK)

    def ledgers(self) -> dict[str, Any]:
        """Every judged model's ledger, whole: what `sidelight ledger` prints."""
        found = (self._outlooks.of(watch) for watch in self._pipeline.watches)
        return {"ledgers": [told for told in found if told is not None]}

    async def reckon(self) -> None:
        """Keeps the ledgers up to date, beside the data's way."""
        await self._outlooks.run(self._pipeline.watches)

    def alerts(self) -> list[dict[str, Any]]:
        """Pending and firing alerts, and what was last said of each."""
        bodies = {
            (e["attributes"].get("sidelight.alert.name"), e["attributes"].get("sidelight.model.version")): e["body"]
            for e in self._pipeline.outbox.events
        }
        return [
            {
                "name": a.name,
                "model": a.model.name,
                "version": a.model.version,
                "severity": a.severity,
                "state": a.state.value,
                "since": _iso(a.since_ns),
                "subjects": [s.name for s in a.subjects],
                "summary": bodies.get((a.name, a.model.version), ""),
            }
            for a in self._pipeline.outbox.alerts.alerts
        ]

    def _rate(self, series: Series) -> float:
        """Predictions a second, over the time between two looks at least a second apart."""
        now, kept, name = self._clock.monotonic(), series.counters["kept"], str(series.key)
        then, before, rate = self._rates.get(name, (now, kept, 0.0))
        if name not in self._rates or now - then >= 1.0:
            rate = (kept - before) / (now - then) if now > then else rate
            self._rates[name] = (now, kept, rate)
        return rate

    def clients(self) -> list[dict[str, Any]]:
        """Senders that stamp their messages."""
        now, found = self._clock.now_ns(), []
        for client in self._clients:
            report = wire.ClientReport.FromString(client.report)
            found.append(
                {
                    "id": client.id,
                    "model": client.model,
                    "language": report.language,
                    "version": report.client_version,
                    "last_seen_seconds": max(0.0, (now - client.last_seen_ns) / 1e9),
                    "recorded": report.recorded,
                    "dropped": report.dropped_full + report.dropped_failed + report.dropped_invalid,
                }
            )
        return found[-100:]

    def hint(self) -> str:
        """Why nothing arrives, or what to look at."""
        if len(self._pipeline.watches):
            return ""
        refused = self._admission.refused_messages
        if refused:
            worst = refused.most_common(1)[0]
            return f"Messages arrive, but all are refused: {worst[1]} × {reason_name(worst[0])}."
        return (
            "Nothing has arrived yet. Senders find this socket by SIDELIGHT_ENDPOINT; it must be the same file "
            "in both containers, "
            "and the sender's user or group must be allowed to open it."
        )


def exponential(series: Series) -> Exponential:
    """The latency buckets as OTLP has them, empty ends cut off."""
    filled = series.latency.nonzero()[0]
    first, last = int(filled[0]), int(filled[-1])
    return Exponential(
        count=int(series.latency.sum()),
        sum=series.latency_sum,
        scale=durations.SCALE,
        zero_count=0,
        offset=durations.OFFSET + first,
        buckets=[int(v) for v in series.latency[first : last + 1]],
    )


def _finding_points(finding: Finding, own: Mapping[str, Any]) -> Iterator[Point]:
    about = {**own, **_of(finding.source, finding.subject)}
    if finding.segment:
        about["sidelight.segment"] = finding.segment
    if finding.check == "drift":
        yield Point(telemetry.DRIFT, finding.distances.get("newest_effect", finding.effect), about)
        if finding.p_value > 0 and finding.alpha > 0:
            yield Point(telemetry.DRIFT_SIGNIFICANCE, math.log10(finding.alpha / finding.p_value), about)
        yield Point(telemetry.DRIFT_PHI, finding.phi, about)
        for name, value in finding.distances.items():
            if not name.startswith("newest_"):
                yield Point(telemetry.DRIFT_DISTANCE, value, about | {"sidelight.distance": name})
    elif finding.check == "volume" and "ratio" in finding.distances:
        yield Point(telemetry.VOLUME, finding.distances["ratio"], own)
    elif finding.check in SHARE_CHECKS and not math.isnan(finding.current):
        share = finding.distances.get("newest_share", finding.current)
        yield Point(telemetry.QUALITY, share, about | {"sidelight.check": finding.check})


def _newest_texts(series: Series) -> Mapping[tuple[Source, str], TextsSeen]:
    return series.recent[-1].texts if series.recent else {}


def _texts(series: Series) -> list[dict[str, Any]]:
    """How many different texts the newest window had, beside the whole reference's, which had more time to see some."""
    if series.reference is None:
        return []
    layout = series.reference.layout
    found = []
    for (source, name), seen in _newest_texts(series).items():
        feature = layout.features[layout.index[source, name]]
        found.append(
            {
                "feature": name,
                "source": source.name.lower(),
                "distinct": seen.distinct,
                "reference": len(feature.categories) + len(feature.seen),
                "reference_complete": len(feature.seen) < OTHER_SEEN_MAX,
            }
        )
    return found


def _of(source: Source, name: str) -> dict[str, str]:
    return {"sidelight.feature.name": name, "sidelight.feature.source": source.name.lower()}


def _unjoined(labels: int) -> dict[str, Any]:
    """Where labels come and nothing joins them: figures by labels stand still then, and look as if they were of now."""
    if not labels:
        return {}
    return {"note": f"{labels} labels came and none is joined: SIDELIGHT_LABEL_SECONDS is 0, or the log says why"}


def _iso(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns / 1e9, UTC).isoformat() if time_ns > 0 else ""

"""What an alert says: attributes for machines, one sentence for whoever is on call at three in the morning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from agent.alerting.book import Alert, Subject, Watched, WindowContext
from agent.alerting.rules import BY_NAME, QUALITY_CHECKS, Rule
from agent.records import BinChange, Event, Finding, ModelKey

FEATURES_MAX = 10  # of an event's attributes
NAMED_MAX = 3  # in the sentence
MOVED_MAX = 4  # bins or categories told of one value

FIRING, UPDATED, RESOLVED = "sidelight.alert.firing", "sidelight.alert.updated", "sidelight.alert.resolved"


def subject_of(finding: Finding, context: WindowContext, beside: str = "") -> Subject:
    """A finding as an alert keeps it. beside: what else was found of the same value."""
    public = (finding.source, finding.subject) in context.public
    moved = tuple(
        (change.bin, change.label if public else "", change.reference, change.current)
        for change in finding.changes[:MOVED_MAX]
    )
    said = _drift(finding, public) if finding.check == "drift" else finding.reason
    return Subject(
        finding.check, finding.source, finding.subject, f"{said}; {beside}" if beside else said,
        effect=_known(finding.effect), p_value=_known(finding.p_value), phi=finding.phi, horizon=finding.horizon,
        n=finding.n, n_reference=finding.n_reference, moved=moved,
    )  # fmt: skip


def ranked(subjects: Sequence[Subject]) -> tuple[Subject, ...]:
    """Largest effect first."""
    return tuple(sorted(subjects, key=lambda s: (-(s.effect or 0.0), s.name, s.check, s.source)))


def event(name: str, alert: Alert, context: WindowContext, number: int, why: str = "") -> Event:
    """The log record of one change. number: running, within this close; why: how it ended, or what joined."""
    rule = BY_NAME[alert.name]
    severity = "INFO" if name == RESOLVED else alert.severity
    attributes: dict[str, Any] = {
        **alert.model.attributes(),
        "sidelight.alert.name": alert.name,
        "sidelight.alert.severity": severity,
        "sidelight.alert.start": moment(alert.since_ns),
        "sidelight.alert.start_unix_nano": alert.since_ns,
        "sidelight.alert.features": [_feature(subject) for subject in alert.subjects[:FEATURES_MAX]],
        "sidelight.alert.feature_count": len({subject.watched for subject in alert.subjects}),
        "sidelight.alert.next_step": rule.next_step,
        "sidelight.alert.runbook": rule.runbook,
        "sidelight.traffic.share": context.share,
        "sidelight.model.versions": list(context.versions),
        "sidelight.reference.hash": context.reference_hash,
        "sidelight.window.index": context.window,
    }
    if alert.consequences:
        moved = alert.consequences[:FEATURES_MAX]
        attributes["sidelight.alert.consequences"] = [_feature(subject) for subject in moved]
    if name == RESOLVED:
        attributes["sidelight.alert.reason"] = why
    key = f"{context.offset}-{context.event_number + number}"
    return Event(name, key, context.end_ns, severity, _body(name, rule, alert, why, context), attributes)


def moment(time_ns: int) -> str:
    """ISO 8601, UTC, whole seconds.

    >>> moment(1_700_000_000_000_000_000)
    '2023-11-14T22:13:20Z'
    """
    return datetime.fromtimestamp(time_ns // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _body(name: str, rule: Rule, alert: Alert, why: str, context: WindowContext) -> str:
    whose, since = _whose(alert.model), moment(alert.since_ns)
    if name == RESOLVED:
        return f"{whose}: {rule.title} is over ({why}); it lasted from {since} to {moment(context.end_ns)}."
    worst = alert.subjects[:NAMED_MAX]
    told = "; ".join(f"{s.name}: {s.said}" if s.name and s.name != rule.name else s.said for s in worst)
    more = len(alert.subjects) - len(worst)
    also = f"; and {more} more" if more else ""
    moved = "; predictions moved too" if alert.consequences else ""
    joined = f", now also {why}" if name == UPDATED else ""
    return f"{whose}: {rule.title} since {since}{joined}: {told}{also}{moved}. {rule.next_step}"


def _whose(model: ModelKey) -> str:
    version = f" version {model.version}" if model.version else ""
    return f"{model.name}{version}"


def _feature(subject: Subject) -> Mapping[str, Any]:
    found: dict[str, Any] = {
        "name": subject.name, "source": subject.source.name.lower(), "check": subject.check,
        "effect": subject.effect, "p_value": subject.p_value, "horizon": subject.horizon, "n": subject.n,
        "n_reference": subject.n_reference, "phi": subject.phi,
    }  # fmt: skip
    found = {name: value for name, value in found.items() if value is not None}
    if subject.moved:
        found["changes"] = [
            {"bin": cell, **({"label": label} if label else {}), "reference": then, "current": now}
            for cell, label, then, now in subject.moved
        ]
    return found


def _drift(finding: Finding, public: bool) -> str:
    """A drift's own sentence; its reason speaks of horizons."""
    windows = "1 window" if finding.horizon == 1 else f"{finding.horizon} windows"
    said = f"PSI {finding.effect:.2g} over {windows} of {finding.n} rows"
    names = [_change(change) for change in finding.changes[:MOVED_MAX]] if public else []
    return f"{said} ({', '.join(names)})" if names else said


def _change(change: BinChange) -> str:
    return f"{change.label} {change.reference * 100:.3g} % → {change.current * 100:.3g} %"


def beside(findings: Sequence[Finding]) -> Mapping[Watched, str]:
    """Faults that came together with a value's drift, to be told with it."""
    return {(f.source, f.subject): f.reason for f in findings if f.alarms and f.check in QUALITY_CHECKS}


def _known(value: float) -> float | None:
    return value if abs(value) < float("inf") else None

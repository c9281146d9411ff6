"""What an alert says: attributes for machines, one sentence for whoever is on call at three in the morning."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from agent.alerting.book import Alert, AlertBook, Subject, Watched, WindowContext
from agent.alerting.rules import BY_NAME, OUTPUTS, QUALITY_CHECKS, Rule
from agent.drift.effect import severity
from agent.records import AlertState, BinChange, Event, Finding, ModelKey, Role

FEATURES_MAX = 10  # of an event's attributes
NAMED_MAX = 3  # in the sentence
MOVED_MAX = 4  # bins or categories told of one value
RANK_MOVED = 0.03  # about a tenth of a standard deviation; less, and a number's shape changed, not its place

FIRING, UPDATED, RESOLVED = "sidelight.alert.firing", "sidelight.alert.updated", "sidelight.alert.resolved"
RETRAIN = "sidelight.alert.retrain"  # true on an alert that retraining may cure


def subject_of(finding: Finding, context: WindowContext, beside: str = "") -> Subject:
    """A finding as an alert keeps it. beside: what else was found of the same value."""
    public = (finding.source, finding.subject) in context.public
    moved = tuple(
        (change.bin, change.label if public or change.plain else "", change.reference, change.current)
        for change in finding.changes[:MOVED_MAX]
    )
    drift = finding.check == "drift"
    said = finding.reason
    if drift:
        said = drift_words(finding, lambda change: change.label if public or change.plain else "")
    said += newcomers_words(finding) if public else ""
    back = (context.window - first_of(finding, context.window)) * (context.end_ns - context.start_ns)
    return Subject(
        finding.check, finding.source, finding.subject, f"{said}; {beside}" if beside else said,
        effect=_known(finding.effect), p_value=_known(finding.p_value), phi=finding.phi, horizon=finding.horizon,
        n=finding.n, n_reference=finding.n_reference, moved=moved, significance=significance(finding),
        since_ns=context.start_ns - back, segment=finding.segment,
    )  # fmt: skip


def first_of(finding: Finding, window: int) -> int:
    """The first bad window of a finding told at `window`; where it says none (0), its horizon's first. It may be
    before the horizon, which is what a drift is surest over and not where it began."""
    return min(finding.first_window or max(window - finding.horizon + 1, 0), window)


def ranked(subjects: Sequence[Subject]) -> tuple[Subject, ...]:
    """Largest effect first."""
    return tuple(sorted(subjects, key=lambda s: (-(s.effect or 0.0), s.name, s.check, s.source)))


def event(name: str, alert: Alert, context: WindowContext, number: int, why: str = "") -> Event:
    """The log record of one change. number: running, within this close; why: how it ended, or what joined."""
    rule = BY_NAME[alert.name]
    severity = "INFO" if name == RESOLVED else alert.severity
    attributes = {
        **_attributes(alert, severity),
        "sidelight.traffic.share": context.share,
        "sidelight.model.versions": list(context.versions),
        "sidelight.reference.hash": context.reference_hash,
        "sidelight.window.index": context.window,
    }
    if name == RESOLVED:
        attributes["sidelight.alert.reason"] = why
    key = f"{context.offset}-{context.event_number + number}"
    body = _over(rule, alert, why, context) if name == RESOLVED else _body(rule, alert, why if name == UPDATED else "")
    return Event(name, key, context.end_ns, severity, body, attributes)


def standing(book: AlertBook) -> list[Event]:
    """What fires now, for receivers that keep no memory: each alert as it would be told this moment, without a key."""
    return [
        Event(FIRING, "", a.since_ns, a.severity, _body(BY_NAME[a.name], a, ""), _attributes(a, a.severity))
        for a in book.alerts if a.state is AlertState.FIRING
    ]  # fmt: skip


def _attributes(alert: Alert, severity: str) -> dict[str, Any]:
    rule = BY_NAME[alert.name]
    found: dict[str, Any] = {
        **alert.model.attributes(),
        "sidelight.alert.name": alert.name,
        "sidelight.alert.severity": severity,
        "sidelight.alert.start": moment(alert.since_ns),
        "sidelight.alert.start_unix_nano": alert.since_ns,
        "sidelight.alert.features": _features(alert.subjects),
        "sidelight.alert.feature_count": len({subject.watched for subject in alert.subjects}),
        "sidelight.alert.next_step": rule.next_step,
        "sidelight.alert.runbook": rule.runbook,
    }
    if alert.consequences:
        found["sidelight.alert.consequences"] = _features(alert.consequences)
    return found


def moment(time_ns: int) -> str:
    """ISO 8601, UTC, whole seconds.

    >>> moment(1_700_000_000_000_000_000)
    '2023-11-14T22:13:20Z'
    """
    return datetime.fromtimestamp(time_ns // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _over(rule: Rule, alert: Alert, why: str, context: WindowContext) -> str:
    lasted = f"it lasted from {moment(alert.since_ns)} to {moment(context.end_ns)}"
    return f"{_whose(alert.model)}: {rule.title} is over ({why}); {lasted}."


def _body(rule: Rule, alert: Alert, joined: str) -> str:
    """joined: what is new in an alert that fired before."""
    worst = alert.subjects[:NAMED_MAX]
    told = "; ".join(s.said if _says_where(rule, s) else f"{_where(s)}: {s.said}" for s in worst)
    more = len(alert.subjects) - len(worst)
    also = f"; and {more} more" if more else ""
    moved = "; predictions moved too" if any(s.source in OUTPUTS for s in alert.consequences) else ""
    since = f"since {moment(alert.since_ns)}{f', now also {joined}' if joined else ''}"
    whole = f"{_whose(alert.model)}: {rule.title} {since}: {told}{also}{moved}"
    return f"{whole}{'' if whole.endswith('?') else '.'} {rule.next_step}"


def _whose(model: ModelKey) -> str:
    version = f" version {model.version}" if model.version else ""
    return f"{model.name}{version}{' (shadow)' if model.role is Role.SHADOW else ''}"


def _says_where(rule: Rule, subject: Subject) -> bool:
    """Whether its own words need no name before them."""
    named = subject.said.startswith(f"{subject.name} ") and not subject.segment and subject.check != "drift"
    return named or not subject.name or subject.name == rule.name


def _where(subject: Subject) -> str:
    return f"{subject.name} of {subject.segment}" if subject.segment else subject.name


def _features(subjects: Sequence[Subject]) -> list[Mapping[str, Any]]:
    """The worst ones, each with its rank and, of drifts, its share of all their effects."""
    whole = sum(max(s.effect or 0.0, 0.0) for s in subjects if s.check == "drift")
    found: list[Mapping[str, Any]] = []
    for rank, subject in enumerate(subjects[:FEATURES_MAX], start=1):
        line = _feature(subject) | {"rank": rank}
        if subject.check == "drift" and subject.effect is not None and whole > 0:
            line |= {"severity": str(severity(subject.effect)), "share": max(subject.effect, 0.0) / whole}
        found.append(line)
    return found


def _feature(subject: Subject) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": subject.name, "source": subject.source.name.lower(), "check": subject.check,
        "effect": subject.effect, "p_value": subject.p_value, "horizon": subject.horizon, "n": subject.n,
        "n_reference": subject.n_reference, "phi": subject.phi, "significance": subject.significance,
        "since": moment(subject.since_ns) if subject.since_ns else None, "said": subject.said,
        "segment": subject.segment or None,
    }  # fmt: skip
    found = {name: value for name, value in found.items() if value is not None}
    if subject.moved:
        found["changes"] = [
            {"bin": cell, **({"label": label} if label else {}), "reference": then, "current": now}
            for cell, label, then, now in subject.moved
        ]
    return found


def drift_words(finding: Finding, label: Callable[[BinChange], str]) -> str:
    """A drift in a sentence: how large, over what, which way, which bins or categories grew or shrank, by which method.

    label: what a bin may be called where the sentence is read; empty: its number.
    """
    windows = "1 window" if finding.horizon == 1 else f"{finding.horizon} windows"
    over = f"{windows} of {finding.n} rows"
    size = f"{severity(finding.effect)} drift (effect {finding.effect:.2g} over {over})"
    if finding.effect != finding.effect:  # a fixed threshold may judge what the calibrated rule could not
        size = f"drift over {over}"
    method, how = _method(finding), [_direction(finding), _moves(finding, label)]
    # A fixed threshold is no measure of size or chance: that comes first.
    order = [*method, *how] if finding.reason.startswith("fixed threshold") else [*how, *method]
    told = ", ".join(part for part in order if part)
    return f"{size}: {told}" if told else size


def newcomers_words(finding: Finding) -> str:
    """Which new categories came most, to follow the reason; empty: none stands out. For who may read names.

    >>> from agent.records import Source, Verdict
    >>> newcomers_words(Finding("new_category", "shop", Source.FEATURE, Verdict.ALARM, newcomers=(("Kiosk", 0.625),)))
    '; of these "Kiosk" (62.5 %)'
    """
    told = ", ".join(f'"{text}" ({share * 100:.3g} %)' for text, share in finding.newcomers)
    return f"; of these {told}" if told else ""


def significance(finding: Finding) -> float | None:
    """log10(alpha / p): how many powers of ten beyond what was allowed. None: nothing was tested."""
    if not (finding.p_value > 0 and finding.alpha > 0):
        return None
    return math.log10(finding.alpha / finding.p_value)


def _direction(finding: Finding) -> str:
    """Which way a number moved: `current` is its mean rank among the reference's values then."""
    if "ks" not in finding.distances or not abs(finding.current - finding.expected) >= RANK_MOVED:
        return ""
    way = "up" if finding.current > finding.expected else "down"
    return f"values moved {way} (mean rank {finding.expected:.2f} → {finding.current:.2f})"


def _moves(finding: Finding, label: Callable[[BinChange], str]) -> str:
    return ", ".join(
        f"{change.reference * 100:.3g} % → {change.current * 100:.3g} % in {label(change) or f'bin {change.bin}'}"
        for change in finding.changes[:MOVED_MAX]
    )


def _method(finding: Finding) -> list[str]:
    """What the reason says of the method; which horizons ran is for those who look closer."""
    return [part for part in finding.reason.split("; ") if part and not part.startswith(("tested over", "not over"))]


def beside(findings: Sequence[Finding]) -> Mapping[Watched, str]:
    """Faults that came together with a value's drift, to be told with it."""
    whole = (f for f in findings if f.alarms and not f.segment and f.check in QUALITY_CHECKS)
    return {(f.source, f.subject): f.reason for f in whole}


def _known(value: float) -> float | None:
    return value if abs(value) < float("inf") else None

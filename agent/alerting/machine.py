"""One window's findings to changes of alerts: pending -> firing -> resolved.

A value is good or bad by its newest windows, never by what a long horizon still remembers; it leaves its alert after
`healthy_windows` good closes in a row, and the alert ends when its last value has left. What cannot be judged in a
window (no rows, still learning, muted) is neither: everything stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

from agent.alerting.book import Alert, AlertBook, Change, Subject, Watched, WindowContext
from agent.alerting.explain import Explained, explain
from agent.alerting.parts import explain_parts, explain_whole
from agent.alerting.rules import (
    BROKEN_PIPELINE,
    BY_NAME,
    DATA_DRIFT,
    OUTPUTS,
    PREDICTION_DRIFT,
    RETRAIN_SUGGESTED,
    RULES,
    SEGMENT_CHANGE,
    SEGMENT_STATE,
    Rule,
    rule_of,
)
from agent.alerting.wording import FIRING, RESOLVED, RETRAIN, UPDATED, beside, event, first_of, ranked, subject_of
from agent.bins.projections import RowProjection
from agent.records import AlertState, Finding, ModelKey, Source, Verdict
from agent.segments.judge import DRIFT_OVER, FAULTS_OVER

ROWS: Watched = (Source.ROW, RowProjection.name)
NEWEST_P_GOOD = 0.01  # a drift whose newest windows are this usual is over; far above any alarm's α: no flapping
PART_BAD = 0.5  # of a drift: windows that moved by more of it are nearer to it than to what is usual
SEVERITIES = ("INFO", "WARN", "ERROR")
_BLIND = frozenset(
    {
        Verdict.NOT_ENOUGH_ROWS, Verdict.NO_DATA, Verdict.NO_REFERENCE, Verdict.LEARNING, Verdict.REFERENCE_TOO_SHORT,
        Verdict.NOT_BELIEVED,
    }
)  # fmt: skip


class Health(Enum):
    """What one window says of one value under alert."""

    GOOD = "good"
    BAD = "bad"
    UNKNOWN = "unknown"


def explained(book: AlertBook, findings: Sequence[Finding], model: ModelKey) -> tuple[Finding, ...]:
    """The findings as they should be shown: echoes of another fault muted. What `advance` goes by."""
    return _explain(book, findings, model).findings


def advance(book: AlertBook, findings: Sequence[Finding], context: WindowContext) -> tuple[AlertBook, list[Change]]:
    """The book after one close of one series, and what changed, in the order of the rules.

    findings: all of this close, of this series. The same input gives the same events, keys included.
    """
    live = book.of(context.model)
    told = _explain(book, findings, context.model)
    echo = any((f.source, f.subject) == ROWS and f.verdict is Verdict.MUTED for f in told.findings)
    rows = echo and not any(ROWS in alert.watched for alert in live.values())
    close = _Close(context, {_id(f): f for f in told.findings}, beside(findings), rows)
    kept: list[Alert] = []
    for rule in RULES:
        bad = [f for f in told.findings if f.alarms and rule_of(f) is rule]
        consequences = told.consequences if rule.name == BROKEN_PIPELINE else ()
        alert = live.get(rule.name)
        if alert is None:
            after = _begin(rule, bad, consequences, close)
        else:
            after = _go_on(rule, alert, bad, consequences, close)
        if after is not None:
            kept.append(after)
            close.broken |= rule.name == BROKEN_PIPELINE  # the first rule: known before the others speak
            close.curable |= rule.retrain and rule.name != RETRAIN_SUGGESTED  # whose rule is the last
    return book.replaced(context.model, kept), close.changes


def supersede(
    book: AlertBook, key: ModelKey, context: WindowContext, reason: str = "superseded by another version"
) -> tuple[AlertBook, list[Change]]:
    """Ends every alert of a series that is no longer watched. context: the moment; nothing is to be forgotten."""
    changes: list[Change] = []
    for alert in book.of(key).values():
        if alert.state is AlertState.FIRING:
            said = event(RESOLVED, alert, context, len(changes), reason)
            changes.append(Change(alert.name, key, said))
    return book.replaced(key, ()), changes


@dataclass(slots=True)
class _Close:
    """What the steps of one close share. changes: grows with each. broken: the pipeline is, so nothing is to be learned
    from what came through it. rows: what whole rows show is another value's echo, and no
    alert of their own."""

    context: WindowContext
    findings: Mapping[tuple[str, Source, str, str], Finding]
    beside: Mapping[Watched, str]
    rows: bool
    changes: list[Change] = field(default_factory=list)
    broken: bool = False
    curable: bool = False  # an alert that training may cure is live, and has asked for it

    def subject(self, finding: Finding) -> Subject:
        watched = (finding.source, finding.subject)
        whole_drift = finding.check == "drift" and not finding.segment
        return subject_of(finding, self.context, self.beside.get(watched, "") if whole_drift else "")

    def say(self, name: str, alert: Alert, why: str = "", forget: Sequence[Subject] = ()) -> None:
        number = sum(change.event is not None for change in self.changes)
        said = event(name, alert, self.context, number, why)
        if name != RESOLVED and self._asks_for_training(alert):
            said = replace(said, attributes={**said.attributes, RETRAIN: True})
        self.changes.append(Change(alert.name, alert.model, said, *_forgotten(forget, self.rows)))

    def _asks_for_training(self, alert: Alert) -> bool:
        """Once a cause: the suggestion asks only for what no alert of its own has asked for (the model's age), and
        knows by itself what is not to be learned from."""
        if alert.name == RETRAIN_SUGGESTED:
            return not self.curable
        return BY_NAME[alert.name].retrain and not self.broken

    def forget(self, alert: Alert, subjects: Sequence[Subject]) -> None:
        if subjects:
            self.changes.append(Change(alert.name, alert.model, None, *_forgotten(subjects, self.rows)))


def _forgotten(
    subjects: Sequence[Subject], rows: bool
) -> tuple[tuple[Watched, ...], tuple[tuple[str, Source, str], ...]]:
    """Values to forget everywhere, and those of one segment alone. rows: with them the whole rows they were in, whose
    longer horizons would tell of it again when it is over."""
    whole = dict.fromkeys(s.watched for s in subjects if not s.segment)
    if rows and whole:
        whole[ROWS] = None
    parts = dict.fromkeys((s.segment, s.source, s.name) for s in subjects if s.segment)
    return tuple(whole), tuple(parts)


def _explain(book: AlertBook, findings: Sequence[Finding], model: ModelKey) -> Explained:
    live = book.of(model)
    broken = live[BROKEN_PIPELINE].watched if BROKEN_PIPELINE in live else frozenset()
    drifting = frozenset(w for name in (DATA_DRIFT, PREDICTION_DRIFT) if name in live for w in live[name].watched)
    parts = live[SEGMENT_CHANGE].subjects if SEGMENT_CHANGE in live else ()
    of_parts = {(s.check, s.source, s.name): s.segment for s in parts}
    told = explain(explain_whole(findings, broken | drifting, of_parts), broken, drifting, frozenset(live))
    whole = broken | drifting | {(f.source, f.subject) for f in told.findings if f.alarms}
    return Explained((*told.findings, *explain_parts(findings, whole)), told.consequences)


def _begin(rule: Rule, bad: Sequence[Finding], consequences: Sequence[Finding], close: _Close) -> Alert | None:
    if not bad:
        return None
    context = close.context
    first = min(first_of(f, context.window) for f in bad)
    since_ns = context.start_ns - (context.window - first) * (context.end_ns - context.start_ns)
    state = AlertState.PENDING if rule.pending_windows else AlertState.FIRING
    alert = _with(rule, Alert(rule.name, context.model, state, "INFO", first, since_ns),
                  [close.subject(f) for f in bad], [close.subject(f) for f in consequences])  # fmt: skip
    if state is AlertState.FIRING:
        close.say(FIRING, alert)
    return alert


def _go_on(
    rule: Rule, alert: Alert, bad: Sequence[Finding], consequences: Sequence[Finding], close: _Close
) -> Alert | None:
    known = {subject.id for subject in alert.subjects}
    healths = {subject.id: _health(rule, subject, close) for subject in alert.subjects}
    subjects = [_refreshed(subject, healths[subject.id], close) for subject in alert.subjects]
    joined = [close.subject(f) for f in bad if _id(f) not in known]
    left = [*(s for s in subjects if s.healthy < rule.healthy_windows), *joined]
    if alert.state is AlertState.PENDING:
        return _wait(rule, alert, left, bool(bad) or Health.BAD in healths.values(), close)
    moved = {subject.watched for subject in alert.consequences}
    new = [close.subject(f) for f in consequences if (f.source, f.subject) not in moved]
    after = _with(rule, alert, left, [*alert.consequences, *new])
    gone = _gone(rule, alert, left)
    if not left:
        close.say(RESOLVED, alert, _good(rule), [*gone, *after.consequences])
        return None
    close.forget(after, gone)
    said = [*joined, *(s for s in new if s.source in OUTPUTS)]
    if said:
        close.say(UPDATED, after, ", ".join(dict.fromkeys(s.name or s.check for s in ranked(said))))
    return after


def _good(rule: Rule) -> str:
    return "1 good window" if rule.healthy_windows == 1 else f"{rule.healthy_windows} good windows in a row"


def _wait(rule: Rule, alert: Alert, left: Sequence[Subject], bad: bool, close: _Close) -> Alert | None:
    """A pending alert: one bad close nearer to firing, or nothing at all any more. Its good close ends it unsaid."""
    if not left or (not bad and any(subject.healthy for subject in left)):
        return None
    after = _with(rule, replace(alert, bad_windows=alert.bad_windows + bad), left, ())
    if after.bad_windows <= rule.pending_windows:
        return after
    after = replace(after, state=AlertState.FIRING)
    close.say(FIRING, after)
    return after


def _with(rule: Rule, alert: Alert, subjects: Sequence[Subject], consequences: Sequence[Subject]) -> Alert:
    """With these subjects, worst first; the severity only rises while an alert lives."""
    order = ranked(subjects)
    found = (rule.severity(float("nan") if s.effect is None else s.effect) for s in order)
    severity = max((alert.severity, *found), key=SEVERITIES.index)
    return replace(alert, subjects=order, consequences=ranked(consequences), severity=severity)


def _health(rule: Rule, subject: Subject, close: _Close) -> Health:
    if rule.needs_rows and not close.context.rows:
        return Health.UNKNOWN
    finding = close.findings.get(subject.id)
    if finding is None and subject.segment:  # nothing is said of what is usual, where the segment was judged
        return Health.GOOD if _is_usual(subject, close) else Health.UNKNOWN
    if finding is None:  # a check of values says nothing where all is well; a state is always said, if it is known
        return Health.GOOD if rule.needs_rows else Health.UNKNOWN
    if finding.verdict is Verdict.MUTED:
        return Health.UNKNOWN
    p, effect, part = (
        finding.distances.get(name, float("nan")) for name in ("newest_p", "newest_effect", "newest_part")
    )
    if finding.alarms and part >= PART_BAD:  # few rows look usual by chance: they have moved all the same
        return Health.BAD
    if p > NEWEST_P_GOOD or effect < rule.good_effect:
        return Health.GOOD
    if p <= NEWEST_P_GOOD or finding.alarms:
        return Health.BAD
    return Health.UNKNOWN if finding.verdict in _BLIND else Health.GOOD


def _is_usual(subject: Subject, close: _Close) -> bool:
    """Whether a value of which a segment says nothing was judged at all: over as few windows as when it was found, or
    over windows that are all newer."""
    state = close.findings.get((SEGMENT_STATE, Source.ROW, "", subject.segment))
    if state is None:
        return False
    windows = state.distances.get(DRIFT_OVER if subject.check == "drift" else FAULTS_OVER, 0.0)
    context = close.context
    newer = (context.start_ns - subject.since_ns) / (context.end_ns - context.start_ns) - (subject.horizon - 1)
    return 1.0 <= windows <= max(float(subject.horizon), newer)


def _refreshed(subject: Subject, health: Health, close: _Close) -> Subject:
    if health is Health.UNKNOWN:
        return subject
    if health is Health.GOOD:
        return replace(subject, healthy=subject.healthy + 1)
    finding = close.findings[subject.id]
    return close.subject(finding) if finding.alarms else replace(subject, healthy=0)


def _gone(rule: Rule, alert: Alert, left: Sequence[Subject]) -> list[Subject]:
    """Values that left the alert with this close, whose closed windows must be forgotten."""
    if not rule.forgets:
        return []
    here = {(subject.segment, *subject.watched) for subject in left}
    return [s for s in alert.subjects if (s.segment, *s.watched) not in here]


def _id(finding: Finding) -> tuple[str, Source, str, str]:
    """As a subject's `id`."""
    return finding.check, finding.source, finding.subject, finding.segment

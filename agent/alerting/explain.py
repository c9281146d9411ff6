"""Which findings are the cause and which its echo. Muted findings keep their figures and lose their alarm.

hard fault (type, missing, NaN) of x     -> x's drift is its echo; of half of x or more: its drift cannot be judged
x breaks a rule of the schema            -> the cause, whatever else moved
x out of range, or unknown categories    -> the cause, if a quarter of x's values or the rest of x is unchanged
                                         -> else the echo of x's drift: the world moved, and some values with it
predictions drift under a broken pipeline -> a consequence of it
whole rows drift where a value is at fault -> likewise, if each part that alarms is made of one that is
a feature is new, and named with one that is absent -> told there
rows came before, where a feature has no values or one alone -> an echo: rows are more alike then
the model is worse, and concept drift says since when and which way -> told there
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass, replace

from agent.alerting.book import Watched
from agent.alerting.rules import (
    AMBIGUOUS_CHECKS,
    BROKEN_PIPELINE,
    CONCEPT_DRIFT,
    DATA_DRIFT,
    DUPLICATES,
    NEW_FEATURE,
    PERFORMANCE_DROP,
    PREDICTION_DRIFT,
    rule_of,
)
from agent.records import Finding, Source, Verdict

# A quarter of all values outside anything the reference held is no season and no fashion, but another unit or coding.
SHARE_MAX = 0.25
# Of values missing or mistyped: what is left says no more how the feature is distributed, nor that it is as it was.
GONE_MIN = 0.5
GONE_CHECKS = frozenset({"type_mismatch", "missing", "absent", "not_finite"})
_QUIET = frozenset({Verdict.WITHIN_NOISE, Verdict.BELOW_FLOOR})
# Total variation inside the known range, beyond chance: a shift of a quarter σ (0.1 of a normal's mass changes bins).
INSIDE_MIN = 0.1


@dataclass(frozen=True, slots=True)
class Explained:
    """findings: as they came, echoes muted; consequences: outputs' and rows' drifts of the broken pipeline."""

    findings: tuple[Finding, ...]
    consequences: tuple[Finding, ...]


def explain(
    findings: Sequence[Finding], broken: frozenset[Watched], drifting: frozenset[Watched], active: frozenset[str]
) -> Explained:
    """broken: values at fault in a live broken_pipeline; drifting: those in a live data or prediction drift.

    active: names of the series' live alerts.
    """
    drifted = drifting | {_watched(f) for f in findings if f.alarms and f.check == "drift"}
    firmly = broken | {_watched(f) for f in findings if _cause(f) == BROKEN_PIPELINE and not _echo_of_drift(f)}
    first = [
        _mute(f, "the value itself drifted") if _echo_of_drift(f) and _watched(f) in drifted - firmly else f
        for f in findings
    ]
    faulty = broken | {_watched(f) for f in first if _cause(f) == BROKEN_PIPELINE}
    pipeline = bool(faulty) or BROKEN_PIPELINE in active
    attached = pipeline and PREDICTION_DRIFT not in active
    gone, renamed = _gone(first), _renamed(first) if NEW_FEATURE not in active else frozenset()
    concept = CONCEPT_DRIFT in active or any(_cause(f) == CONCEPT_DRIFT for f in findings)
    told = concept and PERFORMANCE_DROP not in active  # the same wrong predictions: whoever is told first, tells it
    alike = gone | {_watched(f) for f in first if f.alarms and f.check == "constant"}
    found, consequences = [], []
    for f in first:
        cause = _cause(f)
        if cause in (DATA_DRIFT, PREDICTION_DRIFT) and _watched(f) in faulty:
            found.append(_mute(f, "its values are at fault"))
        elif f.check == "drift" and f.verdict in _QUIET and _watched(f) in gone:
            found.append(_mute(f, "too few of its values are there to be judged"))
        elif cause == PREDICTION_DRIFT and attached:
            consequences.append(f)
            found.append(_mute(f, "the pipeline before it is broken"))
        elif f.alarms and f.check == "drift" and _made_of(f, faulty) and _watched(f) not in drifting:
            consequences.append(f)
            found.append(_mute(f, "rows are made of values that are at fault"))
        elif f.check == DUPLICATES and f.alarms and alike and f.distances.get("share_ids") != f.current:
            found.append(_mute(f, "rows are alike where values are gone"))
        elif told and cause == PERFORMANCE_DROP:
            found.append(_mute(f, "the same wrong predictions as the concept drift's"))
        elif f.check == NEW_FEATURE and f.subject in renamed:
            found.append(_mute(f, "named with the feature that is absent"))
        else:
            found.append(f)
    return Explained(tuple(found), tuple(consequences))


def _cause(finding: Finding) -> str:
    """The alert a finding alarms for; empty: none."""
    rule = rule_of(finding) if finding.alarms else None
    return rule.name if rule else ""


def _echo_of_drift(finding: Finding) -> bool:
    """Whether an alarm could be the fringe of a distribution that moved as a whole."""
    inside, ruled = finding.distances.get("inside_change", 0.0), "limit" in finding.distances
    fringe = finding.check in AMBIGUOUS_CHECKS and finding.effect < SHARE_MAX and inside >= INSIDE_MIN
    return finding.alarms and fringe and not ruled


def _made_of(finding: Finding, faulty: Set[Watched]) -> bool:
    """Whether it is a whole row's, and each part of it that alarms is made of something that is at fault."""
    names = {name for _, name in faulty}
    return finding.source is Source.ROW and bool(names) and all(part & names for part in finding.made_of)


def _gone(findings: Sequence[Finding]) -> frozenset[Watched]:
    """Values of which half or more are not there, or of another type, by faults that alarm."""
    shares: dict[Watched, float] = {}
    for f in findings:
        if f.alarms and f.check in GONE_CHECKS:
            shares[_watched(f)] = shares.get(_watched(f), 0.0) + f.current
    return frozenset(watched for watched, share in shares.items() if share >= GONE_MIN)


def _renamed(findings: Sequence[Finding]) -> frozenset[str]:
    """New features that are told as another's new name."""
    absent = [f.reason for f in findings if f.alarms and f.check == "absent"]
    new = [f.subject for f in findings if f.alarms and f.check == NEW_FEATURE]
    return frozenset(name for name in new if any(repr(name) in reason for reason in absent))


def _mute(finding: Finding, why: str) -> Finding:
    said = f"{why}; {finding.reason}" if finding.reason else why
    return replace(finding, verdict=Verdict.MUTED, reason=said)


def _watched(finding: Finding) -> Watched:
    return finding.source, finding.subject

"""Findings in one segment: which of them are the cause of what the whole shows, and which its echo.

    x alarms in one segment, and is as ever elsewhere  -> x in the whole is the echo, unless its alert is live already
    x alarms in the whole, or is in its live alert      -> x in any segment is the echo
    x is at fault in a segment                          -> x's drift there is the echo of the fault
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace

from agent.alerting.book import Watched
from agent.records import Finding, Verdict

ELSEWHERE = "elsewhere"  # among the distances of a segment's alarm: the effect in the rest of the traffic
# Corrected PSI, and rise in share: twice the floors of the whole.
DRIFT_ELSEWHERE_MAX, RATE_ELSEWHERE_MAX = 0.02, 0.01


def explain_whole(findings: Sequence[Finding], live: AbstractSet[Watched]) -> list[Finding]:
    """The whole's findings among these, muted where a segment alone is the cause. live: values in a live alert."""
    alone: dict[Watched, str] = {}
    for f in findings:
        if f.segment and f.alarms and _alone(f):
            alone.setdefault((f.source, f.subject), f.segment)
    return [_of_whole(f, alone, live) for f in findings if not f.segment]


def explain_parts(findings: Sequence[Finding], whole: AbstractSet[Watched]) -> list[Finding]:
    """The segments' findings among these, echoes muted. whole: values that alarm in the whole."""
    parts = [f for f in findings if f.segment]
    faulty = {(f.segment, f.source, f.subject) for f in parts if f.alarms and f.check != "drift"}
    found = []
    for f in parts:
        if f.alarms and (f.source, f.subject) in whole:
            found.append(_muted(f, "so it is in the whole"))
        elif f.alarms and f.check == "drift" and (f.segment, f.source, f.subject) in faulty:
            found.append(_muted(f, "its values are at fault"))
        else:
            found.append(f)
    return found


def _of_whole(finding: Finding, alone: Mapping[Watched, str], live: AbstractSet[Watched]) -> Finding:
    watched = (finding.source, finding.subject)
    if not finding.alarms or watched in live or watched not in alone:
        return finding
    return _muted(finding, f"{alone[watched]} alone has changed")


def _alone(finding: Finding) -> bool:
    limit = DRIFT_ELSEWHERE_MAX if finding.check == "drift" else RATE_ELSEWHERE_MAX
    return finding.distances.get(ELSEWHERE, float("inf")) < limit


def _muted(finding: Finding, why: str) -> Finding:
    return replace(finding, verdict=Verdict.MUTED, reason=f"{why}; {finding.reason}" if finding.reason else why)

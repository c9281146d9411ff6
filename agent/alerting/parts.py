"""Findings in one segment: which of them are the cause of what the whole shows, and which its echo.

    x alarms in one segment, and is as ever elsewhere  -> x in the whole is the echo, unless its alert is live already
    x is in a segment's live alert that cannot be judged -> likewise
    x alarms in the whole, or is in its live alert      -> x in any segment is the echo
    x is at fault in a segment                          -> x's drift there is the echo of the fault
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace

from agent.alerting.book import Watched
from agent.records import Finding, Source, Verdict

Told = tuple[str, Source, str]  # a check of one watched value
NOTHING: Mapping[Told, str] = {}
ELSEWHERE = "elsewhere"  # among the distances of a segment's alarm: the effect in the rest of the traffic
# Corrected PSI, and rise in share: twice the floors of the whole.
DRIFT_ELSEWHERE_MAX, RATE_ELSEWHERE_MAX = 0.02, 0.01
# Windows of some hundred rows have a corrected PSI of 0.02 and more by chance: what is so much less than the segment's
# is no drift of the rest, unless it would be called clear.
DRIFT_PART_MAX, DRIFT_CLEAR = 0.02, 0.1


def explain_whole(
    findings: Sequence[Finding], live: AbstractSet[Watched], parts: Mapping[Told, str] = NOTHING
) -> list[Finding]:
    """The whole's findings among these, muted where a segment alone is the cause.

    live: values in a live alert of the whole; parts: what a live alert tells of a segment, which may have too few rows
    now to be judged.
    """
    alone: dict[Watched, str] = {}
    held = dict(parts)
    for f in findings:
        if f.segment and f.alarms:
            held.pop((f.check, f.source, f.subject), None)  # it says itself whether it is alone
            if _alone(f):
                alone.setdefault((f.source, f.subject), f.segment)
    return [_of_whole(f, alone, held, live) for f in findings if not f.segment]


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


def _of_whole(
    finding: Finding, alone: Mapping[Watched, str], held: Mapping[Told, str], live: AbstractSet[Watched]
) -> Finding:
    watched = (finding.source, finding.subject)
    segment = alone.get(watched) or held.get((finding.check, *watched))
    if not finding.alarms or watched in live or segment is None:
        return finding
    return _muted(finding, f"{segment} alone has changed")


def _alone(finding: Finding) -> bool:
    limit = RATE_ELSEWHERE_MAX
    if finding.check == "drift":
        limit = min(max(DRIFT_ELSEWHERE_MAX, DRIFT_PART_MAX * finding.effect), DRIFT_CLEAR)
    return finding.distances.get(ELSEWHERE, float("inf")) < limit


def _muted(finding: Finding, why: str) -> Finding:
    return replace(finding, verdict=Verdict.MUTED, reason=f"{why}; {finding.reason}" if finding.reason else why)

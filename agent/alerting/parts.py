"""Findings in one segment: which of them are the cause of what the whole shows, and which its echo.

x alarms in one segment, and is as ever elsewhere  -> x in the whole is the echo, unless its alert is live already
x is in a segment's live alert that cannot be judged -> likewise
x alarms in several segments that hold most rows    -> they are the echo of the whole
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
MOST = 0.5  # of the rows, in several segments: then it is the whole's


def explain_whole(
    findings: Sequence[Finding], live: AbstractSet[Watched], parts: Mapping[Told, str] = NOTHING
) -> list[Finding]:
    """The whole's findings among these, muted where a segment alone is the cause.

    live: values in a live alert of the whole; parts: what a live alert tells of a segment, which may have too few rows
    now to be judged.
    """
    alone: dict[Watched, str] = {}
    held, general = dict(parts), _general(findings)
    for f in findings:
        if f.segment and f.alarms:
            held.pop(_told(f), None)  # it says itself whether it is alone
            if _alone(f) and _told(f) not in general:
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
    segment = alone.get(watched) or held.get(_told(finding))
    if not finding.alarms or watched in live or segment is None:
        return finding
    return _muted(finding, f"{segment} alone has changed")


def _general(findings: Sequence[Finding]) -> frozenset[Told]:
    """What alarms in several values of one key that together hold most of the rows: the rest of those is too little to
    say that it is as ever."""
    whole = {_told(f): _rows(f) for f in findings if not f.segment}
    parts: dict[tuple[Told, str], list[float]] = {}
    for f in findings:
        if f.segment and f.alarms:
            parts.setdefault((_told(f), f.segment.partition("=")[0]), []).append(_rows(f))
    return frozenset(
        told for (told, _), rows in parts.items() if len(rows) > 1 and sum(rows) > MOST * whole.get(told, float("inf"))
    )


def _told(finding: Finding) -> Told:
    return finding.check, finding.source, finding.subject


def _rows(finding: Finding) -> float:
    return finding.n / max(finding.horizon, 1)


def _alone(finding: Finding) -> bool:
    limit = RATE_ELSEWHERE_MAX
    if finding.check == "drift":
        limit = min(max(DRIFT_ELSEWHERE_MAX, DRIFT_PART_MAX * finding.effect), DRIFT_CLEAR)
    return finding.distances.get(ELSEWHERE, float("inf")) < limit


def _muted(finding: Finding, why: str) -> Finding:
    return replace(finding, verdict=Verdict.MUTED, reason=f"{why}; {finding.reason}" if finding.reason else why)

"""Findings in one segment: which of them the whole already says, and which are the echo of a fault in that segment.

    x alarms in the whole, or is in its live alert    -> x in any segment is its echo
    x is at fault in a segment                         -> x's drift there is the echo of the fault
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from agent.alerting.book import Watched
from agent.records import Finding, Verdict


def explain_parts(findings: Sequence[Finding], whole: frozenset[Watched] | set[Watched]) -> list[Finding]:
    """The findings in their order, echoes muted. whole: values that alarm in the whole."""
    faulty = {(f.segment, f.source, f.subject) for f in findings if f.alarms and f.check != "drift"}
    found = []
    for f in findings:
        if f.alarms and (f.source, f.subject) in whole:
            found.append(_muted(f, "so it is in the whole"))
        elif f.alarms and f.check == "drift" and (f.segment, f.source, f.subject) in faulty:
            found.append(_muted(f, "its values are at fault"))
        else:
            found.append(f)
    return found


def _muted(finding: Finding, why: str) -> Finding:
    return replace(finding, verdict=Verdict.MUTED, reason=f"{why}; {finding.reason}" if finding.reason else why)

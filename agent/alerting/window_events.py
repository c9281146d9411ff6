"""One event for each closed window: its event time and what was found in it, for those who keep a history.

Metrics carry the wall-clock time of their export; where windows are of event time, this is the one record of it.
"""

from __future__ import annotations

from collections.abc import Sequence

from agent.alerting.book import WindowContext
from agent.records import Closed, Event, Finding

NAME = "sidelight.window.closed"


def window_closed(context: WindowContext, closed: Closed, findings: Sequence[Finding], key: str) -> Event:
    """Its time is the window's end. key: the same whenever the journal is replayed. Names, but no values."""
    alarms = [finding for finding in findings if finding.alarms]
    attributes = {
        **context.model.attributes(),
        "sidelight.event.key": key,
        "sidelight.window.index": context.window,
        "sidelight.window.start_unix_nano": context.start_ns,
        "sidelight.window.end_unix_nano": context.end_ns,
        "sidelight.window.rows": closed.rows,
        "sidelight.window.errors": closed.errors,
        "sidelight.window.backlog": closed.backlog,
        "sidelight.window.covered_seconds": closed.covered_seconds,
        "sidelight.window.checks": len(findings),
        "sidelight.window.alarms": len(alarms),
        "sidelight.reference.hash": context.reference_hash or None,
    }
    drifts = [finding for finding in findings if finding.check == "drift" and not finding.segment]
    if drifts:
        worst = max(drifts, key=lambda finding: finding.distances.get("newest_effect", finding.effect))
        attributes["sidelight.feature.name"] = worst.subject
        attributes["sidelight.drift.effect"] = float(worst.distances.get("newest_effect", worst.effect))
    body = f"Window of {closed.rows} rows closed: {len(findings)} checks, {len(alarms)} alarms."
    return Event(NAME, key, context.end_ns, "INFO", body, attributes)

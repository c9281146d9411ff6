"""Features that are sent and that the reference never had: told by name, never judged."""

from __future__ import annotations

from agent.quality.measure import percent
from agent.records import Closed, Finding, Source, Verdict

CHECK = "new_feature"
NAMED_MAX = 20  # findings a window; a sender that makes up names must not fill an alert with them


def new_features(window: Closed) -> list[Finding]:
    """One finding a feature, the most often sent first. effect: share of rows that hold it."""
    rows = max(window.rows, 1)
    ordered = sorted(window.unknown.items(), key=lambda item: (-item[1], item[0]))
    return [
        Finding(
            CHECK, name, Source.FEATURE, Verdict.ALARM, effect=count / rows, n=window.rows,
            first_window=window.index, reason=f"in {percent(min(count / rows, 1.0))} of {window.rows} rows: the "
            "reference has no such feature",
        )
        for name, count in ordered[:NAMED_MAX]
        if count > 0
    ]  # fmt: skip


def came_instead(window: Closed) -> str:
    """Names that may be another name of a feature that is gone; empty: none."""
    often = [name for name, count in sorted(window.unknown.items()) if 2 * count >= window.rows > 0]
    return ", ".join(map(repr, often[:3]))

"""Features that are sent and that the reference never had: told by name, never judged."""

from __future__ import annotations

from difflib import get_close_matches

from agent.quality.measure import percent
from agent.records import Closed, Finding, Source, Verdict

CHECK = "new_feature"
NAMED_MAX = 20  # findings a window; a sender that makes up names must not fill an alert with them


def new_features(window: Closed) -> list[Finding]:
    """One finding a feature, the most often sent first; the first says how many more came. effect: share of rows."""
    rows = max(window.rows, 1)
    ordered = sorted(window.unknown.items(), key=lambda item: (-item[1], item[0]))
    more = sum(count > 0 for _, count in ordered[NAMED_MAX:])
    beside = [f"; {more} more that are new are not named"] if more else []
    return [
        Finding(
            CHECK, name, Source.FEATURE, Verdict.ALARM, effect=count / rows, n=window.rows,
            first_window=window.index, reason=f"in {percent(min(count / rows, 1.0))} of {window.rows} rows: the "
            f"reference has no such feature{''.join(beside[i:])}",
        )
        for i, (name, count) in enumerate(ordered[:NAMED_MAX])
        if count > 0
    ]  # fmt: skip


def came_instead(window: Closed, name: str, gone: float) -> str:
    """Names that may be another name of a feature that is gone from so many rows, beyond what is usual: those that came
    in about as many; the one most like it, if one is. Empty: none."""
    often = [new for new, count in sorted(window.unknown.items()) if gone <= 2 * count <= 4 * gone]
    by_look = {new.casefold(): new for new in often}
    alike = get_close_matches(name.casefold(), by_look, n=1)
    return ", ".join(map(repr, [by_look[one] for one in alike] or often[:3]))

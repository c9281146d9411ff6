"""What speaks for training a model anew, read off the other findings of the window."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum

from agent.records import Closed, Finding, Source

NAMED_MAX = 3
# Of a text's values: a share never seen before of at least this, twice what it was, and not by chance.
RISING_MIN, RISING_FACTOR, RISING_WINDOWS, RISING_ERRORS = 0.01, 2.0, 8, 4.0
# What is not there or of another type cannot be learned from: first the feed, then the model.
FAULTS = frozenset({"type_mismatch", "missing", "absent", "not_finite", "fractional", "constant"})
_INPUTS = frozenset({Source.FEATURE, Source.ROW})


class Reason(StrEnum):
    """Each is said once a cause."""

    STALENESS = "staleness"
    DRIFT = "drift"
    CONCEPT_DRIFT = "concept_drift"
    PERFORMANCE = "performance"
    NEW_CATEGORIES = "new_categories"


# What speaks: the calendar, the inputs, the labels. Drift alone, or errors alone, have an alert of their own that says
# more; new categories alone are more often a changed spelling than a changed world.
OF_INPUTS = frozenset({Reason.DRIFT, Reason.NEW_CATEGORIES})
OF_LABELS = frozenset({Reason.CONCEPT_DRIFT, Reason.PERFORMANCE})
_CHECKS: Mapping[str, Reason] = {
    "drift": Reason.DRIFT, "segment_mix": Reason.DRIFT, "concept_drift": Reason.CONCEPT_DRIFT,
    "performance": Reason.PERFORMANCE, "estimated_performance": Reason.PERFORMANCE,
    "new_category": Reason.NEW_CATEGORIES,
}  # fmt: skip


def reasons(findings: Sequence[Finding], recent: Sequence[Closed]) -> dict[Reason, str]:
    """Those that alarm in this window, each with a few words. Of segments only what the labels say: their inputs
    are a part's own affair."""
    found: dict[Reason, list[str]] = {}
    for finding in findings:
        reason = _CHECKS.get(finding.check)
        if reason is None or not finding.alarms or (finding.check == "drift" and not _of_inputs(finding)):
            continue
        found.setdefault(reason, []).append(_words(reason, finding))
    for name in rising(recent):
        found.setdefault(Reason.NEW_CATEGORIES, []).append(name)
    return {reason: _told(reason, list(dict.fromkeys(words))) for reason, words in found.items()}


def enough(standing: Collection[Reason]) -> bool:
    """Whether they suggest more together than their own alerts do: age, which has none, or inputs and labels both."""
    return Reason.STALENESS in standing or bool(OF_INPUTS & set(standing) and OF_LABELS & set(standing))


def faults(findings: Sequence[Finding]) -> tuple[str, ...]:
    """Values at fault in a way that no training mends."""
    return tuple(dict.fromkeys(f.subject for f in findings if f.alarms and f.check in FAULTS and not f.segment))


def rising(recent: Sequence[Closed]) -> list[str]:
    """Texts whose share of values that the reference never held has grown: the newest third of the windows beside the
    oldest, by at least four standard errors. Counts of texts are of samples: their growth counts, not their size."""
    if len(recent) < RISING_WINDOWS:
        return []
    third = len(recent) // 3
    first, last = _shares(recent[:third]), _shares(recent[-third:])
    return [name for name, now in last.items() if _rises(first.get(name, (0, 0)), now)]


def _shares(windows: Sequence[Closed]) -> dict[str, tuple[int, int]]:
    """By text: values that were new, and rows."""
    found: dict[str, tuple[int, int]] = {}
    for closed in windows:
        for (source, name), seen in closed.texts.items():
            if source is Source.FEATURE:
                new, rows = found.get(name, (0, 0))
                found[name] = (new + seen.new, rows + closed.rows)
    return found


def _rises(then: tuple[int, int], now: tuple[int, int]) -> bool:
    if not then[1] or not now[1]:
        return False
    before, after = then[0] / then[1], now[0] / now[1]
    error = ((then[0] + 1.0) / then[1] ** 2 + (now[0] + 1.0) / now[1] ** 2) ** 0.5
    large = after >= RISING_MIN and after >= RISING_FACTOR * before
    return large and after - before > RISING_ERRORS * error


def _of_inputs(finding: Finding) -> bool:
    return finding.source in _INPUTS and not finding.segment


def _words(reason: Reason, finding: Finding) -> str:
    if reason in (Reason.DRIFT, Reason.NEW_CATEGORIES):
        return finding.subject
    where = f" in {finding.segment}" if finding.segment else ""
    return f"{finding.reason.split(';')[0]}{where}"


def _told(reason: Reason, words: Sequence[str]) -> str:
    more = f" and {len(words) - NAMED_MAX} more" if len(words) > NAMED_MAX else ""
    said = ", ".join(words[:NAMED_MAX]) + more
    return {
        Reason.DRIFT: f"inputs drifted ({said})",
        Reason.CONCEPT_DRIFT: f"concept drift ({said})",
        Reason.PERFORMANCE: f"performance fell ({said})",
        Reason.NEW_CATEGORIES: f"categories it never saw ({said})",
    }[reason]

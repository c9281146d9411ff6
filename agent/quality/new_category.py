"""Texts the reference never held: a new product line, a changed spelling, an encoding gone wrong."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from agent.bins import OTHER_SEEN_MAX, Feature
from agent.quality.inside import inside_change
from agent.quality.measure import Look, Measure, Of, percent
from agent.records import Ints, Kind


def _cells(feature: Feature) -> tuple[int, ...]:
    return tuple(feature.never) if feature.kind is Kind.TEXT else ()


def _credit(feature: Feature, then: Ints) -> int:
    """A bound on the categories the reference saw once.

    A reference has no category it never saw, but the next row is one with probability f₁ / N, f₁ the categories seen
    once (Good 1953, from Turing). The counts keep no singletons apart, so: every category without a bin of its own
    (never more than the rows in "other"), and every bin with one row. Where there were too many to remember, as of ids,
    what is not remembered came in the reference as never seen, and goes on to come beside what is new.
    """
    own = then[: len(feature.categories)]
    other = int(then[feature.other.start : feature.other.stop].sum())
    forgotten = int(then[feature.never.start : feature.never.stop].sum()) if len(feature.seen) >= OTHER_SEEN_MAX else 0
    return min(len(feature.seen), other) + int((own == 1).sum()) + forgotten


def _describe(look: Look) -> str:
    said = f"{percent(look.share)} of {look.n} values are categories the reference never held"
    known = look.feature.wholes(look.then)[:-1]
    alone = ": it was always the same in the reference" if np.count_nonzero(known) == 1 and not known[-1] else ""
    return f"{said} (expected {percent(look.expected)}){alone}"


def _detail(look: Look) -> Mapping[str, float]:
    now, then = (look.feature.wholes(counts)[:-1] for counts in (look.now, look.then))
    return {"inside_change": inside_change(now, then)}


NEW_CATEGORY = Measure("new_category", Of.VALUES, _cells, _describe, _detail, _credit)

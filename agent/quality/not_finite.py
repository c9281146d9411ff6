"""NaN and infinite numbers: a division by zero, a broken join, a model that diverged."""

from __future__ import annotations

from agent.bins import INF_CELL, NAN_CELL, NEGATIVE_INF_CELL, Feature
from agent.quality.measure import Look, Measure, Of, percent
from agent.quality.missing import NUMERIC, valueless


def _cells(feature: Feature) -> tuple[int, ...]:
    if feature.kind not in NUMERIC or not feature.bins:
        return ()
    return tuple(feature.bins + cell for cell in (NAN_CELL, INF_CELL, NEGATIVE_INF_CELL))


def _describe(look: Look) -> str:
    what = "NaN" if look.now[look.feature.bins + NAN_CELL] == look.faulty else "NaN or infinite"
    return f"{what} in {percent(look.share)} of {look.n} rows (reference {percent(look.expected)})"


def _known(feature: Feature) -> tuple[int, ...]:
    own = _cells(feature)
    return (*own, *(cell for cell in valueless(feature) if cell not in own)) if own else ()


NOT_FINITE = Measure("not_finite", Of.ROWS, _cells, _describe, known=_known)

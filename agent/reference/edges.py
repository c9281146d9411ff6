"""Where bins begin and end: from a sample of numbers, or from counted texts.

Edges only have to be sensible, not exact: whatever they are, the counts between them are exact.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from agent.bins import OTHER_SEEN_MAX, RARE_CELLS_MAX, Rules, text_hash
from agent.records import Floats
from agent.sketches.frequent import LONG_TEXT, FrequentTexts

# Quantiles between a number's bins: twenty, as statistics.md has it, the outer three finer and the others alike. What
# even bins lose is in the tails: 16 % of the rows where a normal widens, 5 % with these (docs/decisions/0093).
_TAIL, _EVEN = (0.01, 0.025, 0.05), 14
QUANTILES = (*_TAIL, *(0.05 + 0.9 * k / _EVEN for k in range(1, _EVEN)), *(1.0 - q for q in reversed(_TAIL)))
BINS = len(QUANTILES) + 1
DISTINCT_MAX = 20  # numbers with at most so many different values get a bin for each
CATEGORIES_MAX = 50
RARE_MIN = 2  # categories for each cell of "other", on average
CATEGORY_SHARE_MIN = 0.001  # a smaller category has too few rows in a window of 1,000 to be judged by itself


def number_edges(sample: Floats, distinct: Floats | None, low: float, high: float) -> tuple[float, ...]:
    """Edges of about 20 bins by `QUANTILES`, each edge a value that occurred; outer edges `low` and `high`.

    sample: finite values, any order. distinct: all different values, if there are at most 20: a bin for each of them.
    Nothing finite was ever seen (low is not finite): one bin from 0 to 1, which says nothing and judges nothing.
    """
    if not math.isfinite(low):
        return (0.0, 1.0)
    if distinct is not None and len(distinct):
        return _edges_of_values(np.unique(distinct))
    inner = np.quantile(sample, QUANTILES, method="inverted_cdf") if len(sample) else np.empty(0)
    found = np.unique(np.concatenate(([low], inner, [high])))
    return tuple(found.tolist()) if len(found) > 1 else _edges_of_values(found)


def with_range(edges: tuple[float, ...], rules: Rules, highest: float) -> tuple[float, ...]:
    """The edges, with bins that end where the possible range ends, so that what lies outside is counted exactly.

    highest: the largest value seen. Bins above both it and the range are dropped: whatever falls there is impossible. A
    range that ends at the value of a bin of its own ends one ulp later.

    >>> with_range((0.2, 0.5, 0.9), Rules(low=0.0, high=1.0), 0.9)
    (0.0, 0.2, 0.5, 0.9000000000000001, 1.0)
    >>> with_range((0.0, 1.0, 1.5), Rules(whole=True, low=0.0, high=1.0), 1.0)
    (0.0, 1.0, 1.5)
    """
    low, above = rules.low, math.nextafter(rules.high, math.inf)
    # A bin holds what is at least its left bound and less than the next one; only the last edge belongs to its bin.
    bounds = [*edges[:-1], math.nextafter(edges[-1], math.inf)]
    if math.isfinite(low) and not _ends_between(bounds, math.ceil(low) - 1.0, low, rules.whole):
        bounds = sorted({*bounds, low})
    if math.isfinite(above):
        if not _ends_between(bounds, rules.high, math.floor(rules.high) + 1.0, rules.whole):
            bounds = sorted({*bounds, above})
        if above > highest:
            bounds = [bound for bound in bounds if bound <= above or rules.whole]
    if len(bounds) < 2:
        bounds.insert(0, bounds[0] - max(1.0, abs(bounds[0])))
    last = math.nextafter(bounds[-1], -math.inf)
    return (*bounds[:-1], last if last > bounds[-2] else bounds[-1])


def _ends_between(bounds: Sequence[float], after: float, upto: float, whole: bool) -> bool:
    """Whether whole numbers up to `upto` and beyond `after` are told apart already."""
    return whole and any(after < bound <= upto for bound in bounds)


def _edges_of_values(values: Floats) -> tuple[float, ...]:
    """[v, next v) each, the last as wide as half the smallest gap: what lies higher is new, and counted as above."""
    last = float(values[-1])
    end = last + _last_width(values)
    if not end > last:
        end = math.nextafter(last, math.inf)
    if not math.isfinite(end):  # the largest double there is: its bin reaches down instead
        return tuple(np.unique([*values, math.nextafter(last, -math.inf)]).tolist())
    return (*values.tolist(), end)


def _last_width(values: Floats) -> float:
    whole = bool((values == np.rint(values)).all())
    if len(values) == 1 and not whole:
        return abs(float(values[0])) * 1e-9  # a constant: any other value is below or above it
    with np.errstate(over="ignore"):
        gap = float(np.diff(values).min()) if len(values) > 1 else 1.0
    return min(gap, 1.0) / 2 if whole else gap / 2


def categories(texts: FrequentTexts) -> tuple[tuple[str, ...], frozenset[int]]:
    """The texts with a bin of their own, most frequent first, and the hashes of others that were seen (≤ 65,536)."""
    enough = max(CATEGORY_SHARE_MIN * texts.total, 1.0)
    ranked = texts.top(CATEGORIES_MAX + OTHER_SEEN_MAX)
    own = tuple(key for key, count in ranked[:CATEGORIES_MAX] if isinstance(key, str) and count >= enough)
    return own, other_seen([key for key, _ in ranked], own)


def other_seen(ranked: Sequence[str | int], own: Sequence[str]) -> frozenset[int]:
    """Hashes of the most frequent texts that are not among `own`."""
    taken = set(own)
    rest = [key if isinstance(key, int) else text_hash(key) for key in ranked if key not in taken]
    return frozenset(rest[:OTHER_SEEN_MAX])


def rare_cells(texts: FrequentTexts, own: Sequence[str], seen: frozenset[int]) -> int:
    """In how many cells "other" is counted: eight, or four, where each has at least two categories and a thousandth of
    the rows on average; else one. Of less no cell could be judged by itself."""
    if not texts.total:
        return 1
    share = 1.0 - sum(texts.counts.get(key, 0) for key in own) / texts.total
    most = min(len(seen) / RARE_MIN, share / CATEGORY_SHARE_MIN)
    return next((cells for cells in (RARE_CELLS_MAX, RARE_CELLS_MAX // 2) if cells <= most), 1)


def text_key(text: str) -> str | int:
    """What a text is counted under: itself, or its hash where it is too long to be anyone's category."""
    return text if len(text) <= LONG_TEXT else text_hash(text)

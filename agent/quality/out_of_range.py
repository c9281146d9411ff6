"""Numbers below the smallest or above the largest of the reference: another unit, a sentinel, a broken sensor."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from agent.bins import Feature
from agent.quality.inside import inside_change
from agent.quality.measure import Look, Measure, Of, percent
from agent.records import Ints, Kind

HINT_SHARE_MIN = 0.25  # of values out of range, before a changed unit is suggested
HINT_RATIO_MIN = 1.3  # medians apart by less are no change of unit anyone uses (a yard and a metre: 1.09)
ONE_VALUE = 1e-8  # of its size: how wide a bin is that was made for a constant


def _cells(feature: Feature) -> tuple[int, ...]:
    return (0, feature.bins - 1) if feature.kind is Kind.NUMBER else ()


def _credit(feature: Feature, then: Ints) -> int:
    """One fault, always: exact where the edges are the reference's own extremes.

    If rows are exchangeable, the values beyond the other sample's two extremes number at least k with the probability
    that among k + 1 rows drawn at most one is a reference row: the two-sample test with one fault in the reference.
    """
    return 1


def _describe(look: Look) -> str:
    below, above = look.now[0] / look.n, look.now[look.feature.bins - 1] / look.n
    said = (
        f"{percent(look.share)} of {look.n} values out of range "
        f"({percent(below)} below, {percent(above)} above; reference {percent(look.held(_cells(look.feature)))})"
    )
    if _one_value(look.feature, look.then):
        return f"{said}: it was always the same in the reference"
    ratio, bound = _median_ratio(look)
    if look.share < HINT_SHARE_MIN or 1.0 / HINT_RATIO_MIN < ratio < HINT_RATIO_MIN or not ratio > 0:
        return said
    word = {1: "at least ", -1: "at most ", 0: ""}[bound]
    return f"{said} and median {word}{ratio:.3g} times the reference's: unit changed?"


def _detail(look: Look) -> Mapping[str, float]:
    bins = slice(1, look.feature.bins - 1)
    ratio, _ = _median_ratio(look)
    return {
        "below": look.now[0] / look.n,
        "above": look.now[look.feature.bins - 1] / look.n,
        "inside_change": inside_change(look.now[bins], look.then[bins]),
        **({"median_ratio": ratio} if np.isfinite(ratio) else {}),
    }


def _median_ratio(look: Look) -> tuple[float, int]:
    """This median over the reference's, and 1 (-1) if it is out of range and the truth higher (lower) than that.

    NaN where the medians differ in sign or one is 0.
    """
    now, bound = _median(look.feature, look.now)
    then, _ = _median(look.feature, look.then)
    if not now * then > 0:
        return float("nan"), 0
    return now / then, bound if then > 0 else -bound


def _median(feature: Feature, cells: Ints) -> tuple[float, int]:
    """Interpolated inside its bin, among its whole numbers where they all are; out of range: the edge, and the side."""
    counts = cells[: feature.bins]
    rising = np.cumsum(counts)
    half = rising[-1] / 2.0
    if not half:
        return float("nan"), 0
    cell = int(np.searchsorted(rising, half))
    if cell == 0:
        return feature.edges[0], -1
    if cell == feature.bins - 1:
        return feature.edges[-1], 1
    low, high = feature.edges[cell - 1], feature.edges[cell]
    if feature.integral:  # [0, 0.5) holds nothing but zeros
        low, high = _whole(feature, cell)
    inside = (half - float(rising[cell - 1])) / float(counts[cell])
    return low + (high - low) * inside, 0


def _whole(feature: Feature, cell: int) -> tuple[float, float]:
    """The smallest and the largest whole number of a bin; only the last one holds its end."""
    low, end = math.ceil(feature.edges[cell - 1]), feature.edges[cell]
    high = math.floor(end) if cell == feature.bins - 2 else math.ceil(end) - 1
    return float(low), float(max(low, high))


def _one_value(feature: Feature, then: Ints) -> bool:
    """Whether the reference never held but one value, as far as its bins tell."""
    (held,) = np.nonzero(then[: feature.bins])
    if len(held) != 1 or not 0 < held[0] < feature.bins - 1:
        return False
    cell = int(held[0])
    low, high = _whole(feature, cell) if feature.integral else (feature.edges[cell - 1], feature.edges[cell])
    return high - low <= ONE_VALUE * abs(low)


OUT_OF_RANGE = Measure("out_of_range", Of.VALUES, _cells, _describe, _detail, _credit)

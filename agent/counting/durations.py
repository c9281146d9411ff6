"""Durations as counts: OTLP's exponential histogram, and seconds back from it.

Bucket i holds the seconds in (2^((i+OFFSET)/4), 2^((i+1+OFFSET)/4)], 1 µs to 4,096 s; the outermost also what lies
beyond. Quantiles are interpolated on the logarithm and right to about a tenth, 19 % at most.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from agent.records import Floats, Ints

SCALE = 2  # base 2 ** (2 ** -2)
OFFSET = -80  # bucket 0 ends at 2 ** ((OFFSET + 1) / 4) s: about a microsecond
BUCKETS = 128  # up to 4,096 s
MAX_SECONDS = 1e9  # no prediction takes thirty years: such a value, or infinity, would stay in the sum for ever
SHARES = (0.5, 0.95, 0.99)
# Upper bounds of all buckets but the last: what lies on one belongs below it.
EDGES = 2.0 ** ((np.arange(BUCKETS - 1) + OFFSET + 1) / (1 << SCALE))


def bucket(seconds: Floats) -> Ints:
    """The bucket of each duration (not NaN, not negative): upper bounds belong to the bucket, as OTLP asks."""
    return np.searchsorted(EDGES, seconds, side="left").astype(np.int64)


def histogram(seconds: Floats) -> tuple[Ints, float]:
    """int64 (BUCKETS,) and the sum; what is no duration (NaN, negative, of thirty years) is in neither."""
    known = seconds[(seconds >= 0) & (seconds < MAX_SECONDS)]  # NaN compares false
    return np.bincount(bucket(known), minlength=BUCKETS), float(known.sum())


def quantiles(buckets: npt.NDArray[np.integer], shares: Sequence[float] = SHARES) -> tuple[float, ...]:
    """Seconds below which each share of the rows lies, interpolated inside a bucket on the logarithm. Empty: ().

    >>> counts = np.zeros(128, dtype=np.int32); counts[80] = 10  # 1 s to 1.19 s
    >>> [round(q, 3) for q in quantiles(counts, (0.5, 1.0))]
    [1.091, 1.189]
    """
    rising = np.cumsum(buckets, dtype=np.int64)
    if not rising[-1]:
        return ()
    found = []
    for share in shares:
        rank = share * float(rising[-1])
        i = int(np.searchsorted(rising, rank))
        inside = (rank - float(rising[i] - buckets[i])) / max(1.0, float(buckets[i]))
        found.append(float(2.0 ** ((i + OFFSET + inside) / (1 << SCALE))))
    return tuple(found)

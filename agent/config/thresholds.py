"""A fixed threshold on a distance people know, as `SIDELIGHT_DRIFT_RULE` has it: psi>0.2,ks>0.15."""

from __future__ import annotations

import math
from dataclasses import dataclass

# What a fixed threshold may be set on, and the most it can be: beyond, it would never alarm.
DISTANCES = {
    "psi": math.inf,
    "chi_square": math.inf,
    "jensen_shannon": 1.0,
    "ks": 1.0,
    "wasserstein": math.inf,
    "l_infinity": 1.0,
}


@dataclass(frozen=True, slots=True)
class Threshold:
    """A fixed limit on one distance of the newest window, as a user sets it.

    >>> str(Threshold("psi", 0.2))
    'psi>0.2'
    """

    distance: str
    limit: float

    def __str__(self) -> str:
        return f"{self.distance}>{self.limit:g}"


def thresholds(text: str) -> tuple[Threshold, ...]:
    """Raises ValueError with what was expected."""
    found = tuple(_threshold(part) for part in text.split(",") if part.strip())
    if len({each.distance for each in found}) < len(found):
        raise ValueError("each distance once")
    return found


def _threshold(text: str) -> Threshold:
    distance, _, limit = (part.strip() for part in text.partition(">"))
    try:
        found = float(limit)
    except ValueError:
        found = math.nan
    most = DISTANCES.get(distance, 0.0)
    if not 0.0 < found < most:
        ranges = f" under {most:g}" if 0.0 < most < math.inf else ""
        raise ValueError(
            f"DISTANCE>LIMIT[,DISTANCE>LIMIT…] with a finite limit above 0{ranges}; distances: {', '.join(DISTANCES)}"
        )
    return Threshold(distance, found)

"""What one check would see of one feature."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

from agent.records import Source

FOUND = 0.8  # of such changes are found
# A statistic's lower fifth stands for it, its mean less 0.84 standard deviations: what passes with that passes in 80 %.
LOWER_FIFTH = NormalDist().inv_cdf(FOUND)


@dataclass(frozen=True, slots=True)
class Seen:
    """The smallest change found over one horizon: of a number in σ, else what `Sight.before` rises to."""

    horizon: int  # windows
    smallest: float


@dataclass(frozen=True, slots=True)
class Sight:
    """What one check would see of one feature.

    unit: "σ" (a shift of the mean), "sd" (its spread, 1 before), "share" or "ratio" (1 before). before: NaN for σ.
    seen: by rising horizon, those where something is seen at all; empty: blind, and `reason` says why. segment:
    "region=north", of that part of the traffic alone.
    """

    check: str
    subject: str
    source: Source
    unit: str
    before: float = float("nan")
    seen: tuple[Seen, ...] = ()
    reason: str = ""
    critical: bool = False
    segment: str = ""

    def within(self, windows: float) -> Seen | None:
        """The smallest change found within so many windows; of nearly equal ones, the soonest. None: none."""
        fits = [seen for seen in self.seen if seen.horizon <= windows]
        least = min((seen.smallest for seen in fits), default=0.0)
        near = least + 0.05 * (least if self.unit == "σ" else least - self.before)
        return next((seen for seen in fits if seen.smallest <= near), None)

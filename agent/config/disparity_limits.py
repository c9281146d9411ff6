"""A user's limit on a disparity, as `SIDELIGHT_FAIRNESS_LIMIT` has it: demographic_parity_ratio<0.8."""

from __future__ import annotations

import math
from dataclasses import dataclass

DIFFERENCES = (
    "demographic_parity_difference", "equal_opportunity_difference", "equalized_odds_difference",
    "precision_difference", "accuracy_difference", "calibration_error_difference", "mean_error_difference",
    "mean_absolute_error_difference",
)  # fmt: skip
RATIOS = ("demographic_parity_ratio", "equal_opportunity_ratio", "equalized_odds_ratio")
OF_ERRORS = ("mean_error_difference", "mean_absolute_error_difference")  # in the model's own unit: any size
EXPECTED = (
    "METRIC>LIMIT for a difference or METRIC<LIMIT for a ratio, comma separated, each metric once, the limit "
    f"above 0 and under 1 (of errors: above 0); metrics: {', '.join((*DIFFERENCES, *RATIOS))}"
)


@dataclass(frozen=True, slots=True)
class DisparityLimit:
    """More than this is not to be, of a difference; of a ratio, less.

    >>> str(DisparityLimit("demographic_parity_ratio", 0.8)), str(DisparityLimit("accuracy_difference", 0.1))
    ('demographic_parity_ratio<0.8', 'accuracy_difference>0.1')
    """

    metric: str
    limit: float

    @property
    def ratio(self) -> bool:
        return self.metric in RATIOS

    def __str__(self) -> str:
        return f"{self.metric}{'<' if self.ratio else '>'}{self.limit:g}"


def disparity_limits(text: str) -> tuple[DisparityLimit, ...]:
    """Raises ValueError with what was expected."""
    found = tuple(_limit(part.strip()) for part in text.split(",") if part.strip())
    if len({each.metric for each in found}) < len(found):
        raise ValueError(EXPECTED)
    return found


def _limit(text: str) -> DisparityLimit:
    sign = "<" if "<" in text else ">"
    metric, _, number = (part.strip() for part in text.partition(sign))
    try:
        limit = float(number)
    except ValueError:
        limit = math.nan
    most = math.inf if metric in OF_ERRORS else 1.0
    if metric not in (RATIOS if sign == "<" else DIFFERENCES) or not 0.0 < limit < most:
        raise ValueError(EXPECTED)
    return DisparityLimit(metric, limit)

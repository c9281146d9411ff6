"""Traffic with days, weeks and more than chance, for the volume's null and power."""

from __future__ import annotations

import math

import numpy as np

from agent.records import Ints
from agent.volume.judge import Volume
from agent.volume.past import HOUR_NS, Counted

START = 1_700_000_000_000_000_000 // HOUR_NS
ALPHA = 0.08 * 0.05 / 24  # the ledger's share of the default dial, by the hour


def rows(seed: int, days: int, variation: float, mean: float = 1000.0) -> Ints:
    """int64 (hours,): Poisson about a rate that goes with hour and weekend and wanders by `variation`, hour by hour."""
    rng = np.random.default_rng(seed)
    hour = np.arange(24 * days)
    at = START + hour
    season = 0.6 * np.sin(2 * math.pi * (at % 24) / 24) - 0.3 * (at // 24 % 7 >= 5)
    spread = math.log1p(variation**2)
    return rng.poisson(mean * np.exp(season + math.sqrt(spread) * rng.normal(size=hour.size) - spread / 2))


def alarms(counts: Ints, volume: Volume | None = None) -> list[int]:
    """Which hours alarm."""
    volume = volume or Volume.of(HOUR_NS)
    return [i for i, n in enumerate(counts) if volume.close(Counted(START + i, int(n), 3600.0), ALPHA).alarms]

"""What the checks of the service itself see: slower answers, rows that come twice, more or less traffic.

Their reference is the service's own past. Each judge is asked itself, with windows that hold exactly what was learned,
changed; found in half of all cases so, and by 0.84 standard deviations more in four of five.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from agent import latency
from agent.counting.durations import BUCKETS
from agent.counting.fingerprints import KEPT_MAX
from agent.latency import LatencyBaseline
from agent.power.rates import rate_of
from agent.power.sight import LOWER_FIFTH, Seen, Sight
from agent.records import Cells, Finding, Floats, Source
from agent.volume import duplicates
from agent.volume.duplicates import Usual
from agent.volume.judge import RATIO_MIN, Volume
from agent.volume.past import ENTRIES_MAX, HOUR_NS, Counted

RATIOS = 1.02 ** np.arange(1, 200)  # of latency; what 50 times does not show counts as not seen
OCTAVE = 4  # buckets
ASSUMED = (
    "volume: of a service whose hours vary by so much, after five weeks; duplicates, latency: of one whose past is all "
    "alike; the running agent goes by the past it has"
)
VARIATIONS = (0.1, 0.2, 0.3)  # of an hour's traffic, beyond chance: where no past is known


def latency_sight(baseline: LatencyBaseline, alpha: float, rows: float) -> Sight:
    """All answers slower by a factor."""
    pooled = baseline.blocks.sum(axis=0, dtype=np.int64)
    found = 0.0
    for ratio in RATIOS.tolist() if baseline.ready else ():
        told = latency.judge([_slower(pooled, ratio, rows)], baseline, alpha, 0)
        if told.alarms:
            found = max(ratio, latency.RATIO_MIN) * 2.0 ** (LOWER_FIFTH * _wander(baseline))
            break
    seen = (Seen(1, found),) if found else ()
    reason = "" if seen else told.reason if baseline.ready else "the service's first windows are still learned"
    return Sight("latency", "latency", Source.LATENCY, "ratio", 1.0, seen, reason)


def _slower(pooled: Floats | Cells | np.ndarray, ratio: float, rows: float) -> Cells:
    """int32 (128,): so many rows, distributed as those but so many times slower."""
    upto = np.concatenate(([0.0], np.cumsum(pooled))) / max(float(pooled.sum()), 1.0)
    at = np.arange(BUCKETS + 1) - OCTAVE * math.log2(ratio)
    moved = np.interp(at, np.arange(BUCKETS + 1), upto)
    moved[-1] = 1.0
    found: Cells = np.diff(np.round(moved * rows)).astype(np.int32)
    return found


def _wander(baseline: LatencyBaseline) -> float:
    """Standard deviation of a window's mean log2 seconds, from the mean of those known."""
    places = np.arange(BUCKETS) / OCTAVE
    means = baseline.blocks @ places / np.maximum(baseline.blocks.sum(axis=1), 1)
    return float(means.std(ddof=1)) * math.sqrt(1.0 + 1.0 / len(means))


def duplicates_sight(usual: Usual, alpha: float, rows: float) -> Sight:
    """A share of the rows that came before, under new ids."""
    n = int(rows) if rows <= KEPT_MAX else KEPT_MAX // 2  # of a large window a sample is kept
    known, before = usual.of(duplicates.ROWS)
    share = float(before.sum() / known.sum()) if known.size else 0.0

    def told(count: int) -> Finding | None:
        return duplicates.judge({duplicates.ROWS: (n, count)}, usual, alpha, 0) if n else None

    least = next((count for count in range(1, n + 1) if (f := told(count)) is not None and f.alarms), 0)
    whole = told(least or n)
    if not least or whole is None:
        return Sight("duplicates", "rows", Source.ROW, "share", share, (), whole.reason if whole else "no rows")
    spread = whole.phi / (n / max(share, 0.5 / max(float(known.sum()), 1.0)))  # of a share that wanders as usual
    found = max(rate_of(least, n, 1.0), least / n + LOWER_FIFTH * math.sqrt(spread))
    return Sight("duplicates", "rows", Source.ROW, "share", share, (Seen(1, min(found, 1.0)),))


def volume_sight(finding: Finding, window_seconds: float, subject: str = "traffic") -> Sight:
    """finding: of the volume check, which has reckoned from the service's past what one window shows half the time."""
    smallest, double = (finding.distances.get(name, 0.0) for name in ("smallest_ratio", "windows_for_double"))
    if not smallest:
        return Sight("volume", subject, Source.ROW, "ratio", 1.0, (), finding.reason)
    rows = max(finding.expected * window_seconds, 1.0)
    more = math.exp(LOWER_FIFTH * math.sqrt(finding.phi / rows))
    seen = [Seen(1, max(smallest, RATIO_MIN) * more)]
    if double > 1 and seen[0].smallest > 2.0 * more:
        seen.append(Seen(int(double), 2.0 * more))
    return Sight("volume", subject, Source.ROW, "ratio", 1.0, tuple(seen))


def sights_without_a_past(alphas: tuple[float, float, float], rows: float, window_seconds: float) -> list[Sight]:
    """Before any agent runs: volume of services whose hours vary by so much, after five weeks; duplicates and latency
    of one whose past is all alike, where least is needed. alphas: of volume, duplicates and latency."""
    found = [_of_variation(variation, alphas[0], rows, window_seconds) for variation in VARIATIONS]
    windows = max(duplicates.WINDOWS_MIN, latency.LEARN_BLOCKS_MIN)
    n = int(min(rows, KEPT_MAX))
    usual = Usual(((n, 0, n, 0),) * windows) if n else Usual()
    same = np.zeros((latency.LEARN_BLOCKS_MAX, BUCKETS), dtype=np.int32)
    same[:, BUCKETS // 2] = max(int(rows), 1)
    return [*found, duplicates_sight(usual, alphas[1], rows), latency_sight(LatencyBaseline(same), alphas[2], rows)]


def _of_variation(variation: float, alpha: float, rows: float, window_seconds: float) -> Sight:
    """Of a service without seasons: quantiles of a normal, in a seeded order, are the logarithms of its hours."""
    window_ns = round(window_seconds * 1e9)
    hours = max(HOUR_NS, window_ns) // window_ns
    many = min(ENTRIES_MAX, 840)
    normal = NormalDist(math.log(max(rows, 1.0)), math.sqrt(math.log1p(variation**2)))
    logs = np.random.default_rng(1).permutation([normal.inv_cdf((i + 0.5) / many) for i in range(many)])
    volume = Volume.of(window_ns)
    for i, rate in enumerate(logs.tolist()):
        window = Counted(i * hours, round(math.exp(rate)), window_seconds)
        volume.past = volume.past.with_newest(window).learn(window, window_ns)
    window = Counted(many * hours, round(rows), window_seconds)
    return volume_sight(volume.close(window, alpha), window_seconds, f"traffic ±{variation * 100:.0f} %")

"""Did the model become slow? Against its own past, and against a promise.

Latency comes as int32 (128,) buckets, those of `agent/counting/durations.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from agent.counting.durations import BUCKETS, OFFSET, SCALE, SHARES, quantiles
from agent.errors import CorruptError
from agent.records import Cells, Finding, Floats, Source, Verdict
from agent.statistics.tails import binomial_tail, student_tail

_LOWEST, _WIDTH = OFFSET / (1 << SCALE), 1.0 / (1 << SCALE)  # in octaves (log2 of seconds)
_MIDDLES: Floats = _LOWEST + _WIDTH * (np.arange(BUCKETS, dtype=np.float64) + 0.5)

LEARN_ROWS_MIN = 50  # a window of fewer says little about p95
LEARN_BLOCKS_MIN = 8
LEARN_BLOCKS_MAX = 32  # then the past stands; a slow service must not become the new usual
JUDGE_ROWS_MIN = 20
RATIO_MIN = 1.5  # of p50 or p95: less is a busy neighbour, not an incident
# What is believed of a service's windows before eight of them are known: their mean latency wanders by a fifth (0.25
# octaves, the usual of shared machines), as sure as eight windows would make it. It buys the t test its tail: at
# α = 1e-6 eight degrees of freedom ask for t = 12, sixteen for 7. Raftery's and Smyth's (2004) moderated t.
PRIOR_SPREAD, PRIOR_BLOCKS = 0.25, 8


@dataclass(frozen=True, slots=True, eq=False)
class LatencyBaseline:
    """The first windows of traffic. blocks: int32 (blocks, 128). A value: `learn` gives a new one."""

    blocks: npt.NDArray[np.int32] = field(default_factory=lambda: np.zeros((0, BUCKETS), dtype=np.int32))

    @property
    def ready(self) -> bool:
        """Whether there are enough blocks to judge by."""
        return len(self.blocks) >= LEARN_BLOCKS_MIN

    def learn(self, window: Cells) -> LatencyBaseline:
        """With one closed window more; unchanged when it has under 50 rows, or 32 blocks are known.

        Judge first, and do not learn from a window that alarms. From the ninth block on each one narrows what is usual.
        """
        if len(self.blocks) >= LEARN_BLOCKS_MAX or int(window.sum()) < LEARN_ROWS_MIN:
            return self
        return LatencyBaseline(np.vstack((self.blocks, np.asarray(window, dtype=np.int32)[None])))

    def to_bytes(self) -> bytes:
        """Little endian int32, block after block."""
        return self.blocks.astype("<i4").tobytes()

    @classmethod
    def from_bytes(cls, stored: bytes) -> LatencyBaseline:
        """Raises CorruptError where the length is not whole blocks or a count is negative."""
        if len(stored) % (4 * BUCKETS):
            raise CorruptError(f"latency baseline: {len(stored)} bytes are not blocks of {4 * BUCKETS}")
        blocks = np.frombuffer(stored, dtype="<i4").reshape(-1, BUCKETS).astype(np.int32)
        if (blocks < 0).any():
            raise CorruptError("latency baseline: a count is negative")
        return cls(blocks)


def judge(recent: Sequence[Cells], baseline: LatencyBaseline, alpha: float, newest_window: int) -> Finding:
    """The newest window against the baseline. recent: int32 (128,) each, newest last.

    effect: the larger ratio of p50 and p95 to the baseline's; current, expected: p50 in seconds, then and now.
    An alarm needs a mean log-latency that rose (one-sided p ≤ α) and a ratio ≥ 1.5.
    """
    now = np.zeros(BUCKETS, dtype=np.int64) if not recent else np.asarray(recent[-1], dtype=np.int64)
    then = baseline.blocks.sum(axis=0, dtype=np.int64)
    n, n_reference = int(now.sum()), int(then.sum())
    distances = {**_named(now, ""), **_named(then, "baseline_")}

    def finding(
        verdict: Verdict, reason: str, p: float = float("nan"), effect: float = float("nan"), phi: float = 1.0
    ) -> Finding:
        return Finding(
            "latency", "latency", Source.LATENCY, verdict, p, alpha, effect, n=n, n_reference=n_reference, phi=phi,
            first_window=newest_window, current=distances.get("p50", float("nan")),
            expected=distances.get("baseline_p50", float("nan")), distances=distances, reason=reason,
        )  # fmt: skip

    if not n:
        return finding(Verdict.NO_DATA, "no latency came")
    if not baseline.ready:
        return finding(Verdict.LEARNING, f"{len(baseline.blocks)} windows of {LEARN_BLOCKS_MIN} known")
    if n < JUDGE_ROWS_MIN:
        return finding(Verdict.NOT_ENOUGH_ROWS, f"{n} rows, {JUDGE_ROWS_MIN} are needed")
    ratios = {name: distances[name] / distances[f"baseline_{name}"] for name in ("p50", "p95")}
    effect = max(ratios.values())
    p, phi = _location(now, baseline)
    told = (f"{name} {_seconds(distances[name])} ({ratio:.1f} times the usual)" for name, ratio in ratios.items())
    said = ", ".join(told)
    if p > alpha:
        return finding(Verdict.WITHIN_NOISE, said, p, effect, phi)
    if effect < RATIO_MIN:
        return finding(Verdict.BELOW_FLOOR, f"{said}; under {RATIO_MIN} times is not worth an alarm", p, effect, phi)
    return finding(Verdict.ALARM, said, p, effect, phi)


def usual_p99(baseline: LatencyBaseline) -> float:
    """Seconds below which 99 % of the baseline's rows lie; infinity where it has none."""
    found = quantiles(baseline.blocks.sum(axis=0, dtype=np.int64), SHARES[-1:])
    return found[0] if found else math.inf


def judge_objective(
    recent: Sequence[Cells], objective_seconds: float, alpha: float, newest_window: int
) -> Finding | None:
    """Whether more than 1 % of the newest window's rows took longer than `objective_seconds`. 0: no objective, None.

    Exact binomial test of the rows over it against 1 %: the promise is fixed, so nothing of the past is asked.
    effect: p99 over the objective; current, expected: the share of rows over it, and 0.01.
    """
    if objective_seconds <= 0:
        return None
    now = np.zeros(BUCKETS, dtype=np.int64) if not recent else np.asarray(recent[-1], dtype=np.int64)
    n, distances = int(now.sum()), _named(now, "")
    if not n:
        verdict, p, effect, over, reason = Verdict.NO_DATA, float("nan"), float("nan"), 0, "no latency came"
    else:
        over, effect = int(_above(now, objective_seconds)), distances["p99"] / objective_seconds
        p = binomial_tail(over, n, 1.0 - SHARES[-1])
        broken = effect > 1.0 and p <= alpha
        verdict = Verdict.ALARM if broken else Verdict.WITHIN_NOISE
        limit = _seconds(objective_seconds)
        reason = f"p99 {_seconds(distances['p99'])}, {over} of {n} rows over the objective of {limit}"
    return Finding(
        "latency_objective", "latency", Source.LATENCY, verdict, p, alpha, effect, n=n, first_window=newest_window,
        current=over / n if n else float("nan"), expected=1.0 - SHARES[-1],
        distances={**distances, "objective": objective_seconds}, reason=reason,
    )  # fmt: skip


def _location(now: npt.NDArray[np.int64], baseline: LatencyBaseline) -> tuple[float, float]:
    """One-sided p of the mean log-latency, and φ: the difference's variance over that of independent rows.

    The difference's variance is that of block means, moderated by the prior, plus the window's own sampling.
    """
    blocks = baseline.blocks.astype(np.float64)
    rows = blocks.sum(axis=1)
    means = blocks @ _MIDDLES / rows
    pooled = blocks.sum(axis=0)
    n, n_reference, count = float(now.sum()), float(pooled.sum()), len(blocks)
    centre = float(pooled @ _MIDDLES / n_reference)
    within = float(pooled @ (_MIDDLES - centre) ** 2 / n_reference) + _WIDTH**2 / 12.0  # Sheppard: a bucket's own width
    between = float(((means - means.mean()) ** 2).sum())
    freedom = PRIOR_BLOCKS + count - 1
    spread = (PRIOR_BLOCKS * PRIOR_SPREAD**2 + between) / freedom
    variance = spread * (1.0 + 1.0 / count) + within / n
    risen = float(now @ _MIDDLES / n) - float(means.mean())
    return student_tail(risen / math.sqrt(variance), freedom), variance / (within * (1.0 / n + 1.0 / n_reference))


def _above(buckets: npt.NDArray[np.int64], seconds: float) -> float:
    """Rows above `seconds`, interpolated as quantiles are."""
    at = min(max((math.log2(seconds) - _LOWEST) / _WIDTH, 0.0), float(BUCKETS))
    i = int(at)
    if i == BUCKETS:
        return 0.0
    return float(buckets[i + 1 :].sum()) + float(buckets[i]) * (1.0 - (at - i))


def _named(buckets: npt.NDArray[np.integer], prefix: str) -> Mapping[str, float]:
    if not buckets.any():
        return {}
    return dict(zip((f"{prefix}p50", f"{prefix}p95", f"{prefix}p99"), quantiles(buckets), strict=True))


def _seconds(value: float) -> str:
    return f"{value:.3g} s" if value >= 1.0 else f"{value * 1e3:.3g} ms"

"""A value that varied and is now always the same: a feed that is stuck, a default filled in for everyone."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from agent.bins import Feature
from agent.quality.measure import Of, percent
from agent.quality.spread import Spread
from agent.records import BinChange, Cells, Finding, Floats, Ints, Kind, Source, Verdict
from agent.reference.profile import Reference

CHECK = "constant"
ROWS_MIN = 10
BLOCKS_MIN = 8
REST_MIN = 0.02  # share of all other bins in the reference, below which one bin is nearly all there ever was


class Constant:
    """One test a feature and window: how likely do all values fall in one bin, if nothing changed?

    Two answers, the larger counts. Dealt out blindly, both samples together: Σ C(K, n) / C(N + n, n) over the bins, K
    the values of both samples in a bin; exact. And where the reference's shares wander from block to block, all n in
    one bin under a Dirichlet-multinomial (Mosimann 1962) with their variance, two standard errors more of it: within a
    window rows are alike. Blocks of the reference that were constant themselves bound p from below.
    """

    def __init__(self, reference: Reference, bases: Mapping[Of, Ints], alpha: Callable[[int], float]) -> None:
        """bases: of the reference's blocks, (blocks, features) each; alpha: of a feature, 0: no test."""
        self._layout, self._blocks, self._then = reference.layout, reference.blocks, reference.pooled
        self._values = bases[Of.VALUES]
        features = self._layout.features
        self._alpha = {i: alpha(i) for i, feature in enumerate(features) if _own(feature)}
        self._tested = np.array([i for i, a in self._alpha.items() if a > 0], dtype=np.int64)
        first = [int(self._layout.starts[i]) + _own(features[i])[0] for i in self._tested]
        last = [int(self._layout.starts[i]) + _own(features[i])[-1] for i in self._tested]
        self._cuts = np.array([first, np.array(last) + 1], dtype=np.int64).T.ravel()

    def judge(self, counts: Cells, values: Ints, window: int) -> Iterator[list[Finding]]:
        """A finding for each feature whose values all lie in one bin; counts: (cells,), values: (features,)."""
        if not self._tested.size:
            return
        largest = np.maximum.reduceat(counts, self._cuts)[0::2]
        n = values[self._tested]
        for k in np.flatnonzero((n >= ROWS_MIN) & (largest == n)).tolist():
            yield [self._find(int(self._tested[k]), counts, int(n[k]), window)]

    def _find(self, i: int, counts: Cells, n: int, window: int) -> Finding:
        feature, cells = self._layout.features[i], self._layout.slice(i)
        then = self._then[cells][: feature.bins]
        n_reference, alpha = int(then.sum()), self._alpha[i]
        cell = int(np.argmax(counts[cells][: feature.bins]))
        share = int(then[cell]) / n_reference if n_reference else float("nan")
        verdict, p, reason = self._verdict(i, cell, n, share, alpha)
        return Finding(
            CHECK, feature.name, feature.source, verdict, p_value=p, alpha=alpha, effect=1.0 - share, n=n,
            n_reference=n_reference, first_window=window, current=1.0, expected=share, reason=reason,
            changes=(BinChange(feature.label(cell), feature.told(cell), share, 1.0),) if n_reference else (),
        )  # fmt: skip

    def _verdict(self, i: int, cell: int, n: int, share: float, alpha: float) -> tuple[Verdict, float, str]:
        if math.isnan(share):
            return Verdict.NO_REFERENCE, share, "the reference has no value of it"
        cells = self._layout.slice(i)
        then = self._then[cells][: self._layout.features[i].bins]
        p = max(_dealt(then, cell, n), self._wandering(i, cell, n))
        said = f"all {n} values fall in one bin, which held {percent(share)} in the reference: stuck?"
        if p > alpha:
            return Verdict.WITHIN_NOISE, p, "all in one bin, as chance and the reference's own wander bring"
        if 1.0 - share < REST_MIN:
            return Verdict.BELOW_FLOOR, p, f"{said} All others held under {percent(REST_MIN)}"
        blocks = int((self._values[:, i] > 0).sum())
        if blocks < BLOCKS_MIN:
            return Verdict.REFERENCE_TOO_SHORT, p, f"{said} {blocks} reference blocks of {BLOCKS_MIN}"
        return Verdict.ALARM, p, said

    def _wandering(self, i: int, cell: int, n: int) -> float:
        start, bins = int(self._layout.starts[i]), self._layout.features[i].bins
        blocks, rows = self._blocks[:, start : start + bins].astype(np.int64), self._values[:, i]
        enough = rows >= ROWS_MIN
        stuck = int((blocks.max(axis=1)[enough] == rows[enough]).sum())
        spread = Spread.of(blocks[:, [cell]], rows[:, None])
        noise = 1.0 / max(float(rows[rows > 0].mean()), 1.0)
        doubt = 2.0 * math.sqrt(2.0 / max(int(spread.blocks[0]), 1)) * (float(spread.excess[0]) + noise)
        excess = min(float(spread.excess[0]) + doubt, 0.999)
        p = _one_bin(self._then[start : start + bins] / max(int(rows.sum()), 1), n, excess)
        return max(p, (stuck + 1) / (int(enough.sum()) + 1)) if stuck else p


def _own(feature: Feature) -> tuple[int, ...]:
    """Bins that hold one value, or a narrow range of them."""
    if feature.ignored or feature.computed or feature.source is Source.LATENCY or not feature.bins:
        return ()
    if feature.kind is Kind.NUMBER:
        return tuple(range(1, feature.bins - 1))
    if feature.kind is Kind.TEXT:
        return tuple(range(len(feature.categories)))
    return (0, 1) if feature.kind is Kind.FLAG else ()


def _dealt(then: Ints, cell: int, n: int) -> float:
    """P(all n of a sample in one bin | both samples together), where they all are in `cell`.

    >>> round(_dealt(np.array([1, 1]), 0, 2), 9)
    0.5
    """
    both = then.copy()
    both[cell] += n
    everything = _log_choose(int(both.sum()), n)
    return min(1.0, sum(math.exp(_log_choose(int(k), n) - everything) for k in both if k >= n))


def _log_choose(k: int, n: int) -> float:
    return math.lgamma(k + 1.0) - math.lgamma(n + 1.0) - math.lgamma(k - n + 1.0)


def _one_bin(shares: Floats, n: int, excess: float) -> float:
    """P(all n in one bin), shares from a Dirichlet whose variance is excess · p(1-p); excess in (0, 1).

    >>> round(_one_bin(np.array([0.5, 0.5]), 3, 1e-9), 3)
    0.25
    """
    whole = 1.0 / excess - 1.0
    rest = math.lgamma(whole) - math.lgamma(whole + n)
    own = [whole * float(share) for share in shares if share > 0]
    return min(1.0, sum(math.exp(math.lgamma(a + n) - math.lgamma(a) + rest) for a in own))

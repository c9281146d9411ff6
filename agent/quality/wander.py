"""How a fault's rate wanders over windows that are pooled: a rate that moves slowly does not average out.

The variance of the mean rate of h consecutive windows falls as 1/h where they are independent, and hardly where they
follow each other. Groups of h reference windows show it, but a reference has few of them; single windows and their
neighbours' correlation say the rest, so both are weighed together (docs/decisions/0023-rates-at-several-horizons.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agent.quality.spread import Spread
from agent.records import Bools, Floats, Ints
from agent.statistics.array_tails import f_tail
from agent.statistics.autocorrelation import mean_variance

LAG_MAX = 0.95
LAG_BLOCKS_MIN = 8
HIDDEN_MAX = 0.6
SHARED_MIN, LENT_MAX = 3, 400.0
GROUPS_MIN = 3
_OUTLIER = 0.05  # groups that stand out more than this against single windows speak for themselves
_LEVEL = 0.2  # of φ - 1, under which single windows' noise hides their correlation


@dataclass(frozen=True, slots=True)
class Wander:
    """Of one measure's m features. steps: (s,) horizons known, rising from 1; excess, freedom: float64 (s, m).

    excess: variance of the mean rate of so many windows over p(1-p), beyond chance; freedom: degrees of freedom it is
    known with. whole: (m,), the same of the whole reference's rate. blocks: int64 (m,), those with rows.
    """

    steps: Ints
    excess: Floats
    freedom: Floats
    whole: Floats
    blocks: Ints

    @classmethod
    def of(cls, faulty: Ints, rows: Ints, horizons: Sequence[int]) -> Wander:
        """faulty, rows: int64 (blocks, m), in order of time."""
        single = Spread.of(faulty, rows)
        noise = _noise(rows)
        lag, raw = _lag(faulty, rows), 1.0 + single.raw / noise
        blocks = np.maximum(single.blocks, 1).astype(np.float64)
        known = blocks * (1.0 - lag**2) / (1.0 + lag**2) * 2.0 / (2.0 + _kurtosis(faulty, rows, np.maximum(raw, 1.0)))
        phi, known = _shared(raw, known, lag, (faulty.sum(axis=0) > 0) & (single.blocks >= LAG_BLOCKS_MIN))
        # The rates' own correlation: noise, which is in φ too, hides a part of the neighbours'.
        own = np.where(lag > 0, np.minimum(lag * phi / np.maximum(phi - 1.0, _LEVEL), LAG_MAX), 0.0)
        # Windows are compared with a mean that moved with them: what that hid is put back.
        moved = mean_variance(own, blocks)
        alone = (phi - 1.0) * noise / (1.0 - np.clip(moved - 1.0 / blocks, 0.0, HIDDEN_MAX))
        steps, excess, freedom = [1], [alone], [known]
        for horizon in horizons:
            if horizon > 1 and len(faulty) // horizon >= GROUPS_MIN:
                pooled = mean_variance(own, float(horizon))
                hidden = np.clip(moved / pooled - horizon / blocks, 0.0, HIDDEN_MAX)
                shown = alone * pooled * (1.0 - hidden)
                found = _weighed(_grouped(faulty, horizon), _grouped(rows, horizon), shown, known)
                steps.append(horizon)
                excess.append(found[0] / (1.0 - hidden))
                freedom.append(found[1])
        longest = np.array(excess) * np.array(steps)[:, None] / blocks  # as if groups as long were independent
        whole = np.maximum(alone * moved, longest.max(axis=0))
        return cls(np.array(steps), np.array(excess), np.array(freedom), whole, single.blocks)

    def phi(self, i: int, windows: float, n: int, n_reference: int) -> tuple[float, float]:
        """φ ≥ 1 of the difference between n rows of so many windows and the reference, and its degrees of freedom.

        windows may be broken: (Σn)² / Σn² of windows that differ in rows (Kish 1965). More windows than the reference
        has groups for count as no more than those.
        """
        place = np.log(min(max(windows, 1.0), float(self.steps[-1])))
        ladder = np.log(self.steps)
        excess = float(np.interp(place, ladder, self.excess[:, i])) + float(self.whole[i])
        freedom = float(np.interp(place, ladder, self.freedom[:, i]))
        return 1.0 + excess / (1.0 / n + 1.0 / max(n_reference, 1)), max(freedom, 1.0)


def _noise(rows: Ints) -> Floats:
    """(m,): what chance alone adds to the variance of a window's rate, over p(1-p): the mean of 1/n."""
    there = rows > 0
    return np.asarray(
        np.where(there, 1.0 / np.maximum(rows, 1), 0.0).sum(axis=0) / np.maximum(there.sum(axis=0), 1) + 1e-12
    )


def _grouped(counts: Ints, size: int) -> Ints:
    groups = len(counts) // size
    whole = counts[len(counts) - groups * size :]  # the oldest are left over
    return np.asarray(whole.reshape(groups, size, -1).sum(axis=1))


def _lag(faulty: Ints, rows: Ints) -> Floats:
    """(m,) correlation of neighbouring windows' rates; 0 unless beyond two standard errors. Kendall's (1954) bias taken
    off, and one standard error put on."""
    blocks = len(faulty)
    if blocks < LAG_BLOCKS_MIN:
        return np.zeros(faulty.shape[1])
    rate = faulty.sum(axis=0) / np.maximum(rows.sum(axis=0), 1)
    apart = (faulty - rows * rate) / np.sqrt(np.maximum(rows, 1))
    square = np.maximum(np.square(apart).sum(axis=0), 1e-300)
    found = (apart[1:] * apart[:-1]).sum(axis=0) / square
    doubt = np.sqrt(np.maximum(1.0 - found**2, 0.0) / blocks)
    mended = np.minimum(found + (1.0 + 3.0 * found) / blocks + doubt, LAG_MAX)
    return np.where(found > 2.0 / np.sqrt(blocks), mended, 0.0)


def _kurtosis(faulty: Ints, rows: Ints, phi: Floats) -> Floats:
    """(m,) of a window's count, beyond a normal's: a negative binomial's of φ and the mean. A mean of such squares is
    worth fewer of them."""
    mean = faulty.sum(axis=0) / np.maximum((rows > 0).sum(axis=0), 1)
    return np.asarray((6.0 * (phi - 1.0) + 1.0 / phi) / np.maximum(mean, 0.01))


def _shared(raw: Floats, known: Floats, lag: Floats, there: Bools) -> tuple[Floats, Floats]:
    """(m,) φ ≥ 1 and degrees of freedom: each feature's own, drawn to what most features have in common.

    Empirical Bayes on log φ (Smyth 2004): how far features differ beyond chance says what the common value is worth. By
    medians, since one feature that wanders must not silence the others; one that stands out keeps its own, and so does,
    in part, one whose windows follow each other. One standard error more of difference: few features lend little.
    """
    count = int(there.sum())
    if count < SHARED_MIN:
        return np.maximum(raw, 1.0), known
    free = np.maximum(known[there], 1.0)
    logs = np.log(np.maximum(raw[there], 0.05)) + 1.0 / free
    middle = float(np.median(logs))
    spread = (1.4826 * float(np.median(np.abs(logs - middle)))) ** 2
    apart = max(spread - float(np.median(2.0 / free)), 0.0) + spread * (2.0 / 0.37 / count) ** 0.5
    centre = max(float(np.exp(middle)), 1.0)
    lent = min(2.0 / max(apart, 1e-9), LENT_MAX)
    surprise = f_tail(raw / centre, np.maximum(known, 1.0), max(lent, 1.0))
    own = lent * np.minimum(surprise / _OUTLIER, 1.0) * (1.0 - lag**2)
    return np.maximum((own * centre + known * raw) / (own + known), 1.0), known + own


def _weighed(faulty: Ints, rows: Ints, prior: Floats, known: Floats) -> tuple[Floats, Floats]:
    """(m,) excess and degrees of freedom: of groups, and of what single windows foretell, unless they disagree."""
    groups = Spread.of(faulty, rows)
    noise = _noise(rows)
    phi, foretold = 1.0 + groups.raw / noise, 1.0 + prior / noise
    own = np.maximum(groups.blocks - 1.0, 1.0)
    lent = known * np.minimum(f_tail(phi / foretold, own, np.maximum(known, 1.0)) / _OUTLIER, 1.0)
    drawn = (own * phi + lent * foretold) / (own + lent)
    return np.maximum(drawn - 1.0, 0.0) * noise, own + lent

"""Three score tests with one degree of freedom each: location, scale and skew, from the same counts.

The directions are those of Neyman's smooth test (1937; Rayner and Best 1989) over normal scores of the bins, made
orthonormal under the reference's pooled shares: efficient for a normal's shift and widening, where Legendre polynomials
of ranks lose 5 % and 20 % of the rows, and mix a shift into the third direction (docs/decisions/0011). A bin's normal
score is its mean, (φ(a) - φ(b)) / share, a and b the normal quantiles of its bounds (Hájek and Šidák 1967). A text's
ranks are those of its categories' shares.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from agent.records import Bools, Floats

if TYPE_CHECKING:
    from agent.drift.pooling import Cells


@dataclass(frozen=True)
class Scores:
    """vectors: (3, cells), mean 0 and variance 1 under the reference, 0 where a feature has too few cells for a degree.

    skewness: (3, features), of one value's score; NaN marks a degree the feature does not have.
    """

    vectors: npt.NDArray[np.float32]
    skewness: Floats


def orthonormal(cells: Cells, begins: Bools, without: Bools) -> Scores:
    """The directions for one way to pool. `without`: (features,) those that get none.

    Gram-Schmidt over x, x² (x the mean normal score of a cell) and the cube of its mid-rank, which is bounded: a third
    power of normal scores would have tails that a hundred rows don't average away. A direction that is nearly inside
    the former ones is left out.
    """
    starts = np.flatnonzero(begins)
    owner = cells.owner[starts]
    share = np.add.reduceat(cells.share, starts)
    first = np.searchsorted(starts, cells.starts)
    before = np.cumsum(share) - share
    rank = 2.0 * (before - before[first][owner] + share / 2.0) - 1.0
    upper = np.append(cells.density[starts[1:]], 0.0)
    upper[np.append(first[1:], starts.size) - 1] = 0.0
    normal = np.where(share > 0, (cells.density[starts] - upper) / np.where(share > 0, share, 1.0), 0.0)
    basis = [np.ones_like(share)]
    skewness = []
    for start in (normal, normal**2, rank**3):
        found = start
        for _ in range(2):  # twice is enough (Giraud et al. 2005)
            for other in basis:
                found = found - other * np.add.reduceat(found * other * share, first)[owner]
        norm = np.sqrt(np.add.reduceat(found * found * share, first))
        usable = (norm > 1e-6) & ~without
        found = np.where(usable[owner], found / np.where(usable, norm, 1.0)[owner], 0.0)
        basis.append(found)
        skewness.append(np.where(usable, np.add.reduceat(found**3 * share, first), np.nan))
    lengths = np.diff([*starts.tolist(), begins.size])
    vectors = np.repeat(np.array(basis[1:]), lengths, axis=1)
    return Scores(vectors.astype(np.float32), np.array(skewness))


def score_sums(cells: Cells, scores: Scores, counts: Floats) -> Floats:
    """(…, 3, features): the sum of every value's scores. counts: (…, cells)."""
    return np.stack([cells.sums(counts * vector) for vector in scores.vectors], axis=-2)


def normal_score(z: Floats, skewness: Floats) -> Floats:
    """A standardised mean with this skewness, turned into a normal deviate.

    Wilson and Hilferty's (1931) cube root of a gamma variable with the same third moment: without it the far tail of a
    rare category's count is wrong by a factor of fifty (Poisson mean 10, five standard deviations up).

    >>> normal_score(np.array([5.0, -3.0, 5.0]), np.array([0.316, 0.316, 0.0])).round(2).tolist()
    [4.12, -3.61, 5.0]
    """
    small = np.abs(skewness) < 1e-4
    g = np.where(small, 1.0, skewness)
    root = np.cbrt(np.maximum(1.0 + g * z / 2.0, 0.0))
    found: Floats = np.where(small, z, 6.0 / g * (root - 1.0) + g / 6.0)
    return found


def two_sample(mean: Floats, other: Floats, n: Floats, n_other: Floats, skewness: Floats) -> tuple[Floats, Floats]:
    """z of the difference of two means of scores with variance 1, raw and as a normal deviate.

    The variance is 1/n + 1/N: the reference is a sample too. Skewness of the difference: γ (1/n² - 1/N²) over its 3/2th
    power. Arrays broadcast; n = 0 gives 0.
    """
    a, b = 1.0 / np.maximum(n, 1.0), 1.0 / np.maximum(n_other, 1.0)
    variance = a + b
    z = (mean - other) / np.sqrt(variance)
    return z, normal_score(z, skewness * (a * a - b * b) / variance**1.5)

"""Distances people know and ask for, from one window's counts. Never the alarm rule by themselves.

All from the bins as people know them, unpooled, so that they agree with what an exported histogram gives. Below the
first edge and above the last, values count as lying on that edge.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agent.bins import Layout
from agent.drift.pooling import Cells
from agent.records import Bools, Floats

LARGEST = np.finfo(np.float64).max / 4.0  # of a half width
NAMES = ("psi", "chi_square", "jensen_shannon", "ks", "wasserstein", "l_infinity")


@dataclass(frozen=True)
class Axis:
    """Where the cells of numbers lie.

    width: (cells,), 0 outside the edges and for texts; deviation: (features,), NaN for texts.
    """

    width: Floats
    deviation: Floats

    @classmethod
    def of(cls, layout: Layout, cells: Cells) -> Axis:
        width, middle = np.zeros(cells.take.size), np.zeros(cells.take.size)
        for k, i in enumerate(cells.features):
            edges = np.array(layout.features[i].edges)
            if not (cells.numeric[k] and edges.size):
                continue
            start = int(cells.starts[k])
            # Halves first: the difference of two large doubles of opposite sign may not be one.
            width[start + 1 : start + edges.size] = np.minimum(np.diff(edges / 2.0), LARGEST) * 2.0
            middle[start + 1 : start + edges.size] = edges[1:] / 2.0 + edges[:-1] / 2.0
            middle[start], middle[start + edges.size] = edges[0], edges[-1]
        with np.errstate(over="ignore", invalid="ignore"):  # edges near the largest double have no variance
            mean = cells.sums(cells.share * middle)
            variance = cells.sums(cells.share * ((middle - mean[cells.owner]) ** 2 + width**2 / 12.0))
        usable = cells.numeric & (variance > 0) & np.isfinite(variance)
        return cls(width, np.where(usable, np.sqrt(np.where(usable, variance, 1.0)), np.nan))


def distances(
    cells: Cells, axis: Axis, counts: Floats, reference: Floats, names: Sequence[str] = NAMES
) -> dict[str, Floats]:
    """Each of `names` as (features,), NaN where it has no meaning or a side is empty. counts, reference: (cells,).

    psi: half a count added a cell. chi_square: Pearson's two-sample statistic. jensen_shannon: the distance (root of
    the divergence in bits, 0-1). ks: largest difference of the distribution functions at the edges (numbers).
    wasserstein: area between them, values even within a bin, over the reference's standard deviation (numbers).
    l_infinity: largest difference of a category's share (texts, flags).
    """
    n, n_reference = cells.sums(counts), cells.sums(reference)
    some = (n > 0) & (n_reference > 0)
    p = counts / np.maximum(n, 1.0)[cells.owner]
    q = reference / np.maximum(n_reference, 1.0)[cells.owner]
    gap = p - q
    found: dict[str, Floats] = {}
    if "psi" in names:
        found["psi"] = _psi(cells, counts, reference, n, n_reference)
    if "chi_square" in names:
        found["chi_square"] = _chi_square(cells, p, q, n, n_reference)
    if "jensen_shannon" in names:
        found["jensen_shannon"] = _jensen_shannon(cells, p, q)
    if "ks" in names or "wasserstein" in names:
        above = _running(cells, gap)
        found["ks"] = _of(cells.numeric, np.maximum.reduceat(np.abs(above), cells.starts))
        found["wasserstein"] = cells.sums(axis.width * _mean_height(above - gap, above)) / axis.deviation
    if "l_infinity" in names:
        found["l_infinity"] = _of(~cells.numeric, np.maximum.reduceat(np.abs(gap), cells.starts))
    return {name: _of(some, found[name]) for name in names}


def _of(where: Bools, value: Floats) -> Floats:
    return np.where(where, value, np.nan)


def _running(cells: Cells, gap: Floats) -> Floats:
    """Sums from each feature's first cell up to and including every cell."""
    whole = np.cumsum(gap)
    found: Floats = whole - (whole - gap)[cells.starts][cells.owner]
    return found


def _psi(cells: Cells, counts: Floats, reference: Floats, n: Floats, n_reference: Floats) -> Floats:
    sizes = np.diff([*cells.starts.tolist(), cells.take.size])
    p = (counts + 0.5) / (n + 0.5 * sizes)[cells.owner]
    q = (reference + 0.5) / (n_reference + 0.5 * sizes)[cells.owner]
    return cells.sums((p - q) * np.log(p / q))


def _chi_square(cells: Cells, p: Floats, q: Floats, n: Floats, n_reference: Floats) -> Floats:
    both = n * n_reference / np.maximum(n + n_reference, 1.0)
    middle = (p * n[cells.owner] + q * n_reference[cells.owner]) / np.maximum(n + n_reference, 1.0)[cells.owner]
    return both * cells.sums(np.square(p - q) / np.where(middle > 0, middle, 1.0))


def _jensen_shannon(cells: Cells, p: Floats, q: Floats) -> Floats:
    middle = (p + q) / 2.0
    safe = np.where(middle > 0, middle, 1.0)
    terms = sum(v * np.log2(np.where(v > 0, v / safe, 1.0)) for v in (p, q))
    return np.sqrt(np.maximum(cells.sums(np.asarray(terms)) / 2.0, 0.0))


def _mean_height(left: Floats, right: Floats) -> Floats:
    """The mean of |line| between two heights; crossing zero, two triangles."""
    a, b = np.abs(left), np.abs(right)
    crossing = (a * a + b * b) / np.maximum(2.0 * (a + b), 1e-300)
    return np.where(left * right >= 0, (a + b) / 2.0, crossing)

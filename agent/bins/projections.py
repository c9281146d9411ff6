"""Numbers computed from a whole vector, or from a whole row: they are binned and counted like any other number.

What no single feature shows is seen along a line through many of them. The lines are fixed with the reference, so that
windows, horizons and replicas add up as counts do. How they are chosen: `reference/directions.py`; why these, with the
figures: docs/decisions/0080-vectors-as-counted-projections.md and 0081-whole-rows-as-counted-projections.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from agent.records import Bools, Cells, Ints

Singles = npt.NDArray[np.float32]

HUGE = np.float32(1e15)  # larger entries count as this: their squares still add up in float32
CLUSTER = "cluster"
SMOOTH_MIN = 10  # different values of an input whose sums with others leave no gaps
OFTEN_MAX = 0.1  # of the rows, in one value: two of a direction's bins


@dataclass(frozen=True, eq=False)
class VectorProjection:
    """Of one vector feature. Cost: one float32 product, rows x size x (leading + rest).

    mean: (size,); basis: (size, leading + rest), orthonormal, the leading principal directions first, then random ones
    of what is left; scale: (leading,), the reference's standard deviations; centroids: (clusters, leading), of
    the reference's clusters; shown: how many of the leading directions are parts themselves.
    """

    name: str
    mean: Singles
    basis: Singles
    scale: Singles
    centroids: Singles
    shown: int

    @property
    def size(self) -> int:
        return len(self.mean)

    @cached_property
    def parts(self) -> tuple[str, ...]:
        """Names of its numbers, in order; the last part is the nearest centroid, a category."""
        leading = [f"pc{i + 1}" for i in range(self.shown)]
        rest = [f"rest{i + 1}" for i in range(self.basis.shape[1] - len(self.scale))]
        return tuple(f"{self.name}[{part}]" for part in (*leading, *rest, "norm", "residual", "mahalanobis", CLUSTER))

    def values(self, vectors: Singles) -> tuple[Singles, Ints]:
        """(parts - 1, rows) numbers and the nearest centroid of each row. vectors: finite, (rows, size).

        norm: Euclidean length; residual: length outside the leading directions; mahalanobis: length along them in
        units of the reference's standard deviations.
        """
        leading = len(self.scale)
        centred: Singles = vectors - self.mean
        along: Singles = centred @ self.basis
        lead = along[:, :leading]
        white: Singles = lead / self.scale
        outside = _squares(centred) - _squares(lead)
        found = np.empty((len(self.parts) - 1, len(vectors)), dtype=np.float32)
        found[: self.shown] = lead[:, : self.shown].T
        found[self.shown : -3] = along[:, leading:].T
        found[-3] = np.sqrt(_squares(vectors))
        found[-2] = np.sqrt(np.maximum(outside, 0.0))
        found[-1] = np.sqrt(_squares(white))
        nearest = np.argmax(lead @ self.centroids.T - _squares(self.centroids) / 2.0, axis=1)
        return found, nearest

    @cached_property
    def digest(self) -> int:
        """xxh3-64 of everything that decides what it computes."""
        return _digest(self.name, self.shown, self.mean, self.basis, self.scale, self.centroids)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, VectorProjection) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)


@dataclass(frozen=True, eq=False)
class RowProjection:
    """Of the places of a row's values among the reference's: each cell has a score, and directions add scores up.

    inputs: (inputs,) features of the layout, one for each number and flag and some for a text's categories; scores: the
    cells' scores of one input after the other, mean 0 and variance 1 under the reference, 0 where a value is missing;
    begins: (inputs,) where each input's scores begin; whiten: (inputs, inputs), a direction a column by falling
    variance, so that each has variance 1; shown: which of them are parts; names: of the inputs, for people.
    """

    inputs: Ints
    begins: Ints
    scores: Singles
    whiten: Singles
    shown: tuple[int, ...]
    names: tuple[str, ...]

    name = "row"

    @cached_property
    def parts(self) -> tuple[str, ...]:
        return (*(f"{self.name}[direction{i + 1}]" for i in self.shown), f"{self.name}[mahalanobis]")

    def values(self, cells: Cells) -> Singles:
        """(parts, rows). cells: (inputs, rows), counted from the first cell of each input's feature."""
        scores = self.scores.take(cells + self.begins[:, None], mode="clip")
        white = self.whiten.T @ scores
        found = np.empty((len(self.parts), cells.shape[1]), dtype=np.float32)
        found[:-1] = white[list(self.shown)]
        found[-1] = np.sqrt(np.einsum("ij,ij->j", white, white))
        return found

    def heaviest(self, part: int, least: float, smooth: Bools | None = None) -> tuple[str, ...]:
        """The features of a direction that weigh at least so much of what the heaviest does (0-1), heaviest first.

        Inputs of few values do not hide what is light beside them: the direction has gaps then, and its bins tell
        the light ones apart. Beside them the heaviest is the one of the smooth ones, and if there is none all count.
        smooth: (inputs,), see `smooth`; None: by how many values each may have. In the Mahalanobis length all weigh
        alike.
        """
        weights = np.ones(len(self.names))
        if part < len(self.shown):
            weights = np.abs(self.whiten[:, self.shown[part]])
        order = np.argsort(-weights, kind="stable")
        limit = least * float(weights[self._smooth if smooth is None else smooth].max(initial=0.0))
        return tuple(dict.fromkeys(self.names[i] for i in order.tolist() if weights[i] >= limit))

    @cached_property
    def _smooth(self) -> Bools:
        """(inputs,): those with many different values."""
        own = np.split(self.scores, self.begins[1:].tolist())
        return np.array([np.unique(scores).size >= SMOOTH_MIN for scores in own], dtype=bool)

    def smooth(self, counts: Sequence[Ints]) -> Bools:
        """(inputs,): those with many different values, none of which comes often. counts: of each input's feature, by
        cell; a feature that is mostly missing has gaps beside all its values."""
        own = np.split(self.scores, self.begins[1:].tolist())
        often = [
            np.bincount(np.unique(scores, return_inverse=True)[1], count).max() / max(int(count.sum()), 1)
            for scores, count in zip(own, counts, strict=True)
        ]
        return np.asarray(self._smooth & (np.array(often) <= OFTEN_MAX))

    def weights(self, part: int) -> list[tuple[str, float]]:
        """The features of a direction and their parts of the sum of squared weights, 0-1, heaviest first."""
        found: dict[str, float] = {}
        squares = np.square(self.whiten[:, self.shown[part]].astype(np.float64))
        for name, square in zip(self.names, (squares / squares.sum()).tolist(), strict=True):
            found[name] = found.get(name, 0.0) + square
        return sorted(found.items(), key=lambda item: (-item[1], item[0]))

    @cached_property
    def digest(self) -> int:
        """xxh3-64 of everything that decides what it computes."""
        return _digest(self.name, self.shown, self.inputs, self.begins, self.scores, self.whiten)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RowProjection) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)


Projection = VectorProjection | RowProjection


def finite(vectors: Singles) -> tuple[Singles, Bools | None]:
    """The vectors with entries beyond ±1e15 brought down to it, so that no square overflows, and which rows are finite
    (None: all). One pass where nothing is wrong."""
    flat = vectors.reshape(-1)
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(flat @ flat):
            return vectors, None
    whole = np.asarray(np.isfinite(vectors).all(axis=1), dtype=np.bool_)
    return np.clip(vectors, -HUGE, HUGE), None if whole.all() else whole


def _squares(values: Singles) -> Singles:
    with np.errstate(over="ignore"):
        return np.asarray(np.einsum("ij,ij->i", values, values), dtype=np.float32)


def _digest(name: str, shown: Any, *arrays: npt.NDArray[Any]) -> int:
    state = xxhash.xxh3_64(repr((name, shown)).encode())
    for array in arrays:
        state.update(repr(array.shape).encode())
        state.update(np.ascontiguousarray(array).tobytes())
    return state.intdigest()

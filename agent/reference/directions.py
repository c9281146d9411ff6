"""Which lines through a vector or through a whole row are watched, and the bins along them: from a sample of rows.

    a vector   the leading principal directions, a few random ones of what they leave, the length as it is, outside the
               leading directions and along them, and the nearest of a few centroids
    a row      of the correlation of ranks between features: the largest directions (what moves together), the smallest
               (what never happens together: a broken relation explodes there), and the Mahalanobis length of all

The rows must not be counted along these lines: see `sample`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import NormalDist

import numpy as np

from agent.bins import SPECIALS, Feature, Layout
from agent.bins.projections import CLUSTER, Projection, RowProjection, Singles, VectorProjection, finite
from agent.records import PRESENT, Batch, Cells, Floats, Kind, Source
from agent.reference.edges import QUANTILES

ROWS_MIN = 200  # fewer rows give no directions
LEADING, SHOWN, REST = 32, 8, 4
CLUSTERS, CLUSTER_SHARE_MIN = 8, 0.01
INPUTS_MAX = 200  # of a row: the product with them grows with their square
LARGEST, SMALLEST = 3, 4
CATEGORIES, CATEGORY_SHARE_MIN = 4, 0.02  # of a text, in a row
SEED = 20_240_229
_POWER = 4  # rounds of subspace iteration
_OVERSAMPLED = 10


def with_projections(layout: Layout, sample: Sequence[Batch]) -> Layout:
    """The layout with each vector's parts and the whole row's, fitted to `sample`: rows that were seen.

    Too few rows, or nothing that varies: no parts. The same rows in the same order give the same layout.
    """
    sent = tuple(
        replace(f, group=f.name) if f.kind is Kind.VECTOR and f.size and not f.ignored else f for f in layout.features
    )
    plain = Layout(sent, layout.window_seconds)
    parts: list[Feature] = []
    projections: list[Projection] = []
    for feature in sent:
        vectors = _vectors(feature, sample) if feature.kind is Kind.VECTOR and feature.group else None
        if vectors is not None and len(vectors) >= ROWS_MIN:
            projection = fit_vector(feature.name, vectors)
            projections.append(projection)
            parts += _vector_parts(feature, projection, vectors)
    placed = [np.empty((len(sent), 0), np.int32), *(plain.place(batch).cells for batch in sample)]
    cells: Cells = np.concatenate(placed, axis=1)
    row = fit_row(plain, cells) if cells.shape[1] >= ROWS_MIN else None
    if row is not None:
        projections.append(row)
        own = cells[row.inputs] - plain.starts[row.inputs, None].astype(np.int32)
        parts += [
            Feature(name, Source.ROW, Kind.NUMBER, edges=part_edges(values, 1e-3), group=row.name)
            for name, values in zip(row.parts, row.values(own), strict=True)
        ]
    return Layout((*sent, *parts), layout.window_seconds, tuple(projections))


def fit_vector(name: str, vectors: Singles) -> VectorProjection:
    """Of finite vectors (rows, size), at least two. About 0.5 s for 10,000 rows of 768."""
    random = np.random.default_rng(SEED)
    mean = vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
    centred = vectors - mean
    basis, scale = _principal(centred, random)
    rest = random.normal(size=(vectors.shape[1], min(REST, vectors.shape[1] - basis.shape[1])))
    for _ in range(2):  # twice is enough (Giraud et al. 2005)
        rest -= basis @ (basis.T @ rest)
    whole = np.hstack((basis, np.linalg.qr(rest)[0] if rest.shape[1] else rest)).astype(np.float32)
    least = 1e-4 * _tolerance_unit(vectors)
    lead = centred @ whole[:, : basis.shape[1]]
    return VectorProjection(
        name, mean, whole, np.maximum(scale, least).astype(np.float32), _centroids(lead, random),
        min(SHOWN, basis.shape[1]),
    )  # fmt: skip


def fit_row(layout: Layout, cells: Cells) -> RowProjection | None:
    """Of placed cells (features, rows); None where fewer than two values vary."""
    inputs: list[int] = []
    scores: list[Floats] = []
    for i in _candidates(layout):
        first = int(layout.starts[i])
        counts = np.bincount(cells[i] - first, minlength=layout.features[i].cells)
        for found in _scores(layout.features[i], counts.astype(np.float64)):
            inputs.append(i)
            scores.append(found)
    if len(set(inputs)) < 2:
        return None
    at, lengths = np.array(inputs[:INPUTS_MAX], dtype=np.int64), [len(s) for s in scores[:INPUTS_MAX]]
    begins = np.cumsum([0, *lengths[:-1]]).astype(np.int64)
    flat = np.concatenate(scores[:INPUTS_MAX]).astype(np.float32)
    placed = flat.take(cells[at] - layout.starts[at, None] + begins[:, None])
    count = len(at)
    shown = sorted({*range(min(LARGEST, count)), *range(max(count - SMALLEST, 0), count)})
    names = tuple(layout.features[i].name for i in at.tolist())
    return RowProjection(at, begins, flat, _whitening(placed), tuple(shown), names)


def part_edges(values: Singles, tolerance: float) -> tuple[float, ...]:
    """Edges of about 20 bins by `QUANTILES`, each halfway between the last value within `tolerance` of a quantile
    and the next one.

    A product's last bits depend on the machine and the batch: no value that comes often may lie on an edge.
    """
    ordered = np.sort(values.astype(np.float64))
    at = ordered[np.ceil(np.array(QUANTILES) * len(ordered)).astype(np.int64) - 1]
    after = np.searchsorted(ordered, at + tolerance, side="right")
    after = after[after < len(ordered)]
    inner = (ordered[after - 1] + ordered[after]) / 2.0
    return tuple(np.unique([ordered[0] - tolerance, *inner, ordered[-1] + tolerance]).tolist())


def _vectors(feature: Feature, sample: Sequence[Batch]) -> Singles:
    """(rows, size): the present ones of the right size with finite entries."""
    found = [np.empty((0, feature.size), np.float32)]
    for batch in sample:
        column = batch.features.vectors.get(feature.name)
        if column is None or column.values.shape[1] != feature.size:
            continue
        values, whole = finite(column.values)
        there = np.ones(len(values), bool) if column.state is None else column.state == PRESENT
        found.append(values[there if whole is None else there & whole])
    return np.concatenate(found)


def _vector_parts(feature: Feature, projection: VectorProjection, vectors: Singles) -> list[Feature]:
    def part(name: str, kind: Kind, edges: tuple[float, ...] = (), categories: tuple[str, ...] = ()) -> Feature:
        return Feature(
            name, Source.FEATURE, kind, edges=edges, categories=categories, public=feature.public,
            critical=feature.critical, group=feature.name,
        )  # fmt: skip

    numbers, _ = projection.values(vectors)
    unit = 1e-5 * _tolerance_unit(vectors)
    # A root makes the rounding of a difference near zero larger; the Mahalanobis length has a unit of its own.
    widths = {"[norm]": 10.0 * unit, "[residual]": 100.0 * unit, "[mahalanobis]": 1e-2}
    *names, last = projection.parts
    found = []
    for name, values in zip(names, numbers, strict=True):
        least = next((width for length, width in widths.items() if name.endswith(length)), unit)
        found.append(part(name, Kind.NUMBER, edges=part_edges(values, least)))
    categories = tuple(f"{CLUSTER} {i + 1}" for i in range(len(projection.centroids)))
    return [*found, part(last, Kind.TEXT, categories=categories)]


def _tolerance_unit(vectors: Singles) -> float:
    """A vector's typical length: what rounding is relative to."""
    return float(np.sqrt(np.mean(np.einsum("ij,ij->i", vectors, vectors), dtype=np.float64))) or 1.0


def _principal(centred: Singles, random: np.random.Generator) -> tuple[Floats, Floats]:
    """Leading directions (size, leading) and standard deviations along them, by randomised subspace iteration.

    Halko, Martinsson and Tropp (2011), algorithm 4.4. Memory: no square of the size, which may be 8,192.
    """
    rows, size = centred.shape
    wide = min(size, rows - 1, LEADING + _OVERSAMPLED)
    basis = np.linalg.qr(random.normal(size=(size, wide)))[0]
    for _ in range(_POWER):
        basis = np.linalg.qr((centred.T @ (centred @ basis.astype(np.float32))).astype(np.float64))[0]
    along = (centred @ basis.astype(np.float32)).astype(np.float64)
    variance, turn = np.linalg.eigh(along.T @ along / rows)
    leading = np.argsort(-variance, kind="stable")[:LEADING]
    found = _with_sign(basis @ turn[:, leading])
    return found, np.sqrt(np.maximum(variance[leading], 0.0))


def _with_sign(columns: Floats) -> Floats:
    """Each column's largest entry positive: an eigenvector's sign is chance."""
    largest = columns[np.argmax(np.abs(columns), axis=0), np.arange(columns.shape[1])]
    return np.asarray(columns * np.where(largest < 0, -1.0, 1.0), dtype=np.float64)


def _centroids(points: Singles, random: np.random.Generator) -> Singles:
    """(clusters, leading): k-means (Lloyd 1982) from k-means++ (Arthur and Vassilvitskii 2007); tiny ones are left
    out."""
    some = points[:: max(1, len(points) // 5_000)]
    found = some[[0]]
    for _ in range(1, CLUSTERS):
        far = _distances(some, found).min(axis=1)
        if not far.sum() > 0:
            break
        found = np.vstack((found, some[random.choice(len(some), p=far / far.sum())]))
    for _ in range(20):
        nearest = np.argmin(_distances(some, found), axis=1)
        sums = np.zeros((len(found), points.shape[1]))
        np.add.at(sums, nearest, some)
        counts = np.bincount(nearest, minlength=len(found))
        kept = counts >= CLUSTER_SHARE_MIN * len(some)
        found = (sums[kept] / counts[kept, None]).astype(np.float32)
    return found


def _distances(points: Singles, centres: Singles) -> Floats:
    squares = np.square(points).sum(axis=1)[:, None] - 2.0 * (points @ centres.T) + np.square(centres).sum(axis=1)
    return np.asarray(np.maximum(squares, 0.0), dtype=np.float64)


def _candidates(layout: Layout) -> list[int]:
    """What may enter a row: outputs and critical features first, should they be too many."""
    usable = [
        i for i, f in enumerate(layout.features)
        if f.kind is not Kind.VECTOR and f.source is not Source.LATENCY and not f.ignored
    ]  # fmt: skip
    return sorted(usable, key=lambda i: (layout.features[i].source is Source.FEATURE, not layout.features[i].critical))


def _scores(feature: Feature, counts: Floats) -> list[Floats]:
    """(feature.cells,) each: mean 0 and variance 1 among the values, 0 for what is missing.

    A number's or a flag's bins by normal scores of their mid-ranks (van der Waerden 1952); a text's frequent categories
    one by one, each by what those before it leave open, without the last where the rest would only say the same again.
    """
    values = counts[: feature.bins]
    total = values.sum()
    if total < ROWS_MIN / 2:
        return []
    share = values / total
    if feature.kind is Kind.TEXT:
        own = feature.wholes(values) / total
        order = [i for i in np.argsort(-own, kind="stable").tolist() if own[i] >= CATEGORY_SHARE_MIN]
        if 1.0 - own[order].sum() < CATEGORY_SHARE_MIN:
            order = order[:-1]
        # Which of the rare ones a reference happened to hold was chance: never seen, the last, goes with other.
        cells = np.minimum(np.arange(feature.bins), feature.other.start)
        raw = [cells == i for i in order[:CATEGORIES]]
    else:
        normal = NormalDist()
        middle = np.clip(np.cumsum(share) - share / 2.0, 0.5 / total, 1.0 - 0.5 / total)
        raw = [np.array([normal.inv_cdf(float(m)) for m in middle])]
    scores: list[Floats] = []
    for each in raw:
        # A text's own categories exclude each other: left so, that would be the closest relation of every row.
        found = _standard(_apart(np.asarray(each, np.float64), share, scores), share)
        scores += [] if found is None else [found]
    return scores


def _apart(raw: Floats, share: Floats, others: Sequence[Floats]) -> Floats:
    """What the others do not tell already (Gram-Schmidt). raw, share: (values,); others: orthonormal under `share`."""
    for other in others:
        own = other[: share.size]
        raw = raw - own * float((share * own) @ raw)
    return raw


def _standard(raw: Floats, share: Floats) -> Floats | None:
    centred = raw - raw @ share
    variance = float(share @ np.square(centred))
    if variance < 1e-9:
        return None
    return np.concatenate((centred / np.sqrt(variance), np.zeros(SPECIALS)))


def _whitening(placed: Singles) -> Singles:
    """(inputs, inputs): eigenvectors of the correlation by falling variance, each over its standard deviation.

    Shrunk toward independence by inputs / rows (after Ledoit and Wolf 2004), so that no direction is taken for
    impossible because few rows were seen.
    """
    count, rows = placed.shape
    shrunk = min(0.5, count / rows)
    variance, turn = np.linalg.eigh((placed @ placed.T).astype(np.float64) / rows)
    order = np.argsort(-variance, kind="stable")
    scale = np.sqrt((1.0 - shrunk) * np.maximum(variance[order], 0.0) + shrunk)
    return np.asarray(_with_sign(turn[:, order]) / scale, dtype=np.float32)

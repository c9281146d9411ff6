"""Projections to messages and back, for the reference file and a learner's checkpoint."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from agent.bins import Feature, Layout
from agent.bins.projections import Projection, RowProjection, Singles, VectorProjection
from agent.errors import CorruptError
from agent.records import Kind
from agent.wire import reference_pb2 as pb


def messages(projections: Sequence[Projection]) -> list[pb.Projection]:
    return [
        pb.Projection(vector=_vector(p)) if isinstance(p, VectorProjection) else pb.Projection(row=_row(p))
        for p in projections
    ]


def with_messages(features: Sequence[Feature], window_seconds: float, found: Sequence[pb.Projection],
                  name: str) -> Layout:  # fmt: skip
    """The layout with its projections. Raises CorruptError where they do not fit the features."""
    layout = Layout(tuple(features), window_seconds, tuple(_projection_of(p, features, name) for p in found))
    expected = [part for p in layout.projections for part in p.parts]
    parts = layout.features[max(layout.sent, 0) :]
    if [f.name for f in parts] != expected or any(not f.computed for f in parts):
        raise CorruptError(f"{name}: section layout: the parts of vectors and rows are not those of the projections")
    clusters = [len(p.centroids) for p in layout.projections if isinstance(p, VectorProjection)]
    if clusters != [len(f.categories) for f in parts if f.kind is Kind.TEXT]:
        raise CorruptError(f"{name}: section layout: clusters without cells")
    return layout


def _projection_of(message: pb.Projection, features: Sequence[Feature], name: str) -> Projection:
    try:
        return _vector_of(message.vector) if message.HasField("vector") else _row_of(message.row, features)
    except (ValueError, IndexError) as error:
        raise CorruptError(f"{name}: section layout: projections: {error}") from None


def _vector(projection: VectorProjection) -> pb.VectorProjection:
    return pb.VectorProjection(
        name=projection.name,
        mean=_bytes(projection.mean),
        basis=_bytes(projection.basis),
        scale=_bytes(projection.scale),
        centroids=_bytes(projection.centroids),
        shown=projection.shown,
    )


def _vector_of(message: pb.VectorProjection) -> VectorProjection:
    mean, scale = _singles(message.mean), _singles(message.scale)
    if not mean.size or not scale.size or message.shown > scale.size or not (scale > 0).all():
        raise ValueError(f"{message.name}: no size, or no scale")
    basis = _singles(message.basis).reshape(mean.size, -1)
    if basis.shape[1] < scale.size:
        raise ValueError(f"{message.name}: {basis.shape[1]} directions, expected {scale.size}")
    centroids = _singles(message.centroids).reshape(-1, scale.size)
    if not len(centroids):
        raise ValueError(f"{message.name}: no centroid")
    return VectorProjection(message.name, mean, basis, scale, centroids, message.shown)


def _row(projection: RowProjection) -> pb.RowProjection:
    return pb.RowProjection(
        inputs=projection.inputs.tolist(),
        scores=_bytes(projection.scores),
        whiten=_bytes(projection.whiten),
        shown=projection.shown,
    )


def _row_of(message: pb.RowProjection, features: Sequence[Feature]) -> RowProjection:
    inputs = np.array(message.inputs, dtype=np.int64)
    own = [features[i] for i in message.inputs]
    lengths = [feature.cells for feature in own]
    scores, whiten = _singles(message.scores), _singles(message.whiten)
    shown = tuple(message.shown)
    if not own or len(scores) != sum(lengths) or any(f.computed for f in own) or max(shown, default=0) >= len(own):
        raise ValueError(f"row: {len(scores)} scores for {sum(lengths)} cells")
    begins = np.cumsum([0, *lengths[:-1]]).astype(np.int64)
    names = tuple(feature.name for feature in own)
    return RowProjection(inputs, begins, scores, whiten.reshape(len(own), len(own)), shown, names)


def _bytes(values: Singles) -> bytes:
    return np.ascontiguousarray(values, dtype="<f4").tobytes()


def _singles(data: bytes) -> Singles:
    found = np.frombuffer(data, dtype="<f4").astype(np.float32)
    if not np.isfinite(found).all():
        raise ValueError("a number that is not finite")
    return found

"""A feature's bins, from what was seen of it. What a person said goes first."""

from __future__ import annotations

import numpy as np

from agent.bins import Feature
from agent.records import Floats, Kind
from agent.reference.edges import categories, number_edges, other_seen
from agent.reference.schema import FeatureSchema
from agent.reference.survey import Name, NumberSurvey
from agent.sketches.frequent import FrequentTexts


def make_feature(name: Name, kind: Kind, said: FeatureSchema, found: NumberSurvey | FrequentTexts | None,
                 sample: Floats, size: int = 0) -> Feature:  # fmt: skip
    """The bins of one value, from what was seen of it; what a person said goes first."""
    edges: tuple[float, ...] = ()
    own: tuple[str, ...] = ()
    seen: frozenset[int] = frozenset()
    integral = False
    if isinstance(found, NumberSurvey):
        distinct = None if said.ignored else found.distinct
        edges = said.edges or number_edges(sample[:0] if said.ignored else sample, distinct, found.low, found.high)
        integral = said.integral if said.integral is not None else found.integral and np.isfinite(found.low)
    elif isinstance(found, FrequentTexts) and not said.ignored:
        own, seen = categories(found)
        if said.categories:
            own, seen = said.categories, other_seen([key for key, _ in found.top(len(found.counts))], said.categories)
    return Feature(
        name=name[1], source=name[0], kind=kind, edges=edges, categories=own, seen=seen, public=said.public,
        critical=said.critical, ignored=said.ignored, integral=bool(integral), size=size,
    )  # fmt: skip

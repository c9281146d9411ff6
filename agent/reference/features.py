"""A feature's bins and rules, from what was seen of it. What a person said goes first."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from agent.bins import NO_RULES, OTHER_SEEN_MAX, Feature, Rules, text_hash
from agent.errors import UnusableReferenceError
from agent.records import Floats, Kind, Source
from agent.reference.edges import categories, number_edges, other_seen, rare_cells, with_range
from agent.reference.profile import Reference
from agent.reference.schema import OUTPUTS, FeatureSchema, Schema
from agent.reference.survey import Name, NumberSurvey
from agent.sketches.frequent import FrequentTexts

PROBABILITY = (0.0, 1.0)
EVERYTHING = (-math.inf, math.inf)
CLASSES_MAX = 50  # with more the names that were counted are not all there are


def make_feature(name: Name, kind: Kind, said: FeatureSchema, found: NumberSurvey | FrequentTexts | None,
                 sample: Floats, size: int = 0) -> Feature:  # fmt: skip
    """The bins of one value, from what was seen of it; what a person said goes first.

    Raises UnusableReferenceError for a closed set of texts that are too many to be remembered.
    """
    edges: tuple[float, ...] = ()
    own: tuple[str, ...] = ()
    seen: frozenset[int] = frozenset()
    integral = False
    cells = 1
    rules = NO_RULES
    if isinstance(found, NumberSurvey):
        rules = _rules(said, _range(name[0], said, found))
        distinct = None if said.ignored else found.distinct
        edges = said.edges or number_edges(sample[:0] if said.ignored else sample, distinct, found.low, found.high)
        edges = with_range(edges, rules, found.high)
        integral = said.integral if said.integral is not None else found.integral and np.isfinite(found.low)
    elif isinstance(found, FrequentTexts) and not said.ignored:
        rules = _rules(said, EVERYTHING)
        own, seen = _categories(name[1], said, found)
        cells = rare_cells(found, own, seen)
    elif not said.ignored:
        rules = _rules(said, EVERYTHING)
    return Feature(
        name=name[1], source=name[0], kind=kind, edges=edges, categories=own, seen=seen, public=said.public,
        critical=said.critical, ignored=said.ignored, integral=bool(integral or rules.whole), size=size, rules=rules,
        rare_cells=cells,
    )  # fmt: skip


def with_classes(name: Name, kind: Kind, said: FeatureSchema, classes: tuple[str, ...],
                 found: NumberSurvey | FrequentTexts | None) -> FeatureSchema:  # fmt: skip
    """What is said of a prediction, and where nothing is: only the label's classes, and what was predicted.

    classes: of the label, where there is one and it has classes. A model that answers anything else is another model.
    """
    if name[0] is not Source.PREDICTION or said.ignored or not 0 < len(classes) < CLASSES_MAX:
        return said
    if kind is Kind.TEXT and isinstance(found, FrequentTexts) and found.exact:
        predicted = {key for key in found.counts if isinstance(key, str)}
        free = said.closed is None and not said.allowed and not said.categories and said.max_new == 1.0
        few = len(predicted) == len(found.counts) < CLASSES_MAX
        return replace(said, allowed=tuple(sorted(predicted | set(classes)))) if free and few else said
    numbers = _numbers(classes)
    if kind is Kind.NUMBER and isinstance(found, NumberSurvey) and numbers and _whole(found) and said.range is None:
        both = (*numbers, found.low, found.high)
        return replace(said, range=(min(both), max(both)), whole=said.integral is not False)
    return said


def said_of(feature: Feature, said: FeatureSchema) -> FeatureSchema:
    """A feature as a schema says it; of `said`, what the feature does not keep: which bins a person chose."""
    rules = feature.rules
    bounded = (rules.low, rules.high) != EVERYTHING
    return FeatureSchema(
        kind=feature.kind,
        public=feature.public,
        critical=feature.critical,
        ignored=feature.ignored,
        integral=feature.integral if feature.kind is Kind.NUMBER else None,
        edges=said.edges,
        categories=said.categories,
        required=rules.required,
        never_null=rules.never_null,
        whole=rules.whole,
        range=(rules.low, rules.high) if bounded else said.range,
        allowed=said.allowed,
        closed=True if rules.max_new == 0.0 and not said.allowed else said.closed,
        max_missing=rules.max_missing,
        max_new=rules.max_new if rules.max_new else 1.0,
    )


def schema_of(reference: Reference) -> Schema:
    """What a reference was told and found, as a schema to correct. Names that were kept as hashes cannot come back."""
    features: dict[Name, FeatureSchema] = {}
    for feature in reference.layout.features:
        name = feature.source, feature.name
        plain = feature.source is Source.FEATURE or OUTPUTS.get(feature.name) is feature.source
        if not plain or feature.computed or name in features:
            continue
        closed = feature.rules.max_new == 0.0 and not feature.seen
        features[name] = said_of(feature, FeatureSchema(allowed=feature.categories if closed else ()))
    return Schema(
        features=features,
        task=reference.task,
        positive_label=reference.positive_label,
        window_seconds=reference.layout.window_seconds,
        segments=reference.segments,
        protected=reference.protected,
    )


def _rules(said: FeatureSchema, bounds: tuple[float, float]) -> Rules:
    if said.ignored:
        return NO_RULES
    closed = said.closed or bool(said.allowed)
    return Rules(
        required=said.required, never_null=said.never_null, whole=said.whole, low=bounds[0], high=bounds[1],
        max_missing=said.max_missing, max_new=0.0 if closed else said.max_new,
    )  # fmt: skip


def _range(source: Source, said: FeatureSchema, found: NumberSurvey) -> tuple[float, float]:
    """As said; a score that never left 0 to 1 is a probability."""
    if said.range is not None:
        return said.range
    within = PROBABILITY[0] <= found.low <= found.high <= PROBABILITY[1] and not found.infinite
    return PROBABILITY if source is Source.SCORE and within else EVERYTHING


def _categories(name: str, said: FeatureSchema, found: FrequentTexts) -> tuple[tuple[str, ...], frozenset[int]]:
    if said.allowed:  # the others that were seen are as wrong as those that were not
        frequent = [key for key in categories(found)[0] if key in set(said.allowed)]
        return tuple(frequent), frozenset(text_hash(key) for key in said.allowed if key not in frequent)
    if said.closed and (not found.exact or len(found.counts) > OTHER_SEEN_MAX):
        raise UnusableReferenceError(f"{name!r}: closed: more than {OTHER_SEEN_MAX} different texts: not all are known")
    if said.categories:
        return said.categories, other_seen([key for key, _ in found.top(len(found.counts))], said.categories)
    return categories(found)


def _whole(found: NumberSurvey) -> bool:
    """Whether every number that was seen is a class's: infinity is none."""
    return found.integral and not found.infinite


def _numbers(classes: tuple[str, ...]) -> tuple[float, ...]:
    """Classes that are all numbers, as numbers; else nothing."""
    try:
        found = tuple(float(name) for name in classes)
    except ValueError:
        return ()
    return found if all(value == np.rint(value) for value in found) else ()

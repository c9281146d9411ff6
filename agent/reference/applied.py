"""A schema laid over a reference that exists already: all that leaves its bins, and so its counts, as they are."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from agent.bins import NO_RULES, Feature, Rules, text_hash
from agent.records import Kind
from agent.reference.edges import with_range
from agent.reference.profile import Reference
from agent.reference.schema import FeatureSchema, Schema

ANEW = "needs other bins: build the reference with it, or learn one anew"


def applied(reference: Reference, schema: Schema) -> tuple[Reference, tuple[str, ...]]:
    """The reference as a person says it now, with the same counts and the same hash; and what could not be applied,
    each with file, line and field. A feature without a table of its own stays as it is."""
    refused: list[str] = []
    features = []
    for feature in reference.layout.features:
        said = None if feature.computed else schema.of_value(feature.source, feature.name)
        if said is None:
            features.append(feature)
            continue
        made, own = _feature(feature, said)
        features.append(made)
        refused += [f"{schema.where(*schema.path(feature.source, feature.name), name)}: {feature.name}: {name} {why}"
                    for name, why in own]  # fmt: skip
    layout = replace(reference.layout, features=tuple(features))
    found = replace(
        reference, layout=layout, task=schema.task or reference.task,
        positive_label=schema.positive_label or reference.positive_label,
    )  # fmt: skip
    return found, tuple(refused)


def _feature(feature: Feature, said: FeatureSchema) -> tuple[Feature, list[tuple[str, str]]]:
    """The feature with what can be said of it now; fields that cannot, and why."""
    refused = list(_other_bins(feature, said))
    ignored = said.ignored or (feature.ignored and not feature.edges and not feature.categories)
    rules = NO_RULES if ignored else _rules(feature, said, {name for name, _ in refused})
    return replace(feature, public=said.public, critical=said.critical, ignored=ignored, rules=rules), refused


def _rules(feature: Feature, said: FeatureSchema, refused: set[str]) -> Rules:
    old = feature.rules
    low, high = said.range if said.range is not None and "range" not in refused else (old.low, old.high)
    closed = bool(said.closed) or (bool(said.allowed) and "allowed" not in refused)
    unsaid = said.closed is None and not said.allowed and said.max_new == 1.0
    return Rules(
        required=said.required, never_null=said.never_null, whole=said.whole and "whole" not in refused,
        low=low, high=high, max_missing=said.max_missing,
        max_new=old.max_new if unsaid else 0.0 if closed else said.max_new,
    )  # fmt: skip


def _other_bins(feature: Feature, said: FeatureSchema) -> Iterator[tuple[str, str]]:
    """Fields that would place values in other cells than those that were counted."""
    if said.kind is not None and said.kind is not feature.kind:
        yield "type", f"is {feature.kind.name.lower()} in the reference: {ANEW}"
        return
    if feature.ignored and not said.ignored and feature.kind in (Kind.NUMBER, Kind.TEXT) and feature.bins <= 2:
        yield "ignored", f"was true, so it has no bins: {ANEW}"
    if feature.kind is Kind.NUMBER:
        if said.range is not None:
            rules = Rules(whole=said.whole, low=said.range[0], high=said.range[1])
            if not feature.edges or with_range(feature.edges, rules, math.inf) != feature.edges:
                yield "range", f"ends within a bin: {ANEW}"
        if said.edges and not set(said.edges) <= set(feature.edges):
            yield "edges", ANEW
        if (said.whole or said.integral) and not feature.integral:
            yield ("whole" if said.whole else "integral"), f"but its fractions were not counted: {ANEW}"
    if feature.kind is Kind.TEXT:
        known = {text_hash(text) for text in feature.categories} | feature.seen
        if said.allowed and {text_hash(text) for text in said.allowed} != known:
            yield "allowed", f"names other texts than the reference counted: {ANEW}"
        if said.categories and said.categories != feature.categories:
            yield "categories", ANEW

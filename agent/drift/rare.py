"""A text's cells in the order in which they are pooled: which stand together, as noise cannot tell them apart.

A reference knows a rare category by chance, lists one by chance, and finds one rarer than another by chance. Were any
of it to decide what is pooled with what, the reference's own noise would come back in every window as drift (regression
to the mean; docs/decisions/0013). Where "other" has several cells (0141) a text is in the one that its hash says, known
or never seen: such a set of texts is fixed, whatever the reference happened to hold of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xxhash

from agent.bins import Feature, Layout, text_hash
from agent.records import Bools, Ints, Kind, Source

CLASS_MIN, CLASS_ERRORS = 30, 6.0  # of a text's categories: counts up to 30 are one class, each next six errors wide


@dataclass(frozen=True)
class Order:
    """cells: a feature's bins, counted from its first, in the order in which they are pooled. joined: (cells,) those
    that never stand apart from the one before. credit: rows of mass never seen that the reference itself foretells."""

    cells: Ints
    joined: Bools
    credit: float = 0.0

    @classmethod
    def plain(cls, feature: Feature) -> Order:
        """As they lie."""
        return cls(np.arange(feature.bins), np.zeros(feature.bins, dtype=bool))


def order_of(feature: Feature, counts: Ints, coarse: bool = False) -> Order:
    """Of a text. counts: (bins,), of the reference. coarse: "other" is one, whatever it is counted in.

    Never seen stands with other, cell by cell, and so does what only chance listed: each with those of its own hash.
    """
    listed, parts = len(feature.categories), 1 if coarse else feature.rare_cells
    wholes = feature.wholes(counts)
    some, chance = bool(wholes[-2]), listed_by_chance(wholes)
    merged = wholes if coarse else counts
    order = ranked(merged, feature.categories)
    joined = np.zeros(len(merged), dtype=bool)
    if chance.any():  # the least listed, other and never stand together
        part = np.arange(len(merged)) - listed
        part[listed:] %= parts
        part[:listed] = [text_hash(name) % parts for name in feature.categories]
        apart = np.append(chance, np.ones(2 * parts, dtype=bool))
        groups = [order[apart[order] & (part[order] == k)] for k in range(parts)]
        for group in groups:
            joined[group[1:]] = True
        order = np.concatenate((*groups, order[~apart[order]]))
    joined[listed + parts :] = some
    credit = 0.0 if some else float((counts == 1).sum())
    if parts == feature.rare_cells:
        return Order(order, joined[order], credit)
    return _spread_out(feature, order, joined, credit)


def _spread_out(feature: Feature, order: Ints, joined: Bools, credit: float) -> Order:
    """An order of bins as people know them, as one of the cells that they are counted in."""
    ends = [*feature.whole[1:].tolist(), feature.bins]
    cells = [np.arange(feature.whole[k], ends[k]) for k in order.tolist()]
    along = [np.arange(len(own)) > 0 for own in cells]
    for k, own in zip(order.tolist(), along, strict=True):
        own[0] = joined[k]
    return Order(np.concatenate(cells), np.concatenate(along), credit)


def ranked(counts: Ints, categories: Sequence[str]) -> Ints:
    """The order of a text's cells: classes of rising count, and chance within a class. counts: of the categories, then
    of other's cells, then of as many of never seen.

    Were close counts put in order, the reference's own noise would choose what is pooled with what: those that happened
    to be rare would lie together, and come back more often in every window (regression to the mean). A class holds what
    noise alone may tell apart. Never seen follows other: which of both a rare category counts as was chance, too.
    """
    listed = len(categories)
    parts = (len(counts) - listed) // 2
    chance = [xxhash.xxh3_64_intdigest(name.encode()) for name in categories]
    chance += [xxhash.xxh3_64_intdigest(bytes([k])) if parts > 1 else 0 for k in range(parts)]
    order = sorted(range(listed + parts), key=lambda i: (counts[i], i < listed, i))
    classes, upto, number = {}, float(CLASS_MIN), 0
    for cell, count in zip(order, counts[order].tolist(), strict=True):
        if count >= upto:
            number, upto = number + 1, count + CLASS_ERRORS * np.sqrt(count)
        classes[cell] = number
    found = []
    for cell in sorted(order, key=lambda cell: (classes[cell], chance[cell])):
        found += [cell, cell + parts] if cell >= listed else [cell]
    return np.array(found, dtype=np.int64)


def listed_by_chance(counts: Ints) -> Bools:
    """(categories,): which of a text's listed ones only chance put before some that are not listed.

    counts: of the listed, of all other and of never seen. Those who came more often than they do were listed, so all of
    them come less often ever after (regression to the mean). None where even all others together are clearly rarer.
    """
    listed, other = counts[:-2], int(counts[-2])
    least = float(listed.min(initial=0))
    if other < max(1.0, least - CLASS_ERRORS * np.sqrt(least)):
        return np.zeros(listed.size, dtype=bool)
    return np.asarray(listed < max(float(CLASS_MIN), least + CLASS_ERRORS * np.sqrt(least)))


def shapeless(layout: Layout, pooled: Ints) -> frozenset[int]:
    """Texts without shares to judge, as ids are: chance chose all of the values that are listed, and all others are one
    cell."""
    texts = ((i, f) for i, f in enumerate(layout.features) if f.kind is Kind.TEXT and is_tested(f))
    held = ((i, pooled[layout.slice(i)][: f.bins]) for i, f in texts if f.rare_cells == 1)
    return frozenset(i for i, counts in held if counts.any() and listed_by_chance(counts).all())


def is_tested(feature: Feature) -> bool:
    """Features, predictions and scores that have bins and are not ignored. Latency has a check of its own."""
    tested = feature.source is not Source.LATENCY and feature.kind is not Kind.VECTOR  # a vector by its parts
    return tested and feature.bins > 0 and not feature.ignored

"""Groups of the reference's blocks, each beside the matched rest: what live windows will be, had without any drift."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from agent.drift.seasons import Season
from agent.records import Floats, Ints


@dataclass(frozen=True)
class Groups:
    """Consecutive blocks in groups of one size, by one season.

    A pair is what one group has in one phase. What is left out for it is the pair itself, or the whole slot that it
    lies in, where slots are longer than groups.
    """

    season: Season
    size: int
    used: slice  # of the blocks: the oldest are left over, groups end where the reference ends
    count: int
    of_pair: Ints  # (pairs,): its group
    phase_of_pair: Ints
    pair: Ints  # (used blocks,)
    out_of_pair: Ints  # (pairs,): which part of the reference is left out for it
    out: Ints  # (used blocks,): the part a block belongs to

    @classmethod
    def of(cls, season: Season, size: int) -> Groups:
        blocks = len(season.phase)
        count = blocks // size
        used = slice(blocks - count * size, blocks)
        phases, phase, slot = season.known.size, season.phase[used], season.slot[used]
        group = np.repeat(np.arange(count), size)
        pairs, pair = np.unique(group * phases + phase, return_inverse=True)
        first = np.unique(pair, return_index=True)[1]
        per_slot = blocks / max(np.unique(season.slot).size, 1) if phases > 1 else 0.0
        if per_slot > size:
            out = np.unique(slot, return_inverse=True)[1]
            out_of_pair = out[first]
        else:
            out, out_of_pair = pair, np.arange(pairs.size)
        return cls(season, size, used, count, pairs // phases, pairs % phases, pair, out_of_pair, out)

    @cached_property
    def _members(self) -> tuple[Ints, Ints]:
        order = np.argsort(self.out, kind="stable")
        return order, np.searchsorted(self.out[order], np.arange(int(self.out.max(initial=-1)) + 2))

    def members(self, pair: int) -> Ints:
        """The used blocks that are left out for a pair."""
        order, starts = self._members
        out = int(self.out_of_pair[pair])
        return order[starts[out] : starts[out + 1]]

    def rows(self, n: Floats) -> Rows:
        """n: (blocks, features), 0 in phases that are not known."""
        own = _add(n[self.used], self.out, int(self.out.max(initial=-1)) + 1)[self.out_of_pair]
        rest = by_phase(self.season, n)[self.phase_of_pair] - own
        mine = _add(n[self.used], self.pair, len(self.of_pair))
        total = _add(mine, self.of_pair, self.count)
        weight = mine / np.maximum(total, 1.0)[self.of_pair]
        unmatched = _add(weight * (rest < 1.0), self.of_pair, self.count) > 0
        one_over = _add(np.square(weight) / np.maximum(rest, 1.0), self.of_pair, self.count)
        effective = np.where(unmatched | (one_over <= 0), 0.0, 1.0 / np.maximum(one_over, 1e-300))
        return Rows(total, effective, weight, np.maximum(rest, 1.0))

    def compare(self, sums: Floats, rows: Rows) -> tuple[Floats, Floats]:
        """Means of every group and of its matched rest, (groups, ..., features) from sums (blocks, ..., features)."""
        wide = (slice(None), *([None] * (sums.ndim - 2)))
        own = _add(sums[self.used], self.out, int(self.out.max(initial=-1)) + 1)[self.out_of_pair]
        rest = (by_phase(self.season, sums)[self.phase_of_pair] - own) / rows.rest[wide]
        matched = _add(rest * rows.weight[wide], self.of_pair, self.count)
        mine = _add(_add(sums[self.used], self.pair, len(self.of_pair)), self.of_pair, self.count)
        return mine / np.maximum(rows.total, 1.0)[wide], matched


@dataclass(frozen=True)
class Rows:
    """total, effective: (groups, features), rows of each group and what its matched rest is worth in rows.

    weight, rest: (pairs, features), a pair's part of its group and the rows it is compared with.
    """

    total: Floats
    effective: Floats
    weight: Floats
    rest: Floats


def by_phase(season: Season, values: Floats) -> Floats:
    """Sums over the blocks of each phase, (phases, ...)."""
    return _add(values, season.phase, season.known.size)


def _add(values: Floats, group: Ints, groups: int) -> Floats:
    """Sums of the rows of each group, (groups, ...)."""
    found = np.zeros((groups, *values.shape[1:]))
    if not len(values):
        return found
    order = np.argsort(group, kind="stable")
    sorted_groups = group[order]
    starts = np.flatnonzero(np.diff(sorted_groups, prepend=-1))
    in_order = values if (order[:-1] < order[1:]).all() else values[order]
    found[sorted_groups[starts]] = np.add.reduceat(in_order, starts, axis=0)
    return found

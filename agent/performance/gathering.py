"""Pairs of many small messages as few large ones: counting one costs as much as counting some hundred."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from agent.records import Pairs

ROWS = 512  # counted together


@dataclass(slots=True)
class Gathering:
    """Pairs of one window each, in order. Holds under ROWS rows when `add` has returned."""

    rows: int = 0
    _held: list[tuple[int, Pairs]] = field(default_factory=list)

    def add(self, pairs: Pairs, index: int) -> Iterator[tuple[int, Pairs]]:
        """What is to be counted now, as (window, pairs)."""
        self._held.append((index, pairs))
        self.rows += pairs.rows
        if self.rows >= ROWS:
            yield from self.take()

    def take(self) -> Iterator[tuple[int, Pairs]]:
        """Everything held."""
        held, self._held, self.rows = self._held, [], 0
        begin = 0
        for i in range(1, len(held) + 1):
            if i == len(held) or not _alike(held[begin], held[i]):
                yield held[begin][0], _joined([pairs for _, pairs in held[begin:i]])
                begin = i


def _alike(one: tuple[int, Pairs], other: tuple[int, Pairs]) -> bool:
    """Whether the places of both mean the same: tables only grow, so the later one holds the earlier."""
    a, b = one[1], other[1]
    if one[0] != other[0] or a.score_names != b.score_names or (a.position is None) is not (b.position is None):
        return False
    return a.segments.keys() == b.segments.keys() and _begins(a.classes, b.classes) and _begins(a.names, b.names)


def _begins(short: Sequence[str], long: Sequence[str]) -> bool:
    return short is long or (len(short) <= len(long) and list(long[: len(short)]) == list(short))


def _joined(parts: Sequence[Pairs]) -> Pairs:
    if len(parts) == 1:
        return parts[0]
    last = parts[-1]

    def whole(name: str) -> Any:
        return np.concatenate([getattr(part, name) for part in parts])

    return Pairs(
        last.model, sum(part.rows for part in parts), whole("ids"), whole("request_ids"), whole("time_ns"),
        whole("label_ns"), whole("predicted"), whole("actual"), whole("predicted_class"), whole("actual_class"),
        last.classes, whole("scores"), last.score_names, whole("weights"),
        segments={key: np.concatenate([part.segments[key] for part in parts]) for key in last.segments},
        names=last.names, position=None if last.position is None else whole("position"),
    )  # fmt: skip

"""Outcomes by group of the reference's rows, window by window: a section of the reference file (`labelled.py`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from agent.fairness.groups import Groups
from agent.fairness.outcomes import Meaning, Outcomes, selected_pairs
from agent.fairness.past import REFERENCE_WINDOWS_MAX, SECTION, padded
from agent.packed import pack
from agent.records import Cells, Floats, Pairs, Task
from agent.reference.labelled import LabelledRows, Settled

ATTRIBUTES_MAX = 8  # as many as are followed (agent/config)


class FairnessSection:
    """Counts every protected attribute and segment key. Memory: some 6 kB a window and attribute with 20 groups."""

    key = SECTION

    def __init__(self, settled: Settled) -> None:
        self._meaning = Meaning(Task(settled.task), settled.positive)
        names = dict.fromkeys((*settled.protected, *settled.segments))
        self._groups = {name: Groups() for name in tuple(names)[:ATTRIBUTES_MAX]} if self._meaning.measures else {}
        self._windows = {name: [Outcomes.empty() for _ in range(settled.blocks)] for name in self._groups}
        self._said: list[str] = []

    def add(self, rows: LabelledRows) -> None:
        """The next rows."""
        pairs = rows.pairs
        for name, groups in self._groups.items():
            places = pairs.groups.get(name, pairs.segments.get(name))
            if places is not None:
                for block in np.unique(rows.position).tolist():
                    self._add(name, groups, _part(pairs, rows.position == block, places), block)

    def _add(self, name: str, groups: Groups, part: tuple[Pairs, Cells], block: int) -> None:
        pairs, places = part
        found, outcomes = groups.of_places(places, pairs.names), self._windows[name][block]
        if self._meaning.binary:
            given, known = selected_pairs(pairs, self._meaning)
            outcomes.predicted(found, known * np.int64(2) + given, None, groups.size)
        outcomes.labelled(found, pairs, self._meaning, groups.size)

    def finish(self) -> bytes:
        """The section's body."""
        attributes: dict[str, Any] = {}
        arrays: list[Floats] = []
        for name, groups in self._groups.items():
            windows = padded([o.sums for o in self._windows[name]], groups.size)
            total = windows.sum(axis=0)
            if total[2:, :, 0].any():
                attributes[name] = {"values": groups.values, "at": len(arrays)}
                arrays += [total, windows[-REFERENCE_WINDOWS_MAX:]]
            if total[1, :, 0].any():
                self._said.append(f"{name!r} has more than {len(groups.values)} values: the others count as one group")
        meaning = {"task": int(self._meaning.task), "positive": self._meaning.positive}
        if not attributes:
            return b""
        return pack({"attributes": attributes, **meaning}, {str(k): a for k, a in enumerate(arrays)}, level=6)

    def notes(self) -> Sequence[str]:
        return self._said


def _part(pairs: Pairs, rows: Any, places: Cells) -> tuple[Pairs, Cells]:
    """Only some rows, and only what outcomes are made from."""
    found = Pairs(
        pairs.model, int(rows.sum()), pairs.ids[rows], pairs.request_ids[rows], pairs.time_ns[rows],
        pairs.label_ns[rows], pairs.predicted[rows], pairs.actual[rows], pairs.predicted_class[rows],
        pairs.actual_class[rows], pairs.classes, pairs.scores[rows], pairs.score_names, pairs.weights[rows],
        names=pairs.names,
    )  # fmt: skip
    return found, places[rows]

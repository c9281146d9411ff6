"""When not to believe an estimate: values the reference never held, inputs that moved, labels that say otherwise."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from agent.bins import FRACTIONAL_CELL
from agent.records import Bools, Counts, Finding, Floats, Kind, Source
from agent.reference.profile import Reference

THIN_ROWS = 20  # of a cell in the reference; of fewer it says nothing of how good the model is there
OUTSIDE_DOUBTFUL, OUTSIDE_MAX = 0.02, 0.1  # of the rows, beyond the reference's own share in such cells
UNKNOWN_MAX = 0.1  # of the rows: without a score, or of a class that was never predicted
NAMED_MAX = 3
# Labels against the estimates of the same predictions, over the newest windows in which labels came.
TRUTH_WINDOWS = 24
LABELS_MIN = 100
DEVIATE_MAX = 4.0
RELATIVE_MIN = 0.1  # of the loss: less is no reason not to believe
TALLY = 6
ROWS, WEIGHT, SQUARES, ACTUAL, EXPECTED, VARIANCE = range(TALLY)


class Belief(StrEnum):
    YES = "yes"
    DOUBTFUL = "doubtful"
    NO = "no"

    @property
    def figure(self) -> float:
        """1, 0.5 or 0, as it is exported."""
        return {Belief.YES: 1.0, Belief.DOUBTFUL: 0.5, Belief.NO: 0.0}[self]


@dataclass(frozen=True, slots=True)
class Validity:
    """reasons: why it is not to be believed, or in doubt; no value of a feature among them."""

    belief: Belief = Belief.YES
    reasons: tuple[str, ...] = ()

    def words(self) -> str:
        """To follow the estimate; empty where it is to be believed."""
        if self.belief is Belief.YES:
            return ""
        head = "not to be believed" if self.belief is Belief.NO else "in doubt"
        return f"{head}: {'; '.join(self.reasons)}"


def whole(parts: Iterable[Validity]) -> Validity:
    """The worst of all, with the reasons of that and of lesser ones."""
    held = [part for part in parts if part.belief is not Belief.YES]
    for belief in (Belief.NO, Belief.DOUBTFUL):
        if any(part.belief is belief for part in held):
            order = sorted(held, key=lambda part: part.belief is not belief)
            return Validity(belief, tuple(reason for part in order for reason in part.reasons))
    return Validity()


class Support:
    """Which cells the reference hardly knows. Made once for a reference."""

    def __init__(self, reference: Reference) -> None:
        layout = reference.layout
        self._starts, self._names = layout.starts[: layout.sent], [f.name for f in layout.features[: layout.sent]]
        self._cells = int(layout.starts[layout.sent])
        pooled = reference.pooled[: self._cells]
        thin: Bools = pooled < THIN_ROWS
        for i, feature in enumerate(layout.features[: layout.sent]):
            own = slice(int(layout.starts[i]), int(layout.starts[i + 1]))
            thin[int(layout.starts[i]) + feature.bins + FRACTIONAL_CELL] = False  # counted beside a value's own cell
            if feature.kind is Kind.TEXT:  # of "other" and "never seen" as a whole
                thin[own][: feature.bins] = np.repeat(
                    feature.wholes(pooled[own]) < THIN_ROWS, np.diff([*feature.whole, feature.bins])
                )
            if feature.ignored or not feature.bins or feature.source not in (Source.FEATURE, Source.SCORE):
                thin[own] = False
        self._thin = thin.astype(np.float64)
        rows = max(float(reference.rows.sum()), 1.0)
        self._usual = self._by_feature(pooled) / rows

    def judge(self, counts: Counts, rows: int) -> Validity:
        """counts: (layout.cells,) of one window of so many rows."""
        if not rows or not self._names:
            return Validity()
        outside = self._by_feature(counts[: self._cells]) / rows - self._usual
        worst = float(outside.max())
        if worst < OUTSIDE_DOUBTFUL:
            return Validity()
        named = [self._names[i] for i in np.argsort(-outside, kind="stable")[:NAMED_MAX] if outside[i] >= worst / 2]
        said = f"{worst * 100:.3g} % of the rows lie where the reference has next to none ({', '.join(named)})"
        return Validity(Belief.NO if worst >= OUTSIDE_MAX else Belief.DOUBTFUL, (said,))

    def _by_feature(self, counts: Counts) -> Floats:
        if not len(self._starts):
            return np.zeros(0)
        return np.asarray(np.add.reduceat(counts * self._thin, self._starts), dtype=np.float64)


def unknown(share: float, what: str) -> Validity:
    """share: of the rows that could not be estimated, 0-1."""
    if share < OUTSIDE_DOUBTFUL:
        return Validity()
    said = f"{share * 100:.3g} % of the rows {what}"
    return Validity(Belief.NO if share >= UNKNOWN_MAX else Belief.DOUBTFUL, (said,))


def moved(findings: Sequence[Finding]) -> Validity:
    """By what else was found of the window: an estimate stands on inputs whose meaning has not changed."""
    names = sorted({f.subject for f in findings if f.alarms and f.check == "drift" and f.source is Source.FEATURE})
    broken = sorted({f.subject for f in findings if f.alarms and f.check in ("type_mismatch", "absent")})
    found = []
    if names:
        found.append(f"inputs drift ({_listed(names)}), and the estimate holds only if they mean what they meant")
    if broken:
        found.append(f"inputs are broken ({_listed(broken)})")
    return Validity(Belief.DOUBTFUL, tuple(found)) if found else Validity()


@dataclass(frozen=True, slots=True)
class Realised:
    """What labels showed of `rows` predictions, and what had been estimated of the same ones, in the metric's unit.
    error: standard error of their difference, by the labels' chance alone."""

    rows: int
    shown: float
    estimated: float
    error: float

    @classmethod
    def of(cls, tally: Floats, is_rate: bool) -> Realised | None:
        """tally: (6,), of losses, as `against_labels` has it. None: no label came that says anything."""
        weight = float(tally[WEIGHT])
        if not weight > 0.0:
            return None
        actual, expected = float(tally[ACTUAL]) / weight, float(tally[EXPECTED]) / weight
        error = math.sqrt(max(float(tally[VARIANCE]), 0.0)) / weight
        shown, told = (1.0 - actual, 1.0 - expected) if is_rate else (actual, expected)
        return cls(int(tally[ROWS]), shown, told, error)


def against_labels(tally: Floats, metric: str, prior: float, is_rate: bool) -> Validity:
    """tally: (6,) of predictions whose label came: rows, Σw, Σw², Σw·actual, Σw·expected, Σw²·variance, of losses.

    prior: standard deviation between windows of the mean loss. A rate must differ by a hundredth at least.
    """
    found = Realised.of(tally, is_rate)
    if found is None or found.rows < LABELS_MIN:
        return Validity()
    apart, expected = abs(found.shown - found.estimated), 1.0 - found.estimated if is_rate else found.estimated
    far = apart > DEVIATE_MAX * math.hypot(found.error, prior) and apart >= RELATIVE_MIN * expected
    if not far or (is_rate and apart < 0.01):
        return Validity()
    words = f"{metric} is {found.shown:.3g} where {found.estimated:.3g} was estimated"
    return Validity(Belief.NO, (f"of {found.rows} predictions whose label came, {words}",))


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED_MAX} more" if len(names) > NAMED_MAX else ""
    return ", ".join(names[:NAMED_MAX]) + more

"""Promote the challenger, keep the champion, or not yet: what the labels so far allow to be said."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from agent.figures import figure
from agent.shadow.losses import WORDS, Estimate, Sums, apart, paired
from agent.shadow.sequence import LABELS_MIN, WINDOWS_MIN, Now, labels_needed, multiplier


class Decision(StrEnum):
    PROMOTE = "promote"
    KEEP = "keep"
    NOT_YET = "not_yet"


@dataclass(frozen=True, slots=True)
class Opinion:
    """What one look says. mean, lower, upper: champion's loss less the challenger's, of `labels` labels; champion,
    challenger: their mean losses; needed: labels more, None: none foreseen. paired: on the same requests."""

    decision: Decision
    reason: str
    paired: bool
    labels: int = 0
    mean: float = math.nan
    lower: float = math.nan
    upper: float = math.nan
    champion: float = math.nan
    challenger: float = math.nan
    needed: int | None = None


def on_the_same(sums: Sums, swapped: bool, alpha: float, margin: float) -> Opinion:
    """sums: of both, the champion first unless `swapped`."""
    if not sums.labels:
        return Opinion(Decision.NOT_YET, "no label of both versions yet", True)
    order = [1, 0] if swapped else [0, 1]
    factors, plain = np.zeros(2), np.zeros(2)
    factors[order], plain[order] = (1.0 - margin, -1.0), (1.0, -1.0)
    means = sums.means()[order]
    return _opinion(paired(sums, factors), paired(sums, plain), means, True, alpha, margin)


def on_others(champion: Sums, challenger: Sums, alpha: float, margin: float) -> Opinion:
    """Each version on requests of its own: right where chance decided which version answers."""
    if not (champion.labels and challenger.labels):
        return Opinion(Decision.NOT_YET, "no labels of both versions yet", False)
    means = np.append(champion.means(), challenger.means())
    plain = apart(champion, challenger, np.array([1.0, -1.0]))
    tested = apart(champion, challenger, np.array([1.0 - margin, -1.0]))
    return _opinion(tested, plain, means, False, alpha, margin)


def _opinion(tested: Estimate, plain: Estimate, means: np.ndarray, same: bool, alpha: float, margin: float) -> Opinion:
    """tested: of the difference less the margin, which decides; plain: of the difference, which is told."""
    half, told = half_width(tested, alpha), half_width(plain, alpha)
    decision, needed, why = Decision.NOT_YET, None, ""
    if tested.windows < WINDOWS_MIN or tested.labels < LABELS_MIN:
        why = f"{tested.all} labels over {tested.windows} windows, {LABELS_MIN} over {WINDOWS_MIN} are needed at least"
    elif tested.mean - half > 0.0:
        decision, why = Decision.PROMOTE, "the challenger is better" + _by(margin)
    elif tested.mean + half < 0.0:
        decision = Decision.KEEP
        why = "the challenger is not better" + _by(margin) if margin else "the champion is better"
    else:
        needed = _more(tested, alpha)
        why = "both may be right" if needed is not None else "too close to tell; a margin would decide"
    return Opinion(
        decision, why, same, plain.all, plain.mean, plain.mean - told, plain.mean + told,
        float(means[0]), float(means[1]), needed,
    )  # fmt: skip


def _by(margin: float) -> str:
    return f" by {margin * 100:.3g} % of the champion's loss" if margin else ""


def half_width(found: Estimate, alpha: float) -> float:
    """Of the confidence sequence."""
    labels = found.labels / (found.dispersion * found.unseen)
    return math.sqrt(found.variance * found.unseen) * multiplier(labels, alpha, found.freedom)


def _more(found: Estimate, alpha: float) -> int | None:
    """Labels more until a decision is likely, if the difference stays as it is."""
    now = Now(found.labels, found.windows, found.variance, found.dispersion, found.freedom)
    whole = labels_needed(abs(found.mean), now, alpha)
    more = found.all * (whole / found.labels - 1.0)
    return max(1, math.ceil(more)) if math.isfinite(more) else None


def words(opinion: Opinion, champion: str, challenger: str, loss: str) -> str:
    """For whoever decides, in one sentence."""
    if opinion.labels == 0:
        return f"not yet: {opinion.reason}"
    kind = WORDS[loss]
    told = (
        f"{kind} {_said(opinion.challenger)} of {challenger} against {_said(opinion.champion)} of {champion} on "
        f"{opinion.labels} labels of {'the same' if opinion.paired else 'different'} requests; better by "
        f"{_said(opinion.mean)}, between {_said(opinion.lower)} and {_said(opinion.upper)}"
    )
    more = f"; about {opinion.needed} labels more are likely to be needed" if opinion.needed else ""
    return f"{opinion.decision.replace('_', ' ')}: {opinion.reason}: {told}{more}"


def _said(value: float) -> str:
    return figure(value, "number")

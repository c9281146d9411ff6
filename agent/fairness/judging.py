"""One attribute's findings at a window's end: did a gap grow, and is a limit passed?"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from agent.config.disparity_limits import DisparityLimit
from agent.fairness.attribute import Attribute
from agent.fairness.beyond import Beyond, beyond
from agent.fairness.disparity import BY_NAME as METRIC_BY_NAME
from agent.fairness.disparity import ROWS_MIN, disparities
from agent.fairness.gaps import FLOOR, WINDOWS_MIN, Gaps, compare, floor, judged
from agent.fairness.groups import FIRST, MISSING
from agent.fairness.intervals import estimate
from agent.fairness.level import Level, level
from agent.fairness.outcomes import RATES, Meaning, Measure
from agent.fairness.past import stacked
from agent.records import Finding, Floats, Source, Task, Verdict

GAP, LIMIT = "fairness", "fairness_limit"  # checks
USUAL_P = 0.01  # newest windows as likely as that by chance are usual again (agent/alerting/machine.py)
USUAL_CLOSES = 2
TESTS_STEP = 3_000  # pairs of groups and measures that are tested in one step
USUAL_OVER_MIN = 4  # windows that are asked together whether a gap goes on: a single one's noise looks usual soon


@dataclass(frozen=True, slots=True)
class Terms:
    """What one attribute's checks go by. alpha, alpha_limit: of one horizon, all tests together; exported: group values
    may leave."""

    meaning: Meaning
    alpha: float
    alpha_limit: float
    limits: tuple[DisparityLimit, ...]
    exported: bool


def judging(attribute: Attribute, index: int, terms: Terms) -> Iterator[list[Finding]]:
    """Findings of the window that just ended; also learns from it, and forgets a gap that closed again. In steps of a
    millisecond or so, that the loop be not held."""
    closed = attribute.end(index)
    if terms.meaning.silence:
        yield [_silent(attribute.name, Verdict.NO_REFERENCE, terms.meaning.silence, index)]
        return
    told, sums = attribute.pooled(index)
    why = _nothing(attribute, sums, terms.meaning)
    if why:
        yield [_silent(attribute.name, Verdict.NO_DATA, why, index)]
        return
    horizons = np.array(told, dtype=np.float64)
    yield []
    for _ in attribute.past.preparing(sums.shape[1]):
        yield []
    gap = yield from _gap(attribute, sums, horizons, terms, index)
    yield [gap]
    attribute.learn(index, closed, gap.alarms)
    if terms.limits:
        for _ in attribute.past.preparing(sums.shape[1]):
            yield []
        yield [(yield from _limit(attribute, sums, horizons, terms, index))]
    _remember(attribute, gap, index)


def _nothing(attribute: Attribute, sums: Floats, meaning: Meaning) -> str:
    """Why there is nothing to compare; empty: there is something."""
    named = sums[:, FIRST - 1 :]
    if not named[..., 0].any():
        came = sum(float(outcomes.rows[FIRST - 1 :].sum()) for _, outcomes in attribute.recent)
        if not came:
            return f"no prediction of the recent windows carries {attribute.name}"
        if meaning.task is Task.REGRESSION:
            return "no true number met a predicted one in the recent windows"
        return "the recent predictions carry no label, and the threshold of their score is not known"
    positives = named[:, :, [Measure.SELECTION_RATE, Measure.TRUE_POSITIVE_RATE], [2, 0]]
    if meaning.binary and not attribute.over and not positives.any():
        return "no prediction and no label of the recent windows is the positive one: are they written alike?"
    return ""


def _remember(attribute: Attribute, found: Finding, index: int) -> None:
    """As the alert does: usual again for two windows, and what was unusual is forgotten."""
    if not attribute.over:
        return
    newest = found.distances
    usual = newest.get("newest_p", 1.0) > USUAL_P or newest.get("newest_effect", 0.0) < FLOOR
    attribute.good = attribute.good + 1 if usual else 0
    if attribute.good >= USUAL_CLOSES:
        attribute.forget(index)


@dataclass(frozen=True, slots=True)
class _Look:
    """Both sides' comparisons as one: (horizons, groups, MEASURES). alpha: (horizons,) of one test."""

    gaps: Gaps
    alpha: Floats

    @property
    def alarming(self) -> Any:
        return (self.gaps.p <= self.alpha[:, None, None]) & (self.gaps.effect >= floor())


def _compared(attribute: Attribute, sums: Floats, horizons: Floats, terms: Terms) -> _Look | None:
    before = attribute.past.level(sums.shape[1])
    gaps = compare(sums, horizons, before, judged(terms.meaning.measures))
    return _Look(gaps, terms.alpha / np.maximum(gaps.tests, 1.0)) if gaps.tests.any() else None


def _gap(
    attribute: Attribute, sums: Floats, horizons: Floats, terms: Terms, index: int
) -> Generator[list[Finding], None, Finding]:
    look = _compared(attribute, sums, horizons, terms)
    yield []
    if look is None:
        return _untested(attribute, sums, terms, index)
    gaps, alarming = look.gaps, look.alarming
    at = _choose(look, alarming)
    h, group, m = at
    p, effect, alpha = float(gaps.p[at]), float(gaps.effect[at]), float(look.alpha[h])
    verdict = Verdict.ALARM if alarming[at] else Verdict.WITHIN_NOISE if p > alpha else Verdict.BELOW_FLOOR
    if alarming.any():
        shortest = max(int(horizons[alarming.any(axis=(1, 2))].min()), USUAL_OVER_MIN)
        attribute.over = min(attribute.over or shortest, shortest)
    newest = _newest(look, alarming, at, horizons, attribute.over)
    n = gaps.rates.n[h, group, m]
    n_reference = attribute.past.level(sums.shape[1]).rates.n[group, m]
    reason = _said(attribute, at, gaps, int(horizons[h]), terms)
    if verdict is Verdict.ALARM:
        yield []
        reason += _criteria(sums[h], terms)
    if verdict is Verdict.BELOW_FLOOR:
        reason += f"; a gap grown by less than {float(floor()[m]):g} is not worth an alarm"
    return Finding(
        GAP, attribute.name, Source.ROW, verdict, p, alpha, effect, int(horizons[h]), int(n), int(n_reference),
        float(gaps.phi[at]), max(index - int(horizons[h]) + 1, 0), float(gaps.now[at]), float(gaps.then[at]),
        {"newest_p": newest[0], "newest_effect": newest[1]}, reason=reason,
    )  # fmt: skip


def _choose(look: _Look, alarming: Any) -> tuple[int, int, int]:
    """(horizon, group, measure) to tell: of those that alarm the largest effect, else the least p over its alpha."""
    gaps = look.gaps
    if alarming.any():
        order = np.where(alarming, -gaps.effect, np.inf)
    else:
        order = np.where(gaps.tested, gaps.p / look.alpha[:, None, None], np.inf)
    h, group, m = np.unravel_index(int(np.argmin(order)), order.shape)
    return int(h), int(group), int(m)


def _newest(
    look: _Look, alarming: Any, at: tuple[int, int, int], horizons: Floats, over: int
) -> tuple[float, float]:
    """p and effect of the newest windows, so many as the alarm needed at first (`over`; 0: there is none, the horizon
    told): fewer would look usual by chance while the gap goes on. Of whatever alarms, the one that is least usual."""
    places = list(zip(*np.nonzero(alarming.any(axis=0)), strict=True)) or [at[1:]]
    told = []
    for group, m in places:
        tested = look.gaps.tested[:, group, m] & (horizons <= (over or horizons[at[0]]))
        if tested.any():
            k = int(np.flatnonzero(tested)[-1])
            told.append((float(look.gaps.p[k, group, m]), float(look.gaps.effect[k, group, m])))
    # Neither good nor bad where the newest windows have too few rows to say.
    return min(told, key=lambda one: (one[1] < FLOOR, one[0]), default=(float("nan"), float("nan")))


def _said(attribute: Attribute, at: tuple[int, int, int], gaps: Gaps, horizon: int, terms: Terms) -> str:
    """A gap in a sentence; groups by number unless their names may be told."""
    measure, group = Measure(at[2]), at[1]
    now, then = float(gaps.now[at]), float(gaps.then[at])
    mean = float(gaps.rates.mean[at])
    past = attribute.past.said(0 if measure is Measure.SELECTION_RATE else 1)
    told = f"{measure.said} {_figure(mean, measure)} in group {attribute.groups.name(group, terms.exported)}, "
    told += f"{_figure(mean - now, measure)} in the others: {_apart(now, then, measure)} ({past}), "
    return f"{told}over {_windows(horizon)}"


def _criteria(sums: Floats, terms: Terms) -> str:
    """The known criteria over the same windows, with their intervals."""
    named = sums[None].copy()
    named[:, MISSING] = 0.0
    told = [
        f"{each.metric.name.replace('_', ' ')} {each.value:.3g} ({each.low:.3g} to {each.high:.3g})"
        for each in disparities(estimate(named), judged(terms.meaning.measures))[0] if not each.metric.ratio
    ]  # fmt: skip
    return f"; with 95 % limits: {', '.join(told)}" if told else ""


def _windows(horizon: int) -> str:
    return "1 window" if horizon == 1 else f"{horizon} windows"


def _figure(value: float, measure: Measure) -> str:
    return f"{value * 100:.3g} %" if RATES[measure] else f"{value:.3g}"


def _apart(now: float, then: float, measure: Measure) -> str:
    if RATES[measure]:
        return f"{abs(now) * 100:.3g} points {'more' if now > 0 else 'less'}, where it was {_signed(then * 100)}"
    return f"{abs(now):.3g} {'more' if now > 0 else 'less'}, where it was {_signed(then)}"


def _signed(value: float) -> str:
    return f"{abs(value):.2g} {'more' if value > 0 else 'less'}"


def _untested(attribute: Attribute, sums: Floats, terms: Terms, index: int) -> Finding:
    n = estimate(sums[-1]).n[FIRST - 1 :]
    enough = (n >= ROWS_MIN).sum(axis=0).max()
    if enough < 2:
        why = f"{int(enough)} groups with {ROWS_MIN:g} rows, 2 are needed"
        return _silent(attribute.name, Verdict.NOT_ENOUGH_ROWS, why, index)
    if not attribute.past.own:
        why = "the reference has too few rows of these groups"
        return _silent(attribute.name, Verdict.REFERENCE_TOO_SHORT, why, index)
    known = attribute.own.length
    why = f"{known} windows known, {WINDOWS_MIN} with 100 rows of two groups are needed; the reference has no groups"
    return _silent(attribute.name, Verdict.LEARNING, why, index)


def _limit(
    attribute: Attribute, sums: Floats, horizons: Floats, terms: Terms, index: int
) -> Generator[list[Finding], None, Finding]:
    """The limit that is most surely passed, or nearest to it; looked at one after the other."""
    known: list[Beyond] = []
    for limit in terms.limits:
        for part in _beyond(attribute, limit, sums, horizons, terms):
            known += part  # nothing, of most steps
            yield []
    told = [one for one in known if one.p == one.p]
    if not told:
        why = "no limit is of a measure that can be computed"
        if any(set(METRIC_BY_NAME[limit.metric].measures) <= set(terms.meaning.measures) for limit in terms.limits):
            why = f"fewer than 2 groups with {ROWS_MIN:g} rows"
        return _silent(attribute.name, Verdict.NOT_ENOUGH_ROWS, why, index, LIMIT)
    alpha = terms.alpha_limit / len(terms.limits)
    worst = min(told, key=lambda one: (not (one.passed and one.p <= alpha), one.p))
    same = [one for one in told if one.limit is worst.limit]
    newest = [one for one in same if one.horizon <= max(worst.horizon // 2, 1)] or same[:1]
    verdict = Verdict.ALARM if worst.passed and worst.p <= alpha else Verdict.WITHIN_NOISE
    word = "over" if worst.passed else "within"
    named = (attribute.groups.name(place, terms.exported) for place in (worst.over, worst.under))
    value = f"{worst.limit.metric.replace('_', ' ')} {worst.value:.3g}, {word} the limit of {worst.limit.limit:g}"
    reason = f"{value}: {Measure(worst.measure).said} of groups {' and '.join(named)}, over {_windows(worst.horizon)}"
    if worst.passed and verdict is not Verdict.ALARM:
        reason += "; by no more than chance may do"
    return Finding(
        LIMIT, attribute.name, Source.ROW, verdict, worst.p, alpha, _size(worst), worst.horizon, worst.n,
        phi=worst.phi, first_window=max(index - worst.horizon + 1, 0), current=worst.value, expected=worst.limit.limit,
        distances={"newest_p": newest[-1].p, "newest_effect": _size(newest[-1])}, reason=reason,
    )  # fmt: skip


def _beyond(
    attribute: Attribute, limit: DisparityLimit, sums: Floats, horizons: Floats, terms: Terms
) -> Iterator[list[Beyond]]:
    """As many horizons at a time as have TESTS_STEP tests, in steps."""
    metric = METRIC_BY_NAME[limit.metric]
    if not set(metric.measures) <= set(terms.meaning.measures):
        return
    side = 0 if metric.measures[0] is Measure.SELECTION_RATE else 1
    own = _wandering(attribute, side, sums.shape[1])
    yield []
    step = max(TESTS_STEP // (sums.shape[1] ** 2 * len(metric.measures)), 1)
    for begin in range(0, len(horizons), step):
        yield from beyond(limit, sums[begin : begin + step], horizons[begin : begin + step], own)


def _wandering(attribute: Attribute, side: int, places: int) -> Level:
    """How much windows wander: what was learned when all was well. Until there is that, what the recent windows did,
    which a gap that grew among them makes too large."""
    if len(attribute.past.windows[side]) >= WINDOWS_MIN:
        return attribute.past.level(places)
    return level(stacked([outcomes.sums for _, outcomes in attribute.recent], places))


def _size(found: Beyond) -> float:
    """Of a disparity: a difference, or what a ratio lacks of 1."""
    return 1.0 - found.value if found.limit.ratio else found.value


def _silent(name: str, verdict: Verdict, reason: str, index: int, check: str = GAP) -> Finding:
    return Finding(check, name, Source.ROW, verdict, first_window=index, reason=reason)

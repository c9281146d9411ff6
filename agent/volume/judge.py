"""Is this as much traffic as there should be? Records per covered second against what the past foretells.

The newest one, two, four and eight windows are judged, upward and downward, each by its weight in what the ledger
allows. Rates vary more than independent records would: ln(rate / expected) is held against Student's t with the
variance the forecasts had so far, and counts against the negative binomial of the same variance, which is right where
an hour has a few records or none. The larger p counts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from agent.records import Finding, Source, Verdict
from agent.statistics.tails import student_tail
from agent.volume.forecast import ENTRIES_MIN, GROUPS, Forecast, Shape, forecast
from agent.volume.past import COVERED_MIN, Counted, Past, log_rate

WEIGHTS = (0.15, 0.55, 0.2, 0.1)  # of alpha, by GROUPS: two windows are what a change is to be found in
RATIO_MIN = 1.5  # of the rate, or of its inverse: less is a busy or a quiet day
NEWEST_MIN = 1.25  # a group is no alarm where its newest window is back
COUNTS_MAX = 200.0  # above it the logarithm is as good as the counts
TERMS_MAX = 200_000  # of a tail
SUBJECT = "volume"


@dataclass(frozen=True, slots=True)
class _Group:
    """Some newest windows together. ratio: their rate over the expected one; p: one-sided, on the ratio's side."""

    windows: int
    ratio: float
    p: float
    variance: float
    freedom: float
    rows: int
    expected: float
    weight: float

    @property
    def paid(self) -> float:
        """p, for both ways and all groups."""
        return 2.0 * self.p / self.weight


@dataclass(slots=True)
class Volume:
    """One series' traffic. past: all that is to be kept; the forecast is made anew once an entry. lent: how a week goes
    by the reference, where that says it."""

    window_ns: int
    past: Past
    lent: Shape | None = None
    _known: Forecast | None = None
    _of: tuple[int, int] = (0, 0)  # the entries it was made from

    @classmethod
    def of(cls, window_ns: int) -> Volume:
        return cls(window_ns, Past.of(window_ns))

    def close(self, window: Counted, alpha: float) -> Finding:
        """Judges one closed window, then learns from it unless it alarms. Windows must rise.

        window.rows may be 0: then the finding is `no_data`, by the chance that no record comes under the forecast.
        effect: the ratio, or its inverse where it is below 1; current, expected: records a second. distances: ratio;
        newest_p; smallest_ratio, the rise that one window shows half the time; windows_for_double, 0: over eight.
        """
        known = self._forecast(window.index * self.window_ns)
        self.past = self.past.with_newest(window)
        if known is None or window.seconds < COVERED_MIN * self.window_ns / 1e9:
            finding = self._blind(window, known, alpha)
        else:
            finding = self._judge(window, known, alpha)
        self.past = (self.past.passed if finding.alarms else self.past.learn)(window, self.window_ns)
        return finding

    def lend(self, lent: Shape | None) -> None:
        """A reference's shape competes from the next window on; None: no more."""
        self.lent, self._of = lent, (0, 0)

    def _forecast(self, start_ns: int) -> Forecast | None:
        entries = self.past.complete(start_ns)
        of = (int(entries["start"][0]), int(entries["start"][-1])) if entries.size else (0, 0)
        if of != self._of or not entries.size:
            self._known, self._of = forecast(entries, self.past.slot_ns, self.lent), of
        return self._known

    def _judge(self, window: Counted, known: Forecast, alpha: float) -> Finding:
        groups = [_group(self.past.newest, known, number, self.window_ns) for number in range(len(GROUPS))]
        newest = groups[0]
        # One that is worth an alarm, before one that is more certain of less.
        best = min(groups, key=lambda group: (group.paid > alpha or _size(group.ratio) < RATIO_MIN, group.paid))
        same_way = (best.ratio > 1) == (newest.ratio > 1) and _size(newest.ratio) >= NEWEST_MIN
        power = _power(groups, alpha)
        said = _words(best, known, power) if window.rows else _silence(newest, known)
        if best.paid > alpha or not same_way:
            verdict = Verdict.WITHIN_NOISE
        elif _size(best.ratio) < RATIO_MIN:
            verdict, said = Verdict.BELOW_FLOOR, f"{said}; under {RATIO_MIN} times is not worth an alarm"
        else:
            verdict = Verdict.ALARM
        return replace(
            _finding(window, verdict, alpha, said), p_value=min(1.0, best.paid),
            effect=_size(best.ratio) if window.rows else 1.0, horizon=best.windows, n=best.rows,
            phi=1.0 + known.spread[0] * max(newest.expected, 1.0), first_window=window.index - best.windows + 1,
            expected=newest.expected / window.seconds,
            distances={"ratio": newest.ratio, "newest_p": min(1.0, 2.0 * newest.p), **power},
        )  # fmt: skip

    def _blind(self, window: Counted, known: Forecast | None, alpha: float) -> Finding:
        if known is None:
            windows = int(self.past.entries["windows"].sum())
            said = f"{windows} windows of the past are known; {ENTRIES_MIN} in hours that are over are needed"
            return _finding(window, Verdict.LEARNING, alpha, said)
        share = window.seconds / (self.window_ns / 1e9)
        said = f"the agent watched {share * 100:.0f} % of the window"
        return _finding(window, Verdict.NOT_ENOUGH_ROWS, alpha, said)


def _finding(window: Counted, verdict: Verdict, alpha: float, reason: str) -> Finding:
    check, subject, source = ("volume", SUBJECT, Source.ROW) if window.rows else ("no_data", "", Source.FEATURE)
    return Finding(
        check, subject, source, verdict, alpha=alpha, n=window.rows, first_window=window.index, reason=reason,
        current=window.rows / window.seconds if window.seconds else float("nan"),
    )  # fmt: skip


def _group(newest: tuple[Counted, ...], known: Forecast, number: int, window_ns: int) -> _Group:
    last, size = newest[-1].index, GROUPS[number]
    windows = [w for w in newest[-size:] if w.index > last - 2 * size and w.seconds > 0]
    starts = [w.index * window_ns for w in windows]
    expected = [known.expected(start) for start in starts]
    counts = [math.exp(rate) * w.seconds for rate, w in zip(expected, windows, strict=True)]
    over = known.spread[number if len(windows) == size else 0] + max(known.unseen(start) for start in starts)
    chance = sum(1.0 / (count + 0.5) for count in counts) / len(windows) ** 2
    beyond = [log_rate(w.rows, w.seconds) - rate for rate, w in zip(expected, windows, strict=True)]
    log_ratio = sum(beyond) / len(windows)
    freedom = known.freedom_at(number, starts)
    t = abs(log_ratio) / math.sqrt(over + chance)
    rows, count = sum(w.rows for w in windows), sum(counts)
    p = student_tail(t, freedom)
    if min(rows, count) < COUNTS_MAX:
        p = max(p, counts_tail(rows, count, over, upward=log_ratio > 0))
    return _Group(size, math.exp(log_ratio), p, over + chance, freedom, rows, count, WEIGHTS[number])


def counts_tail(rows: int, mean: float, spread: float, upward: bool) -> float:
    """P(X ≥ rows), or P(X ≤ rows): negative binomial of this mean and variance mean + spread mean².

    A Poisson rate that varies as a gamma. Relative error about 1e-9; cost: 10 ns a term.

    >>> round(counts_tail(0, 5.0, 1e-9, upward=False), 5)  # as good as Poisson: e⁻⁵
    0.00674
    """
    shape = 1.0 / max(spread, 1e-9)
    share = shape / (shape + mean)  # of the variation that is not the rate's own
    first = rows if upward else 0
    # Beyond lies e⁻⁴⁰ of the tail, or less.
    terms = mean + 12.0 * math.sqrt(mean + spread * mean * mean) + 40.0 * (1.0 + spread * mean)
    last = rows + min(TERMS_MAX, int(terms)) if upward else rows
    k = np.arange(first, last + 1, dtype=np.float64)
    head = math.lgamma(first + shape) - math.lgamma(shape) - math.lgamma(first + 1.0)
    head += shape * math.log(share) + first * math.log1p(-share)
    steps = np.log((k[:-1] + shape) / (k[:-1] + 1.0) * (1.0 - share))
    return float(min(1.0, np.exp(head + np.concatenate(([0.0], np.cumsum(steps)))).sum()))


def _power(groups: list[_Group], alpha: float) -> dict[str, float]:
    """The smallest rise that one window shows half the time, and how many windows a doubling takes; 0: over eight."""
    asked = [critical(alpha * group.weight / 2, int(group.freedom)) for group in groups]
    seen = [math.exp(t * math.sqrt(group.variance)) for t, group in zip(asked, groups, strict=True)]
    double = next((group.windows for group, ratio in zip(groups, seen, strict=True) if ratio <= 2.0), 0)
    return {"smallest_ratio": seen[0], "windows_for_double": float(double)}


def _words(best: _Group, known: Forecast, power: Mapping[str, float]) -> str:
    windows = "" if best.windows == 1 else f" over {best.windows} windows"
    double = int(power["windows_for_double"])
    sees = f"within {double} window{'s' if double > 1 else ''}" if double else f"in no {GROUPS[-1]} windows"
    return (
        f"{_times(best.ratio)} the usual traffic{windows}, by {known.shape} of {known.days} days; one window shows "
        f"{_times(power['smallest_ratio'])} or more, a doubling is seen {sees}"
    )


def _silence(newest: _Group, known: Forecast) -> str:
    usual = f"about {newest.expected:.3g} are usual at this time"
    return f"no record in a window ({usual}, by {known.shape} of {known.days} days)"


def _times(ratio: float) -> str:
    return f"{ratio:.3g} times"


def _size(ratio: float) -> float:
    return max(ratio, 1.0 / ratio)


@lru_cache(maxsize=512)
def critical(alpha: float, freedom: int) -> float:
    """t with P(T ≥ t) = alpha, by bisection.

    >>> round(critical(0.025, 8), 3)
    2.306
    """
    low, high = 0.0, 1e6
    for _ in range(80):
        middle = 0.5 * (low + high) if high < 100.0 else math.sqrt(max(low, 1e-3) * high)
        low, high = (middle, high) if student_tail(middle, freedom) > alpha else (low, middle)
        if high - low < 1e-4:
            break
    return high

"""docs/calibration.md from what was simulated."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from agent.ledger import CHECKS, Dial
from calibration.cost import Cost
from calibration.dials import A_DAY
from calibration.duel import CHANGES, FEATURES, N_REFERENCE, N_WINDOW, WITHIN
from calibration.outcome import Found, Null, pooled
from calibration.rates import Rate, median, median_interval
from calibration.versus import Line, Versus
from calibration.words import AGAIN, DIAL_WORDS, DUEL_TABLES, DUEL_WORDS, FOUND_WORDS, HEAD, NULL_WORDS

DRIFT_SHARE = next(check.share for check in CHECKS if check.name == "drift")


@dataclass(frozen=True, slots=True)
class Setting:
    """Where, when and how much."""

    machine: str
    commit: str
    code: str
    minutes: float
    runs: int
    reused: int
    seconds: float
    notes: tuple[str, ...] = field(default=())

    def text(self) -> str:
        said = (
            f"Machine: {self.machine}. Commit {self.commit}, statistics {self.code}. {self.runs:,} histories, "
            f"{self.reused:,} of them kept from an earlier run of the same statistics; {self.seconds / 60:.0f} minutes "
            f"of CPU went into them."
        )
        return said + "".join(f"\n{note}" for note in self.notes) + "\n"


@dataclass(frozen=True, slots=True)
class Simulated:
    """dialled: nulls with the dial turned up."""

    nulls: Sequence[Null]
    dialled: Sequence[Null]
    found: Sequence[Found]

    @property
    def failed(self) -> bool:
        return any(each.failed for part in (self.nulls, self.dialled, self.found) for each in part)


def render(
    setting: Setting, simulated: Simulated, met: Mapping[float, Versus], cost: Cost | None, concept: str = ""
) -> str:
    """The whole page. concept: its section on concept drift."""
    nulls, found = simulated.nulls, simulated.found
    parts = [HEAD, setting.text(), verdict(simulated)]
    if nulls:
        parts += [NULL_WORDS, null_table(nulls), _which(nulls)]
    if simulated.dialled:
        part = DRIFT_SHARE * A_DAY
        parts += [DIAL_WORDS.format(dial=A_DAY, share=DRIFT_SHARE, part=part, m=simulated.dialled[0].cell.features),
                  dial_table(simulated.dialled)]  # fmt: skip
    if found:
        parts += [FOUND_WORDS.format(within=WITHIN), found_table(found)]
    if met:
        parts += [_duels_words(next(iter(met.values()))), *(_duel(effect, duel) for effect, duel in met.items())]
    parts.append(concept)
    if cost is not None:
        parts.append(_cost(cost))
    return "\n".join([*(part for part in parts if part), AGAIN])


def verdict(simulated: Simulated) -> str:
    """What a hurried reader wants to know."""
    nulls, found = [*simulated.nulls, *simulated.dialled], simulated.found
    judged = [null for null in nulls if (null.rate is not None and null.limit > 0.0) or null.raised]
    broken = [null for null in judged if null.failed]
    missed = [each for each in found if each.failed]
    days = math.fsum(null.rate.days for null in nulls if null.rate is not None)
    lines = [f"**{len(judged) - len(broken)} of {len(judged)} cells keep their limit**, over {days:,.0f} model-days."]
    sure = [null for null in judged if null.rate is not None and null.rate.interval[1] <= null.limit]
    lines.append(f"In {len(sure)} of them even the upper end of the 95 % interval is within the limit. Of the others "
                 "that keep it so few days say that nothing speaks against it, and no more.")  # fmt: skip
    own, episodes = pooled(nulls, "independent rows")
    if own:
        lines.append(f"Independent rows, all sizes together: {episodes} episodes in {own:,.0f} days, "
                     f"{number(episodes / own)} a day against the dial's {Dial().false_alarms_per_day:g}.")  # fmt: skip
    lines += [f"Broken: {_title(null)}: {number(null.rate.rate)} a day against {null.limit:g}."
              for null in broken if null.rate is not None]  # fmt: skip
    lines += [f"Broken: {_title(null)}: {null.why}" for null in broken if null.raised]
    lines += [f"Not as promised: {each.cell.name} (n = {each.cell.n:,}, N = {each.cell.reference_rows:,}): median "
              f"{_windows(each.median)} against {each.cell.expected:g} windows, {each.share:.0%} found."
              for each in missed]  # fmt: skip
    return "\n".join(f"- {line}" for line in lines) + "\n"


def dial_table(dialled: Sequence[Null]) -> str:
    """Alerts over the dial, and findings of drift over drift's share of it."""
    head = ("what features have in common", "n", "N", "references", "model-days", "alerts a day", "of the dial",
            "drift findings a day", "of drift's share", "")  # fmt: skip
    rows = []
    for null in dialled:
        cell, rate, drift = null.cell, null.rate, null.findings
        if rate is None or drift is None:
            rows.append((cell.name, f"{cell.n:,}", f"{cell.reference_rows:,}", *[""] * 6, f"not run: {null.why}"))
            continue
        rows.append((
            cell.name, f"{cell.n:,}", f"{cell.reference_rows:,}", str(rate.references), f"{rate.days:,.0f}",
            number(rate.rate), _over(rate, cell.dial), number(drift.rate), _over(drift, DRIFT_SHARE * cell.dial),
            "**broken**" if null.failed else "kept",
        ))  # fmt: skip
    return _table(head, rows)


def _over(rate: Rate, allowed: float) -> str:
    return f"{number(rate.rate / allowed)} ± {number(rate.error / allowed)}"


def null_table(nulls: Sequence[Null]) -> str:
    head = ("cell", "n", "N", "m", "references", "model-days", "episodes", "a day ± SE", "95 %", "limit",
            "worst reference", "references over 1 a day", "")  # fmt: skip
    return _table(head, [_null_row(null) for null in nulls])


def _null_row(null: Null) -> tuple[str, ...]:
    cell, rate = null.cell, null.rate
    size = (cell.name, f"{cell.n:,}", f"{cell.reference_rows:,}", str(cell.features or null.features or ""))
    if rate is None:
        return (*size, *[""] * 8, f"**broken**: {null.why}" if null.raised else f"not run: {null.why}")
    low, high = rate.interval
    said = "shown" if not null.limit else "**broken**" if null.failed else "kept"
    return (
        *size, str(rate.references), f"{rate.days:,.0f}", str(rate.episodes), _with_error(rate),
        f"{number(low)} to {number(high)}", f"{null.limit:g}" if null.limit else "", number(rate.worst),
        f"{rate.often:.0%}", said,
    )  # fmt: skip


def _with_error(rate: Rate) -> str:
    """No episode has no standard error by itself: what it leaves possible is the interval's to say."""
    return f"{number(rate.rate)} ± {number(rate.error)}" if rate.episodes else number(rate.rate)


def _which(nulls: Sequence[Null]) -> str:
    """Which alerts and checks the episodes were."""
    lines = [
        f"- {_title(null)}: {_counted(null.alerts)} (findings: {_counted(null.checks)})"
        for null in nulls
        if null.alerts
    ]
    return "What fired:\n\n" + "\n".join(lines) + "\n" if lines else "Nothing fired.\n"


def _title(null: Null) -> str:
    cell = null.cell
    return f"{cell.name} (n = {cell.n:,}, N = {cell.reference_rows:,}, m = {cell.features or null.features})"


def _counted(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counter.most_common())


def found_table(found: Sequence[Found]) -> str:
    head = ("change", "n", "N", "m", "references", "times", "found", "median delay, windows", "promised", "by then", "")
    rows = []
    for each in found:
        cell = each.cell
        said = "" if not cell.expected else "as promised" if each.median <= cell.expected else "later"
        said = "**not as promised**" if each.failed else said
        rows.append((
            cell.name, f"{cell.n:,}", f"{cell.reference_rows:,}", str(cell.features), str(each.references),
            str(len(each.delays)), f"{each.share:.0%}", _median(each), f"{cell.expected:g}" if cell.expected else "",
            f"{each.kept:.0%}" if cell.expected else "", said,
        ))  # fmt: skip
    return _table(head, rows)


def _median(found: Found) -> str:
    low, high = median_interval(found.delays)
    said = _windows(found.median)
    return said if low == high else f"{said} ({_windows(low)} to {_windows(high)})"


def _duels_words(duel: Versus) -> str:
    if not duel.defaults:
        return "## Beside the peers\n\nTheir packages could not be installed where this ran.\n"
    versions = ", ".join(f"{name} {version}" for name, version in sorted(duel.versions.items()))
    return DUEL_WORDS.format(
        reference_rows=N_REFERENCE, n=N_WINDOW, numbers=FEATURES - 1, versions=versions, all_windows=24 * FEATURES,
        within=WITHIN, rare=Dial().false_alarms_per_day / (24 * FEATURES),
    )  # fmt: skip


def _duel(effect: float, duel: Versus) -> str:
    if not duel.defaults:
        return ""
    what = f"windows that differ: each shifts every number by 0 ± {effect:g} σ" if effect else "independent rows"
    words = DUEL_TABLES.format(
        what=what, references=duel.references, days=duel.null_windows / 24, scores=duel.null_scores,
        windows=duel.null_windows,
    )  # fmt: skip
    rows = [(line.rule, number(line.alarms), f"{line.alarmed:.1%}" if line.alarmed == line.alarmed else "",
             number(line.episodes)) for line in (duel.ours, *duel.defaults)]  # fmt: skip
    first = _table(("rule", "alarms a day", "windows with an alarm", "episodes a day"), rows)
    defaults = {line.rule: line for line in duel.defaults}
    head = ("change", duel.ours.rule, *(line.rule for line in duel.tuned))
    second = [
        (name, _delay(duel.ours, k, None), *(_delay(line, k, defaults[line.rule]) for line in duel.tuned))
        for k, (name, _) in enumerate(CHANGES)
    ]
    return "\n".join((words, first, _table(head, second)))


def _delay(line: Line, k: int, default: Line | None) -> str:
    delays = line.delays[k]
    said = f"{_windows(median(delays))}, {sum(d > 0 for d in delays) / len(delays):.0%}"
    return said if default is None else f"{said} ({_windows(median(default.delays[k]))})"


def _cost(cost: Cost) -> str:
    return (
        f"## What it costs\n\nOne process, {cost.features} features, batches of 500 rows: counting a value takes "
        f"{cost.value_ns:.0f} ns ({cost.value_ns / cost.bare_ns:.1f} times a bare binary search and count of the same "
        f"arrays in the same run), closing and judging a window over all horizons {cost.window_ms:.1f} ms. A reference "
        f"of 50 windows holds {cost.reference_bytes / 1000:.1f} kB a feature; watching (24 closed windows, sketches, "
        f"the judge) {cost.watching_bytes / 1000:.1f} kB a feature.\n"
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)]) + "\n"


def _windows(value: float) -> str:
    return f"> {WITHIN}" if math.isinf(value) else f"{value:g}"


def number(value: float) -> str:
    """Two digits that mean something: 0, 0.0042, 0.035, 1.2, 53.

    >>> number(0.0), number(0.00423), number(0.0351), number(1.234), number(53.2)
    ('0', '0.0042', '0.035', '1.2', '53')
    """
    if value == 0.0 or value >= 10.0:
        return f"{value:.0f}"
    return f"{value:.{max(0, 1 - math.floor(math.log10(value)))}f}"

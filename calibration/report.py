"""docs/calibration.md from what was simulated."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from agent.ledger import Dial
from calibration.cost import Cost
from calibration.duel import CHANGES, FEATURES, N_REFERENCE, N_WINDOW, WITHIN
from calibration.outcome import Found, Null, pooled
from calibration.rates import median
from calibration.versus import Line, Versus

HEAD = """# Calibration

Written by `make calibration` (or `python -m calibration`); not edited by hand. Simulated histories, and real data whose
order was shuffled, go through the agent's own code: rows become counts (`agent.windows.Series`), windows close, every
check judges them (`agent.evaluate.Judge`), findings become alerts (`agent.alerting.machine.advance`). References are
learned from traffic or built from a file by the same code as a user's. Windows are hours. The dial is
`SIDELIGHT_FALSE_ALARMS_PER_DAY`, at its default of 0.05.

![false episodes a day of every cell beside the dial, and how soon a shift is found beside the peers](calibration.svg)
"""
NULL_WORDS = """## Nothing happens

n rows a window (Poisson around it), N rows in the reference, m values watched. **Episodes** are alerts that fired, of
any kind, over all values together; all are false. Each **reference** is drawn anew and watched for some days: a dial
that is kept on average by many good references and a few that cry all day is not kept, so the worst reference stands
beside the mean. The interval is exact for Poisson counts (Garwood 1936), widened where references differ by more than
chance (quasi-Poisson). A cell is **broken** where its rate minus two standard errors is above the limit.
"""
FOUND_WORDS = """## Something happens

After a day of quiet. Found: an alert fired that names the value that changed, within {within} windows. The median
counts what was not found as later. Promised: the design's figure for the same n and N; a promise is broken by a median
of more than twice as many windows (and more than one window later), or where under 80 % are found.
"""
DUEL_WORDS = """## Beside the peers, on the same arrays

References of {reference_rows:,} rows; windows of {n:,}; {numbers} numbers and a text of six categories. The peers' own
packages judge each window ({versions}); TrustyAI's
service has no package, so its documented rule is used (KS at 0.05; Jensen-Shannon at 0.1). Evidently is its own choice
of test for references of over 1,000 rows (normed Wasserstein, Jensen-Shannon), and PSI. They judge one window at a time
and each feature by itself, alibi-detect with Bonferroni over the features.

First as they come, while nothing changed: alarms are feature-windows a day, of {all_windows}; an episode ends with two
windows without an alarm. Then with as few false alarms as the dial allows: every peer's threshold is moved until only
{rare:.1e} of the feature-windows in which nothing changed alarm (where that is less than one of them, their highest
score is the threshold). Said are the median delay in windows, the share found within {within}, and in brackets the
median at the peers' defaults.
"""
DUEL_TABLES = """### {what}

{references} references, {days:.0f} days in which nothing changed; thresholds from {scores:,} feature-windows of numbers
and {windows:,} of the text.
"""
AGAIN = """## Again

`make calibration` takes under an hour on two cores (`ARGS="--minutes 10"` less, with fewer days; `--only flights`
some cells). Finished runs are kept in `~/.cache/sidelight-calibration` (or `SIDELIGHT_CALIBRATION_CACHE`) under a hash
of the statistics' source: a run that was broken off goes on where it stopped. Every history has a seed, made of its
cell and a running number: the same cell gives the same episodes on every machine. The peers are installed there too,
from `calibration/peer-requirements.txt`. `make calibration ARGS=--short` is what CI runs: it fails when a cell is
broken.
"""


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


def render(setting: Setting, nulls: Sequence[Null], found: Sequence[Found], met: Mapping[float, Versus],
           cost: Cost | None) -> str:  # fmt: skip
    """The whole page."""
    parts = [HEAD, setting.text(), verdict(nulls, found)]
    if nulls:
        parts += [NULL_WORDS, null_table(nulls), _which(nulls)]
    if found:
        parts += [FOUND_WORDS.format(within=WITHIN), found_table(found)]
    if met:
        parts += [_duels_words(next(iter(met.values()))), *(_duel(effect, duel) for effect, duel in met.items())]
    if cost is not None:
        parts.append(_cost(cost))
    return "\n".join([*(part for part in parts if part), AGAIN])


def verdict(nulls: Sequence[Null], found: Sequence[Found]) -> str:
    """What a hurried reader wants to know."""
    judged = [null for null in nulls if (null.rate is not None and null.limit > 0.0) or null.raised]
    broken = [null for null in judged if null.failed]
    missed = [each for each in found if each.failed]
    days = math.fsum(null.rate.days for null in nulls if null.rate is not None)
    lines = [f"**{len(judged) - len(broken)} of {len(judged)} cells keep their limit**, over {days:,.0f} model-days."]
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


def null_table(nulls: Sequence[Null]) -> str:
    head = ("cell", "n", "N", "m", "references", "model-days", "episodes", "a day", "95 %", "limit", "worst reference",
            "references over 1 a day", "")  # fmt: skip
    return _table(head, [_null_row(null) for null in nulls])


def _null_row(null: Null) -> tuple[str, ...]:
    cell, rate = null.cell, null.rate
    size = (cell.name, f"{cell.n:,}", f"{cell.reference_rows:,}", str(cell.features or null.features or ""))
    if rate is None:
        return (*size, *[""] * 8, f"**broken**: {null.why}" if null.raised else f"not run: {null.why}")
    low, high = rate.interval
    said = "shown" if not null.limit else "**broken**" if null.failed else "kept"
    return (
        *size, str(rate.references), f"{rate.days:,.0f}", str(rate.episodes), number(rate.rate),
        f"{number(low)} to {number(high)}", f"{null.limit:g}" if null.limit else "", number(rate.worst),
        f"{rate.often:.0%}", said,
    )  # fmt: skip


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
    head = ("change", "n", "N", "m", "references", "found", "median delay, windows", "promised", "")
    rows = []
    for each in found:
        cell = each.cell
        said = "" if not cell.expected else "as promised" if each.median <= cell.expected else "later"
        said = "**not as promised**" if each.failed else said
        rows.append((
            cell.name, f"{cell.n:,}", f"{cell.reference_rows:,}", str(cell.features), str(len(each.delays)),
            f"{each.share:.0%}", _windows(each.median), f"{cell.expected:g}" if cell.expected else "", said,
        ))  # fmt: skip
    return _table(head, rows)


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

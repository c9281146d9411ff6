"""What docs/calibration.md says around its tables."""

from __future__ import annotations

HEAD = """# Calibration

Written by `make calibration` (or `python -m calibration`); not edited by hand. Simulated histories, and real data whose
order was shuffled, go through the agent's own code: rows become counts (`agent.counting.Series`), windows close, every
check judges them (`agent.evaluate.Judge`), findings become alerts (`agent.alerting.machine.advance`). References are
learned from traffic or built from a file by the same code as a user's. Windows are hours. The dial is
`SIDELIGHT_FALSE_ALARMS_PER_DAY`, at its default of 0.05.

![false episodes a day of every cell beside the dial, and how soon a shift is found beside the peers](calibration.svg)
"""
NULL_WORDS = """## Nothing happens

n rows a window (Poisson around it), N rows in the reference, m values watched. **Episodes** are alerts that fired, of
any kind, over all values together; all are false. Each **reference** is drawn anew and watched for some days: a dial
that is kept on average by many good references and a few that cry all day is not kept, so the worst reference stands
beside the mean. SE is the standard error of the count, the interval exact for Poisson counts (Garwood 1936), both
widened where references differ by more than chance (quasi-Poisson). A cell is **broken** where its rate minus two
standard errors is above the limit.
"""
DIAL_WORDS = """## How much of the dial is used

At a dial of 0.05 a day nothing fires for weeks, which tells no more than that the promise is kept. Here nothing happens
either, but the dial stands at {dial:g} a day, where there is something to count. Every test is charged as if no two had
anything in common (Bonferroni), and windows of 1, 2, 4, 8, 16 and 24 hours share their rows: what is not used is the
price. Only drift can alarm on these features, and it owns {share:.0%} of the dial: the ledger's bound is {part:g}
findings a day (a value that alarms in a window; of {m} values and the whole row), whatever values have to do with each
other. Dependence between features leaves that sum as it is, but findings then come together, and an alert holds all of
them. A finding also needs an effect of PSI 0.01, which noise reaches in small windows only: the last line shows what
that takes besides. ± is a standard error, widened where references differ.
"""
FOUND_WORDS = """## Something happens

After a day of quiet, on each reference several times over, with quiet and changed windows drawn anew. Found: an alert
fired that names the value that changed, within {within} windows. The median counts what was not found as later; in
brackets its 95 % interval, by order statistics. Promised: the design's figure for the same n and N, and how many were
found by then; a promise is broken by a median of more than twice as many windows (and more than one window later), or
where under 80 % are found.
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

"""The duels summed up: each rule at its defaults, and with its threshold moved to our false-alarm rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from agent.ledger import Dial
from calibration.duel import CHANGES, FEATURES, NULL_WINDOWS, WITHIN
from calibration.worlds import DAY

QUIET_WINDOWS = 2  # without an alarm, before another one counts as a new episode: as our alerts end
RARE = Dial().false_alarms_per_day / (DAY * FEATURES)  # false alarms a feature and window, at the dial


@dataclass(frozen=True, slots=True)
class Line:
    """One rule. alarms: feature-windows a day on data that does not drift; alarmed: share of windows with one;
    episodes: a day; delays: windows until found, for each of CHANGES, of each reference (0: not within WITHIN)."""

    rule: str
    alarms: float
    alarmed: float
    episodes: float
    delays: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Versus:
    """references: how many; null_scores: of how many feature-windows the thresholds were tuned."""

    references: int
    null_windows: int
    null_scores: int
    ours: Line
    defaults: tuple[Line, ...]
    tuned: tuple[Line, ...]
    versions: Mapping[str, str]


def versus(duels: Sequence[Mapping[str, Any]]) -> Versus:
    """Of at least one duel."""
    days = len(duels) * NULL_WINDOWS / DAY
    own = [duel["ours"] for duel in duels]
    ours = Line(
        "Sidelight", sum(o["alarms"] for o in own) / days, float("nan"), sum(o["episodes"] for o in own) / days,
        tuple(tuple(o["delays"][k] for o in own) for k in range(len(CHANGES))),
    )  # fmt: skip
    rules = list(duels[0].get("peers", {}))
    found = {rule: [duel["peers"][rule] for duel in duels] for rule in rules}
    return Versus(
        len(duels), len(duels) * NULL_WINDOWS, len(duels) * NULL_WINDOWS * (FEATURES - 1), ours,
        tuple(_defaults(rule, found[rule]) for rule in rules), tuple(_tuned(rule, found[rule]) for rule in rules),
        duels[0].get("versions", {}),
    )  # fmt: skip


def _defaults(rule: str, found: Sequence[Mapping[str, Any]]) -> Line:
    null = [np.array(f["null_flags"], dtype=bool) for f in found]
    return _line(rule, null, [np.array(f["changed_flags"], dtype=bool) for f in found])


def _tuned(rule: str, found: Sequence[Mapping[str, Any]]) -> Line:
    """Numbers and the text have statistics of their own, so each a threshold: as high as the null data themselves ask.

    Where the dial allows less than one of the null scores, the highest of them is the threshold: more than is fair.
    """
    null = [np.nan_to_num(np.array(f["null"], dtype=float), nan=-np.inf) for f in found]
    moved = [np.nan_to_num(np.array(f["changed"], dtype=float), nan=-np.inf) for f in found]
    whole = np.concatenate(null)
    of_number, of_text = threshold(whole[:, :-1].ravel(), RARE), threshold(whole[:, -1], RARE)
    limits = np.array([of_text if change.kind == "share" else of_number for _, change in CHANGES])[:, None]
    columns = np.append(np.full(FEATURES - 1, of_number), of_text)
    return _line(rule, [n > columns for n in null], [m > limits for m in moved])


def threshold(null: np.ndarray, rate: float) -> float:
    """What a share of at most `rate` of these scores lies above.

    >>> threshold(np.arange(1000.0), 0.002), threshold(np.arange(1000.0), 1e-6)
    (997.0, 999.0)
    """
    return float(np.sort(null)[len(null) - 1 - int(rate * len(null))])


def _line(rule: str, null: Sequence[np.ndarray], moved: Sequence[np.ndarray]) -> Line:
    windows = sum(len(flags) for flags in null)
    any_of = [np.asarray(flags.any(axis=1)) for flags in null]
    delays = tuple(tuple(_delay(flags[k]) for flags in moved) for k in range(len(CHANGES)))
    return Line(
        rule,
        sum(float(flags.sum()) for flags in null) / windows * DAY,
        sum(float(flags.sum()) for flags in any_of) / windows,
        sum(episodes(flags) for flags in any_of) / windows * DAY,
        delays,
    )


def episodes(alarms: np.ndarray) -> int:
    """Alarms that follow QUIET_WINDOWS or more windows without one.

    >>> episodes(np.array([0, 1, 1, 0, 1, 0, 0, 1], dtype=bool))
    2
    """
    found, quiet = 0, QUIET_WINDOWS
    for alarm in alarms.tolist():
        found += int(alarm and quiet >= QUIET_WINDOWS)
        quiet = 0 if alarm else quiet + 1
    return found


def _delay(flags: np.ndarray) -> int:
    at = np.flatnonzero(flags[:WITHIN])
    return int(at[0]) + 1 if at.size else 0

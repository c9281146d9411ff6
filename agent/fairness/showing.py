"""What is exported and shown of each attribute: disparities with their intervals, and each group's figures."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from agent import telemetry
from agent.fairness.attribute import Attribute
from agent.fairness.disparity import LEVEL, Disparity, disparities
from agent.fairness.groups import MISSING, OTHER, Groups
from agent.fairness.intervals import Estimates, estimate, limits
from agent.fairness.outcomes import BIN_SUMS, BINS, Meaning, Measure
from agent.ledger import HORIZONS
from agent.records import Finding, Floats
from agent.statistics.tails import normal_deviate
from agent.telemetry import Point

GROUP_HORIZONS = (HORIZONS[0], HORIZONS[-1])  # over which each group's own figures are told


@dataclass(frozen=True)
class Run:
    """The newest windows together. whole: (1, groups, MEASURES)."""

    whole: Estimates
    measures: tuple[Measure, ...]

    @property
    def rates(self) -> Estimates:
        """(groups, MEASURES) each."""
        return self.whole.at(0)

    @cached_property
    def told(self) -> tuple[Disparity, ...]:
        """Made when first asked for: of twenty groups they take their time."""
        return tuple(disparities(self.whole, self.measures)[0])


@dataclass(frozen=True, slots=True)
class Look:
    """An attribute after a close. runs: by horizon, also where fewer windows are known; bins: (groups, BINS, BIN_SUMS)
    of all recent windows."""

    measures: tuple[Measure, ...]
    runs: Mapping[int, Run]
    bins: Floats


Shown = Mapping[str, Look]


def look(attribute: Attribute, meaning: Meaning) -> Look:
    """Of the windows known now."""
    newest = max((index for index, _ in attribute.recent), default=0)
    horizons, sums = attribute.pooled(newest)
    if not horizons:
        return Look(meaning.measures, {}, np.zeros((0, BINS, BIN_SUMS)))
    sums[:, MISSING] = 0.0
    runs = {h: Run(estimate(sums[k : k + 1]), meaning.measures) for k, h in enumerate(horizons)}
    # Where fewer windows are known than a horizon has, it is of those.
    whole = {h: runs.get(h, runs[horizons[-1]]) for h in HORIZONS}
    return Look(meaning.measures, whole, attribute.bins())


def row_points(attribute: Attribute, about: Mapping[str, Any], exported: bool) -> Iterator[Point]:
    """How many rows each group has had, the open windows' among them."""
    rows = attribute.rows_with_open()
    for place, kind in zip(*np.nonzero(rows), strict=True):
        said = {
            "sidelight.fairness.group": attribute.groups.name(int(place), exported),
            "sidelight.fairness.kind": ("prediction", "label")[kind],
        }
        yield Point(telemetry.FAIRNESS_ROWS, int(rows[place, kind]), {**about, **said})


def points(attribute: Attribute, found: Look, about: Mapping[str, Any], exported: bool) -> Iterator[Point]:
    """Every disparity over every horizon, and each group's rates over the shortest and the longest."""
    for horizon, run in found.runs.items():
        at = {**about, "sidelight.horizon": str(horizon)}
        for each in run.told:
            said = {**at, "sidelight.fairness.metric": each.metric.name}
            for name, value in (("value", each.value), ("lower", each.low), ("upper", each.high)):
                if math.isfinite(value):
                    yield Point(telemetry.FAIRNESS_DISPARITY, value, {**said, "sidelight.statistic": name})
        if horizon in GROUP_HORIZONS:
            for place, measure in _known(attribute.groups, run, found.measures):
                said = {
                    "sidelight.fairness.group": attribute.groups.name(place, exported),
                    "sidelight.fairness.measure": measure.word,
                }
                yield Point(telemetry.FAIRNESS_RATE, float(run.rates.mean[place, measure]), {**at, **said})


def _known(groups: Groups, run: Run, measures: Sequence[Measure]) -> Iterator[tuple[int, Measure]]:
    for place in range(OTHER, min(groups.size, len(run.rates.n))):
        yield from ((place, measure) for measure in measures if run.rates.n[place, measure] > 0)


def lines(name: str, found: Look) -> list[dict[str, Any]]:
    """The newest window's disparities, a line each."""
    return [
        {"name": f"{name}, {each.metric.name.replace('_', ' ')}", "value": _plain(each.value), "unit": "number",
         "low": _plain(each.low), "high": _plain(each.high)}
        for run in list(found.runs.values())[:1] for each in run.told
    ]  # fmt: skip


def page(attribute: Attribute, found: Look, findings: Sequence[Finding]) -> dict[str, Any]:
    """Plain JSON, for inside the pod: the groups by their values too."""
    rows = attribute.rows_with_open()
    counted = {
        attribute.groups.number(place): {"predictions": int(rows[place, 0]), "labels": int(rows[place, 1])}
        for place in range(len(rows)) if rows[place].any()
    }  # fmt: skip
    return {
        "groups": dict(attribute.groups.legend()),
        "counted": counted,
        "judged_against": [attribute.past.said(side) for side in (0, 1)],
        "disparities": {
            str(horizon): {each.metric.name: _disparity(each, attribute.groups) for each in run.told}
            for horizon, run in found.runs.items()
        },
        "rates": {str(horizon): _rates(attribute.groups, run, found.measures)
                  for horizon, run in found.runs.items() if horizon in GROUP_HORIZONS},
        "calibration": _calibration(attribute.groups, found.bins),
        "level": LEVEL,
        "findings": [{"check": f.check, "verdict": str(f.verdict), "reason": f.reason} for f in findings],
    }  # fmt: skip


def _disparity(each: Disparity, groups: Groups) -> dict[str, Any]:
    return {
        "value": _plain(each.value), "low": _plain(each.low), "high": _plain(each.high), "groups": each.groups,
        "highest": groups.number(each.highest), "lowest": groups.number(each.lowest),
    }  # fmt: skip


def _rates(groups: Groups, run: Run, measures: Sequence[Measure]) -> dict[str, dict[str, list[float | None]]]:
    """By measure and group: rate, lower and upper limit, rows it is worth."""
    low, high = limits(run.rates, normal_deviate((1.0 - LEVEL) / 2.0))
    found: dict[str, dict[str, list[float | None]]] = {}
    for place, measure in _known(groups, run, measures):
        figures = (run.rates.mean, low, high, run.rates.n)
        told = [_plain(float(figure[place, measure])) for figure in figures]
        found.setdefault(measure.word, {})[groups.number(place)] = told
    return found


def _calibration(groups: Groups, bins: Floats) -> dict[str, list[list[float | None]]]:
    """By group: mean score and share of positives of each bin of scores, and its weight; empty bins left out."""
    found = {}
    for place in range(OTHER, min(groups.size, len(bins))):
        held = bins[place][bins[place][:, 0] > 0]
        if len(held):
            found[groups.number(place)] = [
                [_plain(score / weight), _plain(truth / weight), _plain(weight)]
                for weight, score, truth in held.tolist()
            ]
    return found


def significance(finding: Finding) -> float:
    return math.log10(finding.alpha / finding.p_value)


def _plain(value: float) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None

"""Disparities beside fairlearn's on whatever comes: weights, one group, rates of 0 and 1, classes that never came."""

from __future__ import annotations

import warnings

import fairlearn.metrics as fair
import numpy as np
import pytest
import sklearn.metrics as sk
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent.fairness.disparity import disparities
from agent.fairness.groups import FIRST
from agent.fairness.intervals import estimate
from agent.fairness.outcomes import Meaning, Measure, Outcomes
from agent.records import Task
from tests.fairness.fairness_worlds import pairs
from tests.fairness.test_fairness_figures import FAIRLEARN

BINARY = Meaning(Task.BINARY, "1")
WEIGHTS = st.sampled_from([0.125, 1.0, 1.0, 3.0, 1000.0])


@settings(deadline=None, max_examples=10)
@given(st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.booleans(), WEIGHTS), min_size=2, max_size=40))
@example([(0, False, False, 1.0), (0, True, True, 1.0), (1, False, False, 1.0), (1, False, True, 1.0)])
def test_whatever_comes(rows: list[tuple[int, bool, bool, float]]) -> None:
    """What fairlearn can say is said, to the last digit; where a group has no positives, or no negatives, its odds are
    left out, where fairlearn takes 0 for them."""
    group, chosen, actual, weights = (np.array(column) for column in zip(*rows, strict=True))
    found, size = Outcomes.empty(), FIRST + 4
    found.predicted(FIRST + group, 2 + chosen.astype(np.int64), weights, size)
    found.labelled(FIRST + group, pairs(group, chosen, actual, weights=weights), BINARY, size)
    rates = estimate(found.sums[None])
    told = {each.metric.name: each for each in disparities(rates, BINARY.measures, rows_min=0.01)[0]}
    several = len(set(group.tolist())) > 1
    odds = all({True, False} == set(actual[group == one].tolist()) for one in set(group.tolist()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in FAIRLEARN if odds else FAIRLEARN[:2]:
            expected = getattr(fair, name)(actual, chosen, sensitive_features=group, sample_weight=weights)
            if several and np.isfinite(expected):
                assert told[name].value == pytest.approx(expected, abs=1e-12), name
                assert told[name].low <= told[name].value + 1e-12, name
                assert told[name].value <= told[name].high + 1e-12, name
        for one in set(group.tolist()):
            own = group == one
            expected = sk.accuracy_score(actual[own], chosen[own], sample_weight=weights[own])
            assert rates.mean[0, FIRST + one, Measure.ACCURACY] == pytest.approx(expected)
            precision = sk.precision_score(
                actual[own], chosen[own], sample_weight=weights[own], zero_division=np.nan
            )
            assert rates.mean[0, FIRST + one, Measure.PRECISION] == pytest.approx(precision, nan_ok=True)

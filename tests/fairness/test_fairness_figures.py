"""Figures by group: exact against fairlearn and scikit-learn, weights included."""

from __future__ import annotations

import fairlearn.metrics as fair
import numpy as np
import pytest
import sklearn.metrics as sk

from agent.fairness.attribute import chosen_of
from agent.fairness.disparity import disparities
from agent.fairness.groups import FIRST, MISSING
from agent.fairness.intervals import Estimates, estimate
from agent.fairness.outcomes import Meaning, Measure, Outcomes
from agent.records import Batch, Columns, Numbers, Task, Texts
from tests.fairness.fairness_worlds import MODEL, errors, pairs

BINARY = Meaning(Task.BINARY, "1")
FAIRLEARN = (
    "demographic_parity_difference", "demographic_parity_ratio", "equal_opportunity_difference",
    "equal_opportunity_ratio", "equalized_odds_difference", "equalized_odds_ratio",
)  # fmt: skip


def counted(
    groups: np.ndarray, chosen: np.ndarray, actual: np.ndarray, weights: np.ndarray, score: np.ndarray
) -> Outcomes:
    """Predictions and labels of the same rows, in three batches."""
    found = Outcomes.empty()
    for part in np.array_split(np.arange(len(groups)), 3):
        size = FIRST + int(groups.max()) + 1
        found.predicted(FIRST + groups[part], 2 + chosen[part].astype(np.int64), weights[part], size)
        joined = pairs(groups[part], chosen[part], actual[part], scores=score[part], weights=weights[part])
        found.labelled(FIRST + groups[part], joined, BINARY, size)
    return found


def runs(found: Outcomes) -> Estimates:
    return estimate(found.sums[None])


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("groups", [2, 5])
def test_disparities_are_fairlearns(groups: int, weighted: bool) -> None:
    """Differences and ratios of demographic parity, equal opportunity and equalised odds."""
    rng = np.random.default_rng(groups)
    group, actual = rng.integers(0, groups, 4_000), rng.random(4_000) < 0.4
    chosen = rng.random(4_000) < 0.2 + 0.4 * actual + 0.05 * group
    weights = rng.uniform(0.2, 3.0, 4_000) if weighted else np.ones(4_000)
    found = runs(counted(group, chosen, actual, weights, rng.random(4_000)))
    told = {each.metric.name: each for each in disparities(found, BINARY.measures)[0]}
    for name in FAIRLEARN:
        expected = getattr(fair, name)(actual, chosen, sensitive_features=group, sample_weight=weights)
        assert told[name].value == pytest.approx(expected, abs=1e-12)
        assert told[name].low <= told[name].value <= told[name].high
    for name, metric in (("accuracy_difference", sk.accuracy_score), ("precision_difference", sk.precision_score)):
        frame = fair.MetricFrame(
            metrics=metric, y_true=actual, y_pred=chosen, sensitive_features=group,
            sample_params={"sample_weight": weights},
        )  # fmt: skip
        assert told[name].value == pytest.approx(frame.difference(), abs=1e-12)


def test_rates_of_each_group_are_fairlearns_and_scikit_learns() -> None:
    """Selection, true and false positive rate, precision, accuracy, mean score less rate, weights included."""
    rng = np.random.default_rng(3)
    group, actual, score = rng.integers(0, 3, 3_000), rng.random(3_000) < 0.4, rng.random(3_000)
    chosen, weights = score > 0.6, rng.uniform(0.2, 3.0, 3_000)
    found = runs(counted(group, chosen, actual, weights, score)).mean[0]
    expected = {
        Measure.SELECTION_RATE: fair.selection_rate, Measure.TRUE_POSITIVE_RATE: fair.true_positive_rate,
        Measure.FALSE_POSITIVE_RATE: fair.false_positive_rate, Measure.PRECISION: sk.precision_score,
        Measure.ACCURACY: sk.accuracy_score,
    }  # fmt: skip
    for g in range(3):
        own = group == g
        for measure, of in expected.items():
            truth = of(actual[own], chosen[own], sample_weight=weights[own])
            assert found[FIRST + g, measure] == pytest.approx(truth, abs=1e-12)
        calibration = np.average(score[own] - actual[own], weights=weights[own])
        assert found[FIRST + g, Measure.CALIBRATION_ERROR] == pytest.approx(calibration, abs=1e-12)


def test_calibration_by_bins_of_scores() -> None:
    """Each bin has its mean score and its share of positives."""
    rng = np.random.default_rng(4)
    actual, score = rng.random(2_000) < 0.5, rng.random(2_000)
    bins = counted(np.zeros(2_000, np.int64), score > 0.5, actual, np.ones(2_000), score).bins[FIRST]
    inside = (score >= 0.3) & (score < 0.4)
    assert bins[3] == pytest.approx([inside.sum(), score[inside].sum(), actual[inside].sum()])


def test_errors_of_a_regression_are_scikit_learns() -> None:
    """Mean error and mean absolute error by group."""
    rng = np.random.default_rng(5)
    group, error = rng.integers(0, 2, 1_000), rng.normal(0.3, 2.0, 1_000)
    found = Outcomes.empty()
    found.labelled(FIRST + group, errors(group, error), Meaning(Task.REGRESSION), FIRST + 2)
    told = runs(found)
    for g in range(2):
        own = error[group == g]
        assert told.mean[0, FIRST + g, Measure.MEAN_ERROR] == pytest.approx(own.mean())
        truth = sk.mean_absolute_error(np.zeros(len(own)), own)
        assert told.mean[0, FIRST + g, Measure.MEAN_ABSOLUTE_ERROR] == pytest.approx(truth)
        assert told.variance[0, FIRST + g, Measure.MEAN_ERROR] == pytest.approx(own.var(ddof=1))


def test_several_classes_have_accuracy_and_one_favourable_class_where_it_is_named() -> None:
    """Without a positive label only accuracy is computed; with one, who was given that class."""
    rng = np.random.default_rng(6)
    group, actual, chosen = (rng.integers(0, 2, 500) for _ in range(3))
    assert Meaning(Task.MULTICLASS).measures == (Measure.ACCURACY,)
    found = Outcomes.empty()
    meaning = Meaning(Task.MULTICLASS, "1")
    found.labelled(FIRST + group, pairs(group, chosen, actual), meaning, FIRST + 2)
    told = runs(found).mean[0]
    own = group == 1
    assert told[FIRST + 1, Measure.ACCURACY] == pytest.approx((actual == chosen)[own].mean())
    assert told[FIRST + 1, Measure.TRUE_POSITIVE_RATE] == pytest.approx(chosen[own & (actual == 1)].mean())


def test_nobody_selected_has_no_ratio() -> None:
    """0 / 0 is no number, as in fairlearn; the difference is 0."""
    group = np.arange(200) % 2
    nobody, actual = np.zeros(200, bool), np.arange(200) % 3 == 0
    told = disparities(runs(counted(group, nobody, actual, np.ones(200), np.full(200, np.nan))), BINARY.measures)[0]
    values = {each.metric.name: each.value for each in told}
    assert values["demographic_parity_difference"] == 0.0
    assert np.isnan(values["demographic_parity_ratio"])


def test_a_group_with_few_rows_takes_no_part() -> None:
    """Three of three selected is no gap of 100 points."""
    group = np.array([0] * 300 + [1] * 300 + [2] * 3)
    chosen = np.array([True, False] * 300 + [True] * 3)
    found = runs(counted(group, chosen, chosen, np.ones(603), np.full(603, np.nan)))
    told = next(e for e in disparities(found, BINARY.measures)[0] if e.metric.name == "demographic_parity_difference")
    assert (told.value, told.groups) == (0.0, 2)


@pytest.mark.parametrize(
    ("outputs", "threshold", "expected"),
    [
        (Columns(texts={"prediction": Texts(("no", "1"), np.array([1, 0, 1], np.int32))}), 0.5, [3, 2, 3]),
        (Columns(numbers={"prediction": Numbers(np.array([1.0, 0.0, np.nan]))}), np.nan, [3, 2, 0]),
        (Columns(numbers={"score": Numbers(np.array([0.5, 0.49, np.nan]))}), 0.5, [3, 2, 0]),
        (Columns(numbers={"score:1": Numbers(np.array([0.9, 0.2, 0.5]))}), np.nan, [0, 0, 0]),
        (
            Columns(
                texts={"prediction": Texts(("1",), np.zeros(3, np.int32), np.array([0, 1, 2], np.uint8))},
                numbers={"score": Numbers(np.array([0.1, 0.9, 0.2]))},
            ),
            0.5, [3, 3, 2],
        ),
    ],
)  # fmt: skip
def test_who_was_selected(outputs: Columns, threshold: float, expected: list[int]) -> None:
    """By the predicted label, as text or number; where there is none by score and threshold; else it is not known."""
    batch = Batch(MODEL, 3, 0, Columns(), outputs)
    assert chosen_of(batch, Meaning(Task.BINARY, "1", threshold)).tolist() == expected


def test_rows_without_a_group_are_counted_and_compared_with_nobody() -> None:
    """Unknown has a count of its own."""
    found = Outcomes.empty()
    found.predicted(np.array([MISSING] * 3 + [FIRST] * 2), np.array([3, 3, 3, 2, 2]), None, FIRST + 1)
    assert found.rows[:, 0].tolist() == [3, 0, 2]

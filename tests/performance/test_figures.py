"""Every figure against scikit-learn, weights included."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn import metrics
from sklearn.calibration import calibration_curve

from agent.performance.figures import figures
from agent.performance.form import Form
from agent.performance.seen import ClassPlaces
from agent.records import Task
from tests.performance.pairs import classified, counted, numbered

BINARY = Form(Task.BINARY, positive="yes")


def _exactly(value: float) -> object:
    return pytest.approx(value, rel=1e-9, abs=1e-12)


def _words(values: np.ndarray) -> list[str]:
    return ["yes" if value else "no" for value in values]


def _skewed(rows: int, seed: int, base: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """True classes, scores around `base` with some skill, weights."""
    rng = np.random.default_rng(seed)
    logit = np.log(base / (1 - base)) + 1.5 * rng.standard_normal(rows)
    true = rng.random(rows) < 1 / (1 + np.exp(-logit))
    return true, 1 / (1 + np.exp(-(logit + 0.5 * rng.standard_normal(rows)))), rng.integers(1, 5, rows) / 2.0


@pytest.mark.parametrize("weighted", [False, True])
def test_figures_of_a_binary_classifier_are_scikit_learns(weighted: bool) -> None:
    """All that decisions and means give is exact; the same pairs in two halves give the same."""
    true, score, weights = _skewed(4000, 1, 0.2)
    w = weights if weighted else np.ones(4000)
    said = score >= 0.4
    halves = [
        classified(_words(true[k]), _words(said[k]), score[k], weights=w[k])
        for k in (slice(0, 1500), slice(1500, None))
    ]
    found = figures(counted(BINARY, *halves)).named
    weight = {"sample_weight": w}
    expected = {
        "accuracy": metrics.accuracy_score(true, said, **weight),
        "precision": metrics.precision_score(true, said, **weight),
        "recall": metrics.recall_score(true, said, **weight),
        "specificity": metrics.recall_score(~true, ~said, **weight),
        "f1": metrics.f1_score(true, said, **weight),
        "log_loss": metrics.log_loss(true, score, **weight),
        "brier": metrics.brier_score_loss(true, score, **weight),
        "positive_share": np.average(true, weights=w),
        "predicted_positive_share": np.average(said, weights=w),
        "calibration_bias": np.average(score - true, weights=w),
    }
    for name, value in expected.items():
        assert found[name].value == _exactly(value), name
        assert found[name].low < value < found[name].high, name
    matrix = metrics.confusion_matrix(true, said, **weight).ravel().tolist()
    assert list(figures(counted(BINARY, *halves)).confusion.values()) == pytest.approx(matrix)
    assert found["accuracy"].n == pytest.approx(w.sum() ** 2 / (w**2).sum())


@pytest.mark.parametrize("base", [0.5, 0.2, 0.01, 0.001, 0.99])
@pytest.mark.parametrize("weighted", [False, True])
def test_areas_under_curves_are_within_a_thousandth(base: float, weighted: bool) -> None:
    """From the histogram of scores, however skewed they are."""
    true, score, weights = _skewed(20_000, 2, base)
    w = weights if weighted else np.ones(20_000)
    found = figures(counted(BINARY, classified(_words(true), None, score, weights=w))).named
    assert found["roc_auc"].value == pytest.approx(metrics.roc_auc_score(true, score, sample_weight=w), abs=1e-3)
    expected = metrics.average_precision_score(true, score, sample_weight=w)
    assert found["average_precision"].value == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("kind", ["few values", "margins", "crowded"])
def test_areas_of_other_kinds_of_scores(kind: str) -> None:
    """Scores that are equal are ties; margins are no probabilities; scores may crowd in one place."""
    true, score, _ = _skewed(20_000, 3, 0.3)
    if kind == "few values":
        score = np.round(score * 7) / 7
    elif kind == "margins":
        score = 3 * np.log(score / (1 - score))
    else:
        score = 0.45 + 0.1 * score
    found = figures(counted(BINARY, classified(_words(true), None, score))).named
    tolerance = 1e-9 if kind == "few values" else 1e-3
    assert found["roc_auc"].value == pytest.approx(metrics.roc_auc_score(true, score), abs=tolerance)
    assert found["average_precision"].value == pytest.approx(
        metrics.average_precision_score(true, score), abs=tolerance
    )
    assert ("log_loss" in found) is (kind != "margins") or found["log_loss"].n < 20_000


def test_the_calibration_curve_is_scikit_learns() -> None:
    """Ten bins of equal width: mean score, share of positives, and their weighted distance."""
    true, score, _ = _skewed(5000, 4, 0.3)
    found = figures(counted(BINARY, classified(_words(true), None, score)))
    share, mean = calibration_curve(true, score, n_bins=10)
    assert [point[0] for point in found.curve] == pytest.approx(mean.tolist())
    assert [point[1] for point in found.curve] == pytest.approx(share.tolist())
    weights = np.array([point[2] for point in found.curve])
    expected = float(weights @ np.abs(share - mean)) / 5000
    assert found.named["calibration_error"].value == _exactly(expected)


def test_the_models_own_decision_goes_before_the_threshold() -> None:
    """A predicted label decides; without one the score does; with neither nothing does, and it is said why."""
    form = Form(Task.BINARY, positive="yes", threshold=0.5)
    pairs = classified(["yes", "yes", "yes", "no"], ["no", None, None, None], np.array([0.9, 0.9, np.nan, 0.5]))
    found = figures(counted(form, pairs))
    assert found.confusion == {
        ("negative", "negative"): 0, ("negative", "positive"): 1, ("positive", "negative"): 1,
        ("positive", "positive"): 1,
    }  # fmt: skip
    assert (found.undecided, found.unscored) == (1, 1)
    without = figures(counted(BINARY, classified(["yes", "no"], None, np.array([0.9, 0.2]))))
    assert "threshold" in without.why_not["accuracy"]
    assert "accuracy" not in without.named
    assert without.named["roc_auc"].value == 1.0


@pytest.mark.parametrize("weighted", [False, True])
def test_figures_of_many_classes_are_scikit_learns(weighted: bool) -> None:
    """Per class, macro, micro and weighted; a class that is never said, and one that never comes."""
    rng = np.random.default_rng(5)
    names = np.array(["a", "b", "c", "d", "e"])
    true = rng.choice(4, 3000, p=[0.5, 0.3, 0.15, 0.05])
    said = np.where(rng.random(3000) < 0.7, true, rng.choice([0, 1, 2, 4], 3000))
    p = rng.dirichlet(np.ones(5), 3000)
    w = rng.integers(1, 4, 3000).astype(float) if weighted else np.ones(3000)
    pairs = classified(names[true].tolist(), names[said].tolist(), p, tuple(names), weights=w)
    form, places = Form(Task.MULTICLASS), ClassPlaces([])
    whole = figures(counted(form, pairs, places=places), places.names)
    part = figures(counted(form.coarse, pairs, places=places), places.names)
    assert metrics.log_loss(true, p, labels=range(5), sample_weight=w) == pytest.approx(whole.named["log_loss"].value)
    assert whole.named["accuracy"].value == _exactly(metrics.accuracy_score(true, said, sample_weight=w))
    for average in ("macro", "weighted", "micro"):
        expected = metrics.precision_recall_fscore_support(
            true, said, average=average, sample_weight=w, zero_division=0.0
        )
        for name, value in zip(("precision", "recall", "f1"), expected, strict=False):
            for found in (whole, part):
                assert found.named[f"{name}_{average}"].value == _exactly(value)
    each = metrics.precision_recall_fscore_support(true, said, labels=range(5), sample_weight=w, zero_division=0.0)
    for k, name in enumerate(names):
        for metric, values in zip(("precision", "recall", "f1"), each, strict=False):
            assert whole.by_class[name][metric].value == _exactly(values[k])
            assert part.by_class[name][metric].value == _exactly(values[k])
    matrix = metrics.confusion_matrix(true, said, labels=range(5), sample_weight=w)
    assert all(matrix[i, j] == whole.confusion.get((names[i], names[j]), 0.0) for i in range(5) for j in range(5))


def test_classes_beyond_the_fiftieth_are_one() -> None:
    """ "other" holds them; accuracy among them counts the places, not the names."""
    names = [f"class {k}" for k in range(60)]
    places = ClassPlaces([])
    found = figures(counted(Form(Task.MULTICLASS), classified(names, names), places=places), places.names)
    assert len(found.by_class) == 51
    assert found.confusion["other", "other"] == 10


@pytest.mark.parametrize("offset", [0.0, 1e6])
@pytest.mark.parametrize("weighted", [False, True])
def test_figures_of_a_regression_are_scikit_learns(weighted: bool, offset: float) -> None:
    """Also where true numbers are far from zero: they are counted from a pivot."""
    rng = np.random.default_rng(6)
    true = offset + rng.gamma(3.0, 4.0, 3000) + 0.1
    predicted = true + rng.standard_t(5, 3000)
    w = rng.integers(1, 4, 3000).astype(float) if weighted else np.ones(3000)
    weight = {"sample_weight": w}
    form = Form(Task.REGRESSION, pivot=float(true[:100].mean()))
    found = figures(counted(form, numbered(true, predicted, weights=w)))
    expected = {
        "mae": metrics.mean_absolute_error(true, predicted, **weight),
        "rmse": np.sqrt(metrics.mean_squared_error(true, predicted, **weight)),
        "mape": metrics.mean_absolute_percentage_error(true, predicted, **weight),
        "r2": metrics.r2_score(true, predicted, **weight),
        "bias": np.average(predicted - true, weights=w),
        **{
            f"quantile_loss_{q:g}": metrics.mean_pinball_loss(true, predicted, alpha=q, **weight)
            for q in (0.1, 0.5, 0.9)
        },
    }
    for name, value in expected.items():
        assert found.named[name].value == pytest.approx(value, rel=1e-8), name
        assert found.named[name].low < value < found.named[name].high, name
    assert sum(weight for _, weight in found.errors) == pytest.approx(w.sum())
    below = sum(weight for upper, weight in found.errors if upper <= 1.0)
    assert below == pytest.approx(w[predicted - true <= 1.0].sum())


def test_ndcg_is_scikit_learns() -> None:
    """Lists of ten with graded gains, at each k; a list without a gain has none."""
    rng = np.random.default_rng(7)
    gains = rng.integers(0, 4, (50, 10)) * (rng.random((50, 10)) < 0.4)
    gains[0] = 0
    lists, position = np.divmod(np.arange(500), 10)
    shuffled = rng.permutation(500)
    pairs = numbered(
        gains.ravel()[shuffled], np.full(500, np.nan), request_ids=(lists[shuffled] + 1).astype(np.uint64),
        position=(position[shuffled] + 1).astype(np.int32),
    )  # fmt: skip
    found = figures(counted(Form(Task.RANKING), pairs)).named
    there = gains.sum(axis=1) > 0
    order = np.tile(-np.arange(10.0), (int(there.sum()), 1))
    for k in (1, 3, 5, 10):
        assert found[f"ndcg_{k}"].value == _exactly(metrics.ndcg_score(gains[there], order, k=k))
    assert "ctr" not in found


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """Over 300 draws each figure's interval holds its value in the population in nine of ten cases or more."""
    rng = np.random.default_rng(8)
    everything, everyscore, _ = _skewed(200_000, 9, 0.2)
    truth = figures(counted(BINARY, classified(_words(everything), _words(everyscore > 0.4), everyscore))).named
    held = dict.fromkeys(truth, 0)
    for _ in range(300):
        k = rng.integers(0, 200_000, 400)
        w = rng.exponential(1.0, 400)
        pairs = classified(_words(everything[k]), _words(everyscore[k] > 0.4), everyscore[k], weights=w)
        for name, figure in figures(counted(BINARY, pairs)).named.items():
            held[name] += figure.low <= truth[name].value <= figure.high
    del held["calibration_error"]  # biased upward by chance in each bin, as its docstring says
    assert {name: count for name, count in held.items() if not count >= 270} == {}


def test_intervals_of_r2_hold_it() -> None:
    """Likewise, by the delta method."""
    rng = np.random.default_rng(10)
    held = 0
    for _ in range(300):
        true = rng.normal(5.0, 2.0, 400)
        pairs = numbered(true, true + rng.normal(0.0, 1.0, 400), weights=rng.exponential(1.0, 400))
        found = figures(counted(Form(Task.REGRESSION), pairs)).named["r2"]
        held += found.low <= 0.75 <= found.high
    assert held >= 270


def test_no_pairs_give_no_figures_and_no_warnings() -> None:
    """Nothing counted is said so."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for task in (Task.BINARY, Task.MULTICLASS, Task.REGRESSION, Task.RANKING):
            found = figures(counted(Form(task, positive="yes"), numbered(np.zeros(0), np.zeros(0))))
            assert found.named == {}
            assert found.why_not == {"all": "no label met its prediction"}

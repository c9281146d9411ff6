"""Every figure of one `Outcomes`, by name, with its 95 % interval and the effective number of rows behind it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from agent.performance import intervals
from agent.performance.form import ERROR_BINS, QUANTILE_LOSSES, RANKS, W2, WX, Form, W
from agent.performance.intervals import NONE, Figure, proportion
from agent.performance.outcomes import Outcomes
from agent.performance.partly import KINDS, partly
from agent.performance.seen import OTHER
from agent.records import Floats, Task

# A higher value is worse.
LOSSES = frozenset(
    {"error", "log_loss", "brier", "calibration_error", "mae", "rmse", "mape", "lost_gain", *QUANTILE_LOSSES}
)


@dataclass(frozen=True, slots=True)
class Figures:
    """named: by metric, none that is undefined. by_class: of a multiclass task, class -> metric -> figure. confusion:
    (true class, decision) -> weight. curve: of calibration (mean score, share of positives, weight). errors: of a
    regression, (upper bound of the error, weight). rows: pairs; undecided, unscored, untrue: those without a decision,
    a score, a truth of the task's kind. why_not: metric -> why it cannot be computed. partly: which of the pairs are
    left out of which metrics."""

    named: Mapping[str, Figure]
    rows: float
    undecided: float = 0.0
    unscored: float = 0.0
    untrue: float = 0.0
    by_class: Mapping[str, Mapping[str, Figure]] = field(default_factory=dict)
    confusion: Mapping[tuple[str, str], float] = field(default_factory=dict)
    curve: tuple[tuple[float, float, float], ...] = ()
    errors: tuple[tuple[float, float], ...] = ()
    why_not: Mapping[str, str] = field(default_factory=dict)
    partly: tuple[str, ...] = ()


def figures(outcomes: Outcomes, classes: Sequence[str] = ()) -> Figures:
    """All there is to say. classes: the names of a multiclass task's places. Some 100 microseconds."""
    found = _OF[outcomes.form.task](outcomes, classes)
    left = outcomes.form.part(outcomes.sums, "left_out").tolist()
    named = {name: figure for name, figure in found.named.items() if math.isfinite(figure.value)}
    undecided, unscored, untrue = left
    return Figures(
        named, outcomes.rows, undecided, unscored, untrue, found.by_class, found.confusion, found.curve, found.errors,
        _why_not(outcomes, named, found.confusion), partly(outcomes.form, outcomes.sums),
    )  # fmt: skip


def _binary(outcomes: Outcomes, _: Sequence[str]) -> Figures:
    form, sums = outcomes.form, outcomes.sums
    cells = form.part(sums, "confusion")
    (tn, fp), (fn, tp) = cells[..., 0].tolist()
    (tn2, fp2), (fn2, tp2) = cells[..., 1].tolist()
    whole, whole2 = tn + fp + fn + tp, tn2 + fp2 + fn2 + tp2
    named = {
        "accuracy": proportion(tp + tn, whole, whole2),
        "precision": proportion(tp, tp + fp, tp2 + fp2),
        "recall": proportion(tp, tp + fn, tp2 + fn2),
        "specificity": proportion(tn, tn + fp, tn2 + fp2),
        "f1": intervals.f_score(tp, fp + fn, tp2, fp2 + fn2) if tp + fp + fn > 0 else NONE,
        "positive_share": proportion(tp + fn, whole, whole2),
        "predicted_positive_share": proportion(tp + fp, whole, whole2),
    }
    histogram, squares = form.part(sums, "histogram"), form.part(sums, "squares")
    alike = outcomes.reach[0] == outcomes.reach[1] if form.fine else np.zeros(form.bins, dtype=np.bool_)
    calibration = form.part(sums, "calibration")
    named |= {
        "roc_auc": intervals.roc_auc(histogram, squares),
        "average_precision": intervals.average_precision(histogram, squares, alike),
        **_means(form, sums, ("log_loss", "brier", "calibration_bias")),
        "calibration_error": intervals.calibration_error(calibration),
    }
    confusion = {("negative", "negative"): tn, ("negative", "positive"): fp, ("positive", "negative"): fn,
                 ("positive", "positive"): tp}  # fmt: skip
    curve = [(score / w, true / w, w) for w, score, true, _ in calibration.tolist() if w > 0]
    return Figures(named, 0.0, confusion=confusion, curve=tuple(curve))


def _multiclass(outcomes: Outcomes, classes: Sequence[str]) -> Figures:
    form, sums = outcomes.form, outcomes.sums
    rest = "other" if "other" not in classes else "(all others)"
    names = [*classes, *("",) * (OTHER - len(classes)), rest]
    confusion: dict[tuple[str, str], float] = {}
    if form.fine:
        cells = form.part(sums, "confusion")
        right, true, said = np.einsum("iik->ik", cells), cells.sum(axis=1), cells.sum(axis=0)
        at = np.argwhere(cells[..., 0] > 0).tolist()
        confusion = {(names[i], names[j]): float(cells[i, j, 0]) for i, j in at}
    else:
        right, true, said = form.part(sums, "by_class")
    by_class: dict[str, dict[str, Figure]] = {}
    weights = []
    for k in np.flatnonzero(true[:, 0] + said[:, 0] > 0).tolist():
        by_class[names[k]] = _of_class(right[k], true[k], said[k])
        weights.append(float(true[k, 0]))
    wrong = form.part(sums, "means")[form.means.index("error")]  # classes without a place of their own are told apart
    named = {"accuracy": proportion(float(wrong[W] - wrong[WX]), float(wrong[W]), float(wrong[W2]))}
    for metric in ("precision", "recall", "f1"):
        parts = [own[metric] for own in by_class.values()]
        named[f"{metric}_macro"] = intervals.average(parts, [1.0] * len(parts))
        named[f"{metric}_weighted"] = intervals.average(parts, weights)
        named[f"{metric}_micro"] = named["accuracy"]  # each pair has one true class and one decision
    named |= _means(form, sums, ("log_loss",))
    return Figures(named, 0.0, by_class=by_class, confusion=confusion)


def _of_class(right: Floats, true: Floats, said: Floats) -> dict[str, Figure]:
    """What is never said has precision 0, what never came has recall 0, as scikit-learn has it."""
    hits, hits2 = right.tolist()
    none = Figure(0.0, 0.0, 1.0)
    beside, beside2 = (float(true[k] + said[k] - 2 * right[k]) for k in (0, 1))
    return {
        "precision": proportion(hits, *said.tolist()) if said[0] > 0 else none,
        "recall": proportion(hits, *true.tolist()) if true[0] > 0 else none,
        "f1": intervals.f_score(hits, beside, hits2, beside2),
    }


def _regression(outcomes: Outcomes, _: Sequence[str]) -> Figures:
    form, sums = outcomes.form, outcomes.sums
    means = form.part(sums, "means")
    squared = means[form.means.index("squared")]
    named = {
        "mae": intervals.mean(means[form.means.index("absolute")]),
        "rmse": intervals.root(intervals.mean(squared)),
        "mape": intervals.mean(means[form.means.index("percentage")]),
        "r2": intervals.explained(squared, form.part(sums, "truth")),
        **_means(form, sums, ("bias", *QUANTILE_LOSSES)),
    }
    counts = form.part(sums, "errors")
    errors = [(upper_error(i), float(counts[i])) for i in np.flatnonzero(counts > 0).tolist()]
    return Figures(named, 0.0, errors=tuple(errors))


def upper_error(place: int) -> float:
    """The largest error of one of `errors`' bins, with its sign."""
    off = place - ERROR_BINS
    if off == 0:
        return 0.0
    half_octaves = abs(off) - ERROR_BINS / 2
    return float(2.0 ** (half_octaves / 2)) if off > 0 else -float(2.0 ** ((half_octaves - 1) / 2))


def _ranking(outcomes: Outcomes, _: Sequence[str]) -> Figures:
    form, sums = outcomes.form, outcomes.sums
    shown, clicked = form.part(sums, "impressions"), form.part(sums, "clicks")
    named = _means(form, sums, tuple(f"ndcg_{k}" for k in RANKS))
    # Clicks may outlive the window their impressions were counted in.
    for name, (w, w2), (hits, _w2) in zip(
        (*(f"precision_{k}" for k in RANKS), "ctr"), shown.tolist(), clicked.tolist(), strict=True
    ):
        named[name] = proportion(min(hits, w), w, w2)
    return Figures(named, 0.0)


_OF = {Task.BINARY: _binary, Task.MULTICLASS: _multiclass, Task.REGRESSION: _regression, Task.RANKING: _ranking}


def _means(form: Form, sums: Floats, names: Sequence[str]) -> dict[str, Figure]:
    rows = form.part(sums, "means")
    return {name: intervals.mean(rows[form.means.index(name)]) for name in names}


def _why_not(
    outcomes: Outcomes, named: Mapping[str, Figure], confusion: Mapping[tuple[str, str], float]
) -> dict[str, str]:
    """Metric -> what is missing; "all": anything."""
    form = outcomes.form
    undecided, unscored, untrue = form.part(outcomes.sums, "left_out").tolist()
    if not (outcomes.rows or undecided or unscored):
        strange = f"of {untrue:.0f} labels none is {KINDS[form.task]}, as a {form.task.name.lower()} task needs"
        return {"all": strange if untrue else "no label met its prediction"}
    missing = {
        Task.BINARY: _missing_binary, Task.MULTICLASS: _missing_classes, Task.REGRESSION: _missing_numbers,
        Task.RANKING: _missing_clicks,
    }  # fmt: skip
    return {name: why for name, why in missing[form.task](form, confusion).items() if name not in named}


def _missing_binary(form: Form, confusion: Mapping[tuple[str, str], float]) -> dict[str, str]:
    by_class = "it needs scores of both classes"
    found = {
        "accuracy": "no predicted label, and no threshold for the score: send `prediction`, or a threshold",
        "log_loss": "no score of the positive class between 0 and 1 came", "roc_auc": by_class,
        "average_precision": "no scored prediction turned out positive",
    }  # fmt: skip
    if sum(confusion.values()) > 0:
        strange = "no label is the positive one: are they written alike?"
        found |= {"recall": strange, "precision": "no prediction is the positive label", "f1": strange}
        found |= {"specificity": "no label is negative"}
    return found


def _missing_classes(form: Form, confusion: Mapping[tuple[str, str], float]) -> dict[str, str]:
    return {
        "accuracy": "no predicted label: send `prediction`, or a score of each class",
        "log_loss": "no score of the true class between 0 and 1 came",
        "roc_auc": "of one positive class alone are scores counted by bins: of many there is no area, Brier score or "
        "calibration",
    }


def _missing_numbers(form: Form, confusion: Mapping[tuple[str, str], float]) -> dict[str, str]:
    return {
        "mae": "no predicted number met a true number", "r2": "all true numbers are alike",
        "mape": "all true numbers are 0",
    }  # fmt: skip


def _missing_clicks(form: Form, confusion: Mapping[tuple[str, str], float]) -> dict[str, str]:
    return {
        f"ndcg_{RANKS[0]}": "no clicked item came with its position",
        "ctr": "no predictions came with the items they showed",
    }

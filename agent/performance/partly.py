"""What of a task's pairs is not in every figure, and in which it is not: a mean of the others alone is another mean."""

from __future__ import annotations

from agent.performance.form import ROWS, Form
from agent.records import Floats, Task

KINDS = {
    Task.BINARY: "a class that is known", Task.MULTICLASS: "a class that is known", Task.REGRESSION: "a number",
    Task.RANKING: "a click or a gain",
}  # fmt: skip
_DECIDED = {
    Task.BINARY: ("met no decision", "accuracy, precision, recall and F1"),
    Task.MULTICLASS: ("met no decision", "accuracy, precision, recall and F1"),
    Task.REGRESSION: ("met no predicted number that can be squared", "all"),
}
_SCORED = {
    Task.BINARY: ("met no score", "ROC AUC, average precision, log loss, Brier score and calibration"),
    Task.MULTICLASS: ("met no score between 0 and 1 of the true class", "log loss"),
}
ONE_SIDED_MIN = 50  # labels: of a few all may well be positive
ONE_SIDED = (
    "all {:.0f} labels are positive, and these figures are of such alone: are labels sent of positives only? Accuracy "
    "is recall then, and log loss, Brier score and calibration say nothing of the model"
)


def partly(form: Form, sums: Floats) -> tuple[str, ...]:
    """One sentence for each reason for which some pairs, not all, are left out of figures; sums: (form.size,).

    What all pairs lack is no matter of this: those figures are not there, and say why. Of labels that are all positive
    every figure is there, and of positives alone.
    """
    undecided, unscored, untrue = form.part(sums, "left_out").tolist()
    rows = dict(zip(form.means, form.part(sums, "means")[:, ROWS].tolist(), strict=True))
    if form.task is Task.RANKING:  # its figures are of lists and of items shown
        return ()
    decided = rows[form.means[0]]
    known = decided + undecided
    told = []
    if decided and undecided:
        told.append(_told(undecided, known, *_DECIDED[form.task]))
    if form.task in _SCORED and 0 < unscored < known:
        told.append(_told(unscored, known, *_SCORED[form.task]))
    outside = known - unscored - rows["brier"] if form.task is Task.BINARY else 0.0
    if rows.get("brier") and outside > 0:
        told.append(_told(outside, known, "met a score outside 0 to 1", "log loss, Brier score and calibration"))
    if form.task is Task.BINARY and known >= ONE_SIDED_MIN and not _negatives(form, sums):
        told.append(ONE_SIDED.format(known))
    if known and untrue:
        told.append(_told(untrue, known + untrue, f"are not {KINDS[form.task]}", "all figures"))
    return tuple(told)


def _negatives(form: Form, sums: Floats) -> bool:
    return bool(form.part(sums, "histogram")[0].any() or form.part(sums, "confusion")[0].any())


def _told(some: float, known: float, what: str, figures: str) -> str:
    return f"{some:.0f} of {known:.0f} labels {what}, and are left out of {figures}"

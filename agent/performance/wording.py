"""What is said of a drop: which metric fell from what to what, over how many labels of which predictions, and where."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from agent.performance.figures import LOSSES, Figures
from agent.performance.form import Form
from agent.performance.intervals import Figure
from agent.performance.judging import Said
from agent.records import Finding, Source

CHECK = "performance"
IN_WHOLE = "so it is in the whole"
NAMED_MAX = 2  # other metrics that fell, segments that are worst
# What a tested loss is called, and whether it is told as its opposite.
SUBJECTS: Mapping[str, tuple[str, bool]] = {
    "error": ("accuracy", True), "tested_log_loss": ("log_loss", False), "absolute": ("mae", False),
    "lost_gain": ("ndcg_10", True),
}  # fmt: skip
UNTOLD = frozenset({"positive_share", "predicted_positive_share", "calibration_error", "bias"})


def finding(form: Form, said: Said, segment: str, index: int, reason: str) -> Finding:
    """effect: the relative rise of the loss; current, expected: the metric now, and in the reference."""
    loss = form.means[form.tested[said.loss]]
    subject, opposite = SUBJECTS[loss]
    now, before = (1.0 - x if opposite else x for x in (said.mean, said.before))
    return Finding(
        CHECK, subject, Source.PREDICTION, said.verdict, said.p, said.alpha, said.rise, said.windows, round(said.n),
        round(said.n_before), said.phi, index, now, before,
        distances={"newest_p": said.newest_p, "newest_effect": said.newest_rise}, reason=reason, segment=segment,
    )  # fmt: skip


def moved(form: Form, said: Said, built: bool) -> str:
    """The metric then and now.

    >>> from agent.records import Task, Verdict
    >>> found = Said(0, 0, Verdict.ALARM, windows=4, mean=0.15, before=0.1, n=4000.0)
    >>> moved(Form(Task.BINARY), found, built=True)
    'accuracy fell from 0.9 in the reference to 0.85 over 4 windows of 4000 labels'
    """
    subject, opposite = SUBJECTS[form.means[form.tested[said.loss]]]
    if math.isnan(said.before):
        return subject
    now, before = (1.0 - x if opposite else x for x in (said.mean, said.before))
    went = "is" if abs(now - before) < 5e-4 * abs(before) else "fell" if now < before else "rose"
    usual = "in the reference" if built else "in the first labelled windows"
    windows = "1 window" if said.windows == 1 else f"{said.windows} windows"
    over = f"over {windows} of {said.n:.0f} labels"
    if went == "is":
        return f"{subject} is {now:.3g}, as {usual}, {over}"
    return f"{subject} {went} from {before:.3g} {usual} to {now:.3g} {over}"


def predictions(first_ns: int, last_ns: int) -> str:
    """Of which predictions the labels are."""
    return f"of predictions made {_moment(first_ns)} to {_moment(last_ns)}" if first_ns <= last_ns else ""


def others(now: Figures, before: Figures, told: str) -> str:
    """The other metrics whose intervals came apart, the largest change first; empty: none."""
    found = []
    for name, figure in now.named.items():
        then = before.named.get(name)
        if then is None or name == told or name in UNTOLD:
            continue
        worse = figure.low > then.high if name in LOSSES else figure.high < then.low
        if worse:
            found.append((_relative(figure, then), f"{name} {then.value:.3g} → {figure.value:.3g}"))
    words = [text for _, text in sorted(found, reverse=True)[:NAMED_MAX]]
    return f"also {', '.join(words)}" if words else ""


def which_way(now: Figures, before: Figures) -> str:
    """Of a binary task, whether false alarms or misses grew more."""
    shares = [_mistakes(figures) for figures in (before, now)]
    if None in shares or not shares:
        return ""
    (fp0, fn0), (fp1, fn1) = (share or (0.0, 0.0) for share in shares)
    if max(fp1 - fp0, fn1 - fn0) <= 0:
        return ""
    name, then, share = (
        ("false positives", fp0, fp1) if fp1 - fp0 >= fn1 - fn0 else ("false negatives", fn0, fn1)
    )  # fmt: skip
    return f"{name} grew from {then * 100:.2g} % to {share * 100:.2g} % of all"


def worst(form: Form, loss: int, parts: Sequence[tuple[str, float, float]]) -> str:
    """The segments that lost most; each (name, loss before, now)."""
    opposite = SUBJECTS[form.means[form.tested[loss]]][1]
    turned = [(name, *((1.0 - x if opposite else x) for x in losses)) for name, *losses in parts[:NAMED_MAX]]
    told = ", ".join(f"{name} ({before:.3g} → {now:.3g})" for name, before, now in turned)
    return f"most in {told}" if told else ""


def _mistakes(figures: Figures) -> tuple[float, float] | None:
    whole = sum(figures.confusion.values())
    if whole <= 0 or ("negative", "positive") not in figures.confusion:
        return None
    wrong = (figures.confusion["negative", "positive"], figures.confusion["positive", "negative"])
    return wrong[0] / whole, wrong[1] / whole


def _relative(now: Figure, then: Figure) -> float:
    return abs(now.value - then.value) / max(abs(then.value), 1e-9)


def _moment(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

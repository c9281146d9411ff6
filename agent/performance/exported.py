"""What leaves of one version's performance: points for a backend, lines for the status and the page."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from agent.following import About
from agent.ledger import HORIZONS
from agent.performance.figures import Figures
from agent.performance.form import Form
from agent.performance.intervals import Figure
from agent.performance.judging import Said
from agent.performance.wording import SUBJECTS
from agent.records import Source
from agent.telemetry import (
    PERFORMANCE,
    PERFORMANCE_CLASS,
    PERFORMANCE_LABELS,
    PERFORMANCE_OUTCOMES,
    PERFORMANCE_SIGNIFICANCE,
    Point,
)

TOTAL = 0  # the horizon of all since the start
SEGMENT_HORIZONS = (1, HORIZONS[-1])
CLASSES_MAX = 20  # of a multiclass model, exported by class
OUTCOMES_MAX = 400  # kinds of outcome: pairs of true class and decision
SHOWN = (
    "accuracy", "precision", "recall", "f1", "specificity", "roc_auc", "average_precision", "precision_macro",
    "recall_macro", "f1_macro", "log_loss", "brier", "calibration_error", "mae", "rmse", "r2", "bias", "mape", "ctr",
    "ndcg_10", "precision_10",
)  # fmt: skip
NAMES = {"f1": "F1", "roc_auc": "ROC AUC", "mae": "MAE", "rmse": "RMSE", "mape": "MAPE", "r2": "R²", "ctr": "CTR"}
SHARES = frozenset(SHOWN[:10]) | {"ctr", "precision_10", "calibration_error"}


class Known(Protocol):
    """What there is to say; the follower."""

    @property
    def form(self) -> Form | None: ...

    @property
    def segments(self) -> Sequence[str]: ...

    @property
    def classes(self) -> Sequence[str]: ...

    @property
    def windows(self) -> int: ...

    @property
    def built(self) -> bool: ...

    @property
    def said(self) -> Sequence[Said]: ...

    def figures(self, horizon: int, part: int = 0) -> Figures: ...

    def usual(self, part: int = 0) -> Figures | None: ...


def points(about: About, known: Known) -> Iterator[Point]:
    """Horizons of the whole, two of them of segments, classes, the outcomes counted, and how sure the tests are."""
    model = about.key.attributes()
    for horizon in (*HORIZONS, TOTAL):
        found = known.figures(horizon)
        where = {**model, "sidelight.horizon": name_of(horizon)}
        yield Point(PERFORMANCE_LABELS, found.rows, where)
        yield from _points(found.named, where)
    for part, segment in enumerate(known.segments, start=1):
        for horizon in SEGMENT_HORIZONS:
            found = known.figures(horizon, part)
            if found.rows:
                where = {**model, "sidelight.horizon": name_of(horizon), "sidelight.segment": segment}
                yield Point(PERFORMANCE_LABELS, found.rows, where)
                yield from _points(found.named, where, limits=False)
    yield from _by_class(about, known, model)
    yield from _significance(known, model)


def _points(named: Mapping[str, Figure], where: Mapping[str, str], limits: bool = True) -> Iterator[Point]:
    for name, figure in named.items():
        told = {"value": figure.value, **({"lower": figure.low, "upper": figure.high} if limits else {})}
        for statistic, value in told.items():
            if math.isfinite(value):
                more = {"sidelight.performance.metric": name, "sidelight.statistic": statistic}
                yield Point(PERFORMANCE, value, {**where, **more})


def _by_class(about: About, known: Known, model: Mapping[str, str]) -> Iterator[Point]:
    """Classes go by their names where the prediction is public, else by the number of their place, which stays."""
    total, newest = known.figures(TOTAL), known.figures(HORIZONS[-1])
    numbers = {name: str(i) for i, name in enumerate(known.classes)}
    public = _public(about)
    for name, metrics in list(newest.by_class.items())[:CLASSES_MAX]:
        called = name if public else numbers.get(name, "other")
        for metric, figure in metrics.items():
            more = {"sidelight.performance.metric": metric, "sidelight.performance.class": called}
            yield Point(PERFORMANCE_CLASS, figure.value, {**model, **more})
    binary = not total.by_class
    for (true, decision), weight in sorted(total.confusion.items(), key=lambda pair: -pair[1])[:OUTCOMES_MAX]:
        actual, said = (name if binary or public else numbers.get(name, "other") for name in (true, decision))
        more = {"sidelight.performance.actual": actual, "sidelight.performance.predicted": said}
        yield Point(PERFORMANCE_OUTCOMES, weight, {**model, **more})


def _significance(known: Known, model: Mapping[str, str]) -> Iterator[Point]:
    form = known.form
    for said in known.said:
        if form is not None and not said.slice and said.p > 0 and said.alpha > 0:
            metric = SUBJECTS[form.means[form.tested[said.loss]]][0]
            more = {"sidelight.performance.metric": metric}
            yield Point(PERFORMANCE_SIGNIFICANCE, math.log10(said.alpha / said.p), {**model, **more})


def _public(about: About) -> bool:
    layout = None if about.reference is None else about.reference.layout
    at = None if layout is None else layout.index.get((Source.PREDICTION, "prediction"))
    return layout is not None and at is not None and layout.features[at].public


def name_of(horizon: int) -> str:
    return "total" if horizon == TOTAL else str(horizon)


def shown(known: Known | None, why: str, uncounted: int) -> dict[str, Any]:
    """As `Follower.show` says it. known: None: nothing can be computed, and `why` says the reason."""
    page: dict[str, Any] = {"title": "Performance, by labels", "lines": []}
    if known is None or not known.windows:
        waits = f"{uncounted} labels met their predictions and were not counted" if uncounted else ""
        return page | {"note": "; ".join(part for part in (why, waits) if part) or "no window with labels is over yet"}
    newest, usual = known.figures(1), known.usual()
    before = {} if usual is None else usual.named
    page["lines"] = [_line(name, newest.named[name], before.get(name)) for name in SHOWN if name in newest.named]
    left = [f"{name}: {reason}" for name, reason in newest.why_not.items()]
    against = "" if known.built else "the reference has no labels: compared with the first labelled windows"
    told = (f"newest window, {newest.rows:.0f} labels", why, *newest.partly, against, *left)
    return page | {
        "note": "; ".join(part for part in told if part),
        "horizons": {name_of(h): _plain(known.figures(h)) for h in (*HORIZONS, TOTAL)},
        "segments": {
            segment: _plain(found) for part, segment in enumerate(known.segments, start=1)
            if (found := known.figures(HORIZONS[-1], part)).rows
        },
        "confusion": [[true, said, weight] for (true, said), weight in newest.confusion.items()],
        "calibration": [list(point) for point in newest.curve],
        "errors": [list(error) for error in newest.errors],
        "classes": {name: {m: f.value for m, f in own.items()} for name, own in newest.by_class.items()},
    }  # fmt: skip


def _line(name: str, figure: Figure, before: Figure | None) -> dict[str, Any]:
    found: dict[str, Any] = {"name": NAMES.get(name, name.replace("_", " ")), "value": figure.value}
    found["unit"] = "share" if name in SHARES else "number"
    limits = {"low": figure.low, "high": figure.high, "expected": math.nan if before is None else before.value}
    return found | {key: value for key, value in limits.items() if math.isfinite(value)}


def _plain(found: Figures) -> dict[str, Any]:
    return {"labels": found.rows, **{name: figure.value for name, figure in found.named.items()}}

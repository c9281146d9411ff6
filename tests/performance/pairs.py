"""Pairs for these tests, from plain arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from agent.performance.form import Form
from agent.performance.outcomes import Outcomes
from agent.performance.seen import ClassPlaces, see
from agent.records import ModelKey, Pairs

KEY = ModelKey("churn", "3")


def _codes(values: Sequence[Any] | None, classes: list[str], rows: int) -> np.ndarray:
    if values is None:
        return np.full(rows, -1, dtype=np.int32)
    for value in values:
        if value is not None and str(value) not in classes:
            classes.append(str(value))
    return np.array([-1 if v is None else classes.index(str(v)) for v in values], dtype=np.int32)


def classified(
    actual: Sequence[Any],
    said: Sequence[Any] | None = None,
    scores: np.ndarray | None = None,
    score_names: tuple[str, ...] = ("",),
    **more: Any,
) -> Pairs:
    """scores: (rows,) or (rows, names)."""
    rows = len(actual)
    classes: list[str] = []
    found = np.full((rows, 1), np.nan) if scores is None else np.asarray(scores, dtype=np.float64).reshape(rows, -1)
    own: dict[str, Any] = {
        "predicted": np.full(rows, np.nan), "actual": np.full(rows, np.nan),
        "predicted_class": _codes(said, classes, rows), "actual_class": _codes(actual, classes, rows),
        "classes": classes, "scores": found, "score_names": score_names,
    }  # fmt: skip
    return _pairs(rows, own | more)


def numbered(actual: np.ndarray, predicted: np.ndarray, **more: Any) -> Pairs:
    rows = len(actual)
    nothing = np.full(rows, -1, dtype=np.int32)
    own: dict[str, Any] = {
        "predicted": np.asarray(predicted, dtype=np.float64), "actual": np.asarray(actual, dtype=np.float64),
        "predicted_class": nothing, "actual_class": nothing, "classes": (), "scores": np.full((rows, 1), np.nan),
        "score_names": ("",),
    }  # fmt: skip
    return _pairs(rows, own | more)


def _pairs(rows: int, own: Mapping[str, Any]) -> Pairs:
    none = np.zeros(rows, dtype=np.uint64)
    times = np.zeros(rows, dtype=np.int64)
    whole: dict[str, Any] = {
        "ids": none,
        "request_ids": none,
        "time_ns": times,
        "label_ns": times,
        "weights": np.ones(rows),
    }
    return Pairs(model=KEY, rows=rows, **{**whole, "weights": np.ones(rows), **own})


def counted(form: Form, *parts: Pairs, places: ClassPlaces | None = None) -> Outcomes:
    """The outcomes of all parts together."""
    found = Outcomes.empty(form)
    places = places or ClassPlaces([])
    for part in parts:
        found.add(see(form, part, places))
    return found

"""Counts as arrays that can be packed, of what is not zero, and back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from agent.errors import CorruptError
from agent.performance.form import Form
from agent.performance.outcomes import Outcomes
from agent.records import Floats, Task


def sparse(name: str, values: Floats) -> dict[str, np.ndarray]:
    """What is not 0 of an array of any shape, and where."""
    flat = values.ravel()
    at = np.flatnonzero(flat).astype(np.int32)
    return {f"{name}_at": at, name: flat[at]}


def dense(name: str, arrays: Mapping[str, np.ndarray], shape: tuple[int, ...]) -> Floats:
    """The array that `sparse` took apart. Raises CorruptError."""
    found = np.zeros(math.prod(shape))
    try:
        at, values = arrays[f"{name}_at"], arrays[name]
    except KeyError as error:
        raise CorruptError(f"performance: {error} is missing") from None
    if at.shape != values.shape or (at.size and not 0 <= at.min() <= at.max() < found.size):
        raise CorruptError(f"performance: {name} does not fit its form")
    if not np.isfinite(values).all():
        raise CorruptError(f"performance: {name} holds what nobody counted")
    found[at] = values
    return found.reshape(shape)


def outcomes_arrays(outcomes: Outcomes) -> dict[str, np.ndarray]:
    """Sums, and the reach of the bins that have one."""
    used = np.flatnonzero(np.isfinite(outcomes.reach[0])).astype(np.int32)
    return {**sparse("sums", outcomes.sums), "used": used, "reach": outcomes.reach[:, used]}


def outcomes_of(form: Form, arrays: Mapping[str, np.ndarray]) -> Outcomes:
    """Raises CorruptError."""
    found = Outcomes.empty(form)
    found.sums = dense("sums", arrays, (form.size,))
    used, reach = arrays.get("used"), arrays.get("reach")
    if used is None or reach is None or reach.shape != (2, used.size):
        raise CorruptError("performance: bins without their reach")
    if used.size and not 0 <= used.min() <= used.max() < found.reach.shape[1]:
        raise CorruptError("performance: reach of bins that do not exist")
    if not np.isfinite(reach).all():
        raise CorruptError("performance: reach that nobody counted")
    found.reach[:, used] = reach
    return found


def form_head(form: Form) -> dict[str, Any]:
    """For JSON, which knows no NaN."""
    threshold = None if math.isnan(form.threshold) else form.threshold
    return {
        "task": int(form.task), "positive": form.positive, "threshold": threshold, "pivot": form.pivot,
        "counts": form.signature,
    }  # fmt: skip


def form_of(head: Mapping[str, Any]) -> Form:
    """Raises CorruptError."""
    try:
        threshold = head["threshold"]
        form = Form(
            Task(head["task"]), str(head["positive"]), math.nan if threshold is None else float(threshold),
            float(head["pivot"]),
        )  # fmt: skip
        if head["counts"] != form.signature or not math.isfinite(form.pivot):
            raise ValueError("counts of another kind")
        return form
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptError(f"performance: form: {type(error).__name__}") from error

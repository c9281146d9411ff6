"""The peers' rules on given arrays. Runs in the peers' own environment: knows nothing of this project.

A job a line on stdin, JSON {"in": NPZ, "out": NPZ}; answers a line of JSON with the CPU seconds each rule took.
In: reference (N, m), null (windows, n, m), changed (changes, windows, n), float64; the last column of the first two
holds category numbers, and so does changed where `texts` (changes,) is true; else it is the first column that changed.
Out: RULE.null (windows, m) and RULE.changed (changes, windows), scores that rise with drift; RULE.flag.null and
RULE.flag.changed, what the rule says with its defaults; NaN and false where a rule does not apply.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

Scores = tuple[np.ndarray, np.ndarray]  # score and flag of each window, (windows,)
KS_P, DISTANCE = 0.05, 0.1


def evidently(reference: np.ndarray, windows: np.ndarray, text: bool, name: str = "") -> Scores:
    """Its own choice for references over 1,000 rows: normed Wasserstein, for categories Jensen-Shannon, > 0.1."""
    from evidently.legacy.calculations.stattests import get_stattest
    from evidently.legacy.core import ColumnType

    kind = ColumnType.Categorical if text else ColumnType.Numerical
    then = column(reference, text)
    test = get_stattest(then, column(windows[0], text), kind, name or None)
    found = [test(then, column(window, text), kind, None) for window in windows]
    return np.array([f.drift_score for f in found]), np.array([f.drifted for f in found])


def evidently_psi(reference: np.ndarray, windows: np.ndarray, text: bool) -> Scores:
    """PSI, which it offers and many choose; > 0.1."""
    return evidently(reference, windows, text, "psi")


def nannyml(reference: np.ndarray, windows: np.ndarray, text: bool) -> Scores:
    """Jensen-Shannon against mean + 3 standard deviations over the reference's chunks; score in such deviations."""
    import nannyml as nml

    n = windows.shape[1]
    calculator = nml.UnivariateDriftCalculator(
        column_names=["x"], treat_as_categorical=["x"] if text else [], chunk_size=n
    )
    calculator.fit(column(reference, text).to_frame("x"))
    result = calculator.calculate(column(windows.ravel(), text).to_frame("x"))
    whole = result.to_df()
    own = whole["x"]["jensen_shannon"]
    period = whole[("chunk", "chunk", "period")].to_numpy()
    before = own["value"].to_numpy()[period == "reference"].astype(float)
    now = own[period == "analysis"]
    values = now["value"].to_numpy().astype(float)[: len(windows)]
    return (values - before.mean()) / before.std(), now["alert"].to_numpy()[: len(windows)].astype(bool)


def whylogs(reference: np.ndarray, windows: np.ndarray, text: bool) -> Scores:
    """KS at quantiles of two sketches, chi-square of frequent items; drift where p < 0.05."""
    import whylogs as why
    from whylogs.viz.drift.column_drift_algorithms import calculate_drift_scores

    def view(values: np.ndarray) -> object:
        return why.log(column(values, text).to_frame("x")).view()

    then = view(reference)
    found = [calculate_drift_scores(view(w), then, with_thresholds=True)["x"] for w in windows]
    p = np.array([np.nan if f is None else f["pvalue"] for f in found], dtype=float)
    return -p, np.array([f is not None and f["drift_category"] == "DRIFT" for f in found])


def alibi(reference: np.ndarray, windows: np.ndarray, text: bool, features: int) -> Scores:
    """KS, for categories chi-square, Bonferroni over the features."""
    from alibi_detect.cd import ChiSquareDrift, KSDrift

    shaped = reference[:, None].astype(np.float32 if not text else np.int64)
    detector = (ChiSquareDrift if text else KSDrift)(shaped, p_val=KS_P / features)
    found = [detector.predict(w[:, None].astype(shaped.dtype))["data"] for w in windows]
    return -np.array([float(f["p_val"][0]) for f in found]), np.array([bool(f["is_drift"]) for f in found])


def trustyai(reference: np.ndarray, windows: np.ndarray, text: bool) -> Scores:
    """The documented rule of its service (no package): KS at 0.05; for categories Jensen-Shannon at 0.1."""
    if text:
        return evidently(reference, windows, text)
    p = np.array([stats.ks_2samp(reference, window).pvalue for window in windows])
    return -p, p < KS_P


RULES: dict[str, Callable[..., Scores]] = {
    "evidently": evidently, "evidently psi": evidently_psi, "nannyml": nannyml, "whylogs": whylogs,
    "alibi-detect": alibi, "trustyai": trustyai,
}  # fmt: skip


def column(values: np.ndarray, text: bool) -> pd.Series:
    if not text:
        return pd.Series(values, name="x")
    return pd.Series(np.array([f"category_{int(v):02d}" for v in values], dtype=object), name="x")


def job(path: str, out: str) -> dict[str, float]:
    data = np.load(path)
    reference, null, changed, texts = data["reference"], data["null"], data["changed"], data["texts"]
    m = reference.shape[1]
    found: dict[str, Any] = {}
    spent: dict[str, float] = {}
    for name, rule in RULES.items():
        began = time.process_time()
        more = {"features": m} if rule is alibi else {}
        of_null = [rule(reference[:, k], null[:, :, k], k == m - 1, **more) for k in range(m)]
        of_changed = [
            rule(reference[:, -1 if text else 0], windows, bool(text), **more)
            for windows, text in zip(changed, texts, strict=True)
        ]
        for part, scores in (("null", of_null), ("changed", of_changed)):
            axis = 1 if part == "null" else 0
            found[f"{name}.{part}"] = np.stack([s for s, _ in scores], axis=axis)
            found[f"{name}.flag.{part}"] = np.stack([f for _, f in scores], axis=axis)
        spent[name] = time.process_time() - began
    np.savez(out, **found)
    return spent


def versions() -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in ("evidently", "nannyml", "whylogs", "alibi-detect")}


def main() -> None:
    logging.disable(logging.WARNING)
    warnings.filterwarnings("ignore")
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the peers print is not an answer
    print(json.dumps(versions()), file=answers, flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps(job(asked["in"], asked["out"])), file=answers, flush=True)


if __name__ == "__main__":
    main()

"""Real data: flights late by a quarter of an hour, foretold from the timetable and the delay at departure."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn import metrics as oracle
from sklearn.linear_model import LogisticRegression

from agent.estimate.calibrating import make
from agent.estimate.expected import estimates
from examples.flights.data import folder


def test_estimates_of_real_flights_are_near_what_labels_show() -> None:
    """A model of every third day, a reference of the next, estimates of the third: accuracy, AUC and F1 of all of them
    within a hundredth, where the model's own scores are wrong by several."""
    known = pd.read_csv(folder() / "flights.csv.zip").dropna(subset=["arr_delay"])
    _, day = np.unique((known["month"] * 31 + known["day"]).to_numpy(), return_inverse=True)
    late = (known["arr_delay"] > 15).to_numpy()
    hour = known["hour"].to_numpy()
    inputs = np.column_stack([
        hour / 24.0, hour >= 15, known["distance"] / 1_000.0, known["dep_delay"].clip(-20, 15) / 15.0,
        *(known["carrier"] == carrier for carrier in ("AA", "B6", "DL", "EV", "UA", "WN")),
    ]).astype(np.float64)  # fmt: skip
    train, reference, live = (day % 3 == part for part in range(3))
    model = LogisticRegression(max_iter=200).fit(inputs[train][::5], late[train][::5])
    score = model.predict_proba(inputs)[:, 1] ** 3  # a model that says less than it knows
    said = score >= 0.2
    blocks = day[reference] // 3
    found = make(("0", "1"), "1", float("nan"), score[reference], said[reference].astype(np.int64),
                 late[reference].astype(np.int64), (blocks, int(blocks.max()) + 1))  # fmt: skip
    place = said[live] * found.rates.shape[1] + found.bins_of(score[live])
    counts = np.bincount(place, minlength=found.rates.size).reshape(found.rates.shape).astype(np.float64)
    estimated = estimates(found, counts, float(live.sum()))
    realised = {
        "accuracy": oracle.accuracy_score(late[live], said[live]), "f1": oracle.f1_score(late[live], said[live]),
        "roc_auc": oracle.roc_auc_score(late[live], score[live]),
    }  # fmt: skip
    for name, value in realised.items():
        assert abs(estimated[name].value - value) < 0.01, (name, estimated[name], value)
    naive = np.where(said[live], score[live], 1 - score[live]).mean()
    assert abs(naive - realised["accuracy"]) > 0.02

"""The section "calibration"."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as oracle

from agent.bins import Layout
from agent.errors import CorruptError
from agent.estimate.calibrating import KEY, Calibrating, from_bytes, make, to_bytes
from agent.estimate.calibration import Calibration
from agent.estimate.expected import estimates
from agent.records import Task
from agent.reference.labelled import LabelledRows, Settled
from tests.estimate.estimate_worlds import Scored, batch_of, pairs_of

NAN = float("nan")


def _binary() -> Calibration:
    score, said, truth = Scored().rows_of(3_000)
    position = np.arange(3_000) * 12 // 3_000
    return make(("0", "1"), "1", NAN, score, said.astype(np.int64), truth.astype(np.int64), (position, 12))


def test_what_is_written_is_read() -> None:
    """The same bytes again; broken ones are refused by the section's name."""
    stored = to_bytes(_binary())
    assert to_bytes(from_bytes(stored)) == stored
    for broken in (stored[:-5], b"", stored[:60] + b"\0\0" + stored[62:]):
        with pytest.raises(CorruptError, match=f"section {KEY}"):
            from_bytes(broken)


def test_several_classes_by_the_predicted_one_s_score() -> None:
    """Each class has a map of its own; harder windows are told to be harder, and which class the wrong ones are of."""
    rng = np.random.default_rng(2)

    def rows(count: int, sharp: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        logits = sharp * rng.normal(size=(count, 3)) + np.array([0.5, 0.0, -0.5])
        chance = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        truth = (rng.random((count, 1)) > chance.cumsum(axis=1)).sum(axis=1)
        said = chance.argmax(axis=1)
        return chance.max(axis=1) ** 2, said.astype(np.int64), truth.astype(np.int64)

    score, said, truth = rows(40_000, 2.0)
    found = make(("a", "b", "c"), "", NAN, score, said, truth, (np.arange(40_000) // 2_000, 20))
    for sharp in (2.0, 1.2):
        score, said, truth = rows(20_000, sharp)
        place = said * found.rates.shape[1] + found.bins_of(score)
        counts = np.bincount(place, minlength=found.rates.size).reshape(found.rates.shape).astype(np.float64)
        told = estimates(found, counts, 20_000.0)
        assert abs(told["accuracy"].value - oracle.accuracy_score(truth, said)) < 4 * told["accuracy"].error
        assert told["f1"].value == pytest.approx(oracle.f1_score(truth, said, average="macro"), abs=0.02)
        assert told["recall"].value == pytest.approx(oracle.recall_score(truth, said, average="macro"), abs=0.02)


def test_a_model_that_gives_scores_alone_predicts_from_a_half_on() -> None:
    """And whoever builds is told."""
    score, _, truth = Scored().rows_of(2_000)
    nothing = np.full(2_000, NAN)
    maker = Calibrating(Settled(Layout(()), np.zeros(1, dtype=np.int64), Task.BINARY, "1", ("0", "1")))
    numbers = np.arange(2_000, dtype=np.int64)
    pairs = pairs_of(nothing, truth, score, ("0", "1"))
    batch = batch_of({"score": score})
    cells = np.zeros((0, 2_000), dtype=np.int32)
    maker.add(LabelledRows(numbers, np.zeros(2_000, dtype=np.int64), cells, batch, pairs))
    found = from_bytes(maker.finish())
    assert found.threshold == 0.5
    assert found.counts[1].sum() == (score >= 0.5).sum()
    assert any("no --prediction" in note for note in maker.notes())


def test_few_rows_calibrate_nothing() -> None:
    """And it is said how many are needed."""
    maker = Calibrating(Settled(Layout(()), np.zeros(1, dtype=np.int64), Task.BINARY, "1", ("0", "1")))
    assert maker.finish() == b""
    assert "500 are needed" in maker.notes()[0]

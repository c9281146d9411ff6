"""Labels and clocks as they should not be: each costs itself, and is counted as what it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agent.ingest.labels import WEIGHT_MAX, read_columns, read_labels
from agent.ingest.limits import Limits, Refusals
from agent.labels import index, log, runs
from agent.labels.desk import WHOLE, WINDOWS_APART, Desk
from agent.records import ModelKey, Texts
from agent.wire import labels_pb2
from tests.labels.label_worlds import (
    BOUNDS,
    HOUR,
    NAME,
    NOW,
    SECOND,
    Said,
    again,
    batch,
    desk,
    hashes,
    joined,
    labels,
    settled,
)

MODEL = ModelKey(NAME)


def test_an_id_that_is_none_fills_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sender that gives every prediction the same id gets one joined, and costs no more than a thousand entries of
    each run."""
    monkeypatch.setattr(index, "MEMORY", 4_096)
    monkeypatch.setattr(runs, "SAME_MAX", 64)
    held = desk(tmp_path)
    for _ in range(20):
        held.predicted(batch([7] * 1_000))
        held.work_now()
    assert sum(run.entries for run in held.index.runs) <= 64 * len(held.index.runs)
    held.labelled(labels([Said("yes", 7)] * 2_000))
    assert sum(joined(held.settle()).values()) == 1
    assert (held.kept.kinds["joined"], held.kept.kinds["repeated"]) == (1, 1_999)


def test_a_clock_put_back_does_not_keep_labels_waiting(tmp_path: Path) -> None:
    """Not until it comes by again: they are settled at once."""
    held = desk(tmp_path)
    held.predicted(batch([1]))
    held.labelled(labels([Said("yes", 1)], NOW + 1_800 * SECOND))
    assert held.due(NOW + SECOND)
    assert sum(joined(held.settle()).values()) == 1


def test_labels_of_many_times_are_few_groups(tmp_path: Path) -> None:
    """By event time each label says when it came to be. Windows long over are judged together, and none is later than
    the window after the newest prediction's."""
    held = desk(tmp_path, replace(BOUNDS, event_time=True, label_ns=1 << 62))
    numbers = list(range(4_000))
    held.predicted(batch(numbers))
    said = labels([Said("yes", n) for n in numbers])
    times = NOW - np.arange(4_000) * HOUR
    times[:3] = (1 << 63) - 1
    held.labelled(replace(said, time_ns=times))
    pairs = held.settle()
    assert sum(joined(pairs).values()) == 4_000
    assert len(pairs) == WINDOWS_APART
    newest = max(pairs, key=lambda one: int(one.label_ns.max()))
    assert newest.rows == 3


def test_a_label_of_another_output_costs_itself(tmp_path: Path) -> None:
    """Beside it in one message are labels that bring their predictions: they are joined."""
    held = desk(tmp_path)
    held.predicted(batch([1]))
    said = labels([Said("yes", 5), Said("no", 6), Said("no", 1)])
    held.labelled(replace(said, outputs=("other", "", ""), predictions=batch([5, 6]), at=np.array([0, 1])))
    held.settle()
    kinds = held.kept.kinds
    assert (kinds["joined"], kinds["unknown"], kinds["received"]) == (2, 1, 3)
    assert settled(held) == 3


def test_labels_that_waited_for_one_prediction_are_all_counted(tmp_path: Path) -> None:
    """One by its id, one by its request, both before it: the first is joined, the other says the same or another."""
    held = desk(tmp_path)
    held.labelled(labels([Said("yes", 1), Said("no", request=7)]))
    assert held.settle() == []
    assert sum(joined(held.predicted(batch([1], requests=[7]))).values()) == 1
    assert (held.kept.kinds["early"], held.kept.kinds["changed"], held.early.waiting) == (1, 1, 0)
    assert settled(held) == 2


def test_what_is_not_in_the_sample_is_not_unknown(tmp_path: Path) -> None:
    """Predictions with a request are kept by its hash: a label that names both is told at once, one that names the
    prediction alone when it waited long enough. Without a sample such a label is of nobody."""
    for limit, expected in ((WHOLE // 4, ("unsampled", "unsampled")), (WHOLE, ("unknown", "unknown"))):
        held = desk(tmp_path / str(limit))
        held.limit = limit
        numbers = list(range(400))
        held.predicted(batch(numbers, requests=numbers))
        kept = held.log.rows
        both = replace(labels([Said("yes", n) for n in numbers]), request_ids=hashes("r-", numbers))
        held.labelled(both)
        pairs = held.settle()
        assert sum(joined(pairs).values()) == kept
        assert held.kept.kinds["unsampled"] == 400 - kept
        weights = np.concatenate([one.weights for one in pairs])
        assert weights.tolist() == [WHOLE / limit] * kept
        held.labelled(labels([Said("yes", n) for n in range(1_000, 1_010)]))
        held.settle()
        held.expire(NOW + 2 * HOUR)
        assert held.kept.kinds[expected[0]] == (410 - kept if limit < WHOLE else 10)
        assert settled(held) == 410


def test_windows_of_another_length_are_not_mixed(tmp_path: Path) -> None:
    """After a restart with other windows those of before are no longer shown; what is counted of all stays."""
    held = desk(tmp_path)
    held.predicted(batch([1, 2]))
    held.labelled(labels([Said("yes", 1)]))
    held.settle()
    blob, _ = held.dump()
    other = Desk(held.model, tmp_path, replace(BOUNDS, window_ns=24 * HOUR))
    other.load(blob)
    assert other.show()["coverage_by_window"] == []
    other.predicted(batch([3]))
    assert other.show()["coverage_by_window"] == [[NOW // (24 * HOUR), 0.0]]
    assert other.kept.coverage() == pytest.approx(1 / 3)


def test_weights_and_values_that_are_none(tmp_path: Path) -> None:
    """A weight that is no number, less than nothing or absurd is 1; a value that is not finite is none beside a text,
    and refused without one. In columns and one by one."""
    weights = [np.nan, np.inf, -2.0, 0.0, 2.0, 1e300]
    expected = [1.0, 1.0, 1.0, 1.0, 2.0, 1.0]
    assert WEIGHT_MAX < 1e300
    singly = [labels_pb2.Label(prediction_id="p", label="yes", weight=w).SerializeToString() for w in weights]
    found = read_labels(singly, MODEL, NOW, Limits(), Refusals.none(6), None)
    assert found.weights is not None
    assert found.weights.tolist() == expected
    columns = labels_pb2.LabelColumns(rows=6, ids=["p"] * 6, weights=weights)
    columns.values.values.extend([np.inf, -np.inf, np.nan, 1.0, 2.0, np.inf])
    columns.labels.dictionary.append("yes")
    columns.labels.codes.extend([0] * 6)
    columns.labels.nulls = bytes([0b100000])
    refusals = Refusals.none(6)
    found = read_columns(columns.SerializeToString(), MODEL, NOW, Limits(), refusals, None)
    assert refusals.count == 1
    assert found.weights is not None
    assert found.weights.tolist() == expected[:5]
    assert np.isnan(found.values).tolist() == [True, True, True, False, False]
    held = desk(tmp_path)
    held.predicted(batch([1]))
    held.labelled(found)
    held.settle()
    assert settled(held) == 5


@pytest.mark.parametrize("which", ["run", "tail"])
def test_a_corrupt_index_joins_none_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, which: str) -> None:
    """The run with the marks is corrupt, the one with the rows is not: rows and marks are indexed anew, while it runs
    and at a start, and nothing is lost either."""
    monkeypatch.setattr(index, "MEMORY", 64)
    monkeypatch.setattr(log, "SEGMENT_ROWS", 100)
    numbers = list(range(300))
    held = desk(tmp_path / "own")
    held.predicted(batch(numbers, requests=[n % 50 for n in numbers]))
    held.work_now()
    known = {run.number for run in held.index.runs}
    held.labelled(labels([Said("yes", n) for n in range(100 if which == "run" else 20)]))
    before = sum(joined(held.settle()).values())
    if which == "run":
        held.work_now()
        for run in [run for run in held.index.runs if run.number not in known]:
            raw = bytearray(run.path.read_bytes())
            raw[3] ^= 4
            run.path.write_bytes(raw)
    else:
        blob, _ = held.dump()
        held.close()
        path = tmp_path / "own" / f"tail-{held.index.table.number}"
        path.write_bytes(path.read_bytes()[:-9])
        held = Desk(held.model, held.folder, held.bounds)
        held.load(blob)
    held.labelled(labels([Said("yes", n) for n in numbers]))
    found = sum(joined(held.settle()).values())
    assert held.corrupt > 0
    assert (before + found, held.kept.kinds["repeated"]) == (300, before)
    held.work_now()
    held.labelled(labels([Said("no", n) for n in numbers]))
    assert held.settle() == []
    assert held.kept.kinds["changed"] == 300


def test_a_key_of_countless_values_does_not_cost_others_theirs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A customer's number as a segment: beyond what one key may have its values are none, after a restart too; regions
    that come later are told apart as ever. The log names the key, and no value."""
    held = desk(tmp_path)

    def told(first: int, region: str, customer: int | None = None) -> list[str]:
        ids, customer = list(range(first, first + 100)), first if customer is None else customer
        whole = Texts((region,), np.zeros(100, np.int32))
        customers = Texts([f"customer-{customer + i}" for i in range(100)], np.arange(100, dtype=np.int32))
        held.predicted(replace(batch(ids), segments={"customer": customers}, protected={"region": whole}))
        held.labelled(labels([Said("yes", one) for one in ids]))
        (pairs,) = held.settle()
        assert {pairs.names[place] for place in pairs.groups["region"].tolist()} == {region}
        return [pairs.names[place] for place in pairs.segments["customer"].tolist() if place >= 0]

    known = [told(first, "north") for first in range(0, 2_500, 100)]
    assert [len(names) for names in known] == [100, 100, 50] + [0] * 22
    held = again(held)
    assert told(2_500, "south") == []
    assert told(2_600, "south", customer=0) == known[0]
    assert [record.getMessage() for record in caplog.records if "names_full" in record.getMessage()] == [
        "names_full key='customer': of further values of it labels are told of as of none"
    ]

"""The join: what is joined, and as what each label is counted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agent.records import Columns, Items, Labels, ModelKey, Numbers, Texts
from tests.labels.label_worlds import (
    BOUNDS,
    DAY,
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


def test_a_label_meets_its_prediction_days_later(tmp_path: Path) -> None:
    """Everything that was kept of the prediction comes with its truth, and how late it was is counted."""
    held = desk(tmp_path)
    held.predicted(batch([1, 2, 3]))
    held.labelled(labels([Said("no", 2)], NOW + 9 * DAY))
    (pairs,) = held.settle()
    assert (pairs.rows, pairs.model.version, pairs.time_ns[0]) == (1, "1", NOW)
    assert pairs.label_ns[0] == NOW + 9 * DAY
    assert pairs.classes[pairs.predicted_class[0]] == "no"
    assert pairs.score("yes").tolist() == pytest.approx([0.02])
    assert pairs.latency is not None
    assert pairs.latency[0] == 2.0
    shown = held.show()
    assert shown["coverage"] == pytest.approx(1 / 3)
    assert shown["delay_seconds"]["p50"] == pytest.approx(9 * 86_400, rel=0.2)


def test_a_label_that_came_first_is_joined_when_its_prediction_comes(tmp_path: Path) -> None:
    """It waits, is counted as early, and is unknown where no prediction comes within the hour."""
    held = desk(tmp_path)
    held.labelled(labels([Said("yes", 1), Said("yes", 2)]))
    assert held.settle() == []
    assert held.early.waiting == 2
    assert sum(joined(held.predicted(batch([1], now=NOW + SECOND))).values()) == 1
    held.expire(NOW + 2 * HOUR)
    assert held.predicted(batch([2], now=NOW + 2 * HOUR)) == []
    kinds = held.kept.kinds
    assert (kinds["early"], kinds["unknown"], kinds["joined"]) == (1, 1, 0)


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("restarted", [True, False])
def test_the_first_truth_stands(tmp_path: Path, at_once: bool, restarted: bool) -> None:
    """The same again is repeated, another one changed, in one message or in several, over a restart."""
    held = desk(tmp_path)
    held.predicted(batch([1]))
    found = []
    for said in (Said("yes", 1), Said("yes", 1), Said("no", 1)):
        held.labelled(labels([said]))
        if not at_once:
            found += held.settle()
        if restarted:
            held = again(held)
    found += held.settle()
    assert [truth for _, _, truth in joined(found).elements()] == ["yes"]
    kinds = held.kept.kinds
    assert (kinds["joined"], kinds["repeated"], kinds["changed"]) == (1, 1, 1)


def test_a_label_by_request_reaches_every_version(tmp_path: Path) -> None:
    """Those that answered before it and those that answer after it; one by its own id does not come again."""
    held = desk(tmp_path)
    held.predicted(batch([1], "1", [7]))
    held.predicted(batch([2], "2", [7]))
    held.labelled(labels([Said("yes", 1)]))
    assert sum(joined(held.settle()).values()) == 1
    held.labelled(labels([Said("yes", request=7)]))
    assert [version for version, _, _ in joined(held.settle()).elements()] == ["2"]
    later = held.predicted(batch([3], "3", [7]))
    assert [version for version, _, _ in joined(later).elements()] == ["3"]
    held.labelled(labels([Said("no", request=7)]))
    assert held.settle() == []
    assert held.kept.kinds["changed"] == 1
    assert settled(held) == held.kept.kinds["received"] == 3


def test_a_prediction_sent_twice_is_joined_once(tmp_path: Path) -> None:
    """An id is one prediction of its version; under two versions it is two."""
    held = desk(tmp_path)
    held.predicted(batch([1, 1]))
    held.predicted(batch([1]))
    held.predicted(batch([1], "2"))
    held.labelled(labels([Said("yes", 1)]))
    assert sorted(version for version, _, _ in joined(held.settle()).elements()) == ["1", "2"]


def test_a_label_that_brings_its_prediction_needs_no_other(tmp_path: Path) -> None:
    """It is joined at once, and known again by its id."""
    held = desk(tmp_path)
    alone = replace(labels([Said("yes", 5)]), predictions=batch([5]), at=np.array([0]))
    assert sum(joined(held.labelled(alone)).values()) == 1
    assert held.labelled(alone) == []
    nameless = replace(labels([Said("yes")]), predictions=batch([None]), at=np.array([0]))
    assert sum(joined(held.labelled(nameless)).values()) == 1
    held.labelled(labels([Said("no", 5)]))
    assert held.settle() == []
    kinds = held.kept.kinds
    assert (kinds["joined"], kinds["repeated"], kinds["changed"]) == (2, 1, 1)
    assert settled(held) == kinds["received"]


def test_each_item_of_a_ranking_has_its_own_label(tmp_path: Path) -> None:
    """A click belongs to one item of one list, and comes with the place it was shown at."""
    held = desk(tmp_path)
    places, scores = np.array([1, 2, 3], np.int32), np.array([3.0, 2.0, 1.0])
    shown = Items(np.array([3], np.int32), hashes("i-", [1, 2, 3]), places, scores)
    held.predicted(replace(batch([1]), outputs=Columns(), items=shown))
    clicked = replace(labels([Said("1", 1)]), items=hashes("i-", [2]))
    held.labelled(clicked)
    held.labelled(replace(clicked, items=hashes("i-", [9])))
    (pairs,) = held.settle()
    assert pairs.position is not None
    assert pairs.position.tolist() == [2]
    assert pairs.scores[:, pairs.score_names.index("")].tolist() == [2.0]
    assert pairs.ids.tolist() == hashes("p-", [1]).tolist()


def test_a_list_known_by_its_request_alone_is_one_list(tmp_path: Path) -> None:
    """Two clicks in it share what tells lists apart, and a click by the request finds its item."""
    held = desk(tmp_path)
    shown = Items(np.array([3], np.int32), hashes("i-", [1, 2, 3]), np.array([1, 2, 3], np.int32), np.ones(3))
    held.predicted(replace(batch([None], requests=[7]), outputs=Columns(), items=shown))
    held.labelled(replace(labels([Said("1", request=7), Said("1", request=7)]), items=hashes("i-", [1, 3])))
    (pairs,) = held.settle()
    assert pairs.position is not None
    assert sorted(pairs.position.tolist()) == [1, 3]
    assert pairs.ids.tolist() == 2 * hashes("r-", [7]).tolist()


def test_numbers_are_classes_only_where_they_are_few(tmp_path: Path) -> None:
    """A regression's values are joined as they are; a class sent as number has its shortest text on both sides."""
    held = desk(tmp_path)
    for n, start in ((500, 0), (4, 1_000)):
        values = np.arange(n, dtype=np.float64)
        values += 0.25 * (n == 500)
        predictions = replace(batch(list(range(start, start + n))), outputs=Columns({"prediction": Numbers(values)}))
        held.predicted(predictions)
        numbers = [str(int(v)) for v in values] if n == 4 else []
        truths = Labels(
            ModelKey(NAME), n, NOW, hashes("p-", range(start, start + n)), np.zeros(n, np.uint64),
            np.zeros(n, np.uint64), values,
            Texts(numbers, np.arange(n, dtype=np.int32) if n == 4 else np.zeros(n, np.int32)), np.zeros(n, np.int64),
        )  # fmt: skip
        held.labelled(truths)
        (pairs,) = held.settle()
        assert pairs.predicted.tolist() == pairs.actual.tolist() == values.tolist()
        assert (pairs.predicted_class >= 0).all() == (n == 4)
        assert pairs.predicted_class.tolist() == pairs.actual_class.tolist()


def test_what_waited_long_enough_is_never_labelled(tmp_path: Path) -> None:
    """After thirty days the files go, and predictions that got nothing are counted."""
    held = desk(tmp_path)
    held.predicted(batch([1, 2, 3]))
    held.predicted(batch([4], now=NOW + 20 * DAY))
    held.labelled(labels([Said("yes", 2)]))
    held.settle()
    held.expire(NOW + 31 * DAY)
    held.work_now()
    assert (held.kept.kinds["never"], held.log.waiting) == (2, 1)
    held.labelled(labels([Said("yes", 1), Said("yes", 4)], NOW + 31 * DAY))
    assert sum(joined(held.settle()).values()) == 1
    held.dump()
    held.written()
    assert len(list(tmp_path.glob("rows-*"))) == 1


def test_labels_wait_a_moment_and_no_longer_than_their_window(tmp_path: Path) -> None:
    """Two seconds, or the window's end: what is judged with a window came in it."""
    held = desk(tmp_path, replace(BOUNDS, window_ns=10 * SECOND))
    assert not held.due(NOW)
    held.labelled(labels([Said("yes", 1)], NOW + 9 * SECOND))
    assert not held.due(NOW + 9 * SECOND)
    assert held.due(NOW + 10 * SECOND)
    held.settle()
    held.labelled(labels([Said("yes", 1)], NOW))
    assert held.due(NOW + 2 * SECOND)

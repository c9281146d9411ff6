"""The join through a real Redis: as on one's own disk, and once whichever replica a label reaches."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.labels.kept import KINDS
from agent.records import ABSENT, Batch, Columns, Items, Labels, Numbers, Pairs, Texts
from tests.labels.label_worlds import BOUNDS, CLASSES, DAY, HOUR, NOW, SECOND, Said, batch, desk, joined, labels
from tests.labels.redis_worlds import Replica
from tests.redis_server import RedisServer

PREDICTIONS = st.lists(
    st.tuples(st.integers(0, 12), st.sampled_from("12"), st.integers(0, 5)), max_size=10, unique_by=lambda p: p[:2]
)
SAID = st.lists(
    st.builds(Said, st.sampled_from(["yes", "no"]), st.integers(0, 14))
    | st.builds(lambda truth, request: Said(truth, request=request), st.sampled_from(["yes", "no"]), st.integers(0, 7)),
    max_size=10,
)
Step = Said | tuple[int, str, int]


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_the_same_stream_gives_the_same_pairs_and_kinds_as_on_disk(server: RedisServer, data: st.DataObject) -> None:
    """Predictions of two versions, labels by id and by request, twice and contradicting, in any order."""
    server.ask("FLUSHALL")
    predictions, said = data.draw(PREDICTIONS), data.draw(SAID)
    steps: list[Step] = data.draw(st.permutations([*predictions, *said]))
    alone, shared = Counter[tuple[str, int, str]](), Counter[tuple[str, int, str]]()
    with TemporaryDirectory() as folder:
        own, replica = desk(Path(folder)), Replica(server.url)
        for step in steps:
            if isinstance(step, Said):
                own.labelled(labels([step]))
                replica.labelled(labels([step]))
            else:
                number, version, request = step
                alone += joined(own.predicted(batch([number], version, [request])))
                replica.predicted(batch([number], version, [request]))
            alone += joined(own.settle())
            shared += joined(replica.settle())
            assert replica.settled == replica.desk.kept.kinds["received"]
        shared += joined(replica.settle())
        shared += joined(replica.settle())  # what is asked for of labels that waited
        assert shared == alone
        told = {kind: own.kept.kinds[kind] for kind in KINDS}
        assert {kind: replica.desk.kept.kinds[kind] for kind in KINDS} == told
        assert len(replica.desk.pending) == own.early.waiting
        own.close()
        replica.close()


def _full(rows: int = 40) -> tuple[Batch, Labels]:
    """Predictions of numbers with every column there is, and truths of theirs with weights."""
    told = np.arange(rows, dtype=np.int64)
    whole = told.astype(np.float64)
    plain = batch(told.tolist(), requests=told.tolist())
    regions = Texts(("north", "south"), (told % 2).astype(np.int32))
    state = np.where(told % 5 == 0, 1, 0).astype(np.uint8)
    made = replace(
        plain,
        outputs=Columns(
            {"prediction": Numbers(told / 7), "score:a": Numbers(told / rows), "score:b": Numbers(told / 9)}
        ),
        segments={"region": regions},
        protected={"gender": Texts(("f", "m"), (told % 2).astype(np.int32), state)},
        weights=1.0 + whole % 3,
        time_ns=NOW - told * SECOND,
    )
    said = labels([Said(id=i) for i in range(rows)])
    nothing = Texts((), np.zeros(rows, np.int32), np.full(rows, ABSENT, np.uint8))
    return made, replace(said, values=whole * 0.5, labels=nothing, weights=1.0 + whole % 4)


def _same(pairs: Sequence[Pairs]) -> list[dict[str, object]]:
    """Pairs as texts and numbers, whatever places texts have."""
    found = [_row(one, i) for one in pairs for i in range(one.rows)]
    return sorted(found, key=lambda each: str(each["id"]))


def _row(one: Pairs, i: int) -> dict[str, object]:
    names = {**one.segments, **{f"!{key}": at for key, at in one.groups.items()}}
    return {
        "model": one.model, "id": one.ids[i], "request": one.request_ids[i], "time": one.time_ns[i],
        "label": one.label_ns[i], "predicted": repr(one.predicted[i]), "actual": repr(one.actual[i]),
        "class": one.classes[one.predicted_class[i]] if one.predicted_class[i] >= 0 else "",
        "truth": one.classes[one.actual_class[i]] if one.actual_class[i] >= 0 else "",
        "scores": {name: repr(one.scores[i, j]) for j, name in enumerate(one.score_names)},
        "weight": one.weights[i],
        "names": {key: one.names[at[i]] if at[i] >= 0 else "" for key, at in names.items()},
        "position": None if one.position is None else one.position[i],
        "latency": None if one.latency is None else repr(one.latency[i]),
    }  # fmt: skip


@pytest.mark.parametrize("reached", ["a", "b"])
def test_every_column_reaches_another_replica(url: str, tmp_path: Path, reached: str) -> None:
    """Numbers, classes, scores, segments, groups, weights, times and latency are those that one's own disk gives."""
    made, said = _full()
    own = desk(tmp_path)
    own.predicted(made)
    own.labelled(said)
    replicas = {name: Replica(url, name) for name in "ab"}
    replicas["a"].predicted(made)
    replicas["a"].round()
    replicas[reached].labelled(said)
    expected, found = _same(own.settle()), _same(replicas[reached].settle())
    assert len(found) == 40
    assert found == expected
    late, known = (one.kept.show()["delay_seconds"] for one in (replicas[reached].desk, own))
    assert late == known
    assert known["p50"] == pytest.approx(20.0, rel=0.2), "predictions were made 0 to 39 s before"


def test_items_of_a_ranking_are_labelled_each(url: str, tmp_path: Path) -> None:
    """One row an item; its label finds it in another replica's Redis as on disk."""
    lists = Items(
        np.array([2, 1], np.int32), np.array([11, 12, 13], np.uint64), np.array([1, 2, 1], np.int32),
        np.array([0.5, 0.25, np.nan]),
    )  # fmt: skip
    made = replace(batch([1, 2]), outputs=Columns(), items=lists)
    said = replace(labels([Said(id=1), Said(id=1), Said(id=2)]), items=np.array([12, 11, 13], np.uint64))
    own, a, b = desk(tmp_path), Replica(url, "a"), Replica(url, "b")
    own.predicted(made)
    own.labelled(said)
    a.predicted(made)
    a.round()
    b.labelled(said)
    expected, found = _same(own.settle()), _same(b.settle())
    assert len(found) == 3
    assert sorted(map(str, found)) == sorted(map(str, expected))


def test_two_replicas_join_once_in_every_order(server: RedisServer) -> None:
    """One prediction, two labels of it at different replicas, and each replica's round with Redis: 120 orders."""
    for order in itertools.permutations(("predict", "label a", "label b", "round a", "round b")):
        server.ask("FLUSHALL")
        a, b = Replica(server.url, "a"), Replica(server.url, "b")
        found: Counter[tuple[str, int, str]] = Counter()
        steps: dict[str, Callable[[], list[Pairs] | None]] = {
            "predict": partial(a.predicted, batch([7], requests=[3])),
            "label a": partial(a.labelled, labels([Said("yes", 7)])),
            "label b": partial(b.labelled, labels([Said("yes", request=3)])),
            "round a": a.settle,
            "round b": b.settle,
        }
        for step in (*order, "round a", "round b", "round a", "round b"):
            found += joined(steps[step]() or [])
        assert list(found.values()) == [1], order
        kinds = a.desk.kept.kinds + b.desk.kept.kinds
        assert (kinds["joined"] + kinds["early"], kinds["repeated"]) == (1, 1), order
        assert a.settled == b.settled == 1
        a.close()
        b.close()


def test_a_label_that_never_meets_is_unknown_and_one_that_met_elsewhere_is_early(url: str) -> None:
    """The replica that took the label counts it, whoever joined it."""
    a, b = Replica(url, "a"), Replica(url, "b")
    b.labelled(labels([Said("yes", 1), Said("no", 2)]))
    assert b.settle() == []
    assert (len(b.desk.pending), b.settled) == (2, 2)
    a.predicted(batch([1]))
    assert list(joined(a.settle()).values()) == [1]
    b.desk.expire(NOW + HOUR + SECOND)
    b.settle()
    assert (b.desk.kept.kinds["early"], b.desk.kept.kinds["unknown"]) == (1, 1)
    assert a.desk.kept.kinds["early"] == 0
    a.predicted(batch([2], now=NOW + HOUR + SECOND))
    assert a.settle() == []


def test_what_got_no_label_in_time_is_told_once_by_one_replica(url: str) -> None:
    """`never` over both replicas is the predictions without a label; coverage and what waits are the fleet's."""
    a, b = Replica(url, "a"), Replica(url, "b")
    a.predicted(batch([1, 2, 3, 4]))
    a.round()
    b.labelled(labels([Said("yes", 1)]))
    b.settle()
    for one in (a, b):
        one.round()
        assert one.desk.show()["waiting_predictions"] == 3
        assert one.desk.show()["coverage"] == 0.25
        assert one.desk.show()["coverage_by_window"] == [[NOW // HOUR, 0.25]]
    for one in (a, b):
        one.desk.expire(NOW + 32 * DAY)
        one.round()
    assert [one.desk.kept.kinds["never"] for one in (a, b)] == [3, 0]
    assert b.desk.show()["waiting_predictions"] == 0


def test_a_sample_keeps_within_the_room_and_pairs_weigh_what_they_stand_for(url: str) -> None:
    """Several times what fits: shares halve, predictions and labels agree on who is kept, weights add up to all."""
    bounds = replace(BOUNDS, bytes_max=32 * 40_000)
    a, b = Replica(url, "a", bounds), Replica(url, "b", bounds)
    rows = 2_000
    for begin in range(0, rows, 100):
        a.predicted(batch(list(range(begin, begin + 100))))
        a.round()
    b.desk.expire(NOW)
    b.round()
    assert a.desk.share == b.desk.share > 0
    assert b.desk.fleet.size <= 40_000 + 2 * 100 * 190  # of the last message before it halved
    weighed = 0.0
    for begin in range(0, rows, 500):
        b.labelled(labels([Said("yes", i) for i in range(begin, begin + 500)]))
        weighed += sum(float(one.weights.sum()) for one in b.settle())
    kinds = b.desk.kept.kinds
    assert kinds["joined"] + kinds["unsampled"] + len(b.desk.pending) == rows
    assert kinds["unsampled"] > 0
    assert abs(weighed / rows - 1) < 0.2
    b.round()
    assert b.desk.fleet.coverage() == pytest.approx(1.0)


def test_what_is_told_of_the_room_is_what_redis_takes(url: str, server: RedisServer) -> None:
    """To a quarter: keys, values and their places in Redis' tables."""
    a = Replica(url)
    before = int(server.ask("INFO", "memory")["used_memory"])
    for begin in range(0, 20_000, 500):
        a.predicted(batch(list(range(begin, begin + 500)), requests=list(range(begin, begin + 500))))
    a.round()
    a.clock.now += 10.0
    a.round()
    taken = int(server.ask("INFO", "memory")["used_memory"]) - before
    assert a.desk.fleet.size == pytest.approx(taken, rel=0.25)


def test_labels_that_bring_their_prediction_are_known_again(url: str) -> None:
    """With an id a second label is repeated, at another replica too; without one they are joined at once."""
    a, b = Replica(url, "a"), Replica(url, "b")
    brought = replace(labels([Said("yes"), Said("no")]), predictions=batch([5, None]), at=np.array([0, 1]))
    found = joined(a.labelled(brought))
    assert list(found.values()) == [1]
    found += joined(a.settle())
    assert sorted(truth for _, _, truth in found.elements()) == ["no", "yes"]
    b.labelled(labels([Said("yes", 5), Said("no", 5)]))
    assert b.settle() == []
    assert (b.desk.kept.kinds["repeated"], b.desk.kept.kinds["changed"]) == (1, 1)
    assert a.settled == b.settled == 2


def test_models_and_tenants_do_not_see_each_other(url: str) -> None:
    """Names that a careless key would confuse; ids with line breaks, braces and wildcards are only their hash."""
    a, b = Replica(url, "a", model="loan}p"), Replica(url, "b", model="loan")
    a.predicted(batch([1]))
    b.predicted(batch([2]))
    a.round()
    b.round()
    b.labelled(labels([Said("yes", 1)]))
    assert b.settle() == []
    a.labelled(labels([Said("yes", 1)]))
    assert list(joined(a.settle()).values()) == [1]


def test_classes_that_only_another_replica_knows(url: str) -> None:
    """Places of classes differ between replicas: texts do not."""
    a, b = Replica(url, "a"), Replica(url, "b")
    b.predicted(replace(batch([50]), outputs=Columns({}, {"prediction": Texts(CLASSES[::-1], np.zeros(1, np.int32))})))
    a.predicted(batch([1, 2, 3]))
    a.round()
    b.labelled(labels([Said("no", 1), Said("maybe", 2), Said("yes", 3)]))
    found = _same(b.settle())
    assert sorted((each["class"], each["truth"]) for each in found) == [("no", "maybe"), ("yes", "no"), ("yes", "yes")]

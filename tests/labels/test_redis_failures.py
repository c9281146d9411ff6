"""Redis away, slow, full, read-only, emptied, and agents that are killed: nothing joined twice, nothing lost that need
not be, and the agent goes on."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.config.label_store import label_store
from agent.errors import CorruptError, RetryableError
from agent.labels.redis import desk as desks
from agent.labels.redis.link import Link
from tests.labels.label_worlds import HOUR, NOW, Said, batch, joined, labels
from tests.labels.redis_worlds import Replica, Turned
from tests.redis_server import RedisServer

Joined = Counter[tuple[str, int, str]]


@dataclass
class Life:
    """A replica with its journal: what was told since a checkpoint is lost with a kill, and replayed."""

    replica: Replica
    frames: list[Callable[[int], Any]] = field(default_factory=list)
    saved: int = 0  # frames the checkpoint holds
    blob: bytes | None = None
    told: Joined = field(default_factory=Counter)
    kept: Joined = field(default_factory=Counter)  # of told, those the checkpoint holds

    def frame(self, work: Callable[[int], Any]) -> None:
        self.frames.append(work)
        work(len(self.frames))

    def settle(self) -> None:
        self.told += joined(self.replica.desk.settle())

    def checkpoint(self, whole: bool) -> None:
        """whole: not killed before what Redis may forget is known to be stored."""
        self.blob, _ = self.replica.desk.dump()
        if whole:
            self.replica.desk.written()
        self.saved, self.kept = len(self.frames), self.told.copy()

    def kill(self) -> None:
        self.told = self.kept.copy()
        self.replica.killed(self.blob)
        for offset, work in enumerate(self.frames[self.saved :], self.saved + 1):
            work(offset)


def _predict(replica: Replica, number: int, _: int) -> None:
    replica.predicted(batch([number], requests=[number]))


STEPS = st.lists(
    st.tuples(
        st.sampled_from("ab"),
        st.sampled_from(["predict", "label", "label", "request", "round", "round", "settle", "save", "saved", "kill"]),
        st.integers(0, 6),
    ),
    min_size=5,
    max_size=40,
)


@given(STEPS)
@settings(max_examples=40, deadline=None)
def test_kills_at_any_moment_join_each_prediction_once(server: RedisServer, steps: list[tuple[str, str, int]]) -> None:
    """Two replicas are killed between any two steps and replay their journals: over both, what their checkpoints hold
    and what they say after is each prediction that a label names, once."""
    server.ask("FLUSHALL")
    lives = {name: Life(Replica(server.url, name)) for name in "ab"}
    predicted, named = set[int](), set[int]()
    for name, step, number in steps:
        life = lives[name]
        replica = life.replica
        if step == "predict":
            predicted.add(number)
            life.frame(partial(_predict, replica, number))
        elif step in ("label", "request"):
            named.add(number)
            said = Said("yes", number) if step == "label" else Said("yes", request=number)
            life.frame(partial(replica.labelled, labels([said])))
        elif step == "round":
            replica.round()
        elif step == "settle":
            life.settle()
        elif step in ("save", "saved"):
            life.checkpoint(step == "saved")
        else:
            life.kill()
    for _ in range(3):
        for life in lives.values():
            life.replica.round()
            life.settle()
    found = sum((life.told for life in lives.values()), Counter())
    assert set(found.values()) <= {1}
    ids = {int(batch([n]).ids[0]) for n in predicted & named}  # type: ignore[index]
    assert {id_ for _, id_, _ in found} == ids
    for life in lives.values():
        assert life.replica.settled == life.replica.desk.kept.kinds["received"]
        life.replica.close()


class Forgetful(Link):
    """Asks, and loses the answer."""

    lose = 0

    def ask(self, *command: Any) -> Any:
        answer = super().ask(*command)
        if self.lose and command[0] in ("EVALSHA", "EVAL"):
            self.lose -= 1
            self._fail("timeout")
        return answer


def test_an_answer_that_is_lost_is_given_again(url: str) -> None:
    """Whichever answer is lost: rows are counted once, the label gets its own prediction, and only that."""
    for at in range(4):
        a, b = Replica(url, f"a{at}", model=f"m{at}"), Replica(url, f"b{at}", model=f"m{at}")
        for one in (a, b):
            one.link = one.desk.link = Forgetful(label_store(url), one.clock)
            one.link.lose = at
        a.predicted(batch([1, 2], requests=[1, 2]))
        a.round()
        b.labelled(labels([Said("yes", 1), Said("no", 1), Said("yes", request=2), Said("yes", 3)]))
        found = joined(b.settle())
        a.predicted(batch([3]))
        found += joined(a.settle())
        for _ in range(5):
            found += joined(a.settle()) + joined(b.settle())
        assert sorted(truth for _, _, truth in found.elements()) == ["yes"] * 3
        kinds = b.desk.kept.kinds
        assert (kinds["joined"] + kinds["early"], kinds["changed"]) == (3, 1)
        assert (b.desk.fleet.rows, b.desk.fleet.labelled) == (3, 3)


def test_redis_away_and_back(tmp_path: object) -> None:
    """Nothing raises, predictions and labels wait here, in checkpoints too, and go on when it is there again."""
    with RedisServer() as server:
        a = Replica(server.url)
        a.predicted(batch([1]))
        a.round()
        server.kill()
        a.predicted(batch([2]))
        a.labelled(labels([Said("yes", 1), Said("yes", 2)]))
        assert a.settle() == []
        assert a.link.reason == "connection"
        shown = a.desk.show()["store"]
        assert (shown["up"], shown["unwritten_predictions"]) == (False, 1)
        assert (a.desk.waits(), a.settled) == (2, 2)
        a.killed(a.checkpoint())
        assert a.settle() == []
        server.start()
        found = joined(a.settle())
        assert len(found) == 1  # Redis had been emptied: the other prediction is gone
        assert len(a.desk.pending) == 1
        assert a.desk.emptied == 1
        assert a.desk.show()["store"]["up"]
        assert a.settled == 2


def test_labels_that_waited_in_a_redis_that_was_emptied_are_put_there_again(url: str, server: RedisServer) -> None:
    """The replica that took a label still knows it."""
    a = Replica(url)
    a.labelled(labels([Said("yes", 1)]))
    a.settle()
    server.ask("FLUSHALL")
    a.settle()
    a.settle()
    a.predicted(batch([1]))
    assert list(joined(a.settle()).values()) == [1]
    a.settle()
    assert a.desk.kept.kinds["early"] == a.settled == 1


def test_an_end_leaves_nothing_behind_that_redis_would_take(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than one round takes, and the last of it few: another replica finds every prediction."""
    monkeypatch.setattr(desks, "ROWS_A_ROUND", 10)
    a, b = Replica(url), Replica(url, "b")
    a.predicted(batch(list(range(10))))
    a.predicted(batch([10, 11]))
    a.desk.finish(a.clock() + 2.0)
    b.labelled(labels([Said("yes", i) for i in range(12)]))
    assert len(joined(b.settle())) == 12


def test_an_end_asks_a_redis_that_just_failed_once_more() -> None:
    """The pause after a failure is not waited for, and not longer than the end has; away still, nothing is lost."""
    with RedisServer() as server:
        a, b = Replica(server.url), Replica(server.url, "b")
        server.kill()
        a.predicted(batch([1]))
        a.round()
        assert not a.link.ready()
        a.desk.finish(a.clock() + 2.0)
        assert a.desk.show()["store"]["unwritten_predictions"] == 1
        server.start()
        a.desk.finish(a.clock() + 2.0)
        b.labelled(labels([Said("yes", 1)]))
        assert len(joined(b.settle())) == 1


def test_a_redis_that_does_not_answer_is_left_alone_for_a_while(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One wait of a second, then a pause that grows; it is said once."""
    monkeypatch.setattr("agent.labels.redis.link.TIMEOUT_SECONDS", 1.0)
    with RedisServer() as server:
        a = Replica(server.url)
        a.predicted(batch([1]))
        a.round()
        server.pause()
        a.predicted(batch([2]))
        with caplog.at_level(logging.WARNING):
            a.round()
            a.round()
        assert a.link.reason == "timeout"
        assert a.link.errors["timeout"] == 2
        assert a.desk.job() is None
        assert sum("label_store_failed" in record.message for record in caplog.records) == 1
        server.resume()
        a.labelled(labels([Said("yes", 1), Said("yes", 2)]))
        assert len(joined(a.settle())) == 2
        assert a.link.reason == ""


@pytest.mark.parametrize(
    ("worse", "better", "reason"),
    [
        (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0"), "out_of_memory"),
        (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE"), "read_only"),
    ],
)
def test_a_redis_that_takes_nothing(worse: tuple[str, ...], better: tuple[str, ...], reason: str) -> None:
    """Full without eviction, or a replica: said by name, kept here, and caught up with."""
    with RedisServer() as server:
        a = Replica(server.url)
        a.predicted(batch([1]))
        a.round()
        server.ask(*worse)
        a.predicted(batch([2]))
        a.labelled(labels([Said("yes", 1), Said("yes", 2)]))
        assert a.settle() == []
        assert a.link.reason == reason
        assert a.desk.waits() == 2
        server.ask(*better)
        assert len(joined(a.settle())) == 2


def test_keys_that_are_evicted_cost_themselves(url: str, server: RedisServer) -> None:
    """A prediction whose key is gone is one that never was; one whose names are gone is lost and counted."""
    a = Replica(url)
    a.predicted(batch([1, 2]))
    a.round()
    a.predicted(batch([3]))
    a.round()
    assert server.ask("DEL", *[key for key in server.keys("sl:*") if key.rsplit(b"}", 1)[1][:1] == b"p"][:1]) == 1
    b = Replica(url, "b")
    b.labelled(labels([Said("yes", i) for i in (1, 2, 3)]))
    found = joined(b.settle())
    assert (len(found), len(b.desk.pending)) == (2, 1)
    a.predicted(batch([4]))
    a.round()
    server.ask("DEL", *[key for key in server.keys("sl:*") if key.rsplit(b"}", 1)[1][:1] == b"h"])
    c = Replica(url, "c")
    c.labelled(labels([Said("yes", 4)]))
    assert c.settle() == []
    assert (c.desk.kept.kinds["joined"], c.desk.corrupt) == (1, 1)


def test_what_does_not_fit_while_redis_is_away_is_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounded here, in predictions and in labels; every label is still of one kind, dropped, or waits."""
    monkeypatch.setattr(desks, "CHUNK_BYTES", 5_000)
    monkeypatch.setattr(desks, "LABELS_MAX", 25)
    with RedisServer() as server:
        a = Replica(server.url)
        server.kill()
        for begin in range(0, 100, 10):
            a.predicted(batch(list(range(begin, begin + 10))))
            a.labelled(labels([Said("yes", i) for i in range(begin, begin + 10)]))
            assert a.settle() == []
        dropped = a.desk.dropped
        assert (dropped["labels"], a.desk.waits(), a.settled) == (75, 25, 100)
        waiting = sum(one.rows for one in a.desk.chunks)
        assert 0 < waiting < 100
        assert dropped["predictions"] == 100 - waiting
        server.start()
        assert len(joined(a.settle())) == 25
        told = {p.metric.name + str(p.attributes.get("sidelight.store.rows", "")): p.value for p in a.desk.points()}
        assert told["sidelight.label.store.droppedlabels"] == 75
        assert told["sidelight.label.store.droppedpredictions"] == dropped["predictions"]


def test_a_password_that_is_wrong_is_told_without_it(caplog: pytest.LogCaptureFixture) -> None:
    """Neither log nor status nor points hold the secret; the right one works."""
    with RedisServer("--requirepass", "s3cret word") as server:
        where = f"redis://:wr0ng@127.0.0.1:{server.port}/0"
        a = Replica(where)
        a.predicted(batch([1]))
        with caplog.at_level(logging.DEBUG):
            a.round()
        assert a.link.reason == "refused"
        said = repr((a.desk.show(), list(a.desk.points()), [record.getMessage() for record in caplog.records]))
        assert "wr0ng" not in said
        assert f"127.0.0.1:{server.port}" in said
        b = Replica(f"redis://:s3cret%20word@127.0.0.1:{server.port}/0", "b")
        b.predicted(batch([1]))
        b.labelled(labels([Said("yes", 1)]))
        assert len(joined(b.settle())) == 1


def test_a_user_of_few_rights_is_enough() -> None:
    """Keys of the agent's own prefix, and the commands that docs/deploy.md names; other keys are closed to it."""
    with RedisServer() as server:
        page = (Path(__file__).parents[2] / "docs" / "deploy.md").read_text()
        rule = re.search(r"`(ACL SETUSER sidelight .*?)`", page)
        assert rule is not None
        server.ask(*rule[1].replace("PASSWORD", "word").split())
        a = Replica(f"redis://sidelight:word@127.0.0.1:{server.port}/0")
        a.predicted(batch([1, 2], requests=[1, 2]))
        a.labelled(labels([Said("yes", 1), Said("yes", request=2), Said("yes", 3)]))
        assert len(joined(a.settle())) == 2
        a.checkpoint()
        a.settle()
        assert a.link.errors == Counter()
        with pytest.raises(RetryableError, match="refused"):
            a.link.ask("GET", "other")


def test_times_of_any_window_do_not_fill_redis(url: str, server: RedisServer) -> None:
    """A sender may say any time: coverage is told of the newest windows, and few are remembered."""
    a = Replica(url)
    times = NOW - np.arange(6_000) * HOUR
    a.predicted(replace(batch(list(range(6_000))), time_ns=times))
    a.round()
    a.round()
    assert a.link.errors == Counter()
    key = next(key for key in server.keys("sl:*") if key.endswith(b"}w"))
    assert server.ask("HLEN", key) < 60
    a.labelled(labels([Said("yes", i) for i in range(6_000)]))
    assert len(joined(a.settle())) == 6_000


def test_nothing_is_stored_where_nothing_happens(url: str) -> None:
    """Rounds that only ask how things stand make no checkpoint necessary."""
    a = Replica(url)
    a.predicted(batch([1]))
    a.labelled(labels([Said("yes", 1), Said("yes", 2)]))
    a.settle()
    a.checkpoint()
    a.round()
    a.checkpoint()
    revision = a.desk.revision
    for _ in range(5):
        a.round()
        assert a.desk.settle() == []
        a.checkpoint()
    assert a.desk.revision == revision


def test_a_label_whose_time_passed_while_redis_was_away_is_unknown() -> None:
    """It does not wait for a prediction once more."""
    with RedisServer() as server:
        a = Replica(server.url)
        server.kill()
        a.labelled(labels([Said("yes", 1)]))
        a.round()
        server.start()
        a.desk.expire(NOW + 2 * HOUR)
        a.settle()
        assert (a.desk.kept.kinds["unknown"], len(a.desk.pending), a.settled) == (1, 0, 1)


@given(st.binary(max_size=200), st.integers(0, 400))
@settings(max_examples=60, deadline=None)
def test_a_state_that_makes_no_sense_is_refused(server: RedisServer, noise: bytes, at: int) -> None:
    """A checkpoint that was cut or written over is CorruptError or a state, never anything else."""
    a = Replica(server.url)
    a.predicted(batch([1, 2]))
    a.labelled(labels([Said("yes", 1)]))
    blob = a.checkpoint()
    for changed in (noise, blob[:at], blob[:at] + noise + blob[at + len(noise) :]):
        try:
            a.killed(changed)
        except CorruptError:
            continue
    a.close()


def test_the_pause_after_failures_grows_and_ends() -> None:
    """A quarter of a second at first, fifteen seconds at most, none after an answer."""
    clock = Turned()
    link = Link(label_store("redis://127.0.0.1:1/0"), clock)
    pauses = []
    for _ in range(10):
        with pytest.raises(Exception, match="connection"):
            link.ask("PING")
        began = clock.now
        while not link.ready():
            clock.now += 0.25
        pauses.append(clock.now - began)
    assert pauses[:3] == [0.25, 0.5, 1.0]
    assert pauses[-1] == 15.0

"""All that follow a version, together: nothing that comes can stop them, nor one of them the others."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from agent.bins import Layout
from agent.checkpoint.plan import Checkpoint, Plan
from agent.config import Settings
from agent.config.disparity_limits import disparity_limits
from agent.followers import Followers, weighed
from agent.following import About
from agent.ledger import RUNNING, Dial, Ledger
from agent.performance.follower import Performance
from agent.records import Batch, Columns, Floats, Items, ModelKey, Numbers, Pairs, Task, Texts
from agent.shadow.shadow import Shadow
from agent.telemetry import FOLLOWER_FAILURES, Point

MODEL = ModelKey("loans", "1")
HOUR_NS = 3600 * 10**9
START = 480_000
ROWS = 200
TASKS = [Task.BINARY, Task.MULTICLASS, Task.REGRESSION, Task.RANKING, Task.UNKNOWN]


def _about(task: Task, **more: Any) -> About:
    limit = disparity_limits("demographic_parity_difference>0.1")
    settings = Settings(fairness=("gender",), fairness_limit=limit, segments=("region",))
    ledger = Ledger.of(Dial(0.05), Layout(()), 3600.0, (*RUNNING, "performance", "concept_drift", "fairness"))
    positive = "yes" if task is Task.BINARY else ""
    return replace(About(MODEL, settings, ledger, HOUR_NS, None, task, positive), **more)


def _batch(rng: np.random.Generator, **more: Any) -> Batch:
    outputs = Columns(
        numbers={"score": Numbers(rng.random(ROWS))},
        texts={"prediction": Texts(("no", "yes"), rng.integers(0, 2, ROWS).astype(np.int32))},
    )
    gender = Texts(("f", "m"), rng.integers(0, 2, ROWS).astype(np.int32))
    return Batch(MODEL, ROWS, 0, Columns(), outputs, protected={"gender": gender}, **more)


def _pairs(rng: np.random.Generator, **more: Any) -> Pairs:
    def codes(size: int) -> Any:
        return rng.integers(0, size, ROWS).astype(np.int32)

    ids = np.arange(1, ROWS + 1, dtype=np.uint64)
    whole = Pairs(
        MODEL, ROWS, ids, ids, np.full(ROWS, START * HOUR_NS), np.full(ROWS, START * HOUR_NS), rng.normal(size=ROWS),
        rng.normal(size=ROWS), codes(2), codes(2), ("no", "yes"), rng.random((ROWS, 1)), ("",), np.ones(ROWS),
        {"region": codes(3)}, {"gender": codes(2)}, ("north", "south", "west"), codes(5) + np.int32(1),
    )  # fmt: skip
    return replace(whole, **more)


def _one(value: float, usual: Floats) -> Floats:
    found = usual.copy()
    found.flat[3] = value
    return found


def _hostile(rng: np.random.Generator) -> Iterator[tuple[str, Batch, Pairs]]:
    for value in (0.0, -1.0, 5e-324, 1e-200, 1e155, 1e300, math.inf, -math.inf, math.nan):
        for kind, weights in (("one", _one(value, np.ones(ROWS))), ("all", np.full(ROWS, value))):
            yield f"{kind} weight {value}", _batch(rng, weights=weights), _pairs(rng, weights=weights)
    for value in (0.0, 5e-324, 2.0, -5.0, 1e77, 1e160, 1e300, -1e300, math.inf, -math.inf, math.nan):
        usual = rng.normal(size=ROWS)
        scores = {"scores": _one(value, rng.random((ROWS, 1)))}
        outputs = Columns(numbers={"prediction": Numbers(_one(value, usual)), "score": Numbers(_one(value, usual))})
        numbered = replace(_batch(rng), outputs=outputs)
        yield f"predicted {value}", numbered, _pairs(rng, predicted=_one(value, usual), **scores)
        yield f"true {value}", numbered, _pairs(rng, actual=_one(value, usual), **scores)
        yield f"both {value}", numbered, _pairs(rng, actual=_one(value, usual), predicted=_one(-value, usual))
    none = np.full(ROWS, -1, np.int32)
    odd: list[dict[str, Any]] = [
        {"actual_class": none}, {"predicted_class": none}, {"classes": ("a", "b")}, {"position": None},
        {"scores": np.zeros((ROWS, 0)), "score_names": ()}, {"segments": {}, "groups": {}},
        {"segments": {"region": none}, "groups": {"gender": none}}, {"actual": np.full(ROWS, np.nan)},
        {"time_ns": np.zeros(ROWS, np.int64)}, {"time_ns": np.full(ROWS, (1 << 63) - 1)},
        {"actual_class": np.zeros(ROWS, np.int32)}, {"actual": np.zeros(ROWS)},
    ]  # fmt: skip
    for given in odd:
        yield f"{sorted(given)}", _batch(rng), _pairs(rng, **given)
    many = tuple(str(k) for k in range(20_000))
    places = np.arange(ROWS, dtype=np.int32) * np.int32(97)
    yield "many classes, segments and groups", _batch(rng), _pairs(
        rng, classes=many, names=many, actual_class=places, segments={"region": places}, groups={"gender": places}
    )
    items = Items(np.full(ROWS, 1, np.int32), np.arange(ROWS, dtype=np.uint64), places, np.full(ROWS, np.inf))
    yield "items", _batch(rng, items=items), _pairs(rng, position=places - np.int32(5))


@pytest.mark.parametrize("task", TASKS)
def test_nothing_that_comes_stops_a_follower(task: Task, caplog: pytest.LogCaptureFixture) -> None:
    """No warning of numpy, no failure, only numbers in what leaves, and the state can be read again."""
    rng = np.random.default_rng(1)
    stumbled: list[tuple[str, list[str]]] = []
    with caplog.at_level(logging.WARNING), warnings.catch_warnings():
        warnings.simplefilter("error")
        for what, batch, pairs in _hostile(rng):
            followers = Followers()
            followers.prepare(_about(task))
            for k in range(2):
                followers.predicted(batch, START + k)
                followers.labelled(pairs, START + k)
                for _ in followers.close(START + k, (), (START + k + 1) * HOUR_NS):
                    pass
            points = [point.value for point in followers.points() if isinstance(point.value, float)]
            followers.show()
            again = Followers()
            again.prepare(_about(task))
            again.load(followers.dump().get)
            if caplog.records or not all(math.isfinite(value) for value in points):
                stumbled.append((what, [r.getMessage() for r in caplog.records]))
            caplog.clear()
    assert stumbled == []


def test_segments_that_nobody_chose_leave_by_no_name() -> None:
    """Senders send whatever they have: only SIDELIGHT_SEGMENTS is counted apart, by any of them."""
    rng, followers = np.random.default_rng(4), Followers()
    shared = Followers.shared()
    for these in (followers, shared):
        these.prepare(_about(Task.BINARY))
    secret = ("secret 1", "secret 2", "secret 3")
    told = ""
    for k in range(20):
        pairs = _pairs(rng, names=secret, label_ns=np.full(ROWS, (START + k) * HOUR_NS))
        pairs = replace(pairs, segments={"patient": pairs.segments["region"]}, groups={})
        for these in (followers, shared):
            these.labelled(pairs, START + k)
            told += "".join(str(found) for found in these.close(START + k, (), 0))
            told += "".join(str(point) for point in these.points()) + str(these.events())
            told += str(these.show())
    assert "predictions made" in told
    assert "secret" not in told


class _Failing(Performance):
    """One that fails whatever it is asked."""

    def prepare(self, about: About) -> None:
        raise IndexError("prepare")

    def points(self) -> Iterator[Point]:
        raise IndexError("points")
        yield

    def events(self) -> list[Any]:
        raise IndexError("events")

    def show(self) -> dict[str, Any]:
        raise IndexError("show")

    def dump(self) -> bytes:
        raise IndexError("dump")

    def load(self, stored: bytes) -> None:
        raise IndexError("load")


def test_one_that_fails_keeps_nobody_from_anything(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged without what it says, and counted; the others are told, asked, stored and loaded all the same."""
    rng, other = np.random.default_rng(2), Performance()
    followers = Followers((_Failing(), other))
    followers.prepare(_about(Task.BINARY))
    followers.labelled(_pairs(rng), START)
    assert list(followers.close(START, (), 0))
    *told, _ = followers.points()
    assert told == list(other.points()) != []
    assert followers.show() == {"performance": other.show()}
    assert followers.events() == []
    assert followers.dump()["performance"] == other.dump()
    assert followers.load({"performance": other.dump()}.get) == 1  # the first of that name
    steps = {str(r.args[1]) for r in caplog.records if isinstance(r.args, tuple)}
    assert {"prepare", "points", "events", "show", "dump"} <= steps
    assert [p.value for p in followers.points() if p.metric is FOLLOWER_FAILURES] == [sum(followers.failures.values())]


class _Telling(Performance):
    """One whose errors hold what a record held."""

    def predicted(self, batch: Batch, index: int) -> None:
        float("a secret")


def test_one_that_fails_with_every_batch_fills_no_log(caplog: pytest.LogCaptureFixture) -> None:
    """At the first, second, fourth … time it is said, with the place and without values; the metric has them all."""
    followers = Followers((_Telling(),))
    followers.prepare(_about(Task.BINARY))
    for _ in range(100):
        followers.predicted(_batch(np.random.default_rng(2)), START)
    assert len(caplog.records) == 7
    assert "secret" not in caplog.text
    assert "error=ValueError at=" in caplog.text
    (point,) = (point for point in followers.points() if point.metric is FOLLOWER_FAILURES)
    assert (point.value, point.attributes) == (100, {**MODEL.attributes(), "sidelight.follower": "performance"})


def test_weights_that_are_none_count_as_one() -> None:
    """NaN, zero, infinite or negative; others are held within what can be squared; sound ones are not touched."""
    sound = np.array([0.5, 3.0])
    assert weighed(sound) is sound
    assert weighed(np.array([math.nan, 0.0, -2.0, math.inf, 1e300, 1e-300])).tolist() == [1, 1, 1, 1, 1e9, 1e-9]


def test_only_what_changed_is_written_again() -> None:
    """Predictions change the fairness of a binary model, not its performance; after a failure all is written."""
    rng, known, followers = np.random.default_rng(3), Checkpoint(), Followers()
    followers.prepare(_about(Task.BINARY))
    followers.labelled(_pairs(rng), START)

    def written() -> set[str]:
        plan = Plan()
        known.collect_followers(MODEL, followers, plan)
        return {key.rpartition("/")[2] for key, _ in plan.puts}

    everything = written()
    assert {"performance", "fairness", "windows"} <= everything
    assert written() == set()
    followers.predicted(_batch(rng), START)
    assert "fairness" in written()
    followers.predicted(_batch(rng), START)
    assert "performance" not in written()
    known.failed()
    assert written() == everything


def test_windows_of_another_length_begin_anew(caplog: pytest.LogCaptureFixture) -> None:
    """Labels of a state whose windows had higher indices are counted in the first that ends, not in one to come."""
    rng, before, after = np.random.default_rng(6), Followers(), Followers()
    before.prepare(_about(Task.BINARY))
    before.labelled(_pairs(rng), START)
    for _ in before.close(START, [], (START + 1) * HOUR_NS):
        pass
    assert after.load(before.dump().get, 2 * HOUR_NS, "model='loans'") == 0
    assert "followed_anew model='loans' window_seconds=7200 before=3600" in caplog.text
    after.prepare(_about(Task.BINARY, window_ns=2 * HOUR_NS))
    index = START // 2 + 1
    after.labelled(_pairs(rng), index)
    assert after.due(index + 1) == [index]
    for _ in after.close(index, [], (index + 1) * 2 * HOUR_NS):
        pass
    assert after.show()["performance"]["horizons"]["total"]["labels"] == ROWS
    again = Followers()
    assert again.load(after.dump().get, 2 * HOUR_NS) == 0
    again.prepare(_about(Task.BINARY, window_ns=2 * HOUR_NS))
    assert again.show()["performance"]["horizons"]["total"]["labels"] == ROWS


def test_versions_whose_windows_differ_in_length_are_looked_at_together() -> None:
    """One of half hours stops answering; windows of whole hours, with half their indices, do not wait for it."""
    rng, shared = np.random.default_rng(7), Followers.shared()
    (shadow,) = shared.members
    assert isinstance(shadow, Shadow)
    short = replace(MODEL, version="2")
    for about in (_about(Task.BINARY), _about(Task.BINARY, key=short, window_ns=HOUR_NS // 2)):
        shared.prepare(replace(about, others=tuple({MODEL, short} - {about.key})))
    for half in range(2 * START, 2 * START + 4):
        shared.predicted(replace(_batch(rng), model=short), half)
        shared.labelled(_pairs(rng, model=short), half)
        for _ in shared.close(half, [], (half + 1) * HOUR_NS // 2):
            pass
    assert (shadow.state.closed, shared.labelled_in) == (START + 1, set())
    shared.labelled(_pairs(rng), START + 2)
    for _ in shared.close(START + 2, [], (START + 3) * HOUR_NS):
        pass
    assert (shadow.state.closed, shared.labelled_in) == (START + 2, set())
    other = Followers.shared()
    assert other.load(shared.dump().get, HOUR_NS // 2) == 0
    assert (other.window_ns, other.closed_below) == (HOUR_NS, START + 3)

"""Versions beside each other: who is compared with whom, what is held, what is said."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Literal

import numpy as np
import pytest

from agent.config import Settings
from agent.errors import CorruptError
from agent.records import Columns, Event, ModelKey, Numbers, Role, Task
from agent.shadow.shadow import Shadow
from tests.shadow.beside import (
    CHALLENGER,
    CHAMPION,
    HOUR_NS,
    START,
    batch,
    classed,
    pairs,
    prepare,
    requests,
    shadow,
)

CANARY = ModelKey("eta", "3")


def close(made: Shadow, window: int) -> list[Event]:
    made.close(window, (), (window + 1) * HOUR_NS)
    return made.events()


def truth(made: Shadow, hours: int, worse: float, seed: int = 0, apart: bool = False, rows: int = 40) -> list[Event]:
    """Labels alone: absolute errors of the champion larger by the share `worse`. apart: of different requests."""
    rng, found = np.random.default_rng(seed), []
    for hour in range(hours):
        window, ids = START + hour, requests(2 * hour * rows, 2 * rows)
        own, theirs = (ids[:rows], ids[rows:]) if apart else (ids[:rows], ids[:rows])
        zero = np.zeros(rows)
        made.labelled(pairs(CHAMPION, own, (1.0 + worse) * rng.gamma(4.0, 0.25, rows), zero, window), window)
        made.labelled(pairs(CHALLENGER, theirs, rng.gamma(4.0, 0.25, rows), zero, window), window)
        found += close(made, window)
    return found


def test_classes_agree_by_their_text() -> None:
    """Whatever the order of the dictionaries; rows whose request only one answered are not compared."""
    made, ids = shadow(task=Task.BINARY), requests(0, 6)
    made.predicted(batch(CHAMPION, ids[:5], ["a", "b", "c", "a", "b"]), START)
    made.predicted(batch(CHALLENGER, ids[1:], ["b", "c", "c", "b", "d"]), START)
    close(made, START)
    held = made.state.compared[0, 1].newest
    assert (held.pairs, held.same) == (4, 3)


def test_a_request_is_compared_once_whoever_answers_first() -> None:
    """The shadow may be the faster one; differences are challenger less champion all the same."""
    made, ids = shadow(), requests(0, 100)
    made.predicted(batch(CHALLENGER, ids, np.full(100, 3.0)), START)
    made.predicted(batch(CHAMPION, ids, np.full(100, 1.0)), START)
    close(made, START)
    ((_, _, held, swapped),) = made.state.challenges()
    assert 95 <= held.newest.pairs <= 100  # two requests may have the same place in the table
    assert held.newest.values(swapped)["mean"] == pytest.approx(2.0)


def test_cost_and_tokens_are_compared() -> None:
    """Measures named so; tokens are also what ends in _tokens, added up."""
    made, ids = shadow(), requests(0, 10)
    tokens = {"prompt_tokens": np.full(10, 100.0), "completion_tokens": np.full(10, 50.0)}
    made.predicted(batch(CHAMPION, ids, np.ones(10), measures={"cost": np.full(10, 0.02), **tokens}), START)
    made.predicted(
        batch(CHALLENGER, ids, np.ones(10), measures={"cost": np.full(10, 0.005), "tokens": np.full(10, 120.0)}), START
    )
    close(made, START)
    found = {point.attributes.get("sidelight.measure"): point.value for point in made.points()}
    assert found["cost"] == pytest.approx(-0.015, rel=1e-5)
    assert found["tokens"] == pytest.approx(-30.0)


def test_ids_that_stand_twice_in_a_batch_are_left_out() -> None:
    """Nobody can say which of two answers to one request belongs to which."""
    made, ids = shadow(), requests(0, 4)
    twice = np.concatenate((ids, ids[:1]))
    made.predicted(batch(CHAMPION, twice, np.zeros(5)), START)
    made.predicted(batch(CHALLENGER, ids, np.zeros(4)), START)
    close(made, START)
    assert made.state.compared[0, 1].newest.pairs == 3


def test_one_version_alone_holds_nothing() -> None:
    """The usual case costs no memory and shows nothing."""
    made = shadow(keys=(CHAMPION,))
    made.predicted(batch(CHAMPION, requests(0, 1_000), np.zeros(1_000)), START)
    close(made, START)
    assert not made.state.answers.held
    assert made.show() == {}
    assert list(made.points()) == []


def test_the_champion_is_the_primary_with_most_traffic() -> None:
    """A shadow never is; a canary becomes it when it has clearly more, and even halves change nothing."""
    made = shadow(keys=(CHAMPION, CANARY, CHALLENGER))

    def hours(rows: int, canary: int, count: int) -> str:
        for _ in range(count):
            window = made.state.closed + 1 if made.state.closed >= 0 else START
            for key, some in ((CHAMPION, rows), (CANARY, canary), (CHALLENGER, 1_000)):
                made.predicted(batch(key, requests(0, some), np.zeros(some), window), window)
            close(made, window)
        assert made.state.champions
        return made.state.champions[""].key.version

    assert hours(95, 5, 3) == "1"
    assert hours(50, 55, 40) == "1"
    assert hours(5, 95, 20) == "3"


def test_only_shadows_are_not_compared_and_say_so() -> None:
    """Nothing to promote against."""
    made = shadow(keys=(CHALLENGER, replace(CHALLENGER, version="4")))
    close(made, START)
    assert "nothing to compare with" in made.show()["note"]


def test_labels_of_the_same_requests_decide() -> None:
    """Also where they reach the two versions days apart, by prediction id."""
    made, rng = shadow(), np.random.default_rng(3)
    waiting, found = [], []
    for hour in range(120):
        window, ids = START + hour, requests(hour * 40, 40)
        made.labelled(pairs(CHAMPION, ids, 1.4 * rng.gamma(4.0, 0.25, 40), np.zeros(40), window), window)
        waiting.append(ids)
        if hour >= 48:
            late = waiting.pop(0)
            made.labelled(pairs(CHALLENGER, late, rng.gamma(4.0, 0.25, 40), np.zeros(40), window), window)
        found += close(made, window)
    assert [event.attributes["sidelight.decision"] for event in found] == ["promote"]
    assert made.show()["decisions"]["2"]["paired"]


def test_without_common_requests_versions_are_compared_one_beside_the_other() -> None:
    """A canary answers requests of its own: the same decision, with the caveat that chance must have dealt them out."""
    made = shadow()
    (event,) = truth(made, 120, 0.4, apart=True)
    assert event.attributes["sidelight.decision"] == "promote"
    assert event.attributes["sidelight.shadow.paired"] is False
    assert "only where chance decides" in made.show()["note"]


def test_a_decision_is_told_once_and_again_when_it_turns() -> None:
    """Better at first, and worse since: what was before the first decision does not outvote what came after."""
    made = shadow()
    assert [event.attributes["sidelight.decision"] for event in truth(made, 60, 0.5)] == ["promote"]
    before, rng, found = made.state.closed, np.random.default_rng(9), []
    for hour in range(1, 160):
        window, ids = before + hour, requests(10**6 + hour * 40, 40)
        made.labelled(pairs(CHAMPION, ids, rng.gamma(4.0, 0.25, 40), np.zeros(40), window), window)
        made.labelled(pairs(CHALLENGER, ids, 2.0 * rng.gamma(4.0, 0.25, 40), np.zeros(40), window), window)
        found += close(made, window)
        assert made.show()["decisions"]["2"]["decision"] in ("promote", "keep")  # the first stands until the second
    assert [event.attributes["sidelight.decision"] for event in found] == ["keep"]
    assert len({event.key for event in found}) == 1


def test_classes_are_compared_by_their_error_rate() -> None:
    """Three errors less in a hundred, found over some hundred labels an hour."""
    made, rng, found = shadow(task=Task.BINARY), np.random.default_rng(4), []
    for hour in range(100):
        window, ids, true = START + hour, requests(hour * 100, 100), rng.integers(0, 2, 100)
        for key, rate in ((CHAMPION, 0.12), (CHALLENGER, 0.08)):
            said = np.where(rng.random(100) < rate, 1 - true, true)
            made.labelled(classed(key, ids, said, true, window), window)
        found += close(made, window)
    assert [event.attributes["sidelight.decision"] for event in found] == ["promote"]
    assert "error rate" in found[0].body


def test_scores_are_compared_where_asked() -> None:
    """Brier scores: the same classes with better probabilities win."""
    made, rng = shadow(Settings(shadow_loss="brier"), Task.BINARY), np.random.default_rng(5)
    found = []
    for hour in range(60):
        window, ids = START + hour, requests(hour * 100, 100)
        chance = rng.random(100)
        true = (rng.random(100) < chance).astype(int)
        for key, score in ((CHAMPION, 0.5 + 0.5 * (chance - 0.5)), (CHALLENGER, chance)):
            made.labelled(classed(key, ids, (score > 0.5).astype(int), true, window, score), window)
        found += close(made, window)
    assert [event.attributes["sidelight.decision"] for event in found] == ["promote"]


def test_segments_show_where_the_difference_lies() -> None:
    """One region in which the challenger is worse, though better on the whole."""
    made, rng = shadow(), np.random.default_rng(6)
    for hour in range(30):
        window, ids = START + hour, requests(hour * 100, 100)
        places = rng.integers(0, 2, 100).astype(np.int32)
        some = {"region": places}
        old, new = rng.gamma(4.0, 0.25, 100), rng.gamma(4.0, 0.2, 100) * np.where(places == 1, 2.0, 0.5)
        made.labelled(pairs(CHAMPION, ids, old, np.zeros(100), window, None, some, ("north", "south")), window)
        made.labelled(pairs(CHALLENGER, ids, new, np.zeros(100), window, None, some, ("north", "south")), window)
        close(made, window)
    lines = {line["name"]: line["value"] for line in made.show()["lines"]}
    assert lines["version 2 (shadow): better by in region=south"] < 0.0
    assert lines["version 2 (shadow): better by in region=north"] > 0.0


def test_weights_count() -> None:
    """A label of weight three counts like three; its loss is the weighted mean's."""
    made, ids = shadow(), requests(0, 2)
    weights = np.array([3.0, 1.0])
    made.labelled(pairs(CHAMPION, ids, np.array([1.0, 5.0]), np.zeros(2), weights=weights), START)
    made.labelled(pairs(CHALLENGER, ids, np.array([2.0, 2.0]), np.zeros(2), weights=weights), START)
    assert made.state.compared[0, 1].sums.means() == pytest.approx([2.0, 2.0])


def test_rankings_are_not_compared_and_nothing_breaks() -> None:
    """The rows of one list share their request."""
    made = shadow(task=Task.RANKING)
    truth(made, 2, 0.5)
    assert made.show()["note"].startswith("not yet")


def test_a_fifth_version_takes_the_place_of_the_one_longest_silent() -> None:
    """Four are held, and what is held of the one that goes is freed."""
    made = shadow()
    for number in range(2, 8):
        key = ModelKey("eta", str(number), Role.SHADOW)
        prepare(made, key, Settings(), Task.REGRESSION, (CHAMPION,))
        window = START + number
        for who in (CHAMPION, key):
            made.predicted(batch(who, requests(number * 50, 50), np.zeros(50), window), window)
        close(made, window)
    assert [version.key.version for version in made.state.versions] == ["1", "5", "6", "7"]
    made.dump()
    assert set(made.state.answers.held) <= {version.place for version in made.state.versions}
    assert all(set(places) <= {version.place for version in made.state.versions} for places in made.state.compared)


def test_tenants_are_not_compared_with_each_other() -> None:
    """Two tenants that use one model's name, and request ids that happen to be the same: each has its champion."""
    keys = [ModelKey("eta", version, tenant=tenant) for tenant in ("north", "south") for version in ("1", "2")]
    made = shadow(keys=keys)
    for number in range(3):
        window = START + number
        for size, key in zip((60, 40, 20, 50), keys, strict=True):
            made.predicted(batch(key, requests(number * 60, size), np.full(size, len(key.tenant)), window), window)
        close(made, window)
    told = [(champion.key, challenger.key.version) for champion, challenger, *_ in made.state.challenges()]
    assert told == [(keys[0], "2"), (keys[3], "1")]
    tenants = {version.place: version.key.tenant for version in made.state.versions}
    assert sorted([tenants[a], tenants[b]] for a, b in made.state.compared) == [["north", "north"], ["south", "south"]]
    assert made.show()["title"] == "Versions beside each other"
    assert {line["name"].partition(":")[0] for line in made.show()["lines"]} == {
        "version 2 of north", "version 1 of south",
    }  # fmt: skip
    after = shadow(keys=keys)
    after.load(made.dump())
    assert [(champion.key, challenger.key.version) for champion, challenger, *_ in after.state.challenges()] == told


@pytest.mark.parametrize("name", ["more", "anymore: latency more", "", "agreement"])
def test_a_version_of_any_name_is_shown(name: str) -> None:
    """Differences, latency and cost, whatever the version is called."""
    key = ModelKey("eta", name, Role.SHADOW)
    made, ids = shadow(keys=(CHAMPION, key)), requests(0, 50)
    for who in (CHAMPION, key):
        made.predicted(batch(who, ids, np.arange(50.0), START, np.ones(50), {"cost": np.ones(50)}), START)
    close(made, START)
    lines = {line["name"].removeprefix(f"version {name or 'without a name'} (shadow): "): line for line in
             made.show()["lines"]}  # fmt: skip
    assert "sd 0" in lines["difference"]["note"]
    assert {"agreement", "latency more", "cost more a request"} <= set(lines)


@pytest.mark.parametrize("loss", ["auto", "brier", "squared"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e300, -1e300, 5e-324])
def test_values_of_any_size_stop_nothing(value: float, loss: Literal["auto", "brier", "squared"]) -> None:
    """In answers, scores, latency, cost, truths: only numbers leave, and the state can be read again."""
    made = shadow(Settings(shadow_loss=loss))
    for number in range(3):
        window, ids = START + number, requests(number * 30, 30)
        for sign, who in ((1.0, CHAMPION), (-1.0, CHALLENGER)):
            odd = np.where(np.arange(30) % 3 == 0, sign * value, 0.5)
            sent = batch(who, ids, odd, window, odd, {"cost": odd, "a_tokens": odd, "b_tokens": odd})
            outputs = Columns(numbers={"score": Numbers(odd)})
            made.predicted(sent if number < 2 else replace(sent, outputs=outputs), window)
            made.labelled(pairs(who, ids, odd, -odd, window), window)
            made.labelled(classed(who, ids, np.arange(30) % 2, np.arange(30) % 2, window, odd), window)
        close(made, window)
    assert all(isinstance(point.value, int | float) and math.isfinite(point.value) for point in made.points())
    made.show()
    shadow().load(made.dump())


@pytest.mark.parametrize("change", [
    {"loss": "hinge"}, {"champions": [7]}, {"places": 0}, {"closed": float("inf")}, {"versions": []},
])  # fmt: skip
def test_a_state_that_nothing_could_be_compared_by_is_corrupt(change: dict[str, object]) -> None:
    """It would fail at every window's end, or when it is shown."""
    made = shadow()
    truth(made, 3, 0.1)
    head, _, rest = made.dump().partition(b"\n")
    with pytest.raises(CorruptError):
        shadow().load(json.dumps(json.loads(head) | change).encode() + b"\n" + rest)
    with pytest.raises(CorruptError):
        shadow().load(made.dump() + b"\0")


@pytest.mark.parametrize("at", [1, 7, 30, 55])
def test_a_restart_changes_nothing(at: int) -> None:
    """Dumped and loaded after any window, the rest of the story is the same, byte for byte."""
    whole, before = shadow(), shadow()

    def hour(made: Shadow, number: int) -> list[Event]:
        rng, window, ids = np.random.default_rng(number), START + number, requests(number * 30, 60)
        made.predicted(batch(CHAMPION, ids, rng.normal(size=60), window), window)
        made.predicted(batch(CHALLENGER, ids[:50], rng.normal(size=50), window), window)
        made.labelled(pairs(CHAMPION, ids, 1.3 * rng.gamma(4.0, 0.25, 60), np.zeros(60), window), window)
        made.labelled(pairs(CHALLENGER, ids[:50], rng.gamma(4.0, 0.25, 50), np.zeros(50), window), window)
        return close(made, window)

    expected = [event for number in range(70) for event in hour(whole, number)]
    found = [event for number in range(at) for event in hour(before, number)]
    after = shadow()
    after.load(before.dump())
    found += [event for number in range(at, 70) for event in hour(after, number)]
    assert expected
    assert found == expected
    assert after.dump() == whole.dump()
    assert after.show() == whole.show()


@pytest.mark.parametrize("blob", [b"", b"{}", b"[]\n", b'{"form": 9}\n', b"\xff"])
def test_other_bytes_are_corrupt(blob: bytes) -> None:
    """And the follower is as new."""
    made = shadow()
    with pytest.raises(CorruptError):
        made.load(blob)
    assert made.state.versions == []


def test_a_state_that_was_cut_off_is_corrupt() -> None:
    """Every shorter form of it."""
    made = shadow()
    truth(made, 3, 0.1)
    whole = made.dump()
    for length in range(0, len(whole) - 1, 997):
        with pytest.raises(CorruptError):
            shadow().load(whole[:length])


def test_what_is_held_is_bounded() -> None:
    """Four versions, requests without end that never meet, many segments: under 4 MiB, and a checkpoint little more."""
    keys = (CHAMPION, CANARY, CHALLENGER, replace(CHALLENGER, version="4"))
    made, names = shadow(keys=keys), [f"r{i}" for i in range(500)]
    for hour in range(300):
        window = START + hour
        for number, key in enumerate(keys):
            ids = requests((hour * 8 + number + 4) * 400, 400)
            made.predicted(batch(key, ids, np.zeros(400), window), window)
            some = {"region": np.arange(400, dtype=np.int32)}
            made.labelled(pairs(key, ids, np.ones(400), np.zeros(400), window, None, some, names), window)
        close(made, window)
    waiting = [held.size for table in (made.state.answers, made.state.losses) for held in table.held.values()]
    assert sum(waiting) < 4 << 20
    assert len(made.dump()) < 5 << 20
    assert all(len(version.alone.ids) <= 256 for version in made.state.versions)


@pytest.mark.parametrize("rows", [17, 100, 450])
def test_no_pair_is_lost_by_how_batches_arrive(rows: int) -> None:
    """The challenger's answers and labels come some batches later, and cut otherwise: every request is a pair."""
    made, count, size = shadow(), 9_000, 317
    for first in range(0, count + 900, size):
        for key, at, step in ((CHAMPION, first, size), (CHALLENGER, first - 900, rows)):
            for begin in range(max(at, 0), min(at + size, count), step):
                ids = requests(begin, min(step, at + size - begin, count - begin))
                made.predicted(batch(key, ids, np.zeros(len(ids))), START)
                made.labelled(pairs(key, ids, np.ones(len(ids)), np.zeros(len(ids))), START)
    close(made, START)
    held = made.state.compared[0, 1]
    assert held.newest.pairs == held.sums.labels == count


def test_an_end_of_the_same_window_is_told_once() -> None:
    """Every version's window ends; the model looks once."""
    made = shadow()
    truth(made, 50, 0.5)
    before = made.dump()
    close(made, made.state.closed)
    close(made, made.state.closed - 3)
    assert made.dump() == before


def test_a_version_that_retired_is_no_longer_told_of() -> None:
    """Its comparison is kept, should it come back."""
    made = shadow()
    truth(made, 5, 0.1)
    assert made.show()["decisions"]
    prepare(made, CHAMPION, Settings(), Task.REGRESSION)
    assert not made.show()["decisions"]
    prepare(made, CHAMPION, Settings(), Task.REGRESSION, (CHALLENGER,))
    assert made.show()["decisions"]["2"]["labels"] > 190


def test_another_loss_begins_anew() -> None:
    """Sums of absolute errors say nothing of squared ones; without a change they go on."""
    made = shadow()
    truth(made, 5, 0.1)
    again = shadow(Settings(shadow_loss="absolute"))
    again.load(made.dump())
    prepare(again, CHAMPION, Settings(shadow_loss="absolute"), Task.REGRESSION, (CHALLENGER,))
    assert again.state.compared[0, 1].sums.labels > 190
    prepare(again, CHAMPION, Settings(shadow_loss="squared"), Task.REGRESSION, (CHALLENGER,))
    assert again.state.compared[0, 1].sums.labels == 0
    truth(again, 8, 0.1)
    assert again.state.loss == "squared"


def test_pairs_without_a_loss_do_not_choose_one() -> None:
    """The first labels have no prediction beside them; what comes later has."""
    made, nothing = shadow(task=Task.UNKNOWN), np.full(3, np.nan)
    made.labelled(pairs(CHAMPION, requests(0, 3), nothing, nothing), START)
    assert made.state.loss == ""
    made.labelled(pairs(CHAMPION, requests(3, 3), np.ones(3), np.zeros(3)), START)
    assert made.state.loss == "absolute"


def test_a_days_labels_at_once_are_all_compared() -> None:
    """Many more than a table holds, and nothing of them waits afterwards."""
    made, ids = shadow(), requests(0, 50_000)
    made.labelled(pairs(CHAMPION, ids, np.ones(50_000), np.zeros(50_000)), START)
    made.labelled(pairs(CHALLENGER, ids, np.full(50_000, 2.0), np.zeros(50_000)), START)
    assert made.state.compared[0, 1].sums.labels == 50_000
    assert len(made.dump()) < 10_000

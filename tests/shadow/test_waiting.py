"""The ring of requests that wait for another version's answer."""

from __future__ import annotations

import numpy as np
import pytest

from agent.shadow.waiting import LIMIT_MIN, WHOLE, Waiting
from tests.shadow.beside import requests

KEPT = np.dtype([("at", "<i8")])


def put(waiting: Waiting, version: int, keys: np.ndarray, second: int = 0) -> None:
    keys = keys[waiting.sampling.choose(keys)]
    rows = np.zeros(len(keys), KEPT)
    rows["at"] = np.arange(len(keys))
    waiting.put(version, rows, keys, second)
    waiting.enter()
    waiting.sampling.written += len(keys)


def met(waiting: Waiting, version: int, keys: np.ndarray, second: int = 0) -> int:
    return len(waiting.find(version, keys[waiting.sampling.choose(keys)], second)[0])


def test_what_was_put_is_found_with_what_was_kept() -> None:
    """All of it, and nothing else."""
    waiting, keys = Waiting(KEPT, 1 << 12, 60), requests(0, 200)
    put(waiting, 0, keys)
    hits, found = waiting.find(0, keys, 0)
    assert sorted(hits.tolist()) == list(range(200))
    assert found["at"].tolist() == hits.tolist()
    assert met(waiting, 0, requests(200, 5_000)) == 0
    assert met(waiting, 1, keys) == 0


@pytest.mark.parametrize("size", [1, 7, 500, 4_096])
def test_none_of_the_newest_is_lost_however_they_come(size: int) -> None:
    """As many as there are places, in batches of any size, after many more before; of those before none is found."""
    waiting, slots = Waiting(KEPT, 1 << 12, 60), 1 << 12
    whole = 3 * slots + 5 * size if size > 1 else slots + 300
    for first in range(0, whole, size):
        put(waiting, 0, requests(first, size))
    last = -(-whole // size) * size
    assert met(waiting, 0, requests(last - slots, slots)) == slots
    assert met(waiting, 0, requests(0, last - slots)) == 0


def test_of_two_answers_to_one_request_the_newer_stands() -> None:
    """A retry hours later; it takes one place, and the older one is nowhere to be found."""
    waiting, keys = Waiting(KEPT, 1 << 12, 60), requests(0, 300)
    put(waiting, 0, keys)
    put(waiting, 0, requests(300, 2_000))
    put(waiting, 0, keys[::-1])
    put(waiting, 0, requests(2_300, 3_000))
    hits, found = waiting.find(0, keys, 0, take=True)
    assert found["at"].tolist() == (299 - hits).tolist()
    assert len(hits) == 300
    assert met(waiting, 0, keys) == 0


def test_requests_wait_only_so_long() -> None:
    """Sixty seconds here."""
    waiting, keys = Waiting(KEPT, 1 << 12, 60), requests(0, 10)
    put(waiting, 0, keys, second=1_000)
    assert met(waiting, 0, keys, 1_060) == 10
    assert met(waiting, 0, keys, 1_061) == 0


def test_no_id_is_no_request() -> None:
    """0 stands for none, and an empty place is not one of them."""
    waiting = Waiting(KEPT, 1 << 12, 60)
    assert met(waiting, 0, np.zeros(5, np.uint64)) == 0
    put(waiting, 0, np.zeros(5, np.uint64))
    assert waiting.held == {}
    assert not len(waiting.find(0, requests(0, 3), 0)[0])


@pytest.mark.parametrize("delay", [0, 3, 30])
def test_answers_that_come_late_are_met_by_holding_fewer_requests(delay: int) -> None:
    """A thousand requests a window in a ring of 4,096: however late the other version is, its sample is met."""
    waiting = Waiting(KEPT, 1 << 12, 1 << 40)
    counts = []
    for window in range(400):
        put(waiting, 0, requests(window * 1_000, 1_000), window)
        if window >= delay:
            late = requests((window - delay) * 1_000, 1_000)
            counts.append((len(waiting.sampling.choose(late)), met(waiting, 0, late, window)))
        waiting.settle()
    offered, found = np.sum(counts[-100:], axis=0)
    assert found > 0.85 * offered  # all, but while more are held again than were before
    assert offered > 10 * 100 * min(1.0, 4.0 / max(delay, 1))


def test_where_nothing_is_ever_met_little_is_held() -> None:
    """One in 4,096 requests, and when the other version comes after all, more again."""
    waiting = Waiting(KEPT, 1 << 12, 1 << 40)
    for window in range(40):
        waiting.sampling.limit = max(waiting.sampling.limit, LIMIT_MIN << 4)
        put(waiting, 0, requests(window * 100_000, 100_000), window)
        waiting.settle()
    assert waiting.sampling.limit <= LIMIT_MIN << 6
    for window in range(40, 120):
        some = requests(window * 100_000, 20_000)
        put(waiting, 0, some, window)
        for version in range(8):
            part = some[version::8]
            met(waiting, 0, part, window)
        waiting.settle()
    assert LIMIT_MIN < waiting.sampling.limit < WHOLE


def test_more_than_is_needed_is_not_held() -> None:
    """Answers that come at once, of so many requests that a part of them tells enough."""
    waiting = Waiting(KEPT, 1 << 12, 60)
    for window in range(6):
        for part in range(20):
            keys = requests((window * 20 + part) * 500, 500)
            put(waiting, 0, keys, window)
            met(waiting, 0, keys, window)
        waiting.settle(written_max=6_000)
    assert WHOLE >> 2 <= waiting.sampling.limit < WHOLE


def test_what_comes_together_is_met_together_however_much_it_is() -> None:
    """A day's labels at once, many times what the table holds: none is lost, and what was met waits no more."""
    waiting, keys = Waiting(KEPT, 1 << 12, 60), requests(0, 100_000)
    rows = np.zeros(len(keys), KEPT)
    rows["at"] = np.arange(len(keys))
    waiting.put(0, rows, keys, 0)
    backwards = keys[::-1]
    hits, found = waiting.find(0, backwards, 0)
    assert sorted(hits.tolist()) == list(range(100_000))
    assert (backwards[hits] == keys[found["at"]]).all()
    assert len(waiting.find(0, backwards[:60_000], 0, take=True)[0]) == 60_000
    assert len(waiting.find(0, backwards, 0)[0]) == 40_000
    waiting.enter()
    assert 3_000 < len(waiting.find(0, backwards, 0)[0]) <= 1 << 12

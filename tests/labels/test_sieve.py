"""Orders and matches of many keys: the quick ways give what the plain ones do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.labels import sieve
from agent.labels.sieve import FLAGS_BITS, Sieve, order_of

WORDS = st.one_of(
    st.integers(0, 40),  # that come again
    st.integers(0, (1 << 64) - 1),
    st.integers(0, 3).map(lambda k: (k << 62) + 5),  # far apart, and again
    st.integers(0, 7).map(lambda k: (1 << 64) - 1 - k),  # that differ in their lowest bits alone
)


@given(st.lists(WORDS, max_size=60))
def test_the_order_is_the_stable_one(values: list[int]) -> None:
    """Of values near each other, far apart, equal, and of those that differ only where the places are put."""
    own = np.array(values, np.uint64)
    assert np.array_equal(order_of(own), np.argsort(own, kind="stable"))


@pytest.mark.parametrize("apart", [1, 1 << 20, 1 << 45])
def test_the_order_of_many_is_the_stable_one(apart: int) -> None:
    """Whatever room they leave for their places."""
    own = np.random.default_rng(apart).integers(0, 1 << 18, 100_000, dtype=np.uint64) * np.uint64(apart)
    assert np.array_equal(order_of(own), np.argsort(own, kind="stable"))


@pytest.mark.parametrize("least", [0, 1 << 62])
def test_a_sieve_finds_every_match_and_no_other(monkeypatch: pytest.MonkeyPatch, least: int) -> None:
    """With and without its table: also entries beside a key that share its flag, entries that come again, and ends."""
    monkeypatch.setattr(sieve, "SIEVED_MIN", least)
    random = np.random.default_rng(3)
    ends = np.array([0, (1 << 64) - 1], np.uint64)
    keys = np.unique(np.concatenate((random.integers(0, 1 << 64, 5_000, dtype=np.uint64), ends)))
    beside = keys[:2_000] ^ np.uint64(1 << (62 - FLAGS_BITS))
    held = np.concatenate((keys[::3], keys[::5], beside, random.integers(0, 1 << 64, 5_000, dtype=np.uint64), ends))
    held = random.permutation(held)
    at, hits = Sieve(keys).find(held)
    assert np.array_equal(hits, np.flatnonzero(np.isin(held, keys)))
    assert np.array_equal(keys[at], held[hits])


def test_a_sieve_of_nothing_finds_nothing() -> None:
    """Nor is anything found among nothing."""
    none, some = np.zeros(0, np.uint64), np.arange(3, dtype=np.uint64)
    for keys, held in ((none, some), (some, none)):
        at, hits = Sieve(keys).find(held)
        assert not len(at)
        assert not len(hits)

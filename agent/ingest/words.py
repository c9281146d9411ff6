"""Columns of one text whose messages had different dictionaries, as one: senders put their words in the order in which
they came, and have not all of them in each message."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from agent.records import Cells

SMALL = 64  # words; a larger dictionary is hardly met twice, and not put together with another
KEPT = 256  # dictionaries, and which were put together: at most 64 words of each, some MB

Words = tuple[str, ...]


def joinable(one: Any, other: Any) -> bool:
    """Whether columns with these dictionaries may become one."""
    return one is other or (small(one) and small(other))


def small(dictionary: Any) -> bool:
    """Whether it may be put together with others."""
    return isinstance(dictionary, tuple) and 0 < len(dictionary) <= SMALL


def joined(dictionaries: Sequence[Any], codes: Sequence[Cells]) -> tuple[Any, Cells]:
    """One dictionary, and the codes of all, int32, one after the other. The same object for the same words: what is
    known of a dictionary is remembered by it."""
    first = dictionaries[0]
    if all(own is first for own in dictionaries):
        return first, np.concatenate(codes)
    words, places = _united(tuple(dictionaries))
    return words, np.concatenate([table[own] for table, own in zip(places, codes, strict=True)])


@lru_cache(KEPT)
def _united(dictionaries: tuple[Words, ...]) -> tuple[Words, tuple[Cells, ...]]:
    """All their words, and where in these each one's are."""
    words = _known(tuple(sorted({word for own in dictionaries for word in own})))
    index = {word: place for place, word in enumerate(words)}
    return words, tuple([np.array([index[word] for word in own], np.int32) for own in dictionaries])


@lru_cache(KEPT)
def _known(words: Words) -> Words:
    return words

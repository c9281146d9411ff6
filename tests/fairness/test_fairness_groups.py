"""Values of an attribute as numbers, bounded."""

from __future__ import annotations

import numpy as np

from agent.fairness.groups import FIRST, GROUPS_MAX, MISSING, OTHER, Groups
from agent.records import Texts


def column(*values: str | None) -> Texts:
    """One row each, None null; the dictionary has a value that no row has."""
    names = ("unused", *dict.fromkeys(v for v in values if v is not None))
    codes = np.array([0 if v is None else names.index(v) for v in values], np.int32)
    return Texts(names, codes, np.array([v is None for v in values], np.uint8))


def test_values_get_numbers_as_they_come() -> None:
    """Also over batches whose dictionaries differ; a value without a row gets none."""
    groups = Groups()
    assert groups.of_column(column("f", None, "m"), 3).tolist() == [FIRST, MISSING, FIRST + 1]
    assert groups.of_column(column("m", "f", "x"), 3).tolist() == [FIRST + 1, FIRST, FIRST + 2]
    assert groups.legend() == {"1": "f", "2": "m", "3": "x"}


def test_values_beyond_the_bound_are_one_group() -> None:
    """A sender that puts ids into an attribute makes nothing grow."""
    groups = Groups()
    places = groups.of_column(column(*(str(i) for i in range(1_000))), 1_000)
    assert places[:GROUPS_MAX].tolist() == list(range(FIRST, FIRST + GROUPS_MAX))
    assert set(places[GROUPS_MAX:].tolist()) == {OTHER}
    assert groups.size == FIRST + GROUPS_MAX


def test_pairs_have_the_places_of_batches() -> None:
    """-1 is no value."""
    groups = Groups(["f"])
    places = groups.of_places(np.array([2, -1, 0], np.int32), ("m", "f", "f"))
    assert places.tolist() == [FIRST, MISSING, FIRST + 1]
    assert groups.of_places(np.array([-1, -1], np.int32), ()).tolist() == [MISSING, MISSING]


def test_an_attribute_nobody_sent_is_missing() -> None:
    """In every row."""
    assert Groups().of_column(None, 3).tolist() == [MISSING] * 3


def test_numbers_leave_and_values_only_where_allowed() -> None:
    """Unknown and other are words either way."""
    groups = Groups(["f", "m"])
    assert [groups.name(place, False) for place in range(4)] == ["unknown", "other", "1", "2"]
    assert [groups.name(place, True) for place in range(4)] == ["unknown", "other", "f", "m"]

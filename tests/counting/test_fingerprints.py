"""Fingerprints: equal for equal rows however they come, different for others, and a sample that keeps every copy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.counting.fingerprints import KEPT_MAX, WHOLE, Fingerprinter, Samples, identities, ids_of, mixed, numbered
from agent.errors import CorruptError
from agent.records import ABSENT, Batch, Columns, Flags, ModelKey, Numbers, Texts, Vectors, Verdict, select
from agent.volume.duplicates import IDS, ROWS, Usual, judge

KEY = ModelKey("m", "1")


def _batch(rows: int, features: Columns) -> Batch:
    return Batch(KEY, rows, 1, features, Columns())


def _rows(rows: int, features: Columns) -> list[int]:
    return [int(h) for h in Fingerprinter().rows(_batch(rows, features))]


def test_small_differences_of_any_type_make_another_row() -> None:
    """A last bit, a flag, a text, a null, an entry of a vector."""
    zero = np.zeros(1, np.uint8)

    def one(number: float, text: str, flag: bool, entry: float, null: int = 0) -> int:
        (found,) = _rows(1, Columns(
            {"n": Numbers(np.array([number])), "o": Numbers(np.array([1.0]), zero + null)},
            {"t": Texts((text,), np.zeros(1, np.int32))},
            {"f": Flags(np.array([flag]))},
            {"v": Vectors(np.array([[entry, 1.0]], np.float32))},
        ))  # fmt: skip
        return found

    variants = [
        one(1.0, "a", True, 0.5), one(np.nextafter(1.0, 2.0), "a", True, 0.5), one(1.0, "b", True, 0.5),
        one(1.0, "a", False, 0.5), one(1.0, "a", True, 0.25), one(1.0, "a", True, 0.5, null=1),
        one(1.0, "a", True, 0.5, null=ABSENT),
    ]  # fmt: skip
    assert len(set(variants)) == len(variants)
    assert variants[0] == one(1.0, "a", True, 0.5)


def test_the_same_row_is_the_same_in_any_batch() -> None:
    """Other order of features, other dictionary, -0.0 for 0.0, an absent feature spelled out or left out."""
    plain = _rows(2, Columns(
        {"a": Numbers(np.array([0.0, 3.0])), "b": Numbers(np.array([1.0, 2.0]))},
        {"t": Texts(("x", "y"), np.array([0, 1], np.int32))},
    ))  # fmt: skip
    state = np.full(2, ABSENT, np.uint8)
    other = _rows(2, Columns(
        {"c": Numbers(np.zeros(2), state), "b": Numbers(np.array([1.0, 2.0])), "a": Numbers(np.array([-0.0, 3.0]))},
        {"t": Texts(["z", "y", "x"], np.array([2, 1], np.int32))},
    ))  # fmt: skip
    assert plain == other
    mixed_state = np.array([0, ABSENT], np.uint8)
    assert (
        _rows(2, Columns({"a": Numbers(np.array([7.0, 9.0]), mixed_state)}))[0]
        == _rows(1, Columns({"a": Numbers(np.array([7.0]))}))[0]
    )


def test_whole_numbers_do_not_collide() -> None:
    """Their low bits are empty: 40,000 rows of two small whole numbers are 40,000 fingerprints."""
    a, b = np.divmod(np.arange(40_000), 200)
    found = _rows(40_000, Columns({"a": Numbers(a.astype(float)), "b": Numbers(b.astype(float))}))
    assert len(set(found)) == 40_000


def test_values_that_change_places_make_another_row() -> None:
    """(1, 2) is not (2, 1)."""
    first = _rows(1, Columns({"a": Numbers(np.array([1.0])), "b": Numbers(np.array([2.0]))}))
    assert first != _rows(1, Columns({"a": Numbers(np.array([2.0])), "b": Numbers(np.array([1.0]))}))


@pytest.mark.parametrize(
    ("prefix", "number"),
    [("p-", 7), ("p", 0), ("", 12), ("a1", 23), ("a00", 7), ("x-", 10**17), ("x-", 10**18), ("x-", 2**64 - 1)],
)
def test_an_id_is_the_same_as_text_and_as_prefix_and_number(prefix: str, number: int) -> None:
    """A sender counts its ids; who labels them later knows only the text."""
    text = f"{prefix}{number}"
    assert numbered(prefix.encode(), np.array([number], np.uint64)) == identities([text]) == identities([text.encode()])


def test_ids_that_look_alike_are_different() -> None:
    """Leading zeros, and digits on either side of the joint, are part of the text."""
    alike = ["a7", "a07", "a007", "a70", "a", "7", "07", "a7 ", "a-7", "", "0", "00", "9" * 18, "9" * 19]
    found = identities(alike)
    assert len(set(found.tolist())) == len(alike)
    assert found[alike.index("")] == 0


def test_ids_have_a_hash_each_and_none_has_none() -> None:
    """Numbered ids differ by prefix and number; an empty text is no id; rows that are dropped take theirs along."""
    numbers = np.arange(1000, dtype=np.uint64)
    assert len({*numbered(b"p", numbers).tolist(), *numbered(b"q", numbers).tolist()}) == 2000
    assert ids_of(["", "a"])[0] == 0
    assert ids_of(["a"])[0] == ids_of([b"a"])[0] != 0
    batch = Batch(KEY, 3, 1, Columns(), Columns(), ids=np.array([1, 2, 3], np.uint64))
    kept = select(batch, np.array([0, 2])).ids
    assert kept is not None
    assert kept.tolist() == [1, 3]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(0, 300), max_size=60), min_size=1, max_size=10), st.integers(1, 3))
def test_few_rows_are_counted_exactly(batches: list[list[int]], windows: int) -> None:
    """While fewer than a thousand differ: against a set, over this window and the one before, batches cut anyhow."""
    samples, before, expected = Samples(), set(), (0, 0)
    for window in range(windows):
        seen: set[int] = set()
        rows = again = 0
        for batch in batches:
            samples.add(window, mixed(np.array(batch, dtype=np.uint64)))
            for value in batch:
                rows, again = rows + 1, again + (value in seen or value in before)
                seen.add(value)
        before, expected = seen, (rows, again)
    assert samples.repeats(windows - 1) == expected


@pytest.mark.parametrize("copies", [1, 2, 4])
def test_the_share_is_that_of_all_rows_and_memory_is_bounded(copies: int) -> None:
    """100,000 rows, each so many times: within five standard errors of the truth."""
    samples = Samples()
    for part in np.array_split(mixed(np.repeat(np.arange(100_000, dtype=np.uint64), copies)), 200):
        samples.add(0, part)
    assert samples.now is not None
    assert KEPT_MAX // 2 - 100 < len(samples.now.kept) <= KEPT_MAX
    assert samples.now.limit < WHOLE
    rows, again = samples.repeats(0)
    assert again / rows == pytest.approx(1 - 1 / copies, abs=1e-9)


def _usual(ids: int, rows: int, windows: int = 20) -> Usual:
    usual = Usual()
    rng = np.random.default_rng(ids + rows)
    for _ in range(windows):
        usual = usual.learn(
            {IDS: (800, int(rng.binomial(800, ids / 800))), ROWS: (800, int(rng.binomial(800, rows / 800)))}
        )
    return usual


def test_doubled_rows_are_found_in_one_window_and_named() -> None:
    """The same ids, or new ones; a share that is usual is none."""
    usual = Usual.from_bytes(_usual(0, 40).to_bytes())
    same = judge({IDS: (800, 400), ROWS: (800, 420)}, usual, 2e-5, 9)
    fresh = judge({IDS: (800, 0), ROWS: (800, 420)}, usual, 2e-5, 9)
    none = judge({IDS: (800, 0), ROWS: (800, 44)}, usual, 2e-5, 9)
    assert same is not None
    assert fresh is not None
    assert none is not None
    assert (same.verdict, fresh.verdict, none.verdict) == (Verdict.ALARM, Verdict.ALARM, Verdict.WITHIN_NOISE)
    assert "the same ids" in same.reason
    assert "under new ids" in fresh.reason
    assert fresh.effect == pytest.approx(0.475, abs=0.01)


def test_few_discrete_features_repeat_by_nature() -> None:
    """Where half the rows always come again, half of them is no news, nor a little more."""
    usual = _usual(0, 400)
    finding = judge({ROWS: (800, 430)}, usual, 2e-5, 9)
    assert finding is not None
    assert not finding.alarms


def test_what_cannot_be_judged_says_why() -> None:
    """Nothing sampled, too few, still learning; a small rise is below the floor."""
    assert judge({IDS: (0, 0), ROWS: (0, 0)}, Usual(), 1e-5, 1) is None
    verdicts = [
        judge({ROWS: (800, 400)}, Usual(), 1e-5, 1), judge({ROWS: (10, 9)}, _usual(0, 0), 1e-5, 1),
        judge({ROWS: (100_000, 4_000)}, _usual(0, 0, 64), 0.05, 1),
    ]  # fmt: skip
    assert [f.verdict for f in verdicts if f is not None] == [
        Verdict.LEARNING, Verdict.NOT_ENOUGH_ROWS, Verdict.BELOW_FLOOR,
    ]  # fmt: skip


def test_damaged_windows_are_refused() -> None:
    """More repeats than rows, or half a window."""
    stored = _usual(0, 0, 2).to_bytes()
    for bad in (stored[:-8], np.array([1, 2, 0, 0], "<i8").tobytes()):
        with pytest.raises(CorruptError):
            Usual.from_bytes(bad)

"""The reference's own times as a shape: tried from the first day on, believed while live traffic confirms it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from agent.bins import Layout
from agent.records import Ints
from agent.reference.profile import Reference
from agent.volume.forecast import lend
from agent.volume.judge import Volume
from agent.volume.past import HOUR_NS, Counted
from agent.volume.traffic import Traffic
from tests.volume.traffic import ALPHA, START, rows

SAMPLED = 0.02  # of the traffic became training data
WEEKS = 4
BEFORE = START - WEEKS * 7 * 24


def _reference(counts: Ints, kept: Ints | None = None) -> Reference:
    """Blocks of an hour, those that had rows."""
    hours = np.arange(len(counts)) if kept is None else kept
    starts = (BEFORE + hours) * HOUR_NS
    return Reference(
        "m", "1", Layout((), 3600.0), np.zeros((len(hours), 0), np.int32), starts, counts[hours].astype(np.int64)
    )


def _sampled(seed: int, days: int = WEEKS * 7) -> Ints:
    """Counts of the hours before START, of a sample."""
    counts = rows(seed, days + 7, 0.1)
    first = (BEFORE - START) % (7 * 24)  # the same hour of the week
    return np.random.default_rng(seed).binomial(counts[first : first + days * 24], SAMPLED).astype(np.int64)


def _volume(reference: Reference | None) -> Volume:
    traffic = Traffic.of(HOUR_NS)
    traffic.lend(reference)
    return traffic.volume


def _told(volume: Volume, counts: Ints, alpha: float = ALPHA) -> list[int]:
    return [i for i, n in enumerate(counts) if volume.close(Counted(START + i, int(n), 3600.0), alpha).alarms]


def test_the_first_week_is_judged_by_the_references_hours() -> None:
    """A fifteenth of the usual on the fifth day: found within two windows with a reference that has times, unseen
    without."""
    counts = rows(21, 5, 0.1)[: 4 * 24 + 14]
    counts[4 * 24 + 8 :] //= 15
    assert _told(_volume(None), counts) == []
    found = _volume(_reference(_sampled(22)))
    hours = _told(found, counts)
    assert hours
    assert 0 <= hours[0] - (4 * 24 + 8) < 2
    assert found.lent is not None


def test_the_level_is_never_lent() -> None:
    """Training data are a sample: fifty times their rate is no alarm, and expected is what live traffic has."""
    volume = _volume(_reference(_sampled(23)))
    counts = rows(24, 3, 0.1)
    assert _told(volume, counts) == []
    last = volume.close(Counted(START + counts.size, 0, 3600.0), ALPHA)
    assert 300 < last.expected * 3600 < 2000


def _wrong(kind: str) -> Reference:
    counts = _sampled(25)
    hours = np.arange(counts.size)
    if kind == "shuffled":
        return _reference(
            np.random.default_rng(1).multinomial(int(counts.sum()), np.full(counts.size, 1 / counts.size))
        )
    if kind == "business hours":
        at = BEFORE + hours
        return _reference(counts, hours[(at % 24 >= 8) & (at % 24 < 18) & ((at // 24 + 3) % 7 < 5)])
    if kind == "another time zone":
        return _reference(np.roll(counts, 12))
    days = counts.reshape(-1, 24)  # as many rows of each day: no weekend
    return _reference((days / days.sum(axis=1, keepdims=True) * 5000).astype(np.int64).ravel())


@pytest.mark.parametrize("kind", ["shuffled", "business hours", "another time zone", "the same of each day"])
def test_a_wrong_shape_alarms_no_more_than_the_share(kind: str) -> None:
    """Nine days, the first weekend in them, at a dial a hundred times as wide: 0.4 a day may come."""
    told, allowed = 0, 2 * 9 * 24 * 100 * ALPHA
    for seed in range(2):
        told += len(_told(_volume(_wrong(kind)), rows(30 + seed, 9, 0.2), 100 * ALPHA))
    assert told <= math.ceil(allowed + 2 * math.sqrt(allowed))


def test_nothing_is_lent_by_rows_without_times_or_without_hours() -> None:
    """Rows in order have no hour; a shuffled table has no shape; a day says nothing of days."""
    sampled = _sampled(26)
    assert lend(_reference(sampled)) is not None
    assert lend(_wrong("shuffled")) is None
    assert lend(_reference(sampled[:24])) is None
    ordered = _reference(sampled)
    order = Reference("m", "1", ordered.layout, ordered.blocks, ordered.starts_ns - BEFORE * HOUR_NS, ordered.rows)
    assert lend(order) is None


def test_a_version_without_a_reference_lends_nothing() -> None:
    """Which shape competes depends on nothing but the teller's reference: a restart finds the same."""
    traffic = Traffic.of(HOUR_NS)
    traffic.lend(_reference(_sampled(27)))
    assert traffic.volume.lent is not None
    traffic.lend(None)
    assert traffic.volume.lent is None

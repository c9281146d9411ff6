"""The worlds are what they say: a null cell that drifts, or a change that does not, would measure nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from agent.records import NULL, Batch
from calibration.nulls import nulls
from calibration.tables import Frame, Shuffled, Table
from calibration.worlds import DAY, WEEK, Category, Change, Embedding, Group, Numeric, Stream, World, zipf


def stream(*groups: Group, seed: Sequence[int] = (1,), **how: float) -> Stream:
    return Stream(World(groups, **how), seed)  # type: ignore[arg-type]  # mypy takes `how` for every field's type


def number(batch: Batch, name: str = "number_000") -> np.ndarray:
    return batch.features.numbers[name].values


def test_the_same_seed_gives_the_same_rows() -> None:
    """On every machine: a result can be checked."""
    first, again = (stream(Numeric(2), seed=(3, 4)).window(0, 50) for _ in range(2))
    np.testing.assert_array_equal(number(first), number(again))
    assert not np.array_equal(number(first)[:10], number(stream(Numeric(2), seed=(3, 5)).window(0, 50))[:10])


@pytest.mark.parametrize(
    ("change", "mean", "deviation"),
    [(Change("shift", 0.5), 0.5, 1.0), (Change("scale", 1.25), 0.0, 1.25), (Change("tails"), 0.0, 1.0)],
)
def test_a_change_does_what_it_says_to_the_first_number_alone(change: Change, mean: float, deviation: float) -> None:
    """The others are what alarms must not name."""
    batch = stream(Numeric(2), even=True).window(0, 200_000, change)
    assert number(batch).mean() == pytest.approx(mean, abs=0.01)
    assert number(batch).std() == pytest.approx(deviation, abs=0.02)
    assert number(batch, "number_001").mean() == pytest.approx(0.0, abs=0.01)
    assert number(batch, "number_001").std() == pytest.approx(1.0, abs=0.01)


def test_heavier_tails_are_heavier() -> None:
    """With mean and σ kept, the fourth moment is what changes: 9 instead of 3."""
    values = number(stream(Numeric(1), even=True).window(0, 200_000, Change("tails")))
    assert (values**4).mean() > 5.0


def test_breaking_a_correlation_leaves_the_marginals() -> None:
    """Each column alone is as it was."""
    group = Numeric(2, correlation=0.8)
    before = stream(group, even=True).window(0, 100_000)
    after = stream(group, even=True).window(0, 100_000, Change("decorrelate"))
    pairs = [np.stack((number(batch), number(batch, "number_001"))) for batch in (before, after)]
    assert [round(float(np.corrcoef(pair)[0, 1]), 1) for pair in pairs] == [0.8, 0.0]
    np.testing.assert_allclose(pairs[1].std(axis=1), 1.0, atol=0.02)


def test_factors_tie_features_in_both_ways_and_keep_their_variance() -> None:
    """Some pairs rise together, some against each other; each column has variance 1."""
    group = Numeric(12, correlation=0.7, factors=3)
    columns = stream(group, even=True).window(0, 50_000).features.numbers.values()
    values = np.stack([column.values for column in columns])
    np.testing.assert_allclose(values.std(axis=1), 1.0, atol=0.03)
    pairs = np.asarray(np.corrcoef(values))[np.triu_indices(12, 1)]
    assert pairs.max() > 0.4
    assert pairs.min() < -0.4
    assert np.abs(pairs).max() < 0.75


def test_traffic_doubles_and_its_rows_stay_as_they_are() -> None:
    """Only their number changes."""
    batch = stream(Numeric(1)).window(0, 20_000, Change("volume", 2.0))
    assert batch.rows == pytest.approx(40_000, rel=0.03)
    assert number(batch).mean() == pytest.approx(0.0, abs=0.03)


def test_turning_a_vector_keeps_its_length() -> None:
    """A rotation: norms are what they were, coordinates are not."""
    before = stream(Embedding(64), even=True).window(0, 500).features.vectors["embedding"].values
    after = stream(Embedding(64), even=True).window(0, 500, Change("rotate", 1.0)).features.vectors["embedding"].values
    np.testing.assert_allclose(np.linalg.norm(before, axis=1), np.linalg.norm(after, axis=1), rtol=1e-4)
    assert np.abs(before - after).mean() > 0.1


def test_only_gaps_that_are_there_grow() -> None:
    """A change of the missing rate is not one of features that have no gaps."""
    world = (Numeric(2), Numeric(2, "gaps", missing=0.01))
    found = stream(*world, even=True).window(0, 20_000, Change("missing", 0.05)).features.numbers
    assert found["number_000"].state is None
    rates = [float((state == NULL).mean()) for k in range(2) if (state := found[f"gaps_00{k}"].state) is not None]
    assert rates == pytest.approx([0.05, 0.01], abs=0.005)


def test_a_share_rises_and_the_others_give() -> None:
    """In proportion."""
    world = Category(1, shares=(0.1, 0.6, 0.3))
    column = stream(world, even=True).window(0, 100_000, Change("share", 0.2)).features.texts["text_000"]
    found = np.bincount(column.codes) / 100_000
    assert found.tolist() == pytest.approx([0.2, 0.8 * 2 / 3, 0.8 / 3], abs=0.01)
    assert sum(zipf(200)) == pytest.approx(1.0)


def test_levels_have_the_size_and_the_memory_they_were_given() -> None:
    """Windows' own means: σ of the effect, and its autocorrelation."""
    source = stream(Numeric(1, effect=0.5, memory=0.9), even=True)
    means = np.array([number(source.window(k, 400)).mean() for k in range(3_000)])
    assert means.std() == pytest.approx(0.5, abs=0.12)
    assert np.corrcoef(means[1:], means[:-1])[0, 1] == pytest.approx(0.9, abs=0.05)


def test_a_day_comes_again_and_a_weekend_lies_lower() -> None:
    """The seasons that a reference of whole weeks holds."""
    source = stream(Numeric(1, daily=0.5, weekly=0.5), even=True)
    means = np.array([number(source.window(k, 400)).mean() for k in range(2 * WEEK)])
    days = means.reshape(2, 7, DAY)
    np.testing.assert_allclose(days[0], days[1], atol=0.4)
    assert days[:, 5:].mean() - days[:, :5].mean() == pytest.approx(-0.5, abs=0.05)
    assert np.ptp(days[:, :5].mean(axis=(0, 1))) == pytest.approx(1.0, abs=0.15)


def frame(days: int) -> Frame:
    """Three rows an hour by day, none by night; the value tells the hour."""
    hours = np.array([h for h in range(days * DAY) if h % DAY >= 6 for _ in range(3)])
    return Frame(hours, {"x": hours.astype(float)}, {})


def test_permuted_days_stay_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each day's hours follow one another, each row comes once, nights stay empty, and the end is said."""
    monkeypatch.setattr("calibration.tables.load", lambda _: frame(10))
    source = Shuffled(Table("x", "day"), 1000, (1,))
    hours: list[float] = []
    for index in range(1000, 1000 + 10 * DAY):
        batch = source.window(index, 0)
        assert (batch is None) == ((index - 1000) % DAY < 6)
        hours += [] if batch is None else number(batch, "x").tolist()
    with pytest.raises(EOFError):
        source.window(1000 + 10 * DAY, 0)
    assert sorted(hours) == frame(10).hours.tolist()
    assert hours != sorted(hours)
    starts = np.array(hours).reshape(10, -1)
    np.testing.assert_array_equal(starts - starts[:, :1], np.broadcast_to(starts[0] - starts[0, 0], starts.shape))


def test_permuted_rows_come_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """In windows of the size that was asked for, until the table ends."""
    monkeypatch.setattr("calibration.tables.load", lambda _: frame(10))
    source = Shuffled(Table("x"), 0, (1,))
    found = [source.window(k, 100) for k in range(5)]
    taken = np.concatenate([number(batch, "x") for batch in found if batch is not None])
    assert len(taken) == 500
    assert np.unique(taken, return_counts=True)[1].max() <= 3
    with pytest.raises(EOFError):
        source.window(5, 100)


def test_every_cell_has_a_name_of_its_own_and_a_short_form() -> None:
    """Two cells with one key would share results."""
    cells = nulls()
    assert len({cell.key for cell in cells}) == len(cells)
    assert sum(cell.short for cell in cells) >= 5

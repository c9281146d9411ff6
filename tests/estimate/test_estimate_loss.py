"""Expected losses by trees."""

from __future__ import annotations

import numpy as np
import pytest

from agent.errors import CorruptError
from agent.estimate import loss
from agent.estimate.trees import fit
from agent.reference.profile import Reference
from tests.estimate.estimate_worlds import Numeric, batch_of


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Numeric(rows=250, blocks=40).reference()


def test_what_two_features_do_together_is_seen(reference: Reference) -> None:
    """Only how x and y go together changes, each alone stays as it was: the estimate rises with the true error."""
    model = loss.read(reference)
    assert model is not None
    world = Numeric(seed=9)
    for tied in (0.0, 0.5, 1.0):
        features, predicted, actual = world.rows_of(20_000, tied=tied)
        cells = reference.layout.place(batch_of({"prediction": predicted}, features)).cells
        means = model.losses(reference.layout, cells).mean(axis=1)
        found = model.estimates(means, 20_000.0)
        mae, rmse = np.abs(actual - predicted).mean(), np.sqrt(np.square(actual - predicted).mean())
        assert found["mae"].value == pytest.approx(mae, rel=0.06)
        assert found["rmse"].value == pytest.approx(rmse, rel=0.06)
    assert mae > 1.2 * model.past.usual[0]


def test_all_trees_at_once_are_the_trees_one_by_one() -> None:
    """Against the plain definition, a question a level."""
    rng = np.random.default_rng(5)
    cells = rng.integers(0, 9, (4, 700)).astype(np.int32)
    targets = np.stack((cells[0] * (cells[1] > 4) + rng.normal(size=700), rng.normal(size=700)))
    trees = fit(cells, targets, trees=7, depth=3)
    expected = np.repeat(trees.start[:, None], 700, axis=1)
    for asked, above, leaves in zip(trees.features, trees.cells, trees.leaves, strict=True):
        leaf = np.zeros(700, dtype=np.int64)
        for feature, cell in zip(asked, above, strict=True):
            leaf = 2 * leaf + (cells[feature] > cell)
        expected += leaves[:, leaf]
    np.testing.assert_allclose(trees.values(cells), expected)
    assert np.square(targets - expected)[0].mean() < targets[0].var()


def test_what_is_written_is_read(reference: Reference) -> None:
    """The same bytes again; another layout, and broken bytes, are refused."""
    stored = reference.section(loss.KEY)
    assert stored is not None
    assert loss.to_bytes(loss.from_bytes(stored)) == stored
    for broken in (stored[:-5], b"", stored[:40] + b"\0" + stored[41:]):
        with pytest.raises(CorruptError, match="section loss"):
            loss.from_bytes(broken)
    other = Numeric(rows=50, blocks=2).layout()
    moved = Reference("m", "1", type(other)(other.features[:2]), reference.blocks, reference.starts_ns, reference.rows,
                      unknown=reference.unknown)  # fmt: skip
    with pytest.raises(CorruptError, match="another layout"):
        loss.read(moved)


def test_few_rows_teach_nothing() -> None:
    """And it is said how many are needed."""
    assert Numeric(rows=100, blocks=5).reference().section(loss.KEY) is None

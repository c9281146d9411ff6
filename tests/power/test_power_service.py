"""What the ledger says of the service's own checks is what their judges find."""

from __future__ import annotations

import numpy as np
import pytest

from agent import latency
from agent.latency import LatencyBaseline
from agent.power.service import duplicates_sight, latency_sight, sights_without_a_past
from agent.records import Cells
from agent.volume import duplicates
from agent.volume.duplicates import Usual

ALPHA = 5e-5
TRIALS = 200


def answers(random: np.random.Generator, wander: float, ratio: float = 1.0) -> Cells:
    """1,000 answers around 30 ms, the window's own mean moved by so many octaves."""
    octaves = -5.0 + wander * random.normal() + np.log2(ratio) + 0.5 * random.normal(size=1000)
    cells = np.clip(((octaves + 20.0) * 4.0).astype(int), 0, 127)
    return np.asarray(np.bincount(cells, minlength=128), dtype=np.int32)


@pytest.mark.parametrize("wander", [0.05, 0.25])
def test_the_slowdown_it_names_is_found_in_four_of_five(wander: float) -> None:
    """A steady service and one that wanders by a fifth: about 80 %, three quarters of it (in octaves) in fewer than
    half."""
    random = np.random.default_rng(3)
    baseline = LatencyBaseline(np.array([answers(random, wander) for _ in range(16)]))
    smallest = latency_sight(baseline, ALPHA, 1000).seen[0].smallest

    def found(ratio: float) -> float:
        windows = [answers(random, wander, ratio) for _ in range(TRIALS)]
        return sum(latency.judge([window], baseline, ALPHA, 0).alarms for window in windows) / TRIALS

    assert 0.6 < found(smallest) < 0.95
    assert found(smallest**0.75) < 0.5


@pytest.mark.parametrize(("usual", "wander"), [(0.02, 0.0), (0.05, 0.02)])
def test_the_share_of_repeats_it_names_is_found_in_four_of_five(usual: float, wander: float) -> None:
    """Windows of 1,000 rows of which a few repeat by nature, steadily or not."""
    random = np.random.default_rng(3)

    def repeats(share: float) -> int:
        return int(random.binomial(1000, np.clip(share + wander * random.normal(), 0.0, 1.0)))

    past = Usual(tuple((1000, 0, 1000, repeats(usual)) for _ in range(30)))
    smallest = duplicates_sight(past, ALPHA, 1000).seen[0].smallest

    def found(share: float) -> float:
        told = [duplicates.judge({duplicates.ROWS: (1000, repeats(share))}, past, ALPHA, 0) for _ in range(TRIALS)]
        return sum(finding is not None and finding.alarms for finding in told) / TRIALS

    assert 0.6 < found(smallest) < 0.97
    assert found((usual + smallest) / 2) < 0.3


def test_without_a_past_more_variation_sees_less() -> None:
    """Volume at variations of 10, 20 and 30 %; a past that is not there yet says so."""
    ten, twenty, thirty, repeated, slower = sights_without_a_past((ALPHA, ALPHA, ALPHA), 1000, 3600.0)
    assert 1.5 < ten.seen[0].smallest < twenty.seen[0].smallest < thirty.seen[0].smallest
    assert repeated.seen
    assert slower.seen
    assert latency_sight(LatencyBaseline(), ALPHA, 1000).reason == "the service's first windows are still learned"
    assert "windows of" in duplicates_sight(Usual(), ALPHA, 1000).reason

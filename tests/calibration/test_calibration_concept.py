"""The cells of concept drift, small."""

from __future__ import annotations

import numpy as np
import pytest

from calibration import concept, concept_report


def test_a_change_is_found_in_a_stream_and_quiet_is_left_alone() -> None:
    """Hours of 200 labels after a reference of 10,000: the first alarm comes soon after the rate doubles."""
    rng = np.random.default_rng(1)
    rates = np.repeat([0.1, 0.2], [20_000, 4_000])
    stream = (rng.random(24_000) < rates).astype(np.uint8)
    assert concept.alarms_of(stream[:20_000]) == []
    found = concept.alarms_of(stream)
    assert len(found) == 1
    assert 0 < found[0] - 20_000 <= 1_000


def test_windows_that_remember_remember() -> None:
    """The world's autocorrelation and spread are those it is named for."""
    world = concept.Errors("", 0.1, effect=0.02, memory=0.9)
    rates = world.rates(np.random.default_rng(2), (50, 2_000))
    assert rates.std() == pytest.approx(0.02, rel=0.1)
    lagged = np.corrcoef(rates[:, 1:].ravel(), rates[:, :-1].ravel())[0, 1]
    assert lagged == pytest.approx(0.9, abs=0.03)


def test_the_page_says_what_was_measured() -> None:
    """Every null and change has its row; a rule that needed no tuning has no brackets; without river it says so."""
    nulls = {null.name: [1, 500_000] for null in concept.NULLS}
    ours = {"nulls": nulls, "delays": {"10 → 15 %": [800, 0, 600]}, "ns": 2_000.0}
    default = {"setting": "loose", "nulls": {name: [50, 500_000] for name in nulls}, "delays": {"10 → 15 %": [0, 0, 9]},
               "ns": 300.0}  # fmt: skip
    used = [{"name": "x", "labels": 50, "blocks": 30, "effect": 0.01, "used": 0.5, "error": 0.1}]
    river = {"version": "0", "rules": {"A": {"default": default, "tuned": {**default, **ours, "setting": "strict"}},
                                       "B": {"default": default, "tuned": default}}}  # fmt: skip
    page = concept_report.text({"used": used, "ours": ours, "river": river})
    assert "| x | 50 | 30 | ± 1 points | 0.5 ± 0.1 |" in page
    assert "| alarms" not in page
    assert f"| {concept.NULLS[0].name} | 0.2 | 0.2 (10) | 10 |" in page
    assert "| 10 → 15 % | 800, 67% | 800, 67% (> 20,000, 33%) | > 20,000, 33% |" in page
    assert "could not be installed" in concept_report.text({"used": used, "ours": ours, "river": None})

"""What an alert's sentence says of a drift, and what it does not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.alerting.book import WindowContext
from agent.alerting.wording import drift_words, significance, subject_of
from agent.records import BinChange, Finding, ModelKey, Source, Verdict

HOUR = 3_600_000_000_000
DRIFT = Finding(
    "drift", "fare", Source.FEATURE, Verdict.ALARM, p_value=1e-12, alpha=1e-6, effect=0.12, horizon=4, n=4_000,
    n_reference=50_000, phi=1.5, first_window=97, current=0.58, expected=0.5, distances={"ks": 0.1},
    changes=(BinChange("12.5 to 17", 4, 0.05, 0.19),),
    reason="compared with the same hour of the day; tested over 1, 2, 4 windows; not over 8, 16: reference too short",
)  # fmt: skip


def hidden(_: BinChange) -> str:
    return ""


def test_a_sentence_has_size_way_bins_and_method_and_no_value() -> None:
    """An edge is said only where it may be read; which horizons ran is left to the reason."""
    assert drift_words(DRIFT, hidden) == (
        "clear drift (effect 0.12 over 4 windows of 4000 rows): values moved up (mean rank 0.50 → 0.58), "
        "5 % → 19 % in bin 4, compared with the same hour of the day"
    )
    assert "5 % → 19 % in 12.5 to 17" in drift_words(DRIFT, lambda change: change.label)


@pytest.mark.parametrize(
    ("current", "words"), [(0.42, "values moved down (mean rank 0.50 → 0.42)"), (0.51, ""), (float("nan"), "")]
)
def test_the_way_is_said_where_there_is_one(current: float, words: str) -> None:
    """A spread that changed has no direction."""
    said = drift_words(replace(DRIFT, current=current), hidden)
    assert words in said
    assert ("moved" in said) is bool(words)


def test_a_text_has_no_direction() -> None:
    """Only numbers have ranks that mean something."""
    assert "moved" not in drift_words(replace(DRIFT, distances={"l_infinity": 0.2}), hidden)


def test_a_fixed_threshold_comes_first() -> None:
    """Before anything that sounds like a measure of chance; a drift that was not measured has no size."""
    fixed = replace(DRIFT, reason="fixed threshold (psi 0.24 over 0.2), 0.87 times a day")
    assert drift_words(fixed, hidden).split(": ")[1].startswith("fixed threshold (psi 0.24 over 0.2)")
    unmeasured = drift_words(replace(fixed, effect=float("nan")), hidden)
    assert unmeasured.startswith("drift over 4 windows of 4000 rows: fixed")


def test_significance_is_what_the_metric_has() -> None:
    """Powers of ten beyond what the ledger allowed; nothing where nothing was tested."""
    assert significance(DRIFT) == pytest.approx(6.0)
    assert significance(replace(DRIFT, alpha=float("nan"))) is None
    assert significance(replace(DRIFT, p_value=0.0)) is None


def test_a_subject_knows_since_when_and_where() -> None:
    """The window it began in, also one before the horizon it is surest over; the horizon's first where it says none;
    the part of the traffic it was found in."""
    context = WindowContext(ModelKey("m"), 100, 100 * HOUR, 101 * HOUR, 1_000)
    assert subject_of(DRIFT, context).since_ns == 97 * HOUR
    assert subject_of(replace(DRIFT, first_window=0), context).since_ns == 97 * HOUR
    assert subject_of(replace(DRIFT, first_window=94), context).since_ns == 94 * HOUR
    assert subject_of(replace(DRIFT, segment="region=north"), context).segment == "region=north"
    assert all(label == "" for _, label, _, _ in subject_of(DRIFT, context).moved)

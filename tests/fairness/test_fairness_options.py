"""What a person may set, and how a wrong value is refused."""

from __future__ import annotations

import pytest

from agent.config.disparity_limits import DIFFERENCES, RATIOS, DisparityLimit, disparity_limits
from agent.config.own import Settings
from agent.errors import ConfigurationError
from agent.fairness.disparity import METRICS
from agent.fairness.section import ATTRIBUTES_MAX


def test_every_metric_that_is_told_may_have_a_limit() -> None:
    """And none that is not; differences upwards, ratios downwards."""
    assert sorted(DIFFERENCES) == sorted(metric.name for metric in METRICS if not metric.ratio)
    assert sorted(RATIOS) == sorted(metric.name for metric in METRICS if metric.ratio)


def test_limits_are_read_as_they_are_written() -> None:
    """Several, with spaces; errors have the model's own unit and so no bound."""
    text = "demographic_parity_ratio<0.8, mean_error_difference > 250"
    found = disparity_limits(text)
    assert found == (DisparityLimit("demographic_parity_ratio", 0.8), DisparityLimit("mean_error_difference", 250.0))
    assert disparity_limits(",".join(str(limit) for limit in found)) == found
    assert disparity_limits("") == ()


@pytest.mark.parametrize(
    "text",
    [
        "fairness>0.1", "demographic_parity_difference<0.1", "demographic_parity_ratio>0.8", "accuracy_difference>0",
        "accuracy_difference>1", "accuracy_difference>nan", "accuracy_difference>-1", "accuracy_difference",
        "accuracy_difference>0.1,accuracy_difference>0.2", "mean_error_difference>inf",
    ],
)  # fmt: skip
def test_a_limit_that_could_never_or_always_alarm_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the variable's name, with what was expected."""
    monkeypatch.setenv("SIDELIGHT_FAIRNESS_LIMIT", text)
    with pytest.raises(ConfigurationError) as refused:
        Settings()
    assert "SIDELIGHT_FAIRNESS_LIMIT" in str(refused.value)
    assert "METRIC>LIMIT" in str(refused.value)


def test_attributes_are_named_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each once, at most eight; none by default."""
    assert Settings().fairness == ()
    monkeypatch.setenv("SIDELIGHT_FAIRNESS", "gender, region,gender")
    assert Settings().fairness == ("gender", "region")
    monkeypatch.setenv("SIDELIGHT_FAIRNESS", ",".join(str(k) for k in range(ATTRIBUTES_MAX + 1)))
    with pytest.raises(ConfigurationError, match="SIDELIGHT_FAIRNESS"):
        Settings()

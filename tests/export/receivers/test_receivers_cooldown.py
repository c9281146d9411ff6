"""When a trigger is a cause, and when it is the same one again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import CorruptError
from agent.export.receivers.cooldown import COOLING, MODELS_MAX, Cooldown
from agent.export.receivers.receiver import PASS, TAKE
from tests.export.receivers.people import alert
from tests.export.scene import NOW_NS

HOUR = 3_600 * 10**9


def test_what_joins_an_alert_is_no_new_cause() -> None:
    """Not even after the cool-down, if that alert was triggered for; it is one if nothing was since it began."""
    cooldown = Cooldown(3_600)
    assert cooldown.when(alert(), NOW_NS) == TAKE
    assert cooldown.when(alert("updated"), NOW_NS + 9 * HOUR) == PASS
    later = alert("updated", more={"sidelight.alert.start_unix_nano": NOW_NS + 2 * HOUR})
    assert cooldown.when(later, NOW_NS + HOUR // 2) == COOLING
    assert cooldown.when(later, NOW_NS + 9 * HOUR) == TAKE


def test_a_clock_set_back_does_not_silence_for_long() -> None:
    """A trigger that lies in the future counts for no longer than one in the past."""
    cooldown = Cooldown(3_600)
    assert cooldown.when(alert(), NOW_NS + 1_000 * HOUR) == TAKE
    assert cooldown.when(alert(), NOW_NS) == TAKE


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 10)), max_size=40))
def test_no_two_triggers_of_a_model_within_the_cooldown(steps: list[tuple[str, int]]) -> None:
    """Whatever comes, over any number of restarts."""
    cooldown, now, taken = Cooldown(4 * 3_600.0), NOW_NS, dict[str, int]()
    for model, hours in steps:
        now += hours * HOUR
        if cooldown.when(alert(model=model), now) == TAKE:
            assert now - taken.get(model, 0) >= 4 * HOUR
            taken[model] = now
        else:
            assert now - taken[model] < 4 * HOUR
        packed, cooldown = cooldown.pack(), Cooldown(4 * 3_600.0)
        cooldown.unpack(packed)


def test_what_is_remembered_is_bounded() -> None:
    """The models triggered for longest ago are forgotten first."""
    cooldown = Cooldown(3_600)
    for number in range(MODELS_MAX + 50):
        cooldown.when(alert(model=f"m{number}"), NOW_NS + number)
    assert len(cooldown.last) <= MODELS_MAX + 1
    assert "/m0" not in cooldown.last


@pytest.mark.parametrize("packed", [b"", b"[]", b'{"a": "b"}', b"\xff", b'{"a": null}'])
def test_what_pack_did_not_write_is_corrupt(packed: bytes) -> None:
    """Never another error."""
    with pytest.raises(CorruptError):
        Cooldown(1).unpack(packed)

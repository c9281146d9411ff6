"""The follower: from labels to findings."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import numpy as np
import pytest

from agent.bins import Feature, Layout
from agent.concept.follower import Concept
from agent.concept.gathered import SEGMENTS_MAX
from agent.concept.stored import pack, unpack
from agent.errors import CorruptError
from agent.ledger import RUNNING, Dial, Ledger
from agent.records import Finding, Kind, Source, Task, Verdict
from tests.concept.labels import World, about, closed, watching

QUIET_INPUTS = [Finding("drift", "income", Source.FEATURE, Verdict.WITHIN_NOISE)]
REGIONS = ("north", "south", "east")


def test_a_downturn_changes_what_inputs_mean() -> None:
    """Story 4: the inputs look the same, good risks default. Concept drift on labelled errors, false negatives named,
    the change dated; data drift stays quiet."""
    concept, world = watching(), World(1)
    before = [closed(concept, world.classified(i, 0.1, 0.1), i, QUIET_INPUTS)[0] for i in range(40)]
    after = [closed(concept, world.classified(i, 0.1, 0.25), i, QUIET_INPUTS)[0] for i in range(40, 46)]
    assert not any(f.alarms for f in before)
    alarm = next(f for f in after if f.alarms)
    assert alarm.first_window == 40
    assert after.index(alarm) <= 2
    assert "mostly false negatives" in alarm.reason
    assert alarm.reason.endswith("inputs look as ever: what they mean has changed")
    assert alarm.current == pytest.approx(0.175, abs=0.02)
    assert alarm.expected == pytest.approx(0.1, abs=0.01)


def test_inputs_that_moved_too_are_named() -> None:
    """What drifted since the change, even where it does not alarm in this very window; a broken feed comes first."""
    concept, world = watching(), World(2)
    moved = Finding("drift", "income", Source.FEATURE, Verdict.ALARM)
    broken = Finding("missing", "age", Source.FEATURE, Verdict.ALARM)
    for i in range(30):
        closed(concept, world.classified(i, 0.1, 0.1), i, QUIET_INPUTS)
    closed(concept, world.classified(30, 0.3, 0.1), 30, [moved])
    alarm = closed(concept, world.classified(31, 0.3, 0.1), 31, QUIET_INPUTS)[0]
    assert alarm.alarms
    assert "mostly false positives" in alarm.reason
    assert "inputs moved too (income)" in alarm.reason
    assert "values are at fault (age)" in closed(concept, world.classified(32, 0.3, 0.1), 32, [broken])[0].reason


def test_labels_in_other_words_are_what_to_mend_first() -> None:
    """Somebody writes 0 and 1 instead of no and yes: that is no change of what inputs mean, and nothing to train on.
    Who said no and hears another word than yes was right, as where performance is counted."""
    concept, world = watching(), World(4)
    usual = [closed(concept, world.classified(i, 0.1, 0.1), i, QUIET_INPUTS)[0] for i in range(40)]
    assert not any("written otherwise" in finding.reason for finding in usual)
    pairs = world.classified(40, 0.1, 0.1)
    other = replace(pairs, actual_class=pairs.actual_class + np.int32(2), classes=("no", "yes", "0", "1"))
    (found,) = closed(concept, other, 40, QUIET_INPUTS)
    said_yes = float((pairs.predicted_class == 1).mean())
    assert found.alarms
    assert found.current == pytest.approx(said_yes)
    share = f"{(1.0 - said_yes) * 100:.3g} %"
    assert f"{share} of the newest labels are neither yes nor the class predicted" in found.reason
    assert "written otherwise" in concept.show()["note"]
    assert "what they mean has changed" not in found.reason
    concept = watching()
    for i in range(40):
        closed(concept, world.classified(i, 0.1, 0.1), i)
    some = world.classified(41, 0.1, 0.1)  # a few of them, and of those who were said to be negative: no errors
    pending = np.where((some.predicted_class == 0) & (world.random.random(1000) < 0.1), 2, some.actual_class)
    pairs = replace(some, actual_class=pending.astype(np.int32), classes=("no", "yes", "pending"))
    (found,) = closed(concept, pairs, 40)
    assert not found.alarms
    assert "written otherwise" in found.reason


def test_labels_of_positives_alone_are_told_as_such() -> None:
    """From one day on only frauds are reported: misses alone can be seen, and nothing says what inputs mean."""
    concept, world = watching(), World(5)
    for i in range(40):
        closed(concept, world.classified(i, 0.1, 0.1), i, QUIET_INPUTS)
    pairs = replace(world.classified(40, 0.0, 0.3), actual_class=np.ones(1000, np.int32))
    (found,) = closed(concept, pairs, 40, QUIET_INPUTS)
    assert found.alarms
    assert "all 1000 of the newest labels are yes: do others get none?" in found.reason
    assert "what they mean has changed" not in found.reason
    assert "do others get none?" in concept.show()["note"]


def test_errors_that_change_sides_are_found() -> None:
    """As many errors as ever, but all of them false negatives: the error rate alone would not show it."""
    concept, world = watching(), World(3)
    for i in range(40):
        closed(concept, world.classified(i, 0.1, 0.1), i)
    found = [closed(concept, world.classified(i, 0.02, 0.18), i)[0] for i in range(40, 46)]
    assert found[-1].alarms
    assert "mostly false negatives" in found[-1].reason
    assert found[-1].current < found[-1].expected
    assert found[-1].reason.startswith("the error rate went from")


def test_the_alarm_ends_when_the_errors_do() -> None:
    """It lasts while they last, without a gap, and is over soon after them; then the next one can be found."""
    concept, world = watching(), World(4)
    rates = [0.1] * 30 + [0.2] * 30 + [0.1] * 30 + [0.2] * 5
    said = [closed(concept, world.classified(i, r, r), i)[0].verdict for i, r in enumerate(rates)]
    assert [v is Verdict.ALARM for v in said[33:60]] == [True] * 27
    assert Verdict.ALARM not in said[63:90]
    assert said[94] is Verdict.ALARM


def test_one_segment_that_went_wrong_is_named() -> None:
    """A tenth of the traffic: the segment alarms by itself while the whole looks fine."""
    concept, world = watching(), World(5, labels=1000, segments=tuple(f"r{k}" for k in range(10)))
    for i in range(40):
        assert len(closed(concept, world.classified(i, 0.1, 0.1), i)) == 1
    found = [closed(concept, world.classified(i, 0.1, 0.1, worse=3.0), i) for i in range(40, 44)]
    alone = [f for f in found[-1] if f.segment and f.alarms]
    whole = next(f for f in found[-1] if not f.segment)
    assert [f.segment for f in alone] == ["region=r0"] or "region=r0" in whole.reason
    assert "region=r0" in (alone[0].reason if alone else whole.reason)


def test_a_rise_of_everything_says_where_it_is_worst() -> None:
    """The whole alarms and names the segment; the segment's own alarm is its echo."""
    concept, world = watching(), World(6, segments=REGIONS)
    for i in range(40):
        closed(concept, world.classified(i, 0.08, 0.08), i)
    found = [closed(concept, world.classified(i, 0.09, 0.09, worse=3.0), i) for i in range(40, 44)]
    whole = found[-1][0]
    assert whole.alarms
    assert "most in region=north" in whole.reason
    assert all(f.verdict is not Verdict.ALARM for f in found[-1][1:])
    assert any(f.verdict is Verdict.MUTED and f.segment == "region=north" for f in found[-1][1:])


@pytest.mark.parametrize(("sigma", "bias", "words"), [(9.0, 0.0, "in both directions"), (6.0, 6.0, "too low")])
def test_a_regression_s_errors_are_followed_in_its_own_unit(sigma: float, bias: float, words: str) -> None:
    """Errors of 6 that grow by half, or that lean to one side: the mean absolute error then and now, and which way."""
    concept, world = watching(about(Task.REGRESSION, positive="")), World(7)
    before = [closed(concept, world.numbered(i, 6.0), i)[0] for i in range(40)]
    after = [closed(concept, world.numbered(i, sigma, bias), i)[0] for i in range(40, 46)]
    assert not any(f.alarms for f in before)
    alarm = next(f for f in after if f.alarms)
    assert "the mean absolute error rose from 4." in alarm.reason
    assert words in alarm.reason


def test_a_regression_with_wild_errors_stays_quiet() -> None:
    """Cauchy errors, whose mean does not exist: single ones are capped, so none of them is a window's evidence."""
    concept, rng = watching(about(Task.REGRESSION, positive="")), np.random.default_rng(8)
    world, found = World(8, labels=300), []
    for i in range(150):
        pairs = world.numbered(i, 1.0)
        found += closed(concept, replace(pairs, actual=100.0 + rng.standard_cauchy(300)), i)
    assert not any(f.alarms for f in found)
    assert found[-1].verdict is Verdict.WITHIN_NOISE


def test_a_rise_of_no_worth_is_no_alarm() -> None:
    """A window of a million labels is sure of three thousandths; the floor says that nobody need wake up."""
    concept, world = watching(), World(9, labels=60_000)
    for i in range(34):
        closed(concept, world.classified(i, 0.01, 0.01), i)
    found = [closed(concept, world.classified(i, 0.0135, 0.0135), i)[0] for i in range(34, 40)]
    assert found[-1].verdict is Verdict.BELOW_FLOOR
    assert not any(f.alarms for f in found)


def test_every_silence_has_its_reason() -> None:
    """No label ever: nothing is said. Then learning, no labels in a window, no task, no share of the dial."""
    concept, world = watching(), World(10)
    assert concept.close(0, (), 0) == []
    assert closed(concept, world.classified(1, 0.1, 0.1), 1)[0].verdict is Verdict.LEARNING
    assert concept.close(2, (), 0)[0].verdict is Verdict.NO_DATA
    unknown = watching(about(Task.UNKNOWN, positive=""))
    said = closed(unknown, world.numbered(3, 1.0), 3)[0]
    assert (said.verdict, "task is not known" in said.reason) == (Verdict.NO_REFERENCE, True)
    told = about()
    layout = Layout((Feature("age", Source.FEATURE, Kind.NUMBER, edges=(0.0, 50.0, 99.0)),))
    none = watching(replace(told, ledger=Ledger.of(Dial(), layout, 3600.0, RUNNING)))
    assert "no share" in closed(none, world.classified(4, 0.1, 0.1), 4)[0].reason


def test_a_restart_changes_nothing() -> None:
    """Stored and loaded after every window, labels of an open one included: the same findings."""
    straight, stored, one, two = watching(), watching(), World(11, segments=REGIONS), World(11, segments=REGIONS)
    for i in range(36):
        rate = 0.1 if i < 30 else 0.2
        expected = closed(straight, one.classified(i, rate, rate), i)
        stored.labelled(two.classified(i, rate, rate), i)
        again = watching()
        again.load(stored.dump())
        again.beside(())
        assert repr(again.close(i, (), 0)) == repr(expected)  # NaN is itself there
        stored = again
    assert stored.show() == straight.show()


def test_a_regression_is_stored_while_it_learns_its_scale() -> None:
    """Before its scale is known its windows are kept as they are."""
    concept, world = watching(about(Task.REGRESSION, positive="")), World(12, labels=30)
    for i in range(5):
        closed(concept, world.numbered(i, 6.0), i)
    again = watching(about(Task.REGRESSION, positive=""))
    again.load(concept.dump())
    for i in range(5, 30):
        one = closed(concept, world.numbered(i, 6.0), i)
        assert one[0].verdict in (Verdict.LEARNING, Verdict.WITHIN_NOISE)
    assert again.dump() != concept.dump()


@pytest.mark.parametrize("blob", [b"", b"{}", b"[]", b'{"format": 1}\n', b"\xff" * 40])
def test_what_is_not_its_state_is_refused(blob: bytes) -> None:
    """CorruptError, and it is as new: it learns from the next labels."""
    concept, world = watching(), World(13)
    for i in range(20):
        closed(concept, world.classified(i, 0.1, 0.1), i)
    with pytest.raises(CorruptError):
        concept.load(blob)
    assert closed(concept, world.classified(20, 0.1, 0.1), 20)[0].verdict is Verdict.LEARNING


def test_a_cut_state_is_refused() -> None:
    """Half of its arrays are not its state."""
    concept, world = watching(), World(14, segments=REGIONS)
    closed(concept, world.classified(0, 0.1, 0.1), 0)
    with pytest.raises(CorruptError):
        Concept().load(concept.dump()[:-80])


@pytest.mark.parametrize("at", range(0, 64, 4))
def test_a_flipped_byte_is_refused_or_harmless(at: int) -> None:
    """Wherever it lies: the next windows are judged, and the state can be stored again."""
    concept, world = watching(), World(14, segments=REGIONS)
    for i in range(3):
        closed(concept, world.classified(i, 0.1, 0.1), i)
    stored = bytearray(concept.dump())
    where = len(stored) * at // 64
    stored[where] ^= 0xFF
    other = watching()
    with contextlib.suppress(CorruptError):
        other.load(bytes(stored))
    for i in range(3, 6):
        closed(other, world.classified(i, 0.1, 0.1), i)
    other.show()
    list(other.points())
    watching().load(other.dump())


def test_what_nobody_learned_is_refused() -> None:
    """Numbers that are none, and more blocks than there are places, would fail at every window's end."""
    concept, world = watching(), World(14, segments=REGIONS)
    for i in range(3):
        closed(concept, world.classified(i, 0.1, 0.1), i)
    head, arrays = unpack(concept.dump())
    for k, array in enumerate(arrays):
        for value in (np.nan, np.inf, *((33.0, -1.0) if array.ndim == 1 and k == 2 else ())):
            if array.size:
                broken = array.copy()
                broken.flat[-1] = value
                with pytest.raises(CorruptError):
                    watching().load(pack(head, [*arrays[:k], broken, *arrays[k + 1 :]]))


def test_another_positive_label_is_another_question() -> None:
    """What was learned for the old one does not count; what is told again without a change does."""
    concept, world = watching(), World(15)
    for i in range(20):
        closed(concept, world.classified(i, 0.1, 0.1), i)
    concept.prepare(about())
    assert closed(concept, world.classified(20, 0.1, 0.1), 20)[0].verdict is Verdict.WITHIN_NOISE
    concept.prepare(about(positive="no"))
    assert closed(concept, world.classified(21, 0.1, 0.1), 21)[0].verdict is Verdict.LEARNING


def test_weights_count_as_the_labels_they_are_worth() -> None:
    """Equal weights change nothing, whatever they are; uneven ones count for fewer labels."""
    world = World(16)
    pairs = world.classified(0, 0.1, 0.1)
    heavy = replace(pairs, weights=np.full(pairs.rows, 7.0))
    assert closed(watching(), heavy, 0)[0].n == 1000
    uneven = replace(pairs, weights=np.where(np.arange(pairs.rows) % 2, 1.0, 3.0))
    assert closed(watching(), uneven, 0)[0].n == 800


def test_segments_are_bounded() -> None:
    """The first 32 values are followed, all keys together; the rest is in the whole."""
    concept, world = watching(), World(17, labels=5000, segments=tuple(str(k) for k in range(100)))
    closed(concept, world.classified(0, 0.1, 0.1), 0)
    assert concept.show()["segments"] == SEGMENTS_MAX


def test_points_show_loss_and_evidence_by_segment() -> None:
    """Of the whole without a segment, of each followed one with its name; evidence above zero alarms."""
    concept, world = watching(), World(18, segments=REGIONS)
    for i in range(30):
        closed(concept, world.classified(i, 0.1, 0.1), i)
    quiet = {(p.metric.name, p.attributes.get("sidelight.segment", "")): p.value for p in concept.points()}
    assert len(quiet) == 12
    assert isinstance(evidence := quiet["sidelight.concept.evidence", ""], float)
    assert evidence < 0
    for i in range(30, 34):
        closed(concept, world.classified(i, 0.3, 0.3), i)
    loud = {(p.metric.name, p.attributes.get("sidelight.segment", "")): p.value for p in concept.points()}
    assert loud["sidelight.concept.loss", ""] == pytest.approx(0.3, abs=0.05)
    assert isinstance(evidence := loud["sidelight.concept.evidence", ""], float)
    assert evidence > 0

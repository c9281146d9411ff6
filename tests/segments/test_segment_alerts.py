"""From windows to alerts: one segment that changed alone is told by name, what the whole shows is told once."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pytest

from agent.alerting.book import AlertBook, Change, WindowContext
from agent.alerting.machine import advance, explained
from agent.alerting.parts import explain_whole
from agent.counting.windows import Series
from agent.evaluate import Judge
from agent.ledger import Dial
from agent.records import Closed, Finding, ModelKey, Source, Verdict
from tests.segments.segment_worlds import Regions, judged

HOUR = 3600 * 10**9
KEY = ModelKey("fares", "1")


@dataclass
class Watched:
    """A model's windows, judge and alerts, as the pipeline drives them."""

    world: Regions
    book: AlertBook = field(default_factory=AlertBook)
    said: list[tuple[int, str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.judge = Judge(self.world.reference, Dial(0.05), 3600.0)
        self.series = Series(KEY, HOUR, self.world.reference, None, ("region",))
        self.recent: deque[Closed] = self.series.recent
        self.index = 1000

    def close(self, closed: Closed) -> list[Finding]:
        """One window's close; the findings as they are shown."""
        self.index += 1
        closed.index = self.index
        self.recent.append(closed)
        findings = [f for part in self.judge.judge(list(self.recent)) for f in part]
        shown = explained(self.book, findings, KEY)
        start = self.index * HOUR
        context = WindowContext(KEY, self.index, start, start + HOUR, closed.rows)
        self.book, changes = advance(self.book, findings, context)
        for change in changes:
            self._apply(change)
        return list(shown)

    def _apply(self, change: Change) -> None:
        for source, name in change.forget:
            self.series.forget(source, name)
        for segment, source, name in change.forget_in:
            self.series.forget(source, name, segment)
        if change.event is not None:
            self.said.append((self.index, change.event.name.rpartition(".")[2], change.event.body))

    def run(
        self, windows: int, shift: Mapping[int, float] | None = None, lost: Mapping[int, str] | None = None
    ) -> None:
        for _ in range(windows):
            self.close(self.world.window(shift=shift, lost=lost))


@pytest.fixture
def watched() -> Watched:
    found = Watched(Regions([150] * 10, features=3, texts=1, seed=21))
    found.run(16)
    assert found.said == []
    return found


def test_a_broken_feed_of_one_region_is_an_alert_that_names_it(watched: Watched) -> None:
    """Story 8: fires with the first bad window, ends after two good ones, and its past does not fire it again."""
    watched.run(1, lost={4: "number1"})
    (first,) = watched.said
    assert first[1] == "firing"
    assert "fares version 1: change in a part of the traffic" in first[2]
    assert "number1 of region=r4: null in all 150 rows" in first[2]
    watched.run(3, lost={4: "number1"})
    assert len(watched.said) == 1
    watched.run(24)
    assert [what for _, what, _ in watched.said] == ["firing", "resolved"]
    assert watched.said[1][0] == watched.said[0][0] + 5


def test_a_drift_of_one_region_ends_with_the_drift(watched: Watched) -> None:
    """A shift of one standard deviation for ten windows: one alert, which ends, and nothing after it."""
    watched.run(10, shift={2: 1.0})
    watched.run(24)
    assert [what for _, what, _ in watched.said] == ["firing", "resolved"]
    assert "number0 of region=r2: large drift" in watched.said[0][2]


def test_what_the_whole_shows_is_told_once(watched: Watched) -> None:
    """All regions shift together: data drift, no alert of a segment, the segments' findings muted; none follows."""
    shift = dict.fromkeys(range(10), 0.6)
    shown = watched.close(watched.world.window(shift=shift))
    muted = [f for f in shown if f.segment and f.verdict is Verdict.MUTED]
    assert muted
    assert {f.subject for f in muted} == {"number0"}
    watched.run(6, shift=shift)
    watched.run(24)
    assert [what for _, what, _ in watched.said] == ["firing", "resolved"]
    assert "fares version 1: data drift since" in watched.said[0][2]


def test_a_changed_mix_is_data_drift_and_does_not_fire_again(watched: Watched) -> None:
    """A region that grew threefold for five windows."""
    for _ in range(5):
        watched.close(watched.world.window(rows={3: 450}))
    watched.run(24)
    assert [what for _, what, _ in watched.said] == ["firing", "resolved"]
    assert "region: the mix of region changed: r3 10 % →" in watched.said[0][2]


def test_forgetting_reaches_the_segments(watched: Watched) -> None:
    """In one segment and the whole, in all with the whole, and a key's values; other features stay."""
    layout = watched.world.reference.layout
    cells, other = (layout.slice(layout.index[Source.FEATURE, name]) for name in ("number0", "number1"))
    newest = watched.series.recent[-1]
    watched.series.forget(Source.FEATURE, "number0", "region=r1")
    assert not newest.segments["region=r1"][cells].any()
    assert newest.segments["region=r2"][cells].any()
    assert not newest.counts[cells].any()
    watched.series.forget(Source.FEATURE, "number0")
    assert not any(own[cells].any() for own in (newest.counts, *newest.segments.values()))
    assert newest.segments["region=r1"][other].any()
    watched.series.forget(Source.ROW, "region")
    assert not newest.segments


@pytest.mark.parametrize(
    ("effect", "elsewhere", "alone"),
    [(0.5, 0.019, True), (0.5, 0.021, False), (3.6, 0.054, True), (3.6, 0.08, False), (9.0, 0.11, False)],
)
def test_what_chance_shows_elsewhere_does_not_hide_the_segment(effect: float, elsewhere: float, alone: bool) -> None:
    """A fiftieth of the segment's own effect is none of the rest's, where it is less than clear."""
    part = Finding("drift", "x", Source.FEATURE, Verdict.ALARM, effect=effect, segment="region=r1",
                   distances={"elsewhere": elsewhere})  # fmt: skip
    whole = Finding("drift", "x", Source.FEATURE, Verdict.ALARM, effect=0.2)
    (told,) = explain_whole([whole, part], frozenset())
    assert (told.verdict is Verdict.MUTED) is alone
    parts = {("drift", Source.FEATURE, "x"): "region=r1"}
    (told,) = explain_whole([whole, part], frozenset(), parts)
    assert (told.verdict is Verdict.MUTED) is alone


def test_a_segment_that_cannot_be_judged_for_an_hour_keeps_its_alert_to_itself() -> None:
    """The whole still shows its drift; another check of the same value is another cause."""
    parts = {("drift", Source.FEATURE, "x"): "region=r1"}
    found = [Finding(check, "x", Source.FEATURE, Verdict.ALARM, effect=0.2) for check in ("drift", "missing")]
    told = explain_whole(found, frozenset(), parts)
    assert [f.verdict for f in told] == [Verdict.MUTED, Verdict.ALARM]
    assert told[0].reason == "region=r1 alone has changed"
    live = frozenset({(Source.FEATURE, "x")})
    assert explain_whole(found, live, parts) == found


@pytest.mark.parametrize(("rows", "muted"), [((300, 400), False), ((100, 200), True), ((900,), True)])
def test_what_most_segments_show_is_the_wholes(rows: tuple[int, ...], muted: bool) -> None:
    """Several that hold most rows leave too little to be as ever; one large segment may be alone."""
    whole = Finding("drift", "x", Source.FEATURE, Verdict.ALARM, effect=2.0, horizon=2, n=2_000)
    parts = [
        Finding("drift", "x", Source.FEATURE, Verdict.ALARM, effect=2.0, n=n, segment=f"region=r{i}",
                distances={"elsewhere": -0.5})
        for i, n in enumerate(rows)
    ]  # fmt: skip
    (told,) = explain_whole([whole, *parts], frozenset())
    assert (told.verdict is Verdict.MUTED) is muted


def test_a_segment_too_thin_to_be_judged_holds_its_alert(watched: Watched) -> None:
    """Five rows a window after a bad one of 150: too few for one window and for four, so nothing is known of the
    feature until the windows that are judged together are all newer; only then is the alert over."""
    watched.run(1, shift={2: 1.5})
    (first,) = watched.said
    while len(watched.said) == 1:
        watched.close(watched.world.window(rows=dict.fromkeys(range(10), 5)))
        assert watched.index < first[0] + 40
    assert watched.said[1][1] == "resolved"
    assert watched.said[1][0] >= first[0] + 16


def test_faults_are_over_where_drift_cannot_be_judged(watched: Watched) -> None:
    """25 rows a window are enough for a rate and too few for drift: two good windows end the alert."""
    watched.run(1, lost={4: "number1"})
    for _ in range(3):
        watched.close(watched.world.window(rows=dict.fromkeys(range(10), 25)))
    assert [what for _, what, _ in watched.said] == ["firing", "resolved"]


@pytest.mark.parametrize("check", ["drift", "missing"])
def test_a_rest_of_a_few_rows_does_not_say_that_the_segment_is_alone(check: str) -> None:
    """Of 1,030 rows 1,000 are the segment's: its change is the whole's, and is told as such."""
    world = Regions([1000, 30], features=1, texts=0, seed=5)
    closed = world.window(shift={0: 1.0}, lost={0: "number0"} if check == "missing" else None)
    (found,) = (f for f in judged(world.segments(), [closed]) if f.alarms and f.check == check)
    assert np.isnan(found.distances["elsewhere"])
    whole = Finding(check, "number0", Source.FEATURE, Verdict.ALARM, effect=0.9, n=1030)
    (told,) = explain_whole([whole, found], frozenset())
    assert told.alarms

"""What a window's texts are: how many different ones, and the names of those the reference never held."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agent import telemetry
from agent.alerting.book import WindowContext
from agent.alerting.wording import subject_of
from agent.bins import Feature, Layout, text_hash
from agent.checkpoint.meta import closed_key, series_id
from agent.checkpoint.series import dump, load_series
from agent.checkpoint.windows import dump_closed
from agent.clock import TurnedClock
from agent.config import Settings
from agent.counting import texts
from agent.counting.windows import Series
from agent.records import (
    ABSENT,
    NULL,
    Batch,
    Closed,
    Columns,
    Finding,
    Kind,
    ModelKey,
    Source,
    Texts,
    TextsSeen,
    Verdict,
)
from agent.reference import file as reference_file
from agent.reference.profile import Reference
from agent.report.findings import Showing
from agent.report.reporting import Reporting
from agent.state import SCHEMA, put
from agent.web.terminal import render_status
from tests.end_to_end import stream
from tests.ingest.door import HOUR_NS
from tests.insides import Insides

KEY = ModelKey("m", "1")
MODEL = KEY.attributes()
SHOP = (Source.FEATURE, "shop")
ALARM = Finding(
    "new_category", "shop", Source.FEATURE, Verdict.ALARM, reason="5 % are new", newcomers=(("Kiosk", 0.625),)
)


def _layout(*names: str, public: bool = False) -> Layout:
    seen = frozenset({text_hash("c")})
    return Layout(
        tuple(
            Feature(name, Source.FEATURE, Kind.TEXT, categories=("a", "b"), seen=seen, public=public) for name in names
        )
    )


def _series(*names: str) -> Series:
    layout = _layout(*(names or ("shop",)))
    blocks = np.ones((8, layout.cells), dtype=np.int32)
    reference = Reference("m", "1", layout, blocks, np.arange(8, dtype=np.int64), np.full(8, 7, dtype=np.int64))
    return Series(KEY, HOUR_NS, reference, None)


def _batch(values: Sequence[str], hour: float = 0.0, known: Sequence[str] = ()) -> Batch:
    """Values as codes of a dictionary: `known` first, then the others, as they come."""
    dictionary = tuple(dict.fromkeys((*known, *values)))
    codes = np.array([dictionary.index(value) for value in values], dtype=np.int32)
    return Batch(KEY, len(values), int(hour * HOUR_NS), Columns(texts={"shop": Texts(dictionary, codes)}), Columns())


def _closed(series: Series, hour: int = 0) -> Closed:
    return series.close(hour)


def test_only_texts_that_rows_use_are_counted() -> None:
    """A dictionary's other entries came with no row; a row's null has a code that means nothing."""
    series = _series()
    series.add(_batch(["a", "x", "a"], known=("b", "c", "y", "z")), False)
    column = Texts(("p", "q"), np.array([0, 1], np.int32), np.array([NULL, 0], np.uint8))
    series.add(Batch(KEY, 2, 1, Columns(texts={"shop": column}), Columns()), False)
    assert _closed(series).texts[SHOP] == TextsSeen(3, new=2, newcomers=(("q", 1), ("x", 1)))


def test_a_column_without_a_value_leaves_no_trace() -> None:
    """Gathered rows remember the names of earlier rows, a restarted agent does not: both must say the same."""
    series = _series()
    series.add(_batch(["a"]), False)
    column = Texts(("a", "b"), np.zeros(2, np.int32), np.full(2, ABSENT, np.uint8))
    series.add(Batch(KEY, 2, HOUR_NS, Columns(texts={"shop": column}), Columns()), False)
    assert (list(_closed(series).texts), _closed(series, 1).texts) == ([SHOP], {})


@pytest.mark.parametrize("entries", [8, 40, 200])
def test_the_same_dictionary_again_and_again_is_counted_once(entries: int) -> None:
    """Small ones are remembered, entries not used so far are waited for; large ones are looked at every time."""
    series, random = _series(), np.random.default_rng(entries)
    names = tuple(f"shop {i}" for i in range(entries))
    codes = [random.integers(0, entries, 30).astype(np.int32) for _ in range(20)]
    for some in codes:
        series.add(Batch(KEY, 30, 0, Columns(texts={"shop": Texts(tuple(names), some)}), Columns()), False)
    assert _closed(series).texts[SHOP].distinct == len(np.unique(np.concatenate(codes)))


def test_a_window_begins_anew() -> None:
    """What one window held is not in the next one, though its dictionary is known."""
    series = _series()
    series.add(_batch(["a", "x"]), False)
    first = _closed(series)
    series.add(_batch(["a"], 1.0, known=("a", "x")), False)
    assert (first.texts[SHOP].distinct, _closed(series, 1).texts[SHOP]) == (2, TextsSeen(1))


def test_newcomers_are_those_the_reference_never_held() -> None:
    """Not its categories, not those it knows without a bin; most frequent first; long ones by their beginning."""
    series = _series()
    series.add(_batch(["a", "b", "c", "Kiosk", "Kiosk", "y" * 500]), False)
    seen = _closed(series).texts[SHOP]
    assert seen == TextsSeen(5, 3, (("Kiosk", 2), ("y" * 80 + "…", 1)))


def test_the_frequent_newcomer_is_found_among_many() -> None:
    """A third of 500 new texts a batch, each of the others once: sampled, it is a third of the sample; memory stays."""
    series, random = _series(), np.random.default_rng(1)
    for k in range(40):
        values = [f"once {k} {j}" for j in range(500)]
        for at in np.flatnonzero(random.random(500) < 1 / 3).tolist():
            values[at] = "Kiosk"
        series.add(_batch(values), False)
    sketch = series.open[0].texts
    assert sketch is not None
    assert len(sketch.sketches[SHOP].newcomers.counts) <= 2 * texts.NEWCOMERS
    closed = _closed(series)
    (found,) = texts.named([ALARM], [closed], None)
    ((name, share), *_) = found.newcomers
    assert (name, len(found.newcomers)) == ("Kiosk", 1)  # nobody who came once stands out
    assert 0.25 < share < 0.4


def test_what_came_in_few_rows_is_not_named() -> None:
    """Nine rows may be one person's; ten make a spelling or a code."""
    few = TextsSeen(9, new=19, newcomers=(("ten", 10), ("nine", 9)))
    (found,) = texts.named([ALARM], [Closed(1, np.zeros(1, dtype=np.int32), texts={SHOP: few})], None)
    assert found.newcomers == (("ten", 10 / 19),)


def test_a_finding_names_the_newcomers_of_its_own_horizon() -> None:
    """Three of them, with their share of all that is new; other checks, segments and what does not alarm name none."""
    recent = [
        Closed(i, np.zeros(0, np.int32), texts={SHOP: TextsSeen(9, 10, ((f"old {i}", 9),))}) for i in range(2)
    ] + [Closed(2, np.zeros(0, np.int32), texts={SHOP: TextsSeen(9, 100, (("x", 50), ("y", 30), ("z", 15), ("w", 5)))})]
    one, three, other, part, quiet = texts.named(
        [
            ALARM,
            Finding("new_category", "shop", Source.FEATURE, Verdict.ALARM, horizon=3),
            Finding("missing", "shop", Source.FEATURE, Verdict.ALARM),
            Finding("new_category", "shop", Source.FEATURE, Verdict.ALARM, segment="region=north"),
            Finding("new_category", "shop", Source.FEATURE, Verdict.WITHIN_NOISE),
        ],
        recent,
        None,
    )
    assert one.newcomers == (("x", 0.5), ("y", 0.3), ("z", 0.15))
    assert three.newcomers == (("x", 50 / 120), ("y", 30 / 120), ("z", 15 / 120))
    assert not other.newcomers
    assert not part.newcomers
    assert not quiet.newcomers


@pytest.mark.parametrize(
    ("came", "told"), [("A", "another spelling"), ("a ", "another spelling"), ("nan", "word for nothing"), ("d", "")]
)
def test_old_texts_in_a_new_spelling_are_told_without_their_names(came: str, told: str) -> None:
    """A feed that changed case, or writes "nan": whoever may not read the names is told so much."""
    closed = Closed(2, np.zeros(0, np.int32), texts={SHOP: TextsSeen(9, 100, ((came, 60), ("w", 40)))})
    (found,) = texts.named([replace(ALARM, reason="5 % are new")], [closed], _layout("shop"))
    assert found.reason.startswith("5 % are new; mostly" if told else "5 % are new")
    assert told in found.reason
    assert ("mostly" in found.reason) == bool(told)


@pytest.mark.parametrize(("public", "inside"), [(False, False), (False, True), (True, False)])
def test_who_may_read_a_newcomer_s_name(public: bool, inside: bool) -> None:
    """On this machine always, elsewhere only of public features; in events only of public features."""
    line = Showing(_layout("shop", public=public), HOUR_NS, inside).line(ALARM)
    assert ("Kiosk" in json.dumps(line)) == (public or inside)
    context = WindowContext(KEY, 1, 0, HOUR_NS, 10, public=frozenset({SHOP}) if public else frozenset())
    assert ("Kiosk" in subject_of(ALARM, context).said) == public
    if public:
        assert subject_of(ALARM, context).said == '5 % are new; of these "Kiosk" (62.5 %)'


def test_what_a_resolved_alert_asks_to_forget_is_not_named_again() -> None:
    """The number of texts stays, it alarms nobody."""
    series = _series()
    series.add(_batch(["a", "x"]), False)
    _closed(series)
    series.forget(*SHOP)
    assert series.recent[-1].texts == {SHOP: TextsSeen(2)}


def test_sketches_of_one_series_are_bounded() -> None:
    """More texts than are watched: critical ones first. More open windows than there is room: none of theirs, said."""
    names = [f"text {i}" for i in range(70)]
    layout = _layout(*names)
    critical = Feature("last", Source.FEATURE, Kind.TEXT, categories=("a",), critical=True)
    found = texts.watched(Layout((*layout.features, critical)))
    assert [text.name for text in found] == ["last", *names[: texts.WATCHED_MAX - 1]]
    series = _series(*names)
    times = np.arange(12, dtype=np.int64) * HOUR_NS
    column = Texts(("a", "x"), np.zeros(12, np.int32))
    columns = Columns(texts=dict.fromkeys(names, column))
    series.add(Batch(KEY, 12, 0, columns, Columns(), time_ns=times), True)
    sketches = [0 if window.texts is None else len(window.texts.sketches) for window in series.open.values()]
    assert sum(sketches) == 5 * texts.WATCHED_MAX <= texts.SKETCHES_MAX
    assert series.counters["texts_not_sketched"] == 7
    assert [len(series.close(index).texts) for index in sorted(series.open)] == sketches


def test_a_restart_in_the_middle_of_a_window_changes_nothing() -> None:
    """Open sketches and closed figures survive a checkpoint: what closes later is byte for byte the same."""
    one = _series()
    other = _restarted(one)
    for k in range(12):
        batch = _batch([f"once {k} {j}" for j in range(60)] + ["Kiosk"] * 5 + ["a"] * 9, 0.25 * k)
        for series in (one, other):
            for index in list(series.due(batch.arrived_ns)):
                series.close(index)
            series.add(batch, False)
        other = _restarted(other)
    assert len(one.recent) == 2
    assert one.recent[-1].texts[SHOP].distinct == 4 * 60 + 2
    assert [dump_closed(c) for c in one.recent] == [dump_closed(c) for c in other.recent]
    assert dump_closed(one.close(2)) == dump_closed(other.close(2))


async def test_a_new_category_is_named_from_the_door_to_the_page(tmp_path: Path) -> None:
    """A city's name changes: status, terminal and, as cities are public, the event name the new one; the number of
    texts stands beside the reference's, in the status and as a metric."""
    stream.reference(tmp_path / "loan.sidelight")
    settings = Settings(time="event", reference=str(tmp_path / "loan.sidelight"))
    inside = await Insides.of(tmp_path, settings, TurnedClock(stream.START_NS)).recover()
    pipeline, admission = inside.pipeline, inside.admission
    for number in range(10 * stream.MESSAGES):
        message = stream.message(number)
        if number >= 4 * stream.MESSAGES:
            for column in message.columns.texts:
                column.dictionary[2] = "oslo"
        admission.handle(message.SerializeToString())
    pipeline.stop()
    await pipeline.run()
    reporting = Reporting(settings, inside.clock, pipeline, admission, inside.queue, inside.journal, inside.clients)
    (model,) = reporting.models()
    (line,) = [line for line in model["quality"] if line["check"] == "new_category"]
    assert line["newcomers"] == [{"text": "oslo", "share": 1.0}]
    (told,) = [text for text in model["texts"] if text["feature"] == "city"]
    assert (told["distinct"], told["reference"], told["reference_complete"]) == (5, 4, True)  # rows still say rome
    shown = render_status({"models": [model]}, 160)
    assert 'of these "oslo" (100 %)' in shown
    assert "city 5 (reference 4)" in shown
    assert any('of these "oslo" (100 %)' in event["body"] for event in pipeline.outbox.events)
    points = [p for p in reporting.points() if p.metric is telemetry.FEATURE_DISTINCT]
    assert {p.attributes["sidelight.feature.name"]: p.value for p in points} == {"city": 5, "prediction": 2}
    assert all({*p.attributes} <= {*p.metric.attributes, *MODEL} for p in points)
    inside.close()


async def test_a_new_category_of_a_text_that_is_not_public_stays_on_this_machine(tmp_path: Path) -> None:
    """The loopback status names it; no event (what alerts and OTLP logs are made of) and no metric holds it. A segment
    key that no record has is said there too."""
    made = stream.reference(tmp_path / "loan.sidelight")
    private = replace(made.layout, features=tuple(replace(f, public=False) for f in made.layout.features))
    reference_file.write(replace(made, layout=private), tmp_path / "loan.sidelight")
    settings = Settings(time="event", reference=str(tmp_path / "loan.sidelight"), segments=("regin",))
    inside = await Insides.of(tmp_path, settings, TurnedClock(stream.START_NS)).recover()
    for number in range(8 * stream.MESSAGES):
        message = stream.message(number)
        for column in message.columns.texts if number >= 4 * stream.MESSAGES else ():
            column.dictionary[2] = "oslo"
        inside.admission.handle(message.SerializeToString())
    inside.pipeline.stop()
    await inside.pipeline.run()
    pipeline, admission = inside.pipeline, inside.admission
    reporting = Reporting(settings, inside.clock, pipeline, admission, inside.queue, inside.journal, inside.clients)
    assert "oslo" in json.dumps(reporting.models())
    assert "regin  no data: SIDELIGHT_SEGMENTS names it" in render_status({"models": reporting.models()}, 160)
    assert any("categories the reference never held" in event["body"] for event in pipeline.outbox.events)
    assert "oslo" not in json.dumps([*pipeline.outbox.events, [dict(p.attributes) for p in reporting.points()]])
    inside.close()


def _restarted(series: Series) -> Series:
    db, name = sqlite3.connect(":memory:"), series_id(KEY)
    db.executescript(SCHEMA)
    put(db, f"series/{name}", dump(series))
    for closed in series.recent:
        put(db, closed_key(name, closed.index), dump_closed(closed))
    (found,), corrupt = load_series(
        db, lambda _: (series.reference, "given"), lambda key, reference, _: Series(key, HOUR_NS, reference, None)
    )
    db.close()
    assert not corrupt
    return found

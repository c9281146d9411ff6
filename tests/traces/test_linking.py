"""From an alert to predictions that show it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from agent.alerting.book import Subject
from agent.counting import durations
from agent.records import Batch, Closed, Columns, Event, ModelKey, Numbers, Source, Texts
from agent.traces.examples import Examples
from agent.traces.linking import ALL_MAX, Linking, linked_event
from agent.traces.traced import Trace, Traces
from tests.end_to_end import stream

ROWS = 400
MODEL = ModelKey("loan", "3")


def linking(folder: Path, segment: str = "") -> Linking:
    """A closed window in which x0 of the last fifth of the rows is 3, and these took 2 s; the rest is as ever."""
    reference = stream.reference(folder / "r.sidelight")
    rng = np.random.default_rng(5)
    moved = np.arange(ROWS) >= ROWS * 4 // 5
    x0 = np.where(moved, 3.0, rng.normal(size=ROWS).clip(-1, 1))
    latency = np.where(moved, 2.0, 0.01)
    traces = [
        Trace(
            row, rng.bytes(16), b"\2" * 8, 0, "moved" if moved[row] else "usual", 5, float(latency[row]), "",
            segments=(f"region={'north' if row % 2 else 'south'}",),
        )
        for row in range(ROWS)
    ]  # fmt: skip
    batch = Batch(
        MODEL, ROWS, 0,
        Columns({"x0": Numbers(x0), "x1": Numbers(rng.normal(size=ROWS)), "x2": Numbers(rng.normal(size=ROWS))},
                {"city": Texts(stream.CITIES, rng.integers(0, 4, ROWS).astype(np.int32))}),
        Columns(), latency=latency, traces=Traces.of(traces),
    )  # fmt: skip
    layout = reference.layout
    placed = layout.place(batch)
    examples = Examples(layout.cells)
    examples.add(batch, placed.cells)
    counts = placed.count(layout.cells).astype(np.int32)
    closed = Closed(0, counts, durations.histogram(latency)[0].astype(np.int32), ROWS)
    closed.segments = {segment: counts} if segment else {}
    return Linking(examples, closed, reference)


def subject(name: str, source: Source = Source.FEATURE, segment: str = "") -> Subject:
    return Subject("drift", source, name, "", segment=segment)


def test_examples_come_from_the_cells_that_grew(tmp_path: Path) -> None:
    """Of a fifth of the rows that moved all examples of a drift are such; of slow latencies the slow ones."""
    its = linking(tmp_path)
    for about in (subject("x0"), subject("latency", Source.LATENCY)):
        found = [trace.prediction_id for _, trace, _ in its.find([about])]
        assert found == ["moved", "moved"]


def test_a_segments_examples_are_of_that_segment(tmp_path: Path) -> None:
    """Also where the whole's example of the cell is another's; a segment nobody counted has none."""
    its = linking(tmp_path, "region=north")
    found = its.find([subject("x0", segment="region=north")])
    assert {trace.segments for _, trace, _ in found} <= {("region=north",)}
    assert its.find([subject("x0", segment="region=west")]) == []


def test_an_alert_has_few_examples_each_once(tmp_path: Path) -> None:
    """However many values it is about; what has no cells (volume, a vector) has none."""
    its = linking(tmp_path)
    found = its.find([subject(name) for name in ("x0", "x0", "x1", "x2", "city", "volume")])
    assert len({number for number, _, _ in found}) == len(found) == ALL_MAX
    assert its.find([subject("volume", Source.ROW), subject("embedding")]) == []


def test_one_span_serves_two_alerts(tmp_path: Path) -> None:
    """What became a span for one alert of a close is told as one already to the next."""
    its = linking(tmp_path)
    (first, _, exported), *_ = its.find([subject("x0")])
    assert not exported
    its.spans.add(first)
    assert its.find([subject("x0")])[0][2]


def test_an_event_names_its_examples_for_machines_and_people() -> None:
    """Ids in hex, as lists of one length, and each trace once in the sentence."""
    traces = [Trace(row, b"\1" * 16, b"\2" * 8, 0, f"p-{row}", 5, 0.1, "") for row in range(2)]
    found = linked_event(Event("e", "k", 5, "WARN", "It drifts.", {"a": 1}), traces, MODEL)
    assert found.attributes["sidelight.example.trace_id"] == ["01" * 16] * 2
    assert len(set(found.attributes["sidelight.example.span_id"])) == 2
    assert found.body == f"It drifts. Examples: trace {'01' * 16}."
    assert found.attributes["a"] == 1

"""The benchmarks run: real processes, tiny amounts, no figure believed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agent.ingest.columns import Reader
from agent.ingest.limits import Limits, Refusals
from agent.records import ModelKey
from agent.wire import recorder_pb2 as wire
from agent.wire import twin_pb2 as twin
from bench.__main__ import SECTIONS, main, run
from bench.limits import Floor, RowFloor
from bench.scale import TINY
from bench.traffic import Traffic, batch, messages, reference, stamp


def test_one_section_runs_from_a_real_agent_to_the_page(tmp_path: Path) -> None:
    """An agent, an empty server and a sender are started, measured and ended."""
    page = tmp_path / "page.md"
    assert main(["--tiny", "--only", "single", "--out", str(page)]) == 0
    assert "| one record a call (unary) | ≤ 1.5 × empty grpc.aio handler |" in page.read_text()


def test_evaluating_runs_over_every_horizon() -> None:
    """In process: it has an agent's judge, not an agent."""
    whole, segments, longest = run(TINY, ["evaluating"])
    for line in (whole, segments, longest):
        assert line.measured is not None
        assert line.measured.median > 0
    assert "quality: " in longest.note


def test_steps_of_what_follows_labels_are_timed() -> None:
    """In process: performance, gaps between groups, estimates, each with its limit."""
    lines = run(TINY, ["following"])
    assert [line.budget for line in lines] == [2.0] * 3
    for line in lines:
        assert line.measured is not None
        assert " steps, 2 closes" in line.note


def test_a_section_that_does_not_exist_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    """And is named."""
    with pytest.raises(SystemExit):
        main(["--only", "speed"])
    assert "'speed'" in capsys.readouterr().err
    assert "bulk" in SECTIONS


def test_messages_carry_what_the_agent_counts() -> None:
    """Sender and reference are made from the same values: what is sent lies in the reference's bins."""
    traffic = Traffic(rows=40, vector=6, missing=0.3, segments=(3,))
    (raw,) = messages(traffic, 1)
    request = twin.Request.FromString(raw + stamp("me", 7))
    assert (request.client_id, request.sequence) == (b"me", 7)
    found = Reader(request.columns, Limits(), Refusals.none(40)).batch(ModelKey("loan", "1"), 1)
    known = batch(traffic, 40, seed=1000)
    for name, column in known.features.numbers.items():
        np.testing.assert_array_equal(found.features.numbers[name].values, column.values)
    assert known.features.numbers["number_000"].state is not None
    np.testing.assert_array_equal(found.segments["segment_0"].codes, known.segments["segment_0"].codes)
    layout = reference(traffic, 60.0).layout
    np.testing.assert_array_equal(layout.place(found).cells, layout.place(known).cells)


def test_rows_carry_the_same_as_columns() -> None:
    """The two ways of sending are compared, so they must send the same."""
    request = wire.RecordRequest.FromString(messages(Traffic(body="rows", rows=3), 1)[0])
    known = batch(Traffic(rows=3), 3, seed=1000)
    for i, row in enumerate(request.rows.rows):
        assert dict(row.numbers) == {name: column.values[i] for name, column in known.features.numbers.items()}
        assert dict(row.texts) == {name: c.dictionary[c.codes[i]] for name, c in known.features.texts.items()}


def test_traffic_survives_its_way_to_the_sender() -> None:
    """As JSON on a command line."""
    traffic = Traffic(segments=(10, 3), model="x").wide(200)
    assert Traffic.from_json(traffic.to_json()) == traffic
    assert traffic.numbers + traffic.texts == 200


def test_the_floors_do_what_they_say(tmp_path: Path) -> None:
    """Each costs something, and walking a row's maps more than parsing it."""
    floor = Floor(Traffic(rows=50), tmp_path, times=5)
    assert floor.count() > 0
    assert floor.sketch() > 0
    assert (tmp_path / "floor.log").stat().st_size > 0
    rows = RowFloor(Traffic(body="rows", rows=50), times=20)
    assert 0 < rows.parse() < rows.walk()

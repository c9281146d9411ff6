"""The labelled reference's section: made by a build, read by the agent."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from agent.clock import TurnedClock
from agent.concept.section import KEY, Errors, Section
from agent.errors import CorruptError
from agent.records import Task, Verdict
from agent.reference.build import Built, build
from agent.reference.plan import Request
from tests.concept.labels import World, about, closed, watching

START = 1_699_999_200  # seconds, a whole hour
ROWS = 6_000


def built(tmp_path: Path, **columns: object) -> Built:
    """20 hours of 300 rows, unless the columns say otherwise."""
    rng = np.random.default_rng(3)
    truth = rng.random(ROWS) < 0.5
    wrong = rng.random(ROWS) < np.where(truth, 0.15, 0.05)
    named = np.array(["no", "yes"])
    own = {
        "at": START + np.arange(ROWS) * 12, "age": rng.integers(18, 90, ROWS),
        "said": named[(truth ^ wrong).astype(int)], "left": named[truth.astype(int)],
        "region": rng.choice(["north", "south"], ROWS),
    }  # fmt: skip
    pq.write_table(pa.table(own | columns), tmp_path / "d.parquet")
    request = Request(
        data=(str(tmp_path / "d.parquet"),), model="loan", version="1", time="at", prediction="said", label="left",
        score="chance" if "chance" in columns else "", segments=("region",), window_seconds=3600,
    )  # fmt: skip
    return build(request, clock=TurnedClock(), makers=(Errors,))


def test_the_errors_of_the_reference_are_the_usual_ones(tmp_path: Path) -> None:
    """Blocks of rights and wrongs by window, both directions and each segment: the agent judges its first labels."""
    reference = built(tmp_path).reference
    section = Section.from_bytes(reference.section(KEY) or b"")
    assert set(section.series) == {"", "region=north", "region=south"}
    whole = section.series[""]
    assert whole.shape == (20, 11)
    assert whole[:, 0].sum() == ROWS
    assert whole[:, 1:4].sum(axis=0) / ROWS == pytest.approx([0.1, 0.025, 0.075], abs=0.01)
    concept, world = watching(about(reference=reference)), World(1)
    assert closed(concept, world.classified(0, 0.05, 0.15), 0)[0].verdict is Verdict.WITHIN_NOISE
    found = [closed(concept, world.classified(i, 0.2, 0.15), i)[0] for i in range(1, 5)]
    assert any(f.alarms and "mostly false positives" in f.reason for f in found)
    assert concept.show()["usual_from"] == "the reference"


def test_numbers_keep_the_scale_they_had_in_the_reference(tmp_path: Path) -> None:
    """Mean absolute errors of the reference and of the traffic are compared in one unit."""
    rng = np.random.default_rng(4)
    truth = 100.0 + 6.0 * rng.standard_normal(ROWS)
    reference = built(tmp_path, said=np.full(ROWS, 100.0), left=truth).reference
    concept, world = watching(about(Task.REGRESSION, positive="", reference=reference)), World(2)
    first = closed(concept, world.numbered(0, 6.0), 0)[0]
    assert first.verdict is Verdict.WITHIN_NOISE
    assert "usually 4." in first.reason
    assert any(closed(concept, world.numbered(i, 9.0), i)[0].alarms for i in range(1, 5))


def test_scores_of_the_reference_say_what_outcome_is_usual(tmp_path: Path) -> None:
    """Blocks and bins of what scores told of, by segment: the agent judges its first labels by them; a section without
    scores leaves these to the service."""
    rng = np.random.default_rng(5)
    logits = rng.normal(size=ROWS) - 3.2
    came = rng.random(ROWS) < 1.0 / (1.0 + np.exp(-logits))
    named = np.array(["no", "yes"])
    reference = built(
        tmp_path, said=named[(logits > 0.0).astype(int)], left=named[came.astype(int)],
        chance=1.0 / (1.0 + np.exp(-logits)),
    ).reference  # fmt: skip
    section = Section.from_bytes(reference.section(KEY) or b"")
    bins = section.bins_of("")
    assert bins is not None
    assert bins.sum(axis=0).tolist() == [ROWS - came.sum(), came.sum()]
    assert sum(each.sum() for name, each in section.bins.items() if name) == ROWS
    assert section.series[""][:, 7:9].sum(axis=0).tolist() == [ROWS, came.sum()]
    concept, world = watching(about(reference=reference)), World(6)
    found = [closed(concept, world.scored(i, -3.2, 0.8), i)[0] for i in range(8)]
    assert found[-1].alarms
    assert "yes was expected in" in found[-1].reason
    assert built(tmp_path).reference.section(KEY) is not None
    assert Section.from_bytes(built(tmp_path).reference.section(KEY) or b"").bins_of("") is None


def test_a_short_reference_leaves_it_to_the_service(tmp_path: Path) -> None:
    """Five windows do not say how windows differ: the person who builds is told, and the agent learns by itself."""
    made = built(tmp_path, at=START + np.arange(ROWS) * 3)
    assert any("16 windows and 200 labels are needed" in note for note in made.notes)
    concept, world = watching(about(reference=made.reference)), World(3)
    assert closed(concept, world.classified(0, 0.1, 0.1), 0)[0].verdict is Verdict.LEARNING


def test_a_stored_state_goes_on_with_the_reference(tmp_path: Path) -> None:
    """The reference's blocks are not in the state, and are there again after a restart; another reference's are
    another question."""
    reference = built(tmp_path).reference
    concept, world = watching(about(reference=reference)), World(4)
    for i in range(4):
        closed(concept, world.classified(i, 0.05, 0.15), i)
    again = watching(about(reference=reference))
    again.load(concept.dump())
    pairs = world.classified(4, 0.25, 0.25)
    assert closed(again, pairs, 4) == closed(concept, pairs, 4)
    again.prepare(about())
    assert closed(again, world.classified(5, 0.1, 0.1), 5)[0].verdict is Verdict.LEARNING


def test_a_section_that_nobody_wrote_is_refused(tmp_path: Path) -> None:
    """Cut, negative, of another format, or no section at all: the agent says so and learns by itself."""
    body = built(tmp_path).reference.section(KEY) or b""
    negative = Section(Section.from_bytes(body).scale, {"": -np.ones((3, 11))}).to_bytes()
    reference = replace(built(tmp_path).reference, unknown=((KEY, negative),))
    concept, world = watching(about(reference=reference)), World(5)
    assert closed(concept, world.classified(0, 0.1, 0.1), 0)[0].verdict is Verdict.LEARNING
    assert "nobody counted" in concept.show()["reference_unusable"]
    for broken in (body[:-9], body.replace(b'"format": 2', b'"format": 9'), negative, b"", b"\n", b"{}\n"):
        with pytest.raises(CorruptError):
            Section.from_bytes(broken)

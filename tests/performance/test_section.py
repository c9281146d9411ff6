"""The reference's section: made by the build, read by the agent."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from agent.clock import TurnedClock
from agent.errors import CorruptError
from agent.packed import pack, unpack
from agent.performance.figures import figures
from agent.performance.form import Form
from agent.performance.section import KEY, Performing, Section
from agent.records import Task
from agent.reference import file
from agent.reference.build import Built, build
from agent.reference.plan import Request
from tests.performance.pairs import classified, counted, numbered
from tests.performance.worlds import reference_of

START = 1_699_999_200  # seconds, a whole hour


def _built(tmp_path: Path, columns: dict[str, object], **more: object) -> Built:
    pq.write_table(pa.table(columns), tmp_path / "d.parquet", row_group_size=300)
    data = (str(tmp_path / "d.parquet"),)
    request = Request(data=data, model="m", version="1", time="at", label="truth", **more)  # type: ignore[arg-type]
    return build(request, clock=TurnedClock(), makers=(Performing,))


def _columns(rows: int = 2000) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    score = rng.random(rows)
    return {
        "at": START + np.sort(rng.integers(0, 72_000, rows)),
        "age": rng.integers(18, 90, rows),
        "said": np.where(score >= 0.35, "yes", "no"),
        "score": score,
        "truth": np.where(rng.random(rows) < score, "yes", "no"),
        "region": rng.choice(["north", "south"], rows, p=[0.3, 0.7]),
    }


def test_the_reference_holds_its_own_performance(tmp_path: Path) -> None:
    """Of all rows, by segment and by block, as the agent counts them; the threshold is what predictions show."""
    columns = _columns()
    built = _built(tmp_path, columns, prediction="said", score="score", segments=("region",))
    section = Section.of(file.decode(file.encode(built.reference)))
    assert section is not None
    pairs = classified(columns["truth"].tolist(), columns["said"].tolist(), columns["score"])
    whole = figures(counted(Form(Task.BINARY, "yes"), pairs)).named
    found = figures(section.whole).named
    assert {name: figure.value for name, figure in found.items()} == pytest.approx(
        {name: figure.value for name, figure in whole.items()}
    )
    assert 0.35 <= section.form.threshold <= 0.36
    assert set(section.segments) == {"region=north", "region=south"}
    assert section.form.part(section.whole.sums, "means")[0, 0] == 2000
    assert section.blocks[0, :, 0, 0].sum() == section.part_blocks[:, :, 0, 0].sum() == 2000
    assert section.blocks.shape[1] == len(built.reference.rows)


def test_a_regressions_numbers_are_counted_from_their_middle(tmp_path: Path) -> None:
    """Far from zero R² keeps its digits."""
    rng = np.random.default_rng(1)
    true = 1e7 + rng.normal(0, 10, 2000)
    columns = _columns() | {"truth": true, "said": true + rng.normal(0, 5, 2000)}
    del columns["score"]
    section = Section.of(_built(tmp_path, columns, prediction="said", ignore=("region",)).reference)
    assert section is not None
    whole = counted(Form(Task.REGRESSION, pivot=1e7), numbered(true, columns["said"]))
    assert figures(section.whole).named["r2"].value == pytest.approx(figures(whole).named["r2"].value, rel=1e-6)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"said": ["Y", "N"] * 1000}, "no prediction is any label's word: are they written alike?"),
        ({"truth": np.arange(2000) % 5}, "the task is not known, so no performance was counted: say --task"),
    ],
)
def test_what_cannot_be_right_is_told_to_whoever_builds(tmp_path: Path, change: dict[str, object], said: str) -> None:
    """A note, and the reference is built all the same."""
    built = _built(tmp_path, _columns() | change, prediction="said", score="score", ignore=("region",))
    assert said in built.notes


def test_any_damage_is_refused() -> None:
    """Cut short, or of a form that it does not fit: CorruptError, never an array of another meaning."""
    body = reference_of(10, 50).section(KEY)
    assert body is not None
    assert Section.from_bytes(body).to_bytes() == body
    for cut in range(0, len(body) - 1, 37):
        with pytest.raises(CorruptError):
            Section.from_bytes(body[:cut])
    head, arrays = unpack(body, "it")
    for wrong in ({"task": 2}, {"task": 9}, {"counts": "00000000"}, {"blocks": 9}, {"segments": ["r"] * 101}):
        with pytest.raises(CorruptError):
            Section.from_bytes(pack(head | wrong, arrays))


def test_without_scores_no_threshold_is_made_up(tmp_path: Path) -> None:
    """NaN: predicted labels alone decide."""
    columns = _columns()
    del columns["score"]
    section = Section.of(_built(tmp_path, columns, prediction="said", ignore=("region",)).reference)
    assert section is not None
    assert math.isnan(section.form.threshold)

"""Outcomes by group in the reference file, and gaps judged against them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from agent.clock import TurnedClock
from agent.errors import CorruptError
from agent.fairness.groups import FIRST, Groups
from agent.fairness.outcomes import Measure
from agent.fairness.past import SECTION, Past, of_reference
from agent.fairness.section import FairnessSection
from agent.records import Task, Verdict
from agent.reference import file
from agent.reference.build import build
from agent.reference.plan import Request
from agent.reference.profile import Reference
from tests.fairness.fairness_worlds import Life, World, about

START = 1_699_999_200  # seconds, a whole hour
ROWS = 12_000


def columns(seed: int = 1, rows: int = ROWS) -> dict[str, np.ndarray]:
    """Forty hours of approvals; men's at 60 %, women's at 40 %."""
    rng = np.random.default_rng(seed)
    gender = rng.choice(["f", "m"], rows)
    truth = rng.random(rows) < 0.5
    chosen = rng.random(rows) < np.where(gender == "m", 0.5, 0.3) + 0.2 * truth - 0.1 * ~truth
    return {
        "at": START + np.sort(rng.integers(0, 40 * 3_600, rows)), "income": rng.normal(size=rows), "gender": gender,
        "said": chosen.astype(np.int64), "repaid": truth.astype(np.int64),
    }  # fmt: skip


def reference(tmp_path: Path, data: dict[str, np.ndarray], **roles: object) -> Reference:
    pq.write_table(pa.table(data), tmp_path / "d.parquet")
    said: dict[str, object] = {"prediction": "said", "label": "repaid", "protected": ("gender",), **roles}
    request = Request(data=(str(tmp_path / "d.parquet"),), model="loans", version="1", time="at", **said)  # type: ignore[arg-type]
    built = build(request, clock=TurnedClock(), makers=(FairnessSection,))
    return file.decode(file.encode(built.reference))


def past(found: Reference, groups: Groups) -> Past:
    held = of_reference(found.section(SECTION) or b"", "gender", Task.BINARY, "1", groups)
    assert held is not None
    return held


def test_the_file_holds_the_rates_of_each_group(tmp_path: Path) -> None:
    """As they are counted by hand, in whatever order the values have places here; forty windows of them."""
    data = columns()
    held = past(reference(tmp_path, data), groups := Groups(["x", "m"]))
    assert [len(side) for side in held.windows] == [40, 40]
    rates = held.level(groups.size).rates.mean
    for value in "fm":
        own, place = data["gender"] == value, groups.of(value)
        assert rates[place, Measure.SELECTION_RATE] == pytest.approx(data["said"][own].mean())
        truth = own & (data["repaid"] == 1)
        assert rates[place, Measure.TRUE_POSITIVE_RATE] == pytest.approx(data["said"][truth].mean())
    assert np.isnan(rates[FIRST, Measure.SELECTION_RATE])


def test_a_gap_is_judged_against_the_references_from_the_first_window(tmp_path: Path) -> None:
    """The same gap is none; one that grew alarms, and says against what."""
    life = Life(about(reference=reference(tmp_path, columns())))
    same = World(seed=2, names=("f", "m"), tpr=(0.5, 0.7), fpr=(0.2, 0.4))
    found = life.through(same, 12)
    assert not any(f.alarms for each in found for f in each)
    assert found[0][0].verdict is Verdict.WITHIN_NOISE
    told = next(each[0] for each in life.through(same, 4, {0: -0.2}) if each[0].alarms)
    assert "(the reference)" in told.reason
    assert told.n_reference > 2_000


def test_a_reference_without_groups_says_that_the_service_itself_is_learned(tmp_path: Path) -> None:
    """No --protected, no --label, or another model's positive label: nothing is taken from it."""
    data = columns()
    bare = reference(tmp_path, data, protected=())
    assert bare.section(SECTION) is None
    assert reference(tmp_path, data, label="", ignore=("repaid",)).section(SECTION) is None
    body = reference(tmp_path, data).section(SECTION) or b""
    assert of_reference(body, "gender", Task.BINARY, "0", Groups()) is None
    assert of_reference(body, "region", Task.BINARY, "1", Groups()) is None
    life = Life(about(reference=bare))
    assert life.through(World(seed=3), 1)[0][0].verdict is Verdict.LEARNING
    assert life.follower.show()["gender"]["judged_against"][0] == "the service's own first 1 windows"


def test_a_broken_section_is_not_taken(tmp_path: Path) -> None:
    """CorruptError; the follower says so once and learns from the service itself."""
    whole = reference(tmp_path, columns())
    body = whole.section(SECTION) or b""
    with pytest.raises(CorruptError):
        of_reference(body[:-9], "gender", Task.BINARY, "1", Groups())
    life = Life(about(reference=replace(whole, unknown=((SECTION, body[:-9]),))))
    assert life.through(World(seed=4), 1)[0][0].verdict is Verdict.LEARNING

"""The programme runs: small histories through the product's own code, no figure believed."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from agent.evaluate import Judge
from agent.records import Closed, Finding
from calibration import cost as costs
from calibration.__main__ import main
from calibration.cache import Results, code_hash
from calibration.cells import Cell, normal
from calibration.changes import changes
from calibration.drive import MeasureFailedError, Run, begun, run
from calibration.duel import CHANGES, duel
from calibration.outcome import found_of, null_of
from calibration.picture import draw
from calibration.report import Setting, Simulated, render
from calibration.schedule import Task
from calibration.versus import versus
from calibration.worlds import Change

SMALL = Cell("independent rows", normal(3), 50, 500, days=0.25)
LOUD = Cell("independent features", normal(3), 50, 500, days=0.5, dial=10.0)
MOVED = Cell("shift", normal(3), 200, 6_000, days=0.25, change=Change("shift", 3.0), subject="number_000", expected=1.0,
             trials=2)  # fmt: skip


def test_a_run_is_the_same_again() -> None:
    """But for the time it took."""
    first, again = run(SMALL, 5), run(SMALL, 5)
    assert (first.windows, first.alerts, first.checks) == (again.windows, again.alerts, again.checks)
    assert first.windows == 6
    assert first.features >= 3


def test_a_large_shift_is_found_and_named() -> None:
    """Three σ; and the same alert does not name the others."""
    found = run(MOVED, 1).found
    assert len(found) == 2
    assert all(1 <= delay <= 2 for delay in found)


def test_a_reference_from_a_file_judges_like_a_learned_one() -> None:
    """The same rows, by way of Parquet."""
    built = Cell("file", normal(3), 200, 6_000, days=0.1, made="file", change=Change("shift", 3.0), subject="")
    assert run(built, 1).found[0] > 0


def test_a_trial_leaves_what_it_branched_from_as_it_was() -> None:
    """Its windows and alerts are its own; the other future goes on as if it had not been."""
    stream = MOVED.stream(1)
    sidecar = begun(MOVED, [(k, stream.window(k, 200)) for k in range(30)])
    batches = [(k, stream.window(k, 200, MOVED.change)) for k in (30, 31)]
    before = list(sidecar.watch.series.recent)
    assert sidecar.branch().until_named("number_000", batches) > 0
    assert [closed.index for closed in sidecar.watch.series.recent] == [closed.index for closed in before]
    assert not sidecar.names("")
    assert sidecar.watch.judge is sidecar.branch().watch.judge
    assert sidecar.until_named("number_000", batches) > 0


def test_a_higher_dial_is_what_every_check_goes_by() -> None:
    """The judge's ledger, and the settings that volume and latency read."""
    sidecar = begun(LOUD, [(k, LOUD.stream(1).window(k, 50)) for k in range(10)])
    judge = sidecar.watch.judge
    assert judge is not None
    assert judge.ledger.dial.false_alarms_per_day == 10.0
    assert sidecar._settings.false_alarms_per_day == 10.0


class Broken:
    """A measure with a fault."""

    def judge(self, recent: Sequence[Closed]) -> Iterator[list[Finding]]:
        raise ZeroDivisionError("of some kind")
        yield []


def test_a_measure_that_fails_is_not_taken_for_calm(monkeypatch: pytest.MonkeyPatch) -> None:
    """The agent logs it and goes on; the calibration must not."""
    made = Judge.__init__

    def broken(self: Judge, *arguments: object) -> None:
        made(self, *arguments)  # type: ignore[arg-type]
        self.measures = (Broken(),)

    monkeypatch.setattr(Judge, "__init__", broken)
    with pytest.raises(MeasureFailedError, match="ZeroDivisionError"):
        run(SMALL, 1)


def test_results_survive_a_line_that_was_cut_off(tmp_path: Path) -> None:
    """A run that was killed while it wrote costs that line."""
    results = Results(tmp_path, "code")
    results.add("key", Run(2, 24, 3, {"data_drift": 1}, {"drift": 2}))
    results.add("key", Run(1, 24, 3))
    path = next(tmp_path.rglob("key.json"))
    path.write_text(path.read_text() + '{"seed": 3, "wind')
    assert [found.seed for found in results.of("key")] == [1, 2]
    assert results.of("key")[1].episodes == 1
    assert results.of("other") == []
    assert Results(tmp_path, "other code").of("key") == []


def test_the_code_hash_is_of_the_statistics() -> None:
    """Sixteen hex digits, the same all through a run."""
    assert len(code_hash()) == 16
    assert code_hash() == code_hash()


def test_finished_runs_are_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second time nothing is simulated, and the page says so."""
    monkeypatch.setenv("SIDELIGHT_CALIBRATION_CACHE", str(tmp_path))
    monkeypatch.setattr("calibration.__main__.nulls", lambda: (SMALL,))
    monkeypatch.setattr("calibration.__main__.changes", tuple)
    monkeypatch.setattr("calibration.__main__.dials", tuple)
    arguments = ["--only", "rows", "--minutes", "0.001", "--cores", "1", "--out", str(tmp_path / "page.md")]
    assert main(arguments) == 0
    assert "3 histories, 0 of them kept" in (tmp_path / "page.md").read_text()
    assert main(arguments) == 0
    page = (tmp_path / "page.md").read_text()
    assert "3 histories, 3 of them kept" in page
    assert "| independent rows | 50 | 500 | 3 | 3 | 1 |" in page
    ElementTree.parse(tmp_path / "page.svg")


def test_a_broken_cell_is_said_and_fails_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty episodes in three days."""
    cell = Cell("window of nothing", normal(1), 50, 500, days=1.0)
    monkeypatch.setenv("SIDELIGHT_CALIBRATION_CACHE", str(tmp_path))
    monkeypatch.setattr("calibration.__main__.nulls", lambda: (cell,))
    monkeypatch.setattr("calibration.__main__.changes", tuple)
    monkeypatch.setattr("calibration.__main__.dials", tuple)
    results = Results(tmp_path, code_hash())
    for seed in range(3):
        results.add(cell.key, Run(seed, 24, 1, {"data_drift": 7}, {"drift": 7}, cpu_seconds=60.0))
    page = tmp_path / "page.md"
    assert main(["--only", "nothing", "--minutes", "0.01", "--cores", "1", "--out", str(page)]) == 1
    assert "Broken: window of nothing (n = 50, N = 500, m = 1): 7.0 a day against 0.05." in page.read_text()
    assert "| 21 | 7.0 ± 1.5 | 4.3 to 11 | 0.05 |" in page.read_text()
    assert "| **broken** |" in page.read_text()


def fake_duel(shift: float) -> dict[str, object]:
    """As `duel` and the peers' process answer: scores of two rules."""
    rule = {
        "null": [[0.1 * shift] * 10] * 96,
        "changed": [[float(k)] * 24 for k in range(len(CHANGES))],
        "null_flags": [[0] * 9 + [1]] * 96,
        "changed_flags": [[0] * 23 + [1]] * len(CHANGES),
    }
    own = {"episodes": 0, "alarms": 0, "delays": [0] + [1] * (len(CHANGES) - 1)}
    return {"ours": own, "peers": {"one": rule, "two": rule}, "versions": {"one": "1.0"}}


def test_the_page_and_the_picture_hold_everything() -> None:
    """Both are made of what was found, and the picture is well-formed."""
    met = versus([json.loads(json.dumps(fake_duel(shift))) for shift in (1.0, 2.0)])
    assert met.defaults[0].alarms == 24.0
    assert met.defaults[0].episodes == 0.25  # one that never ends, in four days
    assert met.tuned[0].alarms == 0.0
    quiet = null_of(Task(SMALL, 1.0, 3, [run(SMALL, 1)], 0))
    found = found_of(Task(MOVED, 1.0, 3, [run(MOVED, 1)], 0))
    loud = null_of(Task(LOUD, 1.0, 3, [Run(0, 48, 3, {"data_drift": 4}, {"drift": 6})], 0))
    simulated = Simulated([quiet], [loud], [found])
    page = render(Setting("a machine", "abc", "def", 1.0, 2, 0, 3.0), simulated, {0.0: met, 0.1: met}, None)
    assert "## Something happens" in page
    assert "| one | 24 | 100.0% | 0.25 |" in page
    assert "2 of 2 cells keep their limit" in page
    # Of six hours without an episode the interval ends far above the dial; two episodes a day lie within one of ten.
    assert "In 1 of them even the upper end of the 95 % interval is within the limit." in page
    assert "| 0 | 0 | 0 to 15 | 0.05 |" in page
    assert "| 2.0 | 0.20 ± 0.10 | 3.0 | 0.88 ± 0.36 | kept |" in page
    drawn = draw([quiet], {0.0: met, 0.1: met})
    ElementTree.fromstring(drawn)
    assert "the dial" in drawn


def test_changes_name_values_that_their_worlds_have() -> None:
    """A name that is nowhere would never be found."""
    for cell in changes():
        batch = cell.stream(0).window(0, 10, cell.change)
        assert batch is not None
        assert cell.subject in {"", "volume", *batch.features.names()}


def test_ours_meets_the_same_arrays_without_the_peers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where their packages cannot be had."""
    monkeypatch.setattr("calibration.duel.NULL_WINDOWS", 24)
    monkeypatch.setattr("calibration.duel.CHANGES", (("shift 1 σ", Change("shift", 1.0)),))
    found = duel(0.0, 1, None)
    assert found["ours"]["delays"][0] in (1, 2)
    assert "peers" not in found


def test_costs_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each more than nothing."""
    monkeypatch.setattr(costs, "REPEATS", 3)
    found = costs.cost()
    assert min(found.value_ns, found.bare_ns, found.window_ms, found.reference_bytes, found.watching_bytes) > 0


def test_an_hour_without_rows_closes_nothing() -> None:
    """Nights of real data."""
    cell = SMALL
    stream = cell.stream(1)
    sidecar = begun(cell, [(k, stream.window(k, 50)) for k in range(10)])
    sidecar.hour(None, 10)
    assert not sidecar.watch.series.recent

"""`sidelight ledger` as text, and the command around it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent import cli
from agent.evaluate import Judge
from agent.ledger import Dial
from agent.power import report
from agent.power.report import describe, headline
from agent.power.sight import Seen, Sight
from agent.records import Source
from agent.reference import file
from agent.web.ledger import render_ledger
from tests.drift.worlds import World, zipf

WORLD = World(features=4, n=1000, reference_rows=50_000, seed=1, texts=[zipf(12)])
JUDGE = Judge(WORLD.reference, Dial(), 3600.0)
TOLD = describe(JUDGE, 1000.0)


@pytest.mark.parametrize("width", [80, 100])
def test_a_ledger_fits_the_terminal(width: int) -> None:
    """No line is wider, and every running check of the dial has one."""
    text = render_ledger(TOLD, width)
    assert max(len(line) for line in text.splitlines()) <= width
    assert "at most 0.05 false alarms a day" in text
    for words in ("drift", "missing", "out of range", "in one window", "given time"):
        assert words in text


def test_shares_are_told_to_be_divided_over_horizons() -> None:
    """Each kind of check over its own windows; what is told by an agent before this one is shown without."""
    text = render_ledger(TOLD, 100)
    assert "over the newest 1, 2, 4, 8, 16 and 24 windows alike: drift\n" in text
    assert "over the newest 1, 4 and 16 windows alike: type mismatch, missing, absent" in text
    before = [{name: value for name, value in row.items() if name != "windows"} for row in TOLD["split"]]
    assert "alike" not in render_ledger(TOLD | {"split": before}, 100)


def test_features_alike_share_a_line_and_critical_ones_have_their_own() -> None:
    """Best, median and worst of many; a critical one by name; the blind with the reason."""
    sights = [line | {"critical": line["feature"] == "number2"} for line in TOLD["sights"] if line["check"] == "drift"]
    sights[0] = sights[0] | {"seen": [], "reason": "the reference has too few windows"}
    text = render_ledger(TOLD | {"sights": sights}, 100)
    assert "critical: number2" in text
    assert "sees nothing" in text
    assert "drift of number0: the reference has too few windows" in text


def test_a_fixed_rule_and_the_traffic_are_told() -> None:
    """What the threshold costs stands at the top; a ratio reads as one."""
    cost = {"rule": "psi>0.2", "rows": 98, "features": 19, "false_alarms_per_day": 16.4}
    volume = {
        "check": "volume", "feature": "traffic", "source": "row", "unit": "ratio", "before": 1.0, "critical": False,
        "reason": "", "seen": [{"windows": 1, "seconds": 3600.0, "smallest": 1.6}],
    }  # fmt: skip
    text = render_ledger(TOLD | {"fixed_rule": cost, "sights": [volume]}, 100)
    assert "psi>0.2 instead: about 16 false alarms a day over 19 features" in text
    assert "× 1.6" in text


def test_a_name_cannot_steer_the_terminal() -> None:
    """Control characters come out as question marks."""
    assert "\x1b" not in render_ledger(TOLD | {"model": "evil\x1b[2J"}, 80)


def test_the_headline_counts_the_blind() -> None:
    """The median of those that see; those that do not are counted, and if none does it says why."""
    sees = Sight("drift", "a", Source.FEATURE, "σ", seen=(Seen(4, 0.14),))
    blind = Sight("drift", "b", Source.FEATURE, "σ", reason="too few rows")
    assert headline([sees, blind], 3600.0).endswith("0.14 σ (median of 1 input; 1 not seen within a day)")
    assert "no shift would be seen" in headline([blind], 3600.0)
    assert headline([], 3600.0) == ""


def test_a_number_of_which_nothing_is_seen_is_named_once() -> None:
    """Though its shift and its spread are two sights."""
    blind = [Sight("drift", "fare", Source.FEATURE, unit, reason="too few rows") for unit in ("σ", "sd")]
    told = render_ledger(TOLD | {"sights": [report.line(sight, 3600.0) for sight in blind]}, 100)
    assert "drift of fare: too few rows" in told


@pytest.fixture
def reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("SIDELIGHT_FALSE_ALARMS_PER_DAY", raising=False)
    path = tmp_path / "1.sidelight"
    file.write(WORLD.reference, path)
    return path


def test_the_command_reads_a_reference(reference: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Before any agent runs; more rows see smaller shifts."""
    found = []
    for rows in ("100", "1000"):
        assert cli.main(["ledger", "--reference", str(reference), "--rows-per-window", rows, "--json"]) == 0
        (told,) = json.loads(capsys.readouterr().out)
        found.append(
            min(
                s["smallest"]
                for line in told["sights"]
                for s in line["seen"]
                if line["unit"] == "σ" and s["windows"] == 1
            )
        )
    assert found[1] < found[0]
    assert cli.main(["ledger", "--reference", str(reference)]) == 0
    assert "input shift" in capsys.readouterr().out


def test_wrong_arguments_are_named(reference: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A number of rows that is none, rows without a reference, a reference that is none: exit code 2 and the reason."""
    with pytest.raises(SystemExit) as caught:
        cli.main(["ledger", "--reference", str(reference), "--rows-per-window", "many"])
    assert caught.value.code == 2
    assert "expected a number of rows" in capsys.readouterr().err
    assert cli.main(["ledger", "--rows-per-window", "100"]) == 2
    assert "--reference" in capsys.readouterr().err
    assert cli.main(["ledger", "--reference", str(reference.with_name("none.sidelight"))]) == 2
    assert "none.sidelight" in capsys.readouterr().err


def test_a_fixed_rule_says_its_price_before_any_agent_runs(
    reference: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of five features at 100 rows a window; no calibrated shift is told then."""
    monkeypatch.setenv("SIDELIGHT_DRIFT_RULE", "psi>0.2")
    assert cli.main(["ledger", "--reference", str(reference), "--rows-per-window", "100"]) == 0
    told = capsys.readouterr().out
    assert "drift alarms by the fixed threshold psi>0.2 instead: about" in told
    assert "over 5 features" in told
    assert "input shift" not in told

"""`sidelight reference build` and `show`, as a person meets them."""

from __future__ import annotations

import argparse
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agent.bins import Rules
from agent.records import Source
from agent.reference import file, locate
from agent.reference.command import add_arguments
from agent.reference.report import carried, horizons
from agent.reference.schema import load
from tests.reference.references import small_reference


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """400 rows over 40 hours: two features, an answer."""
    rng = np.random.default_rng(0)
    rows = [f"{1_699_999_200 + 360 * i},{rng.integers(18, 90)},{'ab'[i % 2]},{'yn'[i % 2]}" for i in range(400)]
    path = tmp_path / "data.csv"
    path.write_text("at,age,city,answer\n" + "\n".join(rows) + "\n")
    return path


def _run(*arguments: object) -> int:
    parser = argparse.ArgumentParser()
    add_arguments(parser.add_subparsers())
    options = parser.parse_args(["reference", *map(str, arguments)])
    return int(options.run(options))


DEMANDS = """
[prediction]
allowed = ["y", "n", "never"]
[features.age]
range = [0, 120]
whole = true
required = true
[features.city]
closed = true
max_missing = 0.02
"""


def test_demands_travel_in_the_reference_and_come_back(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the schema file through the reference file to `sidelight reference schema`; it builds the same."""
    said, output, again = tmp_path / "said.toml", tmp_path / "m.sidelight", tmp_path / "again.sidelight"
    said.write_text(DEMANDS)
    assert _build(data, output, "--prediction", "answer", "--schema", str(said)) == 0
    prediction, age, city = locate.read(output).layout.features
    assert prediction.categories == ("n", "y")
    assert (len(prediction.seen), prediction.rules) == (1, Rules(max_new=0.0))
    assert age.rules == Rules(required=True, whole=True, low=0.0, high=120.0)
    assert (age.edges[0], age.edges[-1]) == (0.0, 120.0)
    assert city.rules == Rules(max_missing=0.02, max_new=0.0)
    capsys.readouterr()
    assert _run("schema", output) == 0
    text = capsys.readouterr().out
    for line in ("range = [0.0, 120.0]", "whole = true", "required = true", "closed = true", "max_missing = 0.02"):
        assert line in text
    said.write_text(text.replace("closed = true", "allowed = ['n', 'y', 'never']", 1))
    assert _build(data, again, "--prediction", "answer", "--schema", str(said)) == 0
    assert locate.read(again).layout == locate.read(output).layout


def test_without_a_word_outputs_stay_in_their_world(data: Path, tmp_path: Path) -> None:
    """A label with classes closes the set of predictions; the schema says so, for a person to correct."""
    output = tmp_path / "m.sidelight"
    assert _build(data, output, "--prediction", "answer", "--label", "city") == 0
    prediction, _ = locate.read(output).layout.features
    assert (prediction.categories, len(prediction.seen), prediction.rules.max_new) == (("n", "y"), 2, 0.0)
    assert load(tmp_path / "m.schema.toml").of(Source.PREDICTION, "prediction").allowed == ("a", "b", "n", "y")


def _build(data: Path, output: Path, *more: str) -> int:
    return _run("build", data, "--model", "m", "--version", "1", "--time", "at", "-o", output, *more)


def test_build_writes_reference_and_schema_and_show_prints_it(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The whole way: build, what it says, the files, and what show makes of them."""
    output = tmp_path / "m.sidelight"
    assert _build(data, output, "--prediction", "answer", "--public", "city", "--window", "30m") == 0
    said = capsys.readouterr()
    assert "m 1, hash" in said.out
    assert "400 rows in 80 windows of 30m" in said.out
    assert "carries horizons of 1, 2, 4, 8 windows; 16 windows pooled need 160" in said.out
    assert "note: the positive label is taken to be 'y'" in said.err
    reference = locate.read(output)
    assert [f.name for f in reference.layout.features] == ["prediction", "age", "city"]
    assert reference.layout.features[2].public
    assert load(tmp_path / "m.schema.toml").window_seconds == 1800.0
    assert _run("show", output) == 0
    shown = capsys.readouterr().out
    for word in (reference.hash_text, "prediction", "city", "public", "integral", "0.00%", "carries horizons"):
        assert word in shown


def test_an_edited_schema_is_never_overwritten(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Building again says that the file beside it was not used; with --schema it is."""
    output, schema = tmp_path / "m.sidelight", tmp_path / "m.schema.toml"
    assert _build(data, output) == 0
    edited = schema.read_text() + '\n[features.answer]\ntype = "text"\nignored = true\n'
    edited = edited.replace('[features.answer]\ntype = "text"\n\n', "", 1)
    schema.write_text(edited)
    assert _build(data, output) == 0
    assert "is kept as it is and was not used" in capsys.readouterr().err
    assert schema.read_text() == edited
    assert _build(data, output, "--schema", str(schema)) == 0
    assert [f.ignored for f in locate.read(output).layout.features] == [False, False, True]


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        (["--time", "when"], "data.csv: --time: no column 'when'"),
        (["--window", "soon"], "--window 'soon': expected a duration"),
        (["--trained-at", "soon"], "--trained-at 'soon': expected a time"),
        (["--schema", "/nowhere.toml"], "/nowhere.toml: No such file"),
        (["-o", "/nowhere/m.sidelight"], "/nowhere: there is no such folder"),
    ],
)
def test_mistakes_end_with_2_and_one_line(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], complaint: str
) -> None:
    """The line names what is wrong; no traceback, no file."""
    assert _build(data, tmp_path / "m.sidelight", *more) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("reading")]
    assert len(lines) == 1
    assert lines[0].startswith("sidelight reference: ")
    assert complaint in lines[0]
    assert not (tmp_path / "m.sidelight").exists()


def test_show_names_a_damaged_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 2 and the section."""
    path = tmp_path / "m.sidelight"
    path.write_bytes(file.encode(small_reference())[:-20])
    assert _run("show", path) == 2
    assert "m.sidelight" in capsys.readouterr().err


def test_horizons_need_ten_times_their_rows_and_thirty_blocks() -> None:
    """3 blocks carry nothing and say what is missing; 30 carry one and two windows; 240 all."""
    small = small_reference()
    assert carried(small) == []
    assert "1 window needs 30 reference windows, there are 3" in horizons(small)

    def blocks(number: int) -> list[int]:
        return carried(replace(small, rows=np.full(number, 100)))

    assert blocks(29) == []
    assert blocks(30) == [1, 2]
    assert blocks(239) == [1, 2, 4, 8, 16]
    assert blocks(240) == [1, 2, 4, 8, 16, 24]


def test_every_option_is_documented() -> None:
    """Each option of `reference build` stands in docs/reference.md."""
    parser = argparse.ArgumentParser()
    inner = add_arguments(parser.add_subparsers())
    page = (Path(__file__).parents[2] / "docs" / "reference.md").read_text(encoding="utf-8")
    options = [o for action in inner.choices["build"]._actions for o in action.option_strings if o.startswith("--")]
    assert len(options) > 15
    assert [o for o in options if f"`{o}" not in page and o != "--help"] == []


def test_the_agent_s_part_needs_neither_pyarrow_nor_rich() -> None:
    """Reading, finding, learning and the command's own import load no build-time package, and open no socket."""
    code = (
        "import sys, socket\n"
        "def refuse(*_): raise AssertionError('a socket at import')\n"
        "socket.socket.connect = refuse\n"
        "import agent.reference.command, agent.reference.learn, agent.reference.learn_state, agent.reference.locate\n"
        "heavy = {'pyarrow', 'rich', 'scipy', 'pandas', 'requests'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, cwd=Path(__file__).parents[2])

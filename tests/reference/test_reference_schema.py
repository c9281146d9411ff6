"""The schema file: round trip, and errors a person can act on."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import UnusableReferenceError
from agent.records import Kind, Source
from agent.reference.schema import FeatureSchema, Schema, duration_seconds, duration_text, load, parse
from agent.reference.schema_text import render

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
SHARES = st.floats(0.0, 1.0)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
LOW, HIGH = FINITE | st.just(float("-inf")), FINITE | st.just(float("inf"))
RANGES = st.tuples(LOW, HIGH).filter(lambda pair: pair[0] <= pair[1])
NUMBERS = st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2, max_size=6, unique=True)


@st.composite
def feature_schemas(draw: st.DrawFn) -> FeatureSchema:
    kind = draw(st.sampled_from(Kind))
    edges = tuple(sorted(draw(NUMBERS))) if kind is Kind.NUMBER and draw(st.booleans()) else ()
    named = tuple(draw(st.lists(TEXT, unique=True, max_size=4))) if kind is Kind.TEXT else ()
    allowed, closed = draw(st.booleans()), draw(st.none() | st.booleans())
    demanding = draw(st.booleans())
    whole = demanding and kind is Kind.NUMBER and draw(st.booleans())
    set_apart = demanding and kind is Kind.TEXT
    return FeatureSchema(
        kind=kind,
        public=draw(st.booleans()),
        critical=draw(st.booleans()),
        ignored=not demanding and draw(st.booleans()),
        integral=True if whole else draw(st.none() | st.booleans()),
        edges=edges,
        categories=() if set_apart and allowed else named,
        required=demanding and draw(st.booleans()),
        never_null=demanding and draw(st.booleans()),
        whole=whole,
        range=draw(RANGES) if demanding and kind is Kind.NUMBER else None,
        allowed=named if set_apart and allowed else (),
        closed=closed if set_apart and not (allowed and named) else None,
        max_missing=draw(SHARES) if demanding else 1.0,
        max_new=draw(SHARES) if set_apart and not (allowed and named) and closed is None else 1.0,
    )


@settings(max_examples=80, deadline=None)
@given(st.dictionaries(TEXT, feature_schemas(), max_size=4), feature_schemas(), TEXT, st.integers(0, 5))
def test_what_is_rendered_reads_back_equal(
    features: dict[str, FeatureSchema], prediction: FeatureSchema, positive: str, task: int
) -> None:
    """parse(render(x)) == x, whatever the names, texts and numbers are."""
    named = {(Source.FEATURE, name): feature for name, feature in features.items()}
    before = Schema(
        features={(Source.PREDICTION, "prediction"): prediction, **named},
        task=task,
        positive_label=positive,
        window_seconds=900.0,
        segments=("a b", 'q"uote'),
        protected=(),
    )
    after = parse(render(before))
    assert (after.features, after.task, after.positive_label) == (before.features, before.task, before.positive_label)
    assert (after.window_seconds, after.segments, after.protected) == (900.0, before.segments, ())


def test_a_share_of_nothing_says_the_type_as_any_other() -> None:
    """No new category at all is a demand on texts; what is false or empty demands nothing."""
    said = parse("[features.a]\nmax_new = 0.0\n[features.b]\nmax_new = 0.1\n[features.c]\nwhole = false\nedges = []")
    assert [said.of(Source.FEATURE, name).kind for name in "abc"] == [Kind.TEXT, Kind.TEXT, None]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('[features.age]\ntype = "nmber"', r"s\.toml:2: features\.age\.type: expected one of number, text"),
        ("[features.age]\n\nedges = [3, 2]", r"s\.toml:3: features\.age\.edges: expected at least two finite numbers"),
        ("[features.age]\nwhole = true\nwhole = false", r"s\.toml:3: not TOML: Cannot overwrite a value \(at end"),
        (
            'protected = ["sex"]\n[features.sex]\ntype = "text"\nnever_null = true',
            r"s\.toml:4: features\.sex\.never_null: expected no demand on what is protected",
        ),
        ("[features.age]\nedges = [1, inf]", "two finite numbers that rise"),
        ("[features.age]\nedges = [1, 1" + "0" * 400 + "]", "two finite numbers that rise"),
        ("[features.age]\nrange = [5, 1]", r"s\.toml:2: features\.age\.range: expected \[low, high\], numbers that do"),
        ("[features.age]\nrange = [0]", r"range: expected \[low, high\]"),
        ("[features.age]\nrange = [nan, 1]", r"range: expected \[low, high\]"),
        ("[features.age]\nrange = [inf, inf]", r"range: expected \[low, high\]"),
        ("[features.age]\nrequired = 1", r"s\.toml:2: features\.age\.required: expected true or false, found 1"),
        ("[features.age]\n\nmax_missing = 2", r"s\.toml:3: features\.age\.max_missing: expected a share from 0 to 1"),
        ("[features.t]\nmax_new = true", r"max_new: expected a share from 0 to 1, found true"),
        ("[features.t]\nmax_new = nan", r"max_new: expected a share from 0 to 1"),
        ('[features.t]\ntype = "text"\nrange = [0, 1]', r"s\.toml:3: .*range only where type is number"),
        ('[features.t]\ntype = "flag"\nwhole = true', "whole only where type is number"),
        ("[features.t]\nrange = [0, 1]\nclosed = true", "closed only where type is text"),
        ("[features.t]\nallowed = ['a', 'a']", r"s\.toml:2: features\.t\.allowed: expected each text once"),
        ("[features.t]\nallowed = ['a']\ncategories = ['a']", r"s\.toml:3: .*allowed or categories, not both"),
        ("[features.t]\nclosed = true\nmax_new = 0.1", r"s\.toml:3: .*closed or max_new, not both"),
        ("[features.t]\nallowed = ['a']\nclosed = false", r"s\.toml:3: .*true or nothing where categories are allowed"),
        ("[features.t]\nignored = true\nrequired = true", r"s\.toml:3: .*no demand where ignored is true"),
        ("[features.t]\nintegral = false\nwhole = true", r"s\.toml:2: .*true or nothing where whole is true"),
        ('[features."a b"]\npublic = "yes"', r's\.toml:2: features\.a b\.public: expected true or false, found "yes"'),
        ("[features.age]\npubic = true", r"s\.toml:2: features\.age\.pubic: no such field, expected one of allow"),
        ("task = 'binary'\nwindow = '1 week'", r"s\.toml:2: window: expected a duration such as 3600, 15m"),
        ("windw = '1h'", r"s\.toml:1: windw: no such field"),
        ("[features]\nage = 3", r"s\.toml:2: features\.age: expected a table"),
        ("[features]\nage = {type = 'text', edges = [1, 2]}", r"s\.toml:2: .*edges only where type is number"),
        ("segments = ['a', 'a']", r"s\.toml:1: segments: expected each text once"),
        ("features = 1", r"s\.toml:1: features: expected tables"),
        ("a = = b", r"s\.toml:1: not TOML: .*line 1"),
    ],
)
def test_errors_say_file_line_field_and_what_was_expected(text: str, complaint: str, tmp_path: Path) -> None:
    """Each mistake is named where it stands."""
    path = tmp_path / "s.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UnusableReferenceError, match=complaint):
        load(path)


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    """Missing, or not UTF-8."""
    with pytest.raises(UnusableReferenceError, match=r"none\.toml: No such file"):
        load(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b"task = '\xff'")
    with pytest.raises(UnusableReferenceError, match=r"latin\.toml: expected UTF-8"):
        load(tmp_path / "latin.toml")


@given(st.integers(1, 10**7) | st.floats(0.001, 1e6))
def test_durations_read_back(seconds: float) -> None:
    """duration_seconds(duration_text(x)) == x for every positive length."""
    if "e" not in repr(seconds):
        assert duration_seconds(duration_text(seconds)) == seconds


@pytest.mark.parametrize("text", ["", "0", "-1", "1w", "h", "1h30m", "inf"])
def test_other_durations_are_refused(text: str) -> None:
    """Nothing that is not a positive number and one unit."""
    with pytest.raises(ValueError, match="expected a duration"):
        duration_seconds(text)


def test_an_editor_s_mark_at_the_beginning_is_no_mistake(tmp_path: Path) -> None:
    """Some write three bytes before UTF-8."""
    path = tmp_path / "own.toml"
    path.write_bytes(b"\xef\xbb\xbf[features.age]\nwhole = true\n")
    assert load(path).of(Source.FEATURE, "age").whole

"""A schema where no data is at hand: learning begins with it, and it is laid over a reference that exists."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agent.bins import Feature
from agent.errors import UnusableReferenceError
from agent.quality.demands import demands
from agent.records import ABSENT, PRESENT, Batch, Columns, Flags, Kind, ModelKey, Numbers, Source, Texts
from agent.reference import learn_state, schema_text
from agent.reference.applied import applied
from agent.reference.features import schema_of
from agent.reference.learn import Learner, blank
from agent.reference.profile import Reference
from agent.reference.schema import Schema, parse
from agent.reference.schemas import Schemas
from tests.reference.references import small_reference

DEMANDS = """
[features.x]
never_null = true
range = [-3, 3]

[features.code]
type = "text"
allowed = ["a", "b", "c"]
public = true

[features.must]
type = "number"
required = true

[prediction]
critical = true

[score]
range = [0, 1]
"""


def _batch(seed: int) -> Batch:
    rng = np.random.default_rng(seed)
    state = np.where(rng.random(50) < 0.9, PRESENT, ABSENT).astype(np.uint8)
    texts = {"code": Texts(("a", "b", "wrong"), rng.integers(0, 3, 50).astype(np.int32))}
    outputs = Columns(
        numbers={"score:yes": Numbers(rng.random(50) * 0.5 + 0.2)},
        texts={"prediction": Texts(("no", "yes"), rng.integers(0, 2, 50).astype(np.int32))},
    )
    flags = {"vip": Flags(rng.random(50) < 0.5)}
    features = Columns(numbers={"x": Numbers(rng.normal(size=50), state)}, texts=texts, flags=flags)
    return Batch(ModelKey("m", "1"), 50, 0, features, outputs)


def learned(schema: Schema, restart: bool = False) -> Reference:
    learner = Learner(blank("m", "1", 60.0), 100, 8, schema=schema)
    for window in range(8):
        learner.add(_batch(window), window)
        if restart:
            learner = learn_state.decode(learn_state.encode(learner), schema)
        learner.close(window)
    assert learner.ready is not None
    return learner.ready


def of(reference: Reference, name: str) -> Feature:
    return next(feature for feature in reference.layout.features if feature.name == name)


def checks(feature: Feature) -> set[str]:
    return {demand.check for demand in demands(feature)}


@pytest.mark.parametrize("restart", [False, True])
def test_learning_begins_with_the_schema(restart: bool) -> None:
    """Demands, names that may leave, types, and a value that is required and never came; also over a restart."""
    found = learned(parse(DEMANDS), restart)
    assert checks(of(found, "x")) == {"missing", "out_of_range", "not_finite"}
    assert {-3.0, 3.0} & set(of(found, "x").edges)
    code = of(found, "code")
    assert (code.public, sorted(code.categories), code.rules.max_new) == (True, ["a", "b"], 0.0)
    assert len(code.seen) == 1  # "c": allowed, and not there yet; "wrong" is wrong however often it came
    assert "absent" in checks(of(found, "must"))
    assert of(found, "prediction").critical
    assert (of(found, "score:yes").rules.low, of(found, "score:yes").rules.high) == (0.0, 1.0)


def test_without_a_schema_nothing_else_is_learned() -> None:
    """The same reference as ever."""
    plain = learned(Schema())
    assert [f.name for f in plain.layout.features] == ["prediction", "score:yes", "code", "vip", "x"]
    assert not checks(of(plain, "x"))
    assert not of(plain, "code").public


def test_protected_values_are_no_features() -> None:
    """As where a reference is built."""
    names = {feature.name for feature in learned(parse('protected = ["vip"]')).layout.features}
    assert "vip" not in names
    assert "x" in names


def test_too_many_texts_to_be_closed_are_learned_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    """Never an error where records are counted: the log says that `closed` does not hold."""
    names = tuple(f"t{i}" for i in range(70_000))
    texts = Columns(texts={"t": Texts(names, np.arange(70_000, dtype=np.int32))})
    many = Batch(ModelKey("m", "1"), len(names), 0, texts, Columns())
    schema = parse('[features.t]\ntype = "text"\nclosed = true\npublic = true')
    learner = Learner(blank("m", "1", 60.0), 100, 1, schema=schema)
    learner.add(many, 0)
    learner.close(0)
    assert learner.ready is not None
    assert of(learner.ready, "t").public
    assert of(learner.ready, "t").rules.max_new == 1.0
    assert "schema_not_applied" in caplog.text


def test_over_a_reference_it_changes_no_count() -> None:
    """What is public, critical, ignored or demanded may change at any time: the same hash, the same cells."""
    before = learned(Schema())
    after, refused = applied(before, parse("""
[features.x]
never_null = true
required = true
max_missing = 0.02
critical = true
[features.code]
public = true
closed = true
[features.vip]
ignored = true
[score]
critical = true
"""))  # fmt: skip
    assert refused == ()
    assert after.hash == before.hash
    assert np.array_equal(after.blocks, before.blocks)
    assert checks(of(after, "x")) == {"absent", "missing"}
    assert (of(after, "code").public, of(after, "code").rules.max_new) == (True, 0.0)
    assert of(after, "vip").ignored
    assert of(after, "x").critical
    assert of(after, "score:yes").critical
    assert applied(after, Schema())[0].layout == after.layout  # no table: as it is


def test_what_needs_other_bins_is_said_with_its_line() -> None:
    """And the rest of the file is applied all the same."""
    text = '[features.x]\nrange = [-0.5, 0.5]\nrequired = true\n[features.code]\ntype = "number"\n'
    after, refused = applied(learned(Schema()), parse(text, "my.toml"))
    assert [one.split(": needs")[0] for one in refused] == [
        "my.toml:5: code: type is text in the reference", "my.toml:2: x: range ends within a bin"
    ]  # fmt: skip
    assert checks(of(after, "x")) == {"absent"}


def test_a_reference_s_own_schema_changes_nothing() -> None:
    """What `sidelight reference schema` prints, laid over the same reference, is what was there."""
    for reference in (learned(parse(DEMANDS)), small_reference()):
        said = parse(schema_text.render(schema_of(reference)))
        after, refused = applied(reference, said)
        assert refused == ()
        assert [replace(f, public=False) for f in after.layout.features] == [
            replace(f, public=False) for f in reference.layout.features
        ]


def test_a_file_for_all_models_or_a_folder_of_them(tmp_path: Path) -> None:
    """MODEL.schema.toml, the name percent-encoded as a reference's folder is; a mistake is said with file and line."""
    (tmp_path / "risk%2Feu.schema.toml").write_text('task = "binary"\n')
    found = Schemas.at(str(tmp_path))
    assert (found.of("risk/eu").task, found.of("other").task) == (1, 0)
    one = tmp_path / "risk%2Feu.schema.toml"
    assert Schemas.at(str(one)).of("whatever").task == 1
    assert Schemas.at("").of("m") == Schema()
    one.write_text("[features.x]\nnever_nul = true\n")
    with pytest.raises(UnusableReferenceError, match=r"toml:2: features\.x\.never_nul: no such field"):
        Schemas.at(str(tmp_path))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UnusableReferenceError, match="no MODEL"):
        Schemas.at(str(tmp_path / "empty"))


def test_kinds_of_the_schema_hold_from_the_first_row() -> None:
    """Digits that are a code: sent as numbers, they are counted as of the wrong type."""
    found = learned(parse('[features.x]\ntype = "text"\n'))
    assert of(found, "x").kind is Kind.TEXT
    assert of(found, "x").source is Source.FEATURE

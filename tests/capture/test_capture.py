"""The feedback set: what is chosen, what is left out, what a kill costs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

from agent.bins import Layout
from agent.capture.capture import WAITING_BYTES_MAX, Capture
from agent.capture.reading import feedback
from agent.config import Settings
from agent.errors import ConfigurationError, CorruptError
from agent.following import About
from agent.ledger import Dial, Ledger
from agent.records import Closed, Columns, Finding, Numbers, Source, Vectors, Verdict
from tests.capture.stream import HOUR_NS, MODEL, START, batch, capture, close, ids, pairs, reference, write

DAY = 24


def test_files_read_back_give_the_streams_means(tmp_path: Path) -> None:
    """A hundred thousand rows, some thousand written: weighted means of a feature and of the truth are the stream's,
    within three standard errors; the weights add up to the rows."""
    made, rng = capture(tmp_path, rows_per_day=6_000), np.random.default_rng(0)
    ages, truths = [], []
    for hour in range(20):
        rows = 2_000 if hour % 2 else 8_000  # the sample's share changes from hour to hour
        for part in range(rows // 500):
            first = (hour * 16 + part) * 500
            age = rng.gamma(4.0, 10.0, 500) + hour
            true = (rng.random(500) < np.clip(age / 100.0, 0.0, 1.0)).astype(float)
            made.predicted(batch(first, age, START + hour), START + hour)
            made.labelled(pairs(first, true, START + hour), START + hour)
            ages.append(age)
            truths.append(true)
        close(made, START + hour)
        write(made, tmp_path)
    age, true = np.concatenate(ages), np.concatenate(truths)
    table = feedback(str(tmp_path))
    weights = np.array(table["weight"])
    assert 2_000 < table.num_rows < 6_000
    assert weights.sum() == pytest.approx(len(age), rel=0.06)
    for values, expected in ((np.array(table["feature.age"]), age), (np.array(table["actual"]), true)):
        mean = float(weights @ values / weights.sum())
        error = float(np.sqrt(np.square(weights * (values - mean)).sum()) / weights.sum())
        assert error < 0.03 * max(1.0, expected.mean())
        assert mean == pytest.approx(expected.mean(), abs=3.0 * error)


def test_a_senders_weights_and_the_joins_are_kept(tmp_path: Path) -> None:
    """The sender says each record stands for five; where predictions wait every other is kept, by the same hash."""
    made, rng = capture(tmp_path, rows_per_day=24_000), np.random.default_rng(1)
    for part in range(40):
        first, age = part * 500, rng.normal(50.0, 10.0, 500)
        made.predicted(batch(first, age, weights=np.full(500, 5.0)), START)
        kept = np.flatnonzero(ids(first, 500) < np.uint64(1 << 63))
        every = pairs(first, age, weights=np.full(500, 10.0))
        some = replace(
            every, rows=len(kept), ids=every.ids[kept], request_ids=every.request_ids[kept],
            time_ns=every.time_ns[kept], label_ns=every.label_ns[kept],
            predicted=every.predicted[kept], actual=every.actual[kept],
            predicted_class=every.predicted_class[kept], actual_class=every.actual_class[kept],
            scores=every.scores[kept], weights=every.weights[kept],
        )  # fmt: skip
        made.labelled(some, START)
    close(made, START)
    write(made, tmp_path)
    table = feedback(str(tmp_path))
    assert table.num_rows < 1_000
    assert sum(table["weight"].to_pylist()) == pytest.approx(5.0 * 20_000, rel=0.15)


def test_labels_come_days_later(tmp_path: Path) -> None:
    """To files of their own, and of windows that had many rows only those that were written, more or less."""
    made, rng = capture(tmp_path, rows_per_day=2_400), np.random.default_rng(2)
    for hour in range(4):
        made.predicted(batch(hour * 10_000, rng.random(10_000), START + hour), START + hour)
        close(made, START + hour)
    later = START + 3 * DAY
    for hour in range(4):
        made.labelled(pairs(hour * 10_000, np.ones(10_000), START + hour), later)
    close(made, later)
    parts = write(made, tmp_path)
    labels = sum(len(part.lines) for part in parts if part.kind == "labels")
    table = feedback(str(tmp_path))
    records = sum(len(part.lines) for part in parts if part.kind == "records")
    assert table.num_rows > 0.9 * records
    assert labels < 3 * records
    assert sum(table["weight"].to_pylist()) == pytest.approx(40_000, rel=0.3)


def test_rows_behind_a_finding_are_taken_more_often(tmp_path: Path) -> None:
    """Ages of 90 and more grew and alarm: from the next window on they are taken sixteen times as often, with weights
    that keep the mean."""
    known = reference()
    made, rng = capture(tmp_path, known, rows_per_day=4_800), np.random.default_rng(3)

    def hour(number: int) -> np.ndarray:
        age = np.where(rng.random(20_000) < 0.02, 95.0, rng.uniform(0.0, 90.0, 20_000))
        for part in range(40):
            own = age[part * 500 : part * 500 + 500]
            first = number * 20_000 + part * 500
            made.predicted(batch(first, own, START + number), START + number)
            made.labelled(pairs(first, own, START + number), START + number)
        return age

    counts = np.zeros(known.layout.cells, dtype=np.int32)
    counts[:10] = 70
    counts[known.layout.place(batch(0, np.array([95.0]))).cells[0, 0]] = 370
    hour(0)
    made.beside([Finding("drift", "age", Source.FEATURE, Verdict.ALARM)])
    made.close(START, (Closed(START, counts),), (START + 1) * HOUR_NS)
    write(made, tmp_path)
    before = feedback(str(tmp_path))
    assert set(before["reason"].to_pylist()) == {"uniform"}
    age = hour(1)
    made.close(START + 1, (Closed(START + 1, counts),), (START + 2) * HOUR_NS)
    write(made, tmp_path)
    table = feedback(str(tmp_path)).slice(before.num_rows)
    ages, weights = np.array(table["feature.age"]), np.array(table["weight"])
    assert (ages >= 90.0).mean() > 0.1
    assert {r for r, a in zip(table["reason"].to_pylist(), ages, strict=True) if a >= 90.0} == {"finding"}
    assert float(weights @ (ages >= 90.0) / weights.sum()) == pytest.approx((age >= 90.0).mean(), abs=0.01)
    assert made.state.cells == []  # nothing alarmed in the second


def test_named_columns_are_left_out_or_hashed(tmp_path: Path) -> None:
    """Not only in the files: what waits and what is checkpointed has them neither."""
    made = capture(tmp_path, redact=("city",), hash=("region", "age"), key="secret")
    made.predicted(batch(0, np.array([31.5, 31.5, 47.25])), START)
    held = made.dump()
    close(made, START)
    held += made.dump()
    for value in (b"Bonn", b"31.5", b"47.25", b'"f"', b"gender", b"secret"):
        assert value not in held
    (part,) = write(made, tmp_path)
    table = pyarrow.parquet.read_table(tmp_path / part.path("agent"))
    assert "feature.city" not in table.schema.names
    assert "protected.gender" not in table.schema.names
    by_id = dict(zip(table["row_id"].to_pylist(), table["feature.age"].to_pylist(), strict=True))
    own = [by_id[f"{one:016x}"] for one in ids(0, 3).tolist()]
    assert own[0] == own[1] != own[2]
    assert all(len(value) == 16 for value in own)
    other = capture(tmp_path, hash=("age",), key="another")
    other.predicted(batch(0, np.array([31.5])), START)
    assert own[0].encode() not in other.dump()


def test_protected_attributes_are_written_only_where_named(tmp_path: Path) -> None:
    """Those of the record, and features that the reference protects."""
    shy = capture(tmp_path, reference(("age",)))
    shy.predicted(batch(0, np.array([31.5])), START)
    assert b"feature.age" not in shy.dump()
    open_ = capture(tmp_path, reference(("age",)), protected=("age", "gender"))
    open_.predicted(batch(0, np.array([31.5])), START)
    assert b"feature.age" in open_.dump()
    assert b"protected.gender" in open_.dump()


def test_a_protected_attribute_is_so_by_whatever_name_it_comes(tmp_path: Path) -> None:
    """What the sender protects, or SIDELIGHT_FAIRNESS names, is left out of features and segments too."""
    sent = batch(0, np.array([31.5]))
    region = sent.segments["region"]
    shy = capture(tmp_path)
    shy.predicted(replace(sent, protected={"region": region, "city": region}), START)
    assert b"Bonn" not in shy.dump()
    told = Capture()
    settings = Settings(capture=str(tmp_path), fairness=("region", "city"))
    told.prepare(About(MODEL, settings, Ledger.of(Dial(), Layout(()), 3600.0), HOUR_NS))
    told.predicted(sent, START)
    assert b"Bonn" not in told.dump()


def test_a_column_is_what_its_output_is(tmp_path: Path) -> None:
    """Scores of a class are scores, an output's answers are the output's; vectors are hashed as a whole."""
    values = Numbers(np.array([0.8125]))
    names = ("score:yes", "price.prediction", "price.score:high", "other.prediction")
    sent = replace(
        batch(0, np.array([31.5])), outputs=Columns(dict.fromkeys(names, values)),
        features=Columns(vectors={"face": Vectors(np.array([[0.375, 0.5]], dtype=np.float32))}),
    )  # fmt: skip
    made = capture(tmp_path, redact=("score", "price"), hash=("face", "other"), key="secret")
    made.predicted(sent, START)
    close(made, START)
    (part,) = made.unwritten()
    ((*_, values_of),) = [json.loads(line) for line in part.lines]
    assert set(values_of) == {"output.other.prediction", "feature.face", "segment.region"}
    assert all(len(values_of[name]) == 16 for name in ("output.other.prediction", "feature.face"))


def test_hashing_without_a_key_is_a_wrong_configuration() -> None:
    """A hash that anyone can compute hides nothing."""
    with pytest.raises(ConfigurationError, match="SIDELIGHT_CAPTURE_KEY"):
        Settings(capture_hash=("age",))


def test_a_key_file_that_is_empty_writes_nothing(tmp_path: Path) -> None:
    """The capture stays off, rather than write what was to be hashed."""
    (tmp_path / "key").write_text("\n")
    made, settings = (
        Capture(),
        Settings(capture=str(tmp_path), capture_hash=("age",), capture_key_file=str(tmp_path / "key")),
    )
    with pytest.raises(ConfigurationError, match="SIDELIGHT_CAPTURE_KEY_FILE"):
        made.prepare(About(MODEL, settings, Ledger.of(Dial(), Layout(()), 3600.0), HOUR_NS))
    made.predicted(batch(0, np.array([31.5])), START)
    assert b"31.5" not in made.dump()


def test_off_by_default(tmp_path: Path) -> None:
    """Nothing is held, shown or handed over."""
    made = capture("")
    made.predicted(batch(0, np.ones(10)), START)
    made.labelled(pairs(0, np.ones(10)), START)
    close(made, START)
    assert made.unwritten() == []
    assert made.show() == {}
    assert list(made.points()) == []


@pytest.mark.parametrize("head", [{"limit": -1}, {"label_limit": 1 << 70}, {"boosted": [-3]}, {"cells": [-1]}])
def test_a_state_that_no_row_could_be_held_against_is_corrupt(tmp_path: Path, head: dict[str, object]) -> None:
    """A limit outside the hashes would fail with every batch that comes."""
    made = capture(tmp_path)
    made.predicted(batch(0, np.ones(4)), START)
    first, _, rest = made.dump().partition(b"\n")
    with pytest.raises(CorruptError):
        made.load(json.dumps(json.loads(first) | head).encode() + b"\n" + rest)
    made.predicted(batch(0, np.ones(4)), START)


@pytest.mark.parametrize("batches", [1, 7, 23])
def test_a_kill_writes_the_same_files_again(tmp_path: Path, batches: int) -> None:
    """Killed after any batch with a checkpoint before it: the replay gives the same names, rows and bytes."""

    def play(made: Capture, first: int, last: int) -> None:
        for number in range(first, last):
            rng, window = np.random.default_rng(number), START + number // 8
            made.predicted(batch(number * 300, rng.random(300), window), window)
            made.labelled(pairs(number * 300, rng.random(300), window), window)
            if number % 8 == 7:
                close(made, window)

    whole = capture(tmp_path, rows_per_day=2_400)
    play(whole, 0, 24)
    killed = capture(tmp_path, rows_per_day=2_400)
    play(killed, 0, batches)
    stored = killed.dump()
    play(killed, batches, 24)
    write(killed, tmp_path)  # after the checkpoint, and nobody knows
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.parquet")}
    again = capture(tmp_path, rows_per_day=2_400)
    again.load(stored)
    play(again, batches, 24)
    assert again.dump() == whole.dump()
    write(again, tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.parquet")} == before


def test_rows_and_bytes_of_a_day_are_bounded(tmp_path: Path) -> None:
    """Whatever comes; long rows make fewer of them."""
    made = capture(tmp_path, rows_per_day=480)
    few = capture(tmp_path, rows_per_day=480, bytes_per_day=24 * 1_500)
    for hour in range(3):
        for one in (made, few):
            one.predicted(batch(hour * 10_000, np.linspace(0.0, 100.0, 10_000), START + hour), START + hour)
            close(one, START + hour)
    assert all(len(part.lines) <= 20 for part in made.unwritten())
    assert all(part.size <= 1_500 for part in few.unwritten())
    assert few.unwritten()


def test_what_cannot_be_written_is_bounded_and_counted(tmp_path: Path) -> None:
    """The place is gone for weeks: the newest are held, the rest is counted as dropped."""
    made = capture(tmp_path, rows_per_day=10**6, bytes_per_day=10**9)
    for hour in range(10):
        made.predicted(batch(hour * 5_000, np.linspace(0.0, 100.0, 5_000), START + hour), START + hour)
        close(made, START + hour)
    counts = made.state.counts
    held = sum(len(part.lines) for part in made.unwritten())
    assert sum(part.size for part in made.unwritten()) <= WAITING_BYTES_MAX
    assert counts["dropped"] > 0
    assert counts["records"] == held + counts["dropped"]
    assert "dropped" in made.show()["note"]


@pytest.mark.parametrize("blob", [b"", b"{}", b"[1]", b'{"form": 7}', b"\xff\xfe"])
def test_other_bytes_are_corrupt(tmp_path: Path, blob: bytes) -> None:
    """And the capture is as new."""
    made = capture(tmp_path)
    with pytest.raises(CorruptError):
        made.load(blob)
    assert made.state.parts == 0


def test_a_state_that_was_cut_off_is_corrupt(tmp_path: Path) -> None:
    """Lines that should follow do not."""
    made = capture(tmp_path)
    made.predicted(batch(0, np.ones(5)), START)
    close(made, START)
    made.predicted(batch(10, np.ones(5), START + 1), START + 1)
    stored = made.dump()
    with pytest.raises(CorruptError):
        capture(tmp_path).load(stored[: stored.rindex(b"\n")])


def test_windows_of_another_length_take_up_what_was_chosen(tmp_path: Path) -> None:
    """Rows of an open window of an hour become a file of that hour, and their labels are still wanted."""
    made, age = capture(tmp_path), np.linspace(20.0, 60.0, 50)
    made.predicted(batch(0, age), START)
    again = Capture()
    again.load(made.dump())
    again.prepare(About(MODEL, Settings(capture=str(tmp_path)), Ledger.of(Dial(), Layout(()), 7200.0), 2 * HOUR_NS))
    (part,) = again.unwritten()
    assert (part.kind, len(part.lines)) == ("records", 50)
    assert (part.start_ns, part.end_ns) == (START * HOUR_NS, (START + 1) * HOUR_NS)
    again.labelled(pairs(0, age), START // 2 + 1)
    close(again, START // 2 + 1)
    later = again.unwritten()[1]
    assert (later.kind, len(later.lines), later.start_ns) == ("labels", 50, (START // 2 + 1) * 2 * HOUR_NS)

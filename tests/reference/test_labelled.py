"""Rows with their truth, as a builder of a section sees them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from agent.bins import Layout
from agent.clock import TurnedClock
from agent.records import Source, Task
from agent.reference import file
from agent.reference.build import build
from agent.reference.labelled import LabelledRows, Settled
from agent.reference.plan import Request

START = 1_699_999_200  # seconds, a whole hour


class Seen:
    """A builder that keeps all it is shown."""

    key = "seen"

    def __init__(self, settled: Settled) -> None:
        self.settled = settled
        self.parts: list[LabelledRows] = []

    def add(self, rows: LabelledRows) -> None:
        self.parts.append(rows)

    def finish(self) -> bytes:
        return str(sum(part.pairs.rows for part in self.parts)).encode()

    def notes(self) -> Sequence[str]:
        return (f"{len(self.parts)} parts",)


def _built(tmp_path: Path, columns: dict[str, object], **more: object) -> tuple[Seen, bytes, tuple[str, ...]]:
    pq.write_table(pa.table(columns), tmp_path / "d.parquet", row_group_size=400)
    seen = [Seen(Settled(Layout(()), np.zeros(0, dtype=np.int64)))]

    def make(settled: Settled) -> Seen:
        seen[0] = Seen(settled)
        return seen[0]

    request = Request(data=(str(tmp_path / "d.parquet"),), model="m", version="1", time="at", **more)  # type: ignore[arg-type]
    built = build(request, clock=TurnedClock(), makers=(make,))
    return seen[0], file.encode(built.reference), built.notes


def _columns(rows: int = 1000) -> dict[str, object]:
    rng = np.random.default_rng(3)
    return {
        "at": START + np.sort(rng.integers(0, 36_000, rows)),
        "age": rng.integers(18, 90, rows),
        "said": rng.choice(["yes", "no"], rows),
        "score": rng.random(rows),
        "left": pa.array(rng.choice(["yes", "no"], rows), mask=rng.random(rows) < 0.3),
        "sex": rng.choice(["f", "m"], rows),
        "region": rng.choice(["north", "south"], rows),
    }


def test_a_builder_sees_each_labelled_row_once_with_all_that_belongs_to_it(tmp_path: Path) -> None:
    """Prediction, score, truth, block, cells, segment and group of a row stand at one place."""
    columns = _columns()
    roles = {"prediction": "said", "score": "score", "label": "left", "segments": ("region",), "protected": ("sex",)}
    seen, data, notes = _built(tmp_path, columns, **roles)
    truth = columns["left"].to_pylist()  # type: ignore[attr-defined]
    numbers = np.concatenate([part.numbers for part in seen.parts])
    assert numbers.tolist() == [i for i, label in enumerate(truth) if label is not None]
    assert seen.settled.task is Task.BINARY
    assert seen.settled.positive == "yes"
    for part in seen.parts:
        pairs, at = part.pairs, part.numbers
        assert [pairs.classes[i] for i in pairs.actual_class] == [truth[i] for i in at]
        assert [pairs.classes[i] for i in pairs.predicted_class] == columns["said"][at].tolist()  # type: ignore[index]
        np.testing.assert_array_equal(pairs.score("yes"), columns["score"][at])  # type: ignore[index]
        assert [pairs.names[i] for i in pairs.groups["sex"]] == columns["sex"][at].tolist()  # type: ignore[index]
        assert [pairs.names[i] for i in pairs.segments["region"]] == columns["region"][at].tolist()  # type: ignore[index]
        age = part.cells[seen.settled.layout.index[Source.FEATURE, "age"]]
        assert np.corrcoef(age, columns["age"][at])[0, 1] > 0.99  # type: ignore[index]
        block = (columns["at"][at] - START) // 3600  # type: ignore[index]
        np.testing.assert_array_equal(part.position, block)
        np.testing.assert_array_equal(pairs.time_ns, (START + block * 3600) * 10**9)
    assert file.decode(data).section("seen") == str(len(numbers)).encode()
    assert f"{len(seen.parts)} parts" in notes


def test_numbers_of_a_classifier_are_classes_by_their_shortest_form(tmp_path: Path) -> None:
    """1.0 and 1 are "1"; of a regression no number is a class."""
    columns = _columns() | {"said": np.arange(1000) % 2, "left": (np.arange(1000) % 3 == 0).astype(float)}
    seen, _, _ = _built(tmp_path, columns, prediction="said", label="left")
    pairs = seen.parts[0].pairs
    assert set(pairs.classes) == {"0", "1"}
    assert [float(pairs.classes[i]) for i in pairs.actual_class] == pairs.actual.tolist()
    columns |= {"said": np.random.default_rng(0).random(1000), "left": np.random.default_rng(1).random(1000)}
    seen, _, _ = _built(tmp_path, columns, prediction="said", label="left")
    assert seen.settled.task is Task.REGRESSION
    assert (seen.parts[0].pairs.actual_class == -1).all()
    np.testing.assert_array_equal(seen.parts[0].pairs.actual, columns["left"][seen.parts[0].numbers])  # type: ignore[index]


def test_without_a_label_column_no_builder_is_asked(tmp_path: Path) -> None:
    """The same file as ever, whoever stands ready."""
    seen, data, _ = _built(tmp_path, _columns(), prediction="said", score="score", ignore=("left",))
    assert seen.parts == []
    assert file.decode(data).section("seen") is None

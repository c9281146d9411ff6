"""Building from data: the same bins and counts as exact sorting, from any format, in bounded memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from agent.bins import MISMATCH_CELL, NAN_CELL, NULL_CELL, RARE_CELLS_MAX, SPECIALS, Feature
from agent.clock import TurnedClock
from agent.errors import UnusableReferenceError
from agent.records import Kind, Source
from agent.reference import file
from agent.reference.build import Built, build
from agent.reference.edges import QUANTILES
from agent.reference.features import schema_of
from agent.reference.plan import Request
from agent.reference.profile import Reference
from agent.reference.schema import parse
from agent.reference.schema_text import render
from agent.reference.table import VECTOR_ROWS
from agent.sketches.quantiles import Quantiles

START = 1_700_000_000  # seconds, within an hour


def _table(rows: int = 3000, seed: int = 0) -> pa.Table:
    rng = np.random.default_rng(seed)
    return pa.table(
        {
            "at": pa.array(START + np.sort(rng.integers(0, 36_000, rows)), pa.int64()),
            "age": rng.integers(18, 90, rows),
            "amount": pa.array(np.round(rng.lognormal(3, 1, rows), 6), mask=rng.random(rows) < 0.1),
            "rooms": rng.integers(0, 4, rows).astype(np.float64),
            "city": pa.array(rng.choice(["Graz", "Linz", "Wien", "", "NA", 'a "b", c'], rows)),
            "member": pa.array(rng.random(rows) < 0.3, mask=rng.random(rows) < 0.05),
            "same": np.full(rows, 2.5),
            "nothing": pa.nulls(rows, pa.float64()),
            "answer": rng.choice(["yes", "no"], rows),
            "score": np.round(rng.random(rows), 9),
        }
    )


def _parquet(path: Path, table: pa.Table) -> str:
    pq.write_table(table, path, row_group_size=700)
    return str(path)


def _csv(path: Path, table: pa.Table) -> str:
    pyarrow.csv.write_csv(table, path)
    return str(path)


def _request(*data: str, **more: object) -> Request:
    return Request(data=data, model="m", version="1", time="at", prediction="answer", score="score", **more)  # type: ignore[arg-type]


def _built(*data: str, **more: object) -> Built:
    return build(_request(*data, **more), clock=TurnedClock())


def _feature(reference: Reference, name: str) -> tuple[Feature, np.ndarray]:
    i = next(i for i, feature in enumerate(reference.layout.features) if feature.name == name)
    return reference.layout.features[i], reference.pooled[reference.layout.slice(i)]


def test_edges_are_the_exact_quantiles_of_small_data(tmp_path: Path) -> None:
    """Twenty bins between the minimum, the 1 %, 2.5 %, 5 %, … quantiles as numpy finds them, and the maximum."""
    table = _table()
    feature, counts = _feature(_built(_parquet(tmp_path / "d.parquet", table)).reference, "amount")
    values = table["amount"].drop_null().to_numpy()
    inner = np.quantile(values, QUANTILES, method="inverted_cdf")
    np.testing.assert_array_equal(feature.edges, np.unique([values.min(), *inner, values.max()]))
    np.testing.assert_array_equal(counts[1 : feature.bins - 1], np.histogram(values, feature.edges)[0])
    assert counts[feature.bins + NULL_CELL] == table["amount"].null_count


def test_a_reference_never_finds_its_own_data_strange(tmp_path: Path) -> None:
    """Over its own rows nothing is below, above, never seen, of a wrong type or fractional; every row is counted."""
    table = _table()
    reference = _built(_parquet(tmp_path / "d.parquet", table)).reference
    for i, feature in enumerate(reference.layout.features[: reference.layout.sent]):
        counts = reference.pooled[reference.layout.slice(i)]
        if feature.kind is Kind.NUMBER:
            assert counts[0] == counts[feature.bins - 1] == 0, feature.name
        if feature.kind is Kind.TEXT:
            assert counts[feature.bins - 1] == 0, feature.name
        assert counts[: feature.bins].sum() + counts[feature.bins + NULL_CELL] == table.num_rows
        assert counts[feature.bins :].sum() == counts[feature.bins + NULL_CELL]


def test_blocks_are_the_windows_of_the_time_column(tmp_path: Path) -> None:
    """Rows per block and each block's flags agree with a plain count by hour."""
    table = _table()
    reference = _built(_parquet(tmp_path / "d.parquet", table)).reference
    hours = table["at"].to_numpy() // 3600
    found, rows = np.unique(hours, return_counts=True)
    np.testing.assert_array_equal(reference.starts_ns, found * 3600 * 10**9)
    np.testing.assert_array_equal(reference.rows, rows)
    member = table["member"].fill_null(False).to_numpy(zero_copy_only=False)
    at = next(i for i, feature in enumerate(reference.layout.features) if feature.name == "member")
    true_cell = reference.layout.slice(at).start + 1
    np.testing.assert_array_equal(reference.blocks[:, true_cell], [member[hours == hour].sum() for hour in found])


def test_csv_and_parquet_give_the_same_reference(tmp_path: Path) -> None:
    """One hash, blocks and schema from a Parquet file, a CSV file, a gzipped one, and the data in three parts."""
    table = _table()
    parts = tmp_path / "parts"
    parts.mkdir()
    for number, start in enumerate((0, 1300, 1301)):
        _parquet(parts / f"{number}.parquet", table.slice(start, (1300, 1, 3000)[number]))
    with pa.CompressedOutputStream(str(tmp_path / "z.csv.gz"), "gzip") as out:
        pyarrow.csv.write_csv(table, out)
    sources = [_parquet(tmp_path / "d.parquet", table), _csv(tmp_path / "d.csv", table), str(tmp_path / "z.csv.gz"),
               str(parts), str(parts / "*.parquet")]  # fmt: skip
    found = [_built(source) for source in sources]
    assert len({built.reference.hash for built in found}) == 1
    assert len({render(built.schema) for built in found}) == 1
    for built in found[1:]:
        np.testing.assert_array_equal(built.reference.blocks, found[0].reference.blocks)


def test_rows_out_of_order_count_the_same(tmp_path: Path) -> None:
    """The order of the rows changes nothing of what was sent, while the sample holds them all."""
    table = _table()
    shuffled = table.take(np.random.default_rng(1).permutation(table.num_rows))
    one = _built(_parquet(tmp_path / "a.parquet", table)).reference
    two = _built(_parquet(tmp_path / "b.parquet", shuffled)).reference
    sent = int(one.layout.starts[one.layout.sent])
    np.testing.assert_array_equal(one.blocks[:, :sent], two.blocks[:, :sent])


def test_few_values_get_a_bin_each(tmp_path: Path) -> None:
    """A number with four different values: four bins, and a fifth value is above; a constant: one bin."""
    reference = _built(_parquet(tmp_path / "d.parquet", _table())).reference
    rooms, counts = _feature(reference, "rooms")
    assert rooms.edges == (0.0, 1.0, 2.0, 3.0, 3.5)
    assert rooms.integral
    assert (counts[1:5] > 0).all()
    same, counts = _feature(reference, "same")
    assert len(same.edges) == 2
    assert counts.tolist() == [0, 3000, 0] + [0] * SPECIALS
    nothing, counts = _feature(reference, "nothing")
    assert counts[nothing.bins + NULL_CELL] == 3000


def test_rare_categories_are_seen_but_share_a_bin(tmp_path: Path) -> None:
    """Fifty categories at most, each with 0.1 % of the rows; the rest is `other`, and none of it never seen."""
    rows = 5000
    rng = np.random.default_rng(0)
    names = [f"c{i:03d}" for i in np.minimum(rng.zipf(1.3, rows), 400)]
    names[:3] = ["long " * 100] * 3
    table = _table(rows).set_column(4, "city", pa.array(names).dictionary_encode())
    city, counts = _feature(_built(_parquet(tmp_path / "d.parquet", table)).reference, "city")
    expected = sorted(set(names), key=lambda name: (-names.count(name), name))
    frequent = [name for name in expected if names.count(name) >= 5 and len(name) < 100]
    assert list(city.categories) == frequent[: len(city.categories)]
    assert 10 < len(city.categories) <= 50
    assert len(city.seen) == len(set(names)) - len(city.categories)
    assert city.rare_cells == RARE_CELLS_MAX
    other = counts[city.other.start : city.other.stop]
    assert other.sum() == sum(name not in city.categories for name in names)
    assert (other > 0).all()
    assert counts[city.never.start : city.never.stop].sum() == 0


def test_the_sample_is_the_same_whatever_the_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With more rows than the sample holds, edges stay near the true quantiles, and CSV and Parquet still agree."""
    monkeypatch.setattr("agent.reference.survey.SAMPLE_ROWS", 2000)
    table = _table(9000)
    one = _built(_parquet(tmp_path / "d.parquet", table)).reference
    two = _built(_csv(tmp_path / "d.csv", table)).reference
    assert one.hash == two.hash
    feature, counts = _feature(one, "score")
    shares = counts[1 : feature.bins - 1] / counts[: feature.bins].sum()
    assert (len(shares), shares[0], shares[-1]) == (22, 0.0, 0.0)  # a probability: up to 0 and 1 there are bins
    assert np.abs(shares[1:-1] - np.diff([0.0, *QUANTILES, 1.0])).max() < 0.025
    assert (feature.edges[0], feature.edges[-1]) == (0.0, 1.0)
    assert feature.edges[1] == table["score"].to_numpy().min()


@pytest.mark.parametrize(
    "times",
    [
        pa.array([START, START + 3600, None, START + 7200], pa.int64()),
        pa.array([START * 1000.0, (START + 3600) * 1000.0, float("nan"), (START + 7200) * 1000.0]),
        pa.array([START, START + 3600, None, START + 7200], pa.timestamp("s", "Europe/Vienna")),
        pa.array(["2023-11-14T22:13:20", "2023-11-14 23:13:20", "soon", "2023-11-15T00:13:20"]),
        pa.array(["2023-11-14T22:13:20Z", "2023-11-15T00:13:20+01:00", None, "2023-11-15T00:13:20.000Z"]),
        pa.array(["1700000000", "1700003600", "", "2023-11-15T00:13:20+00:00"]),
    ],
)
def test_times_are_read_in_many_forms(tmp_path: Path, times: pa.Array) -> None:
    """Seconds, milliseconds, timestamps, ISO texts with and without zone; a row without is left out, and said."""
    table = pa.table({"at": times, "x": [1.0, 2.0, 3.0, 4.0]})
    built = build(Request(data=(_parquet(tmp_path / "d.parquet", table),), model="m", version="1", time="at"))
    assert built.reference.starts_ns.tolist() == [1_699_999_200 * 10**9 + i * 3600 * 10**9 for i in range(3)]
    assert built.reference.rows.tolist() == [1, 1, 1]
    assert any("1 rows have a time in 'at'" in note for note in built.notes)


def test_without_a_time_column_blocks_follow_the_rows(tmp_path: Path) -> None:
    """Thirty blocks of equal size for 3,000 rows, and a note that says so."""
    built = build(Request(data=(_parquet(tmp_path / "d.parquet", _table()),), model="m", version="1"))
    assert built.reference.rows.tolist() == [100] * 30
    assert any("no --time column" in note for note in built.notes)


def test_csv_types_are_settled_by_the_whole_column(tmp_path: Path) -> None:
    """Fractions late in the file, codes with leading zeros, words for nothing, and dates are each what they are."""
    lines = [f"{i},{i % 100:03d},true,NA,2024-01-0{1 + i % 9},{i}" for i in range(2000)]
    lines.append("0.5,007,False,,2024-01-01,x")
    path = tmp_path / "d.csv"
    path.write_text("late,code,flag,empty,day,mixed\n" + "\n".join(lines))
    built = build(Request(data=(str(path),), model="m", version="1"))
    kinds = {feature.name: feature.kind for feature in built.reference.layout.features if not feature.computed}
    assert kinds == {
        "late": Kind.NUMBER, "code": Kind.TEXT, "flag": Kind.FLAG, "empty": Kind.NUMBER, "mixed": Kind.TEXT,
    }  # fmt: skip
    assert not _feature(built.reference, "late")[0].integral
    assert any("'day' is a date or time" in note for note in built.notes)


def test_the_schema_goes_before_what_the_data_say(tmp_path: Path) -> None:
    """Type, edges, categories, marks and window as edited; texts among declared numbers are counted as mismatches."""
    path = tmp_path / "d.csv"
    rows = [f"{START + i},{'x' if i == 7 else i},{'ab'[i % 2]},{i}" for i in range(99)]
    path.write_text("at,mixed,city,zip\n" + "\n".join(rows))
    schema = parse(
        'window = "15m"\ntask = "regression"\n'
        '[features.mixed]\ntype = "number"\nedges = [10, 20, 30]\ncritical = true\n'
        '[features.city]\ntype = "text"\ncategories = ["b"]\npublic = true\n'
        '[features.zip]\ntype = "text"\nignored = true\n'
    )
    built = build(Request(data=(str(path),), model="m", version="1", time="at", schema=schema))
    mixed, counts = _feature(built.reference, "mixed")
    assert (mixed.edges, mixed.critical, mixed.kind) == ((10.0, 20.0, 30.0), True, Kind.NUMBER)
    assert counts[:4].tolist() == [9, 10, 11, 68]
    assert counts[mixed.bins + MISMATCH_CELL] == 1
    city, counts = _feature(built.reference, "city")
    assert (city.categories, city.public) == (("b",), True)
    assert counts[:3].tolist() == [49, 50, 0]
    assert _feature(built.reference, "zip")[0].ignored
    assert built.reference.layout.window_seconds == 900.0
    assert built.reference.task == 3


def test_the_written_schema_rebuilds_the_same_reference(tmp_path: Path) -> None:
    """build → schema → build with it: one hash."""
    path = _csv(tmp_path / "d.csv", _table())
    first = _built(path)
    again = _built(path, schema=parse(render(first.schema)))
    assert again.reference.hash == first.reference.hash
    assert again.reference.positive_label == "yes"


def test_roles_are_not_features(tmp_path: Path) -> None:
    """Outputs come first under their own names; label, id, segments and protected columns are no features."""
    built = _built(
        _parquet(tmp_path / "d.parquet", _table()), label="member", id="same", segments=("city",), protected=("age",),
        ignore=("rooms",), critical=("prediction",),
    )  # fmt: skip
    found = [(f.name, f.source) for f in built.reference.layout.features if not f.computed]
    assert found == [
        ("prediction", Source.PREDICTION), ("score", Source.SCORE), ("amount", Source.FEATURE),
        ("rooms", Source.FEATURE), ("nothing", Source.FEATURE),
    ]  # fmt: skip
    assert built.reference.layout.features[0].critical
    assert built.reference.layout.features[3].ignored
    assert (built.reference.segments, built.reference.protected) == (("city",), ("age",))
    assert (built.reference.task, built.reference.positive_label) == (1, "1")


def test_vectors_nan_and_odd_types(tmp_path: Path) -> None:
    """Named lists become vectors with a size, others and binaries are left out with a note; NaN is not null."""
    table = pa.table(
        {
            "e": pa.array([[1.0, 2.0], None, [3.0, 4.0]]), "other": pa.array([[1.0], [2.0], [3.0]]),
            "raw": [b"a", b"b", b"c"], "x": pa.array([1.0, float("nan"), None]), "flag": [True, False, True],
        }
    )  # fmt: skip
    path = _parquet(tmp_path / "d.parquet", table)
    built = build(Request(data=(path,), model="m", version="1", vectors=("e",), prediction="flag"))
    assert [(f.name, f.kind, f.size) for f in built.reference.layout.features] == [
        ("prediction", Kind.NUMBER, 0), ("e", Kind.VECTOR, 2), ("x", Kind.NUMBER, 0),
    ]  # fmt: skip
    x, counts = _feature(built.reference, "x")
    assert (counts[x.bins + NULL_CELL], counts[x.bins + NAN_CELL]) == (1, 1)
    assert len([note for note in built.notes if "left out" in note]) == 2


def test_demands_on_a_vector_come_back_out_of_the_reference(tmp_path: Path) -> None:
    """What is computed of it is nothing a person said; the vector itself is."""
    vectors = np.random.default_rng(0).normal(size=(1000, 4)).astype(np.float32)
    table = pa.table({"emb": pa.array(list(vectors), pa.list_(pa.float32())), "x": np.arange(1000.0)})
    pq.write_table(table, tmp_path / "a.parquet")
    said = parse('[features.emb]\ntype = "vector"\nrequired = true\ncritical = true\n')
    request = Request((str(tmp_path / "a.parquet"),), "m", "1", vectors=("emb",), schema=said)
    reference = build(request).reference
    assert reference.layout.projections
    found = schema_of(file.decode(file.encode(reference)))
    assert found.features[Source.FEATURE, "emb"] == said.features[Source.FEATURE, "emb"]
    assert [name for _, name in found.features] == ["emb", "x"]


def test_vectors_of_two_sizes_name_their_column(tmp_path: Path) -> None:
    """Also where the sizes differ between batches."""
    vectors = [[1.0, 2.0]] * VECTOR_ROWS + [[1.0, 2.0, 3.0]] * VECTOR_ROWS
    pq.write_table(pa.table({"emb": pa.array(vectors, pa.list_(pa.float32()))}), tmp_path / "a.parquet")
    with pytest.raises(UnusableReferenceError, match="column 'emb': vectors of different sizes: 2 and 3 entries"):
        build(Request((str(tmp_path / "a.parquet"),), "m", "1", vectors=("emb",)))


def test_the_newest_windows_are_kept_when_there_are_too_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound on counts keeps the newest windows whole and says what was left."""
    monkeypatch.setattr("agent.reference.build.CELLS_MAX", 1200)
    table = _table()
    built = _built(_parquet(tmp_path / "d.parquet", table))
    kept = len(built.reference.rows)
    assert 1 < kept < 10
    hours = table["at"].to_numpy() // 3600
    assert built.reference.rows.tolist() == np.unique(hours, return_counts=True)[1][-kept:].tolist()
    assert any(f"only the newest {kept} of" in note for note in built.notes)


def test_sketches_for_plots_come_along(tmp_path: Path) -> None:
    """Each number has a sealed sketch of its values; they are not part of the hash."""
    table = _table()
    reference = _built(_parquet(tmp_path / "d.parquet", table)).reference
    sketch = Quantiles.from_bytes(file.decode(file.encode(reference)).quantiles[Source.FEATURE, "age"])
    assert sketch.count == 3000
    assert abs(float(sketch.quantiles([0.5])[0]) - np.median(table["age"].to_numpy())) < 4


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ({"time": "when"}, r"d\.csv: --time: no column 'when'; there are at, "),
        ({"ignore": ("x", "y")}, "--ignore: no column 'x'"),
        ({"label": "score"}, "column 'score' is given two roles"),
        ({"score": "city"}, "--score: column 'city' holds texts, expected numbers"),
        ({"vectors": ("age",)}, "CSV holds no vectors"),
    ],
)
def test_options_that_do_not_fit_are_named(tmp_path: Path, more: dict[str, object], complaint: str) -> None:
    """The message has file, option and column."""
    path = _csv(tmp_path / "d.csv", _table(50))
    options = {"time": "at", "score": "score", **more}
    with pytest.raises(UnusableReferenceError, match=complaint):
        build(Request(data=(path,), model="m", version="1", **options))  # type: ignore[arg-type]


def test_data_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """Missing, empty, ragged, torn, mixed and unequal files, each with its name in the message."""

    def attempt(*data: Path | str) -> str:
        with pytest.raises(UnusableReferenceError) as caught:
            build(Request(data=tuple(map(str, data)), model="m", version="1"))
        return str(caught.value)

    (tmp_path / "empty.csv").touch()
    (tmp_path / "head.csv").write_text("a,b\n")
    (tmp_path / "ragged.csv").write_text("a,b\n1,2\n1,2,3\n")
    (tmp_path / "twice.csv").write_text("a,a\n1,2\n")
    (tmp_path / "torn.parquet").write_bytes(b"PAR1 and no more")
    (tmp_path / "other.csv").write_text("a,c\n1,2\n")
    (tmp_path / "x.json").write_text("{}")
    assert "no such file" in attempt(tmp_path / "none-*.csv")
    assert "empty.csv: Empty CSV" in attempt(tmp_path / "empty.csv")
    assert "head.csv: no rows" in attempt(tmp_path / "head.csv")
    assert "ragged.csv: CSV parse error" in attempt(tmp_path / "ragged.csv")
    assert "twice.csv: column 'a' twice" in attempt(tmp_path / "twice.csv")
    assert "torn.parquet: " in attempt(tmp_path / "torn.parquet")
    assert "other.csv: no column 'b'" in attempt(tmp_path / "head.csv", tmp_path / "other.csv")
    assert "give one kind" in attempt(tmp_path / "head.csv", tmp_path / "torn.parquet")
    assert "x.json: expected a name that ends in" in attempt(tmp_path / "x.json")


BOUNDED = """
import resource, sys
from agent.reference.build import build
from agent.reference.plan import Request
import pyarrow.parquet, pyarrow.compute
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
built = build(Request(data=(sys.argv[1],), model="m", version="1", time="at"))
print(int(built.reference.rows.sum()), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_a_million_rows_need_little_memory(tmp_path: Path) -> None:
    """1,000,000 rows, 48 MB as arrays and far more as objects: the build needs less than 130 MiB above its imports."""
    rng = np.random.default_rng(0)
    columns = {f"x{i}": rng.normal(size=100_000) for i in range(5)} | {"c": rng.choice(["a", "b", "c"], 100_000)}
    path = tmp_path / "big.parquet"
    tables = [pa.table({"at": START + part * 36_000 + np.arange(100_000) // 3, **columns}) for part in range(10)]
    with pq.ParquetWriter(path, tables[0].schema, compression="none", use_dictionary=["c"]) as out:
        for table in tables:
            out.write_table(table, row_group_size=100_000)
    command = [sys.executable, "-W", "error", "-c", BOUNDED, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rows, kibibytes = map(int, done.stdout.split())
    assert rows == 1_000_000
    assert kibibytes < 130 * 1024

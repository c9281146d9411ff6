"""Training data of any size as a stream of Arrow batches: CSV and Parquet files, folders, patterns. Needs pyarrow."""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.errors import UnusableReferenceError

CSV_ENDS = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz")
PARQUET_ENDS = (".parquet", ".pq")
BATCH_VALUES = 250_000  # rows × columns of a batch
VECTOR_ROWS = 2_048  # of a batch that holds vectors, whose length is not known beforehand: 6 MB of 768 entries
CSV_BLOCK_BYTES = 4 << 20

Progress = Callable[[str, float], None]  # what is being done, share of it that is done (0-1)


@dataclass(frozen=True, slots=True)
class Table:
    """One or more files with the same columns. schema: the first file's Arrow schema, CSV columns all as text."""

    paths: tuple[Path, ...]
    schema: Any
    csv: bool

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.schema.names)

    def batches(self, columns: Sequence[str], progress: Callable[[float], None] | None = None) -> Iterator[Any]:
        """Arrow record batches of these columns, in the order of the files. Raises UnusableReferenceError.

        Only a batch (and Parquet's pages under it) is in memory. `progress` is called with the share that was read.
        """
        rows = max(1024, min(65_536, BATCH_VALUES // max(1, len(columns))))
        if any(hasattr(self.schema.field(column).type, "value_field") for column in columns):
            rows = min(rows, VECTOR_ROWS)
        for number, path in enumerate(self.paths):
            with _translated(path):
                for batch, share in _csv_batches(path, columns) if self.csv else _parquet_batches(path, columns, rows):
                    for start in range(0, batch.num_rows, rows):
                        yield batch.slice(start, rows)
                    if progress is not None:
                        progress((number + share) / len(self.paths))


def open_table(locations: Sequence[str]) -> Table:
    """The files behind paths, folders and patterns such as `data/*.parquet`.

    Raises UnusableReferenceError where one is missing, unreadable, of an unknown type, or lacks a column of the first.
    """
    paths = tuple(path for location in locations for path in _expand(location))
    kinds = {_is_csv(path) for path in paths}
    if len(kinds) != 1:
        raise UnusableReferenceError(f"{', '.join(locations)}: CSV and Parquet files together; give one kind")
    csv = kinds.pop()
    schemas = [_schema(path, csv) for path in paths]
    for path, schema in zip(paths, schemas, strict=True):
        twice = sorted({name for name in schema.names if schema.names.count(name) > 1})
        missing = [name for name in schemas[0].names if name not in schema.names]
        if twice or missing:
            said = f"column {twice[0]!r} twice" if twice else f"no column {missing[0]!r}, unlike {paths[0]}"
            raise UnusableReferenceError(f"{path}: {said}")
    return Table(paths, schemas[0], csv)


def _expand(location: str) -> list[Path]:
    path = Path(location)
    if path.is_dir():
        found = sorted(p for p in path.iterdir() if p.name.endswith(CSV_ENDS + PARQUET_ENDS))
    elif path.exists():
        found = [path]
    else:
        found = [Path(p) for p in sorted(glob.glob(location, recursive=True))]
    if not found:
        raise UnusableReferenceError(f"{location}: there is no such file, or nothing in it ends in .csv or .parquet")
    return found


def _is_csv(path: Path) -> bool:
    if path.name.endswith(PARQUET_ENDS):
        return False
    if path.name.endswith(CSV_ENDS):
        return True
    raise UnusableReferenceError(f"{path}: expected a name that ends in {', '.join(CSV_ENDS + PARQUET_ENDS)}")


def _schema(path: Path, csv: bool) -> Any:
    import pyarrow as pa

    with _translated(path):
        if not csv:
            with _parquet_file(path) as file:
                return file.schema_arrow
        with _open_csv(path, None) as reader:
            return pa.schema([(name, pa.string()) for name in reader.schema.names])


def _parquet_file(path: Path) -> Any:
    import pyarrow.parquet as pq

    # Not ahead of what is asked for: that took 70 MB more for row groups of 50,000 rows, and more for larger ones.
    return pq.ParquetFile(path, memory_map=False, pre_buffer=False, buffer_size=1 << 20)


def _parquet_batches(path: Path, columns: Sequence[str], rows: int) -> Iterator[tuple[Any, float]]:
    with _parquet_file(path) as file:
        total, done = file.metadata.num_rows, 0
        for batch in file.iter_batches(batch_size=rows, columns=list(columns), use_threads=False):
            done += batch.num_rows
            yield batch.select(list(columns)), done / max(1, total)


def _csv_batches(path: Path, columns: Sequence[str]) -> Iterator[tuple[Any, float]]:
    size = max(1, path.stat().st_size)
    done = 0
    with _open_csv(path, columns) as reader:
        for batch in reader:
            done += batch.nbytes
            yield batch, min(1.0, done / size)


def _open_csv(path: Path, columns: Sequence[str] | None) -> Any:
    """All columns as text: Arrow would settle each type by the first block and stop at the first value that differs."""
    import pyarrow as pa
    import pyarrow.csv

    types = {name: pa.string() for name in columns or ()}
    return pyarrow.csv.open_csv(
        path,
        read_options=pyarrow.csv.ReadOptions(use_threads=False, block_size=CSV_BLOCK_BYTES),
        parse_options=pyarrow.csv.ParseOptions(delimiter="\t" if ".tsv" in path.name else ",", newlines_in_values=True),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=types,
            include_columns=list(columns or ()),
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        import pyarrow as pa
    except ImportError as error:
        raise UnusableReferenceError("reading data needs pyarrow: pip install 'sidelight-agent[build]'") from error
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise UnusableReferenceError(f"{path}: {str(error).splitlines()[0][:200]}") from error

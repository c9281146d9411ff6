"""Which column of the training data is what, and how it is watched: options, then the schema file, then the data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from agent.errors import UnusableReferenceError
from agent.records import Kind, Source
from agent.reference.convert import TextType, Watched, watched_as
from agent.reference.schema import OUTPUTS, FeatureSchema, Schema
from agent.reference.survey import Name
from agent.reference.table import Progress, Table

WINDOW_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Request:
    """What to build. Column names as in the data; "" and (): there is none. What is set here goes before the schema."""

    data: tuple[str, ...]
    model: str
    version: str
    time: str = ""
    prediction: str = ""
    score: str = ""
    label: str = ""
    id: str = ""
    segments: tuple[str, ...] = ()
    protected: tuple[str, ...] = ()
    vectors: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    public: tuple[str, ...] = ()
    critical: tuple[str, ...] = ()
    window_seconds: float = 0.0
    task: int = 0
    positive: str = ""
    trained_at_ns: int = 0
    schema: Schema = field(default_factory=Schema)


@dataclass(frozen=True, slots=True)
class Watch:
    """One column that is watched."""

    name: Name
    column: str
    kind: Kind
    said: FeatureSchema


@dataclass(frozen=True, slots=True)
class Plan:
    """Every decision about the columns. label: the label's column and kind; notes: what a person should be told."""

    watches: tuple[Watch, ...]
    label: Watch | None
    window_seconds: float
    segments: tuple[str, ...]
    protected: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def by_segment(self) -> tuple[Watch, ...]:
        """The segment keys' own columns, read as texts. Protected ones are not counted apart."""
        keys = [key for key in self.segments if key not in self.protected]
        return tuple(Watch((Source.ROW, key), key, Kind.TEXT, FeatureSchema()) for key in keys)

    @property
    def with_truth(self) -> tuple[Watch, ...]:
        """The columns beside those watched that a row with its label needs; none without a label."""
        if self.label is None:
            return ()
        groups = tuple(Watch((Source.ROW, key), key, Kind.TEXT, FeatureSchema()) for key in self.protected)
        return (self.label, *groups)

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(watch.column for watch in self.watches)


def make_plan(request: Request, table: Table, progress: Progress) -> Plan:
    """Raises UnusableReferenceError, naming option and column, where an option does not fit the data or the schema."""
    segments = request.segments or request.schema.segments
    protected = request.protected or request.schema.protected
    _check_columns(request, table, segments, protected)
    outputs = {Source.PREDICTION: request.prediction, Source.SCORE: request.score}
    wanted: list[tuple[Name, str]] = [((s, s.name.lower()), column) for s, column in outputs.items() if column]
    taken = {*outputs.values(), request.time, request.label, request.id, *segments, *protected}
    chosen = request.features or table.names
    wanted += [((Source.FEATURE, c), c) for c in table.names if c not in taken and c in chosen]
    needed = dict.fromkeys([*(column for _, column in wanted), *filter(None, [request.label])])
    types = _types(request, table, list(needed), progress)
    notes: list[str] = []
    watches = []
    for name, column in wanted:
        said = _said(request, name, column)
        if (watch := _watch(name, column, types[column], said)) is not None:
            watches.append(watch)
        elif not said.ignored:
            notes.append(f"column {column!r} is {types[column].why}: left out")
    label = types.get(request.label, Watched(None)).kind
    if not watches:
        raise UnusableReferenceError(f"{table.paths[0]}: no column is left to watch")
    return Plan(
        watches=tuple(watches),
        label=Watch((Source.PREDICTION, "label"), request.label, label, FeatureSchema()) if label else None,
        window_seconds=request.window_seconds or request.schema.window_seconds or WINDOW_SECONDS,
        segments=segments,
        protected=protected,
        notes=tuple(notes),
    )


def _check_columns(request: Request, table: Table, segments: Sequence[str], protected: Sequence[str]) -> None:
    named = {
        "--time": [request.time], "--prediction": [request.prediction], "--score": [request.score],
        "--label": [request.label], "--id": [request.id], "--segments": segments, "--protected": protected,
        "--vector": request.vectors, "--ignore": request.ignore, "--features": request.features,
        "--public": request.public, "--critical": request.critical,
    }  # fmt: skip
    for option, columns in named.items():
        for column in columns:
            marks_output = option in ("--public", "--critical") and column in OUTPUTS
            if column and column not in table.names and not marks_output:
                known = ", ".join(table.names[:30]) + (", …" if len(table.names) > 30 else "")
                raise UnusableReferenceError(f"{table.paths[0]}: {option}: no column {column!r}; there are {known}")
    roles = [c for c in (request.time, request.prediction, request.score, request.label, request.id, *segments) if c]
    twice = next((c for c in roles if roles.count(c) > 1), None)
    if twice is not None:
        raise UnusableReferenceError(f"column {twice!r} is given two roles")
    for source, name in request.schema.features:
        if source is not Source.FEATURE and not getattr(request, name):
            raise UnusableReferenceError(f"{request.schema.where(name)}: {name}: say with --{name} which column it is")
        if source is Source.FEATURE and name not in table.names:
            place = request.schema.where("features", name)
            raise UnusableReferenceError(f"{place}: features.{name}: {table.paths[0]} has no such column")


def _types(request: Request, table: Table, columns: Sequence[str], progress: Progress) -> dict[str, Watched]:
    if not table.csv:
        return {c: watched_as(table.schema.field(c).type, c in request.vectors) for c in columns}
    if request.vectors:
        raise UnusableReferenceError(f"--vector {request.vectors[0]}: CSV holds no vectors; use Parquet")
    found = {column: TextType() for column in columns}
    for batch in table.batches(columns, lambda share: progress("types", share)):
        for column, kind in found.items():
            kind.add(batch.column(column))
    return {column: kind.watched for column, kind in found.items()}


def _said(request: Request, name: Name, column: str) -> FeatureSchema:
    said = request.schema.of(*name)
    called = {column} if name[0] is Source.FEATURE else {column, name[1]}
    return replace(
        said,
        public=said.public or not called.isdisjoint(request.public),
        critical=said.critical or not called.isdisjoint(request.critical),
        ignored=said.ignored or column in request.ignore,
    )


def _watch(name: Name, column: str, found: Watched, said: FeatureSchema) -> Watch | None:
    source = name[0]
    kind = said.kind or found.kind
    if kind is None or (said.kind is not None and found.kind is None and said.kind is not Kind.TEXT):
        return None
    if source is Source.SCORE and kind is not Kind.NUMBER:
        raise UnusableReferenceError(f"--score: column {column!r} holds {kind.name.lower()}s, expected numbers")
    return Watch(name, column, kind, said)

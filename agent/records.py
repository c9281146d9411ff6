"""The values that travel between the stations. Frozen, trusted inside: the door (`ingest`) has doubted them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from agent.traces.traced import NO_TRACES, Traces

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Cells = npt.NDArray[np.int32]
Counts = npt.NDArray[np.integer]  # as wide as the largest needs
Bools = npt.NDArray[np.bool_]
Bytes = npt.NDArray[np.uint8]


class Source(IntEnum):
    """Where a watched value comes from. Numbers as in reference.proto."""

    FEATURE = 1
    PREDICTION = 2
    SCORE = 3
    LATENCY = 4
    ROW = 5  # of several features at once


class Kind(IntEnum):
    """What type a watched value has in the schema. Numbers as in reference.proto."""

    NUMBER = 1
    TEXT = 2
    FLAG = 3
    VECTOR = 4


class Task(IntEnum):
    """What kind of model it is. Numbers as in lifecycle.proto and reference.proto."""

    UNKNOWN = 0
    BINARY = 1
    MULTICLASS = 2
    REGRESSION = 3
    RANKING = 4
    OTHER = 5


class Role(IntEnum):
    """Whose answer was used. Numbers as in recorder.proto."""

    PRIMARY = 1
    SHADOW = 2


@dataclass(frozen=True, slots=True, order=True)
class ModelKey:
    """What made a prediction; one series of counts each."""

    name: str
    version: str = ""
    role: Role = Role.PRIMARY
    deployment: str = ""
    tenant: str = ""

    def attributes(self) -> dict[str, str]:
        """OpenTelemetry attributes of this series (never of the Resource)."""
        found = {"sidelight.model.name": self.name, "sidelight.model.version": self.version}
        if self.role is not Role.PRIMARY:
            found["sidelight.model.role"] = self.role.name.lower()
        if self.deployment:
            found["sidelight.model.deployment"] = self.deployment
        if self.tenant:
            found["sidelight.tenant"] = self.tenant
        return found


# State of one value, where a column is not simply full.
PRESENT, NULL, ABSENT = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Numbers:
    """values: float64 (rows,), NaN and ±inf allowed; state: uint8 (rows,) of PRESENT/NULL/ABSENT, None when all
    present."""

    values: Floats
    state: Bytes | None = None


@dataclass(frozen=True, slots=True)
class Texts:
    """Row i is dictionary[codes[i]]; codes int32 (rows,), in range (0 where not present)."""

    dictionary: Sequence[str]
    codes: Cells
    state: Bytes | None = None


@dataclass(frozen=True, slots=True)
class Flags:
    """values: bool (rows,)."""

    values: Bools
    state: Bytes | None = None


@dataclass(frozen=True, slots=True)
class Vectors:
    """values: float32 (rows, size)."""

    values: npt.NDArray[np.float32]
    state: Bytes | None = None


@dataclass(frozen=True, slots=True)
class Columns:
    """Named values of one batch, by type. One name may stand in two types (a mixed feature), absent in turn."""

    numbers: Mapping[str, Numbers] = field(default_factory=dict)
    texts: Mapping[str, Texts] = field(default_factory=dict)
    flags: Mapping[str, Flags] = field(default_factory=dict)
    vectors: Mapping[str, Vectors] = field(default_factory=dict)

    def names(self) -> set[str]:
        return {*self.numbers, *self.texts, *self.flags, *self.vectors}


@dataclass(frozen=True, slots=True)
class Items:
    """Ranked lists, one after another. lengths: int32 (rows,); ids: uint64 hashes, positions: int32 from 1, scores:
    float64 (NaN none), each (sum of lengths,)."""

    lengths: Cells
    ids: npt.NDArray[np.uint64]
    positions: Cells
    scores: Floats


@dataclass(frozen=True, slots=True)
class Batch:
    """Predictions of one model, column by column; every array has `rows` entries.

    outputs: `prediction` (value or label) and `score`, `score:CLASS`; further outputs carry `NAME.` before these.
    time_ns: when each prediction started; None: all at `arrived_ns`. latency: seconds, NaN unknown, None: nowhere
    known.
    """

    model: ModelKey
    rows: int
    arrived_ns: int
    features: Columns
    outputs: Columns
    time_ns: Ints | None = None
    latency: Floats | None = None
    errors: Bools | None = None
    segments: Mapping[str, Texts] = field(default_factory=dict)
    protected: Mapping[str, Texts] = field(default_factory=dict)
    measures: Mapping[str, Numbers] = field(default_factory=dict)
    weights: Floats | None = None
    traces: Traces = NO_TRACES
    ids: npt.NDArray[np.uint64] | None = None  # hashes of the prediction ids, 0 where there is none
    request_ids: npt.NDArray[np.uint64] | None = None  # likewise of the request ids
    items: Items | None = None  # of a ranking
    messages: tuple[tuple[int, int], ...] = ()  # (rows, arrived_ns) of those it was put together of; () one


def select(batch: Batch, kept: Ints) -> Batch:
    """The batch with only the rows in `kept` (indices, rising)."""

    def pick(column: Any) -> Any:
        state = None if column.state is None else column.state[kept]
        if isinstance(column, Texts):
            return Texts(column.dictionary, column.codes[kept], state)
        return type(column)(column.values[kept], state)

    def each(columns: Mapping[str, Any]) -> dict[str, Any]:
        return {name: pick(column) for name, column in columns.items()}

    def every(columns: Columns) -> Columns:
        return Columns(each(columns.numbers), each(columns.texts), each(columns.flags), each(columns.vectors))

    def part(array: Any) -> Any:
        return None if array is None else array[kept]

    return Batch(
        model=batch.model,
        rows=len(kept),
        arrived_ns=batch.arrived_ns,
        features=every(batch.features),
        outputs=every(batch.outputs),
        time_ns=part(batch.time_ns),
        latency=part(batch.latency),
        errors=part(batch.errors),
        segments=each(batch.segments),
        protected=each(batch.protected),
        measures=each(batch.measures),
        weights=part(batch.weights),
        ids=part(batch.ids),
        request_ids=part(batch.request_ids),
        items=None if batch.items is None else _lists(batch.items, kept),
        traces=batch.traces.select(kept),
    )


def _lists(items: Items, kept: Ints) -> Items:
    """The lists of the rows in `kept`."""
    ends = np.cumsum(items.lengths, dtype=np.int64)
    lengths = items.lengths[kept].astype(np.int64)
    begins = np.repeat(ends[kept] - lengths, lengths)
    at = begins + np.arange(len(begins)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return Items(items.lengths[kept], items.ids[at], items.positions[at], items.scores[at])


@dataclass(frozen=True, slots=True)
class Labels:
    """Truths of one message; every array has `rows` entries. ids, request_ids, items: hashes, 0 where there is none.

    values: float64, NaN where the truth is a text or nothing; labels: the truth as text, of a number its shortest form
    ("1", "0.5"), where there are few. time_ns: when the truth came to be, 0 unknown. weights: None: one each.
    outputs: of which output each is the truth; (): all of the only one. predictions: those that came along, row i of it
    for the label at[i].
    """

    model: ModelKey
    rows: int
    arrived_ns: int
    ids: npt.NDArray[np.uint64]
    request_ids: npt.NDArray[np.uint64]
    items: npt.NDArray[np.uint64]
    values: Floats
    labels: Texts
    time_ns: Ints
    weights: Floats | None = None
    outputs: tuple[str, ...] = ()
    predictions: Batch | None = None
    at: Ints | None = None


@dataclass(frozen=True, slots=True)
class Pairs:
    """Predictions of one version with their truth, as they were joined; every array has `rows` entries.

    ids, request_ids: uint64 hashes, 0 none. time_ns: of the prediction; label_ns: of the truth's arrival.
    predicted, actual: float64, the number predicted and the true one, NaN where they are texts. classes: the texts of
    all labels so far; predicted_class, actual_class: int32 places in it, -1 none (a number has its shortest form).
    scores: float64 (rows, score_names), NaN none; score_names: "" the lone score, else the class. weights: float64, the
    sender's times that of the sample. segments, groups: key -> int32 places in `names`, -1 none. position: int32, of a
    ranked item, 0 none. latency: seconds, NaN unknown.
    """

    model: ModelKey
    rows: int
    ids: npt.NDArray[np.uint64]
    request_ids: npt.NDArray[np.uint64]
    time_ns: Ints
    label_ns: Ints
    predicted: Floats
    actual: Floats
    predicted_class: Cells
    actual_class: Cells
    classes: Sequence[str]
    scores: Floats
    score_names: tuple[str, ...]
    weights: Floats
    segments: Mapping[str, Cells] = field(default_factory=dict)
    groups: Mapping[str, Cells] = field(default_factory=dict)
    names: Sequence[str] = ()
    position: Cells | None = None
    latency: Floats | None = None

    def score(self, positive: str) -> Floats:
        """float64 (rows,): the positive class's score, or the lone one; NaN where there is none."""
        for name in (positive, ""):
            if name in self.score_names:
                return self.scores[:, self.score_names.index(name)]
        return np.full(self.rows, np.nan)


def shortest(value: float) -> str:
    """A number as a class is called: the shortest text that reads back as it.

    >>> shortest(1.0), shortest(0.5), shortest(-0.0), shortest(1e300)
    ('1', '0.5', '0', '1e+300')
    """
    return str(int(value)) if abs(value) < 1e15 and value == int(value) else repr(float(value))


@dataclass(frozen=True, slots=True)
class TextsSeen:
    """One text in one closed window. distinct: how many different ones came, an estimate; new: values that the
    reference never held, of a sample where there are many; newcomers: the most frequent of these, shortened, and how
    many values at least."""

    distinct: int
    new: int = 0
    newcomers: tuple[tuple[str, int], ...] = ()


@dataclass(slots=True)
class Closed:
    """One closed window: what every measure judges, newest horizons are made of these.

    index: start / window_seconds; counts: int32 (layout.cells,), only a resolved alert empties some of them; latency:
    int32 buckets; segments: "key=value" -> unsigned (layout.cells,), as wide as its largest. covered_seconds: how long
    of it the agent watched, 0 where that is not known; backlog: rows of times in which it did not, sent later. unknown:
    features of the traffic that the reference does not have -> rows with them, at most 64 names. repeats: of a sample,
    "ids" and "rows" -> (rows, those whose id or features came before in this window or the last). texts: of the watched
    ones that came.
    """

    index: int
    counts: Cells
    latency: Cells = field(default_factory=lambda: np.zeros(0, np.int32))
    rows: int = 0
    errors: int = 0
    segments: dict[str, Counts] = field(default_factory=dict)
    covered_seconds: float = 0.0
    backlog: int = 0
    unknown: Mapping[str, int] = field(default_factory=dict)
    repeats: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    texts: Mapping[tuple[Source, str], TextsSeen] = field(default_factory=dict)


class Verdict(StrEnum):
    """What a check has to say. Everything but ALARM is a reason for not alarming."""

    ALARM = "alarm"
    WITHIN_NOISE = "within the noise"
    BELOW_FLOOR = "below the effect floor"
    NOT_ENOUGH_ROWS = "not enough rows"
    NO_DATA = "no data"
    NO_REFERENCE = "no reference"
    LEARNING = "learning"
    REFERENCE_TOO_SHORT = "reference too short"
    MUTED = "explained by another finding"
    NOT_BELIEVED = "the estimate is not to be believed"
    UNDER_THRESHOLD = "under the fixed threshold"  # the user's own, which knows no noise


@dataclass(frozen=True, slots=True)
class BinChange:
    """One bin's or category's share, then and now (0-1). `label` is for inside the pod; `bin` may leave it.

    plain: the label holds no value and no name, and may leave it too.
    """

    label: str
    bin: int
    reference: float
    current: float
    plain: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check says of one subject at one window's close.

    check: "drift", "type_mismatch", "missing", "out_of_range", "new_category", "latency", …; subject: the feature.
    p_value and alpha: the significance and what the ledger allows it; NaN where nothing was tested.
    effect: in the check's own unit (drift: corrected PSI; rates: the rise in share; latency: ratio).
    horizon: windows pooled; n and n_reference: rows; phi: overdispersion. newcomers: of new categories the frequent
    ones, and their share of all that is new (0-1); for inside the pod, outside only where the feature is public.
    """

    check: str
    subject: str
    source: Source
    verdict: Verdict
    p_value: float = float("nan")
    alpha: float = float("nan")
    effect: float = float("nan")
    horizon: int = 1
    n: int = 0
    n_reference: int = 0
    phi: float = 1.0
    first_window: int = 0
    current: float = float("nan")
    expected: float = float("nan")
    distances: Mapping[str, float] = field(default_factory=dict)
    changes: tuple[BinChange, ...] = ()
    reason: str = ""
    segment: str = ""  # "region=north": found in that part of the traffic only
    newcomers: tuple[tuple[str, float], ...] = ()
    made_of: tuple[frozenset[str], ...] = ()  # of a whole row that alarms: what each alarming part of it is made of

    @property
    def alarms(self) -> bool:
        return self.verdict is Verdict.ALARM


class AlertState(StrEnum):
    PENDING = "pending"
    FIRING = "firing"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened once and leaves as one log record. `key` makes it idempotent: offset and running
    number."""

    name: str
    key: str
    time_ns: int
    severity: str  # INFO, WARN, ERROR
    body: str
    attributes: Mapping[str, Any] = field(default_factory=dict)

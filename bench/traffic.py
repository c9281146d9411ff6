"""What is sent: predictions with given features, the same every time, and the reference they are judged by."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from agent.bins import Feature, Layout
from agent.records import NULL, Batch, Bytes, Columns, Kind, ModelKey, Numbers, Source, Texts, Vectors
from agent.reference import file as reference_file
from agent.reference.by_segment import SegmentCounter
from agent.reference.directions import with_projections
from agent.reference.edges import number_edges
from agent.reference.profile import Reference
from agent.wire import recorder_pb2 as wire

RING = 16  # different messages, sent over and over
BLOCKS = 60
BLOCK_ROWS = 2_000
FITTED = 4  # blocks of rows that the directions are fitted to; they are not counted
MISSING_EVERY = 5  # where values are missing, in every fifth number
FACTORS = 32  # that move a vector's entries together
VECTOR = "embedding"
CATEGORIES = (4, 8, 16, 32)  # of the text features, in turn
LABELS = ("no", "yes")


@dataclass(frozen=True, slots=True)
class Traffic:
    """One kind of message. body: columns, rows or labels; segments: how many values each key has; vector: entries of a
    vector beside the rest, 0: none; missing: share of nulls in some of the numbers (columns only)."""

    body: str = "columns"
    rows: int = 500
    numbers: int = 16
    texts: int = 4
    segments: tuple[int, ...] = ()
    model: str = "loan"
    vector: int = 0
    missing: float = 0.0

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Traffic:
        found = json.loads(text)
        return cls(**{**found, "segments": tuple(found["segments"])})

    def wide(self, features: int) -> Traffic:
        """The same with so many features, four fifths of them numbers."""
        return replace(self, numbers=features - features // 5, texts=features // 5)


@dataclass(frozen=True, slots=True)
class Values:
    """numbers: float64 (features, rows); texts: int32 (features, rows), codes; label int32; score, latency float64;
    null: bool (rows,), where some numbers are missing; vectors: float32 (rows, size); segments: int32 (keys, rows)."""

    numbers: np.ndarray
    texts: np.ndarray
    label: np.ndarray
    score: np.ndarray
    latency: np.ndarray
    null: np.ndarray
    vectors: np.ndarray
    segments: np.ndarray


def values(traffic: Traffic, rows: int, seed: int) -> Values:
    """Half of the numbers normal, half lognormal; categories with falling shares."""
    rng = np.random.default_rng(seed)
    numbers = rng.normal(size=(traffic.numbers, rows))
    numbers[1::2] = np.exp(numbers[1::2])
    texts = np.array(
        [(rng.beta(1, 2, rows) * categories(i)).astype(np.int32) for i in range(traffic.texts)], dtype=np.int32
    )
    score = rng.beta(2, 3, rows)
    latency = rng.lognormal(-4, 0.3, rows)
    null = rng.random(rows) < traffic.missing
    segments = np.array([rng.integers(0, size, rows) for size in traffic.segments], dtype=np.int32)
    return Values(
        numbers, texts.reshape(traffic.texts, rows), (score > 0.5).astype(np.int32), score, latency, null,
        vectors(traffic.vector, rows, rng), segments,
    )  # fmt: skip


def vectors(size: int, rows: int, rng: np.random.Generator) -> np.ndarray:
    """float32 (rows, size): a few factors of falling weight, the same ones every time, and noise."""
    found = rng.normal(scale=0.3, size=(rows, size)).astype(np.float32)
    if size:
        weights = np.random.default_rng(0).normal(size=(FACTORS, size)) / np.arange(1, FACTORS + 1)[:, None]
        found += (rng.normal(size=(rows, FACTORS)) @ weights).astype(np.float32)
    return found


def categories(text: int) -> int:
    return CATEGORIES[text % len(CATEGORIES)]


def number_name(i: int) -> str:
    return f"number_{i:03d}"


def text_name(i: int) -> str:
    return f"text_{i:03d}"


def dictionary(i: int) -> tuple[str, ...]:
    return tuple(f"category_{c:02d}" for c in range(categories(i)))


def messages(traffic: Traffic, count: int = RING) -> list[bytes]:
    """Encoded requests without a stamp: what a client makes, but for the stamp that it appends."""
    return [_message(traffic, i).SerializeToString() for i in range(count)]


def stamp(client: str, sequence: int) -> bytes:
    """Appended to a message: protobuf reads the two as one. As the Python client does it."""
    return wire.RecordRequest(client_id=client, sequence=sequence).SerializeToString()


def _message(traffic: Traffic, i: int) -> wire.RecordRequest:
    request = wire.RecordRequest(model=wire.Model(name=traffic.model, version="1"))
    if traffic.body == "labels":
        _labels(request, traffic.rows)
        return request
    found = values(traffic, traffic.rows, seed=1000 + i)
    (_rows if traffic.body == "rows" else _columns)(request, traffic, found, i)
    return request


def _columns(request: wire.RecordRequest, traffic: Traffic, found: Values, i: int) -> None:
    columns, rows = request.columns, traffic.rows
    columns.rows = rows
    columns.id_prefix = "0123456789abcdef-"
    columns.id_numbers.extend(range(i * rows, (i + 1) * rows))
    columns.time_unix_nano.extend(1_700_000_000_000_000_000 + k for k in range(rows))
    for k, column in enumerate(found.numbers):
        nulls = np.packbits(found.null, bitorder="little").tobytes() if _has_nulls(traffic, k) else b""
        columns.numbers.add(name=number_name(k), values=column.tolist(), nulls=nulls)
    for k, codes in enumerate(found.texts):
        columns.texts.add(name=text_name(k), dictionary=dictionary(k), codes=codes.tolist())
    if traffic.vector:
        columns.vectors.add(name=VECTOR, size=traffic.vector, values=found.vectors.ravel().tolist())
    output = columns.outputs.add()
    output.labels.dictionary.extend(LABELS)
    output.labels.codes.extend(found.label.tolist())
    output.scores.add(values=found.score.tolist())
    columns.latency_seconds.extend(found.latency.tolist())
    for k, codes in enumerate(found.segments):
        columns.segments.add(name=segment_name(k), dictionary=segment_values(traffic, k), codes=codes.tolist())


def segment_name(k: int) -> str:
    return f"segment_{k}"


def segment_values(traffic: Traffic, k: int) -> tuple[str, ...]:
    return tuple(f"value_{v}" for v in range(traffic.segments[k]))


def _has_nulls(traffic: Traffic, number: int) -> bool:
    return traffic.missing > 0 and number % MISSING_EVERY == 0


def _nulls(traffic: Traffic, found: Values, number: int) -> Bytes | None:
    return np.where(found.null, np.uint8(NULL), np.uint8(0)) if _has_nulls(traffic, number) else None


def _rows(request: wire.RecordRequest, traffic: Traffic, found: Values, i: int) -> None:
    for r in range(traffic.rows):
        row = request.rows.rows.add(
            prediction_id=f"0123456789abcdef-{i * traffic.rows + r}",
            time_unix_nano=1_700_000_000_000_000_000 + r,
            latency_seconds=float(found.latency[r]),
        )
        for k in range(traffic.numbers):
            row.numbers[number_name(k)] = float(found.numbers[k, r])
        for k in range(traffic.texts):
            row.texts[text_name(k)] = dictionary(k)[found.texts[k, r]]
        row.outputs.add(label=LABELS[found.label[r]]).scores[""] = float(found.score[r])


def _labels(request: wire.RecordRequest, rows: int) -> None:
    columns = request.label_columns
    columns.rows = rows
    columns.id_prefix = "0123456789abcdef-"
    columns.id_numbers.extend(range(rows))
    columns.labels.dictionary.extend(LABELS)
    columns.labels.codes.extend(k % 2 for k in range(rows))


def reference(traffic: Traffic, window_seconds: float) -> Reference:
    """As `_reference`, which is made once for traffic that differs in its messages and its model's name alone."""
    same = _reference(replace(traffic, body="columns", rows=BLOCK_ROWS, model=""), window_seconds)
    return replace(same, model=traffic.model)


@lru_cache(maxsize=8)
def _reference(traffic: Traffic, window_seconds: float) -> Reference:
    """The reference of this traffic, as `sidelight reference build` makes one: its edges, the directions of whole rows
    and vectors, 60 blocks of 2,000 rows, and each segment's counts."""
    sample = values(traffic, 20_000, seed=1)
    features = (
        *(Feature(number_name(k), Source.FEATURE, Kind.NUMBER, edges=_edges(v)) for k, v in enumerate(sample.numbers)),
        *(Feature(text_name(k), Source.FEATURE, Kind.TEXT, categories=dictionary(k)) for k in range(traffic.texts)),
        *((Feature(VECTOR, Source.FEATURE, Kind.VECTOR, size=traffic.vector),) if traffic.vector else ()),
        Feature("prediction", Source.PREDICTION, Kind.TEXT, categories=LABELS),
        Feature("score", Source.SCORE, Kind.NUMBER, edges=_edges(sample.score)),
    )
    fitted = [batch(traffic, BLOCK_ROWS, seed=500 + b) for b in range(FITTED)]
    layout = with_projections(Layout(features, window_seconds), fitted)
    known = {
        segment_name(k): dict.fromkeys(segment_values(traffic, k), BLOCKS * BLOCK_ROWS // size)
        for k, size in enumerate(traffic.segments)
    }
    segments, counts = SegmentCounter(known, layout.cells, BLOCKS), []
    for b in range(BLOCKS):
        rows = batch(traffic, BLOCK_ROWS, seed=100 + b)
        placed = layout.place(rows)
        counts.append(placed.count(layout.cells))
        segments.add(placed.cells, np.full(BLOCK_ROWS, b, dtype=np.int64), rows.segments)
    return Reference(
        traffic.model,
        "1",
        layout,
        np.array(counts, dtype=np.int32),
        (np.arange(BLOCKS) * window_seconds * 1e9).astype(np.int64),
        np.full(BLOCKS, BLOCK_ROWS, dtype=np.int64),
        segments=tuple(known),
        made_by="bench",
        origin="bench",
        by_segment=segments.finish(),
    )


def write_reference(traffic: Traffic, folder: Path, window_seconds: float) -> Path:
    """Writes it where an agent looks in a folder of references; returns the folder."""
    path = folder / "references" / traffic.model / "1.sidelight"
    path.parent.mkdir(parents=True, exist_ok=True)
    reference_file.write(reference(traffic, window_seconds), path)
    return folder / "references"


def batch(traffic: Traffic, rows: int, seed: int) -> Batch:
    """The same values as they are inside the agent."""
    found = values(traffic, rows, seed)
    return Batch(
        ModelKey(traffic.model, "1"),
        rows,
        0,
        Columns(
            {number_name(k): Numbers(v, _nulls(traffic, found, k)) for k, v in enumerate(found.numbers)},
            {text_name(k): Texts(dictionary(k), v) for k, v in enumerate(found.texts)},
            vectors={VECTOR: Vectors(found.vectors)} if traffic.vector else {},
        ),
        Columns({"score": Numbers(found.score)}, {"prediction": Texts(LABELS, found.label)}),
        latency=found.latency,
        segments={segment_name(k): Texts(segment_values(traffic, k), codes) for k, codes in enumerate(found.segments)},
    )


def _edges(column: np.ndarray) -> tuple[float, ...]:
    return number_edges(column, None, float(column.min()), float(column.max()))

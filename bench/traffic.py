"""What is sent: predictions with given features, the same every time, and the reference they are judged by."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from agent.bins import Feature, Layout
from agent.records import Batch, Columns, Kind, ModelKey, Numbers, Source, Texts
from agent.reference import file as reference_file
from agent.reference.edges import number_edges
from agent.reference.profile import Reference
from agent.wire import recorder_pb2 as wire

RING = 16  # different messages, sent over and over
BLOCKS = 60
BLOCK_ROWS = 2_000
CATEGORIES = (4, 8, 16, 32)  # of the text features, in turn
LABELS = ("no", "yes")


@dataclass(frozen=True, slots=True)
class Traffic:
    """One kind of message. body: columns, rows or labels; segments: how many values each key has."""

    body: str = "columns"
    rows: int = 500
    numbers: int = 16
    texts: int = 4
    segments: tuple[int, ...] = ()
    model: str = "loan"

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Traffic:
        found = json.loads(text)
        return cls(**{**found, "segments": tuple(found["segments"])})

    def wide(self, features: int) -> Traffic:
        """The same with so many features, four fifths of them numbers."""
        return Traffic(self.body, self.rows, features - features // 5, features // 5, self.segments, self.model)


@dataclass(frozen=True, slots=True)
class Values:
    """numbers: float64 (features, rows); texts: int32 (features, rows), codes; label int32; score, latency float64."""

    numbers: np.ndarray
    texts: np.ndarray
    label: np.ndarray
    score: np.ndarray
    latency: np.ndarray


def values(traffic: Traffic, rows: int, seed: int) -> Values:
    """Half of the numbers normal, half lognormal; categories with falling shares."""
    rng = np.random.default_rng(seed)
    numbers = rng.normal(size=(traffic.numbers, rows))
    numbers[1::2] = np.exp(numbers[1::2])
    texts = np.array(
        [(rng.beta(1, 2, rows) * categories(i)).astype(np.int32) for i in range(traffic.texts)], dtype=np.int32
    )
    score = rng.beta(2, 3, rows)
    return Values(
        numbers, texts.reshape(traffic.texts, rows), (score > 0.5).astype(np.int32), score, rng.lognormal(-4, 0.3, rows)
    )


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
        columns.numbers.add(name=number_name(k), values=column.tolist())
    for k, codes in enumerate(found.texts):
        columns.texts.add(name=text_name(k), dictionary=dictionary(k), codes=codes.tolist())
    output = columns.outputs.add()
    output.labels.dictionary.extend(LABELS)
    output.labels.codes.extend(found.label.tolist())
    output.scores.add(values=found.score.tolist())
    columns.latency_seconds.extend(found.latency.tolist())
    for k, size in enumerate(traffic.segments):
        codes = np.random.default_rng(i).integers(0, size, rows)
        columns.segments.add(name=segment_name(k), dictionary=[f"value_{v}" for v in range(size)], codes=codes.tolist())


def segment_name(k: int) -> str:
    return f"segment_{k}"


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
    """The reference of this traffic: edges as `sidelight reference build` chooses them, 60 blocks of 2,000 rows."""
    sample = values(traffic, 20_000, seed=1)
    features = (
        *(Feature(number_name(k), Source.FEATURE, Kind.NUMBER, edges=_edges(v)) for k, v in enumerate(sample.numbers)),
        *(Feature(text_name(k), Source.FEATURE, Kind.TEXT, categories=dictionary(k)) for k in range(traffic.texts)),
        Feature("prediction", Source.PREDICTION, Kind.TEXT, categories=LABELS),
        Feature("score", Source.SCORE, Kind.NUMBER, edges=_edges(sample.score)),
    )
    layout = Layout(features, window_seconds)
    counts = [layout.place(batch(traffic, BLOCK_ROWS, seed=100 + b)).count(layout.cells) for b in range(BLOCKS)]
    return Reference(
        traffic.model,
        "1",
        layout,
        np.array(counts, dtype=np.int32),
        (np.arange(BLOCKS) * window_seconds * 1e9).astype(np.int64),
        np.full(BLOCKS, BLOCK_ROWS, dtype=np.int64),
        made_by="bench",
        origin="bench",
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
            {number_name(k): Numbers(v) for k, v in enumerate(found.numbers)},
            {text_name(k): Texts(dictionary(k), v) for k, v in enumerate(found.texts)},
        ),
        Columns({"score": Numbers(found.score)}, {"prediction": Texts(LABELS, found.label)}),
        latency=found.latency,
    )


def _edges(column: np.ndarray) -> tuple[float, ...]:
    return number_edges(column, None, float(column.min()), float(column.max()))

"""A stream of records that lives through faults, the same every time: for runs that are compared with each other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from agent.bins import Feature, Layout
from agent.records import Batch, Columns, Kind, ModelKey, Numbers, Source, Texts
from agent.reference import file as reference_file
from agent.reference.profile import Reference
from agent.wire import recorder_pb2 as wire

WINDOW_SECONDS = 60
START_NS = 1_700_000_040 * 10**9  # a multiple of a minute
ROWS = 25  # of a message
MESSAGES = 8  # of a window
CITIES = ("berlin", "paris", "rome", "wien")
MODEL = ModelKey("loan", "3")


def reference(path: Path, blocks: int = 120) -> Reference:
    """Writes the reference of `loan` version 3: three numbers, a text, a prediction and a score."""
    edges = tuple(np.linspace(-4, 4, 21))
    features = (
        *(Feature(f"x{i}", Source.FEATURE, Kind.NUMBER, edges=edges) for i in range(3)),
        Feature("city", Source.FEATURE, Kind.TEXT, categories=CITIES, public=True),
        Feature("prediction", Source.PREDICTION, Kind.TEXT, categories=("no", "yes")),
        Feature("score", Source.SCORE, Kind.NUMBER, edges=tuple(np.linspace(0, 1, 21))),
    )
    layout = Layout(features, WINDOW_SECONDS)
    rng = np.random.default_rng(11)
    counts = []
    for _ in range(blocks):
        numbers, cities, labels, scores = _values(rng, ROWS * MESSAGES)
        batch = Batch(
            MODEL,
            ROWS * MESSAGES,
            0,
            Columns(
                {f"x{i}": Numbers(np.clip(v, -4, 4)) for i, v in enumerate(numbers)},
                {"city": Texts(CITIES, cities.astype(np.int32))},
            ),
            Columns({"score": Numbers(scores)}, {"prediction": Texts(("no", "yes"), labels.astype(np.int32))}),
        )
        counts.append(layout.place(batch).count(layout.cells).astype(np.int32))
    made = Reference(
        MODEL.name,
        MODEL.version,
        layout,
        np.array(counts),
        np.arange(blocks, dtype=np.int64) * WINDOW_SECONDS * 10**9,
        np.full(blocks, ROWS * MESSAGES, dtype=np.int64),
        made_by="test",
        origin="test",
    )
    reference_file.write(made, path)
    return made


def message(number: int, client: str = "sender", traced: bool = False) -> wire.RecordRequest:
    """Message `number` (from 0), stamped. Every fifth comes as rows, every seventh is labels instead.

    traced: each record in a trace of its own, of each message the first one sampled.

    Windows 20-24 of every 40: x0 drifts by two σ. Windows 30-33: city arrives as a number.
    """
    rng = np.random.default_rng(number)
    window = number // MESSAGES
    request = wire.RecordRequest(client_id=client, sequence=number + 1)
    request.model.name, request.model.version = MODEL.name, MODEL.version
    start = START_NS + number * WINDOW_SECONDS * 10**9 // MESSAGES
    if number % 7 == 6:
        _labels(request, start, number)
        return request
    numbers, cities, labels, scores = _values(rng, ROWS)
    if 20 <= window % 40 < 25:
        numbers[0] += 2.0
    broken = 30 <= window % 40 < 34
    if number % 5 == 4:
        _rows(request, start, numbers, cities, labels, scores, broken, number)
    else:
        _columns(request, start, numbers, cities, labels, scores, broken, number)
    if traced:
        _trace(request, number)
    return request


def _labels(request: wire.RecordRequest, start: int, number: int) -> None:
    """Of the message before, of long before, of the next one, by request, the same again, another one, of nobody."""
    add = request.labels.labels.add
    add(prediction_id=f"{number - 1}-0", label="yes", time_unix_nano=start)
    add(prediction_id=f"{number - 50}-2", label="no", time_unix_nano=start)
    add(prediction_id=f"{number + 1}-1", label="yes", time_unix_nano=start)
    add(request_id=f"r{number - 2}-3", label="no", time_unix_nano=start)
    add(prediction_id=f"{number - 8}-0", label="yes", time_unix_nano=start)
    add(prediction_id=f"{number - 15}-0", label="no", time_unix_nano=start)
    add(prediction_id=f"nobody-{number}", label="no", time_unix_nano=start)


def _trace(request: wire.RecordRequest, number: int) -> None:
    """Contexts that follow from the message's number."""
    ids = np.random.default_rng((number, 1)).bytes(24 * ROWS)
    flags = b"\1" + bytes(ROWS - 1)
    if request.HasField("columns"):
        columns = request.columns
        columns.trace_ids, columns.span_ids, columns.trace_flags = ids[: 16 * ROWS], ids[16 * ROWS :], flags
    for i, row in enumerate(request.rows.rows):
        trace, parent = ids[16 * i : 16 * (i + 1)].hex(), ids[16 * ROWS + 8 * i : 16 * ROWS + 8 * (i + 1)].hex()
        row.traceparent = f"00-{trace}-{parent}-{flags[i]:02x}"


def _values(rng: np.random.Generator, rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    numbers = rng.normal(size=(3, rows))
    return numbers, rng.integers(0, 4, rows), rng.integers(0, 2, rows), rng.uniform(size=rows)


def _columns(
    request: wire.RecordRequest,
    start: int,
    numbers: np.ndarray,
    cities: np.ndarray,
    labels: np.ndarray,
    scores: np.ndarray,
    broken: bool,
    number: int,
) -> None:
    columns = request.columns
    columns.rows = ROWS
    columns.id_prefix = f"{number}-"
    columns.id_numbers.extend(range(ROWS))
    columns.request_id_prefix = f"r{number}-"
    columns.request_id_numbers.extend(range(ROWS))
    columns.time_unix_nano.extend([start + i for i in range(ROWS)])
    for i, values in enumerate(numbers):
        columns.numbers.add(name=f"x{i}", values=values.tolist())
    if broken:
        columns.numbers.add(name="city", values=cities.astype(float).tolist())
    else:
        columns.texts.add(name="city", dictionary=CITIES, codes=cities.tolist())
    output = columns.outputs.add()
    output.labels.dictionary.extend(["no", "yes"])
    output.labels.codes.extend(labels.tolist())
    output.scores.add(values=scores.tolist())
    columns.latency_seconds.extend((0.01 + 0.001 * scores).tolist())


def _rows(
    request: wire.RecordRequest,
    start: int,
    numbers: np.ndarray,
    cities: np.ndarray,
    labels: np.ndarray,
    scores: np.ndarray,
    broken: bool,
    number: int,
) -> None:
    for i in range(ROWS):
        row = request.rows.rows.add(
            prediction_id=f"{number}-{i}",
            request_id=f"r{number}-{i}",
            time_unix_nano=start + i,
            latency_seconds=0.01 + 0.001 * float(scores[i]),
        )
        for k in range(3):
            row.numbers[f"x{k}"] = float(numbers[k, i])
        if broken:
            row.numbers["city"] = float(cities[i])
        else:
            row.texts["city"] = CITIES[cities[i]]
        output = row.outputs.add(label=("no", "yes")[labels[i]])
        output.scores[""] = float(scores[i])


def messages() -> Iterator[wire.RecordRequest]:
    """The stream, without end."""
    number = 0
    while True:
        yield message(number)
        number += 1

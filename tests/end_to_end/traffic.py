"""One message a window, with whatever is wrong in it said by the test; and one channel to send many over."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from agent.reference import file as reference_file
from agent.wire import recorder_pb2 as wire
from tests.end_to_end import stream
from tests.end_to_end.harness import WAIT_SECONDS, AgentProcess

ROWS = 200  # of a window
WINDOW_NS = stream.WINDOW_SECONDS * 10**9
FIRST = stream.START_NS // WINDOW_NS  # the index of window 0
MS = 10**6
RECORD = "/sidelight.v1.Recorder/Record"


@dataclass(frozen=True)
class Fault:
    """What is wrong in a window. shift: σ by feature; broken: city comes as a number; slow: times the usual latency."""

    shift: tuple[tuple[str, float], ...] = ()
    broken: bool = False
    slow: float = 1.0


WELL = Fault()


def drift(**shift: float) -> Fault:
    return Fault(tuple(shift.items()))


def references(folder: Path, *models: str) -> Path:
    """A folder with a reference of version 3 for each model."""
    made = stream.reference(folder / "made.sidelight")
    for model in models:
        path = folder / "references" / model / f"{stream.MODEL.version}.sidelight"
        path.parent.mkdir(parents=True)
        reference_file.write(replace(made, model=model), path)
    return folder / "references"


def window(index: int, fault: Fault = WELL, model: str = "loan", version: str = "3") -> wire.RecordRequest:
    """All 200 rows of window `index` (from 0), the same every time."""
    rng = np.random.default_rng(1_000 + index)
    request = wire.RecordRequest()
    request.model.name, request.model.version = model, version
    columns = request.columns
    columns.rows = ROWS
    columns.id_prefix = f"{version}-{index}-"
    columns.id_numbers.extend(range(ROWS))
    columns.time_unix_nano.extend([(FIRST + index) * WINDOW_NS + i * MS for i in range(ROWS)])
    shift = dict(fault.shift)
    for name in ("x0", "x1", "x2"):
        columns.numbers.add(name=name, values=(rng.normal(size=ROWS) + shift.get(name, 0.0)).tolist())
    cities = rng.integers(0, 4, ROWS)
    if fault.broken:
        columns.numbers.add(name="city", values=cities.astype(float).tolist())
    else:
        columns.texts.add(name="city", dictionary=stream.CITIES, codes=cities.tolist())
    output = columns.outputs.add()
    output.labels.dictionary.extend(["no", "yes"])
    output.labels.codes.extend(rng.integers(0, 2, ROWS).tolist())
    output.scores.add(values=rng.uniform(size=ROWS).tolist())
    columns.latency_seconds.extend((fault.slow * rng.uniform(0.010, 0.011, ROWS)).tolist())
    return request


@contextmanager
def sending(agent: AgentProcess) -> Iterator[Any]:
    """A function that sends one request and returns the answer, all over one channel."""
    with grpc.insecure_channel(f"unix:{agent.socket}") as channel:
        call = channel.unary_unary(
            RECORD, request_serializer=bytes, response_deserializer=wire.RecordResponse.FromString
        )

        def send(request: wire.RecordRequest | bytes) -> wire.RecordResponse:
            raw = request if isinstance(request, bytes) else request.SerializeToString()
            answer: wire.RecordResponse = call(raw, timeout=WAIT_SECONDS, wait_for_ready=True)
            return answer

        yield send


def model_of(status: dict[str, Any], name: str = "loan", version: str = "3") -> dict[str, Any]:
    """The model's part of a status; empty while it was not seen."""
    return next((m for m in status["models"] if (m["name"], m["version"]) == (name, version)), {})


def kept(status: dict[str, Any], name: str = "loan", version: str = "3") -> int:
    return int(model_of(status, name, version).get("records", {}).get("kept", 0))


def said(status: dict[str, Any], model: str = "loan", version: str = "3") -> list[tuple[str, str, dict[str, Any]]]:
    """What was said of a model, oldest first: (firing | updated | resolved, alert, attributes)."""
    return [
        (event["name"].rpartition(".")[2], event["attributes"]["sidelight.alert.name"], event["attributes"])
        for event in status["events"]
        if event["attributes"].get("sidelight.model.name") == model
        and event["attributes"].get("sidelight.model.version") == version
    ]


def features(attributes: dict[str, Any]) -> set[str]:
    return {feature["name"] for feature in attributes["sidelight.alert.features"]}


def at(attributes: dict[str, Any]) -> int:
    """The window, counted from the stream's first, whose close said it."""
    return int(attributes["sidelight.window.index"]) - FIRST


def replay(
    agent: AgentProcess, windows: Sequence[tuple[int, Fault]], model: str = "loan", version: str = "3"
) -> dict[str, Any]:
    """Sends these windows; the status when all but the last, which stays open, are closed and judged."""
    with sending(agent) as send:
        for index, fault in windows:
            answer = send(window(index, fault, model, version))
            assert (answer.accepted, answer.durable) == (ROWS, True)
    return agent.wait_counted()

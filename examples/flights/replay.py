"""Half a year of flights through the model server, an hour of them a batch, and the truth as it lands."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd
import sidelight

from examples.flights import data, faults, train

HOUR = pd.Timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the replay is. time: of the flights just sent; share in [0, 1]."""

    time: pd.Timestamp
    sent: int
    labelled: int
    total: int

    @property
    def share(self) -> float:
        return self.sent / self.total if self.total else 1.0


class Predictor(Protocol):
    """What the replay needs of a model server."""

    def predict(self, ids: list[str], times: list[int], features: pd.DataFrame) -> None: ...

    def slow(self, factor: float) -> None: ...


class Labeller(Protocol):
    """Where the truth goes."""

    def __call__(self, ids: list[str], late: list[str], times: list[int]) -> None: ...


def play(rows: pd.DataFrame, server: Predictor, label: Labeller) -> Iterator[Progress]:
    """Sends every row in order of time, with the faults of its day; yields after each batch.

    A flight's label goes out at the end of the hour it landed in; one that landed elsewhere or nowhere has none.
    """
    truth = landings(rows)
    sent = labelled = 0
    factor = 1.0
    for hour, batch in rows.groupby(rows["time"].dt.floor("h"), sort=True):
        start = pd.Timestamp(hour)
        if faults.slow_factor(start) != factor:
            factor = faults.slow_factor(start)
            server.slow(factor)
        labelled += _send_labels(truth, start, label)
        server.predict(flight_ids(batch), nanoseconds(batch["time"]), faults.corrupt(batch[list(data.FEATURES)], start))
        sent += len(batch)
        yield Progress(start, sent, labelled, len(rows))
    while truth:
        labelled += _send_labels(truth, min(truth), label)
    yield Progress(rows["time"].iloc[-1], sent, labelled, len(rows))


Landings = dict[pd.Timestamp, pd.DataFrame]


def landings(rows: pd.DataFrame) -> Landings:
    """Flights with a known arrival, by the end of the hour they landed in, in order of time."""
    known = rows[rows["landed"].notna() & rows["delay"].notna()]
    hours = known["landed"].dt.floor("h") + HOUR
    return {pd.Timestamp(hour): found for hour, found in known.groupby(hours, sort=True)}


def _send_labels(truth: Landings, until: pd.Timestamp, label: Labeller) -> int:
    due = [hour for hour in truth if hour <= until]
    count = 0
    for hour in due:
        landed = truth.pop(hour)
        late = [train.LATE if late else train.ON_TIME for late in faults.late(landed)]
        label(flight_ids(landed), late, nanoseconds(landed["landed"]))
        count += len(landed)
    return count


def flight_ids(rows: pd.DataFrame) -> list[str]:
    return [f"flight-{number:06d}" for number in rows["id"]]


def nanoseconds(times: pd.Series) -> list[int]:
    """Since the Unix epoch."""
    return [int(t) for t in times.astype("datetime64[ns]").astype("int64")]


class HttpPredictor:
    """The model server over one kept-alive connection."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def predict(self, ids: list[str], times: list[int], features: pd.DataFrame) -> None:
        columns = {name: [None if pd.isna(v) else v for v in features[name]] for name in features}
        self._post("/predict", {"ids": ids, "times": times, "features": columns})

    def slow(self, factor: float) -> None:
        self._post("/slow", factor)

    def close(self) -> None:
        self._connection.close()

    def _post(self, path: str, body: Any) -> None:
        self._connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        answer = self._connection.getresponse()
        payload = answer.read()
        if answer.status != http.client.OK:
            raise ConnectionError(f"the model server answered {answer.status}: {payload[:200]!r}")


class RecordedLabels:
    """Labels through Sidelight's client: the airport's arrivals board is another system than the model server."""

    def __init__(self, recorder: sidelight.Recorder) -> None:
        self._recorder = recorder

    def __call__(self, ids: list[str], late: list[str], times: list[int]) -> None:
        self._recorder.label(ids, late, time=np.array(times, dtype="datetime64[ns]"))

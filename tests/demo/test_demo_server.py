"""The latency that the demo's server reports is the model's own."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pandas as pd

from examples.flights import data
from examples.flights.server import Server

WAITED = 0.05
ROWS: dict[str, list[Any]] = {name: [0.0] for name in data.NUMBERS} | {name: ["EWR"] for name in data.TEXTS}


class Waiting:
    """A model that computes next to nothing and waits, as one does whose core others use."""

    def predict_proba(self, features: pd.DataFrame) -> np.ndarray:
        time.sleep(WAITED)
        return np.full((len(features), 2), 0.5)


class Kept:
    """A recorder that keeps what it is given."""

    def __init__(self) -> None:
        self.latency = np.zeros(0)

    def record(self, features: pd.DataFrame, **given: Any) -> None:
        self.latency = given["latency"]


def test_what_others_do_on_this_machine_is_not_the_servers_latency() -> None:
    """Time that the model did not compute is left out, of the injected slowness too."""
    recorder = Kept()
    server = Server(Waiting(), recorder)  # type: ignore[arg-type]
    for factor in (1.0, 8.0):
        server.slow_factor = factor
        server.predict(["a"], [0], ROWS)
        assert 0.0 < recorder.latency[0] < factor * WAITED / 2

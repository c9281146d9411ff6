"""A small model server: its own process, batches over HTTP, every prediction recorded with Sidelight's Python client.

    POST /predict  {"ids": [...], "times": [ns, ...], "features": {"distance": [...], ...}}  ->  {"scores": [...]}
    POST /slow     8.0      every batch takes so many times its own latency from now on
    GET  /health

What a server needs for Sidelight are the lines with `recorder` in them.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import joblib  # type: ignore[import-untyped]
import numpy as np
import pandas as pd
import sidelight

from examples.flights import data, train


class Server:
    """The model and its recorder."""

    def __init__(self, model: Any, recorder: sidelight.Recorder) -> None:
        self._model, self._recorder = model, recorder
        self.slow_factor = 1.0

    def predict(self, ids: list[str], times: list[int], columns: dict[str, list[Any]]) -> list[float]:
        """Scores in [0, 1], one a row."""
        features = frame(columns)
        # Latency is the CPU the model took, not the wall clock: half a year passes in two minutes, a day in 0.6 s, so
        # half a second of anybody's work on this machine would be a slow day, truly slow, and nothing of this server.
        # With a core of its own and nothing to wait for, the two are the same.
        started = time.thread_time()
        scores = self._model.predict_proba(features)[:, 1]
        own = time.thread_time() - started
        time.sleep((self.slow_factor - 1.0) * own)
        seconds = self.slow_factor * own
        # Everyone in a batch waited for all of it.
        self._recorder.record(
            features, prediction=train.answers(scores), score=scores, prediction_id=ids,
            time=np.array(times, dtype="datetime64[ns]"), latency=np.full(len(scores), seconds),
        )  # fmt: skip
        return [float(score) for score in scores]

    def warm(self) -> None:
        """The first calls load code and fill caches; they are nobody's latency."""
        rows = {name: [0.0] * 40 for name in data.NUMBERS} | {name: [""] * 40 for name in data.TEXTS}
        for _ in range(20):
            self._model.predict_proba(frame(rows))


def frame(columns: dict[str, list[Any]]) -> pd.DataFrame:
    """The model's input, columns in the order it learned them; a null in a number is NaN."""
    numbers = {name: np.array(columns[name], dtype=np.float64) for name in data.NUMBERS}
    return pd.DataFrame(numbers | {name: columns[name] for name in data.TEXTS})


class Handler(BaseHTTPRequestHandler):
    """HTTP around `Server`."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Listener

    def do_GET(self) -> None:
        self._answer({"status": "ok"})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/predict":
            self._answer({"scores": self.server.app.predict(body["ids"], body["times"], body["features"])})
        elif self.path == "/slow":
            self.server.app.slow_factor = float(body)
            self._answer({})
        else:
            self.send_error(404)

    def _answer(self, value: Any) -> None:
        payload = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - the base class's name
        """A line a request helps nobody."""


class Listener(ThreadingHTTPServer):
    """Listens on a free loopback port."""

    daemon_threads = True

    def __init__(self, app: Server) -> None:
        self.app = app
        super().__init__(("127.0.0.1", 0), Handler)


def main() -> None:
    """Serves until SIGTERM. Its first line of output says where: {"port": 40123}."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(".demo"))
    files = train.Files(parser.parse_args().folder)
    recorder = sidelight.Recorder(train.MODEL, version=train.VERSION)
    app = Server(joblib.load(files.model), recorder)
    app.warm()
    listener = Listener(app)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the replay's; it stops us in its order
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=listener.shutdown).start())
    sys.stdout.write(json.dumps({"port": listener.server_address[1]}) + "\n")
    sys.stdout.flush()
    listener.serve_forever(poll_interval=0.1)
    recorder.close()  # sends what is still queued


if __name__ == "__main__":
    main()

"""A reader of news whose model is never trained again: new topics come and old ones fade, a little every day."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np

from agent.wire import lifecycle_pb2 as lifecycle
from agent.wire import recorder_pb2 as wire
from tests.end_to_end.harness import ROOT

DAY_NS = 86_400 * 10**9
TRAINED_NS = 19_600 * DAY_NS  # midnight
ROWS = 300  # articles a day
BLOCKS = 60  # days before the training that the reference is made of
FADING_FROM = 80  # days since the training
TOPICS = ("politics", "sport", "weather", "money", "film", "travel", "law", "art")
NEWCOMERS = ("heat pumps", "drones", "a new party")
SAID = ("skip", "read")


def fresh(day: int) -> float:
    """The share of articles whose topic the model never saw, `day` days after its training."""
    return float(np.clip(0.006 * (day - FADING_FROM), 0.0, 0.15))


def articles(day: int) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Topics, words and scores of one day, the same every time. What is new takes the place of film and travel."""
    rng = np.random.default_rng(day + 10_000)
    usual = np.array([0.2, 0.2, 0.1, 0.1, 0.15, 0.15, 0.05, 0.05])
    usual[4:6] -= fresh(day) / 2.0
    topics = [str(name) for name in rng.choice(TOPICS, ROWS, p=usual / usual.sum())]
    for i in np.flatnonzero(rng.uniform(size=ROWS) < fresh(day)):
        topics[i] = NEWCOMERS[int(rng.integers(len(NEWCOMERS)))]
    return topics, rng.gamma(4.0, 100.0, ROWS), rng.beta(2.0, 3.0, ROWS)


def reference(folder: Path) -> Path:
    """Of the days before the training."""
    data, made = folder / "news.csv", folder / "news.sidelight"
    with data.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["time", "topic", "words", "prediction", "score"])
        for day in range(-BLOCKS, 0):
            topics, words, scores = articles(day)
            for i, topic in enumerate(topics):
                when = (TRAINED_NS + day * DAY_NS) // 10**9 + i * (86_400 // ROWS)
                rows.writerow([when, topic, f"{words[i]:.1f}", SAID[int(scores[i] >= 0.5)], f"{scores[i]:.4f}"])
    told = ["--time", "time", "--window", "86400", "--prediction", "prediction", "--score", "score"]
    built = subprocess.run(
        [sys.executable, "-m", "agent.cli", "reference", "build", str(data), "--model", "news", "--version", "1",
         "-o", str(made), *told], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    return made


def started() -> wire.RecordRequest:
    """The model's start, which says when it was trained."""
    request = wire.RecordRequest()
    request.model.name, request.model.version = "news", "1"
    trained = lifecycle.ModelLoaded(trained_at_unix_nano=TRAINED_NS)
    request.lifecycle.events.add(time_unix_nano=TRAINED_NS + DAY_NS).loaded.MergeFrom(trained)
    return request


def day_of(day: int) -> wire.RecordRequest:
    request = wire.RecordRequest()
    request.model.name, request.model.version = "news", "1"
    columns, (topics, words, scores) = request.columns, articles(day)
    columns.rows = ROWS
    columns.time_unix_nano.extend(TRAINED_NS + day * DAY_NS + i * (DAY_NS // ROWS) for i in range(ROWS))
    names = sorted(set(topics))
    columns.texts.add(name="topic", dictionary=names, codes=[names.index(topic) for topic in topics])
    columns.numbers.add(name="words", values=words.tolist())
    output = columns.outputs.add()
    output.labels.dictionary.extend(SAID)
    output.labels.codes.extend((scores >= 0.5).astype(int).tolist())
    output.scores.add(values=scores.tolist())
    return request

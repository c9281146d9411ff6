"""Windows of traffic with all there is to follow: two versions that answer the same requests, groups, and the truth."""

from __future__ import annotations

import numpy as np

from agent.wire import lifecycle_pb2 as lifecycle
from agent.wire import recorder_pb2 as wire
from tests.end_to_end import stream
from tests.end_to_end.traffic import FIRST, MS, ROWS, WINDOW_NS, window

MODEL, CHAMPION, CHALLENGER = "loan", "3", "4"
GROUPS = ("north", "south")
WORDS = ("no", "yes")
OPTIONS = {
    "SIDELIGHT_TIME": "event", "SIDELIGHT_SEGMENTS": "region", "SIDELIGHT_FAIRNESS": "region",
    "SIDELIGHT_WINDOW_SECONDS": str(stream.WINDOW_SECONDS),
}  # fmt: skip


def loaded(version: str, model: str = MODEL) -> wire.RecordRequest:
    """What makes its figures known: the task, the label that counts, and when it was trained."""
    request = wire.RecordRequest()
    request.model.name, request.model.version = model, version
    request.model.role = _role(version)
    said = lifecycle.ModelLoaded(
        task=lifecycle.TASK_BINARY, positive_label=WORDS[1], trained_at_unix_nano=(FIRST - 1_000) * WINDOW_NS
    )
    request.lifecycle.events.add(time_unix_nano=FIRST * WINDOW_NS, loaded=said)
    return request


def _role(version: str) -> wire.Role:
    return wire.ROLE_SHADOW if version == CHALLENGER else wire.ROLE_PRIMARY


def answers(index: int, version: str, model: str = MODEL) -> wire.RecordRequest:
    """What one version, the challenger a shadow, said in window `index`."""
    request = window(index, model=model, version=version)
    request.model.role = _role(version)
    columns = request.columns
    columns.request_id_prefix = f"asked-{index}-"
    columns.request_id_numbers.extend(range(ROWS))
    columns.segments.add(name="region", dictionary=GROUPS, codes=[row % len(GROUPS) for row in range(ROWS)])
    columns.measures.add(name="cost", values=[0.001 * (1 + (version == CHALLENGER))] * ROWS)
    del columns.outputs[0].labels.codes[:], columns.outputs[0].scores[:]
    said = guesses(index, version)
    columns.outputs[0].labels.codes.extend(said.tolist())
    columns.outputs[0].scores.add(values=np.where(said, 0.7, 0.2).tolist())
    return request


def guesses(index: int, version: str) -> np.ndarray:
    """Right in three of four, the challenger's in seven of eight."""
    rng = np.random.default_rng(index)
    wrong = rng.uniform(size=ROWS) < (0.125 if version == CHALLENGER else 0.25)
    return np.where(wrong, 1 - true(index), true(index))


def true(index: int) -> np.ndarray:
    return np.random.default_rng(10_000 + index).integers(0, 2, ROWS)


def truth(index: int, when: int, model: str = MODEL) -> wire.RecordRequest:
    """The labels of window `index`, in window `when`: one a request, for both versions."""
    request = wire.RecordRequest()
    request.model.name, request.model.version = model, CHAMPION
    columns = request.label_columns
    columns.rows = ROWS
    columns.request_id_prefix = f"asked-{index}-"
    columns.request_id_numbers.extend(range(ROWS))
    columns.labels.dictionary.extend(WORDS)
    columns.labels.codes.extend(true(index).tolist())
    columns.time_unix_nano.extend([(FIRST + when) * WINDOW_NS + ROWS * MS] * ROWS)
    return request

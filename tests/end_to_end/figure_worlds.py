"""Models of every task whose truth comes a window later: what each window was asked, answered and shown, and what came
of it. The same every time, so that every figure can be reckoned beside the agent, from what was sent alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agent.wire import lifecycle_pb2 as lifecycle
from agent.wire import recorder_pb2 as wire

WINDOW_NS, FIRST_NS = 60 * 10**9, 1_700_000_040 * 10**9  # a multiple of a minute
WINDOWS = 6
ROWS = 80  # of a window
CLASSES = ("bus", "car", "ferry", "tram")
REGIONS = ("north", "south")
SHOWN = 8  # items of a list


@dataclass(frozen=True)
class Rides:
    """A regression: minutes predicted and minutes it took, and how much each truth weighs."""

    predicted: np.ndarray
    true: np.ndarray
    weight: np.ndarray


def rides(index: int, late: float = 0.0) -> Rides:
    """late: minutes that every ride takes longer than the model was taught."""
    rng = np.random.default_rng((1, index))
    predicted = rng.gamma(4.0, 5.0, ROWS)
    true = np.abs(predicted + 1.0 + 3.0 * rng.normal(size=ROWS)) + 0.5 + late
    return Rides(predicted, true, rng.integers(1, 4, ROWS).astype(float))


@dataclass(frozen=True)
class Trips:
    """Of several classes: places in CLASSES. `ferry` is never said, and `tram` seldom true."""

    said: np.ndarray
    true: np.ndarray
    scores: np.ndarray  # (ROWS, classes)


def trips(index: int) -> Trips:
    rng = np.random.default_rng((2, index))
    true = rng.choice(4, ROWS, p=[0.45, 0.4, 0.1, 0.05])
    said = np.where(rng.uniform(size=ROWS) < 0.7, true, rng.choice(4, ROWS))
    said = np.where(said == CLASSES.index("ferry"), CLASSES.index("bus"), said)
    return Trips(said, true, rng.dirichlet(np.ones(4), ROWS))


@dataclass(frozen=True)
class Lists:
    """A ranking: SHOWN items a list at positions from 1, and their gain where somebody clicked, 0 where nobody did.

    order: by list, the numbers of the items from position 1 on.
    """

    order: np.ndarray  # (ROWS, SHOWN)
    gain: np.ndarray  # (ROWS, SHOWN), by position


def lists(index: int) -> Lists:
    """Higher places are clicked more often; several clicks a list are usual."""
    rng = np.random.default_rng((3, index))
    order = np.argsort(rng.uniform(size=(ROWS, 30)), axis=1)[:, :SHOWN]
    clicked = rng.uniform(size=(ROWS, SHOWN)) < 0.5 / np.sqrt(1.0 + np.arange(SHOWN))
    return Lists(order, np.where(clicked, rng.integers(1, 4, (ROWS, SHOWN)), 0))


@dataclass(frozen=True)
class Answers:
    """What one version of a classifier said in a window. bool each; region: places in REGIONS."""

    said: np.ndarray
    true: np.ndarray
    region: np.ndarray


def answers(index: int, version: str) -> Answers:
    """Version 4 is worse than 3 in the south, and better in the north."""
    rng = np.random.default_rng((4, index, int(version)))
    true, region = rng.uniform(size=ROWS) < 0.4, rng.integers(0, 2, ROWS)
    wrong = np.where(region == 1, 0.1 if version == "3" else 0.35, 0.2 if version == "3" else 0.05)
    return Answers(true ^ (rng.uniform(size=ROWS) < wrong), true, region)


# ── as messages ──


def loaded(model: str, version: str, task: lifecycle.Task, positive: str = "") -> wire.RecordRequest:
    request = _of(model, version)
    request.lifecycle.events.add(time_unix_nano=FIRST_NS).loaded.MergeFrom(
        lifecycle.ModelLoaded(task=task, positive_label=positive)
    )
    return request


def rides_asked(index: int, late: float = 0.0) -> wire.RecordRequest:
    request = _asked("eta", "1", index)
    request.columns.outputs.add().values.values.extend(rides(index, late).predicted.tolist())
    return request


def rides_known(index: int, when: int, late: float = 0.0) -> wire.RecordRequest:
    request, some = _known("eta", "1", index, when), rides(index, late)
    request.label_columns.values.values.extend(some.true.tolist())
    request.label_columns.weights.extend(some.weight.tolist())
    return request


def trips_asked(index: int) -> wire.RecordRequest:
    request, some = _asked("mode", "1", index), trips(index)
    output = request.columns.outputs.add()
    output.labels.dictionary.extend(CLASSES)
    output.labels.codes.extend(some.said.tolist())
    for place, name in enumerate(CLASSES):
        output.scores.add(values=some.scores[:, place].tolist()).__setattr__("class", name)
    return request


def trips_known(index: int, when: int) -> wire.RecordRequest:
    request = _known("mode", "1", index, when)
    request.label_columns.labels.dictionary.extend(CLASSES)
    request.label_columns.labels.codes.extend(trips(index).true.tolist())
    return request


def lists_asked(index: int, model: str) -> wire.RecordRequest:
    """model: `shop`, whose lists go by prediction id, `search`, whose lists have a request's id as well, or `feed`,
    where they have nothing else."""
    request, some = _asked(model, "1", index), lists(index)
    if model != "shop":
        request.columns.request_ids.extend(f"r{index}-{i}" for i in range(ROWS))
    if model == "feed":
        del request.columns.ids[:]
    items = request.columns.outputs.add().items
    items.lengths.extend([SHOWN] * ROWS)
    items.ids.extend(f"item-{number}" for number in some.order.ravel().tolist())
    items.positions.extend(list(range(1, SHOWN + 1)) * ROWS)
    return request


def clicks_known(index: int, when: int, model: str) -> wire.RecordRequest:
    """The clicks alone, by list and item, in no order; but for `shop` by the request's id."""
    request, some = _of(model, "1"), lists(index)
    columns = request.label_columns
    at = np.argwhere(some.gain > 0)
    np.random.default_rng((5, index)).shuffle(at)
    columns.rows = len(at)
    by_list = model == "shop"
    ids = columns.ids if by_list else columns.request_ids
    ids.extend(f"{'' if by_list else 'r'}{index}-{i}" for i, _ in at.tolist())
    columns.items.dictionary.extend(f"item-{number}" for number in range(30))
    columns.items.codes.extend(int(some.order[i, k]) for i, k in at.tolist())
    columns.values.values.extend(float(some.gain[i, k]) for i, k in at.tolist())
    columns.time_unix_nano.extend([_time(when)] * len(at))
    return request


def answers_asked(index: int, version: str) -> wire.RecordRequest:
    request, some = _asked("loan", version, index), answers(index, version)
    request.columns.request_ids.extend(f"{version}-r{index}-{i}" for i in range(ROWS))
    output = request.columns.outputs.add()
    output.labels.dictionary.extend(["no", "yes"])
    output.labels.codes.extend(some.said.astype(int).tolist())
    request.columns.segments.add(name="region", dictionary=REGIONS, codes=some.region.tolist())
    return request


def answers_known(index: int, when: int, version: str, by_request: bool) -> wire.RecordRequest:
    """From one who does not know which version answered."""
    request, some = _known("loan", "", index, when, prefix=f"{version}-{'r' * by_request}"), answers(index, version)
    columns = request.label_columns
    if by_request:
        columns.request_ids.extend(columns.ids)
        del columns.ids[:]
    columns.labels.dictionary.extend(["no", "yes"])
    columns.labels.codes.extend(some.true.astype(int).tolist())
    return request


def _of(model: str, version: str) -> wire.RecordRequest:
    request = wire.RecordRequest()
    request.model.name, request.model.version = model, version
    return request


def _time(index: int) -> int:
    return FIRST_NS + index * WINDOW_NS


def _asked(model: str, version: str, index: int) -> wire.RecordRequest:
    request = _of(model, version)
    columns = request.columns
    columns.rows = ROWS
    columns.ids.extend(f"{version + '-' if model == 'loan' else ''}{index}-{i}" for i in range(ROWS))
    columns.time_unix_nano.extend([_time(index) + i * 10**6 for i in range(ROWS)])
    return request


def _known(model: str, version: str, index: int, when: int, prefix: str = "") -> wire.RecordRequest:
    request = _of(model, version)
    columns = request.label_columns
    columns.rows = ROWS
    columns.ids.extend(f"{prefix}{index}-{i}" for i in range(ROWS))
    columns.time_unix_nano.extend([_time(when)] * ROWS)
    return request

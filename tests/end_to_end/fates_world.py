"""A lender whose truths come as they do in life: soon, days late, before their prediction, twice, never, for nobody,
in no order; and what should become of each, by a plain account of the messages as they were sent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from agent.wire import recorder_pb2 as wire

HOUR_NS, DAY_NS = 3_600 * 10**9, 86_400 * 10**9
WINDOW_SECONDS = 6 * 3_600
WINDOW_NS = WINDOW_SECONDS * 10**9
FIRST_NS = 19_675 * DAY_NS
ASKED, WINDOWS = 32, 60  # windows with predictions; all, until the last truth is known
ROWS = 12  # predictions of a window
FATES = ("soon", "days", "same twice", "otherwise twice", "before", "twice before", "never")
EARLY = 2  # windows before its prediction's: what comes closer together is looked up together, and is not early
NOBODY = 17  # labels of ids that nobody predicted
TRUTHS = ("no", "yes")


@dataclass(frozen=True)
class Truth:
    """One label: `label` came to be at `when_ns`, and is sent in window `sent`."""

    id: str
    label: int
    when_ns: int
    sent: int


def time_of(number: int) -> int:
    """When prediction `number` was made."""
    return FIRST_NS + (number // ROWS) * WINDOW_NS + (number % ROWS) * HOUR_NS // 4


def said(number: int) -> int:
    """What it said: a place in TRUTHS."""
    return int(np.random.default_rng((7, number)).uniform() < 0.5)


def truths() -> list[Truth]:
    """All of them, in the order they are sent: windows one after another, in each of them no order at all."""
    rng, found = np.random.default_rng(11), []
    for number in range(ASKED * ROWS):
        label = said(number) if rng.uniform() < 0.8 else 1 - said(number)
        found += list(_of(rng, number, label, FATES[number % len(FATES)]))
    for k in range(NOBODY):
        window = int(rng.integers(ASKED))
        found.append(Truth(f"nobody-{k}", 1, FIRST_NS + window * WINDOW_NS, window))
    shuffled = [found[i] for i in rng.permutation(len(found))]
    return sorted(shuffled, key=lambda truth: truth.sent)


def _of(rng: np.random.Generator, number: int, label: int, fate: str) -> Iterator[Truth]:
    made = time_of(number)

    def later(hours: float, value: int = label) -> Truth:
        when = made + int(hours * HOUR_NS)
        return Truth(f"p-{number}", value, when, (when - FIRST_NS) // WINDOW_NS)

    if fate == "never" or (fate.endswith("before") and number < EARLY * ROWS):
        return
    if fate.endswith("before"):
        when = made - int(rng.integers(1, 1_800)) * 10**9
        for _ in range(1 + (fate == "twice before")):
            yield Truth(f"p-{number}", label, when, number // ROWS - EARLY)
        return
    yield later(rng.uniform(0.1, 4.0) if fate == "soon" else rng.uniform(24.0, 144.0))
    if fate.endswith("twice"):
        yield later(rng.uniform(1.0, 160.0), label if fate == "same twice" else 1 - label)


def predictions(window: int) -> wire.RecordRequest:
    """Of one window; after the last that is asked about, a single one without an id, so that time goes on."""
    request = wire.RecordRequest()
    request.model.name, request.model.version = "loan", "3"
    columns = request.columns
    asked = window < ASKED
    numbers = range(window * ROWS, (window + 1) * ROWS if asked else window * ROWS + 1)
    columns.rows = len(numbers)
    if asked:
        columns.ids.extend(f"p-{number}" for number in numbers)
    columns.time_unix_nano.extend(time_of(number) for number in numbers)
    output = columns.outputs.add()
    output.labels.dictionary.extend(TRUTHS)
    output.labels.codes.extend(said(number) for number in numbers)
    return request


def labels(some: list[Truth]) -> wire.RecordRequest:
    request = wire.RecordRequest()
    request.model.name, request.model.version = "loan", "3"
    columns = request.label_columns
    columns.rows = len(some)
    columns.ids.extend(truth.id for truth in some)
    columns.labels.dictionary.extend(TRUTHS)
    columns.labels.codes.extend(truth.label for truth in some)
    columns.time_unix_nano.extend(truth.when_ns for truth in some)
    return request


@dataclass
class Account:
    """What should have become of everything sent so far. first: id -> the label that stands; waiting: likewise, of
    those without a prediction; delays: seconds, of those that met theirs; right: whether the prediction was."""

    kinds: Counter[str] = field(default_factory=Counter)
    predicted: dict[str, int] = field(default_factory=dict)  # id -> number
    first: dict[str, int] = field(default_factory=dict)
    waiting: dict[str, Truth] = field(default_factory=dict)
    delays: list[float] = field(default_factory=list)
    right: list[bool] = field(default_factory=list)
    labelled: Counter[int] = field(default_factory=Counter)  # window -> predictions of it with a label

    def predictions(self, window: int) -> None:
        for number in range(window * ROWS, (window + 1) * ROWS) if window < ASKED else ():
            self.predicted[f"p-{number}"] = number
            early = self.waiting.pop(f"p-{number}", None)
            if early is not None:
                self._meet(early, "early")

    def label(self, truth: Truth) -> None:
        known = self.first.get(truth.id)
        if truth.id in self.waiting:
            known = self.waiting[truth.id].label
        if known is not None:
            self.kinds["repeated" if known == truth.label else "changed"] += 1
        elif truth.id in self.predicted:
            self._meet(truth, "joined")
        else:
            self.waiting[truth.id] = truth

    def _meet(self, truth: Truth, kind: str) -> None:
        number = self.predicted[truth.id]
        self.kinds[kind] += 1
        self.first[truth.id] = truth.label
        self.delays.append((truth.when_ns - time_of(number)) / 1e9)
        self.right.append(said(number) == truth.label)
        self.labelled[number // ROWS] += 1

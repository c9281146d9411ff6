"""A door to knock at: admission over a real journal, with a clock to turn; and a layout to count what it let in."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np

from agent.bins import Feature, Layout
from agent.clock import TurnedClock
from agent.counting.windows import Series
from agent.ingest.admission import Admission
from agent.ingest.clients import Clients
from agent.ingest.journal import Journal
from agent.ingest.limits import Limits
from agent.ingest.queue import Accepted, Queue
from agent.records import Batch, Kind, ModelKey, Source
from agent.reference.profile import Reference
from agent.wire import recorder_pb2 as wire
from agent.wire import rows_pb2

HOUR_NS = 3_600_000_000_000
LAYOUT = Layout(
    (
        Feature("a", Source.FEATURE, Kind.NUMBER, edges=(0.0, 1.0, 2.0, 5.0), integral=True),
        Feature("b", Source.FEATURE, Kind.NUMBER, edges=(-1e9, -1.0, 0.0, 1e300)),
        Feature("t", Source.FEATURE, Kind.TEXT, categories=("x", "ü", "")),
        Feature("f", Source.FEATURE, Kind.FLAG),
        Feature("prediction", Source.PREDICTION, Kind.NUMBER, edges=(0.0, 0.5, 1.0)),
        Feature("score", Source.SCORE, Kind.NUMBER, edges=(0.0, 0.5, 1.0)),
        Feature("latency", Source.LATENCY, Kind.NUMBER, edges=(0.0, 0.5, 1.0)),
    )
)


def reference() -> Reference:
    blocks = np.ones((8, LAYOUT.cells), dtype=np.int32)
    return Reference("m", "1", LAYOUT, blocks, np.arange(8, dtype=np.int64), np.full(8, 7, dtype=np.int64))


@cache
def _base() -> Path:
    path = Path(tempfile.mkdtemp(prefix="door-"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


def new_folder() -> Path:
    """An empty folder of its own, for each of hypothesis's many examples; gone when the tests end."""
    return Path(tempfile.mkdtemp(dir=_base()))


@dataclass
class Door:
    """One agent's door over `folder`; a second one on the same folder is the next start."""

    folder: Path
    limits: Limits = field(default_factory=Limits)
    event_time: bool = False
    queue_bytes: int = 32 << 20
    models_max: int = 32
    future_seconds: float = 7 * 86_400.0
    clients_max: int = 64
    clock: TurnedClock = field(default_factory=TurnedClock)
    journal_bytes: int = 64 << 20

    def __post_init__(self) -> None:
        self.journal = Journal(self.folder, self.journal_bytes)
        self.clients = Clients(self.clients_max)
        self.queue = Queue(self.queue_bytes)
        self.admission = Admission(
            self.limits,
            self.clock,
            self.journal,
            self.clients,
            self.queue,
            models_max=self.models_max,
            event_time=self.event_time,
            future_ns=int(self.future_seconds * 1e9),
            window_ns=lambda _: HOUR_NS,
        )
        self.restored: list[Accepted] = []
        for head, payload in self.journal.open(0):
            item = self.admission.restore(head, payload)
            if item is not None:
                self.queue.put(item)
        self.restored = self.take()

    def send(self, message: wire.RecordRequest | bytes) -> wire.RecordResponse:
        return self.admission.handle(message if isinstance(message, bytes) else message.SerializeToString())

    def take(self) -> list[Accepted]:
        taken = self.queue.take()
        for item in taken:
            self.queue.done(item)
        return taken


def batches(items: Sequence[Accepted]) -> list[Batch]:
    """Each content once, as the pipeline counts it."""
    found: dict[int, Batch] = {}
    for item in items:
        content = item.content
        if content is not None and id(content) not in found:
            found[id(content)] = content if isinstance(content, Batch) else content.batch()
    return [batch for batch in found.values() if batch.rows]


def count(items: Sequence[Accepted], event_time: bool = False) -> dict[ModelKey, Series]:
    """Series of everything taken."""
    series: dict[ModelKey, Series] = {}
    for batch in batches(items):
        one = series.setdefault(batch.model, Series(batch.model, HOUR_NS, reference(), None, ("region",)))
        one.add(batch, event_time)
    return series


def totals(items: Sequence[Accepted], event_time: bool = False) -> dict[str, list[int]]:
    """Model name -> the cells' counts; what two ways of arriving must agree on."""
    return {key.name: one.total.tolist() for key, one in count(items, event_time).items()}


def refused(answer: wire.RecordResponse) -> Counter[int]:
    """Records refused, by reason."""
    found: Counter[int] = Counter()
    for group in answer.refusals:
        found[group.reason] += group.count
    return found


def request(model: str = "m", client: str = "", sequence: int = 0) -> wire.RecordRequest:
    return wire.RecordRequest(model=wire.Model(name=model, version="1"), client_id=client, sequence=sequence)


def rows(*parts: rows_pb2.Row, model: str = "m", client: str = "", sequence: int = 0) -> wire.RecordRequest:
    message = request(model, client, sequence)
    message.rows.rows.extend(parts)
    return message


def row(**numbers: float) -> rows_pb2.Row:
    return rows_pb2.Row(numbers=numbers)


def columns(*names: str, count: int = 4, model: str = "m", client: str = "", sequence: int = 0) -> wire.RecordRequest:
    """Number columns of so many rows."""
    message = request(model, client, sequence)
    message.columns.rows = count
    for name in names:
        message.columns.numbers.add(name=name, values=[0.5] * count)
    return message
